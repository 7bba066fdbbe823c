from math import log, prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from wavenet.network.build import eval_mode, gated, group_sizes, mlp, receptive_field, wavenet
from wavenet.network.layers import BatchNorm1d, FlattenConsecutive

GROUPS = st.lists(st.integers(2, 4), min_size=1, max_size=3)


@pytest.mark.parametrize(
    ("network", "parameters"),
    [
        (lambda: mlp(27, block_size=3), 12_097),
        (lambda: mlp(27, block_size=8), 22_097),
        (lambda: wavenet(27, embedding_dim=10, hidden_dim=68), 22_397),
        (lambda: wavenet(27), 76_579),
    ],
)
def test_parameters_are_the_lectures(network: "type[nn.Sequential]", parameters: int) -> None:
    assert sum(p.numel() for p in network().parameters()) == parameters


def test_shapes_are_those_of_the_second_set_of_notes() -> None:
    network = wavenet(27, 8, embedding_dim=10, hidden_dim=100, logits_norm=True)
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
    network = wavenet(vocab_size, prod(groups), 3, 5, groups, logits_norm)
    assert receptive_field(network) == prod(groups)
    assert [layer.group_size for layer in network if isinstance(layer, FlattenConsecutive)] == groups
    assert network(torch.zeros(4, prod(groups), dtype=torch.long)).shape == (4, vocab_size)


def test_every_token_of_the_context_matters() -> None:
    network = wavenet(27, 8, group_size=(4, 2)).eval()
    embedded = network[0](torch.randint(27, (1, 8))).detach().requires_grad_()
    network[1:](embedded).sum().backward()
    assert embedded.grad is not None
    assert (embedded.grad.abs().sum(-1) > 0).all()


@settings(deadline=None, max_examples=20)
@given(st.sampled_from([8, 27, 64]), st.booleans(), st.integers(0, 100))
def test_the_first_loss_is_close_to_uniform(block_size: int, logits_norm: bool, seed: int) -> None:
    torch.manual_seed(seed)
    network = wavenet(27, block_size, group_size=3 if block_size == 27 else 2, logits_norm=logits_norm)
    loss = F.cross_entropy(network(torch.randint(27, (256, block_size))), torch.randint(27, (256,)))
    assert abs(loss.item() - log(27)) < 0.05


def test_weights_are_drawn_as_in_the_lecture() -> None:
    torch.manual_seed(0)
    *_, hidden, _, _, last = wavenet(27, 8, hidden_dim=200)
    assert hidden.weight.std().item() == pytest.approx(400**-0.5, rel=0.02)
    assert last.weight.std().item() == pytest.approx(0.1 * 200**-0.5, rel=0.05)
    assert not last.bias.any()
    assert torch.equal(wavenet(27, logits_norm=True)[-1].weight, torch.full((27,), 0.1))


@pytest.mark.parametrize(
    ("block_size", "group_size", "expected"),
    [(8, 2, (2, 2, 2)), (27, 3, (3, 3, 3)), (8, (2, 4), (2, 4)), (8, 8, (8,)), (1, 1, (1,))],
)
def test_group_sizes(block_size: int, group_size: "int | tuple[int, ...]", expected: tuple[int, ...]) -> None:
    assert group_sizes(block_size, group_size) == expected


@pytest.mark.parametrize("group_size", [3, 1, 0, -2, (2, 2), (), (8, 0), (-2, -4), (8, 1), (1, 8)])
def test_group_sizes_that_do_not_make_the_block(group_size: "int | tuple[int, ...]") -> None:
    with pytest.raises(ValueError, match="does not make block_size 8"):
        wavenet(27, 8, group_size=group_size)


@pytest.mark.parametrize("name", ["vocab_size", "block_size", "embedding_dim", "hidden_dim"])
def test_sizes_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        wavenet(**{"vocab_size": 27, name: 0})


def test_eval_mode_leaves_the_network_as_it_was() -> None:
    network = wavenet(27)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with eval_mode(network):
        assert not network.training
        assert network(torch.zeros(1, 8, dtype=torch.long)).isfinite().all()
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "relu"}, "activation must be gate or gelu, got relu"),
        ({"norm": "none"}, "norm must be batch or layer, got none"),
        ({"dropout": 1.0}, r"dropout must be from 0 to below 1, got 1\.0"),
        ({"dropout": float("nan")}, "dropout must be"),
        ({"hidden_dim": 0}, "hidden_dim must be at least 1, got 0"),
    ],
)
def test_wrong_options_of_the_gated_network(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gated(27, **options)  # type: ignore[arg-type]


def test_the_gated_networks_first_loss_is_close_to_uniform() -> None:
    torch.manual_seed(0)
    network = gated(27)
    loss = F.cross_entropy(network(torch.randint(27, (256, 16))), torch.randint(27, (256,)))
    assert abs(loss.item() - log(27)) < 0.05
