"""``wavenet sweep``: a search for the best settings in a space, by several processes and machines if wanted."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from wavenet.errors import ArgumentError, check_at_least
from wavenet.experiments.children import POLL, Children, threads_for
from wavenet.experiments.how import HowToRun
from wavenet.experiments.schedule import say
from wavenet.experiments.space import Space
from wavenet.experiments.trainings import ELSEWHERE, flattened
from wavenet.experiments.trial import Attempt, begin, take_over

JOURNAL = "journal.log"
DESCRIPTION = "description"  # of what is searched, in the study
STARTUP_TRIALS = 5  # before which nothing is given up
WARMUP_VALIDATIONS = 1


@dataclass(frozen=True)
class HowToSearch:
    """How a search goes.

    Args:
        trials: How many trials there are to be, those of other processes and of earlier calls included.
        storage: The database that keeps them; by default a journal in the folder of the search.
        prune: Whether trials are given up that do worse than half of the others at the same validation.

    Raises:
        ArgumentError: ``trials`` is below 1.
    """

    trials: int = 20
    storage: str | None = None
    prune: bool = True

    def __post_init__(self) -> None:
        check_at_least(1, trials=self.trials)


class Search:
    """A search, or this process's part in it.

    Args:
        space: What may change.
        how: How trials are trained.
        search: How the search goes.

    Raises:
        ArgumentError: The storage cannot be used.
        ValueError: There is a search of that name already, of something else.
        OSError: The folder cannot be written to.
    """

    def __init__(self, space: Space, how: HowToRun, search: HowToSearch) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.space, self.how, self.trials = space, how, search.trials
        pruner: BasePruner = MedianPruner(STARTUP_TRIALS, WARMUP_VALIDATIONS) if search.prune else NopPruner()
        storage = storage_of(search.storage, how.folder)
        try:
            self.study = optuna.create_study(storage=storage, pruner=pruner, study_name=how.name, load_if_exists=True)
        except ValueError as error:
            kept = "the storage" if search.storage else how.folder / JOURNAL
            raise ValueError(f"{kept} holds no search: {error}; expected another --name, or the file gone") from error
        self._describe()

    def _describe(self) -> None:
        """Notes in the study what is searched, or finds that it is the same as before."""
        settings = {name: value for name, value in flattened(self.space.base.configuration) if name not in ELSEWHERE}
        ranges = {name: json.loads(distribution_to_json(values)) for name, values in self.space.ranges.items()}
        description = {
            "space": ranges,
            "settings": settings,
            "words": self.space.base.corpus.sha256,
            "seeds": self.how.seeds,
            "max_steps": self.how.max_steps,
        }
        known = self.study.user_attrs.get(DESCRIPTION)
        if known is None:
            self.study.set_user_attr(DESCRIPTION, description)
            if (unchanged := self.space.unchanged()) is not None:
                self.study.enqueue_trial(unchanged, skip_if_exists=True)
            return
        changed = [name for name, value in description.items() if known.get(name) != value]
        if changed:
            raise ValueError(
                f"the search {self.how.name} was begun with other {' and '.join(changed)}: expected the same to go on, "
                f"or another --name"
            )

    def begun(self) -> list[FrozenTrial]:
        """All trials that have begun, in whatever process."""
        return [trial for trial in self.study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]

    def run(self) -> None:
        """Runs trials until there are as many as wanted; says what comes of each."""
        threads = self.how.threads if self.how.threads is not None else threads_for(self.how.jobs)
        running: list[Attempt] = []
        if (note := self.space.base.corpus.note) is not None:
            say(f"note: {note}")
        say(f"{self.trials} trials, of which {len(self.begun())} have begun; {self.how.jobs} at once")
        more = True
        with Children() as children:
            while more or running:
                while more and len(running) < self.how.jobs:
                    if more := (attempt := self._next(running)) is not None:
                        running.append(attempt)
                for attempt in running:
                    attempt.advance(children, threads)
                for attempt in [attempt for attempt in running if attempt.state is not None]:
                    running.remove(attempt)
                    self._say(attempt)
                    more = True
                time.sleep(POLL)

    def _next(self, running: list[Attempt]) -> Attempt | None:
        """A trial that was left unfinished, or a new one, if more are wanted."""
        begun, ours = self.begun(), {attempt.trial.number for attempt in running}
        for left in begun:
            if left.state == TrialState.RUNNING and left.number not in ours:
                attempt = take_over(self.study, left, self.space, self.how)
                if attempt is not None:
                    return attempt
        if len(begun) >= self.trials:
            return None
        return begin(self.study, self.space, self.how) or self._next(running)

    def _say(self, attempt: Attempt) -> None:
        """Says what came of a trial."""
        trials = self.begun()
        ended = sum(trial.state.is_finished() for trial in trials)
        what = {
            TrialState.COMPLETE: f"val {attempt.value:.4f}",
            TrialState.PRUNED: f"pruned {attempt.problem}",
        }.get(attempt.state or TrialState.FAIL, f"failed, {attempt.problem}")
        best = best_of(trials)
        so_far = "" if best is None else f"; best {best.value:.4f}, trial {best.number}"
        say(f"[{ended}/{max(self.trials, len(trials))}] trial {attempt.trial.number}: {what}{so_far}")


def best_of(trials: list[FrozenTrial]) -> FrozenTrial | None:
    """The trial with the lowest loss, if one is complete."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return min(complete, key=loss_of, default=None)


def loss_of(trial: FrozenTrial) -> float:
    """The validation loss of a complete trial."""
    return float(trial.values[0])


def storage_of(url: str | None, folder: Path) -> BaseStorage:
    """Where a search keeps its trials; its folder is made once that can be used.

    Raises:
        ArgumentError: It cannot be used.
        OSError: The folder cannot be written to.
    """
    storage: BaseStorage | None = None
    try:
        if url is not None:
            storage = RDBStorage(url)
    except Exception as error:  # whatever the database, its driver or SQLAlchemy has to say
        problem: Any = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ArgumentError("storage", f"must be the URL of a database that can be used: {problem}") from error
    folder.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(str(folder / JOURNAL))) if storage is None else storage
