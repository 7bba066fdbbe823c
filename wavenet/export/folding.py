"""A network for use alone: the same logits in eval mode from fewer layers."""

from collections.abc import Iterable
from copy import deepcopy

import torch
from torch import nn

from wavenet.network.layers import Parallel, Residual


def folded(network: nn.Sequential) -> nn.Sequential:
    """A copy of a network in which each linear layer has taken in the batch norm that follows it; dropout is gone.

    In eval mode batch norm multiplies each feature and adds to it, which the linear layer can do as well.

    Examples:
        >>> from wavenet import NetworkConfig, build
        >>> folded(build(NetworkConfig(block_size=2, embedding_dim=4, hidden_dim=8, dropout=0.1), 3))
        Sequential(
          (0): Embedding(3, 4)
          (1): FlattenConsecutive(2)
          (2): Linear(in_features=8, out_features=8, bias=True)
          (3): GELU(approximate='none')
          (4): Linear(in_features=8, out_features=3, bias=True)
        )
    """
    if isinstance(network, Parallel):
        return type(network)(*map(folded, network.members)).eval()
    return nn.Sequential(*fold(network)).eval()


def fold(layers: Iterable[nn.Module]) -> list[nn.Module]:
    """The layers that do what these do in eval mode."""
    found: list[nn.Module] = []
    for layer in layers:
        last = found[-1] if found else None
        if isinstance(layer, nn.BatchNorm1d) and layer.running_mean is not None and isinstance(last, nn.Linear):
            found[-1] = absorb(last, layer)
        elif isinstance(layer, Residual):
            found.append(Residual(*fold(layer)))
        elif not isinstance(layer, nn.Dropout):
            found.append(deepcopy(layer))
    return found


def absorb(linear: nn.Linear, norm: nn.BatchNorm1d) -> nn.Linear:
    """The linear layer that does what a linear layer and a batch norm do, computed in double precision."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = (norm.running_var.double() + norm.eps).rsqrt()  # (C,)
    shift = -norm.running_mean.double() * scale  # (C,)
    if linear.bias is not None:
        shift = shift + linear.bias.double() * scale
    if norm.affine:
        scale, shift = scale * norm.weight.double(), shift * norm.weight.double() + norm.bias.double()
    both = nn.Linear(linear.in_features, linear.out_features)
    with torch.no_grad():
        both.weight.copy_(scale[:, None] * linear.weight.double())
        both.bias.copy_(shift)
    return both
