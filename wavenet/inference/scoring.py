"""How likely words are: log-probabilities of words and characters, bits, ranks. Needs torch alone."""

import sys
from collections.abc import Sequence
from math import exp, log
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wavenet.corpus.vocabulary import BOUNDARY, Vocabulary
from wavenet.network.packing import CHUNK, Batch, encode_words, pack, pack_labelled
from wavenet.network.sliding import eval_mode, run

NUM_ALTERNATIVES = 3
TIE = 1e-4  # nats by which log-probabilities of one word may differ, computed in other batches
RISK = 0.05 / 4  # of each of the four bounds that an interval of ranks rests on
ROUNDING = 1e-9  # of a number of words, which is a sum of as many as there are draws


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


def score(
    network: nn.Sequential, vocabulary: Vocabulary, words: Sequence[str], labels: Sequence[int] | None = None
) -> list[Score]:
    """Scores words: the log-probability of each, its end included.

    Args:
        network: The network.
        vocabulary: Its characters.
        words: The words.
        labels: The id of each word's label, for a network with labels; by default ``ANY``.

    Raises:
        UnknownCharacterError: A character of a word is not in the vocabulary.

    Examples:
        >>> from wavenet import NetworkConfig, build
        >>> _ = torch.manual_seed(0)
        >>> network = build(NetworkConfig(), vocab_size=3)
        >>> [(scored.word, round(scored.log_prob)) for scored in score(network, Vocabulary("ab"), ["ab", ""])]
        [('ab', -4), ('', -1)]
    """
    scores: list[Score] = []
    for begin in range(0, len(words), CHUNK):
        chunk = words[begin : begin + CHUNK]
        batch = pack(chunk, vocabulary)
        if labels is not None:
            here = torch.tensor(labels[begin : begin + CHUNK])
            batch = pack_labelled(*encode_words(chunk, vocabulary), here, len(vocabulary))
        logits, targets = predictions(network, batch)
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
    """About the place of a word among all by probability, the most probable being 1, and an interval that holds it.

    In at least 95 of 100 estimates from other draws the true place is from ``low`` to ``high``, both whole numbers.
    """

    rank: float
    low: float
    high: float


class Ranks:
    """Estimates the place of a word among all by probability, from words drawn from the model.

    The place is 1 and how many words are more probable, by more than ``TIE``. A word of probability p is among n draws
    with probability π = 1 - (1 - p)ⁿ, so each one that is counts 1 / π: the sum over those more probable than the given
    word is right on average. The interval is Bernstein's inequality for this sum, whose variance, the sum of
    (1 - π) / π over all words, is bounded by the draws in turn; it holds for any model and any number of draws, since
    whether words are drawn is negatively associated. For hardly probable words, where single draws count most, three
    simpler bounds are closer: the drawn words are there, the sum is rarely many times too large (Markov's inequality),
    and there is no room for 1 / p words of more than p.

    Args:
        log_probs: Log-probabilities of the different words that were drawn, at least one.
        num_draws: How many independent draws there were, those that gave no word included.

    Examples:
        >>> ranks = Ranks([log(0.5), log(0.3)], num_draws=100)
        >>> [(round(rank, 6), low, high) for rank, low, high in ranks.of([log(0.5), log(0.3), log(0.2)])]
        [(1.0, 1.0, 2.0), (2.0, 2.0, 3.0), (3.0, 3.0, 4.0)]

    Sources: Horvitz and Thompson, "A generalization of sampling without replacement from a finite universe" (1952);
    Joag-Dev and Proschan, "Negative association of random variables with applications" (1983); Boucheron, Lugosi and
    Massart, "Concentration inequalities" (2013), section 2.8.
    """

    def __init__(self, log_probs: Sequence[float], num_draws: int) -> None:
        ordered = torch.tensor(log_probs, dtype=torch.float64).sort(descending=True).values
        self.negated = -ordered  # ascending, to search in
        self.num_draws = num_draws
        none = torch.tensor([-torch.inf], dtype=torch.float64)
        drawn, missed = self._log_chances(ordered)
        self.log_sum = torch.cat([none, (-drawn).logcumsumexp(0)])  # (n + 1,), over the k most probable
        self.log_variance = torch.cat([none, (missed - 2 * drawn).logcumsumexp(0)])  # (n + 1,)

    def _log_chances(self, log_probs: Tensor) -> tuple[Tensor, Tensor]:
        """The logarithms of how probably words are among the draws, and of how probably not."""
        missed = self.num_draws * torch.log1p(-log_probs.clamp(max=0).exp())
        drawn = torch.log(-torch.expm1(missed))
        few = missed > -1e-9  # then it is as often as a word is expected
        return torch.where(few, log(self.num_draws) + log_probs, drawn), missed

    def of(self, log_probs: Sequence[float]) -> list[Rank]:
        """The rank of words with these log-probabilities, at most the largest number that there is."""
        given = torch.tensor(log_probs, dtype=torch.float64)
        k = torch.searchsorted(self.negated, -given - TIE)  # how many different drawn words are more probable
        drawn, missed = self._log_chances(given)
        # all in units of 1 / π of the word itself, the most that a draw counts: none of these numbers is too large
        total, unit, spread = (self.log_sum[k] + drawn).exp(), drawn.exp(), missed.exp()
        half = log(1 / RISK) / 2
        deviation = (spread * half).sqrt() + ((self.log_variance[k] + 2 * drawn).exp() + spread * half).sqrt()
        margin = 2 * half**0.5 * deviation
        low = torch.maximum(total - margin - spread * 2 * half / 3, total * RISK)
        high = total + margin + unit * 2 * half / 3
        count, fewest, most = (between(part.log() - drawn) for part in (total, low, high))
        fewest = torch.maximum((fewest * (1 - ROUNDING)).ceil(), k.double())
        most = torch.minimum(most, between(-given)) * (1 + ROUNDING)
        most = torch.maximum(most.floor().clamp(max=sys.float_info.max), fewest)
        count = torch.maximum(torch.minimum(count, most), fewest)
        return [Rank(*row) for row in torch.stack([1 + count, 1 + fewest, 1 + most], dim=1).tolist()]


def between(logarithm: Tensor) -> Tensor:
    """The numbers with these logarithms, as far as there are such numbers."""
    return logarithm.exp().clamp(max=sys.float_info.max)
