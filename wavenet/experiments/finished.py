"""Finished runs: what their folders say, and which of them are seeds of one row."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from wavenet.experiments.trainings import ELSEWHERE, FINGERPRINT, flattened
from wavenet.inference.trained_on import TrainedOn
from wavenet.runs import RunFolder

BEST, LAST = "best", "last"
"""Which weights a report is about: those with the best validation loss, or those after the last step."""

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class FinishedRun:
    """A finished run.

    Args:
        folder: Where it lies.
        metrics: What its ``metrics.json`` holds.
        settings: Its settings by the names of their options, save those that say where and how it ran.
    """

    folder: RunFolder
    metrics: dict[str, Any]
    settings: dict[str, Any]

    @property
    def seed(self) -> int | None:
        """The seed that it was trained with."""
        seed: int | None = self.metrics["seed"]
        return seed

    @property
    def corpus(self) -> TrainedOn:
        """What it was trained on."""
        return TrainedOn.of(self.metrics["corpus"])

    def loss(self, split: str, weights: str) -> float:
        """The loss of a split, in nats per character."""
        losses = self.metrics if weights == BEST else self.metrics[LAST]
        return float(losses[f"{split}/loss"])

    def checkpoint(self, weights: str) -> Path:
        """The checkpoint with these weights.

        Raises:
            FileNotFoundError: It is not there.
        """
        best = self.folder.best_checkpoint
        path = best if weights == BEST and best is not None else self.folder.checkpoint(weights)
        if not path.is_file():
            raise FileNotFoundError(f"{self.folder.path} has no checkpoint: expected {path}, for the losses of words")
        return path


def read_run(path: Path) -> FinishedRun:
    """A finished run by its folder.

    Raises:
        OSError: It has no ``metrics.json``, or it cannot be read.
        ValueError: What it holds is not what a training writes.
    """
    run = RunFolder(path)
    try:
        metrics = json.loads(run.metrics.read_text(encoding="utf-8"))
        configuration = yaml.safe_load(run.config.read_text(encoding="utf-8"))
        settings = {name: value for name, value in flattened(configuration) if name not in ELSEWHERE}
        found = FinishedRun(run, metrics, settings)
        for split in SPLITS:
            float(found.loss(split, BEST) + found.loss(split, LAST))
        for name in ("parameters", "seconds", "steps"):
            float(metrics[name])
        _ = found.corpus, found.seed
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} is no finished run: {error.filename} is missing") from error
    except (KeyError, TypeError, AttributeError, ValueError, yaml.YAMLError) as error:
        raise ValueError(
            f"{path} holds no results that can be compared: {type(error).__name__}: {error}; expected the "
            f"metrics.json and config.yaml of a finished training"
        ) from error
    return found


def find_runs(path: Path) -> list[FinishedRun]:
    """The finished runs in a folder, in order; of the runs of one training in an experiment, the one that counts.

    Raises:
        FileNotFoundError: There is none.
    """
    if RunFolder(path).metrics.is_file():
        return [read_run(path)]
    folders = sorted({RunFolder(file.parent) for file in path.rglob("metrics.json")}, key=version)
    found = [read_run(run.path) for run in folders if counts(run)]
    if not found:
        raise FileNotFoundError(f"no finished run in {path}: expected folders with a metrics.json")
    return found


def version(run: RunFolder) -> tuple[Path, int]:
    """What orders runs: their experiment, then their number."""
    digits = run.path.name.removeprefix("version_")
    return run.path.parent, int(digits) if digits.isdecimal() else -1


def counts(run: RunFolder) -> bool:
    """Whether a run was not done again since, by an experiment that it belongs to."""
    try:
        noted = json.loads((run.path.parent / FINGERPRINT).read_text(encoding="utf-8"))
        return bool(noted["run"] == run.path.name)
    except (OSError, ValueError, KeyError, TypeError):
        return True


def grouped(runs: Sequence[FinishedRun]) -> dict[str, list[FinishedRun]]:
    """The runs by what was trained: those that differ in their seed alone stand together, under one label.

    A label is the part of the path that the runs of a row share, without what those of all rows share.
    """
    groups: dict[str, list[FinishedRun]] = {}
    for run in runs:
        alike = {name: value for name, value in run.settings.items() if name != "seed_everything"}
        groups.setdefault(json.dumps(alike, sort_keys=True), []).append(run)
    shared = {key: os.path.commonpath([run.folder.path.resolve() for run in group]) for key, group in groups.items()}
    above = os.path.commonpath(shared.values())
    labels = {key: os.path.relpath(path, above) if path != above else Path(path).name for key, path in shared.items()}
    labels = {
        key: f"{Path(shared[key]).parent.name}/{label}" if label.startswith("version_") else label
        for key, label in labels.items()
    }
    if len(set(labels.values())) < len(labels):  # runs of two rows lie side by side in each other's folders
        labels = {key: "/".join(group[0].folder.path.parts[-2:]) for key, group in groups.items()}
    return {labels[key]: group for key, group in groups.items()}
