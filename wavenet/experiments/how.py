"""How the trainings of an experiment are run, and where."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from wavenet.errors import ArgumentError, check_at_least
from wavenet.runs import RUNS

MOST_SEEDS = 1000


@dataclass(frozen=True)
class HowToRun:
    """How the trainings of an experiment are run.

    Args:
        name: Of the experiment: its folder is ``runs/<name>``.
        seeds: How many seeds each training is run with.
        max_steps: After how many steps trainings end that would take more.
        jobs: How many trainings run at once.
        threads: The threads of each; by default they share the cores.
        options: Further options of ``wavenet fit``, for all.

    Raises:
        ArgumentError: A number is below 1 or too large, or the name is none.
    """

    name: str
    seeds: int = 1
    max_steps: int | None = None
    jobs: int = 1
    threads: int | None = None
    options: Sequence[str] = ()

    def __post_init__(self) -> None:
        given = {name: value for name in ("max_steps", "threads") if (value := getattr(self, name)) is not None}
        check_at_least(1, seeds=self.seeds, jobs=self.jobs, **given)
        if self.seeds > MOST_SEEDS:
            raise ArgumentError("seeds", f"must be at most {MOST_SEEDS}, got {self.seeds}")
        check_name(self.name)

    @property
    def folder(self) -> Path:
        """Where everything is written."""
        return RUNS / self.name


def check_name(name: str) -> None:
    """Raises an :class:`ArgumentError` if an experiment cannot be called so."""
    if Path(name).name != name or name in ("", ".", ".."):
        raise ArgumentError("name", f"must be a name without slashes, got {name!r}")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The folder, made if it is not there, for this process alone; a process that is killed leaves it free.

    Raises:
        OSError: It cannot be written to.
        ValueError: Another process is at work in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(f"another process is at work in {folder}: wait for it, or give another --name") from None
    try:
        yield
    finally:
        lock.release()
