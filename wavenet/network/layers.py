"""The layers that PyTorch does not have; everything else in a network is ``torch.nn``."""

from typing import Literal

from torch import Tensor, nn


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
        if group_size < 1:
            raise ValueError(f"group_size must be at least 1, got {group_size}")
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


class GatedResidual(nn.Module):
    """A hidden layer after :class:`FlattenConsecutive`: linear, norm, activation, dropout, added to the newest step.

    It treats each position alone. The last features of a joined vector are its newest step; when there are as many of
    them as outputs they are added, so that a deep network passes on what it knows. The first layer, whose input is as
    wide as the embedding, has nothing to add where the embedding is narrower.

    Args:
        in_features: Features of a joined step, n·C.
        out_features: Features of the result.
        group_size: Steps n that were joined.
        activation: ``gate`` (:class:`Gate`) or ``gelu``.
        norm: ``batch`` or ``layer``.
        dropout: Probability of zeroing a feature of what is added.

    Shape:
        - Input: :math:`(B, n C)` or :math:`(B, T, n C)`.
        - Output: the same with ``out_features`` for :math:`n C`.

    Raises:
        ValueError: An argument is none of these, or ``in_features`` is not a multiple of ``group_size``.

    Examples:
        >>> import torch
        >>> GatedResidual(256, 128, group_size=2)(torch.zeros(32, 4, 256)).shape
        torch.Size([32, 4, 128])

    Source of ``gelu``: Hendrycks and Gimpel, "Gaussian Error Linear Units" (2016), https://arxiv.org/abs/1606.08415.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        group_size: int,
        activation: Literal["gate", "gelu"] = "gate",
        norm: Literal["batch", "layer"] = "batch",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if group_size < 1 or in_features % group_size:
            raise ValueError(f"in_features must be a multiple of group_size {group_size}, got {in_features}")
        if activation not in ("gate", "gelu"):
            raise ValueError(f"activation must be gate or gelu, got {activation}")
        if norm not in ("batch", "layer"):
            raise ValueError(f"norm must be batch or layer, got {norm}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be from 0 to below 1, got {dropout}")
        self.activation: nn.Module = Gate() if activation == "gate" else nn.GELU()
        self.residual = in_features // group_size == out_features
        self.out_features = out_features
        width = 2 * out_features if activation == "gate" else out_features
        self.linear = nn.Linear(in_features, width, bias=False)  # the norm has its own bias
        self.norm: nn.Module = BatchNorm1d(width) if norm == "batch" else nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.linear(x))  # (..., 2*C) before a gate, else (..., C)
        y = self.dropout(self.activation(y))  # (..., C)
        return x[..., -self.out_features :] + y if self.residual else y

    def extra_repr(self) -> str:
        return f"activation={type(self.activation).__name__.lower()}, residual={self.residual}"
