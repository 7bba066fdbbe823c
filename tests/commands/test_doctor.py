"""The doctor: what it says, and what it finds."""

import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT, run_cli
from tests.copies import run
from tests.networks import batch_norm_bug, gated, lecture
from wavenet.commands import doctor
from wavenet.corpus.vocabulary import Vocabulary
from wavenet.inference import forms
from wavenet.inference.checkpoint import read_checkpoint
from wavenet.inference.forms import largest_difference
from wavenet.network import stepping
from wavenet.training import tiny


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder without runs; the number of threads is as before afterwards."""
    before = torch.get_num_threads()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "DATA_DIR", tmp_path / "data")
    yield
    torch.set_num_threads(before)


def report(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> dict[str, str]:
    """What the doctor says, by its first words."""
    capsys.readouterr()
    assert run_cli("doctor", *arguments) == code
    out, err = capsys.readouterr()
    assert err == ""
    *lines, last = out.splitlines()
    assert (last == "all is well") == (code == 0)
    return {line[:14].strip(): line[15:] for line in lines}


def test_all_is_well_without_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys)
    assert re.fullmatch(r"wavenet \S+, python 3\S+, torch 2\S+, lightning \S+, torchmetrics \S+.*", found["versions"])
    assert " for the default network" in found["threads"]
    assert found["devices"].startswith("cpu")
    assert re.fullmatch(r"ok: 7,276 words, SHA-256 [0-9a-f]{64}", found["bundled words"])
    assert "is not there yet" in found["names"]
    assert found["three ways"].startswith("ok: logits of a random network differ by ")
    loss = re.match(r"ok: validation loss ([\d.]+) after ", found["training"])
    assert loss
    assert float(loss[1]) == pytest.approx(tiny.RECORDED_LOSS, abs=1e-6)


def test_a_checkpoint_is_tested(
    capsys: pytest.CaptureFixture[str], tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny, "tiny_loss", lambda: tiny.RECORDED_LOSS)  # which takes a second, and has its own tests
    (tmp_path / "runs").symlink_to(tiny_run.parent.parent, target_is_directory=True)
    assert "ok: logits of runs/" in report(capsys)["three ways"]
    assert "checkpoints/best.ckpt differ" in report(capsys, "--ckpt_path", tiny_run)["three ways"]
    checkpoint = read_checkpoint(tiny_run / "checkpoints" / "best.ckpt")
    next(iter(checkpoint["state_dict"].values()))[0] = float("nan")
    torch.save(checkpoint, tmp_path / "nan.ckpt")
    assert "FAILED: CheckpointError" in report(capsys, "--ckpt_path", tmp_path / "nan.ckpt", code=1)["three ways"]
    assert "FAILED: FileNotFoundError" in report(capsys, "--ckpt_path", "nowhere", code=1)["three ways"]


def test_what_is_wrong_is_found(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "names.txt").write_text("emma\n", encoding="utf-8")
    monkeypatch.setattr(tiny, "RECORDED_LOSS", tiny.RECORDED_LOSS + 2 * tiny.TOLERANCE)
    monkeypatch.setattr(doctor, "TOLERANCE", 0.0)
    found = report(capsys, code=1)
    for what in ("names", "three ways", "training"):
        assert found[what].startswith("FAILED: ")


@pytest.mark.parametrize("threads", [1, 2])
def test_the_loss_of_a_tiny_training_does_not_depend_on_threads(threads: int) -> None:
    torch.set_num_threads(threads)
    before = torch.get_rng_state()
    assert tiny.tiny_loss() == pytest.approx(tiny.RECORDED_LOSS, abs=1e-6)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("network", [lecture, gated, batch_norm_bug])
def test_ways_that_differ_are_found(network: "object", monkeypatch: pytest.MonkeyPatch) -> None:
    built, vocabulary = network(4), Vocabulary("abc")  # type: ignore[operator]
    words = ["abcabcabcabc", "", "a", "bb"]
    assert largest_difference(built, vocabulary, words) < 1e-4
    step = stepping.step
    monkeypatch.setattr(forms, "step", lambda *given: step(*given) + 0.1)
    assert largest_difference(built, vocabulary, words) == pytest.approx(0.1, abs=1e-4)
    monkeypatch.setattr(forms, "step", step)
    monkeypatch.setattr(forms, "predictions", lambda *given: (torch.zeros(19, 4), None))
    assert largest_difference(built, vocabulary, words) > 0.01


def test_a_busy_machine_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (0.1, 0.1, 0.1))
    ticks = iter(range(1000))
    monkeypatch.setattr(time, "process_time", lambda: 0.1 * next(ticks))
    clock = iter([0.0, 0.32, 0.0, 0.8])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    assert list(doctor.busy()) == []
    assert len(list(doctor.busy())) == 1
    monkeypatch.setattr(os, "getloadavg", lambda: (1000.0, 0.1, 0.1))
    clock = iter([0.0, 0.32])
    assert "1000.0 programs" in next(doctor.busy())


def test_who_the_user_is_stays_private(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setattr(doctor, "getuser", lambda: "ada")
    assert doctor.private("/home/ada/x /srv/ada/y /home/adam /home/ada") == "~/x /srv/USER/y /home/adam ~"


@pytest.mark.skipif(sys.platform == "win32", reason="HOME is no home there")
def test_the_report_as_it_is_pasted(tiny_run: Path, tmp_path: Path) -> None:
    home = tmp_path / "somebody"
    shutil.copytree(tiny_run.parent.parent, home / "runs")
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "LOGNAME": "somebody"}
    command = [sys.executable, ROOT / "train.py", "doctor", "--ckpt_path", home / "runs"]
    done = run(command, cwd=home, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "somebody" not in done.stdout
    assert "ok: logits of ~/runs/default/version_0/checkpoints/best.ckpt" in done.stdout
