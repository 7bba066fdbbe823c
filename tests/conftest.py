import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two threads that wait for each other crawl where a core is busy

import pytest
import torch

from wavenet.commands.main import main
from wavenet.corpus import download
from wavenet.errors import SIGNALS

ROOT = Path(__file__).resolve().parent.parent
WORDS = [
    a + b + c for a in ("em", "ol", "av", "is", "so") for b in ("il", "iv", "ra", "be") for c in ("a", "ia", "ella")
]
LABELS = ["Finnish", "New Zealand", "日本語"]
TINY = [
    "--trainer.max_steps=12",
    "--trainer.max_epochs=-1",
    "--trainer.val_check_interval=5",
    "--trainer.check_val_every_n_epoch=null",
    "--trainer.log_every_n_steps=4",
    "--model.network.hidden_dim=8",
    "--model.network.embedding_dim=4",
    "--model.network.dropout=0",
    "--model.network.ngram_rows=64",
    "--record.graph=false",
]

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell makes programs in the background ignore it
if sys.platform != "win32":
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and nohup this one


def pytest_collection_finish() -> None:
    """What is imported stays: collections of garbage, here and in copies of this process, need not look through it."""
    gc.freeze()


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in the tests reaches for the internet: the download's address is a closed port of this machine."""
    monkeypatch.setattr(download, "NAMES_URL", "http://127.0.0.1:9/names.txt")


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """What a signal does is set by each command, for its process; here it must not outlive the test."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def no_group_is_left() -> Iterator[None]:
    """A group of processes, even of one, must not outlive the test: a copy of this process would wait for it."""
    yield
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@pytest.fixture(scope="session")
def words_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of sixty words."""
    path = tmp_path_factory.mktemp("corpus") / "words.txt"
    path.write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def labelled_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same words with labels; a third of them stand there twice, with two labels, and one has none."""
    lines = [f"{word}\t{LABELS[number % 3]}" for number, word in enumerate(WORDS)]
    lines += [f"{word}\t{LABELS[(number + 1) % 3]}" for number, word in enumerate(WORDS) if number % 3 == 0]
    path = tmp_path_factory.mktemp("corpus") / "labelled.tsv"
    path.write_text("\n".join([*lines, "sora"]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def labelled_run(tmp_path_factory: pytest.TempPathFactory, labelled_file: Path) -> Path:
    """The folder of a finished run of a few steps on words with labels."""
    root = tmp_path_factory.mktemp("runs")
    options = ["--data.path", labelled_file, "--data.labels", "auto", "--trainer.default_root_dir", root]
    assert run_cli("fit", *options, *TINY) == 0
    return root / "default" / "version_0"


def run_cli(*args: object) -> int:
    """Runs ``train.py`` with these arguments in this process; the exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train.py", *map(str, args)])
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0)
    return 0


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, words_file: Path) -> Path:
    """The folder of a finished run of a few steps."""
    root = tmp_path_factory.mktemp("runs")
    assert run_cli("fit", "--data.path", words_file, "--trainer.default_root_dir", root, *TINY) == 0
    return root / "default" / "version_0"


@pytest.fixture
def cli_error(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs ``train.py`` with wrong input and returns the one line that it must leave on stderr."""

    def run(*args: object, code: int = 1) -> str:
        capsys.readouterr()
        assert run_cli(*args) == code
        captured = capsys.readouterr()
        assert captured.err.startswith("error: ")
        assert captured.err.count("\n") == 1, captured.err
        return captured.err

    return run
