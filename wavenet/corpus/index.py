"""Where words stand among very many: their hashes, sorted.

Words are the same where two hashes of 64 bits agree, which any two different ones of a billion words do with a
probability of 10**-21; words that agree in the first hash alone make all be hashed anew. Whether a word that is looked
up is the one that was found is seen from its characters.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wavenet.corpus.mapping import Mapped
from wavenet.corpus.words import AT_ONCE, Store, smallest_type

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Array = npt.NDArray[Any]

SORTED_AT_ONCE = 2**20  # hashes that share their upper bits
MOST_BITS = 8  # as many files are open at a time as they have values
SCANNED_AT_ONCE = 2**20


def mixed(numbers: Array) -> Hashes:
    """Numbers as random as their bits can be made: the finalizer of SplitMix64.

    Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
    """
    x = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


class Hasher:
    """Hashes words: the sum of each character's number times that of its place, both odd and pseudo-random.

    Args:
        seed: Another one gives other hashes.
        longest: Tokens that the longest word may have.
    """

    def __init__(self, seed: int, longest: int) -> None:
        self._salt = np.uint64((seed << 32) % 2**64)
        self._places = mixed(np.arange(longest, dtype=np.uint64) ^ self._salt ^ np.uint64(1 << 63)) | np.uint64(1)

    def of_characters(self, alphabet: str) -> Hashes:
        """The numbers (V,) of the boundary, which is 0, and of characters."""
        codes = np.frombuffer(alphabet.encode("utf-32-le", "surrogatepass"), np.uint32)
        return np.concatenate([np.zeros(1, np.uint64), mixed(codes ^ self._salt) | np.uint64(1)])

    def of(self, numbers: Hashes, lengths: Ints) -> Hashes:
        """The hashes (B,) of words from their characters' numbers (N,), ends included; each has at least its end."""
        first = lengths.cumsum() - lengths
        places = np.arange(len(numbers)) - np.repeat(first, lengths)
        return np.add.reduceat(numbers * self._places[places], first)

    def of_word(self, word: str) -> np.uint64:
        """The hash of one word, which must not be longer than the longest."""
        numbers = np.append(self.of_characters(word)[1:], np.uint64(0))
        hashed: np.uint64 = self.of(numbers, np.array([len(numbers)]))[0]
        return hashed


class WordIndex:
    """Finds words among the rows of a store by their sorted hashes.

    Args:
        store: The store.
        hashes: (W,) of its words, ascending.
        order: (W,) the rows that they belong to.
        distinct: (D,) the first row of each word, ascending, where words stand in several.
        seed: That of the hashes.
        longest: Tokens of the longest word.
    """

    def __init__(
        self, store: Store, hashes: Hashes, order: Array, distinct: Array | None, seed: int, longest: int
    ) -> None:
        self.store, self.hashes, self.order, self.distinct = store, hashes, order, distinct
        self._hasher, self._longest = Hasher(seed, longest), longest

    def rows_of(self, word: str) -> Ints:
        """The rows (K,) that hold this word."""
        if len(word) >= self._longest:
            return np.empty(0, np.int64)
        hashed = self._hasher.of_word(word)
        begin, end = np.searchsorted(self.hashes, hashed, "left"), np.searchsorted(self.hashes, hashed, "right")
        rows = self.order[begin:end].astype(np.int64)
        if len(rows) and self.store.spelled(*self.store.gather(rows[:1])) != [word]:
            return rows[:0]
        return rows

    def repeated(self) -> Iterator[tuple[Ints, Ints]]:
        """The rows (K,) of words that stand in several, some at a time, and where each word's rows begin (G,)."""
        begin = 0
        while begin < len(self.hashes):
            last = self.hashes[min(begin + SCANNED_AT_ONCE, len(self.hashes)) - 1]
            end = int(np.searchsorted(self.hashes, last, "right"))
            here = self.hashes[begin:end]
            same = here[1:] == here[:-1]
            after = np.concatenate([[False], same])  # whether a hash is that of the row before
            among = after | np.concatenate([same, [False]])
            if among.any():
                yield self.order[begin:end][among].astype(np.int64), np.flatnonzero(~after[among])
            begin = end


class Built(NamedTuple):
    """What building an index has found: the seed of its hashes, and how many different words there are."""

    seed: int
    num_distinct: int


def build(store: Store, longest: int, folder: Path, said: Callable[[int], None]) -> Built:
    """Writes the index of a store to the files ``hashes``, ``order`` and ``distinct`` of a folder.

    If two different words had the same first hash, all would be hashed with another seed.

    Args:
        store: The store.
        longest: Tokens of the longest word.
        folder: Where the files are written.
        said: Is told now and then of how many more rows something was done, twice of each.
    """
    bits = min(MOST_BITS, (len(store) // SORTED_AT_ONCE).bit_length())
    seed, num_distinct = 0, None
    while num_distinct is None:
        seed += 1
        with ExitStack() as files:
            buckets = [files.enter_context(TemporaryFile(dir=folder)) for _ in range(2**bits)]
            write_hashes(store, (Hasher(seed, longest), Hasher(~seed, longest)), bits, buckets, said)
            num_distinct = write_sorted(len(store), buckets, folder, said)
    write_distinct(len(store), folder)
    return Built(seed, num_distinct)


def write_hashes(
    store: Store,
    hashers: Sequence[Hasher],
    bits: int,
    buckets: Sequence[IO[bytes]],
    said: Callable[[int], None],
) -> None:
    """Writes each row's hashes, and the row, to the bucket that the upper bits of the first hash say."""
    numbers = [hasher.of_characters(store.alphabet) for hasher in hashers]
    for begin in range(0, len(store), AT_ONCE):
        rows = np.arange(begin, min(begin + AT_ONCE, len(store)))
        tokens, lengths = store.gather(rows)
        hashes = [hasher.of(own[tokens], lengths) for hasher, own in zip(hashers, numbers, strict=True)]
        bucket = hashes[0] >> np.uint64(64 - bits) if bits else np.zeros_like(hashes[0])
        order = np.argsort(bucket, kind="stable")
        entries = np.stack([*hashes, rows.astype(np.uint64)], axis=1)[order]
        ends = np.bincount(bucket.astype(np.int64), minlength=len(buckets)).cumsum()
        for file, part in zip(buckets, np.split(entries, ends[:-1]), strict=True):
            part.tofile(file)
        said(len(rows))


def write_sorted(num_rows: int, buckets: Sequence[IO[bytes]], folder: Path, said: Callable[[int], None]) -> int | None:
    """Writes the hashes in order, their rows, and which rows are the first of their words.

    Returns:
        How many different words there are; ``None`` if two of them have one hash.
    """
    with (folder / "first").open("wb") as file:
        file.truncate(num_rows)
    first = Mapped(folder / "first", np.bool_, writable=True)
    num_distinct = 0
    with (folder / "hashes").open("wb") as sorted_hashes, (folder / "order").open("wb") as order:
        for bucket in buckets:
            bucket.seek(0)
            entries = np.fromfile(bucket, np.uint64).reshape(-1, 3)
            found, others, rows = entries[np.argsort(entries[:, 0])].T
            new = np.ones(len(found), bool)
            new[1:] = found[1:] != found[:-1]
            if (new[1:] != (others[1:] != others[:-1])).any():
                return None
            if len(rows):
                first.array[np.minimum.reduceat(rows, np.flatnonzero(new)).astype(np.int64)] = True
                first.release()
            num_distinct += int(new.sum())
            found.tofile(sorted_hashes)
            rows.astype(smallest_type(num_rows)).tofile(order)
            said(len(rows))
    return num_distinct


def write_distinct(num_rows: int, folder: Path) -> None:
    """Writes the rows that are the first of their words."""
    with (folder / "first").open("rb") as flags, (folder / "distinct").open("wb") as file:
        for begin in range(0, num_rows, SCANNED_AT_ONCE):
            rows = begin + np.flatnonzero(np.fromfile(flags, np.bool_, SCANNED_AT_ONCE))
            rows.astype(smallest_type(num_rows)).tofile(file)
    (folder / "first").unlink()
