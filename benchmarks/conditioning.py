"""Where a network should be told a label: three ways, on the bundled names, with the same steps and seeds.

    python benchmarks/conditioning.py --seeds 2

``sum`` adds the embedding of a word's label to that of each token, which is what the package does; ``concatenation``
puts them side by side; ``each layer`` adds an embedding of its own before every activation, as WaveNet's global
conditioning does. ``none`` is told nothing. All train with the settings that the rule chooses for the list, and hide a
tenth of the labels. The loss is that of validation words, told their label, in nats per character.

Sources: van den Oord et al., "WaveNet" (2016), section 2.5, https://arxiv.org/abs/1609.03499.
"""

import statistics
from dataclasses import replace
from typing import Any

import torch
from common import parser, show
from torch import Tensor, nn
from torch.nn import functional as F

from wavenet.corpus.download import BUNDLED
from wavenet.network.build import build
from wavenet.network.config import NetworkConfig
from wavenet.network.layers import BatchNorm1d
from wavenet.network.sliding import run
from wavenet.training.data import WordsDataModule
from wavenet.training.loss import mean_loss
from wavenet.training.optimization import OptimizationConfig, make
from wavenet.training.recipe import recipe_for

STEPS: int | None = None  # as many as the rule says
WAYS = ("none", "sum", "concatenation", "each layer")


class SideBySide(nn.Module):
    """The embeddings of a token and of its word's label, one after the other."""

    def __init__(self, vocab_size: int, num_labels: int, embedding_dim: int) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.tokens = nn.Embedding(vocab_size, embedding_dim)
        self.labels = nn.Embedding(num_labels + 1, embedding_dim)

    def forward(self, ids: Tensor) -> Tensor:
        return torch.cat([self.tokens(ids % self.vocab_size), self.labels(ids // self.vocab_size)], dim=-1)


class First(nn.Module):
    """The embedding of a token, which notes the labels of all rows for the layers above."""

    def __init__(self, tokens: nn.Embedding) -> None:
        super().__init__()
        self.tokens, self.vocab_size = tokens, tokens.num_embeddings
        self.labels = torch.zeros(0, dtype=torch.long)

    def forward(self, ids: Tensor) -> Tensor:
        self.labels = ids // self.vocab_size
        return self.tokens(ids % self.vocab_size)


class Told(nn.Module):
    """A norm that adds the embedding of each row's label to its result."""

    def __init__(self, norm: BatchNorm1d, first: First, num_labels: int) -> None:
        super().__init__()
        self.norm, self.labels = norm, nn.Embedding(num_labels + 1, norm.num_features)
        self.first = [first]  # in a list, so that it is no part of this layer
        nn.init.zeros_(self.labels.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x) + self.labels(self.first[0].labels)


def network_of(way: str, config: NetworkConfig, vocab_size: int, num_labels: int) -> nn.Sequential:
    """A network that is told labels in one of the ways."""
    if way in ("none", "sum"):
        return build(config, vocab_size, num_labels)
    if way == "concatenation":
        network = build(replace(config, embedding_dim=2 * config.embedding_dim), vocab_size)
        network[0] = SideBySide(vocab_size, num_labels, config.embedding_dim)
        return network
    network = build(config, vocab_size)
    network[0] = first = First(network[0])
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, BatchNorm1d):
                setattr(parent, name, Told(child, first, num_labels))
    return network


def loss_of(way: str, seed: int, path: str) -> tuple[float, int]:
    """The validation loss of one training, and how many parameters the network has."""
    torch.manual_seed(seed)
    data = WordsDataModule(path, labels=True, hidden_labels=1.0 if way == "none" else 0.1)
    recipe = recipe_for(data.split.train.words)
    data.batch_size, steps = recipe.batch_size, STEPS or recipe.max_steps
    config = NetworkConfig(hidden_dim=recipe.hidden_dim, dropout=recipe.dropout)
    network: Any = network_of(way, config, len(data.vocabulary), len(data.labels))
    settings = OptimizationConfig(learning_rate=recipe.learning_rate, weight_decay=recipe.weight_decay)
    optimizer, schedule = make(settings, network, steps)
    loader, done = data.train_dataloader(), 0
    while done < steps:
        loader.sampler.set_epoch(done)
        for batch in loader:
            F.cross_entropy(run(network, batch), batch.targets).backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            done += 1
            if done == steps:
                break
    if way == "none":
        network[0].label_weight.data[1:] = network[0].label_weight.data[0]  # it was told nothing
    loss = mean_loss(network, data.eval_dataloader("val"), torch.device("cpu"))
    return loss, sum(parameter.numel() for parameter in network.parameters())


def main() -> None:
    """Measures and prints."""
    arguments = parser(__doc__)
    arguments.add_argument("--seeds", type=int, default=1, help="trainings of each")
    options = arguments.parse_args()
    rows = []
    for way in WAYS:
        found = [loss_of(way, seed, options.path or str(BUNDLED)) for seed in range(1, options.seeds + 1)]
        losses = [loss for loss, _ in found]
        rows.append([way, f"{found[0][1]:,}", f"{statistics.mean(losses):.4f}", ", ".join(f"{x:.4f}" for x in losses)])
    show("validation loss, told the label", ["way", "parameters", "mean", "each seed"], rows)


if __name__ == "__main__":
    main()
