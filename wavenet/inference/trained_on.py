"""Which words a network was trained on, as checkpoints and ``metrics.json`` record it."""

import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from wavenet.corpus.download import path_to_record
from wavenet.corpus.reading import Corpus, read_corpus, read_labelled
from wavenet.corpus.splitting import Split, leaks, split_corpus
from wavenet.corpus.words import sizes

LONGEST_PATH = 4096  # of a corpus; longer ones no system opens


@dataclass(frozen=True)
class TrainedOn:
    """What identifies the words that a network was trained on, as plain data: in checkpoints and ``metrics.json``.

    ``words`` and ``examples`` are counted for each split, ``also_in_train`` are the words of validation and test that
    stand in train too, and ``note`` says why the corpus is not the one that was asked for, if it is not. Older
    checkpoints do not say the length of the ``longest_word`` of train, nor the ``batch_size``. ``label_column`` is the
    field of a line with its word's label; where words have none, nothing is said of it.
    """

    path: str
    sha256: str
    note: str | None
    split_seed: int
    deduplicate: bool
    batching: str
    batch_size: int | None
    words: dict[str, int]
    examples: dict[str, int]
    also_in_train: dict[str, int]
    longest_word: int | None
    label_column: int | None = None

    @classmethod
    def describe(
        cls, corpus: Corpus, split: Split, split_seed: int, deduplicate: bool, batching: str, batch_size: int
    ) -> "TrainedOn":
        """What there is to say of a corpus and its split."""
        found = dict(zip(split._fields, sizes([part.words for part in split]), strict=True))
        return cls(
            path=path_to_record(corpus.path),
            sha256=corpus.sha256,
            note=corpus.note,
            split_seed=split_seed,
            deduplicate=deduplicate,
            batching=batching,
            batch_size=batch_size,
            words={name: len(part.words) for name, part in split._asdict().items()},
            examples={name: num_tokens for name, (num_tokens, _) in found.items()},
            also_in_train=leaks(split),
            longest_word=found["train"][1],
            label_column=corpus.label_column,
        )

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "TrainedOn":
        """What a checkpoint says; :meth:`plain` is the way back.

        Raises:
            KeyError, TypeError: Something is missing or of another type.
        """
        plain = {"longest_word": None, "batch_size": None, "label_column": None, **plain}
        values = {field.name: plain[field.name] for field in fields(cls)}
        for name, kind in get_type_hints(cls).items():
            if not isinstance(values[name], get_origin(kind) if get_origin(kind) is dict else kind):
                raise TypeError(f"{name} of the corpus is recorded as {reprlib.repr(values[name])}")
        found = cls(**values)
        counts = [
            found.longest_word or 0,
            *found.words.values(),
            *found.examples.values(),
            *found.also_in_train.values(),
            found.label_column or 0,
        ]
        if not all(type(count) is int and count >= 0 for count in counts):
            raise TypeError("what the corpus holds is not recorded as counts")
        if len(found.path) > LONGEST_PATH or "\0" in found.path:
            raise ValueError(f"the corpus is recorded as {reprlib.repr(found.path)}, which is no path")
        return found

    def plain(self) -> dict[str, Any]:
        """What a checkpoint says."""
        return {name: value for name, value in asdict(self).items() if name != "label_column" or value is not None}

    def read_corpus(self) -> Corpus:
        """The corpus.

        Raises:
            OSError: It is not there any more.
            ValueError: It has changed since.
        """
        path = Path(self.path)
        corpus = read_corpus(path) if self.label_column is None else read_labelled(path, self.label_column)
        self.check(corpus)
        return corpus

    def check(self, corpus: Corpus) -> None:
        """Raises a ValueError if a corpus is not the one that the network was trained on."""
        if corpus.sha256 != self.sha256:
            raise ValueError(
                f"{corpus.path} has changed since the model was trained: expected SHA-256 {self.sha256}, got "
                f"{corpus.sha256}"
            )

    def read_split(self) -> Split:
        """The words that the network was trained on, validated with and tested with; errors are those of the corpus."""
        return split_corpus(self.read_corpus(), self.split_seed, self.deduplicate)
