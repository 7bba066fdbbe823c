"""Cutting a corpus into train, validation and test."""

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from wavenet.corpus.labels import label_in
from wavenet.corpus.reading import Corpus
from wavenet.corpus.shuffling import LISTED, Shuffle
from wavenet.corpus.words import Known, Order, Words

Ints = npt.NDArray[np.int64]


class Part(NamedTuple):
    """The words of one split, and what follows each on its line."""

    words: Sequence[str]
    labels: Sequence[tuple[str, ...]]


class Split(NamedTuple):
    """The three splits."""

    train: Part
    val: Part
    test: Part


def split_corpus(corpus: Corpus, seed: int, deduplicate: bool = False) -> Split:
    """Shuffles the words by ``seed`` alone and cuts them 80/10/10. With seed 42 it is the lecture's split.

    More than a million words (:data:`wavenet.corpus.shuffling.LISTED`) are shuffled in another way than the lecture's,
    by the seed alone too, in which no order is kept.

    Where words have labels, the different words are shuffled and cut, and all lines of a word go where it goes: a word
    of two kinds would otherwise be told to the network as one of them, and asked as the other.

    Args:
        corpus: The words with their labels.
        seed: Decides alone where a word goes.
        deduplicate: Whether a word that occurs twice counts once, with its first label; where words have labels, once
            with each of them.

    Raises:
        ValueError: There are too few words for three splits.
    """
    if corpus.label_column is not None:
        return split_by_word(corpus, seed, deduplicate)
    words, labels = corpus.words, corpus.labels
    if isinstance(words, Words):
        words = shuffled(words, seed, deduplicate)
    else:
        lines = list(zip(words, labels, strict=True))
        if deduplicate:
            first = {word: (word, label) for word, label in reversed(lines)}
            lines = [first[word] for word in dict.fromkeys(words)]
        random.Random(seed).shuffle(lines)
        words, labels = [word for word, _ in lines], [label for _, label in lines]
    check_enough(corpus, len(words), "different words" if deduplicate else "words")
    return Split(*(Part(words[cut], labels[cut]) for cut in cuts_of(len(words))))


def split_by_word(corpus: Corpus, seed: int, deduplicate: bool) -> Split:
    """The split of a corpus with labels, as :func:`split_corpus` describes it."""
    lines_of: dict[str, list[tuple[str, ...]]] = {word: [] for word in corpus.words}
    for word, fields in zip(corpus.words, corpus.labels, strict=True):
        lines_of[word].append(fields)
    if deduplicate:
        column = cast(int, corpus.label_column)
        for word, lines in lines_of.items():
            lines_of[word] = list({label_in(fields, column): fields for fields in reversed(lines)}.values())[::-1]
    words = list(lines_of)
    check_enough(corpus, len(words), "different words")
    random.Random(seed).shuffle(words)
    parts = (words[cut] for cut in cuts_of(len(words)))
    lines_of_parts = ([(word, fields) for word in part for fields in lines_of[word]] for part in parts)
    return Split(*(Part([word for word, _ in lines], [fields for _, fields in lines]) for lines in lines_of_parts))


def cuts_of(size: int) -> tuple[slice, slice, slice]:
    """Where the three splits of so many words begin and end."""
    begin, end = int(0.8 * size), int(0.9 * size)
    return slice(begin), slice(begin, end), slice(end, None)


def check_enough(corpus: Corpus, num_words: int, kind: str) -> None:
    """Raises a ValueError if there are too few words of a kind for three splits."""
    if not all(len(range(num_words)[cut]) for cut in cuts_of(num_words)):
        raise ValueError(
            f"{corpus.path}: expected at least 6 {kind}, enough for train, validation and test splits, got {num_words}"
        )


def shuffled(words: Words, seed: int, deduplicate: bool) -> Words:
    """The words of a store in a random order, as :func:`split_corpus` describes it."""
    distinct = words.store.index.distinct if deduplicate and words.store.index is not None else None
    size = len(words) if distinct is None else len(distinct)
    order = Shuffle(size, f"split {seed}") if size > LISTED else Listed(size, seed)
    return Words(words.store, order if distinct is None else OfDistinct(order, distinct), range(size))


class Listed:
    """The order that the lecture's shuffle gives to numbers below ``size``, kept with its inverse."""

    def __init__(self, size: int, seed: int) -> None:
        listed = list(range(size))
        random.Random(seed).shuffle(listed)
        self._order = np.array(listed, np.int64)
        self._places = np.empty_like(self._order)
        self._places[self._order] = np.arange(size)

    def __call__(self, positions: Ints) -> Ints:
        return self._order[positions]

    def place_of(self, rows: Ints) -> Ints:
        return self._places[rows]


class OfDistinct:
    """An order of some of the rows only.

    Args:
        order: The order of the numbers below D.
        distinct: (D,) the rows that they stand for, ascending.
    """

    def __init__(self, order: Order, distinct: npt.NDArray[np.integer]) -> None:
        self._order, self._distinct = order, distinct

    def __call__(self, positions: Ints) -> Ints:
        return self._distinct[self._order(positions)].astype(np.int64)

    def place_of(self, rows: Ints) -> Ints:
        found = np.minimum(np.searchsorted(self._distinct, rows), len(self._distinct) - 1)
        return np.where(self._distinct[found] == rows, self._order.place_of(found), -1)


def novelty(split: Split) -> Callable[[str], str]:
    """What says where a word stands: in ``train``, else in ``validation``, else in ``test``, or nowhere: ``new``.

    Source: the lists that makemore sorts its samples into.

    Examples:
        >>> kind = novelty(Split(Part(["emma"], [()]), Part(["ava"], [()]), Part(["mia"], [()])))
        >>> kind("ava"), kind("amma")
        ('validation', 'new')
    """
    train, val, test = (Known(part.words) for part in split)

    def kind(word: str) -> str:
        return "train" if word in train else "validation" if word in val else "test" if word in test else "new"

    return kind


def known_words(split: Split) -> Known:
    """The words of all splits."""
    train = split.train.words
    return Known(Words(train.store)) if isinstance(train, Words) else Known(*(part.words for part in split))


def leaks(split: Split) -> dict[str, int]:
    """How many words of validation and test also stand in train, as ``{"val": ..., "test": ...}``."""
    train, val, test = (part.words for part in split)
    if isinstance(train, Words) and isinstance(val, Words) and isinstance(test, Words):
        found = repetitions(train, (val, test))
    else:
        seen = set(train)
        found = [sum(word in seen for word in words) for words in (val, test)]
    return dict(zip(("val", "test"), found, strict=True))


def repetitions(train: Words, held_out: Sequence[Words]) -> list[int]:
    """How many words of each other split also stand in train."""
    found = [0] * len(held_out)
    for rows, starts in train.store.index.repeated() if train.store.index is not None else ():
        places = train.order.place_of(rows)  # (K,)
        in_train = np.logical_or.reduceat(train.holds(places), starts)  # (G,)
        leaking = places[np.repeat(in_train, np.diff(starts, append=len(rows)))]
        found = [count + int(words.holds(leaking).sum()) for count, words in zip(found, held_out, strict=True)]
    return found
