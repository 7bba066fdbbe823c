import pickle
from math import exp, log
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import yaml
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.nn import functional as F

from tests.conftest import run_cli
from tests.inference.test_checkpoint import Trap
from wavenet import load
from wavenet.network.config import NetworkConfig
from wavenet.network.layers import FlattenConsecutive, Residual
from wavenet.training.data import WordsDataModule
from wavenet.training.loss import mean_loss
from wavenet.training.module import LanguageModel
from wavenet.training.optimization import OptimizationConfig

SMALL = NetworkConfig(embedding_dim=4, hidden_dim=8)


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
    model = LanguageModel("abc", NetworkConfig(group_size=(2, 4), embedding_dim=4, hidden_dim=8))
    again = LanguageModel(**dict(model.hparams))
    again.load_state_dict(model.state_dict())
    assert again.hparams == model.hparams
    assert again.config == model.config == NetworkConfig(group_size=(2, 4), embedding_dim=4, hidden_dim=8)
    groups = (model.hparams["network"], model.hparams["optimization"])
    assert {type(value) for group in groups for value in group.values()} <= {str, int, float, bool, tuple}


@pytest.mark.parametrize("stage", ["val", "test"])
def test_evaluation_is_one_exact_mean_over_tokens(
    data: WordsDataModule, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wavenet.training.data.CHUNK", 14)  # batches of seven, the last one smaller
    model = LanguageModel(data.alphabet, SMALL)
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

    model = Recorder(data.alphabet, SMALL)
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
    model = LanguageModel("abc", SMALL, {"schedule": schedule, "learning_rate": 0.5})
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
    model = LanguageModel(data.alphabet, SMALL)
    runner = trainer(**bounds)
    runner.fit(model, data)
    (config,) = runner.lr_scheduler_configs
    assert config.scheduler.total_steps == runner.global_step  # type: ignore[union-attr]


def test_a_schedule_without_an_end_is_refused(data: WordsDataModule) -> None:
    model = LanguageModel(data.alphabet, SMALL)
    with pytest.raises(ValueError, match="schedule one_cycle needs to know how many steps"):
        trainer(max_steps=-1, max_epochs=-1).fit(model, data)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"network": {"hiden_dim": 3}}, "hiden_dim is no hyper-parameter of a network: expected one of block_size"),
        ({"network": {"hidden_dim": "many"}}, "hidden_dim must be of type int, got 'many'"),
        ({"network": "gated"}, "network must be a NetworkConfig or an nn.Sequential, got 'gated'"),
        ({"network": None}, "network must be a NetworkConfig or an nn.Sequential, got None"),
        ({"optimization": {"schedule": "cosine"}}, "schedule must be one of one_cycle, step, constant, got cosine"),
        ({"optimization": {"optimizer": "adam"}}, "optimizer must be one of adamw, sgd, got adam"),
    ],
)
def test_wrong_settings(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LanguageModel("abc", **arguments)


def test_the_defaults_are_those_of_the_command_line(words_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("fit", "--print_config") == 0
    config = yaml.safe_load(capsys.readouterr().out)
    model = LanguageModel("abc")
    assert NetworkConfig.of(config["model"]["network"]) == model.config == NetworkConfig()
    assert OptimizationConfig.of(config["model"]["optimization"]) == model.optimization
    assert config["data"]["batch_size"] == WordsDataModule(str(words_file)).batch_size


class Scale(nn.Module):
    """A layer that this package does not know, position-wise as it must be."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_features))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


def own_network(vocab_size: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Embedding(vocab_size, 6),
        FlattenConsecutive(2), nn.Linear(12, 8), Scale(8), nn.SiLU(),
        FlattenConsecutive(3), Residual(nn.Linear(24, 8), nn.LayerNorm(8)),
        nn.Linear(8, vocab_size),
    )  # fmt: skip


def test_a_network_of_the_users_own_trains_slides_steps_saves_and_loads(data: WordsDataModule, tmp_path: Path) -> None:
    network = own_network(len(data.vocabulary))
    model = LanguageModel(data.alphabet, network)
    before = network[3].weight.detach().clone()
    runner = trainer(max_steps=6)
    runner.fit(model, data)
    assert not torch.equal(network[3].weight, before)
    runner.save_checkpoint(tmp_path / "own.ckpt")
    with pytest.raises(ValueError, match=r"network must be given: .*own\.ckpt holds the weights of a network"):
        load(tmp_path / "own.ckpt")
    loaded = load(tmp_path / "own.ckpt", network=own_network(len(data.vocabulary)))
    word = data.split.val.words[0]
    tokens = [0] * 6 + [*data.vocabulary.encode(word), 0]
    windows = torch.tensor([tokens[i : i + 6] for i in range(len(word) + 1)])
    with torch.no_grad():
        logits = network.eval()(windows)  # windowed
    expected = -F.cross_entropy(logits, torch.tensor(tokens[6:]), reduction="sum").item()
    (score,) = loaded.score([word])  # sliding
    assert score.log_prob == pytest.approx(expected, abs=1e-4)
    batches = list(loaded.draw(1, pattern=word, seed=1))  # stepping; the first batch may hold no word
    assert [drawn for batch in batches for drawn in batch.words] == [word]
    assert [log_prob for batch in batches for log_prob in batch.log_probs] == [pytest.approx(expected, abs=1e-4)]
    again = LanguageModel.load_from_checkpoint(tmp_path / "own.ckpt", network=own_network(len(data.vocabulary)))
    assert torch.equal(again.network[3].weight, network[3].weight)


class LooksBack(nn.Module):
    """A layer that mixes time without saying so."""

    def forward(self, x: Tensor) -> Tensor:
        return x + x.roll(1, dims=-2) if x.ndim == 3 else x


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([nn.Embedding(4, 3), nn.Flatten(), nn.Linear(24, 4)], "must have a FlattenConsecutive"),
        ([nn.Embedding(4, 3), FlattenConsecutive(4), nn.Linear(13, 4)], r"must map token ids \(B, T\) to logits"),
        ([nn.Embedding(4, 3), FlattenConsecutive(4), nn.Linear(12, 5)], r"must map \(B, T\) to \(B, 4\), got \(6, 5\)"),
        (
            [nn.Embedding(4, 3), LooksBack(), FlattenConsecutive(4), nn.Linear(12, 4)],
            "must have position-wise layers beside FlattenConsecutive",
        ),
    ],
)
def test_networks_of_the_users_own_that_cannot_train_here(layers: list[nn.Module], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LanguageModel("abc", nn.Sequential(*layers))


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_wrong_learning_rates(rate: float) -> None:
    with pytest.raises(ValueError, match="learning_rate must be above 0"):
        LanguageModel("abc", optimization={"learning_rate": rate})


def test_a_loss_that_is_not_finite_ends_the_run(data: WordsDataModule) -> None:
    model = LanguageModel(data.alphabet, SMALL)
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


def test_after_a_training_the_batches_of_an_epoch_are_there_again(data: WordsDataModule) -> None:
    trainer(max_steps=3).fit(LanguageModel(data.alphabet, SMALL), data)
    batches = data.train_dataloader()
    assert len(list(batches)) == len(batches)


def test_load_from_checkpoint_executes_nothing(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "hyper_parameters": {"x": Trap(tmp_path / "sprung")}}, tmp_path / "evil.ckpt")
    with pytest.raises(pickle.UnpicklingError):
        LanguageModel.load_from_checkpoint(tmp_path / "evil.ckpt")
    assert not (tmp_path / "sprung").exists()


def test_prediction_gives_the_log_probability_of_each_word(data: WordsDataModule) -> None:
    model = LanguageModel(data.alphabet, SMALL)
    batches = trainer().predict(model, data)
    assert batches is not None
    log_probs = torch.cat(batches)  # type: ignore[arg-type]
    assert len(log_probs) == len(data.split.test.words)
    for word, log_prob in zip(data.split.test.words, log_probs, strict=True):
        tokens = [0] * 8 + [*data.vocabulary.encode(word), 0]
        contexts = torch.tensor([tokens[i : i + 8] for i in range(len(word) + 1)])
        with torch.no_grad():
            expected = -F.cross_entropy(model.eval()(contexts), torch.tensor(tokens[8:]), reduction="sum")
        torch.testing.assert_close(log_prob, expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_it_trains_on_a_gpu(data: WordsDataModule) -> None:
    model = LanguageModel(data.alphabet, SMALL)
    runner = trainer(accelerator="gpu", devices=1)
    runner.fit(model, data)
    assert runner.callback_metrics["val/loss"].isfinite()
