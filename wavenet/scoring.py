"""How likely words are: means over a split and log-probabilities of words. Needs torch alone."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wavenet.networks import eval_mode
from wavenet.sliding import PackedWords, Windows, run
from wavenet.vocabulary import BOUNDARY


def mean_loss(network: nn.Sequential, batches: Iterable[Windows | PackedWords], device: torch.device) -> float:
    """The exact mean cross-entropy over all examples, in nats per token, in eval mode.

    Args:
        network: Built by :mod:`wavenet.networks`.
        batches: Windows or packed words; they may differ in size.
        device: Where the network is.
    """
    total, count = 0.0, 0
    with eval_mode(network):
        for batch in batches:
            here = type(batch)(*(part.to(device) for part in batch))
            total += F.cross_entropy(run(network, here), here.targets, reduction="sum").item()
            count += len(batch.targets)
    return total / count


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
