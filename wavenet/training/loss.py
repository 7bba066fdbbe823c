"""The mean loss of a network over a split: one exact mean over its tokens, whatever the batches."""

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric
from torchmetrics.utilities.distributed import gather_all_tensors

from wavenet.network.sliding import eval_mode, run
from wavenet.training.optimization import OptimizationConfig


class TokenLoss(Metric):
    """The mean cross-entropy in nats per token, over all batches since the last reset.

    Args:
        everywhere: Whether it is the mean over all processes that train or evaluate together, which all compute it.

    Shape:
        - ``update``: logits (N, V) and targets (N,).
        - ``compute``: a scalar.

    Examples:
        >>> loss = TokenLoss()
        >>> loss.update(torch.zeros(3, 2), torch.tensor([0, 1, 1]))
        >>> loss.compute()
        tensor(0.6931, dtype=torch.float64)
    """

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, everywhere: bool = True) -> None:
        # the states stay on the CPU: not every accelerator has double precision
        super().__init__(sync_on_compute=everywhere, dist_sync_fn=gathered_states)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, logits: Tensor, targets: Tensor) -> None:
        self.total += F.cross_entropy(logits, targets, reduction="sum").cpu().double()
        self.count += len(targets)

    def compute(self) -> Tensor:
        return self.total / self.count


def gathered_states(state: Tensor, group: Any = None) -> list[Tensor]:
    """The state of each process; NCCL takes only what lies on a GPU."""
    nccl = torch.distributed.get_backend(group) == "nccl"
    return [part.cpu() for part in gather_all_tensors(state.cuda() if nccl else state, group)]


def check_finite(name: str, loss: float, step: int, optimization: OptimizationConfig) -> None:
    """Raises a ValueError that says what to do if a loss is no longer a number.

    Args:
        name: Of the loss.
        loss: In nats.
        step: How many steps have been made.
        optimization: What the training was made with.
    """
    if not isfinite(loss):
        advice = f"lower --model.optimization.learning_rate, which is {optimization.learning_rate:g}"
        if optimization.ngram_learning_rate > 0:
            advice += f", or --model.optimization.ngram_learning_rate, which is {optimization.ngram_learning_rate:g}"
        raise ValueError(f"{name} is {loss} at step {step}: training has diverged; {advice}")


def standard_error(log_probs: Sequence[float], num_tokens: Sequence[int]) -> float | None:
    """How far the mean loss of a split may be from that of all words of its kind: its standard error over words.

    The mean is a ratio, of the words' losses to their tokens, whose error comes from each word's loss above what its
    tokens make at the mean.

    Args:
        log_probs: Of the words, in nats.
        num_tokens: Of each word, its end included.

    Returns:
        Nats per token, or ``None`` for a single word.

    Examples:
        >>> standard_error([-4.0, -8.0], [2, 2])
        1.0

    Source: Cochran, "Sampling Techniques" (1977), section 2.11.
    """
    num_words = len(log_probs)
    if num_words < 2:
        return None
    losses, tokens = -torch.tensor(log_probs, dtype=torch.float64), torch.tensor(num_tokens, dtype=torch.float64)
    beyond = losses - tokens * losses.sum() / tokens.sum()  # (W,)
    return float((beyond.square().sum() * num_words / (num_words - 1)).sqrt() / tokens.sum())


def mean_loss(network: nn.Sequential, batches: Iterable[Any], device: torch.device) -> float:
    """The exact mean cross-entropy over all examples, in nats per token, in eval mode.

    Args:
        network: The network.
        batches: Windows or packed words; they may differ in size.
        device: Where the network is.
    """
    loss = TokenLoss(everywhere=False)
    with eval_mode(network):
        for batch in batches:
            here = batch.to(device)
            loss.update(run(network, here), here.targets)
    return float(loss.compute())
