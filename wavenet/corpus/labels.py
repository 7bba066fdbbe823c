"""What kind each word is of: its label, which stands in a column of the corpus. Needs no torch."""

import reprlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal

from wavenet.corpus.parsing import CONTROL, parse_line
from wavenet.corpus.vocabulary import ANY
from wavenet.errors import ArgumentError

COLUMN = 2
"""The field of a line that holds its word's label, where nobody says otherwise; the word itself is the first."""

MOST_KINDS = 0.5
"""Labels for each word that has one, from which on they do not look like labels: a count, a date, an explanation."""

Wanted = bool | Literal["auto"]


class UnknownLabelError(ArgumentError):
    """A label is none of those that are known; the message has the ones that are most like it.

    Examples:
        >>> print(UnknownLabelError("Finish", ["Danish", "Finnish", "Welsh"]))
        label must be one of 3 labels, got 'Finish'; the nearest are Finnish, Danish
    """

    def __init__(self, label: str, known: Sequence[str]) -> None:
        by_case = {name.casefold(): name for name in known}
        near = [by_case[name] for name in get_close_matches(label.casefold(), by_case)]
        hint = f"; the nearest are {', '.join(near)}" if near else f", such as {', '.join(known[:3])}" if known else ""
        super().__init__("label", f"must be one of {len(known):,} labels, got {label!r}{hint}")


class Labels:
    """A one-to-one map between labels and the ids 1, 2, ...; :data:`wavenet.corpus.vocabulary.ANY`, 0, is none.

    Args:
        counts: How many training words have each label, in the order of their ids.

    Raises:
        ArgumentError: There is no label, one of them is empty, or a count is negative.

    Examples:
        >>> labels = Labels.of(["Welsh", "Danish", "", "Welsh"])
        >>> labels.names, labels.encode("Welsh"), labels.encode(""), labels.shares()
        (['Danish', 'Welsh'], 2, 0, [0.3333333333333333, 0.6666666666666666])
    """

    def __init__(self, counts: Mapping[str, int]) -> None:
        if not counts or "" in counts or min(counts.values()) < 0:
            raise ArgumentError("labels", "must be names with how many words have each, got none or a wrong one")
        self.counts, self.names = dict(counts), list(counts)
        self._ids = {name: number for number, name in enumerate(self.names, start=1)}

    @classmethod
    def of(cls, labels: Iterable[str], names: Iterable[str] = ()) -> "Labels":
        """The labels that there are, and other ``names`` that no word here has, in the order of their code points."""
        counts = Counter(filter(None, labels))
        return cls({name: counts[name] for name in sorted({*counts, *names})})

    @classmethod
    def of_plain(cls, plain: Any) -> "Labels":
        """The labels that a checkpoint names; :attr:`counts` is the way back.

        Raises:
            TypeError, ArgumentError: They are none.
        """
        if not isinstance(plain, dict) or not all(
            isinstance(name, str) and not CONTROL.search(name) and type(count) is int for name, count in plain.items()
        ):
            raise TypeError(f"the labels are {reprlib.repr(plain)}")
        return cls(plain)

    def encode(self, label: str) -> int:
        """The id of a label; no label is the empty one.

        Raises:
            UnknownLabelError: There is no such label.
        """
        if label not in self._ids and label:
            raise UnknownLabelError(label, self.names)
        return self._ids.get(label, ANY)

    def shares(self) -> list[float]:
        """The share of each label among the training words that have one; all alike if none has."""
        total = sum(self.counts.values())
        return [count / total if total else 1 / len(self) for count in self.counts.values()]

    def __len__(self) -> int:
        """Number of labels L, the absent one not counted."""
        return len(self.names)

    def __repr__(self) -> str:
        return f"Labels({len(self)})"


def label_in(fields: Sequence[str], column: int) -> str:
    """The label among the fields that follow a word on its line; empty if there is none.

    Examples:
        >>> label_in(["Welsh", "f"], column=2), label_in(["Welsh"], column=3)
        ('Welsh', '')
    """
    place = column - 2
    return fields[place] if place < len(fields) else ""


def most_have_one(labels: Sequence[str]) -> bool:
    """Whether most of some words have a label, and the labels are kinds of words rather than something else.

    Examples:
        >>> most_have_one(["Welsh", "Welsh", ""]), most_have_one(["Welsh", "", ""]), most_have_one(["3", "14", "15"])
        (True, False, False)
    """
    given = [label for label in labels if label]
    return 2 * len(given) > len(labels) and len(set(given)) <= MOST_KINDS * len(given)


def looks_labelled(content: bytes, column: int) -> bool:
    """Whether most lines of the beginning of a file have a label; one that cannot be read has none."""
    lines = content.decode("utf-8", errors="replace").rpartition("\n")[0].split("\n")  # the last one may be cut
    try:
        found = [parse_line(line, "") for line in lines if line.strip()]
    except ValueError:  # whoever reads the file says what is wrong
        return False
    return most_have_one([label_in(fields, column) for _, *fields in found])
