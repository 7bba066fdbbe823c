"""Words that must not be drawn: their probability is taken out of every step at which they are still possible."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from wavenet.corpus.vocabulary import Vocabulary
from wavenet.inference.shaping import Shaping
from wavenet.network.packing import CHUNK, pack
from wavenet.network.sliding import eval_mode, every_row


class Excluded:
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
        beginnings = [beginning for beginning, _ in endings]
        tree = pack(beginnings, vocabulary)
        self.vocab_size = len(vocabulary)
        keys = tree.previous[1:] * self.vocab_size + tree.tokens[1:]  # ascending: the tree is numbered by level
        self.keys = torch.cat([keys, torch.tensor([torch.iinfo(keys.dtype).max])])
        self.log_weights = torch.empty(len(tree.tokens), self.vocab_size, dtype=torch.float64)
        device = next(network.parameters()).device
        ends = torch.tensor([len(beginning) + 1 for beginning in beginnings]).cumsum(0)
        with eval_mode(network):
            for begin in range(0, len(beginnings), CHUNK):
                packed = pack(beginnings[begin : begin + CHUNK], vocabulary)
                rows = torch.unique(tree.rows[ends[begin - 1] if begin else 0 : ends[begin : begin + CHUNK][-1]])
                logits = every_row(network, packed.tokens.to(device), packed.previous.to(device))  # (R, V)
                self.log_weights[rows] = shaping.log_probs(logits.cpu().double())
        self.log_weights[tree.rows[ends - 1], torch.tensor([token for _, token in endings])] = -torch.inf
        for begin, end in reversed(levels(tree.previous)):
            left = self.log_weights[begin:end].logsumexp(dim=1)
            self.log_weights.view(-1)[keys[begin - 1 : end - 1]] += left

    def apply(self, log_weights: Tensor, nodes: Tensor) -> Tensor:
        """Log-weights (B, V), with those of the beginnings in place of the rows that stand at one (B,)."""
        return torch.where((nodes >= 0)[:, None], self.log_weights[nodes], log_weights)

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


def levels(previous: Tensor) -> list[tuple[int, int]]:
    """Where the rows of beginnings of one character, of two, ... begin and end, from the row before each (R,)."""
    found, end = [(0, 1)], 1
    while end < len(previous):
        end = 1 + int(torch.searchsorted(previous[1:], end))
        found.append((found[-1][1], end))
    return found[1:]
