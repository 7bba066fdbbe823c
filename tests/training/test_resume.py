"""A training that was stopped, wherever, and went on ends like the one that was never stopped, bit for bit."""

import itertools
import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from tests.conftest import TINY, run_cli
from wavenet.inference import checkpoint
from wavenet.inference.checkpoint import read_checkpoint
from wavenet.runs import unfinished_run
from wavenet.training.callbacks.random_states import RandomStates, checked_states, current_states

STEPS = 14
HOOKS = (
    "on_train_batch_start", "on_before_optimizer_step", "on_train_batch_end", "on_validation_start",
    "on_validation_batch_end", "on_validation_end",
)  # fmt: skip
OPTIONS = [
    *TINY, f"--trainer.max_steps={STEPS}", "--model.network.dropout=0.3", "--data.batch_size=12", "--quiet",
    "--samples.num_draws=50", "--health.enabled=true",
]  # fmt: skip
BATCHINGS = {  # four steps an epoch
    "words": [],
    "windows": ["--data.batching=windows", "--data.batch_size=64"],
    "replacement": ["--data.batching=windows", "--data.batch_size=64", "--data.replacement=true"],
    "epochs": ["--trainer.max_steps=-1", "--trainer.max_epochs=3", "--trainer.val_check_interval=1.0",
               "--trainer.check_val_every_n_epoch=1"],
}  # fmt: skip
TIMES = ("train/seconds_per_step",)


class Die(L.Callback):
    """Kills the process, or sends it another signal, in a hook of a step, counted from 1."""

    def __init__(self, hook: str, step: int, number: int = int(signal.SIGKILL)) -> None:
        def die(trainer: L.Trainer, *args: Any) -> None:
            ended = hook in ("on_train_batch_start", "on_before_optimizer_step")
            if trainer.global_step + ended == step and not trainer.sanity_checking:
                os.kill(os.getpid(), number)

        setattr(self, hook, die)


def in_child(run: Callable[[], int], seconds: float | None = None) -> int:
    """Runs a function in a copy of this process, which is killed after some seconds if it is to be; its exit code."""
    child = os.fork()
    if child == 0:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        try:
            os._exit(run())
        finally:
            os._exit(99)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def scalars(run: Path) -> tuple[set[tuple[str, int, float]], set[tuple[str, int]]]:
    """The points of a run in all its event files: tag, step and value, and without a value those of times."""
    points, times = set(), set()
    for path in run.glob("events*"):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name != "scalars":
                    continue
                if value.tag in TIMES:
                    times.add((value.tag, event.step))
                else:
                    points.add((value.tag, event.step, value.tensor.float_val[0]))
    return points, times


def same(one: Any, other: Any) -> bool:
    """Whether two parts of checkpoints are the same, bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


class Runs:
    """Runs of one batching, and the one of them that is never stopped."""

    def __init__(self, words_file: Path, folder: Path) -> None:
        self.words_file, self.folder = words_file, folder
        self._numbers = itertools.count()
        self.whole = cache(self._whole)

    def fit(self, batching: str, root: Path, *options: object) -> int:
        """Begins a run."""
        place = ["--data.path", self.words_file, "--trainer.default_root_dir", root]
        return run_cli("fit", *place, *OPTIONS, *BATCHINGS[batching], *options)

    def _whole(self, batching: str) -> Path:
        root = self.folder / f"whole_{batching}"
        assert self.fit(batching, root) == 0
        return root / "default" / "version_0"

    def stopped(self, batching: str, *options: object, seconds: float | None = None, expected: int = -9) -> Path:
        """A run that was stopped."""
        root = self.folder / str(next(self._numbers))
        assert in_child(lambda: self.fit(batching, root, *options), seconds) == expected
        return root / "default" / "version_0"

    def resume(self, run: Path) -> None:
        """Goes on with a run until its end; one that has no checkpoint yet begins again."""
        assert run_cli("fit", "--ckpt_path", run / "checkpoints" / "last.ckpt", "--quiet") == 0

    def check(self, run: Path, batching: str) -> None:
        """Whether a run ended as it would have ended if it had never been stopped."""
        for name in ("last", "best"):
            whole, again = (read_checkpoint(path / "checkpoints" / f"{name}.ckpt") for path in (self.whole(batching), run))
            for part in ("global_step", "state_dict", "optimizer_states", "lr_schedulers", "block_losses"):
                assert same(whole[part], again[part]), f"{part} of {name}.ckpt"
            states = [{**content["callbacks"], "Timer": 0} for content in (whole, again)]
            assert same(states[0]["RandomStates"], states[1]["RandomStates"]), name
            assert same(states[0]["NetworkHealth"], states[1]["NetworkHealth"]), name
        assert scalars(run) == scalars(self.whole(batching))
        losses = [json.loads((path / "metrics.json").read_text("utf-8")) for path in (self.whole(batching), run)]
        assert {**losses[0], "seconds": 0} == {**losses[1], "seconds": 0}
        assert not [path for path in run.rglob(".*") if path.is_file()] or "killed while it was written"


@pytest.fixture(scope="module")
def runs(words_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(words_file, tmp_path_factory.mktemp("resumed"))


def die(hook: str, step: int, number: int = signal.SIGKILL) -> str:
    """The option for it."""
    arguments = {"hook": hook, "step": step, "number": int(number)}
    return f"--trainer.callbacks=[{json.dumps({'class_path': f'{__name__}.Die', 'init_args': arguments})}]"


@pytest.mark.parametrize("batching", BATCHINGS)
@pytest.mark.parametrize(
    ("hook", "step"), [("on_before_optimizer_step", 7), ("on_train_batch_start", 5), ("on_validation_batch_end", 10)]
)
def test_killed_runs_end_as_if_they_had_not_been(runs: Runs, batching: str, hook: str, step: int) -> None:
    if batching == "epochs":
        step = {7: 7, 5: 5, 10: 8}[step]
    run = runs.stopped(batching, die(hook, step), "--checkpoint_seconds=0")
    runs.resume(run)
    runs.check(run, batching)
