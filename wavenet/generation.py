"""Making words: sampling from a network. Needs torch alone."""

import torch
from torch import Tensor, nn

from wavenet.networks import eval_mode, receptive_field
from wavenet.sliding import State, select, start, step, steppable
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
    generator = torch.Generator(device)
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    words = torch.full((num_words, max_length + 1), BOUNDARY, device=device)  # each row ends with a boundary
    running = torch.arange(num_words, device=device)  # (B,), the words that have not ended
    tokens = torch.full((num_words,), BOUNDARY, device=device)  # (B,), the newest of each
    with eval_mode(network):
        forward = step if steppable(network) else windowed_step
        state = start(network, num_words) if steppable(network) else windowed_start(network, num_words)
        for length in range(max_length):
            if len(running) == 0:
                break
            probs = forward(network, tokens, state).softmax(dim=-1)  # (B, V)
            # the number of tokens whose cumulative probability lies below a uniform draw is a draw from them
            uniform = torch.rand(len(tokens), 1, generator=generator, device=device)  # (B, 1)
            tokens = (probs.cumsum(dim=-1) < uniform).sum(dim=-1).clamp_(max=len(vocabulary) - 1)  # (B,)
            words[running, length] = tokens
            alive = (tokens != BOUNDARY).nonzero().squeeze(1)
            running, tokens, state = running[alive], tokens[alive], select(state, alive)
    longest = int((words != BOUNDARY).sum(dim=1).max()) if num_words else 0
    return [vocabulary.decode(row[: row.index(BOUNDARY)]) for row in words[:, : longest + 1].tolist()]


def windowed_start(network: nn.Sequential, batch_size: int) -> State:
    """For the exhibits, which cannot step: the contexts (B, T), in place of :func:`wavenet.sliding.start`."""
    device = next(network.parameters()).device
    return [[torch.full((batch_size, receptive_field(network)), BOUNDARY, device=device)]]


def windowed_step(network: nn.Sequential, tokens: Tensor, state: State) -> Tensor:
    """The same as :func:`wavenet.sliding.step`, from the whole context each time."""
    contexts = torch.cat([state[0][0][:, 1:], tokens[:, None]], dim=1)  # (B, T)
    state[0] = [contexts]
    logits: Tensor = network(contexts)  # (B, V)
    return logits
