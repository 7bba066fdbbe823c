"""Whether what a checkpoint records as weights are those of a network, found out before memory is spent on it."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from wavenet.corpus.vocabulary import BOUNDARY
from wavenet.network.build import build
from wavenet.network.config import NetworkConfig
from wavenet.network.labels import num_labels, pairs
from wavenet.network.layers import receptive_field
from wavenet.network.sliding import eval_mode

COUNT = "num_batches_tracked"  # of batch norm
VARIANCE = "running_var"


def check_tensor(value: Any, name: str) -> None:
    """Raises a ValueError if a value is no plain tensor of finite numbers, each with its own place in memory.

    A file can hold one number and a tensor of a billion that are all this number.
    """
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.device.type != "cpu":
        raise ValueError(f"{name} is no plain tensor")
    if not value.is_floating_point() and value.dtype != torch.int64:
        raise ValueError(f"{name} is of type {value.dtype}")
    if value.nbytes > value.untyped_storage().nbytes():
        raise ValueError(f"{name} says that it has {value.numel():,} numbers, more than it holds")
    if not value.to(torch.float32).isfinite().all():
        raise ValueError(f"{name} does not hold finite numbers alone")


def check_weights(weights: Any) -> None:
    """Raises a ValueError if these are not the weights of any network."""
    if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights):
        raise ValueError("its weights have no names")
    for name, value in weights.items():
        check_tensor(value, name)
        if name.endswith(VARIANCE) and (value < 0).any():
            raise ValueError(f"{name} holds variances below 0")
        if name.endswith(COUNT) and (value.dtype != torch.int64 or value.numel() != 1 or value < 0):
            raise ValueError(f"{name} is no count")


def on_paper(config: NetworkConfig | Sequence[NetworkConfig], vocab_size: int, num_labels: int = 0) -> nn.Sequential:
    """A network without memory for its weights, however many they are; a ValueError if they cannot be counted."""
    try:
        with torch.device("meta"):
            return build(config, vocab_size, num_labels)
    except (RuntimeError, TypeError, OverflowError):  # whose messages have the lines of torch's own stack
        raise ValueError("its settings describe a network with more weights than can be counted") from None


def check_shape(
    config: NetworkConfig | Sequence[NetworkConfig],
    vocab_size: int,
    weights: Mapping[str, Tensor],
    num_labels: int = 0,
) -> None:
    """Raises a ValueError unless the weights have the shapes of such a network, which takes no memory to find out."""
    expected = on_paper(config, vocab_size, num_labels).state_dict(keep_vars=True)
    if [value.shape for value in weights.values()] != [value.shape for value in expected.values()]:
        raise ValueError("its weights are not those of the network that its settings describe")
    once: dict[int, Tensor] = {}  # for each parameter its value, however many layers share it
    for parameter, (name, value) in zip(expected.values(), weights.items(), strict=True):
        if not torch.equal(once.setdefault(id(parameter), value), value):
            raise ValueError(f"{name} is not what the layer that shares it has")
    places = {value.untyped_storage().data_ptr(): value.untyped_storage().nbytes() for value in once.values()}
    if sum(value.nbytes for value in once.values()) > sum(places.values()):
        raise ValueError("its weights share their memory")


def check_finite_logits(network: nn.Sequential, vocab_size: int) -> None:
    """Raises a ValueError if a network has other logits than finite ones for contexts of one repeated token.

    Numbers that are finite themselves may be so large that what is computed from them is not. With labels, each is
    tried with the boundary.
    """
    boundaries = pairs(torch.tensor(BOUNDARY), torch.arange(1, num_labels(network) + 1), vocab_size)  # (L,)
    tokens = torch.cat([torch.arange(vocab_size), boundaries])
    with eval_mode(network):
        logits = network(tokens[:, None].expand(-1, receptive_field(network)))  # (V + L, T) -> (V + L, V)
    if not logits.isfinite().all():
        raise ValueError("its weights are so large that nothing can be computed with them")
