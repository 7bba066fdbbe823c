"""A trial of a search: its trainings, one for each seed, and what comes of it."""

import time
from pathlib import Path
from statistics import fmean
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, TrialState
from torch.utils.tensorboard import SummaryWriter

from wavenet.experiments.children import Child, Children
from wavenet.experiments.curves import Validations
from wavenet.experiments.finished import BEST, FinishedRun, read_run
from wavenet.experiments.how import HowToRun
from wavenet.experiments.space import Space
from wavenet.experiments.trainings import Training, option, planned, seed_of
from wavenet.runs import RunFolder

PROBLEM, TEST_LOSS = "problem", "test/loss"  # what is noted of a trial beside its value
LOOK = 0.5  # seconds between looks at validations
QUIET = ("--record.enabled=false",)  # the search writes TensorBoard's table itself


def trial_folder(root: Path, number: int) -> Path:
    """Where a trial lies."""
    return root / f"trial_{number:04}"


class Attempt:
    """A trial that this process runs; no other process on this machine runs it at the same time.

    Args:
        trial: The trial.
        space: What the search may change.
        how: How trainings are run.
        lock: What this process holds for as long as it runs the trial.
        reported: How many validations the trial knows already, from before it was interrupted.
    """

    def __init__(self, trial: optuna.Trial, space: Space, how: HowToRun, lock: FileLock, reported: int = 0) -> None:
        self.trial, self.how, self.folder = trial, how, trial_folder(how.folder, trial.number)
        self.state: TrialState | None = None
        self.problem, self.value = "", 0.0
        self._lock, self._reported, self._pruned = lock, reported, False
        self._child: Child | None = None
        self._looked = 0.0
        self._results: list[FinishedRun] = []
        self._validations: Validations | None = None
        self.values = space.suggest(trial)
        self._waiting: list[Training] = []
        try:
            options = [*space.options, *QUIET, *(option(name, value) for name, value in self.values.items())]
            plan, options = planned(options, how.max_steps)
        except ValueError as error:  # values that do not go together
            self._end(TrialState.FAIL, str(error))
            return
        first = seed_of(plan)
        label = f"trial {trial.number}"
        self._waiting = [
            Training(label, seed, options, plan, self.folder / f"seed_{seed}")
            for seed in range(first, first + how.seeds)
        ]

    def advance(self, children: Children, threads: int | None) -> None:
        """Begins the next training, or sees how the one that runs is doing."""
        if self.state is not None:
            return
        if self._child is None:
            self._begin(children, threads)
        elif self._child.code is None:
            if time.monotonic() - self._looked > LOOK:
                self._report()
        else:
            self._note(self._child)

    def _begin(self, children: Children, threads: int | None) -> None:
        """Begins the next training, unless it is finished already."""
        training = self._waiting[0]
        if (run := training.finished_run()) is not None:
            self._take(read_run(run.path))
            return
        self._child = children.start(training.start_options(threads), training.log)
        run = training.known_run()
        self._validations = None if run is None or self._results else Validations(run.path)

    def _report(self) -> None:
        """Passes new validations of the first seed on to the pruner, and ends a training that it gives up."""
        if self._validations is None or self._child is None or self._pruned:
            return
        losses, self._looked = self._validations.read(), time.monotonic()
        for index in range(self._reported, len(losses)):
            self.trial.report(losses[index], index)
            self._reported = index + 1
            if self.trial.should_prune():
                self._pruned = True
                self._child.ask_to_end()
                return

    def _note(self, child: Child) -> None:
        """Keeps what a training that has ended has led to."""
        self._report()
        run, self._child = self._waiting[0].finished_run(), None
        if run is not None and child.code == 0:
            self._take(read_run(run.path))
        elif self._pruned:
            self._end(TrialState.PRUNED, f"after {self._reported} validations")
        else:
            self._end(TrialState.FAIL, f"{child.problem()} ({child.log})")

    def _take(self, run: FinishedRun) -> None:
        """Adds a finished training; the last one ends the trial."""
        self._results.append(run)
        del self._waiting[0]
        if not self._waiting:
            self.value = fmean(run.loss("val", BEST) for run in self._results)
            self.trial.set_user_attr(TEST_LOSS, fmean(run.loss("test", BEST) for run in self._results))
            self._end(TrialState.COMPLETE)

    def _end(self, state: TrialState, problem: str = "") -> None:
        """Says what came of the trial, to the study and to TensorBoard."""
        self.state, self.problem = state, problem
        if problem:
            self.trial.set_user_attr(PROBLEM, problem)
        self.trial.study.tell(self.trial, self.value if state == TrialState.COMPLETE else None, state)
        metrics: dict[str, Any] = {"search/val_loss": self.value} if state == TrialState.COMPLETE else {}
        settings = {name: "null" if value is None else value for name, value in self.values.items()}
        with SummaryWriter(str(self.folder)) as writer:
            writer.add_hparams({**settings, "state": state.name.lower()}, metrics, run_name=".")
        self._lock.release()


def begin(study: optuna.Study, space: Space, how: HowToRun) -> Attempt | None:
    """A new trial, or ``None`` if another process, which looks for trials that were left, was faster to take it."""
    trial = study.ask()
    folder = trial_folder(how.folder, trial.number)
    folder.mkdir(parents=True, exist_ok=True)
    lock = taken(folder)
    return None if lock is None else Attempt(trial, space, how, lock)


def taken(folder: Path) -> FileLock | None:
    """What keeps a trial for this process, which may end however it will, or ``None`` if another process has it."""
    lock = FileLock(folder / ".lock", blocking=False)
    try:
        lock.acquire()
    except Timeout:
        return None
    return lock


def take_over(study: optuna.Study, left: FrozenTrial, space: Space, how: HowToRun) -> Attempt | None:
    """A trial that a process here had begun when it ended, or ``None`` if it still runs, or lies on another machine."""
    folder = trial_folder(how.folder, left.number)
    if not folder.is_dir():
        return None
    lock = taken(folder)
    if lock is None:
        return None
    return Attempt(optuna.Trial(study, left._trial_id), space, how, lock, len(left.intermediate_values))


def runs_of(root: Path, number: int) -> list[FinishedRun]:
    """The finished runs of a trial, those that lie here."""
    folders = trial_folder(root, number).glob("seed_*/version_*")
    return [read_run(path) for path in sorted(folders) if RunFolder(path).metrics.is_file()]
