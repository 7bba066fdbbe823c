"""The same network one step at a time, for generation: each level keeps a short queue of what it has seen.

:mod:`wavenet.network.sliding` explains why the logits are the same.

Source: Paine et al., "Fast Wavenet Generation Algorithm" (2016), https://arxiv.org/abs/1611.09482.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wavenet.corpus.vocabulary import BOUNDARY
from wavenet.network.layers import FlattenConsecutive, Parallel, position_wise, receptive_field
from wavenet.network.sliding import dilations


class State(NamedTuple):
    """For each ``FlattenConsecutive`` a queue of its last (n - 1) * dilation inputs, each (B, C), the oldest first.

    Of a ``Parallel`` they are those of its members, one after the other. Of a network that is not position-wise the
    state is ``windowed``: one queue holds the contexts (B, T), which are run whole at each step.

    All are plain tensors with the batch first, so that :func:`select` picks, repeats and orders the rows of any state.
    """

    queues: list[list[Tensor]]
    windowed: bool = False


def start(network: nn.Sequential, batch_size: int) -> State:
    """The state before any word: as if nothing but boundaries had ever been read.

    The network must be in eval mode.
    """
    x = torch.full((1,), BOUNDARY, device=next(network.parameters()).device)  # (1,)
    if not position_wise(network):
        return State([[x.repeat(batch_size, receptive_field(network))]], windowed=True)  # (B, T)
    if isinstance(network, Parallel):
        return State([queue for member in network.members for queue in start(member, batch_size).queues])
    queues = []
    for layer, dilation in dilations(network):
        if not isinstance(layer, FlattenConsecutive):
            x = layer(x)  # (1, C)
        else:
            queues.append([x.expand(batch_size, -1)] * ((layer.group_size - 1) * dilation))  # (B, C) each
            x = x.repeat(1, layer.group_size)  # (1, n*C)
    return State(queues)


def select(state: State, rows: Tensor) -> State:
    """A new state of the rows (B',) of another, in that order, each as often as it is named."""
    return State([[x.index_select(0, rows) for x in queue] for queue in state.queues], state.windowed)


def step(network: nn.Sequential, tokens: Tensor, state: State) -> Tensor:
    """Logits (B, V) of the tokens that follow ``tokens`` (B,); the state is moved on in place.

    The first token of a word is the boundary. Each call computes one position per layer. The network must be in eval
    mode.

    Examples:
        >>> from wavenet import NetworkConfig, build
        >>> network = build(NetworkConfig(), 27).eval()
        >>> state = start(network, batch_size=2)
        >>> step(network, torch.tensor([0, 0]), state).shape
        torch.Size([2, 27])
    """
    if state.windowed:
        contexts = torch.cat([state.queues[0][0][:, 1:], tokens[:, None]], dim=1)  # (B, T)
        state.queues[0] = [contexts]
        logits: Tensor = network(contexts)  # (B, V)
        return logits
    return advance(network, tokens, iter(state.queues))


def advance(network: nn.Sequential, tokens: Tensor, queues: Iterator[list[Tensor]]) -> Tensor:
    """Logits (B, V) after ``tokens`` (B,), by the next of the queues, one for each ``FlattenConsecutive``."""
    if isinstance(network, Parallel):
        return network.combine([advance(member, tokens, queues) for member in network.members])
    x = tokens
    for layer, dilation in dilations(network):
        if not isinstance(layer, FlattenConsecutive):
            x = layer(x)  # (B, C)
        else:
            queue = next(queues)
            queue.append(x)
            x = torch.cat(queue[::dilation], dim=1)  # (B, n*C)
            del queue[0]
    return x
