"""Training that begins with the weights of another network, whatever its alphabet."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from wavenet.corpus.vocabulary import BOUNDARY, Vocabulary
from wavenet.inference.checkpoint import Record, renamed
from wavenet.network.layers import NgramLogits


def shared_tokens(old: Vocabulary, new: Vocabulary) -> dict[int, int]:
    """The token ids of the boundary and of the shared characters: in the new vocabulary, and in the old one.

    Examples:
        >>> shared_tokens(Vocabulary("ab"), Vocabulary("bc"))
        {0: 0, 1: 2}
    """
    shared = set(old.alphabet) & set(new.alphabet)
    return {BOUNDARY: BOUNDARY} | {new.encode(c)[0]: old.encode(c)[0] for c in new.alphabet if c in shared}


def transferred(
    weights: Mapping[str, Tensor], old: Vocabulary, network: nn.Sequential, new: Vocabulary
) -> dict[str, Tensor]:
    """Another network's weights for a new network of the same shape, whose vocabulary may be another.

    The embedding and all from the last linear layer on have a row for each token: the boundary and shared characters
    keep theirs, and a character that the other network does not know has the fresh one of ``network``. Words of shared
    characters therefore get the same logits for shared characters. All other weights are taken as they are, but for the
    table of n-grams, which are hashed by their tokens: it starts fresh unless the alphabets are alike.

    Args:
        weights: The other network's ``state_dict``.
        old: Its vocabulary.
        network: The new network, with fresh weights.
        new: Its vocabulary.

    Raises:
        ValueError: The networks have different layers.

    Examples:
        >>> from wavenet import NetworkConfig, build
        >>> config, old, new = NetworkConfig(), Vocabulary("ab"), Vocabulary("abc")
        >>> trained, network = build(config, len(old)), build(config, len(new))
        >>> taken = transferred(trained.state_dict(), old, network, new)
        >>> torch.equal(taken["0.weight"][:3], trained[0].weight)
        True
    """
    tokens = shared_tokens(old, new)
    rows, sources = torch.tensor(list(tokens)), torch.tensor(list(tokens.values()))
    taken, fresh = renamed(weights, network), network.state_dict()
    by_token = set(names_by_token(network))
    for name, value in taken.items():
        if name in by_token and value.ndim > 0:  # a count of batches is no row
            taken[name] = fresh[name].index_copy(0, rows, value[sources].to(fresh[name]))
    if old.alphabet != new.alphabet:
        taken.update((name, fresh[name]) for name in names_of(network, NgramLogits))
    return taken


def names_by_token(network: nn.Sequential) -> Iterator[str]:
    """The names of the weights that have a row for each token: the embedding's, and those from the last linear on."""
    yield from names_of(network, nn.Embedding)
    linear = max(index for index, layer in enumerate(network.modules()) if isinstance(layer, nn.Linear))
    for index, (prefix, layer) in enumerate(network.named_modules()):
        if index >= linear and not isinstance(layer, nn.Sequential | NgramLogits):
            yield from (f"{prefix}.{name}" for name in layer.state_dict())


def names_of(network: nn.Sequential, kind: type[nn.Module]) -> Iterator[str]:
    """The names of the weights of all layers of a kind."""
    for prefix, layer in network.named_modules():
        if isinstance(layer, kind):
            yield from (f"{prefix}.{name}" for name in layer.state_dict())


def take_weights(record: Record, network: nn.Sequential, new: Vocabulary) -> str:
    """Fills a new network with the weights of a checkpoint, and says how many of its characters are known."""
    old = Vocabulary(record.alphabet)
    network.load_state_dict(transferred(record.weights, old, network, new))
    return f"{len(shared_tokens(old, new)) - 1} of {len(new.alphabet)} characters known"
