"""A training that goes on: in its folder, with its settings, batches and best checkpoint, and a schedule that fits."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import yaml

from tests.conftest import run_cli
from wavenet.inference.checkpoint import read_checkpoint
from wavenet.network.config import NetworkConfig
from wavenet.network.packing import Batch
from wavenet.runs import RunFolder
from wavenet.training.callbacks.checkpoints import checkpoints
from wavenet.training.callbacks.final_validation import FinalValidation
from wavenet.training.data import WordsDataModule
from wavenet.training.module import LanguageModel
from wavenet.training.optimization import OptimizationConfig

SMALL = NetworkConfig(embedding_dim=4, hidden_dim=8)


class Steps(L.Callback):
    """Notes the batch and the learning rate of each step; stops, or saves, after one of them."""

    def __init__(self, save: Path | None = None, at: int = 0) -> None:
        self.batches: list[list[int]] = []
        self.rates: list[float] = []
        self.save, self.at = save, at

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Batch, idx: int) -> None:
        self.batches.append(batch.targets.tolist())
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_batch_end(self, trainer: L.Trainer, *args: object) -> None:
        if self.save is not None and trainer.global_step == self.at:
            trainer.save_checkpoint(self.save)


def fit(
    words_file: Path,
    ckpt_path: Path | None = None,
    network: NetworkConfig = SMALL,
    optimization: OptimizationConfig = OptimizationConfig(),
    steps: Steps | None = None,
    **bounds: int,
) -> tuple[Steps, L.Trainer]:
    """A training of four steps an epoch."""
    L.seed_everything(1, verbose=False)
    data = WordsDataModule(str(words_file), batch_size=12)
    model, steps = LanguageModel(data.alphabet, network, optimization), steps or Steps()
    trainer = L.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, callbacks=[steps, FinalValidation()], **bounds,
    )  # fmt: skip
    trainer.fit(model, data, ckpt_path=ckpt_path)
    return steps, trainer


@pytest.mark.parametrize("at", [1, 3, 4, 6, 8])
def test_the_batches_go_on_where_they_were(words_file: Path, tmp_path: Path, at: int) -> None:
    path = tmp_path / "x.ckpt"
    whole, trainer = fit(words_file, steps=Steps(path, at), max_epochs=3)
    again, resumed = fit(words_file, path, max_epochs=3)
    assert again.batches == whole.batches[at:]
    assert again.rates == whole.rates[at:]
    weights = [module.lightning_module.state_dict() for module in (trainer, resumed)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_finished_training_goes_on_with_the_epochs_that_come_next(words_file: Path, tmp_path: Path) -> None:
    whole, _ = fit(words_file, max_epochs=4)
    _, trainer = fit(words_file, max_epochs=2)
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    more, trainer = fit(words_file, tmp_path / "x.ckpt", max_epochs=4)
    assert trainer.global_step == 16
    assert more.batches == whole.batches[8:]


def test_the_steps_left_have_a_schedule_of_their_own(words_file: Path, tmp_path: Path) -> None:
    _, trainer = fit(words_file, max_steps=20)
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    moments = trainer.optimizers[0].state_dict()["state"]
    more, trainer = fit(words_file, tmp_path / "x.ckpt", steps=Steps(tmp_path / "y.ckpt", 30), max_steps=40)
    assert len(more.rates) == 20
    assert max(more.rates) == pytest.approx(0.025 / 5)  # the first schedule had ended near zero
    assert more.rates[-1] < 1e-3
    (groups,) = (state["param_groups"] for state in read_checkpoint(tmp_path / "y.ckpt")["optimizer_states"])
    assert groups[0]["max_lr"] == pytest.approx(0.025 / 5)
    assert moments[0]["step"] == 20
    assert trainer.optimizers[0].state_dict()["state"][0]["step"] == 40  # the moments were kept
    resumed, _ = fit(words_file, tmp_path / "y.ckpt", max_steps=40)
    assert resumed.rates == more.rates[10:]
    early, _ = fit(words_file, steps=Steps(tmp_path / "z.ckpt", 5), max_steps=20)
    later, _ = fit(words_file, tmp_path / "z.ckpt", max_steps=100)
    assert max(later.rates) == pytest.approx(early.rates[5], rel=0.05)  # it was interrupted at a higher rate


def test_the_lectures_schedule_and_a_constant_rate_go_on_too(words_file: Path, tmp_path: Path) -> None:
    lecture = OptimizationConfig("sgd", 0.1, 0.0, "step")
    _, trainer = fit(words_file, optimization=lecture, max_steps=8)
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    more, _ = fit(words_file, tmp_path / "x.ckpt", optimization=lecture, max_steps=16)
    assert more.rates == pytest.approx([0.02] * 6 + [0.002] * 2)
    constant = replace(lecture, schedule="constant")
    _, trainer = fit(words_file, optimization=constant, max_steps=8)
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    more, _ = fit(words_file, tmp_path / "x.ckpt", optimization=constant, max_steps=10)
    assert more.rates == [0.1] * 2
    more, _ = fit(words_file, tmp_path / "x.ckpt", optimization=replace(constant, learning_rate=0.05), max_steps=10)
    assert more.rates == [0.05] * 2


def test_a_table_that_is_learned_row_by_row_goes_on_at_a_lower_rate(words_file: Path, tmp_path: Path) -> None:
    network, by_row = replace(SMALL, ngram_rows=64), OptimizationConfig(ngram_learning_rate=0.2)
    _, trainer = fit(words_file, network=network, optimization=by_row, max_steps=8)
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    (kept,) = (state["sum"] for state in trainer.optimizers[0].state_dict()["state"].values() if "sum" in state)
    _, trainer = fit(words_file, tmp_path / "x.ckpt", network, by_row, Steps(tmp_path / "y.ckpt", at=9), max_steps=16)
    (state,) = read_checkpoint(tmp_path / "y.ckpt")["optimizer_states"]
    assert [group["max_lr"] for group in state["param_groups"]] == pytest.approx([0.025 / 5, 0.2 / 5])
    (later,) = (state["sum"] for state in trainer.optimizers[0].state_dict()["state"].values() if "sum" in state)
    assert (later >= kept).all()
    faster = replace(by_row, ngram_learning_rate=0.5)
    fit(words_file, tmp_path / "x.ckpt", network, faster, Steps(tmp_path / "z.ckpt", at=9), max_steps=16)
    (state,) = read_checkpoint(tmp_path / "z.ckpt")["optimizer_states"]
    assert [group["max_lr"] for group in state["param_groups"]] == pytest.approx([0.025 / 5, 0.5])
    for optimization in (OptimizationConfig(), replace(by_row, learning_rate=0.01, ngram_learning_rate=0.0)):
        with pytest.raises(ValueError, match=r"ngram_learning_rate 0\.2: expected another above 0, got 0"):
            fit(words_file, tmp_path / "x.ckpt", network, optimization, max_steps=16)


def test_rates_and_dropout_may_change(words_file: Path, tmp_path: Path) -> None:
    whole, _ = fit(words_file, steps=Steps(tmp_path / "x.ckpt", 5), max_steps=20)
    decay, trainer = fit(
        words_file, tmp_path / "x.ckpt", optimization=OptimizationConfig(weight_decay=0.3), max_steps=20
    )
    assert decay.rates == whole.rates[5:]
    assert trainer.optimizers[0].param_groups[0]["weight_decay"] == 0.3
    faster, trainer = fit(
        words_file,
        tmp_path / "x.ckpt",
        network=replace(SMALL, dropout=0.2),  # which gives the layers after it other numbers
        optimization=OptimizationConfig(learning_rate=0.05),
        max_steps=20,
    )
    assert max(faster.rates) == pytest.approx(0.05, rel=0.1)
    trainer.save_checkpoint(tmp_path / "y.ckpt")
    settings = read_checkpoint(tmp_path / "y.ckpt")["hyper_parameters"]
    assert (settings["network"]["dropout"], settings["optimization"]["learning_rate"]) == (0.2, 0.05)


def test_no_path_is_taken_from_a_checkpoint(tmp_path: Path) -> None:
    victim = tmp_path / "victim.ckpt"
    victim.write_text("mine", encoding="utf-8")
    run = RunFolder(tmp_path / "version_0")
    best, last = checkpoints(run)
    state = {
        "best_model_path": str(victim), "kth_best_model_path": str(victim), "dirpath": str(run.checkpoints),
        "best_k_models": {str(victim): torch.tensor(1.0)}, "best_model_score": torch.tensor(1.0),
    }  # fmt: skip
    for callback in (best, last):
        callback.load_state_dict(state)
        assert str(victim) not in str(callback.state_dict())  # neither here nor where there is a file
    run.checkpoints.mkdir(parents=True)
    run.checkpoint("best").touch()
    best.load_state_dict(state)
    assert best.best_model_path == str(run.checkpoint("best"))  # type: ignore[attr-defined]
    assert best.best_model_score == 1.0  # type: ignore[attr-defined]


def test_what_fails_before_training_begins_leaves_the_checkpoint(run: Path) -> None:
    best, last = checkpoints(RunFolder(run))
    before = (run / "checkpoints" / "last.ckpt").read_bytes()
    trainer = L.Trainer(logger=False, enable_checkpointing=False)
    for callback in (best, last):
        callback.on_exception(trainer, LanguageModel("ab", SMALL), ValueError("no steps left"))
    assert (run / "checkpoints" / "last.ckpt").read_bytes() == before


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    """A finished run of 12 steps that has been moved."""
    return Path(shutil.copytree(tiny_run, tmp_path / "moved" / "mine" / "version_3"))


def metrics_of(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return content


def test_a_run_goes_on_in_its_folder(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(run.parent.parent.parent)
    before, events = metrics_of(run), set(run.glob("events*"))
    assert run_cli("fit", "--ckpt_path", "moved/mine/version_3/checkpoints/last.ckpt", "--trainer.max_steps=30") == 0
    captured = capsys.readouterr()
    assert "note: training goes on at step 12 of 30; a new schedule of the learning rate takes the 18 steps left" in (
        captured.err.splitlines()
    )
    assert "Run:    moved/mine/version_3\n" in captured.out
    assert [path.name for path in Path.cwd().iterdir()] == ["moved"]
    assert [path.name for path in run.parent.iterdir()] == ["version_3"]
    more = metrics_of(run)
    assert (more["steps"], more["train/loss"] < before["train/loss"]) == (30, True)
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    assert (config["trainer"]["max_steps"], config["experiment"], config["ckpt_path"]) == (30, "mine", None)
    assert config["trainer"]["val_check_interval"] == 5  # as before
    assert config["data"]["batch_size"] == yaml.safe_load((run / "config.yaml").read_text())["data"]["batch_size"]
    assert set(run.glob("events*")) > events
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}


def test_epochs_take_the_place_of_steps(run: Path) -> None:
    assert run_cli("fit", "--ckpt_path", run / "checkpoints" / "last.ckpt", "--trainer.max_epochs=5", "--quiet") == 0
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    assert (config["trainer"]["max_epochs"], config["trainer"]["max_steps"], config["quiet"]) == (5, -1, True)


def test_nothing_is_written_where_nothing_is_left_to_do(cli_error: Callable[..., str], run: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert "is at step 12, which leaves nothing to do" in cli_error(
        "fit", "--ckpt_path", run / "checkpoints" / "last.ckpt"
    )
    assert before.items() <= {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}.items()


def test_the_best_checkpoint_stays_the_best_of_the_whole_run(run: Path) -> None:
    best = (run / "checkpoints" / "best.ckpt").read_bytes()
    loss = metrics_of(run)["val/loss"]
    worse = ["--model.optimization.learning_rate=50", "--model.network.dropout=0.2", "--trainer.max_steps=16"]
    assert run_cli("fit", "--ckpt_path", run / "checkpoints" / "last.ckpt", *worse, "--quiet") == 0
    assert metrics_of(run)["last"]["val/loss"] > loss
    assert (run / "checkpoints" / "best.ckpt").read_bytes() == best
    assert metrics_of(run)["val/loss"] == loss


def test_an_experiment_that_is_given_makes_a_new_folder(run: Path) -> None:
    options = ["--experiment=mine", "--trainer.max_steps=16", "--quiet"]
    before = metrics_of(run)
    assert run_cli("fit", "--ckpt_path", run / "checkpoints" / "last.ckpt", *options) == 0
    assert metrics_of(run.parent / "version_4")["steps"] == 16
    assert metrics_of(run) == before


def test_another_corpus_makes_a_new_folder(run: Path, words_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("\n".join(words_file.read_text(encoding="utf-8").split()[:40]), encoding="utf-8")
    options = ["--data.path", other, "--trainer.max_steps=16", "--quiet"]
    assert run_cli("fit", "--ckpt_path", run / "checkpoints" / "last.ckpt", *options) == 0
    assert metrics_of(run)["steps"] == 12
    assert metrics_of(run.parent / "version_4")["steps"] == 16


def test_no_class_is_imported_because_a_run_folder_says_so(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    config["trainer"]["callbacks"] = [{"class_path": "nowhere.Callback"}]
    (run / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    arguments = ["fit", "--ckpt_path", run / "checkpoints" / "last.ckpt", "--trainer.max_steps=13", "--quiet"]
    assert run_cli(*arguments) == 0
    assert "note: --trainer.callbacks of" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["[1, 2]", "a: [", "trainer: {max_steps: many}"])
def test_a_broken_configuration_in_a_run_folder(cli_error: Callable[..., str], run: Path, content: str) -> None:
    (run / "config.yaml").write_text(content, encoding="utf-8")
    code = 2 if "many" in content else 1
    cli_error("fit", "--ckpt_path", run / "checkpoints" / "last.ckpt", code=code)


def test_run_folders_are_recognised_by_their_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "version_9").mkdir(parents=True)
    assert RunFolder.new(tmp_path, "a").path == tmp_path / "a" / "version_10"
    assert RunFolder.new(tmp_path, "b").path == tmp_path / "b" / "version_0"
    for start in (tmp_path, tmp_path / "a" / "version_9"):
        monkeypatch.chdir(start)
        relative = (tmp_path / "a" / "version_9" / "checkpoints" / "last.ckpt").relative_to(start)
        run = RunFolder.of_checkpoint(relative)
        assert run is not None
        assert (run.experiment, run.root.resolve()) == ("a", tmp_path.resolve())
    assert RunFolder.of_checkpoint(tmp_path / "version_9" / "last.ckpt") is None
