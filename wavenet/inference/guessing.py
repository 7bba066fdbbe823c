"""Which label a word has: Bayes' rule over a network's log-probabilities of the word under every label.

    P(label | word) = P(label) P(word | label) / (the sum of the same over all labels)

The network says P(word | label). P(label), the belief before the word is read, is the share of the label among the
training words, or the same for all labels.
"""

from collections.abc import Sequence
from math import log
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wavenet.corpus.labels import Labels
from wavenet.corpus.vocabulary import Vocabulary
from wavenet.network.labels import num_labels, pairs
from wavenet.network.packing import CHUNK, pack
from wavenet.network.sliding import eval_mode, every_row

ROWS = 16 * CHUNK
"""Rows that go through the network at a time: those of some words, once for each of some labels."""


class Guess(NamedTuple):
    """A word, and the probability of each label, the most probable first."""

    word: str
    probabilities: dict[str, float]

    @property
    def label(self) -> str:
        """The most probable label."""
        return next(iter(self.probabilities))


class Belief(NamedTuple):
    """What is believed after a character, or ``None`` for the end of the word: the labels as in :class:`Guess`.

    The first belief of a word, before any character, has the character ``""``.
    """

    character: str | None
    probabilities: dict[str, float]


def token_log_probs(network: nn.Sequential, vocabulary: Vocabulary, words: Sequence[str]) -> Tensor:
    """The log-probabilities (L, N) of the N tokens of words, ends included, under each label.

    The words are one tree of beginnings, which is run once for each label.

    Raises:
        UnknownCharacterError: A character of a word is not in the vocabulary.

    Examples:
        >>> from wavenet import NetworkConfig, build
        >>> network = build(NetworkConfig(), vocab_size=3, num_labels=5)
        >>> token_log_probs(network, Vocabulary("ab"), ["ab", "b"]).shape
        torch.Size([5, 5])
    """
    tree = pack(words, vocabulary)
    num_rows, device = len(tree.tokens), next(network.parameters()).device
    found = []
    with eval_mode(network):
        for labels in torch.split(torch.arange(1, num_labels(network) + 1), max(1, ROWS // num_rows)):  # (K,)
            ids = pairs(tree.tokens, labels[:, None], len(vocabulary)).flatten()  # (K*R,)
            previous = (tree.previous + num_rows * torch.arange(len(labels))[:, None]).flatten()  # (K*R,)
            logits = every_row(network, ids.to(device), previous.to(device)).cpu().double()  # (K*R, V)
            log_probs = logits.log_softmax(dim=1).view(len(labels), num_rows, -1)  # (K, R, V)
            found.append(log_probs[:, tree.rows, tree.targets])  # (K, N)
    return torch.cat(found)


def log_likelihoods(network: nn.Sequential, vocabulary: Vocabulary, words: Sequence[str]) -> Tensor:
    """The log-probabilities (W, L) of words under each label, in nats.

    Raises:
        UnknownCharacterError: A character of a word is not in the vocabulary.
    """
    found = []
    for begin in range(0, len(words), CHUNK):
        chunk = words[begin : begin + CHUNK]
        lengths = torch.tensor([len(word) + 1 for word in chunk])
        word_of = torch.arange(len(chunk)).repeat_interleave(lengths)  # (N,)
        log_probs = token_log_probs(network, vocabulary, chunk)  # (L, N)
        found.append(log_probs.new_zeros(len(log_probs), len(chunk)).index_add_(1, word_of, log_probs).T)  # (W, L)
    return torch.cat(found) if found else torch.zeros(0, num_labels(network), dtype=torch.float64)


def log_prior(labels: Labels, uniform: bool = False) -> Tensor:
    """The log-probabilities (L,) of labels before a word is read."""
    shares = torch.tensor(labels.shares(), dtype=torch.float64)
    return torch.full_like(shares, -log(len(labels))) if uniform else shares.log()


def guess(
    network: nn.Sequential, vocabulary: Vocabulary, labels: Labels, words: Sequence[str], uniform: bool = False
) -> list[Guess]:
    """The probability of each label of words, by Bayes' rule.

    Args:
        network: A network with labels.
        vocabulary: Its characters.
        labels: Its labels.
        words: The words.
        uniform: Whether all labels are alike before a word is read, instead of as frequent as among training words.

    Raises:
        UnknownCharacterError: A character of a word is not in the vocabulary.

    Examples:
        >>> from wavenet import NetworkConfig, build
        >>> network, labels = build(NetworkConfig(), 3, num_labels=2), Labels({"X": 30, "Y": 10})
        >>> (found,) = guess(network, Vocabulary("ab"), labels, ["ab"])  # a network that knows no difference yet
        >>> {label: round(probability, 6) for label, probability in found.probabilities.items()}
        {'X': 0.75, 'Y': 0.25}
    """
    probabilities = (log_likelihoods(network, vocabulary, words) + log_prior(labels, uniform)).softmax(dim=1)  # (W, L)
    return [Guess(word, ordered(labels, row)) for word, row in zip(words, probabilities, strict=True)]


def ordered(labels: Labels, probabilities: Tensor) -> dict[str, float]:
    """Labels with their probabilities (L,), the most probable first."""
    order = probabilities.sort(descending=True, stable=True)
    pairs_of = zip(order.indices.tolist(), order.values.tolist(), strict=True)
    return {labels.names[index]: round(probability, 12) for index, probability in pairs_of}


def explain_guess(
    network: nn.Sequential, vocabulary: Vocabulary, labels: Labels, word: str, uniform: bool = False
) -> list[Belief]:
    """How the belief moves while a word is read: before it, after each of its characters, and after its end.

    The last belief is that of :func:`guess`.

    Raises:
        UnknownCharacterError: A character of the word is not in the vocabulary.

    Examples:
        >>> from wavenet import NetworkConfig, build
        >>> network, labels = build(NetworkConfig(), 3, num_labels=2), Labels({"X": 30, "Y": 10})
        >>> [belief.character for belief in explain_guess(network, Vocabulary("ab"), labels, "ba")]
        ['', 'b', 'a', None]
    """
    read = token_log_probs(network, vocabulary, [word]).cumsum(dim=1)  # (L, N)
    so_far = torch.cat([torch.zeros_like(read[:, :1]), read], dim=1)  # (L, N + 1)
    beliefs = (so_far.T + log_prior(labels, uniform)).softmax(dim=1)  # (N + 1, L)
    return [Belief(c, ordered(labels, row)) for c, row in zip(["", *word, None], beliefs, strict=True)]
