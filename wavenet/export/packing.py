"""Weights as small integers with a scale for each row, and the layers that they belong to as plain data.

Integers of 16 bits take as many bytes as half-precision numbers and are several times more exact: the numbers of a row
lie evenly between its largest and its negative. A table of n-grams, which has most of the numbers, gets 13 bits: the
page of the default network stays below 1.5 MB, and its logits within 0.001 of what they were.
``wavenet/export/web/network.js`` reads what is written here.
"""

from base64 import b64encode
from collections.abc import Callable, Iterable
from copy import deepcopy
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wavenet.errors import ArgumentError
from wavenet.network.labels import LabelledEmbedding, num_labels
from wavenet.network.layers import Ensemble, FlattenConsecutive, Gate, NgramLogits, Residual, Sum, receptive_field

BITS, TABLE_BITS = 16, 13  # of a weight, and of one in a table of n-grams
Plain = dict[str, Any]
EXPECTED = (
    "html needs an embedding, levels that join steps, and a linear layer at the end, with or without a table of "
    "n-grams, or an ensemble of such"
)


def quantised(weights: Tensor, bits: int = BITS) -> tuple[Tensor, Tensor]:
    """Integers (R, C) and scales (R,), whose product is about the weights (R, C), or (C,) as one row.

    Examples:
        >>> integers, scales = quantised(torch.tensor([[1.0, -0.5], [0.0, 0.0]]), bits=8)
        >>> integers, (integers * scales[:, None]).round(decimals=2)
        (tensor([[127, -64],
                [  0,   0]]), tensor([[ 1.0000, -0.5000],
                [ 0.0000,  0.0000]]))
    """
    rows = weights.detach().float().reshape(-1, weights.shape[-1])  # (R, C)
    largest = 2 ** (bits - 1) - 1
    scales = rows.abs().amax(dim=1) / largest  # (R,)
    integers = (rows / scales.clamp(min=torch.finfo(torch.float32).tiny)[:, None]).round()  # (R, C)
    return integers.clamp(-largest, largest).long(), scales


def bit_string(integers: Tensor, bits: int) -> bytes:
    """Integers as so many bits each, at most 16, one after another from the lowest bit of the first byte on.

    Negative ones are in two's complement.

    Examples:
        >>> bit_string(torch.tensor([1, -1, 0]), bits=4).hex()
        'f100'
    """
    each = np.unpackbits(integers.numpy().astype("<i2").reshape(-1, 1).view(np.uint8), axis=1, bitorder="little")
    return np.packbits(each[:, :bits], bitorder="little").tobytes()  # each is (N, 16)


def bits_of(layer: nn.Module) -> int:
    """How many bits a weight of a layer gets."""
    return TABLE_BITS if isinstance(layer, NgramLogits) else BITS


def rounded(network: nn.Sequential) -> nn.Sequential:
    """A copy of a network with the weights that are left of its own once they are packed."""
    network = deepcopy(network)
    with torch.no_grad():
        for layer in network.modules():
            for weights in layer.parameters(recurse=False):
                integers, scales = quantised(weights, bits_of(layer))
                weights.copy_((integers * scales[:, None]).reshape(weights.shape))
    return network


class Packer:
    """Collects weights in the order of the layers that it describes."""

    def __init__(self) -> None:
        self.integers: list[bytes] = []
        self.scales: list[bytes] = []

    def add(self, *matrices: Tensor, bits: int = BITS) -> None:
        """Adds weights; of rows of zeros there is the scale alone, which is 0."""
        for weights in matrices:
            integers, scales = quantised(weights, bits)
            self.integers.append(bit_string(integers[scales > 0], bits))
            self.scales.append(scales.numpy().astype("<f4").tobytes())

    def weights(self) -> dict[str, Any]:
        """All weights, in base64, and how many bits one has where nothing else is said."""
        parts = {"integers": self.integers, "scales": self.scales}
        return {"bits": BITS, **{name: b64encode(b"".join(part)).decode() for name, part in parts.items()}}

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


def pack(network: nn.Sequential) -> tuple[Plain, Plain]:
    """What describes a folded network, and its weights.

    Args:
        network: An embedding, levels that each begin with ``FlattenConsecutive``, and the last linear layer, with what
            follows it; or the sum of that and of a table of n-grams; or an ensemble of such.

    Raises:
        ArgumentError: The network is of another form, or has a layer that the page does not know.
    """
    packer = Packer()
    members = network.members if type(network) is Ensemble else [network]
    described = [member(packer, network) for network in members]
    return {"vocabSize": described[0]["vocabSize"], "members": described}, packer.weights()


def member(packer: Packer, network: nn.Sequential) -> Plain:
    """What describes one network: its tree and, if it has one, its table."""
    if type(network) is not Sum:
        return tree(packer, network)
    first, *others = network.members
    if len(others) != 1 or len(others[0]) != 3 or type(others[0][-1]) is not NgramLogits:
        raise ArgumentError("format", EXPECTED)
    return {**tree(packer, first), "table": table(packer, others[0])}


def table(packer: Packer, network: nn.Sequential) -> Plain:
    """What describes a table of n-grams."""
    layer: Any = network[-1]
    packer.add(layer.weight, bits=bits_of(layer))
    return {
        "rows": layer.num_embeddings,
        "bits": bits_of(layer),
        "longest": receptive_field(network),
        "gain": layer.gain,
        "multiplier": layer.multiplier,
        "prime": layer.prime,
    }


def tree(packer: Packer, network: nn.Sequential) -> Plain:
    """What describes a network of levels."""
    layers = list(network)
    groups = {place: layer.group_size for place, layer in enumerate(layers) if isinstance(layer, FlattenConsecutive)}
    last = max((place for place, layer in enumerate(layers) if isinstance(layer, nn.Linear)), default=0)
    embedding: Any = layers[0]
    if type(embedding) not in (nn.Embedding, LabelledEmbedding) or min(groups, default=0) != 1 or last < max(groups):
        raise ArgumentError("format", EXPECTED)
    labels = [embedding.label_weight] if isinstance(embedding, LabelledEmbedding) else []
    packer.add(embedding.weight, *labels)
    levels, width = [], embedding.embedding_dim
    for begin, end in pairwise([*groups, last]):
        group = groups[begin]
        width = width_after(layers[begin + 1 : end], group * width)
        levels.append({"group": group, "width": width, "layers": packer.layers(layers[begin + 1 : end])})
    return {
        "vocabSize": embedding.num_embeddings,
        "numLabels": num_labels(network),
        "width": embedding.embedding_dim,
        "levels": levels,
        "head": packer.layers(layers[last:]),
    }


def width_after(layers: list[nn.Module], width: int) -> int:
    """The features that layers make of so many."""
    with torch.no_grad():
        return int(nn.Sequential(*layers)(torch.zeros(1, width)).shape[1])
