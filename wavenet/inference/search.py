"""The most probable words, exactly and in order. Needs torch alone."""

import heapq
from collections.abc import Collection, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wavenet.corpus.vocabulary import BOUNDARY, Vocabulary
from wavenet.corpus.words import Known
from wavenet.errors import check_at_least
from wavenet.inference.patterns import Wanted
from wavenet.network.packing import CHUNK
from wavenet.network.sliding import eval_mode
from wavenet.network.stepping import State, select, start, step

MEMORY = 2**28
"""Bytes that the beginnings which wait to be read on may take; above it the less likely half of them is dropped."""


class Ranking(NamedTuple):
    """The most probable words, the most probable first, with their log-probabilities in nats.

    They are ``complete`` unless the search was cut short; then the first ``num_certain`` are still right. It was cut
    short by ``memory`` if beginnings were dropped that could have led to more of them.
    """

    words: list[str]
    log_probs: list[float]
    num_certain: int
    complete: bool
    memory: bool


class Beginnings(NamedTuple):
    """Beginnings of words that are to be read on, the likeliest first.

    Each is a row ``source`` (B,) of those that the network has read, tokens (B', L) with the step state ``state``, and
    one ``token`` (B,) more.
    """

    read: Tensor
    state: State
    source: Tensor
    token: Tensor
    log_probs: Tensor
    states: Tensor

    def first(self, count: int) -> "Beginnings":
        """The likeliest of them, without what none of them has read."""
        rows, source = torch.unique(self.source[:count], return_inverse=True)
        state = select(self.state, rows.to(self.state.queues[0][0].device)) if self.state.queues[0] else self.state
        return Beginnings(
            self.read[rows], state, source, self.token[:count], self.log_probs[:count], self.states[:count]
        )

    @property
    def num_bytes(self) -> int:
        """About how much memory they take."""
        own = (self.source, self.token, self.log_probs, self.states)
        shared = [self.read, *(queued for queue in self.state.queues for queued in queue)]
        return sum(tensor.numel() * tensor.element_size() for tensor in (*own, *shared))


Waiting = list[tuple[float, int, Beginnings]]
"""A heap of beginnings: the negated log-probability of the likeliest of each, and a number that tells equals apart."""


def top(
    network: nn.Sequential,
    vocabulary: Vocabulary,
    num_words: int,
    *,
    prefix: str = "",
    pattern: str = "*",
    min_length: int = 1,
    max_length: int = 64,
    without: Collection[str] = (),
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
        max_beginnings: Beginnings of words after about which the search is cut short. Those that wait take at most
            about ``MEMORY`` bytes: beyond it the less likely half is dropped.

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
    found = Found(num_words, vocabulary, Known(without))
    device = next(network.parameters()).device
    with eval_mode(network):
        zero, none = torch.zeros(1, dtype=torch.long), torch.zeros(1, 0, dtype=torch.long)
        root = Beginnings(none, start(network, 1), zero, zero, torch.zeros(1, dtype=torch.float64), zero)
        queue: Waiting = [(0.0, 0, root)]
        count, num_read, held, dropped = 1, 0, root.num_bytes, -torch.inf
        while queue and -queue[0][0] > found.bound and num_read < max_beginnings:
            beginnings = heapq.heappop(queue)[2]
            held -= beginnings.num_bytes
            going = int((beginnings.log_probs > found.bound).sum())  # they are sorted
            read, state, source, token, log_probs, states = (
                beginnings if going == len(beginnings.source) else beginnings.first(going)
            )
            tokens = torch.cat([read[source], token[:, None]], dim=1)  # (B, L)
            state = select(state, source.to(device))
            logits = step(network, token.to(device), state).cpu().double()  # (B, V)
            num_read += going
            scores = log_probs[:, None] + logits.log_softmax(dim=1)  # (B, V)
            following = wanted.next_state[states]  # (B, V)
            scores.masked_fill_(~wanted.live[tokens.shape[1], following], -torch.inf)
            found.add(tokens[:, 1:], scores[:, BOUNDARY])
            scores[:, BOUNDARY] = -torch.inf
            for longer in read_on(tokens, scores, following, state, found.bound):
                heapq.heappush(queue, (-longer.log_probs[0].item(), count, longer))
                count, held = count + 1, held + longer.num_bytes
            if held > MEMORY:
                queue, most = thinned(queue)
                held, dropped = sum(item[2].num_bytes for item in queue), max(dropped, most)
    return found.ranking(unread=-queue[0][0] if queue else -torch.inf, dropped=dropped)


def thinned(queue: Waiting) -> tuple[Waiting, float]:
    """The likelier half of the beginnings that wait, and the log-probability of the likeliest that was dropped."""
    log_probs = torch.cat([beginnings.log_probs for _, _, beginnings in queue]).sort(descending=True).values
    least = log_probs[len(log_probs) // 2].item()
    kept: Waiting = []
    for best, number, beginnings in queue:
        if count := int((beginnings.log_probs > least).sum()):
            kept.append((best, number, beginnings.first(count)))
    heapq.heapify(kept)
    return kept, least


def read_on(tokens: Tensor, scores: Tensor, following: Tensor, state: State, bound: float) -> Iterator[Beginnings]:
    """Beginnings (B, L) with one more character, as far as they may lead to a word above the bound, likeliest first.

    ``scores`` and ``following`` (B, V) are log-probabilities and states of the automaton after each character.
    """
    order = scores.flatten().argsort(descending=True)
    order = order[: int((scores > bound).sum())]  # (B',), the rows and tokens
    for chosen in torch.split(order, CHUNK):
        rows, token = chosen // scores.shape[1], chosen % scores.shape[1]
        if len(chosen):
            yield Beginnings(tokens, state, rows, token, scores[rows, token], following[rows, token]).first(len(chosen))


class Found:
    """The best words found so far."""

    def __init__(self, num_words: int, vocabulary: Vocabulary, without: Known) -> None:
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

    def ranking(self, unread: float, dropped: float) -> Ranking:
        """The words in order; those at least as likely as what was left unread or dropped are certain."""
        ordered = sorted(self.heap, key=lambda item: (-item[0], item[1]))
        left = max(unread, dropped)
        num_certain = sum(log_prob >= left for log_prob, _ in ordered)
        words, log_probs = [word for _, word in ordered], [log_prob for log_prob, _ in ordered]
        return Ranking(words, log_probs, num_certain, complete=left <= self.bound, memory=dropped > self.bound)
