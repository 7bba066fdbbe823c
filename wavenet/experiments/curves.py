"""Training curves, read from the TensorBoard files of runs."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

from wavenet.experiments.evaluation import Floats
from wavenet.experiments.finished import FinishedRun

MOST_POINTS = 100
VAL_LOSS = "val/loss"


class Series(NamedTuple):
    """Values (N,) at steps (N,)."""

    steps: Floats
    values: Floats


class Curve(NamedTuple):
    """A row's training: the training loss, smoothed and averaged over seeds, and the learning rate."""

    label: str
    loss: Series
    learning_rate: Series


def events_of(folder: Path) -> EventAccumulator:
    """What reads the TensorBoard files of a run, without a warning that a run that went on has two graphs."""
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    return EventAccumulator(str(folder), size_guidance={SCALARS: 0})


def read_scalars(folder: Path, *tags: str) -> dict[str, Series]:
    """The scalars of these tags that a run has written so far; none for a tag that it has not."""
    events = events_of(folder)
    events.Reload()
    found = {}
    for tag in set(tags) & set(events.Tags()[SCALARS]):
        points = [(point.step + 1.0, point.value) for point in events.Scalars(tag)]
        found[tag] = Series(*np.array(points).T)
    return found


def curve_of(label: str, runs: Sequence[FinishedRun]) -> Curve | None:
    """The curve of a row's runs, or ``None`` if they have written none."""
    found = [read_scalars(run.folder.path, "train/loss", "train/learning_rate") for run in runs]
    found = [scalars for scalars in found if len(scalars) == 2]
    if not found:
        return None
    length = min(len(scalars["train/loss"].steps) for scalars in found)
    steps = found[0]["train/loss"].steps[:length]
    mean = np.mean([scalars["train/loss"].values[:length] for scalars in found], axis=0)
    return Curve(label, block_means(Series(steps, mean)), found[0]["train/learning_rate"])


def block_means(series: Series) -> Series:
    """A series as the means of equal blocks, of which there are at most ``MOST_POINTS``, at the ends of the blocks.

    What a run has written are such means already; the lecture's notes draw theirs of 1,000 steps.

    Examples:
        >>> means = block_means(Series(np.arange(1.0, 201), np.arange(1.0, 201)))
        >>> means.steps[:2], means.values[:2]
        (array([2., 4.]), array([1.5, 3.5]))
    """
    size = -(-len(series.steps) // MOST_POINTS)
    whole = len(series.steps) // size * size
    return Series(series.steps[:whole].reshape(-1, size)[:, -1], series.values[:whole].reshape(-1, size).mean(axis=1))


class Validations:
    """The validation losses of a training, read while it goes on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._events: EventAccumulator | None = None

    def read(self) -> list[float]:
        """The losses so far, in order."""
        if self._events is None:
            if not self.folder.is_dir():
                return []
            self._events = events_of(self.folder)
        self._events.Reload()
        if VAL_LOSS not in self._events.Tags()[SCALARS]:
            return []
        return [float(point.value) for point in self._events.Scalars(VAL_LOSS)]
