"""Cutting a corpus into train, validation and test."""

import random
from collections.abc import Callable
from typing import NamedTuple

from wavenet.corpus.reading import Corpus


class Part(NamedTuple):
    """The words of one split, and what follows each on its line."""

    words: list[str]
    labels: list[tuple[str, ...]]


class Split(NamedTuple):
    """The three splits."""

    train: Part
    val: Part
    test: Part


def split_corpus(corpus: Corpus, seed: int, deduplicate: bool = False) -> Split:
    """Shuffles the words by ``seed`` alone and cuts them 80/10/10. With seed 42 it is the lecture's split.

    Args:
        corpus: The words with their labels.
        seed: Decides alone where a word goes.
        deduplicate: Whether a word that occurs twice counts once, with its first label.

    Raises:
        ValueError: There are too few words for three splits.
    """
    lines = list(zip(corpus.words, corpus.labels, strict=True))
    if deduplicate:
        first = {word: (word, label) for word, label in reversed(lines)}
        lines = [first[word] for word in dict.fromkeys(corpus.words)]
    random.Random(seed).shuffle(lines)
    begin, end = int(0.8 * len(lines)), int(0.9 * len(lines))
    parts = (lines[:begin], lines[begin:end], lines[end:])
    if not all(parts):
        kind = "different words" if deduplicate else "words"
        raise ValueError(
            f"{corpus.path}: expected at least 6 {kind}, enough for train, validation and test splits, got {len(lines)}"
        )
    return Split(*(Part([word for word, _ in part], [label for _, label in part]) for part in parts))


def novelty(split: Split) -> Callable[[str], str]:
    """What says where a word stands: in ``train``, else in ``validation``, else in ``test``, or nowhere: ``new``.

    Source: the lists that makemore sorts its samples into.

    Examples:
        >>> kind = novelty(Split(Part(["emma"], [()]), Part(["ava"], [()]), Part(["mia"], [()])))
        >>> kind("ava"), kind("amma")
        ('validation', 'new')
    """
    train, val, test = (frozenset(part.words) for part in split)

    def kind(word: str) -> str:
        return "train" if word in train else "validation" if word in val else "test" if word in test else "new"

    return kind


def leaks(split: Split) -> dict[str, int]:
    """How many words of validation and test also stand in train, as ``{"val": ..., "test": ...}``."""
    train = set(split.train.words)
    return {name: sum(word in train for word in getattr(split, name).words) for name in ("val", "test")}
