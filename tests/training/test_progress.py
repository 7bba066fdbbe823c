from io import StringIO
from pathlib import Path

import lightning as L
import pytest
import torch
from rich.console import Console

from tests.networks import lecture
from tests.training.test_callbacks import fit
from wavenet.network.build import build
from wavenet.network.config import NetworkConfig
from wavenet.training.callbacks.final_validation import FinalValidation
from wavenet.training.callbacks.layer_table import layer_table
from wavenet.training.callbacks.progress import StepProgress


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
    assert all(line.endswith(" windows/s") for line in lines)


def test_a_long_training_without_a_terminal_prints_about_twenty_lines(
    words_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(words_file, StepProgress(), max_steps=120, val_check_interval=1)
    lines = capsys.readouterr().err.splitlines()
    assert 15 <= len(lines) <= 22
    assert lines[-1].startswith("step 120 of 120")


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
    network = lecture(27, 8)
    console.print(layer_table(network, torch.zeros(32, 8, dtype=torch.long)))
    text = console.export_text()
    for shape in ("(32, 8)", "(32, 8, 24)", "(32, 4, 48)", "(32, 4, 128)", "(32, 2, 256)", "(32, 256)", "(32, 27)"):
        assert shape in text
    assert "76,579" in text
    assert len([line for line in text.splitlines() if line.startswith("│")]) == len(network) + 1


def test_the_layer_table_shows_the_table_of_ngrams_beside_the_network() -> None:
    console = Console(record=True, width=100, file=StringIO())
    console.print(layer_table(build(NetworkConfig(ngram_rows=64), 27), torch.zeros(32, 8, dtype=torch.long)))
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in console.export_text().splitlines()]
    assert ["NgramLogits(64, 27, mode='sum')", "(32, 27)", f"{64 * 27:,}"] in rows
    assert rows[-2] == ["Sum of all", "(32, 27)", f"{76_579 + 64 * 27:,}"]


def test_the_layer_table_counts_shared_weights_once() -> None:
    console = Console(record=True, width=100, file=StringIO())
    console.print(layer_table(build(NetworkConfig(share_weights=True), 27), torch.zeros(32, 8, dtype=torch.long)))
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in console.export_text().splitlines()]
    *layers, total = [int(row[2].replace(",", "")) for row in rows if len(row) == 3]
    assert sum(layers) == total == 76_579 - 256 * 128


@pytest.mark.parametrize(("accumulate", "last"), [(1, "step 15 of 15"), (2, "step 9 of 9")])
def test_the_total_counts_the_last_partial_group_of_batches(
    words_file: Path, capsys: pytest.CaptureFixture[str], accumulate: int, last: str
) -> None:
    data = {"accumulate_grad_batches": accumulate, "max_steps": -1, "max_epochs": 3}
    fit(
        words_file,
        FinalValidation(),
        StepProgress(),
        val_check_interval=None,
        check_val_every_n_epoch=1,
        batch_size=80,
        **data,
    )
    assert capsys.readouterr().err.splitlines()[-1].startswith(last)


def test_without_an_end_lines_come_ever_further_apart(words_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    progress = StepProgress()
    progress._total_steps = lambda trainer: None  # type: ignore[method-assign]
    fit(words_file, progress, max_steps=200, val_check_interval=1)
    assert len(capsys.readouterr().err.splitlines()) < 30


class Clock(L.Callback):
    """A second passes in each training batch, a hundred in each validation."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("wavenet.training.callbacks.progress.time.perf_counter", lambda: self.now)

    def on_train_batch_start(self, *args: object) -> None:
        self.now += 1

    def on_validation_start(self, *args: object) -> None:
        self.now += 100


@pytest.mark.parametrize(("steps", "expected"), [(200, ["3 minutes"]), (60, ["55 seconds"]), (30, [])])
def test_long_trainings_say_once_how_long_they_take(
    steps: int,
    expected: list[str],
    words_file: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fit(words_file, StepProgress(), Clock(monkeypatch), max_steps=steps, val_check_interval=1)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("training takes")]
    assert lines == [f"training takes about {duration} from here on" for duration in expected]


def test_speed_counts_what_was_trained_on_and_not_validations(
    words_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(
        words_file,
        StepProgress(),
        Clock(monkeypatch),
        FinalValidation(),
        max_steps=-1,
        max_epochs=2,
        val_check_interval=None,
        check_val_every_n_epoch=1,
        batch_size=80,
    )
    (speed,) = {line.split()[-2] for line in capsys.readouterr().err.splitlines()}
    assert speed == "70"  # 349 windows in five batches
