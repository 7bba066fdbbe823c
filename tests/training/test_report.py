import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from wavenet.corpus.splitting import Part, Split
from wavenet.inference.checkpoint import read_checkpoint
from wavenet.inference.model import TrainedModel
from wavenet.network.config import NetworkConfig
from wavenet.runs import RunFolder
from wavenet.training.data import WordsDataModule
from wavenet.training.module import LanguageModel
from wavenet.training.report import Training, collect_metrics, loss_table, print_report, sort_samples, write_metrics


def test_samples_are_sorted_by_where_they_stand() -> None:
    split = Split(*(Part(words, [()] * len(words)) for words in (["emma", "ava"], ["mia"], ["ava", "zoe"])))
    assert sort_samples(["ava", "zoe", "mia", "quen", "emma", "quen"], split) == {
        "in train": ["ava", "emma"],
        "in validation or test": ["zoe", "mia"],
        "new": ["quen", "quen"],
    }


def test_losses_are_those_of_the_best_checkpoint_and_of_the_last_step(tiny_run: Path, words_file: Path) -> None:
    path = tiny_run / "checkpoints" / "best.ckpt"
    data = WordsDataModule(str(words_file))
    torch.manual_seed(0)
    model = LanguageModel(data.alphabet, NetworkConfig(embedding_dim=4, hidden_dim=8, ngram_rows=64))
    metrics = collect_metrics(model, data, path, Training(steps=99, seconds=1.0, seed=1, threads=1))
    recorded = json.loads((tiny_run / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["step"] == 12
    assert metrics["last"]["step"] == metrics["steps"] == 99
    assert metrics["val/loss"] == recorded["val/loss"] < metrics["last"]["val/loss"]
    best = read_checkpoint(path)["state_dict"]
    assert all(torch.equal(value, best[name]) for name, value in model.state_dict().items())
    console = Console(markup=False, emoji=False, record=True, width=100, file=StringIO())
    print_report(metrics, {"new": ["quen", ":cat:", "[/b]"]}, RunFolder(tiny_run), None, console)
    text = console.export_text()
    assert "best checkpoint, step 12" in text
    assert "last step, step 99" in text
    for word in ("quen", ":cat:", "[/b]"):  # one a line, since a word may hold spaces and commas
        assert any(line.rstrip("│ ").endswith(word) for line in text.splitlines())
    assert "tensorboard" not in text


@pytest.mark.parametrize("batching", ["words", "windows"])
def test_of_a_large_list_a_part_of_train_is_measured(
    words_file: Path, monkeypatch: pytest.MonkeyPatch, batching: Any
) -> None:
    monkeypatch.setattr("wavenet.training.report.MEASURED", 7)
    data = WordsDataModule(str(words_file), batching=batching)
    model = LanguageModel(data.alphabet, NetworkConfig(embedding_dim=4, hidden_dim=8, ngram_rows=64))
    metrics = collect_metrics(model, data, None, Training(steps=0, seconds=1.0, seed=1, threads=1))
    scored = TrainedModel(model.network, model.vocabulary).score(data.split.train.words[:7])
    tokens = sum(len(score.word) + 1 for score in scored)
    assert metrics["train/words"] == 7
    assert metrics["val/words"] == metrics["test/words"] == 6
    assert metrics["train/loss"] == pytest.approx(-sum(score.log_prob for score in scored) / tokens)
    assert str(loss_table(metrics).columns[1].header) == "train (7 words)"
    scored = TrainedModel(model.network, model.vocabulary).score(data.split.val.words)
    tokens = sum(len(score.word) + 1 for score in scored)
    assert metrics["val/loss"] == pytest.approx(-sum(score.log_prob for score in scored) / tokens)


def test_the_last_checkpoint_stands_in_for_a_missing_best(tmp_path: Path) -> None:
    assert RunFolder(tmp_path).best_checkpoint is None
    (tmp_path / "checkpoints").mkdir()
    for name in ("last.ckpt", "best.ckpt"):
        (tmp_path / "checkpoints" / name).touch()
        found = RunFolder(tmp_path).best_checkpoint
        assert found is not None
        assert found.name == name


def test_metrics_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_metrics({"name": "Zoë"}, path)
    with pytest.raises(TypeError):
        write_metrics({"x": object()}, path)
    assert json.loads(path.read_text(encoding="utf-8")) == {"name": "Zoë"}
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.json"]
