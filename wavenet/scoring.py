"""How likely words are: means over a split and log-probabilities of words. Needs torch alone."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wavenet.networks import eval_mode


def mean_loss(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], device: torch.device) -> float:
    """The exact mean cross-entropy over all examples, in nats per token, in eval mode.

    Args:
        network: Maps contexts (B, T) to logits (B, V).
        batches: Contexts (B, T) and targets (B,); batches may differ in size.
        device: Where the network is.
    """
    total, count = 0.0, 0
    with eval_mode(network):
        for contexts, targets in batches:
            logits = network(contexts.to(device))  # (B, V)
            total += F.cross_entropy(logits, targets.to(device), reduction="sum").item()
            count += len(targets)
    return total / count


def word_log_probs(logits: Tensor, targets: Tensor, word_index: Tensor) -> Tensor:
    """Log-probabilities of words, in nats: the sum over a word's characters and its closing boundary.

    Args:
        logits: (N, V), of every token of the words.
        targets: (N,), the tokens.
        word_index: (N,), the word of each token, ascending from 0.

    Returns:
        (W,) log-probabilities, one per word.

    Examples:
        >>> logits = torch.zeros(3, 2)  # a coin for each of three tokens, in words of two and one
        >>> word_log_probs(logits, torch.tensor([1, 0, 0]), torch.tensor([0, 0, 1]))
        tensor([-1.3863, -0.6931])
    """
    log_probs = -F.cross_entropy(logits, targets, reduction="none")  # (N,)
    return log_probs.new_zeros(int(word_index[-1]) + 1).index_add_(0, word_index, log_probs)  # (W,)
