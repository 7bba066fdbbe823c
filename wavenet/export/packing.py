"""Weights as 16-bit integers with a scale for each row, and the layers that they belong to as plain data.

That takes as many bytes as half-precision numbers, and is several times more exact: the numbers of a row lie evenly
between its largest and its negative. ``wavenet/export/web/network.js`` reads what is written here.
"""

from base64 import b64encode
from collections.abc import Callable, Iterable
from copy import deepcopy
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from wavenet.errors import ArgumentError
from wavenet.network.layers import FlattenConsecutive, Gate, Residual

LARGEST = 2**15 - 1  # of the integers
Plain = dict[str, Any]


def quantised(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Integers (R, C) and scales (R,), whose product is about the weights (R, C), or (C,) as one row.

    Examples:
        >>> integers, scales = quantised(torch.tensor([[1.0, -0.5]]))
        >>> integers, (integers * scales[:, None]).round(decimals=4)
        (tensor([[ 32767, -16384]], dtype=torch.int16), tensor([[ 1.0000, -0.5000]]))
    """
    rows = weights.detach().float().reshape(-1, weights.shape[-1])  # (R, C)
    scales = rows.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny) / LARGEST  # (R,)
    integers = (rows / scales[:, None]).round().clamp(-LARGEST, LARGEST).to(torch.int16)  # (R, C)
    return integers, scales


def rounded(network: nn.Sequential) -> nn.Sequential:
    """A copy of a network with the weights that are left of its own once they are packed."""
    network = deepcopy(network)
    with torch.no_grad():
        for weights in network.parameters():
            integers, scales = quantised(weights)
            weights.copy_((integers * scales[:, None]).reshape(weights.shape))
    return network


class Packer:
    """Collects weights in the order of the layers that it describes."""

    def __init__(self) -> None:
        self.integers: list[Tensor] = []
        self.scales: list[Tensor] = []

    def add(self, *matrices: Tensor) -> None:
        """Adds weights."""
        for weights in matrices:
            integers, scales = quantised(weights)
            self.integers.append(integers.flatten())
            self.scales.append(scales)

    def weights(self) -> dict[str, str]:
        """All weights, little-endian, in base64."""
        parts = {"integers": (self.integers, "<i2"), "scales": (self.scales, "<f4")}
        return {
            name: b64encode(torch.cat(tensors).numpy().astype(kind).tobytes()).decode()
            for name, (tensors, kind) in parts.items()
        }

    def layers(self, layers: Iterable[nn.Module]) -> list[Plain]:
        """What describes layers that treat each position alone.

        Raises:
            ArgumentError: The page does not know a layer.
        """
        return [self.layer(layer) for layer in layers]

    def layer(self, layer: nn.Module) -> Plain:
        """What describes one of them."""
        for kind, describe in DESCRIBED.items():
            if type(layer) is kind and (described := describe(self, layer)) is not None:
                return described
        raise ArgumentError("format", f"html knows no layer like {layer}")


def linear(packer: Packer, layer: Any) -> Plain:
    """A linear layer; one without a bias gets one of zeros."""
    bias = layer.weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias
    packer.add(layer.weight, bias)
    return {"kind": "linear", "inputs": layer.in_features, "outputs": layer.out_features}


def layer_norm(packer: Packer, layer: Any) -> Plain | None:
    """A layer norm over the features of each position."""
    if layer.weight is None or layer.bias is None or len(layer.normalized_shape) != 1:
        return None
    packer.add(layer.weight, layer.bias)
    return {"kind": "layerNorm", "width": layer.normalized_shape[0], "epsilon": layer.eps}


def gelu(packer: Packer, layer: Any) -> Plain | None:
    """GELU, by the error function."""
    return {"kind": "gelu"} if layer.approximate == "none" else None


def residual(packer: Packer, layer: Any) -> Plain:
    """A block whose result is added to its newest input."""
    return {"kind": "residual", "layers": packer.layers(layer)}


DESCRIBED: dict[type[nn.Module], Callable[[Packer, Any], Plain | None]] = {
    nn.Linear: linear,
    nn.LayerNorm: layer_norm,
    nn.GELU: gelu,
    nn.Tanh: lambda packer, layer: {"kind": "tanh"},
    Gate: lambda packer, layer: {"kind": "gate"},
    Residual: residual,
}
"""The layers that a page knows, and what describes each; ``None`` for a variant that it does not know."""


def pack(network: nn.Sequential) -> tuple[Plain, dict[str, str]]:
    """What describes a folded network, and its weights.

    Args:
        network: An embedding, levels that each begin with ``FlattenConsecutive``, and the last linear layer, with what
            follows it.

    Raises:
        ArgumentError: The network is of another form, or has a layer that the page does not know.
    """
    layers = list(network)
    groups = {place: layer.group_size for place, layer in enumerate(layers) if isinstance(layer, FlattenConsecutive)}
    last = max((place for place, layer in enumerate(layers) if isinstance(layer, nn.Linear)), default=0)
    embedding = layers[0]
    if type(embedding) is not nn.Embedding or min(groups, default=0) != 1 or last < max(groups):
        raise ArgumentError("format", "html needs an embedding, levels that join steps, and a linear layer at the end")
    packer = Packer()
    packer.add(embedding.weight)
    levels, width = [], embedding.embedding_dim
    for begin, end in pairwise([*groups, last]):
        group = groups[begin]
        width = width_after(layers[begin + 1 : end], group * width)
        levels.append({"group": group, "width": width, "layers": packer.layers(layers[begin + 1 : end])})
    described = {
        "vocabSize": embedding.num_embeddings,
        "width": embedding.embedding_dim,
        "levels": levels,
        "head": packer.layers(layers[last:]),
    }
    return described, packer.weights()


def width_after(layers: list[nn.Module], width: int) -> int:
    """The features that layers make of so many."""
    with torch.no_grad():
        return int(nn.Sequential(*layers)(torch.zeros(1, width)).shape[1])
