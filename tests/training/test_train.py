import json
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml

from tests.conftest import ROOT, TINY, run_cli
from tests.copies import Copy
from wavenet.inference.checkpoint import read_checkpoint
from wavenet.runs import command
from wavenet.training.data import WordsDataModule
from wavenet.training.loss import mean_loss
from wavenet.training.module import LanguageModel


def weights(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]
    return state


def test_a_run_leaves_what_it_promises(tiny_run: Path, words_file: Path) -> None:
    assert {path.name for path in (tiny_run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert list(tiny_run.glob("events.out.tfevents.*"))
    config = yaml.safe_load((tiny_run / "config.yaml").read_text(encoding="utf-8"))
    assert (config["model"]["network"]["hidden_dim"], config["trainer"]["max_steps"]) == (8, 12)
    metrics = json.loads((tiny_run / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["corpus"] == {
        "path": str(words_file.absolute()),
        "sha256": WordsDataModule(str(words_file)).corpus.sha256,
        "note": None,
        "split_seed": 42,
        "deduplicate": False,
        "batching": "words",
        "batch_size": 8,
        "words": {"train": 48, "val": 6, "test": 6},
        "examples": {"train": 349, "val": 46, "test": 45},
        "also_in_train": {"val": 0, "test": 0},
        "longest_word": 8,
    }
    assert metrics["steps"] == 12
    assert metrics["parameters"] == 1215
    assert metrics["versions"]["torch"] == torch.__version__


def test_the_checkpoint_gives_the_recorded_losses(tiny_run: Path, words_file: Path) -> None:
    metrics = json.loads((tiny_run / "metrics.json").read_text(encoding="utf-8"))
    model = LanguageModel.load_from_checkpoint(tiny_run / "checkpoints" / "best.ckpt")
    data = WordsDataModule(str(words_file))
    for split in ("train", "val", "test"):
        assert mean_loss(model.network, data.eval_dataloader(split), model.device) == metrics[f"{split}/loss"]


@pytest.mark.parametrize("trained", ["words", "windows"])
def test_a_model_trained_either_way_runs_the_other_way(
    words_file: Path, tmp_path: Path, trained: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["fit", "--data.path", words_file, "--trainer.default_root_dir", tmp_path, *TINY]
    assert run_cli(*arguments, f"--data.batching={trained}") == 0
    checkpoint = tmp_path / "default" / "version_0" / "checkpoints" / "best.ckpt"
    model = LanguageModel.load_from_checkpoint(checkpoint)
    losses, scores = [], []
    for batching in ("words", "windows"):
        data = WordsDataModule(str(words_file), batching=batching)  # type: ignore[arg-type]
        losses.append(mean_loss(model.network, data.eval_dataloader("val"), model.device))
        capsys.readouterr()
        assert run_cli("validate", "--ckpt_path", checkpoint, f"--data.batching={batching}") == 0
        assert f"{losses[-1]:.4f}"[:-1] in capsys.readouterr().out
        more = [
            "--ckpt_path",
            checkpoint,
            f"--data.batching={batching}",
            "--trainer.default_root_dir",
            tmp_path / batching,
        ]
        assert run_cli("predict", *more) == 0
        scores.append([float(line.split()[1]) for line in capsys.readouterr().out.splitlines()])
    assert scores[0] == pytest.approx(scores[1], abs=2e-4)
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_the_same_seed_gives_the_same_weights_bit_for_bit(tiny_run: Path, words_file: Path, tmp_path: Path) -> None:
    arguments = ["fit", "--data.path", words_file, "--trainer.default_root_dir", tmp_path, *TINY]
    assert run_cli(*arguments) == 0
    assert run_cli(*arguments, "--seed_everything=7") == 0
    first, again, other = weights(tiny_run), *(weights(tmp_path / "default" / f"version_{n}") for n in (0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_the_saved_configuration_repeats_the_run(tiny_run: Path, tmp_path: Path) -> None:
    assert run_cli("fit", "--config", tiny_run / "config.yaml", "--trainer.default_root_dir", tmp_path) == 0
    first, again = weights(tiny_run), weights(tmp_path / "default" / "version_0")
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_training_goes_on_from_a_checkpoint(tiny_run: Path, words_file: Path, tmp_path: Path) -> None:
    arguments = ["fit", "--data.path", words_file, "--trainer.default_root_dir", tmp_path, *TINY]
    constant = "--model.optimization.schedule=constant"
    assert run_cli(*arguments, constant) == 0
    first = tmp_path / "default" / "version_0"
    checkpoint = first / "checkpoints" / "last.ckpt"
    before = json.loads((first / "metrics.json").read_text(encoding="utf-8"))
    assert run_cli(*arguments, constant, "--ckpt_path", checkpoint, "--trainer.max_steps=20") == 0
    more = json.loads((first / "metrics.json").read_text(encoding="utf-8"))
    assert more["steps"] == 20
    assert more["train/loss"] < before["train/loss"]


def test_the_default_command_prints_only_what_a_person_wants(words_file: Path, tmp_path: Path) -> None:
    options = ["--data.path", words_file, "--trainer.default_root_dir", tmp_path, *TINY]
    ended = Copy(partial(run_cli, "fit", *options), tmp_path / "streams").ended()
    assert ended.code == 0
    assert [line[:10] for line in ended.err.splitlines()] == ["step 5 of ", "step 10 of", "step 12 of"]
    assert len((ended.out + ended.err).splitlines()) <= 64  # twenty of them are words
    assert not {"\r", "\x1b"} & set(ended.out + ended.err)
    run = tmp_path / "default" / "version_0"
    wavenet = command("wavenet")
    for expected in (
        "(32, 8, 4)",
        "loss (nats per character)",
        "20 samples",
        "-gram, to compare",
        "chosen for 48 words: batches of 8, learning rate",
        f"Run:    {run}",
        f"Watch:  {command('tensorboard')} --logdir {tmp_path}",
        f"Sample: {wavenet} sample --unique --novel --ckpt_path {run}/checkpoints/best.ckpt",
        f"Test:   {wavenet} test --ckpt_path {run}/checkpoints/best.ckpt",
    ):
        assert expected in ended.out


def test_without_the_network_training_goes_on_with_the_bundled_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundled = (ROOT / "data" / "world_names.tsv").read_bytes()
    (tmp_path / "world_names.tsv").write_bytes(bundled)
    monkeypatch.setattr("wavenet.corpus.download.DATA_DIR", tmp_path)
    monkeypatch.setattr("wavenet.corpus.download.BUNDLED", tmp_path / "world_names.tsv")
    assert run_cli("fit", "--trainer.default_root_dir", tmp_path, *TINY) == 0
    note, *_ = capsys.readouterr().err.splitlines()
    assert note.startswith("note: names.txt could not be downloaded")
    assert note.endswith(f"uses the bundled corpus {tmp_path / 'world_names.tsv'}")
    metrics = json.loads((tmp_path / "default" / "version_0" / "metrics.json").read_text(encoding="utf-8"))
    assert note == f"note: {metrics['corpus']['note']}"
