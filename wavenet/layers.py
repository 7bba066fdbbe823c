"""The two layers that PyTorch does not have; everything else in a network is ``torch.nn``."""

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
