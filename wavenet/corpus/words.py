"""Many words without a Python object for each: their characters' numbers on one axis, in memory or in a file."""

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import chain
from typing import Any, Protocol, overload

import numpy as np
import numpy.typing as npt

from wavenet.corpus.vocabulary import BOUNDARY, UnknownCharacterError, Vocabulary

Ints = npt.NDArray[np.int64]
Array = npt.NDArray[Any]

AT_ONCE = 2**16
"""Words that are looked at together: what is computed for them fits a usual processor's cache."""

KEPT = 2**28
"""Bytes that a store may have mapped in any case; of a larger one the system maps 64 KiB for each word that is read."""

READ = 2**12
"""Words of a larger store, after which what reading them has mapped is given back."""


class Index(Protocol):
    """What finds words among the rows of a store: :class:`wavenet.corpus.index.WordIndex`.

    ``distinct`` (D,) are the first rows of each word, ascending, if words stand in several rows.
    """

    distinct: Array | None

    def rows_of(self, word: str) -> Ints:
        """The rows (K,) that hold this word."""

    def repeated(self) -> Iterator[tuple[Ints, Ints]]:
        """The rows (K,) of words that stand in several, some at a time, and where each word's rows begin (G,)."""


class Store:
    """Words as numbers: W rows of tokens on one axis.

    Args:
        tokens: (N,) the tokens of word after word, each ended by the boundary; of any unsigned type.
        starts: (W + 1,) where the words begin, and where the last one ends.
        alphabet: The characters of the tokens 1, 2, ...
        index: What finds words among the rows, if that is known.
        release: What gives back the memory that reading has mapped, where the arrays lie in files.
    """

    def __init__(
        self,
        tokens: Array,
        starts: Array,
        alphabet: str,
        index: Index | None = None,
        release: Sequence[Callable[[], None]] = (),
    ) -> None:
        self.tokens, self.starts, self.alphabet, self.index, self._release = tokens, starts, alphabet, index, release
        self._read = 0
        self._characters = np.frombuffer(f"\0{alphabet}".encode("utf-32-le", "surrogatepass"), np.uint32)  # (V,)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def lengths(self, rows: Ints) -> Ints:
        """How many tokens the words of these rows (B,) have, their ends included."""
        self._note(len(rows))
        found: Ints = self.starts[rows + 1].astype(np.int64) - self.starts[rows].astype(np.int64)
        return found

    def gather(self, rows: Ints) -> tuple[Array, Ints]:
        """The tokens (N,) of the words of these rows (B,), one after the other, and how many each has (B,)."""
        lengths = self.lengths(rows)
        first = lengths.cumsum() - lengths  # (B,), where each word begins here
        shift = np.repeat(self.starts[rows].astype(np.int64) - first, lengths)  # (N,)
        return self.tokens[np.arange(len(shift)) + shift], lengths

    def spelled(self, tokens: Array, lengths: Ints) -> list[str]:
        """The words that :meth:`gather` gives as tokens."""
        text = self._characters[tokens].tobytes().decode("utf-32-le", "surrogatepass")
        ends = lengths.cumsum()
        pairs = zip((ends - lengths).tolist(), (ends - 1).tolist(), strict=True)
        return [text[begin:end] for begin, end in pairs]

    def _note(self, count: int) -> None:
        self._read += count
        if self._read >= READ and self.tokens.nbytes + self.starts.nbytes > KEPT:
            self._read = 0
            for release in self._release:
                release()


class Order(Protocol):
    """An order of the rows of a store, such as a :class:`wavenet.corpus.shuffling.Shuffle`."""

    def __call__(self, positions: Ints) -> Ints:
        """The rows (B,) at these positions (B,)."""

    def place_of(self, rows: Ints) -> Ints:
        """The positions (B,) of these rows (B,), -1 for a row that is left out."""


class Unchanged:
    """The order of a store itself."""

    def __call__(self, positions: Ints) -> Ints:
        return positions

    def place_of(self, rows: Ints) -> Ints:
        return rows


class Words(Sequence[str]):
    """Words of a store, in an order of their own, that behave as a list of strings.

    Args:
        store: What holds them.
        order: The order of its rows, by default their own.
        span: The positions of that order which the words take, by default all rows of the store.

    Examples:
        >>> words = Words.of(["ab", "", "ba"])
        >>> list(words[1:]), words[-1], len(words)
        (['', 'ba'], 'ba', 3)
        >>> words.tokens(np.array([2, 0]))
        (array([2, 1, 0, 1, 2, 0], dtype=uint8), array([3, 3]))
    """

    def __init__(self, store: Store, order: Order | None = None, span: range | None = None) -> None:
        self.store, self.order = store, order or Unchanged()
        self.span = range(len(store)) if span is None else span

    @classmethod
    def of(cls, words: Sequence[str]) -> "Words":
        """The words of a sequence, as numbers in memory."""
        if isinstance(words, cls):
            return words
        lengths = np.fromiter(map(len, words), np.int64, len(words)) + 1
        starts = np.concatenate([[0], lengths.cumsum()])
        characters = np.frombuffer("".join(words).encode("utf-32-le", "surrogatepass"), np.uint32)
        kinds, numbers = np.unique(characters, return_inverse=True)
        tokens = np.full(starts[-1], BOUNDARY, smallest_type(len(kinds)))
        inside = np.ones(len(tokens), bool)
        inside[starts[1:] - 1] = False
        tokens[inside] = numbers + 1
        return cls(Store(tokens, starts, kinds.tobytes().decode("utf-32-le", "surrogatepass")))

    def __len__(self) -> int:
        return len(self.span)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "Words": ...
    def __getitem__(self, index: int | slice) -> "str | Words":
        if isinstance(index, slice):
            return Words(self.store, self.order, self.span[index])
        return self.store.spelled(*self.tokens(np.array([range(len(self))[index]])))[0]

    def __iter__(self) -> Iterator[str]:
        for positions in self.chunks():
            yield from self.store.spelled(*self.tokens(positions))

    def __contains__(self, word: object) -> bool:
        if self.store.index is None:
            return super().__contains__(word)
        return isinstance(word, str) and bool(self.holds(self.order.place_of(self.store.index.rows_of(word))).any())

    @property
    def num_distinct(self) -> int:
        """How many different words the store has."""
        distinct = None if self.store.index is None else self.store.index.distinct
        return len(self.store) if distinct is None else len(distinct)

    def chunks(self) -> Iterator[Ints]:
        """All positions, some at a time."""
        for begin in range(0, len(self), AT_ONCE):
            yield np.arange(begin, min(begin + AT_ONCE, len(self)))

    def rows_at(self, positions: Ints) -> Ints:
        """The store's rows (B,) of the words at these positions (B,)."""
        return self.order(self.span.start + self.span.step * positions)

    def holds(self, places: Ints) -> npt.NDArray[np.bool_]:
        """Whether places (B,) of the order are among those of these words."""
        span = self.span if self.span.step > 0 else self.span[::-1]
        found: npt.NDArray[np.bool_] = (places >= span.start) & (places < span.stop)
        return found if span.step == 1 else found & ((places - span.start) % span.step == 0)

    def tokens(self, positions: Ints) -> tuple[Array, Ints]:
        """The store's tokens (N,) of the words at these positions (B,), ends included, and how many each has (B,)."""
        return self.store.gather(self.rows_at(positions))


class Known(Collection[str]):
    """Words of several lists, of which it is asked whether a word is among them.

    Args:
        parts: The lists; those of a store are not copied.

    Examples:
        >>> known = Known(["ab"], Words.of(["ba"]))
        >>> "ba" in known, "b" in known, len(known)
        (True, False, 2)
    """

    def __init__(self, *parts: Collection[str]) -> None:
        self.parts = parts
        self._sets = [part if isinstance(part, Words | Known) else frozenset(part) for part in parts]

    def __contains__(self, word: object) -> bool:
        return any(word in part for part in self._sets)

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self.parts)

    def __len__(self) -> int:
        return sum(map(len, self.parts))


def smallest_type(largest: int) -> npt.DTypeLike:
    """The smallest unsigned type that holds a number.

    Examples:
        >>> smallest_type(255), smallest_type(256)
        (<class 'numpy.uint8'>, <class 'numpy.uint16'>)

    Raises:
        ValueError: There is none.
    """
    for kind in (np.uint8, np.uint16, np.uint32, np.uint64):
        if largest <= np.iinfo(kind).max:
            return kind
    raise ValueError(f"expected a number of at most 64 bits, got {largest}")


def translation(words: Words, vocabulary: Vocabulary) -> Array:
    """The token ids (V,) of a vocabulary for the tokens of a store.

    Raises:
        UnknownCharacterError: A character of one of the words is not in the vocabulary.
    """
    known = set(vocabulary.alphabet)
    missing = [token for token, c in enumerate(words.store.alphabet, start=1) if c not in known]
    for positions in words.chunks() if missing else ():  # a store may have characters that these words do not
        tokens, lengths = words.tokens(positions)
        wrong = np.flatnonzero(np.isin(tokens, missing))
        if len(wrong):
            word = words[int(positions[0] + np.searchsorted(lengths.cumsum(), wrong[0], side="right"))]
            raise UnknownCharacterError(words.store.alphabet[int(tokens[wrong[0]]) - 1], word, vocabulary.alphabet)
    ids = [vocabulary.encode(c)[0] if c in known else BOUNDARY for c in words.store.alphabet]
    return np.array([BOUNDARY, *ids], smallest_type(len(vocabulary)))


def characters(words: Sequence[str]) -> str:
    """The characters of words, in the order of their code points; those of a store are all of its words'."""
    return "".join(sorted(words.store.alphabet if isinstance(words, Words) else set().union(*words)))


def sizes(parts: Sequence[Sequence[str]]) -> list[tuple[int, int]]:
    """How many tokens the words of each part have, ends included, and how many characters its longest word has.

    Parts of a store are read in one pass over its rows: all of them must be in one order.
    """
    encoded = [part for part in parts if isinstance(part, Words)]
    if not encoded:
        return [(sum(map(len, part)) + len(part), max(map(len, part), default=0)) for part in parts]
    store, order = encoded[0].store, encoded[0].order
    found = [(0, 0)] * len(encoded)
    for rows in Words(store).chunks():
        lengths, places = store.lengths(rows), order.place_of(rows)
        here = [lengths[part.holds(places)] for part in encoded]
        found = [
            (total + int(own.sum()), max(most, int(own.max(initial=1)) - 1))
            for (total, most), own in zip(found, here, strict=True)
        ]
    return found


def num_tokens(words: Sequence[str]) -> int:
    """How many characters words have, and ends."""
    if isinstance(words, Words):
        return sum(int(words.store.lengths(words.rows_at(positions)).sum()) for positions in words.chunks())
    return sum(map(len, words)) + len(words)
