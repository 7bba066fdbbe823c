"""What a network has learned, in numbers: where it errs, how true its probabilities are, what its words are like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wavenet.corpus.splitting import Split, novelty
from wavenet.corpus.vocabulary import Vocabulary
from wavenet.experiments.evaluation import UNSEEN, VAL, Floats, interval, resampled_means
from wavenet.inference.scoring import predictions
from wavenet.network.packing import CHUNK, pack

MEASURED = 100_000
"""Validation words that are enough to measure; they are in a random order."""

LOOKED_AT = 1_000_000
"""Training words that samples are compared with."""

NUM_BINS = 10
LOWEST = -4.0  # the power of ten from which on probabilities have bins of their own
AT_A_TIME = 4_000_000  # probabilities


class Mean(NamedTuple):
    """A mean loss in nats, and of how many tokens."""

    loss: float
    tokens: int


class Bin(NamedTuple):
    """Predicted probabilities that are about alike: their mean, how often what they said came, and how many."""

    predicted: float
    observed: float
    size: int


@dataclass(frozen=True)
class Calibration:
    """How true probabilities are: bins in ascending order, and the mean distance of predicted and observed (ECE)."""

    error: float
    bins: list[Bin]


@dataclass(frozen=True)
class Measured:
    """What the validation words say of a network.

    Args:
        losses: The mean loss of validation, and of its words that train does not have, with 95 % intervals.
        by_position: The mean loss of the first token of words, of the second, ...
        by_character: The mean loss of each token where it comes, the boundary (id 0) being a word's end.
        likeliest: How true the probability of the likeliest next character is.
        every: The same of every next character.
    """

    losses: dict[str, tuple[float, float, float]]
    by_position: list[Mean]
    by_character: list[Mean]
    likeliest: Calibration
    every: Calibration


def measure(network: nn.Sequential, vocabulary: Vocabulary, split: Split) -> Measured:
    """Measures a network on at most ``MEASURED`` validation words, each counted once."""
    words = split.val.words[:MEASURED]
    size = max(1, min(CHUNK, AT_A_TIME // (16 * len(vocabulary))))
    losses, targets, likeliest = [], [], Tally(np.linspace(0, 1, NUM_BINS + 1)[1:-1])
    every = Tally(np.logspace(LOWEST, 0, 2 * NUM_BINS + 1)[:-1])
    for begin in range(0, len(words), size):
        logits, expected = predictions(network, pack(words[begin : begin + size], vocabulary))
        losses.append(F.cross_entropy(logits, expected, reduction="none").numpy())
        targets.append(expected.numpy())
        probs = logits.softmax(dim=1)  # (N, V)
        came = F.one_hot(expected, len(vocabulary)).bool()  # (N, V)
        highest, token = probs.max(dim=1)
        likeliest.add(highest, token == expected)
        every.add(probs.flatten(), came.flatten())
    loss, target = np.concatenate(losses), np.concatenate(targets)
    tokens = np.array([len(word) + 1 for word in words])
    position = np.arange(len(loss)) - np.repeat(tokens.cumsum() - tokens, tokens)
    return Measured(
        losses=over_words(np.add.reduceat(loss, tokens.cumsum() - tokens), tokens.astype(np.float64), words, split),
        by_position=means(loss, position, int(tokens.max())),
        by_character=means(loss, target, len(vocabulary)),
        likeliest=likeliest.calibration(),
        every=every.calibration(),
    )


def over_words(
    losses: Floats, tokens: Floats, words: Sequence[str], split: Split
) -> dict[str, tuple[float, float, float]]:
    """The mean loss, with its 95 % interval, of all words and of those that do not occur in train, if there are any."""
    where = novelty(split)
    new = np.array([where(word) != "train" for word in words])
    sets = {VAL: np.ones(len(words), dtype=bool), UNSEEN: new}
    found = {}
    for name, chosen in sets.items():
        if chosen.any():
            ends = interval(resampled_means([losses[chosen]], tokens[chosen])[:, 0])
            found[name] = (float(losses[chosen].sum() / tokens[chosen].sum()), *ends)
    return found


def means(loss: Floats, kind: npt.NDArray[np.int64], num_kinds: int) -> list[Mean]:
    """The mean loss of each kind of token; 0 where there is none.

    Examples:
        >>> means(np.array([1.0, 2.0, 4.0]), np.array([0, 2, 2]), 3)
        [Mean(loss=1.0, tokens=1), Mean(loss=0.0, tokens=0), Mean(loss=3.0, tokens=2)]
    """
    counts = np.bincount(kind, minlength=num_kinds)
    sums = np.bincount(kind, loss, num_kinds)
    return [Mean(float(total / max(1, count)), int(count)) for total, count in zip(sums, counts, strict=True)]


class Tally:
    """Counts probabilities by bins, batch after batch.

    Args:
        edges: Where one bin ends and the next begins, ascending.

    Examples:
        >>> tally = Tally(np.array([0.5]))
        >>> tally.add(torch.tensor([0.25, 0.25, 1.0, 0.75]), torch.tensor([False, True, True, True]))
        >>> tally.calibration().error
        0.1875
        >>> tally.calibration().bins
        [Bin(predicted=0.25, observed=0.5, size=2), Bin(predicted=0.875, observed=1.0, size=2)]

    Source: Guo et al., "On Calibration of Modern Neural Networks" (2017), https://arxiv.org/abs/1706.04599.
    """

    def __init__(self, edges: Floats) -> None:
        self._edges = torch.from_numpy(edges).double()
        self._sums = torch.zeros(len(edges) + 1, 3, dtype=torch.float64)

    def add(self, probs: Tensor, came: Tensor) -> None:
        """Counts probabilities (N,), and whether what they were given to came."""
        place = torch.bucketize(probs.double(), self._edges)
        columns = torch.stack([probs.double(), came.double(), torch.ones_like(probs, dtype=torch.float64)], dim=1)
        self._sums.index_add_(0, place, columns)

    def calibration(self) -> Calibration:
        """What was counted; bins without any are left out."""
        filled = self._sums[self._sums[:, 2] > 0]
        error = (filled[:, 0] - filled[:, 1]).abs().sum() / filled[:, 2].sum()
        rows = [Bin(predicted / count, came / count, int(count)) for predicted, came, count in filled.tolist()]
        return Calibration(float(error), rows)


class Point(NamedTuple):
    """A token in two dimensions."""

    x: float
    y: float


def in_two_dimensions(network: nn.Sequential, shares: Sequence[float]) -> tuple[list[Point], tuple[float, float]]:
    """The embedded tokens, projected to the plane in which they vary most, and the shares of the variance there.

    Each token counts as often as it comes: the vectors of rare ones, which are mostly what they began as, would decide
    the plane otherwise. Of an ensemble the embeddings of the members are taken side by side.

    Args:
        network: The network.
        shares: Of all tokens, how often each one comes.

    Source: Pearson, "On lines and planes of closest fit to systems of points in space" (1901).
    """
    weights = [layer.weight.detach().cpu().double() for layer in network.modules() if isinstance(layer, nn.Embedding)]
    rows = torch.cat([weight for weight in weights if len(weight) == len(weights[0])], dim=1)  # (V, E)
    often = torch.tensor(shares, dtype=torch.float64)[:, None]  # (V, 1)
    rows = F.pad(rows - (often * rows).sum(dim=0), (0, max(0, 2 - rows.shape[1])))
    _, scales, directions = torch.linalg.svd(often.sqrt() * rows, full_matrices=False)
    directions = F.pad(directions, (0, 0, 0, max(0, 2 - len(directions))))[:2]  # (2, E)
    signs = directions.gather(1, directions.abs().argmax(dim=1, keepdim=True)).sign()  # so that no number is left open
    plane = rows @ (directions * signs).T  # (V, 2)
    first, second = F.pad(scales.square() / scales.square().sum().clamp(min=1e-30), (0, 1))[:2].tolist()
    return [Point(*row) for row in plane.tolist()], (first, second)


class Text(NamedTuple):
    """What words are like: the share of each length, and that of each token, the end (id 0) included."""

    lengths: list[float]
    tokens: list[float]


def text_of(words: Iterable[str], vocabulary: Vocabulary) -> Text:
    """What words are like; at least one is needed.

    Examples:
        >>> text_of(["ab", "b"], Vocabulary("ab"))
        Text(lengths=[0.0, 0.5, 0.5], tokens=[0.4, 0.2, 0.4])
    """
    lengths: Counter[int] = Counter()
    characters: Counter[str] = Counter()
    for word in words:
        lengths[len(word)] += 1
        characters.update(word)
    num_words, total = lengths.total(), lengths.total() + characters.total()
    shares = [characters[character] / total for character in vocabulary.alphabet]
    return Text([lengths[length] / num_words for length in range(max(lengths) + 1)], [num_words / total, *shares])


def distance(first: Sequence[float], second: Sequence[float]) -> float:
    """The total variation distance of two distributions: the share that would have to be elsewhere.

    Examples:
        >>> distance([0.5, 0.5], [0.25, 0.5, 0.25])
        0.25
    """
    size = max(len(first), len(second))
    a, b = (np.pad(np.array(shares), (0, size - len(shares))) for shares in (first, second))
    return float(np.abs(a - b).sum() / 2)


def close_to(words: Iterable[str], known: Iterable[str]) -> set[str]:
    """Those words that become a known one when one character is changed, added or left out.

    Examples:
        >>> sorted(close_to(["emma", "ama", "x", "xemma", "ava"], ["emma", "ava"]))
        ['ama', 'xemma']
        >>> close_to(["ab"], ["ba"])
        set()
    """
    spelled = set(words)
    longer: dict[str, list[str]] = {}  # by what is left without one character
    changed: dict[tuple[int, str], list[str]] = {}  # by the place of one character, and the others
    for word in spelled:
        for place in range(len(word)):
            rest = word[:place] + word[place + 1 :]
            longer.setdefault(rest, []).append(word)
            changed.setdefault((place, rest), []).append(word)
    found: set[str] = set()
    for other in known:
        found.update(longer.get(other, ()))
        for place in range(len(other)):
            rest = other[:place] + other[place + 1 :]
            if rest in spelled:
                found.add(rest)
            found.update(word for word in changed.get((place, rest), ()) if word != other)
    return found


KINDS = ("train", "held out", "near", "new")
"""Where words stand: in train; in validation or test; one edit away from a training word; or farther from all."""


def shares_of(words: Sequence[str], split: Split, held_out: bool = True) -> dict[str, float]:
    """The share of words of each of the ``KINDS``, in this order: a word is of the first kind that fits.

    Args:
        words: At least one.
        split: Where they may stand.
        held_out: Whether it counts that words stand in validation or test, which those words all do themselves.
    """
    where = novelty(split)
    kinds = {word: where(word) for word in words}
    new = [word for word, kind in kinds.items() if kind == "new" or (kind != "train" and not held_out)]
    near = close_to(new, islice(split.train.words, LOOKED_AT))
    named = {"train": "train", **({"validation": "held out", "test": "held out"} if held_out else {})}
    counts = Counter(named.get(kinds[word], "near" if word in near else "new") for word in words)
    return {kind: counts[kind] / len(words) for kind in KINDS}
