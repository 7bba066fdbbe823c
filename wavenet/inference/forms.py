"""Whether the three ways to run a network agree: windowed, sliding and stepping. Needs torch alone."""

from collections.abc import Sequence

import torch
from torch import nn

from wavenet.corpus.vocabulary import BOUNDARY, Vocabulary
from wavenet.inference.scoring import predictions
from wavenet.network.layers import receptive_field
from wavenet.network.packing import pack
from wavenet.network.sliding import eval_mode
from wavenet.network.stepping import start, step


def largest_difference(network: nn.Sequential, vocabulary: Vocabulary, words: Sequence[str]) -> float:
    """By how much the logits of the three ways differ at most, over all characters and ends of some words.

    Args:
        network: The network, on the CPU.
        vocabulary: Its characters.
        words: At least one word, all of characters that it knows.

    Raises:
        UnknownCharacterError: A character of a word is not in the vocabulary.

    Examples:
        >>> from wavenet import NetworkConfig, build
        >>> largest_difference(build(NetworkConfig(), vocab_size=3), Vocabulary("ab"), ["ab", "", "bba"]) < 1e-5
        True
    """
    size = receptive_field(network)
    sliding, _ = predictions(network, pack(words, vocabulary))  # (N, V)
    windowed, stepping = [], []
    with eval_mode(network):
        for word in words:
            tokens = [BOUNDARY, *vocabulary.encode(word)]  # (L,)
            padded = torch.tensor([BOUNDARY] * (size - 1) + tokens)
            windowed.append(network(padded.unfold(0, size, 1)))  # (L, V)
            state = start(network, 1)
            stepping += [step(network, torch.tensor([token]), state) for token in tokens]  # (1, V) each
    expected = torch.cat(windowed).double()  # (N, V)
    return torch.stack([sliding - expected, torch.cat(stepping) - expected]).abs().max().item()
