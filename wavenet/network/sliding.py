"""The same network over packed words, and one step at a time.

Only ``FlattenConsecutive`` mixes time, so it alone is reinterpreted here; every other layer runs as it is. The windowed
form joins n neighbouring steps and has n times fewer of them afterwards. These forms join each position with the n - 1
before it that lie ``dilation`` apart (1, n, n², ...: the product of the group sizes below), and keep every position::

    windowed, one context           sliding, the whole word at once

      .   .   e   m                   .   e   m   m   a
       \\  |    \\  |                    \\  |\\  |\\  |\\  |     dilation 1: each row with the row before
          *       *                   *   *   *   *   *
            \\     |                   |   |   |\\  |\\  |     dilation 2: each row with the row two before
                  *                   *   *   *   *   *       (not drawn: the rows before the word)
                  m                   e   m   m   a   .

The rows of a batch of words are one boundary row and one for each beginning of a word: words that begin alike share
their rows until they part, so the rows form a tree, in which each row names the row of the token before it. Before a
word's first character there are only boundaries, so the boundary row, which comes before itself, stands for every
position there, at every layer: it is embedded and computed like any other, and nothing is padded or computed twice.

In eval mode all forms give the same logits. In train mode batch norm sees each row once here, and as often as contexts
and words repeat it in the windowed form, so the statistics differ.

Sources: van den Oord et al., "WaveNet" (2016), https://arxiv.org/abs/1609.03499; Paine et al., "Fast Wavenet
Generation Algorithm" (2016), https://arxiv.org/abs/1611.09482.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wavenet.corpus.vocabulary import BOUNDARY
from wavenet.network.build import receptive_field
from wavenet.network.exhibits import PerPositionBatchNorm1d
from wavenet.network.layers import FlattenConsecutive


class Windows(NamedTuple):
    """A batch of contexts (B, T) and targets (B,)."""

    contexts: Tensor
    targets: Tensor


class PackedWords(NamedTuple):
    """Whole words on one axis: R rows, the boundary's and one for each distinct beginning of a word, and N targets.

    ``tokens`` (R,), the last of each beginning; ``previous`` (R,), the row of the token before it, the boundary's being
    its own; ``targets`` (N,), the tokens of word after word; ``rows`` (N,), which row predicts each of them: the
    boundary's for the first character of a word.
    """

    tokens: Tensor
    previous: Tensor
    targets: Tensor
    rows: Tensor


def run(network: nn.Sequential, batch: Windows | PackedWords) -> Tensor:
    """Logits (N, V) for the targets of a batch of either kind."""
    if isinstance(batch, PackedWords):
        return every_row(network, batch.tokens, batch.previous).index_select(0, batch.rows)  # (N, V)
    logits: Tensor = network(batch.contexts)  # (B, V)
    return logits


def every_row(network: nn.Sequential, tokens: Tensor, previous: Tensor) -> Tensor:
    """What :func:`slide` returns; for the exhibit that cannot slide, from the context of each row on its own."""
    if steppable(network):
        return slide(network, tokens, previous)
    steps = [torch.arange(len(tokens), device=tokens.device)]
    while len(steps) < receptive_field(network):
        steps.append(previous[steps[-1]])  # (R,), the newest step first
    logits: Tensor = network(tokens[torch.stack(steps[::-1], dim=1)])  # (R, T) -> (R, V)
    return logits


def slide(network: nn.Sequential, tokens: Tensor, previous: Tensor) -> Tensor:
    """Logits at every row of packed words, each shared part of their contexts computed once.

    Args:
        network: Built by :mod:`wavenet.network.build`.
        tokens: (R,) the boundary, and then the last token of each beginning of a word.
        previous: (R,) the row of the token before each; the boundary, row 0, comes before itself.

    Returns:
        (R, V) logits of the token after each of ``tokens``.

    Raises:
        ValueError: A layer keeps something for each position of the windowed form, and cannot slide.

    Examples:
        >>> from wavenet.network.build import wavenet
        >>> slide(wavenet(27), tokens=torch.tensor([0, 5, 13]), previous=torch.tensor([0, 0, 1])).shape  # . e m
        torch.Size([3, 27])
    """
    x, back = tokens, previous  # (R,) both: back is the row one step of this level before each
    for layer, _ in dilations(network):
        if not isinstance(layer, FlattenConsecutive):
            x = layer(x)  # (R, C)
        else:
            steps = [torch.arange(len(tokens), device=tokens.device)]
            for _ in range(layer.group_size):
                steps.append(back[steps[-1]])  # (R,), the newest step first
            joined = torch.stack(steps[-2::-1], dim=1)  # (R, n), the oldest step first
            x = x.index_select(0, joined.flatten()).view(len(tokens), -1)  # (R, n*C)
            back = steps[-1]
    return x


State = list[list[Tensor]]
"""For each ``FlattenConsecutive`` a queue of its last (n - 1) * dilation inputs, each (B, C), the oldest first.

Of the exhibit that cannot step it holds the contexts (B, T), which are run whole at each step.

All are plain tensors with the batch first, so that :func:`select` picks, repeats and orders the rows of any state.
"""


def start(network: nn.Sequential, batch_size: int) -> State:
    """The state before any word: as if nothing but boundaries had ever been read.

    The network must be in eval mode.
    """
    x = torch.full((1,), BOUNDARY, device=next(network.parameters()).device)  # (1,)
    if not steppable(network):
        return [[x.repeat(batch_size, receptive_field(network))]]  # (B, T)
    state = []
    for layer, dilation in dilations(network):
        if not isinstance(layer, FlattenConsecutive):
            x = layer(x)  # (1, C)
        else:
            state.append([x.expand(batch_size, -1)] * ((layer.group_size - 1) * dilation))  # (B, C) each
            x = x.repeat(1, layer.group_size)  # (1, n*C)
    return state


def select(state: State, rows: Tensor) -> State:
    """A new state of the rows (B',) of another, in that order, each as often as it is named."""
    return [[x.index_select(0, rows) for x in queue] for queue in state]


def step(network: nn.Sequential, tokens: Tensor, state: State) -> Tensor:
    """Logits (B, V) of the tokens that follow ``tokens`` (B,); the state is moved on in place.

    The first token of a word is the boundary. Each call computes one position per layer. The network must be in eval
    mode.

    Examples:
        >>> from wavenet.network.build import wavenet
        >>> network = wavenet(27).eval()
        >>> state = start(network, batch_size=2)
        >>> step(network, torch.tensor([0, 0]), state).shape
        torch.Size([2, 27])
    """
    if not steppable(network):
        contexts = torch.cat([state[0][0][:, 1:], tokens[:, None]], dim=1)  # (B, T)
        state[0] = [contexts]
        logits: Tensor = network(contexts)  # (B, V)
        return logits
    x, queues = tokens, iter(state)
    for layer, dilation in dilations(network):
        if not isinstance(layer, FlattenConsecutive):
            x = layer(x)  # (B, C)
        else:
            queue = next(queues)
            queue.append(x)
            x = torch.cat(queue[::dilation], dim=1)  # (B, n*C)
            del queue[0]
    return x


def steppable(network: nn.Sequential) -> bool:
    """Whether all layers but ``FlattenConsecutive`` are position-wise: true of all networks but the lecture's bug."""
    return not any(isinstance(layer, PerPositionBatchNorm1d) for layer in network)


def dilations(network: nn.Sequential) -> Iterator[tuple[nn.Module, int]]:
    """The layers, each with how far apart neighbouring steps of the windowed form lie where it stands."""
    if not steppable(network):
        raise ValueError(
            "a network with the batch-norm bug keeps statistics per position: it runs on --data.batching windows only"
        )
    dilation = 1
    for layer in network:
        yield layer, dilation
        if isinstance(layer, FlattenConsecutive):
            dilation *= layer.group_size
