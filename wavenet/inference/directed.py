"""What directs draws towards words that hardly ever come: a guide through the pattern, and a pool to draw from again.

The next character c is drawn in proportion to p(c) h(c): what the network says, times how probable it then is that a
wanted word comes of it. h is computed for a model that knows only the last character, for every state of the pattern's
automaton and every length; where h is right, so are the draws. A word w comes too often or too seldom by q(w) / p(w),
which is known, so the words that are returned are drawn again from a pool of such draws, with weights p(w) / q(w): the
larger the pool, the closer they are to draws from the model.

Source: Rubin, "Using the SIR algorithm to simulate posterior distributions" (1988).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from wavenet.corpus.vocabulary import Vocabulary
from wavenet.inference.drawing import Drawn
from wavenet.inference.patterns import Wanted
from wavenet.inference.scoring import predictions
from wavenet.inference.shaping import Shaping
from wavenet.network.packing import CHUNK, pack

MAX_TABLE = 50_000_000  # numbers in the table of a guide, of eight bytes each
SMOOTHING = 1.0  # how many characters like any other are added to those seen after each character
FLOOR = 1e-6  # of a probability: nothing is impossible


def following_probs(network: nn.Sequential, vocabulary: Vocabulary, words: Sequence[str], shaping: Shaping) -> Tensor:
    """How probable each token is after each other one (V, V), on average over the places in the words.

    These are means of the network's probabilities, not counts, so they say how rare a thing is that never came.
    """
    vocab_size = len(vocabulary)
    sums = torch.full((vocab_size, vocab_size), 0.0, dtype=torch.float64)
    counts = torch.zeros(vocab_size, 1, dtype=torch.float64)
    for begin in range(0, len(words), CHUNK):
        batch = pack(words[begin : begin + CHUNK], vocabulary)
        logits, _ = predictions(network, batch)
        last = batch.tokens[batch.rows]  # (N,), what comes before each target
        sums.index_add_(0, last, shaping.log_probs(logits).exp())
        counts += torch.bincount(last, minlength=vocab_size)[:, None]
    everywhere = (sums.sum(dim=0) + FLOOR) / (counts.sum() + FLOOR * vocab_size)  # (V,)
    probs = (sums + SMOOTHING * everywhere) / (counts + SMOOTHING)
    return probs.clamp(min=FLOOR)


def guide_fits(wanted: Wanted) -> bool:
    """Whether the table of a guide is not too large."""
    return (wanted.max_length + 1) * wanted.next_state.numel() <= MAX_TABLE


def guide(wanted: Wanted, following: Tensor) -> Tensor:
    """The logarithm of how probable a wanted word is, (L, S, V): after so many tokens, in a state, with a next token.

    It is that of a model that knows only the last token: ``following`` (V, V) are its probabilities.
    """
    num_lengths, (num_states, vocab_size) = wanted.max_length + 1, wanted.next_state.shape
    table = torch.empty(num_lengths, num_states, vocab_size, dtype=torch.float64)
    end, tokens = num_states - 2, torch.arange(vocab_size)
    reached = torch.zeros(num_states, vocab_size, dtype=torch.float64)  # (S, V), by state and last token
    for length in reversed(range(num_lengths)):
        reached[end] = wanted.live[length + 1, end]
        probs = reached[wanted.next_state, tokens]  # (S, V), by state and next token
        table[length] = probs.clamp(min=torch.finfo(probs.dtype).tiny).log()
        table[length][~wanted.live[length + 1][wanted.next_state]] = -torch.inf
        reached = probs @ following.T  # (S, V)
    return table


class Pool:
    """Words that were drawn by a guide, with their log-probabilities and the logarithms of their weights p / q."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.log_probs: list[float] = []
        self.log_weights = torch.zeros(0, dtype=torch.float64)

    def add(self, batch: Drawn) -> None:
        """Takes words; those of draws that have come to where all was taken out have no weight, and do not count."""
        counts = batch.log_weights.isfinite()
        self.words += [word for word, one in zip(batch.words, counts.tolist(), strict=True) if one]
        self.log_probs += [log_prob for log_prob, one in zip(batch.log_probs, counts.tolist(), strict=True) if one]
        self.log_weights = torch.cat([self.log_weights, batch.log_weights[counts]])

    @property
    def effective_size(self) -> float:
        """How many words with equal weights are worth as much: (sum of weights)² / sum of squared weights."""
        if not self.words:
            return 0.0
        return (2 * self.log_weights.logsumexp(0) - (2 * self.log_weights).logsumexp(0)).exp().item()

    def draw(self, num_words: int, unique: bool, generator: torch.Generator) -> tuple[list[str], list[float]]:
        """Some of the words with their log-probabilities, drawn by their weights without replacement.

        Without ``unique`` a word that was drawn often may be drawn often again.
        """
        words, log_weights = self.words, self.log_weights
        log_prob_of = dict(zip(self.words, self.log_probs, strict=True))
        if unique:
            words = list(log_prob_of)
            place = {word: number for number, word in enumerate(words)}
            index = torch.tensor([place[word] for word in self.words], dtype=torch.long)
            most = log_weights.max() if len(words) else torch.tensor(0.0)
            log_weights = log_weights.new_zeros(len(words)).index_add_(0, index, (log_weights - most).exp()).log()
        uniform = torch.rand(len(words), dtype=torch.float64, generator=generator)
        keys = log_weights - (-uniform.log()).log()  # Gumbel's trick: the largest are a draw without replacement
        chosen = [words[row] for row in keys.topk(min(num_words, len(words))).indices.tolist()]
        return chosen, [log_prob_of[word] for word in chosen]
