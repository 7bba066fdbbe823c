from io import StringIO
from pathlib import Path

import lightning as L
import pytest
import torch
from rich.console import Console

from wavenet.callbacks import FinalValidation, StepProgress, layer_table
from wavenet.data import WordsDataModule
from wavenet.module import LanguageModel
from wavenet.networks import wavenet


def fit(words_file: Path, *callbacks: L.Callback, **kwargs: object) -> L.Trainer:
    data = WordsDataModule(str(words_file), batching="windows", batch_size=64)
    model = LanguageModel(data.alphabet, embedding_dim=4, hidden_dim=8)
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


def test_progress_without_a_terminal_is_a_line_per_validation(
    words_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(words_file, FinalValidation(), StepProgress(), log_every_n_steps=4)
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["step 5 of 8", "step 8 of 8"]
    assert "train/loss 2." in lines[0]
    assert "val/loss 2." in lines[0]
    assert "\r" not in captured.err
    assert "\x1b" not in captured.err


def test_progress_in_a_terminal_is_a_bar_that_ends(words_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    progress = StepProgress()
    progress._console = Console(stderr=True, force_terminal=True, width=120)
    fit(words_file, FinalValidation(), progress)
    assert "8/8" in capsys.readouterr().err
    assert progress._progress is None


def test_disabled_progress_says_nothing(words_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    progress = StepProgress()
    progress.disable()
    fit(words_file, progress)
    assert capsys.readouterr().err == ""


def test_the_layer_table_shows_the_shapes_of_the_notes() -> None:
    console = Console(width=100, record=True, file=StringIO())
    network = wavenet(27)
    console.print(layer_table(network, torch.zeros(32, 8, dtype=torch.long)))
    text = console.export_text()
    for shape in ("(32, 8)", "(32, 8, 24)", "(32, 4, 48)", "(32, 4, 128)", "(32, 2, 256)", "(32, 256)", "(32, 27)"):
        assert shape in text
    assert "76,579" in text
    assert len([line for line in text.splitlines() if line.startswith("│")]) == len(network) + 1
