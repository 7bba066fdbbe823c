"""The numbers of a report: rows with means, deviations over seeds and intervals over words; differences of rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from statistics import fmean, stdev
from typing import NamedTuple

import numpy as np

from wavenet.corpus.ngram import best_ngram
from wavenet.corpus.vocabulary import Vocabulary
from wavenet.experiments.evaluation import VAL, Floats, HeldOut, interval, resampled_means
from wavenet.experiments.finished import FinishedRun
from wavenet.inference.trained_on import TrainedOn

T_QUANTILES = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)
"""Student's, 97.5 %, by degrees of freedom from 1 on; beyond them the last is a little too large."""


@dataclass(frozen=True)
class Over:
    """A number over seeds: its mean, and its standard deviation where there is more than one seed."""

    mean: float
    deviation: float | None

    @classmethod
    def seeds(cls, values: Sequence[float]) -> "Over":
        """The mean and the deviation of the values of a row's runs."""
        return cls(fmean(values), stdev(values) if len(values) > 1 else None)


@dataclass(frozen=True)
class Loss(Over):
    """A loss in nats per character, over seeds, with its 95 % interval over words."""

    low: float
    high: float


class Published(NamedTuple):
    """What the lecture says of an experiment: what was new in it, and its losses."""

    what: str
    train: float
    val: float


@dataclass(frozen=True)
class Row:
    """What was trained, and how well it does.

    ``losses`` are those of validation, of the validation words that do not occur in train, and of test; ``published``
    is what the lecture says, where it says something.
    """

    label: str
    runs: list[FinishedRun]
    parameters: int
    steps: int
    seconds: Over
    train: Over
    losses: dict[str, Loss]
    published: Published | None = None


@dataclass(frozen=True)
class Difference:
    """How much larger the losses of one row are than another's, by set of words, with 95 % intervals over words.

    ``by_chance`` is how large a difference of validation losses different seeds make in 95 of 100 cases; that is not
    known where no row has more than one seed.
    """

    first: str
    second: str
    losses: dict[str, Loss]
    by_chance: float | None

    @property
    def better(self) -> str | None:
        """The row that is better on validation, beyond what words and seeds make by chance, if one is."""
        loss = self.losses[VAL]
        if loss.low <= 0 <= loss.high or abs(loss.mean) <= (self.by_chance or 0):
            return None
        return self.first if loss.mean < 0 else self.second


@dataclass(frozen=True)
class Comparison:
    """Rows, their differences, the n-gram to compare with, and the words.

    ``weights`` says which weights were measured, ``best`` or ``last``; ``num_words`` counts the words of each set.
    """

    weights: str
    corpus: TrainedOn
    num_words: dict[str, int]
    ngram_order: int
    ngram: dict[str, Loss]
    rows: list[Row]
    differences: list[Difference]


def compare(
    groups: Mapping[str, list[FinishedRun]], weights: str, published: Mapping[str, Published] | None = None
) -> Comparison:
    """Measures and compares finished runs.

    Args:
        groups: The runs of each row, which differ in their seeds.
        weights: Which weights are measured: ``best`` or ``last``.
        published: What the lecture says of the rows.

    Raises:
        OSError, ValueError: They were trained on different words; or the words, or a checkpoint, cannot be read.
    """
    corpus = same_words({str(run.folder.path): run.corpus for group in groups.values() for run in group})
    held_out = HeldOut(corpus.read_split())
    vocab_size = len(Vocabulary.from_words([word for part in held_out.split for word in part.words]))
    order = best_ngram(held_out.split, vocab_size).order
    found = {label: [held_out.losses_of(run, weights) for run in group] for label, group in groups.items()}
    rows_of_losses = [*found.values(), [held_out.losses_of_ngram(order, vocab_size)]]
    losses: list[dict[str, Loss]] = [{} for _ in rows_of_losses]
    resampled = {}
    for name, words in held_out.sets.items():
        means = resampled_means([np.mean([one[name] for one in row], axis=0) for row in rows_of_losses], words.tokens)
        for index, row in enumerate(rows_of_losses):
            seeds = Over.seeds([float(one[name].sum() / words.tokens.sum()) for one in row])
            losses[index][name] = Loss(seeds.mean, seeds.deviation, *interval(means[:, index]))
        resampled[name] = means
    rows = [
        Row(
            label=label,
            runs=group,
            parameters=group[0].metrics["parameters"],
            steps=group[0].metrics["steps"],
            seconds=Over.seeds([run.metrics["seconds"] for run in group]),
            train=Over.seeds([run.loss("train", weights) for run in group]),
            losses=losses[index],
            published=(published or {}).get(label),
        )
        for index, (label, group) in enumerate(groups.items())
    ]
    num_words = {name: len(words.words) for name, words in held_out.sets.items()}
    return Comparison(weights, corpus, num_words, order, losses[-1], rows, differences(rows, resampled))


def differences(rows: Sequence[Row], resampled: Mapping[str, Floats]) -> list[Difference]:
    """The differences of all pairs of rows, given the resampled means (R, K) of the rows by set of words."""
    found = []
    for (i, first), (j, second) in combinations(enumerate(rows), 2):
        losses = {
            name: Loss(first.losses[name].mean - second.losses[name].mean, None, *interval(means[:, i] - means[:, j]))
            for name, means in resampled.items()
        }
        found.append(Difference(first.label, second.label, losses, by_chance(first, second, rows)))
    return found


def by_chance(first: Row, second: Row, rows: Sequence[Row]) -> float | None:
    """How large a difference of two rows' means different seeds make in 95 of 100 cases.

    All rows are taken to vary alike over seeds, which makes the most of few seeds: their variances are pooled.
    """
    known = [(row.losses[VAL].deviation, len(row.runs) - 1) for row in rows]
    variances = [(deviation**2, freedom) for deviation, freedom in known if deviation is not None]
    total = sum(freedom for _, freedom in variances)
    if not total:
        return None
    pooled = sum(variance * freedom for variance, freedom in variances) / total
    quantile = T_QUANTILES[min(total, len(T_QUANTILES)) - 1]
    return quantile * sqrt(pooled * (1 / len(first.runs) + 1 / len(second.runs)))


def same_words(corpora: Mapping[str, TrainedOn]) -> TrainedOn:
    """The words that all runs were trained on, given those of each by its name.

    Raises:
        ValueError: Two runs were trained on different words, or split them differently.
    """
    (name, first), *others = corpora.items()
    for other, corpus in others:
        for what in ("sha256", "split_seed", "deduplicate", "label_column"):
            if (one := getattr(first, what)) != (another := getattr(corpus, what)):
                raise ValueError(
                    f"{name} and {other} cannot be compared: expected the same words and split, got {what} {one} and "
                    f"{another}"
                )
    return first
