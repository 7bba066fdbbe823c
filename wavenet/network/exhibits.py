"""The lecture's batch-norm bug, kept working for comparison. Nothing else should use it."""

from typing import Any

import torch
from torch import Tensor, nn

from wavenet.network.build import receptive_field, wavenet
from wavenet.network.layers import FlattenConsecutive


class PerPositionBatchNorm1d(nn.Module):
    """Batch norm with the lecture's bug: statistics over the batch alone, so each of T positions keeps its own.

    Gain and bias are shared by the positions, as the lecture's were. A correct layer averages over batch and time.

    Args:
        num_features: Channels C.
        num_steps: Positions T.

    Shape:
        - Input: :math:`(B, T, C)`.
        - Output: the same as the input.
    """

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


def wavenet_batch_norm_bug(*args: Any, **kwargs: Any) -> nn.Sequential:
    """The lecture's hierarchical network as it stood before its author found the bug.

    Arguments and errors are those of :func:`wavenet.network.build.wavenet`.
    """
    network = wavenet(*args, **kwargs)
    num_steps = receptive_field(network)
    for index, layer in enumerate(network):
        if isinstance(layer, FlattenConsecutive):
            num_steps //= layer.group_size
        if isinstance(layer, nn.BatchNorm1d) and num_steps > 1:
            network[index] = PerPositionBatchNorm1d(layer.num_features, num_steps)
    return network
