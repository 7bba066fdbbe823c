"""The networks that tests use most, by short names."""

from typing import Any

from torch import nn

from wavenet.network.build import build
from wavenet.network.config import NetworkConfig


def lecture(vocab_size: int, *sizes: Any, **options: Any) -> nn.Sequential:
    """A hierarchical network as the lecture has it; sizes are block_size, group_size, embedding_dim, hidden_dim."""
    return build(NetworkConfig(*sizes, **{"activation": "tanh", "residual": False, **options}), vocab_size)


def gated(vocab_size: int, *sizes: Any, **options: Any) -> nn.Sequential:
    """A network with gates and residuals."""
    return build(NetworkConfig(*sizes, **{"activation": "gate", **options}), vocab_size)


def batch_norm_bug(vocab_size: int, **options: Any) -> nn.Sequential:
    """The lecture's network with its bug."""
    return lecture(vocab_size, norm="batch_per_position", **options)
