"""The frame of the commands: what a signal does, at whatever moment it comes."""

import gc
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import ROOT, run_cli
from tests.copies import Copy
from wavenet.commands import main as frame

TRAIN = ["train.py", "fit"]
MODULE = ["-m", "wavenet", "sample"]
ENTRY_POINT = ["-c", "from wavenet.commands.main import main; main()", "score", "sobe"]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize(
    ("called", "module", "sent"),
    [
        (MODULE, "wavenet.commands.options", [signal.SIGINT]),
        (MODULE, "numpy._core._multiarray_umath", [signal.SIGHUP]),
        (ENTRY_POINT, "torch._tensor", [signal.SIGINT, signal.SIGINT]),
        (TRAIN, "torch.types", [signal.SIGINT, signal.SIGTERM]),
        (TRAIN, "lightning.fabric.utilities.imports", [signal.SIGTERM]),
    ],
)
def test_a_signal_while_modules_are_imported(
    tiny_run: Path, tmp_path: Path, called: list[str], module: str, sent: list[signal.Signals]
) -> None:
    command = [sys.executable, "-X", "importtime", *called, "--ckpt_path", tiny_run / "checkpoints" / "best.ckpt"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        while not (line := run.stderr.readline()).rstrip().endswith(f" {module}"):
            assert line, f"{module} is not imported"
        for number in sent:
            run.send_signal(number)
        lines = [line for line in run.stderr.read().splitlines() if not line.startswith("import time:")]
    assert lines == ["interrupted"]
    assert run.returncode in [128 + number for number in sent]  # two at once may come in either order


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize("sent", [[signal.SIGHUP], [signal.SIGINT] * 5])
def test_a_signal_while_words_are_written(tiny_run: Path, tmp_path: Path, sent: list[signal.Signals]) -> None:
    (written := tmp_path / "written").mkdir()
    options = ["-n", "100000000", "--ckpt_path", tiny_run, "--output", written / "words.txt"]
    run = Copy(partial(run_cli, "sample", *options), tmp_path / "streams")
    while not any(path.stat().st_size for path in written.iterdir()):
        assert run.code is None
        time.sleep(0.02)
    for number in sent:
        os.kill(run.pid, number)
        time.sleep(0.1 if len(sent) > 1 else 0)
    assert run.ended() == (128 + sent[0], "", f"using {tiny_run}/checkpoints/best.ckpt\ninterrupted\n")
    assert list(written.iterdir()) == []


def test_garbage_is_not_looked_for_while_modules_are_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def imported(name: str) -> SimpleNamespace:
        seen.append(gc.isenabled())
        return SimpleNamespace(main=lambda name, arguments: seen.append(gc.isenabled()))

    monkeypatch.setattr(frame, "import_module", imported)
    assert run_cli("sample") == 0
    assert seen == [False, True]
