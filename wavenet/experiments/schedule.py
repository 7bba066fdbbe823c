"""Running the trainings of an experiment, some at once, those that are done left out."""

import sys
import time
from collections.abc import Sequence

from wavenet.experiments.children import POLL, Child, Children, threads_for
from wavenet.experiments.finished import FinishedRun, read_run
from wavenet.experiments.trainings import Training


class Schedule:
    """The trainings of an experiment.

    Args:
        trainings: All of them, in the order in which they begin.
        jobs: How many run at once.
        threads: The threads of each; by default the cores are shared.
        weights: Whose losses are said, those of the ``best`` or of the ``last``.
    """

    def __init__(self, trainings: Sequence[Training], jobs: int, threads: int | None, weights: str) -> None:
        self.trainings, self.jobs, self.weights = list(trainings), jobs, weights
        self.threads = threads if threads is not None else threads_for(jobs)
        self.results: dict[Training, FinishedRun] = {}
        self.failures: dict[Training, str] = {}

    def run(self) -> None:
        """Runs what is not finished; says what comes of each."""
        for training in self.trainings:
            if (folder := training.finished_run()) is not None:
                self.results[training] = read_run(folder.path)
        waiting = [training for training in self.trainings if training not in self.results]
        say(f"{len(self.trainings)} trainings, of which {len(self.results)} are finished; {self.jobs} at once")
        running: dict[Training, Child] = {}
        with Children() as children:
            while waiting or running:
                while waiting and len(running) < self.jobs:
                    training = waiting.pop(0)
                    running[training] = children.start(training.start_options(self.threads), training.log)
                time.sleep(POLL)
                for training in [training for training, child in running.items() if child.code is not None]:
                    self._note(training, running.pop(training))
                    self._say(training, waiting, running)

    def check_any(self) -> None:
        """Raises a :class:`ValueError` if no training is finished."""
        if not self.results:
            raise ValueError(f"no training finished; {self._first_failure()}")

    def check_all(self) -> None:
        """Raises a :class:`ValueError` if a training has failed."""
        if self.failures:
            raise ValueError(
                f"{len(self.failures)} of {len(self.trainings)} trainings failed and are not in the report; the same "
                f"command tries them again; {self._first_failure()}"
            )

    def _first_failure(self) -> str:
        training, problem = next(iter(self.failures.items()))
        return f"{training.label}, seed {training.seed}: {problem} ({training.log})"

    def _note(self, training: Training, child: Child) -> None:
        """Keeps what a training has led to."""
        folder = training.finished_run()
        if child.code == 0 and folder is not None:
            self.results[training] = read_run(folder.path)
        else:
            self.failures[training] = child.problem()

    def _say(self, training: Training, waiting: Sequence[Training], running: dict[Training, Child]) -> None:
        """Says how a training ended, and how long the others will take."""
        done = (
            f"[{len(self.results) + len(self.failures)}/{len(self.trainings)}] {training.label}, seed {training.seed}"
        )
        if training in self.failures:
            say(f"{done}: failed, {self.failures[training]} ({training.log})")
            return
        run = self.results[training]
        losses = ", ".join(f"{split} {run.loss(split, self.weights):.4f}" for split in ("train", "val", "test"))
        left = sum(map(self._expected, waiting))
        left += sum(max(0.0, self._expected(other) - child.seconds) for other, child in running.items())
        time_left = f"; about {duration(left / self.jobs)} left" if waiting or running else ""
        say(f"{done}: {losses} in {run.metrics['seconds']:.1f} s{time_left}")

    def _expected(self, training: Training) -> float:
        """About how many seconds a training takes, by those of its kind, or by the steps of all."""
        known = self.results.items()
        alike = [run.metrics["seconds"] for other, run in known if other.label == training.label]
        if alike:
            return float(sum(alike) / len(alike))
        seconds, steps = (sum(run.metrics[name] for _, run in known) for name in ("seconds", "steps"))
        return float(seconds / max(1, steps) * (training.plan.steps or 0))


def duration(seconds: float) -> str:
    """A time in words.

    Examples:
        >>> duration(42.3), duration(300)
        ('42 seconds', '5 minutes')
    """
    return f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes"


def say(line: str) -> None:
    """A line of progress, on stderr."""
    print(line, file=sys.stderr, flush=True)
