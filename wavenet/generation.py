"""Making words: sampling from a network. Needs torch alone."""

import torch
from torch import Tensor, nn

from wavenet.networks import eval_mode, receptive_field
from wavenet.vocabulary import BOUNDARY, Vocabulary


def sample(
    network: nn.Sequential, vocabulary: Vocabulary, num_words: int, seed: int | None = None, max_length: int = 64
) -> list[str]:
    """Draws words from the model, character by character, until each has ended.

    Args:
        network: Maps contexts (B, T) to logits (B, V).
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
    generator = torch.Generator().manual_seed(seed if seed is not None else torch.seed())
    contexts = torch.full((num_words, receptive_field(network)), BOUNDARY, device=device)  # (B, T)
    drawn: list[Tensor] = []
    ended = torch.zeros(num_words, dtype=torch.bool)
    with eval_mode(network):
        while len(drawn) < max_length and not ended.all():
            probs = network(contexts).softmax(dim=-1).cpu()  # (B, V)
            tokens = torch.multinomial(probs, num_samples=1, generator=generator).squeeze(1)  # (B,)
            ended |= tokens == BOUNDARY
            drawn.append(tokens.masked_fill(ended, BOUNDARY))
            contexts = torch.cat([contexts[:, 1:], tokens[:, None].to(device)], dim=1)  # (B, T)
    rows = torch.stack(drawn, dim=1).tolist() if drawn else [[]] * num_words
    return [vocabulary.decode([token for token in row if token != BOUNDARY]) for row in rows]
