"""Copies of this process in place of new ones, which would import everything again."""

import os
import runpy
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from io import FileIO, TextIOWrapper
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple


class Ended(NamedTuple):
    """How a process ended: its exit code, or the negative of its signal, and what it wrote."""

    code: int
    out: str
    err: str


class Copy:
    """A copy of this process that calls a function, whose result is its exit code; its streams are files in a folder.

    An exception that the function raises is written to its stderr, and makes its exit code 99.
    """

    def __init__(self, call: Callable[[], int], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._paths = [folder / name for name in ("out", "err")]
        for path in self._paths:
            path.touch()
        self._code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            self._run(call)

    def _run(self, call: Callable[[], int]) -> None:
        try:
            for descriptor, path in enumerate(self._paths, start=1):
                os.dup2(os.open(path, os.O_WRONLY), descriptor)
            sys.stdout, sys.stderr = (
                TextIOWrapper(FileIO(descriptor, "w", closefd=False), "utf-8", line_buffering=True)
                for descriptor in (1, 2)
            )
            code = call()
            sys.stdout.flush()
            os._exit(code)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(99)

    @property
    def code(self) -> int | None:
        """Its exit code, or ``None`` as long as it runs."""
        if self._code is None:
            child, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if child else None
        return self._code

    @property
    def out(self) -> str:
        """What it has written to stdout so far."""
        return self._paths[0].read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        """What it has written to stderr so far."""
        return self._paths[1].read_text(encoding="utf-8")

    def kill(self) -> None:
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)

    def ended(self) -> Ended:
        """Waits for its end."""
        if self._code is None:
            self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return Ended(self._code, self.out, self.err)


def as_new_process(command: Sequence[object], cwd: Path, env: Mapping[str, str]) -> int:
    """Does in this process what ``command`` does in a new one; its exit code.

    Args:
        command: Python, a script or ``-m`` and a module, and arguments.
        cwd: The folder to work in.
        env: The environment.
    """
    python, script, *arguments = map(str, command)
    assert python == sys.executable
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    try:
        if script == "-m":
            sys.argv = arguments
            sys.modules.pop(arguments[0], None)  # which would make runpy warn
            runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv = [script, *arguments]
            sys.path.insert(0, str((cwd / script).parent))
            runpy.run_path(script, run_name="__main__")
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def run(
    command: Sequence[object],
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = False,
    **ignored: object,
) -> subprocess.CompletedProcess[str]:
    """What ``subprocess.run`` does with a script or a module of Python, in a copy of this process."""
    with TemporaryDirectory() as folder:
        place, environment = cwd or Path.cwd(), dict(os.environ if env is None else env)
        ended = Copy(lambda: as_new_process(command, place, environment), Path(folder)).ended()
    done = subprocess.CompletedProcess(list(command), *ended)
    if check:
        done.check_returncode()
    return done
