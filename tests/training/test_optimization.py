"""Tables of n-grams that are learned row by row: what moves how far, and what stays."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from tests.conftest import TINY, run_cli
from wavenet.errors import ArgumentError
from wavenet.inference.checkpoint import read_checkpoint
from wavenet.network.build import build
from wavenet.network.config import NetworkConfig
from wavenet.network.layers import NgramLogits
from wavenet.training.callbacks.scalars import entries
from wavenet.training.module import LanguageModel
from wavenet.training.optimization import OptimizationConfig, make, make_optimizer, move_rows, tables
from wavenet.training.restoring import moments

SMALL = NetworkConfig(embedding_dim=4, hidden_dim=8, ngram_rows=64)
BY_ROW = OptimizationConfig(ngram_learning_rate=0.2)


def table(*gradients: list[float]) -> Tensor:
    """A table whose rows have these gradients."""
    rows = nn.Parameter(torch.zeros(len(gradients), len(gradients[0])))
    rows.grad = torch.tensor(gradients)
    return rows


def test_a_row_moves_against_its_gradient_by_the_rate_and_later_by_less() -> None:
    rows, state = table([3e-6, -4e-6], [0.0, 0.0]), dict[str, Tensor]()
    steps, before = [], rows.detach().clone()
    for _ in range(4):
        move_rows(rows, state, rate=0.1)
        steps.append((before - rows.detach())[0])
        before = rows.detach().clone()
    assert steps[0].square().mean().sqrt().item() == pytest.approx(0.1, rel=1e-4)
    assert torch.allclose(steps[0] / steps[0].norm(), torch.tensor([0.6, -0.8]))
    for number, step in enumerate(steps, 1):
        assert torch.allclose(step, steps[0] / number**0.5, rtol=1e-3)
    assert rows[1].tolist() == [0, 0]


@given(st.integers(1, 3), st.integers(2, 40), st.integers(0, 2**31))
def test_sparse_gradients_do_what_dense_ones_do(num_steps: int, num_tokens: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, 5, (num_steps, num_tokens, 4), generator=generator)
    results = []
    for sparse in (False, True):
        layer, state = NgramLogits(16, vocab_size=5).double(), dict[str, Tensor]()
        layer.sparse = sparse
        for batch in tokens:
            layer.zero_grad()
            F.cross_entropy(layer(batch), batch[:, 0]).backward()
            assert layer.weight.grad is not None
            assert layer.weight.grad.is_sparse == sparse
            assert entries(layer.weight.grad).norm().item() == pytest.approx(layer.weight.grad.to_dense().norm().item())
            move_rows(layer.weight, state, rate=0.1)
        results.append((layer.weight.detach(), state["sum"]))
    assert all(torch.allclose(dense, sparse) for dense, sparse in zip(*results, strict=True))


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_the_optimizer_moves_all_else_as_it_does_without(kind: Any) -> None:
    network = build(SMALL, 5)
    twin, tokens = deepcopy(network), torch.randint(0, 5, (40, 8))
    for layer in (layer for layer in twin.modules() if isinstance(layer, NgramLogits)):
        layer.weight.requires_grad_(False)
    for net, config in ((network, OptimizationConfig(kind, ngram_learning_rate=0.2)), (twin, OptimizationConfig(kind))):
        for layer in tables(config, net):
            layer.sparse = True
        optimizer, schedule = make(config, net, total_steps=10)
        F.cross_entropy(net(tokens), tokens[:, 0]).backward()
        optimizer.step()
        assert schedule is not None
        schedule.step()
    others, twins = (
        {name: value for name, value in net.named_parameters() if len(value) != SMALL.ngram_rows}
        for net in (network, twin)
    )
    assert all(torch.allclose(value, twins[name], atol=1e-7) for name, value in others.items())
    (layer,) = tables(BY_ROW, network)
    assert layer.weight.any()


def test_a_closure_has_gradients() -> None:
    network, tokens = build(SMALL, 5), torch.randint(0, 5, (40, 8))
    optimizer = make_optimizer(BY_ROW, network)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(network(tokens), tokens[:, 0])
        loss.backward()
        return loss

    losses = [optimizer.step(closure) for _ in range(5)]  # type: ignore[arg-type]
    assert losses[-1] < losses[0]  # type: ignore[operator]


def test_both_rates_follow_the_schedule() -> None:
    optimizer, schedule = make(BY_ROW, build(SMALL, 5), total_steps=100)
    assert schedule is not None
    rates = []
    for _ in range(99):
        optimizer.step()
        schedule.step()
        rates.append([group["lr"] for group in optimizer.param_groups])
    assert [max(column) for column in zip(*rates, strict=True)] == pytest.approx([0.025, 0.2])
    assert all(rows == pytest.approx(8 * others) for others, rows in rates)


def test_a_rate_for_a_table_that_there_is_not_is_refused() -> None:
    with pytest.raises(ArgumentError, match="ngram_learning_rate must be 0 for a network without a table"):
        LanguageModel("abc", NetworkConfig(), BY_ROW)
    with pytest.raises(ArgumentError, match=r"ngram_learning_rate must be from 0 to 1,000, got -0\.1"):
        OptimizationConfig(ngram_learning_rate=-0.1)
    with pytest.raises(ArgumentError, match="ngram_learning_rate must be from 0 to 1,000, got nan"):
        OptimizationConfig(ngram_learning_rate=float("nan"))


def test_what_a_checkpoint_keeps_of_a_table() -> None:
    rows, group, step = torch.zeros(4, 3), {"rows": True}, torch.tensor(2.0)
    kept = {"step": step, "sum": torch.ones(4)}
    assert moments(kept, rows, group) == kept
    for changed, message in (
        ({"sum": torch.ones(4, 3)}, "sum has the shape"),
        ({"sum": -torch.ones(4)}, "sum is below 0"),
        ({"sum": None}, "sum"),
        ({"exp_avg": torch.zeros(4, 3)}, "has 'exp_avg'"),
    ):
        with pytest.raises(ValueError, match=message):
            moments(kept | changed, rows, group)
    with pytest.raises(ValueError, match="has no sum"):
        moments({"step": step}, rows, group)
    with pytest.raises(ValueError, match="has no exp_avg"):
        moments({"step": step}, rows, {"betas": (0.9, 0.999)})
    with pytest.raises(ValueError, match="has 'sum'"):
        moments(kept, rows, {"betas": (0.9, 0.999)})


@pytest.mark.parametrize(("clip", "sparse"), [(None, True), (0.5, False)])
def test_gradients_are_sparse_unless_they_are_clipped(clip: float | None, sparse: bool) -> None:
    model = LanguageModel("abc", SMALL, BY_ROW)
    model.trainer = L.Trainer(
        accelerator="cpu", max_steps=3, gradient_clip_val=clip, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    model.configure_optimizers()
    assert [layer.sparse for layer in tables(BY_ROW, model.network)] == [sparse]
    model.on_fit_end()
    assert [layer.sparse for layer in tables(BY_ROW, model.network)] == [False]


OPTIONS = (*TINY, "--trainer.max_steps=6", "--model.network.ngram_rows=16384", "--quiet")


@pytest.mark.parametrize(
    "more",
    [
        ["--health.enabled=true", "--health.every_n_validations=1", "--trainer.accumulate_grad_batches=2"],
        ["--trainer.gradient_clip_val=0.5", "--trainer.precision=64-true"],
        ["--trainer.gradient_clip_val=0.5", "--trainer.gradient_clip_algorithm=value"],
        ["--trainer.detect_anomaly=true", "--trainer.precision=bf16-true"],
        ["--model.optimization.optimizer=sgd", "--data.batching=windows"],
    ],
    ids=" ".join,
)
def test_it_works_with_whatever_else_a_training_does(words_file: Path, tmp_path: Path, more: list[str]) -> None:
    options = [*OPTIONS, "--data.path", words_file, "--trainer.default_root_dir", tmp_path]
    assert run_cli("fit", *options, "--model.optimization.ngram_learning_rate=0.2", *more) == 0
    content = read_checkpoint(tmp_path / "default" / "version_0" / "checkpoints" / "last.ckpt")
    ((_, group),) = (state["param_groups"] for state in content["optimizer_states"])
    (index,) = group["params"]
    kept = content["optimizer_states"][0]["state"][index]
    assert kept["step"] == 6
    assert 0 < int((kept["sum"] > 0).sum()) < 1000 < len(kept["sum"])
