"""The same network over packed words. :mod:`wavenet.network.stepping` runs it one step at a time.

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
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from wavenet.network.layers import FlattenConsecutive, Parallel, position_wise, receptive_field
from wavenet.network.packing import Batch, PackedWords


def run(network: nn.Sequential, batch: Batch) -> Tensor:
    """Logits (N, V) for the targets of a batch of either kind."""
    if isinstance(batch, PackedWords):
        return every_row(network, batch.tokens, batch.previous).index_select(0, batch.rows)  # (N, V)
    logits: Tensor = network(batch.contexts)  # (B, V)
    return logits


def every_row(network: nn.Sequential, tokens: Tensor, previous: Tensor) -> Tensor:
    """What :func:`slide` returns; for a network that cannot slide, from the context of each row on its own."""
    if position_wise(network):
        return slide(network, tokens, previous)
    steps = [torch.arange(len(tokens), device=tokens.device)]
    while len(steps) < receptive_field(network):
        steps.append(previous[steps[-1]])  # (R,), the newest step first
    logits: Tensor = network(tokens[torch.stack(steps[::-1], dim=1)])  # (R, T) -> (R, V)
    return logits


def slide(network: nn.Sequential, tokens: Tensor, previous: Tensor) -> Tensor:
    """Logits at every row of packed words, each shared part of their contexts computed once.

    Args:
        network: A Sequential of ``FlattenConsecutive`` and position-wise layers, or a ``Parallel`` of such.
        tokens: (R,) the boundary, and then the last token of each beginning of a word.
        previous: (R,) the row of the token before each; the boundary, row 0, comes before itself.

    Returns:
        (R, V) logits of the token after each of ``tokens``.

    Raises:
        ValueError: A layer is not position-wise.

    Examples:
        >>> from wavenet import NetworkConfig, build
        >>> network = build(NetworkConfig(), 27)
        >>> slide(network, tokens=torch.tensor([0, 5, 13]), previous=torch.tensor([0, 0, 1])).shape  # . e m
        torch.Size([3, 27])
    """
    if not position_wise(network):
        raise ValueError(
            "a layer of the network is not position-wise: it runs windowed only, on --data.batching windows"
        )
    if isinstance(network, Parallel):
        return network.combine([slide(member, tokens, previous) for member in network.members])  # (R, V)
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


def dilations(network: nn.Sequential) -> Iterator[tuple[nn.Module, int]]:
    """The layers, each with how far apart neighbouring steps of the windowed form lie where it stands."""
    dilation = 1
    for layer in network:
        yield layer, dilation
        if isinstance(layer, FlattenConsecutive):
            dilation *= layer.group_size


@contextmanager
def eval_mode(network: nn.Module) -> Iterator[None]:
    """Runs a block without gradients and in eval mode, then brings back the mode of before.

    A batch of one gives no NaN, and no running statistic changes.
    """
    training = [module for module in network.modules() if module.training]
    if training:
        network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True
