"""Makes the network that a config describes: a plain ``nn.Sequential`` from contexts (B, T) to logits (B, V)."""

from collections.abc import Sequence

from torch import nn

from wavenet.errors import check_at_least
from wavenet.network.config import NetworkConfig
from wavenet.network.labels import LabelledEmbedding
from wavenet.network.layers import (
    BatchNorm1d,
    Dropout,
    Ensemble,
    FlattenConsecutive,
    Gate,
    NgramLogits,
    PerPositionBatchNorm1d,
    Residual,
    Sum,
)

LONGEST_NGRAM = 5  # tokens; docs/list_sizes.md has what other lengths gave


def build(config: NetworkConfig | Sequence[NetworkConfig], vocab_size: int, num_labels: int = 0) -> nn.Sequential:
    """The hierarchical WaveNet: neighbouring steps are joined, group by group, until one remains.

    Args:
        config: The hyper-parameters, or those of the members of an :class:`wavenet.network.layers.Ensemble`.
        vocab_size: Number of token ids V, the boundary included.
        num_labels: Number of labels that words have; 0 for words without.

    Returns:
        The network, initialised as in the lecture (:func:`init_as_lecture`). Shape: (B, T) token ids to (B, V) logits;
        with labels the ids are those of :func:`wavenet.network.labels.pairs`.

    Raises:
        ArgumentError: ``vocab_size`` is below 1 or ``num_labels`` negative.

    Examples:
        >>> network = build(NetworkConfig(), vocab_size=27)
        >>> sum(p.numel() for p in network.parameters())
        76579

    Sources: Karpathy, "Building makemore, part 5: Building a WaveNet"; van den Oord et al., "WaveNet: A Generative
    Model for Raw Audio" (2016), https://arxiv.org/abs/1609.03499; for shared weights, Dehghani et al., "Universal
    Transformers" (2018), https://arxiv.org/abs/1807.03819.
    """
    check_at_least(1, vocab_size=vocab_size)
    check_at_least(0, num_labels=num_labels)
    if not isinstance(config, NetworkConfig):
        return Ensemble(*(build(member, vocab_size, num_labels) for member in config))
    layers: list[nn.Module] = [
        LabelledEmbedding(vocab_size, num_labels, config.embedding_dim)
        if num_labels
        else nn.Embedding(vocab_size, config.embedding_dim)
    ]
    width, num_steps = config.embedding_dim, config.block_size
    features = 2 * config.hidden_dim if config.activation == "gate" else config.hidden_dim
    shared: dict[tuple[int, int], nn.Linear] = {}
    for group in config.group_sizes:
        num_steps //= group
        linear = nn.Linear(group * width, features, bias=False)  # the norm has its own bias
        if config.share_weights:
            linear = shared.setdefault((group, width), linear)
        hidden = hidden_layers(config, linear, num_steps)
        fits = config.residual and width == config.hidden_dim  # the newest step is as wide as what is added to it
        layers += [FlattenConsecutive(group), *([Residual(*hidden)] if fits else hidden)]
        width = config.hidden_dim
    layers += [nn.Linear(width, vocab_size, bias=not config.logits_norm)]
    if config.logits_norm:
        layers += [make_norm(config, vocab_size, num_steps)]
    network = init_as_lecture(nn.Sequential(*layers))
    return Sum(network, ngram_logits(config, vocab_size)) if config.ngram_rows else network


def ngram_logits(config: NetworkConfig, vocab_size: int) -> nn.Sequential:
    """The part of a network that looks up what the last tokens, ``LONGEST_NGRAM`` at most, say of the next one."""
    num_tokens = min(LONGEST_NGRAM, config.block_size)
    return nn.Sequential(
        nn.Unflatten(-1, (-1, 1)),  # (B, T) -> (B, T, 1)
        FlattenConsecutive(num_tokens),  # (B, T)
        NgramLogits(config.ngram_rows, vocab_size, config.ngram_gain, config.dropout),
    )


def hidden_layers(config: NetworkConfig, linear: nn.Linear, num_steps: int) -> list[nn.Module]:
    """A linear layer, norm and activation (and dropout, if there is any), for a level of so many steps."""
    activation = {"tanh": nn.Tanh, "gelu": nn.GELU, "gate": Gate}[config.activation]()
    layers = [linear, make_norm(config, linear.out_features, num_steps), activation]
    return [*layers, Dropout(config.dropout)] if config.dropout else layers


def make_norm(config: NetworkConfig, num_features: int, num_steps: int) -> nn.Module:
    """The norm of a level of so many steps."""
    if config.norm == "layer":
        return nn.LayerNorm(num_features)
    if config.norm == "batch_per_position" and num_steps > 1:  # with one step left there is nothing to get wrong
        return PerPositionBatchNorm1d(num_features, num_steps)
    return BatchNorm1d(num_features)


def init_as_lecture(network: nn.Sequential) -> nn.Sequential:
    """Draws linear weights from N(0, 1/fan_in), zeroes biases, and makes the first predictions nearly uniform.

    The last layer's gain (the linear layer's weights or, if a norm follows it, that norm's scale) is multiplied by
    0.1, so that the first loss is close to ln(V) nats instead of several times that.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    last = network[-1]
    if isinstance(last, nn.Linear | nn.BatchNorm1d | nn.LayerNorm):
        last.weight.data.mul_(0.1)
    return network
