"""Builders: each returns a plain ``nn.Sequential`` that maps contexts (B, T) to logits (B, V)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from math import prod
from typing import Literal

import torch
from torch import nn

from wavenet.network.layers import BatchNorm1d, FlattenConsecutive, GatedResidual


def wavenet(
    vocab_size: int,
    block_size: int = 8,
    embedding_dim: int = 24,
    hidden_dim: int = 128,
    group_size: int | Sequence[int] = 2,
    logits_norm: bool = False,
) -> nn.Sequential:
    """The hierarchical WaveNet of the lecture: neighbouring steps are joined, group by group, until one remains.

    Args:
        vocab_size: Number of token ids V, the boundary included.
        block_size: Length T of the context, in tokens.
        embedding_dim: Features of one embedded token.
        hidden_dim: Features of one hidden step.
        group_size: Steps joined by each level: a number repeated until the context is one step (2 makes 8 = 2·2·2),
            or one number per level, the level nearest the input first ((2, 4)).
        logits_norm: Whether batch norm follows the last linear layer, as in the second set of the lecture's notes.

    Returns:
        The network, initialised as in the lecture (:func:`lecture_init`). Shape: (B, T) token ids to (B, V) logits.

    Raises:
        ValueError: A size is below 1, or the group sizes do not multiply to ``block_size``.

    Examples:
        >>> network = wavenet(vocab_size=27)
        >>> sum(p.numel() for p in network.parameters())
        76579
        >>> receptive_field(network)
        8

    Sources: Karpathy, "Building makemore, part 5: Building a WaveNet"; van den Oord et al., "WaveNet: A Generative
    Model for Raw Audio" (2016), https://arxiv.org/abs/1609.03499.
    """
    check_sizes(vocab_size=vocab_size, block_size=block_size, embedding_dim=embedding_dim, hidden_dim=hidden_dim)
    groups = group_sizes(block_size, group_size)
    widths = [embedding_dim] + [hidden_dim] * len(groups)
    layers: list[nn.Module] = [nn.Embedding(vocab_size, embedding_dim)]
    for group, (in_dim, out_dim) in zip(groups, pairwise(widths), strict=True):
        layers += [
            FlattenConsecutive(group),
            nn.Linear(group * in_dim, out_dim, bias=False),  # batch norm has its own bias
            BatchNorm1d(out_dim),
            nn.Tanh(),
        ]
    layers += [nn.Linear(hidden_dim, vocab_size, bias=not logits_norm)]
    if logits_norm:
        layers += [BatchNorm1d(vocab_size)]
    return lecture_init(nn.Sequential(*layers))


def mlp(
    vocab_size: int, block_size: int = 8, embedding_dim: int = 10, hidden_dim: int = 200, logits_norm: bool = False
) -> nn.Sequential:
    """The flat network the lecture starts from: the whole context is joined at once, which is one group of all steps.

    Arguments, result and errors are those of :func:`wavenet`.

    Examples:
        >>> sum(p.numel() for p in mlp(vocab_size=27, block_size=3).parameters())
        12097

    Sources: Bengio et al., "A Neural Probabilistic Language Model" (2003); Karpathy, "makemore, part 3 and 5".
    """
    return wavenet(vocab_size, block_size, embedding_dim, hidden_dim, block_size, logits_norm)


def gated(
    vocab_size: int,
    block_size: int = 16,
    embedding_dim: int = 64,
    hidden_dim: int = 128,
    group_size: int | Sequence[int] = 2,
    activation: Literal["gate", "gelu"] = "gate",
    norm: Literal["batch", "layer"] = "batch",
    dropout: float = 0.0,
) -> nn.Sequential:
    """The hierarchy of :func:`wavenet` with :class:`wavenet.network.layers.GatedResidual` as its hidden layers.

    Args:
        vocab_size, block_size, embedding_dim, hidden_dim, group_size: See :func:`wavenet`.
        activation: ``gate`` (tanh times sigmoid, as in WaveNet) or ``gelu``.
        norm: ``batch`` or ``layer``.
        dropout: Probability of zeroing a feature of a hidden layer.

    Raises:
        ValueError: As :func:`wavenet`, or ``activation``, ``norm`` or ``dropout`` is none of these.

    Examples:
        >>> sum(p.numel() for p in gated(27, block_size=8, embedding_dim=24, activation="gelu").parameters())
        76579
    """
    check_sizes(vocab_size=vocab_size, block_size=block_size, embedding_dim=embedding_dim, hidden_dim=hidden_dim)
    groups = group_sizes(block_size, group_size)
    widths = [embedding_dim] + [hidden_dim] * len(groups)
    layers: list[nn.Module] = [nn.Embedding(vocab_size, embedding_dim)]
    for group, (in_dim, out_dim) in zip(groups, pairwise(widths), strict=True):
        layers += [
            FlattenConsecutive(group),
            GatedResidual(group * in_dim, out_dim, group, activation, norm, dropout),
        ]
    return lecture_init(nn.Sequential(*layers, nn.Linear(hidden_dim, vocab_size)))


def check_sizes(**sizes: int) -> None:
    """Raises a ValueError for a size below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")


def group_sizes(block_size: int, group_size: int | Sequence[int]) -> tuple[int, ...]:
    """The number of steps that each level joins, from the input on.

    Raises:
        ValueError: They do not multiply to ``block_size``.

    Examples:
        >>> group_sizes(27, 3)
        (3, 3, 3)
        >>> group_sizes(8, (2, 4))
        (2, 4)
    """
    if isinstance(group_size, int):
        groups = [group_size]
        while group_size > 1 and prod(groups) < block_size:
            groups.append(group_size)
    else:
        groups = list(group_size)
    if (min(groups, default=0) < 2 and groups != [1]) or prod(groups) != block_size:
        raise ValueError(
            f"group_size {group_size} does not make block_size {block_size}: "
            f"expected group sizes above 1 whose product is {block_size}, got {'·'.join(map(str, groups)) or 'none'}"
        )
    return tuple(groups)


def lecture_init(network: nn.Sequential) -> nn.Sequential:
    """Draws linear weights from N(0, 1/fan_in), zeroes biases, and makes the first predictions nearly uniform.

    The last layer's gain (the linear layer's weights or, if batch norm follows it, that norm's scale) is multiplied by
    0.1, so that the first loss is close to ln(V) nats instead of several times that.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    last = network[-1]
    if isinstance(last, nn.Linear | nn.BatchNorm1d):
        last.weight.data.mul_(0.1)
    return network


def receptive_field(network: nn.Sequential) -> int:
    """How many tokens of context the prediction depends on: the product of the group sizes.

    Examples:
        >>> receptive_field(wavenet(vocab_size=27, block_size=16, group_size=(2, 4, 2)))
        16
    """
    return prod(layer.group_size for layer in network if isinstance(layer, FlattenConsecutive))


@contextmanager
def eval_mode(network: nn.Module) -> Iterator[None]:
    """Runs a block without gradients and in eval mode, then brings back the mode of before.

    A batch of one gives no NaN, and no running statistic changes.
    """
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        network.train(training)
