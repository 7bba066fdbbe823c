"""The networks that tests use most, by short names."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from wavenet.network.build import build
from wavenet.network.config import NetworkConfig

VARIED: dict[str, NetworkConfig | Sequence[NetworkConfig]] = {
    "default": NetworkConfig(embedding_dim=6, hidden_dim=10),
    "gates and other groups": NetworkConfig(8, (4, 2), 6, 10, activation="gate", dropout=0.2, logits_norm=True),
    "flat with layer norm": NetworkConfig(3, 3, 6, 10, activation="tanh", norm="layer", residual=False),
    "shared weights": NetworkConfig(8, 2, 6, 10, activation="gate", share_weights=True),
    "no context": NetworkConfig(1, 1, 6, 10),
    "a table of n-grams": NetworkConfig(8, 2, 6, 10, ngram_rows=50),
    "an ensemble": [
        NetworkConfig(8, (4, 2), 6, 10, activation="gate", logits_norm=True, ngram_rows=50),
        NetworkConfig(3, 3, 6, 10, activation="tanh", norm="layer", residual=False),
    ],
}
"""Networks that differ in all that a network can have."""


def lecture(vocab_size: int, *sizes: Any, **options: Any) -> nn.Sequential:
    """A hierarchical network as the lecture has it; sizes are block_size, group_size, embedding_dim, hidden_dim."""
    return build(NetworkConfig(*sizes, **{"activation": "tanh", "residual": False, **options}), vocab_size)


def gated(vocab_size: int, *sizes: Any, **options: Any) -> nn.Sequential:
    """A network with gates and residuals."""
    return build(NetworkConfig(*sizes, **{"activation": "gate", **options}), vocab_size)


def batch_norm_bug(vocab_size: int, **options: Any) -> nn.Sequential:
    """The lecture's network with its bug."""
    return lecture(vocab_size, norm="batch_per_position", **options)


def lively(network: nn.Sequential) -> nn.Sequential:
    """The network in eval mode, always with the same weights and statistics, far from what they begin with."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.2, 3, generator=generator)
            elif value.ndim == 2:
                value.normal_(std=1.3 * value.shape[1] ** -0.5, generator=generator)
            elif value.is_floating_point():
                value.normal_(float(name.endswith("weight")), 0.3, generator=generator)
    return network.eval()
