"""How likely words are: log-probabilities of words and characters, bits, ranks. Needs torch alone."""

import sys
from collections.abc import Sequence
from math import exp, log
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wavenet.corpus.vocabulary import BOUNDARY, Vocabulary
from wavenet.network.packing import CHUNK, Batch, pack
from wavenet.network.sliding import eval_mode, run

NUM_ALTERNATIVES = 3
TIE = 1e-4  # nats by which log-probabilities of one word may differ, computed in other batches


def word_log_probs(logits: Tensor, targets: Tensor) -> Tensor:
    """Log-probabilities of words, in nats: the sum over a word's characters and its closing boundary.

    Args:
        logits: (N, V), of every token of whole words, one word after the other.
        targets: (N,), the tokens; each word ends with the boundary.

    Returns:
        (W,) log-probabilities, one per word.

    Examples:
        >>> logits = torch.zeros(3, 2)  # a coin for each of three tokens, in words of two and one
        >>> word_log_probs(logits, torch.tensor([1, 0, 0]))
        tensor([-1.3863, -0.6931])
    """
    log_probs = -F.cross_entropy(logits, targets, reduction="none")  # (N,)
    ends = targets == BOUNDARY
    word_index = ends.cumsum(0) - ends.long()  # (N,), the word that each token belongs to
    return log_probs.new_zeros(int(ends.sum())).index_add_(0, word_index, log_probs)  # (W,)


class Score(NamedTuple):
    """A word, its log-probability in nats, and that in bits for each character and the word's end."""

    word: str
    log_prob: float
    bits_per_character: float


def score(network: nn.Sequential, vocabulary: Vocabulary, words: Sequence[str]) -> list[Score]:
    """Scores words: the log-probability of each, its end included.

    Raises:
        UnknownCharacterError: A character of a word is not in the vocabulary.

    Examples:
        >>> from wavenet import NetworkConfig, build
        >>> network = build(NetworkConfig(), vocab_size=3)
        >>> [(scored.word, round(scored.log_prob)) for scored in score(network, Vocabulary("ab"), ["ab", ""])]
        [('ab', -3), ('', -1)]
    """
    scores: list[Score] = []
    for begin in range(0, len(words), CHUNK):
        chunk = words[begin : begin + CHUNK]
        logits, targets = predictions(network, pack(chunk, vocabulary))
        scores += score_of(chunk, word_log_probs(logits, targets).tolist())
    return scores


def score_of(words: Sequence[str], log_probs: Sequence[float]) -> list[Score]:
    """The scores of words from their log-probabilities."""
    return [
        Score(word, log_prob, -log_prob / log(2) / (len(word) + 1))
        for word, log_prob in zip(words, log_probs, strict=True)
    ]


def predictions(network: nn.Sequential, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits (N, V) in eval mode and targets (N,) of a batch of whole words, both on the CPU."""
    with eval_mode(network):
        logits = run(network, batch.to(next(network.parameters()).device))
    return logits.cpu().double(), batch.targets.cpu()


class Character(NamedTuple):
    """A character of a word, or ``None`` for its end; its probability, also in bits; the likeliest others with theirs.

    The bits, -log2 of the probability, say how surprising the character is.
    """

    character: str | None
    probability: float
    bits: float
    alternatives: list[tuple[str | None, float]]


def explain(network: nn.Sequential, vocabulary: Vocabulary, word: str) -> list[Character]:
    """How likely each character of a word is after those before it, and which others are the likeliest.

    Raises:
        UnknownCharacterError: A character of the word is not in the vocabulary.

    Examples:
        >>> from wavenet import NetworkConfig, build
        >>> network = build(NetworkConfig(), vocab_size=3)
        >>> [character.character for character in explain(network, Vocabulary("ab"), "ba")]
        ['b', 'a', None]
    """
    logits, targets = predictions(network, pack([word], vocabulary))
    log_probs = logits.log_softmax(dim=1)  # (N, V)
    shown = (None, *vocabulary.alphabet)
    characters = []
    for row, target in zip(log_probs.tolist(), targets.tolist(), strict=True):
        others = sorted(set(range(len(row))) - {target}, key=lambda token: -row[token])[:NUM_ALTERNATIVES]
        alternatives = [(shown[token], exp(row[token])) for token in others]
        characters.append(Character(shown[target], exp(row[target]), -row[target] / log(2), alternatives))
    return characters


class Rank(NamedTuple):
    """The expected place of a word among all by probability, the most probable being 1, and its standard error.

    The error is ``None`` if the word is less probable than every draw: then its rank is above the one given.
    """

    rank: float
    error: float | None


class Ranks:
    """Estimates the place of a word among all by probability, from words drawn from the model.

    A drawn word w with probability p(w) stands for 1 / p(w) words, so the mean of that over all draws, with 0 for those
    that are not more probable than a given word, is how many words are (importance sampling).

    Args:
        log_probs: Log-probabilities of the drawn words that count, at least one.
        num_draws: How many draws there were, those that do not count included.

    Examples:
        >>> ranks = Ranks([log(0.5), log(0.25), log(0.5), log(0.25)], num_draws=4)  # two words, of 0.5 and 0.25
        >>> [(round(rank, 6), error and round(error, 6)) for rank, error in ranks.of([log(0.3), log(0.2)])]
        [(2.0, 0.5), (4.0, None)]
    """

    def __init__(self, log_probs: Sequence[float], num_draws: int) -> None:
        ordered = torch.tensor(log_probs, dtype=torch.float64).sort(descending=True).values
        self.negated = -ordered  # ascending, to search in; also the logarithm of how many words each draw stands for
        none = torch.tensor([-torch.inf], dtype=torch.float64)
        self.num_draws = num_draws
        self.log_mean = torch.cat([none, self.negated.logcumsumexp(0)]) - log(num_draws)  # (n + 1,), over the k most
        self.log_square = torch.cat([none, (2 * self.negated).logcumsumexp(0)]) - log(num_draws)  # probable draws

    def of(self, log_probs: Sequence[float]) -> list[Rank]:
        """The rank of words with these log-probabilities, at most the largest number that there is."""
        k = torch.searchsorted(self.negated, -torch.tensor(log_probs, dtype=torch.float64) - TIE)
        log_mean, log_square = self.log_mean[k], self.log_square[k]
        relative = (1 - (2 * log_mean - log_square).exp()).clamp(min=0).nan_to_num()  # variance over mean square
        errors = ((log_square + relative.log() - log(self.num_draws)) / 2).exp()
        known = (k < len(self.negated)).tolist()
        largest = sys.float_info.max
        return [
            Rank(min(1 + rank, largest), min(error, largest) if inside else None)
            for rank, error, inside in zip(log_mean.exp().tolist(), errors.tolist(), known, strict=True)
        ]
