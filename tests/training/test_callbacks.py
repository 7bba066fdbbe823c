import csv
import re
import time
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from wavenet.inference.sampling import Words
from wavenet.network.config import NetworkConfig
from wavenet.training.callbacks.final_validation import FinalValidation
from wavenet.training.callbacks.health import NetworkHealth
from wavenet.training.callbacks.progress import StepProgress
from wavenet.training.callbacks.record import RunRecord
from wavenet.training.callbacks.samples import WordSamples, samples_table
from wavenet.training.callbacks.scalars import TrainingScalars, update_ratio
from wavenet.training.data import WordsDataModule
from wavenet.training.module import LanguageModel

SMALL = NetworkConfig(embedding_dim=4, hidden_dim=8)


def fit(
    words_file: Path, *callbacks: L.Callback, batch_size: int = 64, network: NetworkConfig = SMALL, **kwargs: object
) -> L.Trainer:
    data = WordsDataModule(str(words_file), batching="windows", batch_size=batch_size)
    model = LanguageModel(data.alphabet, network)
    settings = {"max_steps": 8, "val_check_interval": 5, "check_val_every_n_epoch": None, "num_sanity_val_steps": 0}
    quiet = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
    trainer = L.Trainer(accelerator="cpu", callbacks=list(callbacks), **{**settings, **quiet, **kwargs})  # type: ignore[arg-type]
    trainer.fit(model, data)
    return trainer


class Validations(L.Callback):
    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.steps.append(trainer.global_step)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [({}, [5, 8]), ({"max_steps": 10}, [5, 10]), ({"max_steps": -1, "max_epochs": 2}, [5, 10, 12])],
)
def test_the_last_step_is_always_validated(words_file: Path, bounds: dict[str, int], expected: list[int]) -> None:
    validations = Validations()
    trainer = fit(words_file, FinalValidation(), validations, enable_progress_bar=False, **bounds)
    assert validations.steps == expected
    assert trainer.global_step == expected[-1]


def test_scalars_of_a_step(words_file: Path, tmp_path: Path) -> None:
    """With plain gradient descent the update is known: the learning rate times the gradient."""
    expected: dict[int, tuple[float, float]] = {}

    class Watch(L.Callback):
        def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: object) -> None:
            weight = pl_module.network[2].weight  # type: ignore[index,union-attr]
            total = sum(float(value.grad.norm()) ** 2 for value in pl_module.parameters() if value.grad is not None)
            update = 0.1 * weight.grad  # type: ignore[operator]
            expected[trainer.global_step] = (total**0.5, update_ratio(weight.detach(), weight.detach() - update))

    data = WordsDataModule(str(words_file), batch_size=16)
    settings = {"optimizer": "sgd", "schedule": "constant", "learning_rate": 0.1, "weight_decay": 0.0}
    model = LanguageModel(data.alphabet, SMALL, settings)
    logger = CSVLogger(tmp_path)
    trainer = L.Trainer(
        accelerator="cpu", max_steps=6, log_every_n_steps=2, logger=logger, enable_checkpointing=False,
        enable_model_summary=False, enable_progress_bar=False, callbacks=[TrainingScalars(), Watch()],
        num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(model, data)
    with open(Path(logger.log_dir) / "metrics.csv", encoding="utf-8") as file:
        rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
    written = {int(row["step"]): row for row in rows if "train/gradient_norm" in row}
    assert list(written) == [1, 3, 5]
    for step, row in written.items():
        norm, ratio = expected[step]
        assert row["train/gradient_norm"] == pytest.approx(norm, rel=1e-4)
        assert row["update_ratio/2.weight"] == pytest.approx(ratio, abs=1e-3)
        assert row["train/learning_rate"] == pytest.approx(0.1)
        assert row["train/seconds_per_step"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_words": 0}, "num_words must be at least 1, got 0"),
        ({"num_words": 5, "num_draws": 4}, "num_draws must be at least num_words 5, got 4"),
        ({"seconds": -1}, "seconds must be at least 0, got -1"),
    ],
)
def test_wrong_values_are_refused_on_construction(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WordSamples(**options)


def test_samples_show_words_at_most_once_in_a_while(words_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seconds, expected in ((60, 1), (0, 2)):
        progress = StepProgress()
        progress._console = Console(stderr=True, force_terminal=True, width=120)
        fit(words_file, progress, FinalValidation(), WordSamples(num_words=3, num_draws=10, seconds=seconds))
        assert capsys.readouterr().err.count("words: ") == expected
    fit(words_file, StepProgress(), WordSamples(num_words=3, num_draws=10))
    assert "words: " not in capsys.readouterr().err  # it is no terminal


def test_the_table_of_samples_is_markdown_whatever_the_words() -> None:
    from tensorboard.plugin_util import markdown_to_safe_html

    words = ["a|b", "*zoë*", "<script>", "&lt;b", "a_b_c", "[x](y)", "`q`", "1. z"]
    table = samples_table(Words(words, [-1.0] * len(words)), ["new"] * len(words), len(words) - 1)
    assert table.splitlines()[2] == "| a\\|b | new | -1.00 |"
    shown = [unescape(cell) for cell in re.findall("<td>(.*?)</td>", markdown_to_safe_html(table))]
    assert shown[::3] == words[:-1]


@pytest.mark.parametrize("monitor", [TrainingScalars, WordSamples, RunRecord, lambda: NetworkHealth(1)])
def test_monitoring_does_not_change_the_training(
    words_file: Path, tmp_path: Path, monitor: Callable[[], L.Callback]
) -> None:
    results = []
    for callbacks in ([], [monitor()]):
        L.seed_everything(1, verbose=False)
        data = WordsDataModule(str(words_file), batch_size=16)
        model = LanguageModel(data.alphabet, replace(SMALL, dropout=0.3))
        logger = TensorBoardLogger(tmp_path, default_hp_metric=False)
        L.Trainer(
            accelerator="cpu", max_epochs=3, log_every_n_steps=2, logger=logger, enable_checkpointing=False,
            enable_model_summary=False, enable_progress_bar=False, num_sanity_val_steps=0, callbacks=callbacks,
        ).fit(model, data)  # fmt: skip
        results.append([*model.state_dict().values(), torch.get_rng_state()])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("monitor", [TrainingScalars, WordSamples, RunRecord, NetworkHealth])
def test_a_monitor_that_is_switched_off_writes_nothing(
    words_file: Path, tmp_path: Path, monitor: Callable[..., L.Callback]
) -> None:
    sizes = []
    for callbacks in ([], [monitor(enabled=False)]):
        logger = TensorBoardLogger(tmp_path, default_hp_metric=False)
        fit(words_file, *callbacks, logger=logger, enable_progress_bar=False, max_steps=20, val_check_interval=4)
        logger.finalize("success")
        events = EventAccumulator(logger.log_dir)
        events.Reload()
        sizes.append(events.Tags())
    assert sizes[0] == sizes[1]


def test_seconds_a_step_leave_out_validations(words_file: Path, tmp_path: Path) -> None:
    class Slow(L.Callback):
        def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            time.sleep(0.3)

    logger = CSVLogger(tmp_path)
    fit(words_file, TrainingScalars(), Slow(), logger=logger, log_every_n_steps=3, val_check_interval=2)
    with open(Path(logger.log_dir) / "metrics.csv", encoding="utf-8") as file:
        seconds = [
            float(row["train/seconds_per_step"]) for row in csv.DictReader(file) if row["train/seconds_per_step"]
        ]
    assert len(seconds) == 2
    assert max(seconds) < 0.1
