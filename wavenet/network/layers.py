"""The layers that PyTorch does not have; everything else in a network is ``torch.nn``.

Only :class:`FlattenConsecutive` mixes time. Every other layer must treat each position alone, whether it is given
(B, T, C), (B, C) or packed rows (R, C); one that does not says ``position_wise = False``.
"""

from collections.abc import Sequence
from functools import reduce
from math import log, prod
from typing import cast

import torch
from torch import Tensor, nn

from wavenet.errors import check_at_least


class FlattenConsecutive(nn.Module):
    """Joins every ``group_size`` consecutive time steps into one wider step.

    The only layer that mixes time. When a single step remains, the time axis is dropped.

    Args:
        group_size: How many consecutive steps become one.

    Shape:
        - Input: :math:`(B, T, C)`, with T a multiple of ``group_size``.
        - Output: :math:`(B, T / n, n C)` with n = ``group_size``, or :math:`(B, n C)` if T = n. The last C features
          of a joined step are its newest step.

    Raises:
        ValueError: ``group_size`` is below 1, the input is not three-dimensional, or T is not a multiple of it.

    Examples:
        >>> import torch
        >>> FlattenConsecutive(2)(torch.zeros(32, 8, 24)).shape
        torch.Size([32, 4, 48])
        >>> FlattenConsecutive(8)(torch.zeros(32, 8, 24)).shape
        torch.Size([32, 192])

    Source: Andrej Karpathy, "Building makemore, part 5: Building a WaveNet".
    """

    def __init__(self, group_size: int) -> None:
        super().__init__()
        check_at_least(1, group_size=group_size)
        self.group_size = group_size

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 3:
            raise ValueError(f"FlattenConsecutive expected an input of shape (B, T, C), got {tuple(x.shape)}")
        B, T, C = x.shape
        if T == 0 or T % self.group_size:
            raise ValueError(f"FlattenConsecutive expected a multiple of {self.group_size} time steps, got {T}")
        x = x.reshape(B, T // self.group_size, self.group_size * C)  # (B, T/n, n*C)
        return x.squeeze(1) if x.shape[1] == 1 else x  # (B, n*C) when one step remains

    def extra_repr(self) -> str:
        return f"{self.group_size}"


class BatchNorm1d(nn.BatchNorm1d):
    """:class:`torch.nn.BatchNorm1d` for channels-last input: statistics over the batch and, if there is one, time.

    torch's layer reads a three-dimensional input as (B, C, T); here, as in the rest of this package, channels come
    last, so the input is transposed on the way in and back on the way out. Arguments, parameters, buffers and
    ``state_dict`` are torch's.

    Shape:
        - Input: :math:`(B, C)` or :math:`(B, T, C)`.
        - Output: the same as the input.

    Raises:
        ValueError: The input is neither two- nor three-dimensional, or, in train mode, there is a single value per
            channel.

    Examples:
        >>> import torch
        >>> layer = BatchNorm1d(68)
        >>> layer(torch.randn(32, 4, 68)).shape
        torch.Size([32, 4, 68])
        >>> layer.running_mean.shape
        torch.Size([68])

    Source: Ioffe and Szegedy, "Batch Normalization" (2015), https://arxiv.org/abs/1502.03167.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 3:
            return super().forward(x.transpose(1, 2)).transpose(1, 2)  # (B, C, T) inside, (B, T, C) outside
        return super().forward(x)  # (B, C)


class Dropout(nn.Dropout):
    """:class:`torch.nn.Dropout`, on a CPU with cheaper random numbers.

    There torch draws a number for each feature, which takes a fifth of a training's time at width 240. Here four share
    one of 64 bits, so ``p`` is rounded to a multiple of 2 ** -16.

    Shape:
        - Input: :math:`(*)`.
        - Output: the same as the input.

    Examples:
        >>> import torch
        >>> Dropout(0.5)(torch.ones(1000)).unique()
        tensor([0., 2.])

    Source: Srivastava et al., "Dropout" (2014), https://jmlr.org/papers/v15/srivastava14a.html.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or x.device.type != "cpu":
            return super().forward(x)
        bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        drawn = bits.view(torch.int16)[: x.numel()].view(x.shape)  # from -2 ** 15 to 2 ** 15 - 1, all alike
        kept = drawn >= min(round(self.p * 2**16), 2**16 - 1) - 2**15
        return x * kept.to(x.dtype).mul_(1 / (1 - self.p))


class Gate(nn.Module):
    """WaveNet's activation: the tanh of one half of the features times the sigmoid of the other.

    Shape:
        - Input: :math:`(*, 2 C)`.
        - Output: :math:`(*, C)`.

    Examples:
        >>> import torch
        >>> Gate()(torch.zeros(32, 4, 256)).shape
        torch.Size([32, 4, 128])

    Source: van den Oord et al., "WaveNet" (2016), section 2.3, https://arxiv.org/abs/1609.03499.
    """

    def forward(self, x: Tensor) -> Tensor:
        signal, gate = x.chunk(2, dim=-1)  # (*, C) each
        return signal.tanh() * gate.sigmoid()  # (*, C)


class PerPositionBatchNorm1d(nn.Module):
    """Batch norm with the lecture's bug: statistics over the batch alone, so each of T positions keeps its own.

    Gain and bias are shared by the positions, as the lecture's were. A correct layer averages over batch and time.
    It is kept for comparison. A network with it runs windowed only, since it is not position-wise.

    Args:
        num_features: Channels C.
        num_steps: Positions T.

    Shape:
        - Input: :math:`(B, T, C)`.
        - Output: the same as the input.
    """

    position_wise = False
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, num_steps: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_steps, num_features))
        self.register_buffer("running_var", torch.ones(num_steps, num_features))

    def forward(self, x: Tensor) -> Tensor:
        mean, var = self.running_mean, self.running_var
        if self.training:
            var, mean = torch.var_mean(x, dim=0)  # (T, C): the bug; it should be dim=(0, 1), giving (C,)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var, self.momentum)
        return (x - mean) * torch.rsqrt(var + self.eps) * self.weight + self.bias

    def extra_repr(self) -> str:
        return f"{self.weight.numel()}, num_steps={self.running_mean.shape[0]}"


class Residual(nn.Sequential):
    """A block whose result is added to the newest step of its input, so that a deep network passes on what it knows.

    It follows :class:`FlattenConsecutive`: the last C features of a joined step are its newest step. It is
    position-wise if its layers are.

    Args:
        layers: The block; its output has C features, at most as many as its input.

    Shape:
        - Input: :math:`(*, n C)`.
        - Output: :math:`(*, C)`.

    Examples:
        >>> import torch
        >>> Residual(nn.Linear(256, 128), nn.GELU())(torch.zeros(32, 4, 256)).shape
        torch.Size([32, 4, 128])

    Source: He et al., "Deep Residual Learning" (2015), https://arxiv.org/abs/1512.03385.
    """

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(x)  # type: ignore[no-untyped-call]  # (*, C)
        return x[..., -y.shape[-1] :] + y  # (*, C)


class NgramLogits(nn.EmbeddingBag):
    """What the last few tokens say of the next one, looked up: the sum of a row of logits for each n-gram of them.

    A network learns slowly what a table knows at once: after these very letters mostly comes that one. The n-grams of
    2, 3, ... tokens that end with the newest are hashed to rows of one table; those that share a row share what they
    say. All rows are zeros at first.

    Args:
        num_rows: Rows of the table.
        vocab_size: Number of token ids V.
        gain: What the rows say is multiplied by it, so that they are learned at that share of the network's rate.
        dropout: Probability, in training, that an n-gram says nothing.

    Attributes:
        weight: (num_rows, V), the table.

    Shape:
        - Input: :math:`(N, n)`, the last n tokens, the newest last.
        - Output: :math:`(N, V)`.

    Examples:
        >>> import torch
        >>> NgramLogits(1024, 27)(torch.zeros(32, 5, dtype=torch.long)).shape
        torch.Size([32, 27])

    Source: Mikolov et al., "Strategies for training large scale neural network language models" (2011), section 4,
    where a maximum entropy model of hashed n-grams is trained together with a network.
    """

    multiplier, prime = 1_000_003, 2**31 - 1  # whose product is below 2 ** 53, which is exact in any language

    def __init__(self, num_rows: int, vocab_size: int, gain: float = 0.3, dropout: float = 0.0) -> None:
        super().__init__(num_rows, vocab_size, mode="sum")
        nn.init.zeros_(self.weight)
        self.gain = gain
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:  # type: ignore[override]
        rows = self.rows(tokens)  # (N, n - 1)
        drops = self.training and self.dropout.p > 0
        kept = self.dropout(torch.ones_like(rows, dtype=self.weight.dtype)) if drops else None
        return self.gain * super().forward(rows, per_sample_weights=kept)  # (N, V)

    def rows(self, tokens: Tensor) -> Tensor:
        """The rows (N, n - 1) of the n-grams of 2, 3, ..., n tokens that end with the newest of (N, n).

        A context of a single token has the row (N, 1) of that. Labels of words (:mod:`wavenet.network.labels`) make no
        difference.
        """
        tokens = tokens % self.embedding_dim
        hashed, rows = torch.zeros_like(tokens[:, 0]), []
        for token in tokens.flip(1).unbind(1):
            hashed = (hashed * self.multiplier + token + 1) % self.prime  # (N,)
            rows.append(hashed % self.num_embeddings)
        return torch.stack(rows[1:] or rows, dim=1)


class Parallel(nn.Sequential):
    """Several networks that read the same tokens, as one, which runs in all three ways that its members do.

    Each member may have any size and context of its own. What becomes of their logits is position-wise: subclasses say
    it in :meth:`combine`.

    Args:
        members: Networks over the same tokens.

    Shape:
        - Input: :math:`(B, T)` token ids, T being the largest receptive field of a member; each member reads the newest
          of them, as many as it has room for.
        - Output: :math:`(B, V)` logits.
    """

    def forward(self, tokens: Tensor) -> Tensor:
        return self.combine([member(tokens[:, -receptive_field(member) :]) for member in self.members])

    @property
    def members(self) -> list[nn.Sequential]:
        """The networks."""
        return cast(list[nn.Sequential], list(self))

    def combine(self, logits: Sequence[Tensor]) -> Tensor:
        """The logits (..., V) of all, from those (..., V) of each member."""
        raise NotImplementedError


class Sum(Parallel):
    """Networks whose logits are added: each learns what the others leave to it.

    Examples:
        >>> import torch
        >>> members = [nn.Sequential(nn.Embedding(3, 4), FlattenConsecutive(n), nn.Linear(4 * n, 3)) for n in (2, 4)]
        >>> Sum(*members)(torch.zeros(5, 4, dtype=torch.long)).shape
        torch.Size([5, 3])
    """

    def combine(self, logits: Sequence[Tensor]) -> Tensor:
        return reduce(torch.add, logits)


class Ensemble(Parallel):
    """Several networks as one, whose probabilities are the mean of theirs: the logits are the logarithms of these.

    It takes the time and the memory of all members together.

    Examples:
        >>> import torch
        >>> members = [nn.Sequential(nn.Embedding(3, 4), FlattenConsecutive(n), nn.Linear(4 * n, 3)) for n in (2, 4)]
        >>> Ensemble(*members)(torch.zeros(5, 4, dtype=torch.long)).exp().sum(1).allclose(torch.ones(5))
        True

    Sources: Hansen and Salamon, "Neural network ensembles" (1990); Lakshminarayanan et al., "Simple and Scalable
    Predictive Uncertainty Estimation using Deep Ensembles" (2017), https://arxiv.org/abs/1612.01474.
    """

    def combine(self, logits: Sequence[Tensor]) -> Tensor:
        log_probs = [of_member.log_softmax(dim=-1) for of_member in logits]
        return reduce(torch.logaddexp, log_probs) - log(len(log_probs))


def position_wise(network: nn.Module) -> bool:
    """Whether all layers but :class:`FlattenConsecutive` treat each position alone, so that the network can slide."""
    return all(getattr(layer, "position_wise", True) for layer in network.modules())


def receptive_field(network: nn.Sequential) -> int:
    """How many tokens of context the prediction depends on: the product of the group sizes, the largest of members.

    Examples:
        >>> receptive_field(nn.Sequential(FlattenConsecutive(2), FlattenConsecutive(4)))
        8
    """
    if isinstance(network, Parallel):
        return max(map(receptive_field, network.members))
    return prod(layer.group_size for layer in network if isinstance(layer, FlattenConsecutive))
