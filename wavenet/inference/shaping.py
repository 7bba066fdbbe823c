"""What the next character is drawn from: the network's probabilities, shaped."""

from dataclasses import dataclass

import torch
from torch import Tensor

from wavenet.errors import ArgumentError

ROUNDING = 1e-6  # of probabilities that a network computes in single precision


@dataclass(frozen=True)
class Shaping:
    """How the network's probabilities are shaped before a character is drawn.

    Args:
        temperature: Divides the logits; below 1 likely characters become likelier.
        top_k: Keeps the k likeliest characters at each step.
        top_p: Keeps the fewest of the likeliest characters whose probabilities add up to p (less ``ROUNDING``) at each
            step, after ``top_k``.

    Of characters that are equally likely, those with lower token ids are kept first, which stand first in the
    alphabet; the end of a word has the lowest.

    Raises:
        ArgumentError: ``temperature`` is not above 0, ``top_k`` below 1, or ``top_p`` not above 0 and at most 1.

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
            raise ArgumentError("temperature", f"must be above 0, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ArgumentError("top_k", f"must be at least 1, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ArgumentError("top_p", f"must be above 0 and at most 1, got {self.top_p}")

    def log_probs(self, logits: Tensor) -> Tensor:
        """The log-probabilities (B, V) of the next character, from the network's logits (B, V)."""
        if self.temperature != 1:
            logits = (logits - logits.amax(dim=-1, keepdim=True)) / self.temperature
        log_probs = logits.log_softmax(dim=-1)
        if self.top_k is not None and self.top_k < log_probs.shape[1]:
            order = log_probs.argsort(dim=-1, descending=True, stable=True)
            log_probs = log_probs.scatter(-1, order[:, self.top_k :], -torch.inf).log_softmax(dim=-1)
        if self.top_p is not None and self.top_p < 1:
            ordered = log_probs.sort(dim=-1, descending=True, stable=True)
            probs = ordered.values.exp()
            before = probs.cumsum(dim=-1) - probs  # of the characters likelier than each
            kept = ordered.values.masked_fill(before >= self.top_p - ROUNDING, -torch.inf)
            kept[:, 0] = ordered.values[:, 0]  # whatever p
            log_probs = torch.full_like(log_probs, -torch.inf).scatter_(1, ordered.indices, kept).log_softmax(dim=-1)
        return log_probs


def pick(log_weights: Tensor, uniform: Tensor) -> Tensor:
    """One token (B,) for each row of log-weights (B, V), whose exponentials need not add up to 1.

    ``uniform`` (B,) are draws from [0, 1) that decide.
    """
    cumulative = (log_weights - log_weights.amax(dim=-1, keepdim=True)).exp().cumsum(dim=-1)
    tokens = torch.searchsorted(cumulative, uniform[:, None] * cumulative[:, -1:], right=True).squeeze(1)
    return tokens.clamp_(max=log_weights.shape[1] - 1)
