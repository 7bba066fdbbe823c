"""What the tests of experiments share: a folder to work in, tiny configurations, and trainings in this process."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import yaml

from tests.conftest import run_cli
from tests.copies import Copy
from wavenet.experiments import children

Write = Callable[..., Path]

TINY = {
    "model": {"network": {"hidden_dim": 8, "embedding_dim": 4, "dropout": 0.0}},
    "trainer": {
        "max_steps": 12,
        "max_epochs": -1,
        "val_check_interval": 4,
        "check_val_every_n_epoch": None,
        "log_every_n_steps": 2,
    },
    "record": {"graph": False},
}


class InProcess(children.Child):
    """A training that has run in this process once it is made: nothing of Python is imported again."""

    def __init__(self, options: list[str], log: Path) -> None:
        self.log, self.began = log, time.monotonic()
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "a", encoding="utf-8") as file, redirect_stdout(file), redirect_stderr(file):
            self._code = run_cli("fit", *options)

    @property
    def code(self) -> int | None:
        return self._code

    def end(self, patience: float = 0) -> None:
        pass


class InCopy(children.Child):
    """A training in a copy of this process."""

    def __init__(self, options: list[str], log: Path) -> None:
        self.log, self.began = log, time.monotonic()

        def fit() -> int:
            with open(log, "ab") as file:
                for descriptor in (1, 2):
                    os.dup2(file.fileno(), descriptor)
            return run_cli("fit", *options)

        self._copy = Copy(fit, log.parent / "streams")

    @property
    def pid(self) -> int:
        return self._copy.pid

    @property
    def code(self) -> int | None:
        return self._copy.code

    def ask_to_end(self) -> None:
        if self.code is None:
            os.kill(self.pid, signal.SIGTERM)

    def end(self, patience: float = 0) -> None:
        self._copy.ended()


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings run in this process."""
    monkeypatch.setattr(children, "Child", InProcess)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands are called in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_config(path: Path, **more: object) -> Path:
    """Writes a tiny configuration, with other settings if wanted."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(TINY | more), encoding="utf-8")
    return path


@pytest.fixture
def write(here: Path) -> Write:
    """Writes a tiny configuration of a name into the folder."""
    return lambda name, **more: write_config(here / f"{name}.yaml", **more)
