"""Trainings in processes of their own, which end with this one."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from wavenet.runs import PACKAGE

POLL = 0.1  # seconds between looks at what runs
PATIENCE = 15.0  # seconds that a training has to write its checkpoint when it is to end
LONGEST_TAIL = 10_000  # bytes of a log that are searched for its last line


class Child:
    """``wavenet fit`` in a process of its own, whose output goes to a file.

    Args:
        options: Of ``fit``.
        log: The file, which is made longer.
    """

    def __init__(self, options: list[str], log: Path) -> None:
        self.log, self.began = log, time.monotonic()
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "wavenet.experiments.child", "fit", *options]
        paths = [str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]  # the code is the same as here
        with open(log, "ab") as file:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                start_new_session=True,  # Ctrl-C goes to this process, which ends them
            )

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    def seconds(self) -> float:
        """For how long it has been running."""
        return time.monotonic() - self.began

    @property
    def code(self) -> int | None:
        """Its exit code, or ``None`` as long as it runs."""
        return self._process.poll()

    def ask_to_end(self) -> None:
        """Asks it to write its checkpoint and to end."""
        if self.code is None:
            self._process.terminate()

    def end(self, patience: float = PATIENCE) -> None:
        """Waits until it has ended, and kills it if that takes too long."""
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def problem(self) -> str:
        """Why it failed, in a line."""
        code = self.code
        if code is not None and code < 0:
            return f"killed by signal {-code}"
        errors = re.findall(r"^error: (.*)$", tail(self.log), flags=re.MULTILINE)
        return errors[-1] if errors else f"ended with exit code {code}"


class Children:
    """The trainings that run; all of them have ended when the block ends, for whatever reason."""

    def __init__(self) -> None:
        self._running: list[Child] = []

    def __enter__(self) -> "Children":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for child in self._running:
            child.ask_to_end()
        for child in self._running:
            child.end()

    def start(self, options: list[str], log: Path) -> Child:
        """Begins a training."""
        for ended in [child for child in self._running if child.code is not None]:
            ended.end()
            self._running.remove(ended)
        child = Child(options, log)
        self._running.append(child)
        return child


def tail(path: Path) -> str:
    """The end of a text file."""
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - LONGEST_TAIL))
        return file.read().decode("utf-8", errors="replace")


def threads_for(jobs: int) -> int | None:
    """The threads of each of some trainings at once, which share the cores; one alone decides itself."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return None if jobs == 1 else max(1, cores // jobs)
