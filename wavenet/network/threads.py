"""How many threads a network runs on, chosen from its work: the same machine always chooses alike."""

import os

import torch
from torch import nn

from wavenet.errors import ArgumentError, check_at_least

LARGE = 280_000
"""Numbers that a linear layer makes of the tokens of a batch, from which on more than one thread pays
(``benchmarks/busy.py``)."""

TOKENS = 1_024
"""Tokens that a network is taken to read at once where nobody says how many: few words, or one, are often all."""

OWN = torch.get_num_threads()
"""Threads that torch runs on by itself, or as the environment says."""

MOST = 4
"""Threads beyond which layers of these widths have nothing left to divide."""

TOO_MANY = 1024
"""Threads beyond which a number is a slip, and more than a system may give."""

CHOSEN_BY_USER = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def set_threads(network: nn.Module, threads: int | None = None, processes: int = 1, tokens: float = TOKENS) -> int:
    """Sets torch's number of threads for a network and returns it.

    OpenMP's threads wait for each other after every operation, so that two become slower than one where another program
    needs a core, and the more so the smaller the operations are. A network whose layers make few numbers at once hardly
    gains by the second one: it runs on one thread. The user's own choice is left alone.

    Args:
        network: The network.
        threads: The user's choice; without one the environment's counts (``OMP_NUM_THREADS``), if it has any.
        processes: How many processes share the machine's cores.
        tokens: About how many tokens the network reads at once.

    Raises:
        ArgumentError: ``threads`` is below 1 or above ``TOO_MANY``.
    """
    if threads is not None:
        check_at_least(1, threads=threads)
        if threads > TOO_MANY:
            raise ArgumentError("threads", f"must be at most {TOO_MANY}, got {threads}")
    elif any(name in os.environ for name in CHOSEN_BY_USER):
        threads = OWN
    else:
        widest = max((layer.out_features for layer in network.modules() if isinstance(layer, nn.Linear)), default=0)
        threads = 1 if tokens * widest < LARGE else max(1, min(MOST, OWN // processes))
    torch.set_num_threads(threads)
    return threads
