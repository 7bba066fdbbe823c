"""Making words: sampling from a network. Needs torch alone."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from wavenet.networks import eval_mode, receptive_field
from wavenet.sliding import start, step, steppable
from wavenet.vocabulary import BOUNDARY, Vocabulary


def sample(
    network: nn.Sequential, vocabulary: Vocabulary, num_words: int, seed: int | None = None, max_length: int = 64
) -> list[str]:
    """Draws words from the model, character by character, until each has ended.

    Args:
        network: Built by :mod:`wavenet.networks`; it runs one step at a time.
        vocabulary: Its characters.
        num_words: How many words to draw. They need not differ.
        seed: Seed of the draws; ``None`` draws anew each time.
        max_length: Characters after which a word that has not ended is cut.

    Returns:
        The words; an empty word is a possible one.

    Examples:
        >>> from wavenet.networks import wavenet
        >>> len(sample(wavenet(vocab_size=3), Vocabulary("ab"), num_words=5, seed=1))
        5
    """
    device = next(network.parameters()).device
    generator = torch.Generator(device).manual_seed(seed if seed is not None else torch.seed())
    drawn: list[Tensor] = []
    with eval_mode(network):
        next_logits = stepping(network, num_words) if steppable(network) else windowed(network, num_words)
        tokens = torch.full((num_words,), BOUNDARY, device=device)  # (B,)
        ended = torch.zeros(num_words, dtype=torch.bool, device=device)
        while len(drawn) < max_length and not ended.all():
            probs = next_logits(tokens).softmax(dim=-1)  # (B, V)
            # the fastest of V exponential clocks, each at the rate of its probability, is a draw from them
            tokens = (probs / torch.empty_like(probs).exponential_(generator=generator)).argmax(dim=-1)  # (B,)
            ended |= tokens == BOUNDARY
            drawn.append(tokens.masked_fill(ended, BOUNDARY))
    rows = torch.stack(drawn, dim=1).tolist() if drawn else [[]] * num_words
    return [vocabulary.decode([token for token in row if token != BOUNDARY]) for row in rows]


def stepping(network: nn.Sequential, batch_size: int) -> Callable[[Tensor], Tensor]:
    """A function from the newest tokens (B,) to the logits (B, V) of the next, one step of the network at a time."""
    state = start(network, batch_size)
    return lambda tokens: step(network, tokens, state)


def windowed(network: nn.Sequential, batch_size: int) -> Callable[[Tensor], Tensor]:
    """The same, with the whole context each time: for the exhibits, which cannot step."""
    device = next(network.parameters()).device
    contexts = torch.full((batch_size, receptive_field(network)), BOUNDARY, device=device)  # (B, T)

    def logits(tokens: Tensor) -> Tensor:
        contexts.copy_(torch.cat([contexts[:, 1:], tokens[:, None]], dim=1))  # (B, T)
        result: Tensor = network(contexts)  # (B, V)
        return result

    return logits
