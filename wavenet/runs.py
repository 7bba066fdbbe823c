"""The run folder: its names, its newest checkpoint, and files that are written whole or not at all. Needs no torch."""

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import IO, Any, BinaryIO, Literal

try:
    import fcntl
except ImportError:  # on Windows, where nothing keeps two processes apart
    fcntl = None  # type: ignore[assignment]

RUNS = Path("runs")
PROGRAMS = {"wavenet": "wavenet", "tensorboard": "tensorboard.main"}  # the modules behind them
BEST, LAST = "best", "last"  # checkpoints/<name>.ckpt
TO_USE, TO_CONTINUE = (BEST, LAST), (LAST,)  # the checkpoints that will do, the preferred one first


@contextmanager
def locked(folder: Path, taken: str | None = None) -> Iterator[None]:
    """Keeps other processes that ask for it out of a folder until the block, or the process, ends.

    A system, a file system or a folder that cannot be locked does not keep them out.

    Args:
        folder: The folder, which is there.
        taken: What to say if another process is in it, instead of waiting for that to leave.

    Raises:
        BlockingIOError: Another process is in it, and it is not waited for.
    """
    descriptor = None
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY) if fcntl is not None else None
    try:
        if descriptor is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if taken is None else fcntl.LOCK_NB))
            except BlockingIOError as error:
                raise BlockingIOError(taken) from error
            except OSError:  # a file system without locks
                pass
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


@dataclass(frozen=True)
class RunFolder:
    """The files of a run, ``runs/<experiment>/version_N``."""

    path: Path

    @classmethod
    def new(cls, root: Path, experiment: str) -> "RunFolder":
        """The folder of the next run of an experiment; it does not exist yet."""
        numbers = (path.name.removeprefix("version_") for path in (root / experiment).glob("version_*"))
        return cls(root / experiment / f"version_{1 + max((int(n) for n in numbers if n.isdecimal()), default=-1)}")

    @classmethod
    @contextmanager
    def made(cls, root: Path, experiment: str) -> Iterator["RunFolder"]:
        """Makes the folder of the next run of an experiment, for that run alone; it goes away if nothing is written.

        Raises:
            OSError: It cannot be made.
        """
        while True:
            run = cls.new(root, experiment)
            missing = [folder for folder in (run.path, *run.path.parents) if not folder.exists()]
            try:
                run.path.mkdir(parents=True)
                break
            except OSError as error:
                if not run.path.is_dir():  # or else a run that began at the same time has made it
                    raise run.unwritable(error) from error
        try:
            with run.alone():
                yield run
        finally:
            with suppress(OSError):  # of the first one that is not empty
                for folder in missing:
                    folder.rmdir()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps other trainings out of the folder until the block, or the process, ends.

        Raises:
            BlockingIOError: Another training is in it.
        """
        with locked(
            self.path,
            f"another training goes on in {self.path}: expected it to end first; --experiment makes a new folder",
        ):
            yield

    def unwritable(self, error: OSError) -> OSError:
        """What to say when the folder cannot be written to."""
        return OSError(f"cannot write to the run folder {self.path}: {error.strerror or error}")

    @classmethod
    def of_checkpoint(cls, path: str | Path) -> "RunFolder | None":
        """The run folder that a checkpoint lies in, wherever that was moved to, or ``None`` if it lies in none.

        Examples:
            >>> RunFolder.of_checkpoint("/tmp/runs/mine/version_3/checkpoints/last.ckpt").path.parts[-3:]
            ('runs', 'mine', 'version_3')
            >>> RunFolder.of_checkpoint("/tmp/last.ckpt") is None
            True
        """
        folder = Path(path).absolute().parent
        run, here = cls(folder.parent), Path.cwd()
        if folder != run.checkpoints or not run.path.name.startswith("version_"):
            return None
        return cls(run.path.relative_to(here)) if run.root.is_relative_to(here) else run

    @property
    def root(self) -> Path:
        """Where the runs of all experiments are."""
        return self.path.parent.parent

    @property
    def experiment(self) -> str:
        """The name that the run was given."""
        return self.path.parent.name

    @property
    def metrics(self) -> Path:
        """The record of a finished run."""
        return self.path / "metrics.json"

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    def checkpoint(self, name: str) -> Path:
        """The checkpoint of that name: the best by validation loss, or the last."""
        return self.checkpoints / f"{name}.ckpt"

    @property
    def best_checkpoint(self) -> Path | None:
        """The checkpoint that a run is best used with: the best one, or the last one of a run without validation."""
        paths = (self.checkpoint(name) for name in TO_USE)
        return next((path for path in paths if path.is_file()), None)


def find_checkpoint(path: Path, names: Sequence[str] = TO_USE) -> Path:
    """The checkpoint that a path means: a file is meant itself, a folder has it in its newest run.

    Raises:
        FileNotFoundError: The folder holds none.
    """
    return newest_checkpoint(path, names) if path.is_dir() else path


def newest_checkpoint(root: Path = RUNS, names: Sequence[str] = TO_USE) -> Path:
    """The checkpoint of the newest run in a folder of runs or of one run.

    Args:
        root: The folder.
        names: Which checkpoints will do, the preferred one first: ``TO_USE`` or ``TO_CONTINUE``.

    Raises:
        FileNotFoundError: There is none.
    """
    found = {path.parent: path for name in reversed(names) for path in root.rglob(f"{name}.ckpt")}
    if not found:
        raise FileNotFoundError(
            f"no checkpoint under {root}/: expected {' or '.join(f'{name}.ckpt' for name in names)}; "
            f"--ckpt_path names one elsewhere, {command('wavenet')} fit makes one"
        )
    return max(found.values(), key=lambda path: path.stat().st_mtime)


def unfinished_run(root: Path, experiment: str | None = None) -> Path:
    """The last checkpoint of the newest run that has one but no results: it was interrupted, or still goes on.

    Args:
        root: The folder of runs.
        experiment: Whose runs; by default those of all experiments.

    Raises:
        FileNotFoundError: There is none.
    """
    folders = root.glob("*") if experiment is None else [root / experiment]
    runs = [RunFolder(path) for folder in folders for path in folder.glob("version_*")]
    found = [run.checkpoint(LAST) for run in runs if run.checkpoint(LAST).is_file() and not run.metrics.exists()]
    if not found:
        where = root if experiment is None else root / experiment
        raise FileNotFoundError(
            f"no unfinished run under {where}/: expected one with checkpoints/{LAST}.ckpt and without metrics.json; "
            f"{command('wavenet')} fit begins one"
        )
    return max(found, key=lambda path: path.stat().st_mtime)


def command(program: str) -> str:
    """How to call ``wavenet`` or ``tensorboard`` from the shell: by its name, if the shell finds this environment's."""
    python = Path(sys.executable)
    found = shutil.which(program)
    if found is not None and Path(found).parent == python.parent:
        return program
    if python.is_relative_to(Path.cwd()):
        python = python.relative_to(Path.cwd())
    return f"{quote(str(python))} -m {PROGRAMS[program]}"


@contextmanager
def whole_file(path: Path, mode: Literal["w", "wb"] = "w") -> Iterator[IO[Any]]:
    """A file to write (UTF-8 if it is text) that takes the place of ``path`` when the block ends without an error.

    It is written beside ``path`` and renamed, so that the file of before is there until the new one is complete. A
    link stays one, and permissions stay as they were.

    Raises:
        OSError: The file cannot be written.
    """
    target = path.resolve()
    try:
        descriptor, part = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # which does not name the part
    text = {"encoding": "utf-8", "newline": "", "errors": "backslashreplace"} if mode == "w" else {}
    try:
        with open(descriptor, mode, **text) as file:  # type: ignore[call-overload]
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.umask(umask := os.umask(0))
        os.chmod(part, target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~umask)
        os.replace(part, target)
    finally:
        Path(part).unlink(missing_ok=True)


def remove_parts(path: Path) -> None:
    """Removes what was being written to ``path`` by a :func:`whole_file` whose process was killed."""
    target = path.resolve()
    for part in target.parent.glob(f".{target.name}.*"):
        part.unlink(missing_ok=True)


def open_regular(path: Path, expected: str) -> BinaryIO:
    """Opens a file to read its bytes, which a device, or a pipe, may have without an end, or never.

    Args:
        path: The file.
        expected: What it should be, for the messages: ``a checkpoint file``.

    Raises:
        OSError: It is missing, unreadable, a directory, or no regular file.
    """
    kind = path.stat().st_mode
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(f"expected {expected}, got the directory {path}")
    if not stat.S_ISREG(kind):
        raise OSError(f"expected {expected}, got {path}, which is a device or a pipe")
    return open(path, "rb")


PACKAGE = Path(__file__).resolve().parent
IN_CLONE = not (PACKAGE / "configs").is_dir()


def shipped(folder: str) -> Path:
    """The folder ``configs`` or ``data`` that comes with the package: beside it in a clone, inside it if installed."""
    return (PACKAGE.parent if IN_CLONE else PACKAGE) / folder
