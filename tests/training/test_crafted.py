"""No checkpoint, whoever wrote it, touches a file, hangs, or ends in anything but one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from tests.conftest import run_cli
from tests.training.crafted import FOR_ALL, FOR_FIT, FOR_LIGHTNING, HARMLESS, Change
from wavenet.inference.checkpoint import CheckpointError, load, read_checkpoint
from wavenet.training.checks import record_to_use

GOING_ON = ["--trainer.max_steps=13", "--quiet"]
OTHERS = {
    "validate": [], "test": [], "predict": [], "sample": ["-n", "3"], "score": ["emila"], "top": ["-n", "3"],
}  # fmt: skip


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    """A run of 12 steps that has been moved."""
    return Path(shutil.copytree(tiny_run, tmp_path / "runs" / "mine" / "version_0"))


@pytest.fixture
def crafted(run: Path) -> Callable[[Change], Path]:
    """Changes the run's last checkpoint."""
    path = run / "checkpoints" / "last.ckpt"

    def craft(change: Change) -> Path:
        content = read_checkpoint(path)
        change(content)
        torch.save(content, path)
        return path

    return craft


@pytest.mark.parametrize("name", [*FOR_ALL, *FOR_LIGHTNING, *FOR_FIT])
def test_a_crafted_checkpoint_is_refused(crafted: Callable[[Change], Path], name: str) -> None:
    path = crafted({**FOR_ALL, **FOR_LIGHTNING, **FOR_FIT}[name])
    with pytest.raises(CheckpointError, match=r"last\.ckpt") as refused:
        record_to_use(str(path), going_on=True)
    assert len(str(refused.value)) < 1_000
    if name in FOR_FIT:
        record_to_use(str(path))
        return
    with pytest.raises(CheckpointError):
        record_to_use(str(path))
    if name in FOR_ALL:
        with pytest.raises(CheckpointError):
            load(path)


@pytest.mark.parametrize(
    "name",
    ["a weight that is a string", "a version of Lightning that is a list", "no loops", "a moment seen as many"],
)
def test_a_training_refuses_it_and_leaves_its_run_alone(
    crafted: Callable[[Change], Path], cli_error: Callable[..., str], name: str
) -> None:
    path = crafted({**FOR_ALL, **FOR_LIGHTNING, **FOR_FIT}[name])
    before = {file: file.read_bytes() for file in path.parent.parent.rglob("*") if file.is_file()}
    assert "last.ckpt" in cli_error("fit", "--ckpt_path", path, *GOING_ON)
    assert before == {file: file.read_bytes() for file in path.parent.parent.rglob("*") if file.is_file()}


@pytest.mark.parametrize("command", OTHERS)
@pytest.mark.parametrize(
    "name", ["one number seen as many", "a variance below zero", "an alphabet that walks for ever"]
)
def test_every_command_refuses_it(
    crafted: Callable[[Change], Path], cli_error: Callable[..., str], name: str, command: str
) -> None:
    assert "last.ckpt" in cli_error(command, "--ckpt_path", crafted(FOR_ALL[name]), *OTHERS[command])


def test_what_is_not_needed_is_not_looked_at(crafted: Callable[[Change], Path]) -> None:
    for change in HARMLESS.values():
        path = crafted(change)
    assert run_cli("fit", "--ckpt_path", path, *GOING_ON) == 0
    assert run_cli("test", "--ckpt_path", path) == 0


class OwnCheckpoint(ModelCheckpoint):
    """A callback of the user's own, which restores as Lightning's does."""


PATHS = ("best_model_path", "kth_best_model_path", "last_model_path", "dirpath")


def pointing_at(victim: Path, callback: Callable[[str], str]) -> Change:
    """Makes every state of a callback name a folder, in each of the ways that Lightning understands."""

    def change(content: dict[str, Any]) -> None:
        state: dict[str, Any] = {name: callback(str(victim)) for name in PATHS}
        score = torch.tensor(-1e9)
        state |= {
            "best_k_models": {callback(str(victim)): score}, "best_model_score": score, "kth_value": score,
            "current_score": score, "monitor": "val/loss", "time_elapsed": {"train": 1.0},
        }  # fmt: skip
        own = [kind(victim.parent / "own", monitor="val/loss") for kind in (ModelCheckpoint, OwnCheckpoint)]
        keys = [*content["callbacks"], *(callback.state_key for callback in own), "ModelCheckpoint", "OwnCheckpoint"]
        known = content["callbacks"]
        content["callbacks"] = {key: known.get(key, {}) | state for key in keys if key != "RandomStates"}
        content["callbacks"]["RandomStates"] = known["RandomStates"]  # which refuses whatever is not its own
        content["loops"]["fit_loop"]["state_dict"] = dict(state)
        content |= {name: str(victim) for name in PATHS}

    return change


@pytest.mark.parametrize(
    ("own", "scheme"),
    [
        (None, "{}"),
        (None, "local://{}"),
        (None, "file://{}"),
        ("lightning.pytorch.callbacks.ModelCheckpoint", "local://{}"),
        (f"{__name__}.OwnCheckpoint", "{}"),
        (f"{__name__}.OwnCheckpoint", "local://{}"),
    ],
)
def test_no_path_of_a_checkpoint_is_ever_used(
    crafted: Callable[[Change], Path], tmp_path: Path, own: str | None, scheme: str
) -> None:
    victim = tmp_path / "victim"
    (victim / "deep").mkdir(parents=True)
    (victim / "deep" / "file.ckpt").write_text("mine", encoding="utf-8")
    path = crafted(pointing_at(victim, scheme.format))
    options = ["--trainer.max_steps=15", "--quiet"]  # after which it validates, and writes checkpoints
    if own is not None:
        arguments = {"dirpath": str(tmp_path / "own"), "monitor": "val/loss", "save_top_k": 1}
        options += [f"--trainer.callbacks={json.dumps([{'class_path': own, 'init_args': arguments}])}"]
    evaluations = ("validate", "test", "predict") if own is None else ()  # which take no callbacks
    for command, more in (("fit", options), *((name, []) for name in evaluations)):
        assert run_cli(command, "--ckpt_path", path, *more) == 0
        assert [file.read_text(encoding="utf-8") for file in victim.rglob("*") if file.is_file()] == ["mine"]
    assert str(victim) not in str(read_checkpoint(path)["callbacks"])
    expected = {"runs", "victim"} | ({"own"} if own else set())
    assert {entry.name for entry in tmp_path.iterdir()} == expected


def test_the_canary_would_be_touched(tmp_path: Path) -> None:
    """Lightning itself deletes what a checkpoint names: were it mended, the test above would show nothing."""
    victim = tmp_path / "victim"
    victim.mkdir()
    callback = ModelCheckpoint(tmp_path / "own", monitor="val/loss", save_top_k=1)
    score = torch.tensor(9.0)
    state = {name: f"local://{victim}" for name in PATHS} | {"dirpath": str(tmp_path / "own")}
    callback.load_state_dict(
        {**state, "best_k_models": {f"local://{victim}": score}, "best_model_score": score, "kth_value": score}
    )
    trainer = L.Trainer(logger=False, enable_progress_bar=False, enable_model_summary=False, accelerator="cpu")
    callback._remove_checkpoint(trainer, callback.kth_best_model_path)
    assert not victim.exists()
