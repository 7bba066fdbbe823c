"""Every word of a small model with its exact probability, computed one context at a time."""

from itertools import product

import torch
from torch import nn

from tests.networks import lecture
from wavenet.corpus.vocabulary import Vocabulary

VOCABULARY = Vocabulary("ab")
MAX_LENGTH = 4


def small_network(seed: int = 0) -> nn.Sequential:
    """A network of three tokens and four steps of context, far from uniform."""
    torch.manual_seed(seed)
    network = lecture(len(VOCABULARY), 4, 2, 3, 8)
    for _ in range(20):  # running statistics
        network(torch.randint(3, (64, 4)))
    nn.init.normal_(network[-1].weight, std=0.7)
    network[-1].bias.data[0] = 0.8
    return network


def step_probabilities(
    network: nn.Sequential, beginning: str, temperature: float = 1.0, top_k: int | None = None, top_p: float = 1.0
) -> list[float]:
    """The probability of each token after a beginning, shaped with plain lists."""
    network.eval()
    context = ([0] * 4 + VOCABULARY.encode(beginning))[-4:]
    with torch.no_grad():
        probs = (network(torch.tensor([context])).double()[0] / temperature).softmax(-1).tolist()
    order = sorted(range(3), key=lambda token: -probs[token])[:top_k]
    total = sum(probs[token] for token in order)
    kept: dict[int, float] = {}
    for token in order:
        if sum(kept.values()) < top_p:
            kept[token] = probs[token] / total
    return [kept.get(token, 0.0) / sum(kept.values()) for token in range(3)]


def word_probability(network: nn.Sequential, word: str, **shaping: float | int | None) -> float:
    """The probability of a word and its end."""
    probability = 1.0
    for length, token in enumerate([*VOCABULARY.encode(word), 0]):
        probability *= step_probabilities(network, word[:length], **shaping)[token]  # type: ignore[arg-type]
    return probability


def all_words(max_length: int = MAX_LENGTH, min_length: int = 1) -> list[str]:
    """Every word of the lengths."""
    return ["".join(word) for length in range(min_length, max_length + 1) for word in product("ab", repeat=length)]


def normalised(probabilities: dict[str, float]) -> dict[str, float]:
    """Probabilities that add up to 1; impossible words are left out."""
    total = sum(probabilities.values())
    return {word: probability / total for word, probability in probabilities.items() if probability > 0}
