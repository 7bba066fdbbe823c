"""Which words are wanted: a prefix, a pattern and lengths, as one automaton. Needs torch alone."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import TypedDict

import torch
from torch import Tensor

from wavenet.corpus.vocabulary import BOUNDARY, UnknownCharacterError, Vocabulary
from wavenet.errors import ArgumentError, check_at_least

MAX_STATES = 10_000
MAX_LENGTH = 10_000

Element = frozenset[int] | None
"""The token ids that one character of a word may have, or ``None`` for any run of characters."""


class WantedOptions(TypedDict, total=False):
    """Which words are wanted: the arguments of :class:`Wanted`, and words that must not come."""

    prefix: str
    pattern: str
    min_length: int
    max_length: int
    without: Iterable[str]


class Wanted:
    """The words with a prefix, a pattern and lengths, read one character at a time.

    A pattern is matched against the whole word: ``*`` stands for any run of characters, ``?`` for one, ``[aeiou]`` and
    ``[a-m]`` for one of these, ``[!aeiou]`` (or ``[^aeiou]``) for one that is none of these, and a backslash outside of
    brackets takes the next character as it is. Prefix and pattern are brought to Unicode's NFC form, as a corpus is.

    Args:
        vocabulary: The characters.
        prefix: How words begin.
        pattern: What they look like.
        min_length: The fewest characters of a word.
        max_length: The most characters of a word.

    Raises:
        ArgumentError: ``min_length`` is negative or above ``max_length``, ``max_length`` is below 1 (0, if
            ``min_length`` is 0) or above 10,000, ``prefix`` is longer than ``max_length``, the pattern has an open
            bracket or no character of the alphabet in one, ``prefix`` or ``pattern`` has a character that is not in
            the alphabet, or no word at all is wanted.

    Examples:
        >>> wanted = Wanted(Vocabulary("abc"), pattern="a?[!b]*", max_length=4)
        >>> [word for word in ("aba", "abb", "abaab", "acc") if wanted.accepts(word)]
        ['aba', 'acc']

    Attributes:
        next_state: (S, V) the state after a state and a token. State 0 is that before any character; from an accepting
            state the boundary leads to the last state but one, the end, and what is not wanted to the last.
        live: (max_length + 2, S) whether a state after so many tokens can still reach the end.
        forced: The tokens that every wanted word begins with.
        first: The state after them.
    """

    def __init__(
        self, vocabulary: Vocabulary, prefix: str = "", pattern: str = "*", min_length: int = 1, max_length: int = 64
    ) -> None:
        prefix, pattern = unicodedata.normalize("NFC", prefix), unicodedata.normalize("NFC", pattern)
        if max_length > MAX_LENGTH:
            raise ArgumentError("max_length", f"must be at most {MAX_LENGTH}, got {max_length}")
        check_at_least(0, min_length=min_length)
        check_at_least(min(1, min_length), max_length=max_length)
        if min_length > max_length:
            raise ArgumentError("min_length", f"must be at most max_length {max_length}, got {min_length}")
        if len(prefix) > max_length:
            raise ArgumentError("prefix", f"must be no longer than max_length {max_length}, got {prefix!r}")
        self.vocabulary = vocabulary
        start: list[Element] = [*(frozenset({token}) for token in encode("prefix", prefix, vocabulary)), None]
        self.next_state = automaton([start, parse(pattern, vocabulary)], len(vocabulary))
        end = len(self.next_state) - 2
        self.live = torch.zeros(max_length + 2, len(self.next_state), dtype=torch.bool)
        for length in range(max_length, -1, -1):
            self.live[length + 1, end] = length >= min_length
            self.live[length] = self.live[length + 1][self.next_state].any(dim=1)
        if not self.live[0, 0]:
            raise ArgumentError(
                "pattern",
                f"matches no word: expected a word of {min_length} to {max_length} characters from the alphabet "
                f"{vocabulary.alphabet!r}, got prefix {prefix!r} and pattern {pattern!r}",
            )
        self.forced, self.first = self._forced()
        self._rows: list[list[int]] = self.next_state.tolist()  # the same, to be read one by one
        self._ends: list[bool] = self.live[:, end].tolist()

    @property
    def max_length(self) -> int:
        """The most characters of a word."""
        return len(self.live) - 2

    def _forced(self) -> tuple[list[int], int]:
        tokens: list[int] = []
        state = 0
        while len(tokens) < self.max_length:
            following = self.live[len(tokens) + 1][self.next_state[state]].nonzero().flatten().tolist()
            if len(following) != 1 or following == [BOUNDARY]:
                break
            tokens += following
            state = int(self.next_state[state, following[0]])
        return tokens, state

    def accepts(self, word: str) -> bool:
        """Whether the word is wanted."""
        try:
            tokens = [*self.vocabulary.encode(word), BOUNDARY]
        except UnknownCharacterError:
            return False
        state = 0
        for token in tokens:
            state = self._rows[state][token]
        return len(tokens) < len(self._ends) and self._ends[len(tokens)] and state == len(self._rows) - 2


def encode(argument: str, text: str, vocabulary: Vocabulary) -> list[int]:
    """The token ids of the characters of an argument, which is named if one of them is unknown."""
    try:
        return vocabulary.encode(text)
    except UnknownCharacterError as error:
        raise ArgumentError(argument, f"has an {error}") from error


def parse(pattern: str, vocabulary: Vocabulary) -> list[Element]:
    """The elements of a pattern.

    Raises:
        ArgumentError: A bracket is not closed or names no character of the alphabet, or nothing follows a backslash.
    """
    elements: list[Element] = []
    characters = iter(pattern)
    for character in characters:
        if character == "*":
            if elements[-1:] != [None]:
                elements.append(None)
        elif character == "?":
            elements.append(frozenset(range(1, len(vocabulary))))
        elif character == "[":
            elements.append(parse_set(characters, pattern, vocabulary))
        else:
            literal = next(characters, None) if character == "\\" else character
            if literal is None:
                raise ArgumentError("pattern", f"must have a character after its last backslash, got {pattern!r}")
            elements.append(frozenset(encode("pattern", literal, vocabulary)))
    return elements


def parse_set(characters: Iterator[str], pattern: str, vocabulary: Vocabulary) -> frozenset[int]:
    """The token ids of a bracket, of which the opening one has been read."""
    content: list[str] = []
    for character in characters:
        if character == "]" and content not in ([], ["!"], ["^"]):
            break
        content.append(character)
    else:
        raise ArgumentError("pattern", f"must have a ] for its [, as in [aeiou], got {pattern!r}")
    negated = content[0] in "!^" and len(content) > 1
    listed = content[1:] if negated else content
    ranges = re.findall(r"(.)-(.)|(.)", "".join(listed), flags=re.DOTALL)
    named = {
        character
        for character in vocabulary.alphabet
        if any(character == single or (first and first <= character <= last) for first, last, single in ranges)
    }
    tokens = {token for token, character in enumerate(vocabulary.alphabet, start=1) if (character in named) != negated}
    if not tokens:
        raise ArgumentError(
            "pattern",
            f"must have characters of the alphabet {vocabulary.alphabet!r} in its sets, "
            f"got [{''.join(content)}] in {pattern!r}",
        )
    return frozenset(tokens)


def automaton(patterns: Sequence[Sequence[Element]], vocab_size: int) -> Tensor:
    """The transitions (S, V) of the automaton of the words that match all patterns; see :class:`Wanted`.

    A state says which elements of each pattern may come next.

    Raises:
        ArgumentError: The patterns need more than ``MAX_STATES`` states.
    """

    def reached(positions: set[int], elements: Sequence[Element]) -> frozenset[int]:
        found = set()
        for position in positions:
            found.add(position)
            while position < len(elements) and elements[position] is None:  # a run may be empty
                position += 1
                found.add(position)
        return frozenset(found)

    def after(positions: frozenset[int], elements: Sequence[Element], token: int) -> frozenset[int]:
        moved = set()
        for position in positions:
            if position < len(elements):
                element = elements[position]
                if element is None:
                    moved.add(position)
                elif token in element:
                    moved.add(position + 1)
        return reached(moved, elements)

    first = tuple(reached({0}, elements) for elements in patterns)
    numbers, states, rows = {first: 0}, [first], []
    for state in states:  # grows while it is read
        row = [-2 if all(len(elements) in at for at, elements in zip(state, patterns, strict=True)) else -1]
        for token in range(1, vocab_size):
            following = tuple(after(at, elements, token) for at, elements in zip(state, patterns, strict=True))
            if not all(following):
                row.append(-1)
                continue
            if following not in numbers:
                if len(states) == MAX_STATES:
                    raise ArgumentError("pattern", f"must be simpler: its automaton has more than {MAX_STATES} states")
                numbers[following] = len(states)
                states.append(following)
            row.append(numbers[following])
        rows.append(row)
    rows += [[-1] * vocab_size] * 2  # the end and what is not wanted
    return torch.tensor(rows) % len(rows)  # -2 and -1 become the last two states
