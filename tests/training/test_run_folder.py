"""One folder for what a run leaves, whatever its loggers and however it ends."""

import json
import logging
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import yaml
from lightning.pytorch.loggers.logger import Logger

from tests.conftest import TINY, run_cli
from wavenet.training import checks


class ElsewhereLogger(Logger):
    """A logger as W&B's is: it writes beside the working folder, and has no version before it begins."""

    name = version = None
    save_dir = "."

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        pass

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        pass


class NowhereLogger(ElsewhereLogger):
    """A logger that writes no files."""

    save_dir = None  # type: ignore[assignment]


class Interrupt(L.Callback):
    """Presses Ctrl-C, or sends another signal, in the middle of a step, counted from 1, or after it."""

    def __init__(self, step: int, after: bool = True, number: int = int(signal.SIGINT)) -> None:
        self.step, self.after, self.number = step, after, number

    def on_before_optimizer_step(self, trainer: L.Trainer, *args: Any) -> None:
        if not self.after and trainer.global_step + 1 == self.step:
            signal.raise_signal(self.number)

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        if self.after and trainer.global_step == self.step:
            signal.raise_signal(self.number)


@pytest.fixture
def arguments(words_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A short training in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return ["fit", "--data.path", words_file, "--trainer.default_root_dir=runs", *TINY, "--quiet"]


@pytest.mark.parametrize(
    ("logger", "leaves"),
    [
        ("tests.training.test_run_folder.ElsewhereLogger", set()),
        ("tests.training.test_run_folder.NowhereLogger", set()),
        ('{"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"save_dir": "."}}', {"lightning_logs"}),
    ],
)
def test_a_run_has_one_folder_whatever_its_logger(
    arguments: list[object], tmp_path: Path, logger: str, leaves: set[str]
) -> None:
    for version in (0, 1):
        assert run_cli(*arguments, f"--trainer.logger={logger}") == 0
        run = tmp_path / "runs" / "default" / f"version_{version}"
        files = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
        assert files == {"config.yaml", "metrics.json", "checkpoints/best.ckpt", "checkpoints/last.ckpt"}
    assert {path.name for path in tmp_path.iterdir()} == {"runs", *leaves}


def test_a_dry_run_leaves_nothing(arguments: list[object], tmp_path: Path) -> None:
    assert run_cli(*arguments, "--trainer.fast_dev_run=true") == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("step", "after"), [(1, False), (1, True), (2, False)])
def test_an_early_interruption_leaves_a_checkpoint_to_go_on_from(
    arguments: list[object], tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], step: int, after: bool
) -> None:
    interrupt = {"class_path": "tests.training.test_run_folder.Interrupt", "init_args": {"step": step, "after": after}}
    capsys.readouterr()
    assert run_cli(*arguments, f"--trainer.callbacks=[{json.dumps(interrupt)}]") == 130
    last = Path("runs/default/version_0/checkpoints/last.ckpt")
    assert capsys.readouterr().err.endswith(f"fit --ckpt_path {last}\n")
    assert run_cli("fit", "--ckpt_path", last, "--quiet") == 0
    metrics = json.loads((tmp_path / "runs/default/version_0/metrics.json").read_text(encoding="utf-8"))
    assert metrics["steps"] == 12
    whole = torch.load(tiny_run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]  # never interrupted
    again = torch.load(last, weights_only=True)["state_dict"]
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_a_seed_that_is_drawn_is_recorded(arguments: list[object], tmp_path: Path) -> None:
    seeds = []
    for version in (0, 1):
        assert run_cli(*arguments, "--seed_everything=true", "--trainer.max_steps=2") == 0
        run = tmp_path / "runs" / "default" / f"version_{version}"
        seeds.append(json.loads((run / "metrics.json").read_text(encoding="utf-8"))["seed"])
        assert yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["seed_everything"] == seeds[-1]
    assert type(seeds[0]) is int
    assert seeds[0] != seeds[1]


def test_a_profiler_reports(
    arguments: list[object], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    profilers = logging.getLogger("lightning.pytorch.profilers")
    monkeypatch.setattr(profilers, "handlers", [caplog.handler])
    assert run_cli(*arguments, "--trainer.profiler=simple") == 0
    assert "run_training_batch" in caplog.text


@pytest.mark.parametrize("has", [False, True])
def test_bf16_is_warned_of_where_it_is_emulated(
    arguments: list[object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], has: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": has, "amx_bf16": False, "avx2": True})
    assert checks.has_bf16() is has
    bf16 = ["--trainer.precision=bf16-mixed", "--trainer.accelerator=cpu", "--trainer.max_steps=1"]
    assert run_cli(*arguments, *bf16) == 0
    assert ("bf16 is many times slower here" in capsys.readouterr().err) is not has


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--trainer.max_time=banana", "--trainer.max_time is refused: "),
        ('--trainer.max_time={"foo": 1}', "--trainer.max_time is refused: "),
        ("--trainer.devices=0", "--trainer.devices is refused: "),
        (f"--trainer.devices={2**64}", "--trainer.devices is refused: "),
        (f"--trainer.accumulate_grad_batches={2**64}", "--trainer.accumulate_grad_batches must be from -2^63"),
        (f"--trainer.max_steps={2**20000:#x}", "--trainer.max_steps must be from -2^63 to below 2^63"),
        ("--trainer.gradient_clip_val=.nan", "--trainer.gradient_clip_val must be a number, got nan"),
        ("--trainer.limit_val_batches=-1", "--trainer.limit_val_batches is refused: "),
        ("--trainer.gradient_clip_algorithm=foo", "--trainer.gradient_clip_algorithm is refused: "),
        ("--trainer.check_val_every_n_epoch=0", "--trainer.check_val_every_n_epoch must be above 0, got 0"),
        ("--trainer.default_root_dir=null", "--trainer.default_root_dir must be a folder, got null"),
        ("--trainer.callbacks+=LearningRateFinder", "--trainer.callbacks must be without LearningRateFinder"),
        ("--seed_everything=-5", "--seed_everything must be from 0 to 4294967295, got -5"),
        ("--data.alphabet=aa", "--data.alphabet must have each character once, got 'a' 2 times"),
    ],
)
def test_options_that_lightning_refuses(
    arguments: list[object], cli_error: Callable[..., str], tmp_path: Path, option: str, message: str
) -> None:
    assert message in cli_error(*arguments, option, code=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ['--trainer.val_check_interval={"minutes": 1}', "--trainer.strategy=ddp"])
def test_options_that_work_quietly(arguments: list[object], capsys: pytest.CaptureFixture[str], option: str) -> None:
    if "ddp" in option and not torch.distributed.is_available():
        pytest.skip("torch was built without torch.distributed")
    capsys.readouterr()
    assert run_cli(*arguments, option) == 0
    assert capsys.readouterr().err == ""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
