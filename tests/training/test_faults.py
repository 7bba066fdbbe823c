"""What goes wrong around a training: disks, folders, streams, memory, clocks, other trainings, losses."""

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from tests.conftest import ROOT, TINY, run_cli
from tests.training.test_resume import callback, in_child
from wavenet import runs
from wavenet.commands import main as frame
from wavenet.commands.streams import open_closed_streams
from wavenet.inference.checkpoint import read_checkpoint
from wavenet.runs import RunFolder

linux = pytest.mark.skipif(sys.platform != "linux", reason="does what only Linux lets it do")


def at_step(step: int, action: Callable[[L.Trainer], object]) -> Callable[..., None]:
    """A hook at the beginning of a step, counted from 1."""

    def hook(trainer: L.Trainer, *args: Any) -> None:
        if trainer.global_step + 1 == step:
            action(trainer)

    return hook


class Fill(L.Callback):
    """Fills the disk that a folder is on; or, without a folder, makes every file fail as if its disk were full."""

    def __init__(self, folder: str | None) -> None:
        self.folder = folder
        self.on_train_batch_start = at_step(8, lambda trainer: self._fill())  # type: ignore[method-assign]

    def _fill(self) -> None:
        if self.folder is None:
            runs.os.fsync = full  # type: ignore[attr-defined]
            return
        with open(Path(self.folder) / "fill", "wb", buffering=0) as file:
            while True:
                try:
                    file.write(bytes(4096))
                except OSError:
                    return


def full(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Remove(L.Callback):
    """Removes a folder."""

    def __init__(self, folder: str) -> None:
        self.on_train_batch_start = at_step(3, lambda trainer: shutil.rmtree(folder))  # type: ignore[method-assign]


class Diverge(L.Callback):
    """Makes the weights no numbers."""

    def __init__(self, step: int) -> None:
        def spoil(trainer: L.Trainer) -> None:
            with torch.no_grad():
                next(trainer.lightning_module.parameters()).fill_(float("nan"))

        self.on_train_batch_start = at_step(step, spoil)  # type: ignore[method-assign]


@pytest.fixture
def arguments(words_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A short training below the working folder."""
    monkeypatch.chdir(tmp_path)
    return ["fit", "--data.path", words_file, "--trainer.default_root_dir=runs", *TINY, "--quiet"]


RUN = Path("runs/default/version_0")


def weights(run: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]
    return found


def assert_same_end(run: Path, whole: Path) -> None:
    one, other = weights(run), weights(whole)
    assert all(torch.equal(one[name], other[name]) for name in other)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path | None]:
    """A folder on a disk of two megabytes, or nothing where none can be made."""
    disk = tmp_path / "runs"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(disk)]
    mounted = shutil.which("mount") is not None and subprocess.run(mount, capture_output=True).returncode == 0
    yield disk if mounted else None
    if mounted:
        subprocess.run(["umount", str(disk)], check=True)


@linux
@pytest.mark.parametrize("real", [True, False])
def test_a_disk_that_fills_up_leaves_the_checkpoint_of_before(
    arguments: list[object], small_disk: Path | None, cli_error: Callable[..., str], tiny_run: Path, real: bool
) -> None:
    if real and small_disk is None:
        pytest.skip("no disk can be mounted here")
    disk = str(small_disk) if real else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs.os, "fsync", os.fsync)  # type: ignore[attr-defined]
        error = cli_error(*arguments, "--checkpoint_seconds=0", callback(Fill, folder=disk))
    assert error == f"error: cannot write to the run folder {RUN}: No space left on device\n"
    assert {path.name for path in (RUN / "checkpoints").iterdir()} <= {"best.ckpt", "last.ckpt"}
    assert read_checkpoint(RUN / "checkpoints" / "last.ckpt")["global_step"] == 7
    Path("runs/fill").unlink(missing_ok=True)
    assert run_cli("fit", "--resume", "--quiet") == 0
    assert_same_end(RUN, tiny_run)


def test_full_and_missing_temporary_folders_do_not_matter(
    arguments: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    assert run_cli(*arguments) == 0


@pytest.mark.parametrize("seconds", [0, 60])
def test_a_run_folder_that_vanishes(arguments: list[object], cli_error: Callable[..., str], seconds: int) -> None:
    error = cli_error(*arguments, callback(Remove, folder=str(RUN)), f"--checkpoint_seconds={seconds}")
    assert error == f"error: cannot write to the run folder {RUN}: No such file or directory\n"
    assert not RUN.exists()


def test_a_loss_that_is_no_number_leaves_the_checkpoints_of_before(
    arguments: list[object], cli_error: Callable[..., str]
) -> None:
    options = ["--checkpoint_seconds=0", "--model.optimization.learning_rate=0.03", callback(Diverge, step=7)]
    error = cli_error(*arguments, *options)
    assert error.startswith("error: train/loss is nan at step 7: training has diverged; ")
    rate = "--model.optimization.learning_rate, which is 0.03"
    assert error.endswith(f"lower {rate}\n")
    table = f"{rate}, or --model.optimization.ngram_learning_rate, which is 2\n"
    assert cli_error(*arguments, *options, "--model.optimization.ngram_learning_rate=2").endswith(f"lower {table}")
    last, best = (read_checkpoint(RUN / "checkpoints" / f"{name}.ckpt") for name in ("last", "best"))
    assert (last["global_step"], best["global_step"]) == (6, 5)
    assert all(value.isfinite().all() for value in last["state_dict"].values())


def test_a_corpus_that_changed_is_not_gone_on_with(
    arguments: list[object], words_file: Path, tmp_path: Path, cli_error: Callable[..., str]
) -> None:
    arguments[2] = words = tmp_path / "words.txt"
    words.write_bytes(words_file.read_bytes())
    assert in_child(lambda: run_cli(*arguments, callback(Diverge, step=7), "--checkpoint_seconds=0")) == 1
    before = {path: path.read_bytes() for path in RUN.rglob("*") if path.is_file()}
    words.write_bytes(words_file.read_bytes() + b"ava\n")
    assert run_cli("fit", "--resume") == 1
    assert before == {path: path.read_bytes() for path in RUN.rglob("*") if path.is_file()}


def test_two_runs_at_once_have_two_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RunFolder.made(tmp_path / "runs", "x") as one, RunFolder.made(tmp_path / "runs", "x") as other:
        assert (one.path.name, other.path.name) == ("version_0", "version_1")
        seen = iter([one, RunFolder(other.path.with_name("version_2"))])
        monkeypatch.setattr(RunFolder, "new", lambda *_: next(seen))  # the first is made after this one looked
        with RunFolder.made(tmp_path / "runs", "x") as third:
            assert third.path.name == "version_2"
            (third.path / "config.yaml").touch()
    assert [path.name for path in (tmp_path / "runs" / "x").iterdir()] == ["version_2"]  # which alone was used


@linux
def test_a_run_cannot_be_gone_on_with_twice_at_once(
    tiny_run: Path, tmp_path: Path, cli_error: Callable[..., str]
) -> None:
    run = RunFolder(Path(shutil.copytree(tiny_run, tmp_path / "mine" / "version_0")))
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    with run.alone():
        error = cli_error("fit", "--ckpt_path", run.checkpoint("last"), "--trainer.max_steps=20")
        assert error.startswith(f"error: another training goes on in {run.path}: expected it to end first; ")
        assert before == {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    assert run_cli("fit", "--ckpt_path", run.checkpoint("last"), "--trainer.max_steps=13", "--quiet") == 0


def close(*descriptors: int) -> Callable[[], None]:
    """Closes streams as a shell does before Python begins."""

    def act() -> None:
        for descriptor in descriptors:
            os.close(descriptor)
            for name in ("", "__"):
                setattr(sys, f"{name}{('stdin', 'stdout', 'stderr')[descriptor]}{name}", None)

    return act


def unread(*descriptors: int) -> None:
    """Connects streams with a pipe that nobody reads."""
    end, start = os.pipe()
    os.close(end)
    for descriptor in descriptors:
        os.dup2(start, descriptor)
        name = ("stdin", "stdout", "stderr")[descriptor]
        stream = open(descriptor, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize(
    "spoil",
    [close(1), close(0, 1, 2), lambda: unread(1, 2)],
    ids=["no stdout", "no streams", "neither is read"],
)
def test_a_training_needs_no_one_who_reads_what_it_prints(
    arguments: list[object], tiny_run: Path, spoil: Callable[[], None]
) -> None:
    def run() -> int:
        spoil()
        return run_cli(*arguments[:-1], "--trainer.enable_progress_bar=true")

    assert in_child(run) == 0
    assert json.loads((RUN / "metrics.json").read_text(encoding="utf-8"))["steps"] == 12
    assert_same_end(RUN, tiny_run)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize(
    ("spoil", "arguments", "code"),
    [
        (close(1), ["sample", "-n", "3"], 1),
        (close(2), ["sample", "-n", "3"], 0),
        (close(2), ["sample", "-n", "x"], 2),
        (lambda: unread(1), ["sample", "-n", "3"], 1),
        (lambda: unread(2), ["sample", "-n", "x"], 2),
    ],
)
def test_results_need_a_stream_and_messages_do_not(
    tiny_run: Path, spoil: Callable[[], None], arguments: list[str], code: int
) -> None:
    def run() -> int:
        spoil()
        return run_cli(*arguments, "--ckpt_path", tiny_run)

    assert in_child(run) == code


def test_streams_that_are_open_stay_as_they_are() -> None:
    before = sys.stdin, sys.stdout, sys.stderr
    open_closed_streams()
    assert before == (sys.stdin, sys.stdout, sys.stderr)


def test_memory_that_is_exhausted_ends_in_one_line(
    cli_error: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(name: str) -> None:
        raise MemoryError

    monkeypatch.setattr(frame, "import_module", exhausted)
    assert cli_error("fit").startswith("error: there is not enough memory: ")


SOME = pytest.param([600], id="some")
ALL = pytest.param(range(100, 2000, 50), id="all", marks=pytest.mark.campaign)


@linux
@pytest.mark.parametrize("megabytes", [SOME, ALL])
def test_little_address_space_ends_in_one_line(words_file: Path, tmp_path: Path, megabytes: list[int]) -> None:
    for limit in megabytes:
        options = ["--data.path", words_file, "--trainer.default_root_dir", tmp_path, *TINY, "--quiet"]
        done = subprocess.run(
            [sys.executable, "train.py", "fit", *map(str, options)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            preexec_fn=lambda limit=limit: resource.setrlimit(resource.RLIMIT_AS, (limit * 2**20, limit * 2**20)),
        )
        if done.returncode == 0:
            continue
        lines = done.stderr.splitlines()
        assert done.returncode == 1, limit
        assert len(lines) == 1, (limit, done.stderr)
        assert lines[0].startswith("error: "), limit
        assert not list(tmp_path.rglob(".*"))


def test_a_clock_that_jumps(arguments: list[object], tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    jumps = iter(range(10**6))
    monkeypatch.setattr(time, "time", lambda: now() + (-1) ** next(jumps) * 86_400)
    assert run_cli(*arguments) == 0
    assert_same_end(RUN, tiny_run)
