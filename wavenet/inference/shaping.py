"""What the next character is drawn from: the network's probabilities, shaped, without what must not come."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wavenet.corpus.vocabulary import Vocabulary
from wavenet.network.build import eval_mode
from wavenet.network.packing import WordDataset
from wavenet.network.sliding import every_row

CHUNK = 1024  # words at a time whose beginnings are run through the network


@dataclass(frozen=True)
class Shaping:
    """How the network's probabilities are shaped before a character is drawn.

    Args:
        temperature: Divides the logits; below 1 likely characters become likelier.
        top_k: Keeps the k likeliest characters at each step.
        top_p: Keeps the likeliest characters whose probabilities add up to at least p at each step, after ``top_k``.

    Raises:
        ValueError: ``temperature`` is not above 0, ``top_k`` below 1, or ``top_p`` not above 0 and at most 1.

    Examples:
        >>> Shaping(top_p=0.6).log_probs(torch.tensor([[0.5, 0.3, 0.2]]).log()).exp()
        tensor([[0.6250, 0.3750, 0.0000]])

    Source for ``top_p``: Holtzman et al., "The Curious Case of Neural Text Degeneration" (2020),
    https://arxiv.org/abs/1904.09751.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature must be above 0, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}")

    def log_probs(self, logits: Tensor) -> Tensor:
        """The log-probabilities (B, V) of the next character, from the network's logits (B, V)."""
        log_probs = ((logits - logits.amax(dim=-1, keepdim=True)) / self.temperature).log_softmax(dim=-1)
        if self.top_k is not None and self.top_k < log_probs.shape[1]:
            best = log_probs.topk(self.top_k, dim=-1)
            log_probs = torch.full_like(log_probs, -torch.inf).scatter_(1, best.indices, best.values)
            log_probs = log_probs.log_softmax(dim=-1)
        if self.top_p is not None and self.top_p < 1:
            ordered = log_probs.sort(dim=-1, descending=True)
            probs = ordered.values.exp()
            before = probs.cumsum(dim=-1) - probs  # of the characters likelier than each
            kept = ordered.values.masked_fill(before >= self.top_p, -torch.inf)
            log_probs = torch.full_like(log_probs, -torch.inf).scatter_(1, ordered.indices, kept).log_softmax(dim=-1)
        return log_probs


def pick(log_weights: Tensor, uniform: Tensor) -> Tensor:
    """One token (B,) for each row of log-weights (B, V), whose exponentials need not add up to 1.

    ``uniform`` (B,) are draws from [0, 1) that decide.
    """
    cumulative = (log_weights - log_weights.amax(dim=-1, keepdim=True)).exp().cumsum(dim=-1)
    tokens = (cumulative <= uniform[:, None] * cumulative[:, -1:]).sum(dim=-1)
    return tokens.clamp_(max=log_weights.shape[1] - 1)


class Removed:
    """Endings that must not come, as the tree of the beginnings before them with what probability is left at each.

    An ending is a beginning of a word and the token that must not follow it: the boundary, for a whole word. The weight
    of a token after a beginning is its probability times what is left after both; that of a removed ending is 0. What
    is left at a beginning is the sum of its weights, so they are computed from the longest beginnings to the shortest.
    No difference of nearly equal numbers is taken, and all is kept as logarithms: what is left stays exact, however
    little it is.

    Args:
        network, vocabulary: The model.
        endings: Beginnings and tokens, at least one.
        shaping: How the probabilities are shaped.

    Source: Shi, Bieber and Sutton, "Incremental Sampling Without Replacement for Sequence Models" (2020),
    https://arxiv.org/abs/2002.09067.
    """

    def __init__(
        self, network: nn.Sequential, vocabulary: Vocabulary, endings: Sequence[tuple[str, int]], shaping: Shaping
    ) -> None:
        tree = WordDataset([beginning for beginning, _ in endings], vocabulary)
        self.vocab_size = len(vocabulary)
        keys = tree.previous[1:] * self.vocab_size + tree.tokens[1:]  # ascending: the tree is numbered by level
        self.keys = torch.cat([keys, torch.tensor([torch.iinfo(keys.dtype).max])])
        self.log_weights = torch.empty(len(tree.tokens), self.vocab_size, dtype=torch.float64)
        device = next(network.parameters()).device
        ends = tree.starts + tree.lengths
        with eval_mode(network):
            for chunk in torch.split(torch.arange(len(tree)), CHUNK):
                packed = tree[chunk]
                beginnings = torch.unique(tree.beginning[tree.starts[chunk[0]] : ends[chunk[-1]]])
                logits = every_row(network, packed.tokens.to(device), packed.previous.to(device))  # (R, V)
                self.log_weights[beginnings] = shaping.log_probs(logits.cpu().double())
        self.log_weights[tree.beginning[ends - 1], torch.tensor([token for _, token in endings])] = -torch.inf
        for level in reversed(torch.split(torch.arange(len(tree.tokens)), tree.level_sizes)[1:]):
            self.log_weights.view(-1)[keys[level - 1]] += self.log_weights[level].logsumexp(dim=1)

    def apply(self, log_weights: Tensor, nodes: Tensor) -> None:
        """Puts the weights of the beginnings in place of those (B, V) of the rows that stand at one (B,)."""
        at = nodes >= 0
        log_weights[at] = self.log_weights[nodes[at]]

    def child(self, nodes: Tensor, tokens: Tensor) -> Tensor:
        """The beginnings (B,) that are one character longer, or -1 where there is none."""
        keys = nodes * self.vocab_size + tokens
        place = torch.searchsorted(self.keys, keys)
        return torch.where((nodes >= 0) & (self.keys[place] == keys), place + 1, -1)

    def find(self, tokens: list[int]) -> int:
        """The beginning of these tokens, or -1 if no word begins so."""
        node = torch.zeros(1, dtype=torch.long)
        for token in tokens:
            node = self.child(node, torch.tensor([token]))
        return int(node)

    def left(self, tokens: list[int]) -> float:
        """The log-probability, after these tokens, of what has not been removed."""
        node = self.find(tokens)
        return 0.0 if node < 0 else self.log_weights[node].logsumexp(dim=0).item()
