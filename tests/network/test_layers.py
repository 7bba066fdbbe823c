import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from wavenet.network.layers import (
    BatchNorm1d,
    Dropout,
    FlattenConsecutive,
    Gate,
    NgramLogits,
    PerPositionBatchNorm1d,
    Residual,
    receptive_field,
)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
def test_flatten_joins_consecutive_steps_oldest_first(batch: int, groups: int, size: int, channels: int) -> None:
    x = torch.arange(batch * groups * size * channels).reshape(batch, groups * size, channels)
    y = FlattenConsecutive(size)(x)
    assert y.shape == ((batch, groups, size * channels) if groups > 1 else (batch, size * channels))
    expected = [torch.cat([x[:, g * size + i] for i in range(size)], dim=-1) for g in range(groups)]
    assert torch.equal(y.reshape(batch, groups, -1), torch.stack(expected, dim=1))


@pytest.mark.parametrize("shape", [(2, 7, 3), (2, 0, 3)])
def test_flatten_refuses_a_length_that_does_not_divide(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"multiple of 2 time steps, got {shape[1]}"):
        FlattenConsecutive(2)(torch.zeros(shape))


def test_flatten_refuses_other_inputs() -> None:
    with pytest.raises(ValueError, match=r"\(B, T, C\), got \(2, 8\)"):
        FlattenConsecutive(2)(torch.zeros(2, 8))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        FlattenConsecutive(0)


def test_flatten_shows_its_group_size() -> None:
    assert repr(FlattenConsecutive(3)) == "FlattenConsecutive(3)"


@pytest.mark.parametrize("p", [0.1, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dropout_zeroes_its_share_and_keeps_the_mean(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.ones(333, 301, dtype=dtype, requires_grad=True)  # a number of features that four does not divide
    y = Dropout(p)(x)
    assert y.dtype == dtype
    assert (y == 0).double().mean().item() == pytest.approx(p, abs=0.005)
    torch.testing.assert_close(y[y != 0], torch.full_like(y[y != 0], 1 / (1 - p)))
    neighbours = ((y[:, 1:] == 0) & (y[:, :-1] == 0)).double().mean().item()
    assert neighbours == pytest.approx(p * p, abs=0.005)  # those that share a random number are independent
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach())


def test_dropout_follows_the_seed_and_does_nothing_in_eval_mode() -> None:
    x = torch.randn(16, 4, 5)
    layer = Dropout(0.3)
    torch.manual_seed(1)
    first, second = layer(x), layer(x)
    torch.manual_seed(1)
    assert torch.equal(layer(x), first)
    assert not torch.equal(first, second)
    assert torch.equal(layer.eval()(x), x)


def test_batch_norm_takes_its_statistics_over_batch_and_time() -> None:
    x = torch.randn(16, 4, 5) * 3 + 2
    layer = BatchNorm1d(5, momentum=1.0)
    y = layer(x)
    assert y.shape == x.shape
    torch.testing.assert_close(layer.running_mean, x.mean((0, 1)))
    torch.testing.assert_close(layer.running_var, x.var((0, 1)))
    torch.testing.assert_close(y.mean((0, 1)), torch.zeros(5), atol=1e-5, rtol=0)


def test_batch_norm_is_torchs_on_flattened_time() -> None:
    ours, theirs = BatchNorm1d(5), nn.BatchNorm1d(5)
    x = torch.randn(16, 4, 5)
    torch.testing.assert_close(ours(x).reshape(-1, 5), theirs(x.reshape(-1, 5)))
    theirs.load_state_dict(ours.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(3, 5)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


@pytest.mark.parametrize("shape", [(6, 12), (6, 5, 12)])
def test_residual_adds_to_the_newest_step(shape: tuple[int, ...]) -> None:
    layer = Residual(nn.Linear(12, 8), nn.LayerNorm(8), Gate()).eval()
    x = torch.randn(shape)
    y = layer[1](layer[0](x))
    torch.testing.assert_close(layer(x), x[..., -4:] + y[..., :4].tanh() * y[..., 4:].sigmoid())


def test_residual_drops_out_what_it_adds_and_not_the_step() -> None:
    torch.manual_seed(0)
    layer = Residual(nn.Linear(200, 100), nn.Dropout(0.5))
    x = torch.randn(64, 200)
    unchanged = (layer(x) == x[:, 100:]).float().mean().item()
    assert 0.45 < unchanged < 0.55


def test_the_receptive_field_is_the_product_of_the_group_sizes() -> None:
    assert receptive_field(nn.Sequential(FlattenConsecutive(2), nn.Tanh(), FlattenConsecutive(3))) == 6


def test_each_position_keeps_its_own_statistics() -> None:
    layer = PerPositionBatchNorm1d(5, num_steps=4, momentum=1.0)
    x = torch.randn(64, 4, 5) + torch.arange(4)[:, None]
    y = layer(x)
    torch.testing.assert_close(layer.running_mean, x.mean(0))
    torch.testing.assert_close(y.mean(0), torch.zeros(4, 5), atol=1e-5, rtol=0)
    torch.testing.assert_close(layer.eval()(x), y)


def test_ngrams_share_a_row_exactly_where_their_last_tokens_agree() -> None:
    layer = NgramLogits(2**20, vocab_size=7)
    tokens = torch.cartesian_prod(*[torch.arange(7)] * 4)  # (N, 4)
    rows = layer.rows(tokens)  # (N, 3)
    assert rows.shape == (7**4, 3) and rows.min() >= 0 and rows.max() < 2**20
    for column, n in enumerate((2, 3, 4)):
        of_ngram = dict(zip(map(tuple, tokens[:, -n:].tolist()), rows[:, column].tolist(), strict=True))
        assert [of_ngram[tuple(ngram)] for ngram in tokens[:, -n:].tolist()] == rows[:, column].tolist()
        assert len(set(of_ngram.values())) > 0.99 * 7**n
    assert len(set(rows.flatten().tolist())) > 0.99 * (7**2 + 7**3 + 7**4)


def test_a_table_of_ngrams_learns_what_follows_them() -> None:
    layer = NgramLogits(64, vocab_size=3)
    contexts, targets = torch.tensor([[1, 2], [2, 1], [1, 1], [2, 2]]), torch.tensor([0, 1, 2, 1])
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.5)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(layer(contexts), targets).backward()
        optimizer.step()
    assert layer(contexts).argmax(dim=1).tolist() == targets.tolist()


def test_ngrams_that_say_nothing_are_drawn_anew_in_training_and_keep_the_mean() -> None:
    torch.manual_seed(0)
    layer = NgramLogits(1024, vocab_size=3, dropout=0.25)
    nn.init.normal_(layer.weight)
    tokens = torch.tensor([[1, 2, 0, 1, 2]])
    said = layer.gain * layer.weight[layer.rows(tokens)[0]]  # (4, V), of each n-gram
    drawn = layer(tokens.expand(20_000, 5))  # (N, V)
    assert len(drawn.unique(dim=0)) == 2**4
    assert torch.allclose(drawn.mean(dim=0), said.sum(dim=0), atol=0.02)
    assert torch.allclose(drawn.max(dim=0).values, said.clamp(min=0).sum(dim=0) / 0.75)
    assert torch.allclose(layer.eval()(tokens)[0], said.sum(dim=0))
