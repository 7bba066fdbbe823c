"""A network's hyper-parameters, written once: the builder, training, the command line and checkpoints take these."""

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import prod
from typing import Any, Literal, get_args, get_type_hints

from wavenet.errors import ArgumentError, check_at_least, check_types

WIDEST = 2**20  # beyond which a width is a slip, and no number that torch takes
LONGEST_CONTEXT = 2**20  # tokens, more than any word has


@dataclass(frozen=True)
class NetworkConfig:
    """What :func:`wavenet.network.build.build` makes a network of.

    The defaults are what ``python train.py fit`` chooses for the lecture's corpus, save for the table of n-grams.

    Args:
        block_size: Length T of the context, in tokens.
        group_size: Steps joined by each level: a number repeated until the context is one step (2 makes 8 = 2·2·2), or
            one number per level, the level nearest the input first ((2, 4)). ``block_size`` makes a flat network.
        embedding_dim: Features of an embedded token.
        hidden_dim: Features of a hidden step.
        activation: ``tanh``, ``gelu``, or ``gate`` (:class:`wavenet.network.layers.Gate`, as in WaveNet).
        norm: ``batch``, ``layer``, or ``batch_per_position``, the lecture's bug
            (:class:`wavenet.network.layers.PerPositionBatchNorm1d`).
        residual: Whether each hidden layer adds its result to the newest step of its input, where the widths fit.
        share_weights: Whether levels that join as many steps of as many features share their linear layer; norms are
            their own. The first level, which joins embedded tokens, does so only if these are as wide as hidden steps.
        dropout: Probability of zeroing a feature of a hidden layer's result, and what an n-gram of the table says.
        logits_norm: Whether a norm follows the last linear layer, as in the second set of the lecture's notes.
        ngram_rows: Rows of a table of hashed n-grams, whose logits are added to the network's
            (:class:`wavenet.network.layers.NgramLogits`); 0 for a network without.
        ngram_gain: At which share of the network's learning rate the table is learned.

    Raises:
        ArgumentError: A value is none of these, or the group sizes do not multiply to ``block_size``.

    Examples:
        >>> NetworkConfig(block_size=27, group_size=3).group_sizes
        (3, 3, 3)
    """

    block_size: int = 8
    group_size: int | tuple[int, ...] = 2
    embedding_dim: int = 24
    hidden_dim: int = 128
    activation: Literal["tanh", "gelu", "gate"] = "gelu"
    norm: Literal["batch", "layer", "batch_per_position"] = "batch"
    residual: bool = True
    share_weights: bool = False
    dropout: float = 0.0
    logits_norm: bool = False
    ngram_rows: int = 0
    ngram_gain: float = 0.3

    def __post_init__(self) -> None:
        sizes = self.group_size
        listed = isinstance(sizes, tuple) and all(type(size) is int for size in sizes)
        check_types(self, leave_out=["group_size"] if listed else [])
        check_at_least(1, block_size=self.block_size, embedding_dim=self.embedding_dim, hidden_dim=self.hidden_dim)
        check_at_least(0, ngram_rows=self.ngram_rows)
        if self.block_size > LONGEST_CONTEXT:
            raise ArgumentError(
                "block_size", f"must be at most {LONGEST_CONTEXT:,}, got {reprlib.repr(self.block_size)}"
            )
        for name in ("embedding_dim", "hidden_dim", "ngram_rows"):
            if (width := getattr(self, name)) > WIDEST:
                raise ArgumentError(name, f"must be at most {WIDEST:,}, got {reprlib.repr(width)}")
        hints = get_type_hints(type(self))
        for name in ("activation", "norm"):
            if (value := getattr(self, name)) not in (choices := get_args(hints[name])):
                raise ArgumentError(name, f"must be one of {', '.join(choices)}, got {value}")
        if not 0 <= self.dropout < 1:
            raise ArgumentError("dropout", f"must be from 0 to below 1, got {self.dropout}")
        if not 0 < self.ngram_gain <= 1:
            raise ArgumentError("ngram_gain", f"must be above 0 and at most 1, got {self.ngram_gain}")
        groups = self.group_sizes
        too_many = len(groups) > LONGEST_CONTEXT.bit_length()
        if too_many or (min(groups, default=0) < 2 and groups != (1,)) or prod(groups) != self.block_size:
            got = f"{len(groups):,} of them" if too_many else "·".join(map(str, groups)) or "none"
            raise ArgumentError(
                "group_size",
                f"{reprlib.repr(self.group_size)} does not make block_size {self.block_size}: expected group sizes "
                f"above 1 whose product is {self.block_size}, got {got}",
            )

    @property
    def group_sizes(self) -> tuple[int, ...]:
        """The number of steps that each level joins, from the input on."""
        if not isinstance(self.group_size, int):
            return tuple(self.group_size)
        groups = [self.group_size]
        while self.group_size > 1 and prod(groups) < self.block_size:
            groups.append(self.group_size)
        return tuple(groups)

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "NetworkConfig":
        """The config that a checkpoint or a YAML file describes; :func:`dataclasses.asdict` is the way back.

        Raises:
            ArgumentError: A name is no hyper-parameter, or a value is of another type or wrong.
        """
        names = [field.name for field in fields(cls)]
        for name in plain:
            if name not in names:
                raise ArgumentError(name, f"is no hyper-parameter of a network: expected one of {', '.join(names)}")
        values = dict(plain)
        if isinstance(values.get("group_size"), list):
            values["group_size"] = tuple(values["group_size"])
        return cls(**values)


def lecture_flat(block_size: int = 3) -> NetworkConfig:
    """The flat network that the lecture starts from: the whole context is joined at once.

    Sources: Bengio et al., "A Neural Probabilistic Language Model" (2003); Karpathy, "makemore, part 3 and 5".
    """
    return NetworkConfig(block_size, block_size, 10, 200, activation="tanh", residual=False)


def lecture_hierarchical(embedding_dim: int = 24, hidden_dim: int = 128) -> NetworkConfig:
    """The hierarchical WaveNet that the lecture ends with; the smaller one has 10 and 68 features.

    Source: Karpathy, "Building makemore, part 5: Building a WaveNet".
    """
    return NetworkConfig(8, 2, embedding_dim, hidden_dim, activation="tanh", residual=False)


def lecture_logits_norm() -> NetworkConfig:
    """The network of the second set of the lecture's notes, with batch norm on the logits."""
    return NetworkConfig(8, 2, 10, 100, activation="tanh", residual=False, logits_norm=True)
