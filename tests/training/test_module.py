import pickle
from math import exp, log
from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.nn import functional as F

from tests.inference.test_checkpoint import Trap
from wavenet.inference.scoring import mean_loss
from wavenet.training.data import WordsDataModule
from wavenet.training.module import LanguageModel

SIZES = {"embedding_dim": 4, "hidden_dim": 8}


def trainer(**kwargs: object) -> L.Trainer:
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return L.Trainer(**{"accelerator": "cpu", "max_steps": 8, **quiet, **kwargs})  # type: ignore[arg-type]


@pytest.fixture
def data(words_file: Path) -> WordsDataModule:
    return WordsDataModule(str(words_file), batch_size=16)


def test_the_hyper_parameters_are_plain_and_complete() -> None:
    model = LanguageModel("abc", group_size=[2, 4], **SIZES)  # type: ignore[arg-type]
    again = LanguageModel(**dict(model.hparams))
    again.load_state_dict(model.state_dict())
    assert again.hparams == model.hparams
    assert {type(value) for value in model.hparams.values()} <= {str, int, float, bool, list, type(None)}


@pytest.mark.parametrize("stage", ["val", "test"])
def test_evaluation_is_one_exact_mean_over_tokens(
    data: WordsDataModule, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wavenet.training.data.EVAL_SIZE", 8 * 7)  # batches of seven, the last one smaller
    model = LanguageModel(data.alphabet, **SIZES)  # type: ignore[arg-type]
    runner = trainer()
    (metrics,) = getattr(runner, {"val": "validate", "test": "test"}[stage])(model, data, verbose=False)
    loss = mean_loss(model.network, data.eval_dataloader(stage), model.device)
    assert metrics[f"{stage}/loss"] == pytest.approx(loss, abs=1e-6)
    assert metrics[f"{stage}/perplexity"] == pytest.approx(exp(loss), rel=1e-5)
    assert metrics[f"{stage}/bits_per_character"] == pytest.approx(loss / log(2), rel=1e-5)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_training_loss_is_logged_as_the_mean_of_each_block(
    data: WordsDataModule, tmp_path: Path, accumulate: int
) -> None:
    blocks: dict[int, list[float]] = {0: [], 1: []}

    class Recorder(LanguageModel):
        def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
            loss = super().training_step(batch, batch_idx)
            blocks[self.global_step // 4].append(loss.item())
            return loss

    model = Recorder(data.alphabet, **SIZES)  # type: ignore[arg-type]
    logger = CSVLogger(tmp_path)
    trainer(logger=logger, log_every_n_steps=4, accumulate_grad_batches=accumulate).fit(model, data)
    logged = _read(logger)
    assert logged == pytest.approx([sum(losses) / len(losses) for losses in blocks.values()], rel=1e-5)
    assert len(blocks[0]) == 4 * accumulate


def _read(logger: CSVLogger) -> list[float]:
    lines = (Path(logger.log_dir) / "metrics.csv").read_text().splitlines()
    column = lines[0].split(",").index("train/loss")
    return [float(line.split(",")[column]) for line in lines[1:] if line.split(",")[column]]


def rates(schedule: str, total: int) -> list[float]:
    model = LanguageModel("abc", schedule=schedule, learning_rate=0.5, **SIZES)  # type: ignore[arg-type]
    model.trainer = trainer(max_steps=total)
    configured = model.configure_optimizers()
    if not isinstance(configured, dict):
        return [configured.param_groups[0]["lr"]] * total  # type: ignore[union-attr]
    assert configured["lr_scheduler"]["interval"] == "step"  # type: ignore[index, typeddict-item]
    found = []
    for _ in range(total):
        found.append(configured["optimizer"].param_groups[0]["lr"])
        configured["optimizer"].step()
        configured["lr_scheduler"]["scheduler"].step()  # type: ignore[index, typeddict-item]
    return found


def test_the_schedules() -> None:
    assert rates("constant", 8) == [0.5] * 8
    assert rates("step", 8) == pytest.approx([0.5] * 6 + [0.05] * 2)
    one_cycle = rates("one_cycle", 100)
    assert max(one_cycle) == pytest.approx(0.5)
    assert one_cycle.index(max(one_cycle)) == 14
    assert one_cycle[-1] < 1e-3
    for total in range(1, 50):
        assert max(rates("one_cycle", total)) <= 0.5


@pytest.mark.parametrize(
    "bounds", [{"max_steps": 6}, {"max_steps": -1, "max_epochs": 2}, {"max_steps": 6, "max_epochs": 9}]
)
def test_the_schedule_ends_with_the_training(data: WordsDataModule, bounds: dict[str, int]) -> None:
    model = LanguageModel(data.alphabet, **SIZES)  # type: ignore[arg-type]
    runner = trainer(**bounds)
    runner.fit(model, data)
    (config,) = runner.lr_scheduler_configs
    assert config.scheduler.total_steps == runner.global_step  # type: ignore[union-attr]


def test_a_schedule_without_an_end_is_refused(data: WordsDataModule) -> None:
    model = LanguageModel(data.alphabet, **SIZES)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="schedule one_cycle needs to know how many steps"):
        trainer(max_steps=-1, max_epochs=-1).fit(model, data)


@pytest.mark.parametrize(
    "options",
    [
        {"network": "gated", "logits_norm": True},
        {"dropout": 0.1},
        {"activation": "gelu"},
        {"network": "wavenet_batch_norm_bug", "norm": "layer"},
    ],
)
def test_options_of_another_network_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="has no "):
        LanguageModel("abc", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_wrong_learning_rates(rate: float) -> None:
    with pytest.raises(ValueError, match="learning_rate must be above 0"):
        LanguageModel("abc", learning_rate=rate)


def test_a_loss_that_is_not_finite_ends_the_run(data: WordsDataModule) -> None:
    model = LanguageModel(data.alphabet, **SIZES)  # type: ignore[arg-type]
    torch.nn.init.constant_(model.network[-1].bias, float("nan"))
    with pytest.raises(ValueError, match="val/loss is nan at step 0: training has diverged"):
        trainer().fit(model, data)


def test_loaded_on_its_own_it_has_the_same_losses(tiny_run: Path, words_file: Path) -> None:
    path = tiny_run / "checkpoints" / "best.ckpt"
    model = LanguageModel.load_from_checkpoint(path)
    data = WordsDataModule(str(words_file))
    assert model.vocabulary == data.vocabulary
    saved = torch.load(path, weights_only=True)
    (metrics,) = trainer().validate(model, data, verbose=False)
    score = next(v["best_model_score"] for k, v in saved["callbacks"].items() if "val/loss" in k)
    assert metrics["val/loss"] == score.item()


def test_load_from_checkpoint_executes_nothing(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "hyper_parameters": {"x": Trap(tmp_path / "sprung")}}, tmp_path / "evil.ckpt")
    with pytest.raises(pickle.UnpicklingError):
        LanguageModel.load_from_checkpoint(tmp_path / "evil.ckpt")
    assert not (tmp_path / "sprung").exists()


def test_prediction_gives_the_log_probability_of_each_word(data: WordsDataModule) -> None:
    model = LanguageModel(data.alphabet, **SIZES)  # type: ignore[arg-type]
    batches = trainer().predict(model, data)
    assert batches is not None
    log_probs = torch.cat(batches)  # type: ignore[arg-type]
    assert len(log_probs) == len(data.split.test)
    for word, log_prob in zip(data.split.test, log_probs, strict=True):
        tokens = [0] * 8 + [*data.vocabulary.encode(word), 0]
        contexts = torch.tensor([tokens[i : i + 8] for i in range(len(word) + 1)])
        with torch.no_grad():
            expected = -F.cross_entropy(model.eval()(contexts), torch.tensor(tokens[8:]), reduction="sum")
        torch.testing.assert_close(log_prob, expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_it_trains_on_a_gpu(data: WordsDataModule) -> None:
    model = LanguageModel(data.alphabet, **SIZES)  # type: ignore[arg-type]
    runner = trainer(accelerator="gpu", devices=1)
    runner.fit(model, data)
    assert runner.callback_metrics["val/loss"].isfinite()
