"""Losses of single words, and how far a mean over words may be from that of all words of their kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from wavenet.corpus import ngram
from wavenet.corpus.labels import label_in
from wavenet.corpus.splitting import Split
from wavenet.inference.checkpoint import load

if TYPE_CHECKING:
    from wavenet.experiments.finished import FinishedRun

Floats = npt.NDArray[np.float64]

VAL, UNSEEN, TEST = "val", "val_unseen", "test"
NUM_RESAMPLES = 2000
CHUNK = 5_000_000  # counts at a time
LEVEL = 0.95


class Words(NamedTuple):
    """Held-out words: which they are, and the tokens (W,) of each, its end included."""

    words: Sequence[str]
    tokens: Floats


class HeldOut:
    """The words that losses are measured on: validation, those of it that do not occur in train, if any, and test.

    Args:
        split: The words of the three splits.

    Examples:
        >>> from wavenet.corpus.splitting import Part
        >>> held_out = HeldOut(Split(Part(["ab"], [()]), Part(["ab", "b"], [(), ()]), Part(["c"], [()])))
        >>> held_out.sets["val_unseen"].words
        ['b']
    """

    def __init__(self, split: Split) -> None:
        self.split = split
        train = set(split.train.words)
        self.unseen = np.array([word not in train for word in split.val.words])
        new = [word for word in split.val.words if word not in train]
        words = {VAL: split.val.words, UNSEEN: new, TEST: split.test.words}
        self.sets = {
            name: Words(found, np.array([len(word) + 1 for word in found], dtype=np.float64))
            for name, found in words.items()
            if found
        }

    def losses_of(self, run: FinishedRun, weights: str) -> dict[str, Floats]:
        """The loss (W,) of each word, in nats, by the set that it stands in."""
        model = load(run.checkpoint(weights))
        column = None if model.labels is None else run.corpus.label_column
        losses = []
        for part in (self.split.val, self.split.test):
            labels = None if column is None else [label_in(fields, column) for fields in part.labels]
            losses.append(-np.array([one.log_prob for one in model.score(part.words, labels=labels)]))
        return self._by_set(*losses)

    def losses_of_ngram(self, order: int, vocab_size: int) -> dict[str, Floats]:
        """The same of an n-gram."""
        words = [*self.split.val.words, *self.split.test.words]
        log_probs = ngram.log_probs(self.split.train.words, words, vocab_size, order)[order - 1]
        tokens = np.array([len(word) + 1 for word in words])
        losses = -np.add.reduceat(log_probs, tokens.cumsum() - tokens)
        val, test = np.split(losses, [len(self.split.val.words)])
        return self._by_set(val, test)

    def _by_set(self, val: Floats, test: Floats) -> dict[str, Floats]:
        losses = {VAL: val, UNSEEN: val[self.unseen], TEST: test}
        return {name: losses[name] for name in self.sets}


def resampled_means(losses: Sequence[Floats], tokens: Floats, seed: int = 0) -> Floats:
    """The mean losses over words that are drawn anew, as often as there are words, with replacement: the bootstrap.

    Args:
        losses: K rows of the losses (W,) of the same words; they are drawn alike for all rows.
        tokens: Of the words (W,).
        seed: Of the draws.

    Returns:
        (NUM_RESAMPLES, K) losses in nats per token.

    Examples:
        >>> means = resampled_means([np.array([2.0, 4.0]), np.array([3.0, 5.0])], np.array([1.0, 1.0]))
        >>> np.unique(means[:, 1] - means[:, 0]), np.unique(means[:, 0])
        (array([1.]), array([2., 3., 4.]))

    Source: Efron, "Bootstrap methods: another look at the jackknife" (1979).
    """
    table, generator = np.stack(losses, axis=1), np.random.default_rng(seed)  # (W, K)
    size = max(1, CHUNK // len(tokens))
    even = np.full(len(tokens), 1 / len(tokens))
    means = []
    for begin in range(0, NUM_RESAMPLES, size):
        counts = generator.multinomial(len(tokens), even, size=min(size, NUM_RESAMPLES - begin)).astype(np.float64)
        means.append(counts @ table / (counts @ tokens)[:, None])  # (R, K)
    return np.concatenate(means)


def interval(means: Floats) -> tuple[float, float]:
    """The middle 95 % of resampled means (R,)."""
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
