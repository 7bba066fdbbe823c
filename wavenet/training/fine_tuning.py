"""Training that begins with the weights of another network, whatever its alphabet."""

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from wavenet.corpus.vocabulary import ANY, BOUNDARY, Vocabulary
from wavenet.inference.checkpoint import Record
from wavenet.network.labels import num_labels
from wavenet.network.layers import NgramLogits

LABEL_WEIGHT = "label_weight"  # what the embedding of a network with labels has more


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
    characters therefore get the same logits for shared characters. All other weights are taken as they are, save for
    those of labels (:func:`labels_transferred`) and for the table of n-grams, which are hashed by their tokens: it
    starts fresh unless the alphabets are alike.

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
    fresh = {name: value for name, value in network.state_dict().items() if not name.endswith(LABEL_WEIGHT)}
    others = (value for name, value in weights.items() if not name.endswith(LABEL_WEIGHT))
    taken = dict(zip(fresh, others, strict=True))  # layers are numbered otherwise with dropout, in the same order
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


def label_weight(weights: Mapping[str, Tensor]) -> Tensor | None:
    """The embeddings of labels (L + 1, C) among a network's weights; ``None`` if it knows none."""
    return next((value for name, value in weights.items() if name.endswith(LABEL_WEIGHT)), None)


def labels_transferred(weights: Mapping[str, Tensor], old: Iterable[str], fresh: Tensor, new: Iterable[str]) -> Tensor:
    """The embeddings of a new network's labels: shared labels, and no label, keep theirs.

    Args:
        weights: The other network's ``state_dict``, which may know no labels.
        old: Its labels, in the order of their ids.
        fresh: The fresh embeddings (L + 1, C).
        new: The new labels, in the order of their ids.
    """
    before = label_weight(weights)
    if before is None:
        return fresh
    ids = {name: number for number, name in enumerate(old, start=1)}
    rows = {ANY: ANY} | {number: ids[name] for number, name in enumerate(new, start=1) if name in ids}
    return fresh.index_copy(0, torch.tensor(list(rows)), before[list(rows.values())].to(fresh))


def take_weights(record: Record, network: nn.Sequential, new: Vocabulary, labels: Mapping[str, int] | None) -> str:
    """Fills a new network with a checkpoint's weights, and says how many of its characters and labels are known."""
    old, before, after = Vocabulary(record.alphabet), record.labels.names if record.labels else [], labels or {}
    taken = transferred(record.weights, old, network, new)
    known = f"{len(shared_tokens(old, new)) - 1} of {len(new.alphabet)} characters known"
    if num_labels(network):
        name = next(name for name in network.state_dict() if name.endswith(LABEL_WEIGHT))
        fresh = network.state_dict()[name]
        taken[name] = labels_transferred(record.weights, before, fresh, after)
        known += f", {len(set(before) & set(after))} of {len(after)} labels"
    network.load_state_dict(taken)
    return known
