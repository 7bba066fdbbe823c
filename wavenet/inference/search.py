"""The most probable words, exactly and in order. Needs torch alone."""

import heapq
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wavenet.corpus.vocabulary import BOUNDARY, Vocabulary
from wavenet.errors import check_at_least
from wavenet.inference.patterns import Wanted
from wavenet.network.packing import CHUNK
from wavenet.network.sliding import eval_mode
from wavenet.network.stepping import State, select, start, step


class Ranking(NamedTuple):
    """The most probable words, the most probable first, with their log-probabilities in nats.

    They are ``complete`` unless the search was cut short; then the first ``num_certain`` are still right.
    """

    words: list[str]
    log_probs: list[float]
    num_certain: int
    complete: bool


class Beginnings(NamedTuple):
    """Beginnings (B, L) of words that are to be read on: the likeliest first, each one character longer than the last
    that the network has read, whose step state is that of the row ``source`` (B,) of ``state``."""

    tokens: Tensor
    log_probs: Tensor
    states: Tensor
    source: Tensor
    state: State


def top(
    network: nn.Sequential,
    vocabulary: Vocabulary,
    num_words: int,
    *,
    prefix: str = "",
    pattern: str = "*",
    min_length: int = 1,
    max_length: int = 64,
    without: Iterable[str] = (),
    max_beginnings: int = 300_000,
) -> Ranking:
    """The most probable of the wanted words.

    A best-first search: the likeliest beginnings of words are read on, many at a time. A word is never likelier than
    its beginning, so when no beginning is as likely as the last of the words found, they are the answer.

    Args:
        network: The network; it runs one step at a time.
        vocabulary: Its characters.
        num_words: How many words to find.
        prefix, pattern, min_length, max_length: Which words are wanted: see :class:`wavenet.inference.patterns.Wanted`.
        without: Words that do not count.
        max_beginnings: Beginnings of words after about which the search is cut short; each takes a few kilobytes.

    Returns:
        ``num_words`` words, or fewer if fewer are wanted.

    Raises:
        ArgumentError: ``num_words`` or ``max_beginnings`` is below 1; see also
            :class:`wavenet.inference.patterns.Wanted`.

    Examples:
        >>> from wavenet import NetworkConfig, build
        >>> len(top(build(NetworkConfig(), 3), Vocabulary("ab"), 4, max_length=5).words)
        4
    """
    check_at_least(1, num_words=num_words, max_beginnings=max_beginnings)
    wanted = Wanted(vocabulary, prefix, pattern, min_length, max_length)
    found = Found(num_words, vocabulary, frozenset(without))
    device = next(network.parameters()).device
    with eval_mode(network):
        zero = torch.zeros(1, dtype=torch.long)
        root = Beginnings(zero[:, None], torch.zeros(1, dtype=torch.float64), zero, zero, start(network, 1))
        queue, count, num_read = [(0.0, 0, root)], 1, 0
        while queue and -queue[0][0] > found.bound and num_read < max_beginnings:
            _, _, (tokens, log_probs, states, source, state) = heapq.heappop(queue)
            going = int((log_probs > found.bound).sum())  # they are sorted
            tokens, log_probs, states = tokens[:going], log_probs[:going], states[:going]
            state = select(state, source[:going].to(device))
            logits = step(network, tokens[:, -1].to(device), state).cpu().double()  # (B, V)
            num_read += going
            scores = log_probs[:, None] + logits.log_softmax(dim=1)  # (B, V)
            following = wanted.next_state[states]  # (B, V)
            scores.masked_fill_(~wanted.live[tokens.shape[1], following], -torch.inf)
            found.add(tokens[:, 1:], scores[:, BOUNDARY])
            scores[:, BOUNDARY] = -torch.inf
            for longer in read_on(tokens, scores, following, state, found.bound):
                heapq.heappush(queue, (-longer.log_probs[0].item(), count, longer))
                count += 1
    return found.ranking(unread=-queue[0][0] if queue else -torch.inf)


def read_on(tokens: Tensor, scores: Tensor, following: Tensor, state: State, bound: float) -> Iterator[Beginnings]:
    """Beginnings (B, L) with one more character, as far as they may lead to a word above the bound, likeliest first.

    ``scores`` and ``following`` (B, V) are log-probabilities and states of the automaton after each character.
    """
    order = scores.flatten().argsort(descending=True)
    order = order[: int((scores > bound).sum())]  # (B',), the rows and tokens
    for chosen in torch.split(order, CHUNK):
        rows, token = chosen // scores.shape[1], chosen % scores.shape[1]
        if len(chosen):
            longer = torch.cat([tokens[rows], token[:, None]], dim=1)  # (B', L + 1)
            yield Beginnings(longer, scores[rows, token], following[rows, token], rows, state)


class Found:
    """The best words found so far."""

    def __init__(self, num_words: int, vocabulary: Vocabulary, without: frozenset[str]) -> None:
        self.num_words, self.vocabulary, self.without = num_words, vocabulary, without
        self.heap: list[tuple[float, str]] = []  # the least probable first

    @property
    def bound(self) -> float:
        """What a word's log-probability must exceed to be among them."""
        return self.heap[0][0] if len(self.heap) == self.num_words else -torch.inf

    def add(self, tokens: Tensor, log_probs: Tensor) -> None:
        """Takes words (B, L), the best ones first, as long as they exceed the bound."""
        for row in log_probs.argsort(descending=True).tolist():
            log_prob = log_probs[row].item()
            if log_prob <= self.bound:
                return
            word = self.vocabulary.decode(tokens[row].tolist())
            if word not in self.without:
                heapq.heappush(self.heap, (log_prob, word))
                if len(self.heap) > self.num_words:
                    heapq.heappop(self.heap)

    def ranking(self, unread: float) -> Ranking:
        """The words in order; those at least as likely as what was left unread are certain."""
        ordered = sorted(self.heap, key=lambda item: (-item[0], item[1]))
        num_certain = sum(log_prob >= unread for log_prob, _ in ordered)
        words, log_probs = [word for _, word in ordered], [log_prob for log_prob, _ in ordered]
        return Ranking(words, log_probs, num_certain, complete=unread <= self.bound)
