from math import log, prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from tests.networks import gated, lecture
from wavenet.network.build import build
from wavenet.network.config import NetworkConfig, lecture_flat, lecture_hierarchical, lecture_logits_norm
from wavenet.network.layers import (
    BatchNorm1d,
    FlattenConsecutive,
    PerPositionBatchNorm1d,
    Residual,
    position_wise,
    receptive_field,
)
from wavenet.network.sliding import eval_mode

GROUPS = st.lists(st.integers(2, 4), min_size=1, max_size=3)


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (lecture_flat(3), 12_097),
        (lecture_flat(8), 22_097),
        (lecture_hierarchical(10, 68), 22_397),
        (lecture_hierarchical(), 76_579),
        (lecture_logits_norm(), 45_624),
        (NetworkConfig(), 76_579),
    ],
)
def test_parameters_are_the_lectures(config: NetworkConfig, parameters: int) -> None:
    assert sum(p.numel() for p in build(config, 27).parameters()) == parameters


def test_shapes_are_those_of_the_second_set_of_notes() -> None:
    network = build(lecture_logits_norm(), 27)
    x, shapes = torch.zeros(32, 8, dtype=torch.long), []
    for layer in network:
        x = layer(x)
        if not isinstance(layer, nn.Tanh | BatchNorm1d):
            shapes.append(tuple(x.shape))
    assert shapes == [
        (32, 8, 10), (32, 4, 20), (32, 4, 100), (32, 2, 200), (32, 2, 100), (32, 200), (32, 100), (32, 27),
    ]  # fmt: skip
    assert isinstance(network[-1], BatchNorm1d)


@settings(deadline=None)
@given(GROUPS, st.booleans(), st.integers(2, 30))
def test_any_group_sizes_make_a_network_of_that_receptive_field(
    groups: list[int], logits_norm: bool, vocab_size: int
) -> None:
    network = lecture(vocab_size, prod(groups), tuple(groups), 3, 5, logits_norm=logits_norm)
    assert receptive_field(network) == prod(groups)
    assert [layer.group_size for layer in network if isinstance(layer, FlattenConsecutive)] == groups
    assert network(torch.zeros(4, prod(groups), dtype=torch.long)).shape == (4, vocab_size)


def test_every_token_of_the_context_matters() -> None:
    network = lecture(27, 8, group_size=(4, 2)).eval()
    embedded = network[0](torch.randint(27, (1, 8))).detach().requires_grad_()
    network[1:](embedded).sum().backward()
    assert embedded.grad is not None
    assert (embedded.grad.abs().sum(-1) > 0).all()


@settings(deadline=None, max_examples=20)
@given(st.sampled_from([8, 27, 64]), st.booleans(), st.integers(0, 100))
def test_the_first_loss_is_close_to_uniform(block_size: int, logits_norm: bool, seed: int) -> None:
    torch.manual_seed(seed)
    network = lecture(27, block_size, 3 if block_size == 27 else 2, logits_norm=logits_norm)
    loss = F.cross_entropy(network(torch.randint(27, (256, block_size))), torch.randint(27, (256,)))
    assert abs(loss.item() - log(27)) < 0.05


def test_weights_are_drawn_as_in_the_lecture() -> None:
    torch.manual_seed(0)
    *_, hidden, _, _, last = lecture(27, 8, hidden_dim=200)
    assert hidden.weight.std().item() == pytest.approx(400**-0.5, rel=0.02)
    assert last.weight.std().item() == pytest.approx(0.1 * 200**-0.5, rel=0.05)
    assert not last.bias.any()
    assert torch.equal(lecture(27, logits_norm=True)[-1].weight, torch.full((27,), 0.1))


@pytest.mark.parametrize(
    ("block_size", "group_size", "expected"),
    [(8, 2, (2, 2, 2)), (27, 3, (3, 3, 3)), (8, (2, 4), (2, 4)), (8, 8, (8,)), (1, 1, (1,))],
)
def test_group_sizes(block_size: int, group_size: "int | tuple[int, ...]", expected: tuple[int, ...]) -> None:
    assert NetworkConfig(block_size, group_size).group_sizes == expected


@pytest.mark.parametrize("group_size", [3, 1, 0, -2, (2, 2), (), (8, 0), (-2, -4), (8, 1), (1, 8)])
def test_group_sizes_that_do_not_make_the_block(group_size: "int | tuple[int, ...]") -> None:
    with pytest.raises(ValueError, match="does not make block_size 8"):
        NetworkConfig(8, group_size)


@pytest.mark.parametrize("name", ["vocab_size", "block_size", "embedding_dim", "hidden_dim"])
def test_sizes_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        lecture(**{"vocab_size": 27, name: 0})


def test_eval_mode_leaves_the_network_as_it_was() -> None:
    network = lecture(27)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with eval_mode(network):
        assert not network.training
        assert network(torch.zeros(1, 8, dtype=torch.long)).isfinite().all()
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "relu"}, "activation must be one of tanh, gelu, gate, got relu"),
        ({"norm": "none"}, "norm must be one of batch, layer, batch_per_position, got none"),
        ({"dropout": 1.0}, r"dropout must be from 0 to below 1, got 1\.0"),
        ({"dropout": float("nan")}, "dropout must be"),
        ({"ngram_gain": 0.0}, r"ngram_gain must be above 0 and at most 1, got 0\.0"),
        ({"ngram_gain": float("nan")}, "ngram_gain must be"),
        ({"hidden_dim": 0}, "hidden_dim must be at least 1, got 0"),
    ],
)
def test_wrong_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NetworkConfig(**options)  # type: ignore[arg-type]


def test_the_gated_networks_first_loss_is_close_to_uniform() -> None:
    torch.manual_seed(0)
    network = gated(27, 16)
    loss = F.cross_entropy(network(torch.randint(27, (256, 16))), torch.randint(27, (256,)))
    assert abs(loss.item() - log(27)) < 0.05


def test_residuals_stand_where_the_widths_fit_and_print_shows_the_parts() -> None:
    kinds = [type(layer).__name__ for layer in build(NetworkConfig(dropout=0.1), 27)]
    hidden = ["Linear", "BatchNorm1d", "GELU", "Dropout"]
    joined = ["FlattenConsecutive", "Residual"]
    assert kinds == ["Embedding", "FlattenConsecutive", *hidden, *joined, *joined, "Linear"]
    wide = build(NetworkConfig(embedding_dim=32, hidden_dim=32), 27)
    assert sum(isinstance(layer, Residual) for layer in wide) == 3
    shown = repr(build(NetworkConfig(), 27))
    assert "(6): Residual(\n    (0): Linear" in shown
    assert "activation=" not in shown


def test_levels_of_one_size_share_their_weights_and_have_norms_of_their_own() -> None:
    network = build(NetworkConfig(16, embedding_dim=32, hidden_dim=116, activation="gate", share_weights=True), 27)
    second, third, fourth = (layer for layer in network if isinstance(layer, Residual))
    assert second[0] is third[0] is fourth[0]
    assert len({id(level[1]) for level in (second, third, fourth)}) == 3
    assert sum(p.numel() for p in network.parameters()) == 74_551
    other = build(NetworkConfig(group_size=(4, 2), embedding_dim=8, hidden_dim=16, share_weights=True), 27)
    assert [layer.in_features for layer in other.modules() if isinstance(layer, nn.Linear)] == [32, 32, 16]
    wide = build(NetworkConfig(embedding_dim=16, hidden_dim=16, share_weights=True), 27)
    assert [layer.in_features for layer in wide.modules() if isinstance(layer, nn.Linear)] == [32, 16]
    loss = F.cross_entropy(network(torch.randint(27, (256, 16))), torch.randint(27, (256,)))
    assert abs(loss.item() - log(27)) < 0.05


def test_the_batch_norm_bug_is_a_norm_that_is_not_position_wise() -> None:
    torch.manual_seed(0)
    bug = lecture(27, embedding_dim=10, hidden_dim=68, norm="batch_per_position")
    torch.manual_seed(0)
    right = lecture(27, embedding_dim=10, hidden_dim=68)
    assert not position_wise(bug)
    assert position_wise(right)
    steps = [layer.running_mean.shape for layer in bug if isinstance(layer, PerPositionBatchNorm1d)]
    assert steps == [(4, 68), (2, 68)]
    assert sum(isinstance(layer, BatchNorm1d) for layer in bug) == 1  # one step is left: nothing to get wrong
    assert repr(bug[3]) == "PerPositionBatchNorm1d(68, num_steps=4)"
    x = torch.randint(27, (64, 8))
    assert not torch.allclose(bug(x), right(x))
    assert all(torch.equal(a, b) for a, b in zip(bug.parameters(), right.parameters(), strict=True))
    flat = build(NetworkConfig(group_size=8, norm="batch_per_position"), 27)
    assert position_wise(flat)
