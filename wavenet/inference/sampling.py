"""Making words: draws from a network, with or without replacement, among the words that are wanted. Needs torch alone.

Every draw is exact: it comes from the model's distribution over words, given what is asked for.

- The next character is drawn from the network's probabilities, shaped by temperature, top-k and top-p.
- A draw that can no longer become a wanted word (:class:`wavenet.inference.patterns.Wanted`) is abandoned there and
  then, and another takes its place. A limit on the number of draws ends a search for what hardly ever comes.
- Words that must not come (known ones, and with ``unique`` those drawn before) have their probability taken out of
  every step at which they are still possible (:class:`wavenet.inference.excluded.Excluded`), and so have the beginnings
  at which draws were abandoned: nothing is drawn again and again in vain.
"""

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from copy import copy
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from wavenet.corpus.vocabulary import BOUNDARY, Vocabulary
from wavenet.errors import ArgumentError, check_at_least
from wavenet.inference.excluded import Excluded
from wavenet.inference.patterns import Wanted, WantedOptions
from wavenet.inference.remembered import Remembered
from wavenet.inference.shaping import Shaping, pick
from wavenet.network.packing import CHUNK
from wavenet.network.sliding import eval_mode
from wavenet.network.stepping import State, select, start, step

AHEAD = 64  # words that are drawn for the calls to come, where each asks for one
MAX_ENDINGS = 100_000  # abandoned draws are remembered up to so many


class Words(NamedTuple):
    """Words, and their log-probabilities in nats by the network's own probabilities."""

    words: list[str]
    log_probs: list[float]


def sample(
    network: nn.Sequential, vocabulary: Vocabulary, num_words: int, seed: int | None = None, **options: Any
) -> list[str]:
    """Draws words from a network: see :class:`Sampler` for the options and errors.

    Returns:
        ``num_words`` words, or fewer if there are no more or they hardly ever come.

    Examples:
        >>> from wavenet import NetworkConfig, build
        >>> len(sample(build(NetworkConfig(), 3), Vocabulary("ab"), num_words=5, seed=1, pattern="a*", max_length=4))
        5
    """
    batches = Sampler(network, vocabulary, **options).draw(num_words, seed)
    return [word for batch in batches for word in batch.words]


class Opening(NamedTuple):
    """What all draws start from: logits (1, V) and step state after what every wanted word begins with, the
    log-probability of that, and the tree of the words that must not come, if there are any."""

    logits: Tensor
    state: State
    log_prob: float
    removed: Excluded | None


def with_margin(num_draws: int) -> int:
    """Some more draws than are expected to do, so that one batch is usually enough."""
    return num_draws + num_draws // 16 + 8


def first_of_each(words: Words, known: Collection[tuple[str, int]]) -> Words:
    """The words without repetitions and without those whose ending is known."""
    pairs = zip(words.words, words.log_probs, strict=True)
    new = {word: log_prob for word, log_prob in pairs if (word, BOUNDARY) not in known}
    return Words(list(new), list(new.values()))


class SamplerOptions(WantedOptions, total=False):
    """How words are drawn: see :class:`Sampler`."""

    temperature: float
    top_k: int | None
    top_p: float | None
    unique: bool
    max_draws: int
    batch_size: int


class Sampler:
    """Draws words from a network.

    Args:
        network: The network; it runs one step at a time.
        vocabulary: Its characters.
        temperature, top_k, top_p: How probabilities are shaped: see :class:`wavenet.inference.shaping.Shaping`.
        prefix, pattern, min_length, max_length: Which words are wanted: see :class:`wavenet.inference.patterns.Wanted`.
        unique: Whether no word comes twice: words are drawn without replacement.
        without: Words that must not come.
        max_draws: Draws after which a search ends, whether or not there are enough words.
        batch_size: Draws at a time. It does not change the words.

    Attributes:
        num_draws: How many draws the last call of :meth:`draw` has made.
        exhausted: Whether it ended because no word was left.

    Raises:
        ArgumentError: ``max_draws`` or ``batch_size`` is below 1; see also the two classes named above.
    """

    def __init__(
        self,
        network: nn.Sequential,
        vocabulary: Vocabulary,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        prefix: str = "",
        pattern: str = "*",
        min_length: int = 1,
        max_length: int = 64,
        unique: bool = False,
        without: Iterable[str] = (),
        max_draws: int = 1_000_000,
        batch_size: int = CHUNK,
    ) -> None:
        check_at_least(1, max_draws=max_draws, batch_size=batch_size)
        self.network, self.vocabulary = network, vocabulary
        self.shaping = Shaping(temperature, top_k, top_p)
        self.wanted = Wanted(vocabulary, prefix, pattern, min_length, max_length)
        self.unique = unique
        self.without = [word for word in dict.fromkeys(without) if self.wanted.accepts(word)]
        self.max_draws, self.batch_size = max_draws, batch_size
        self.num_draws, self.exhausted = 0, False
        self._opening = Remembered(network, self._open)
        self._ahead: Remembered[deque[str]] = Remembered(network, deque)

    def draw(self, num_words: int, seed: int | None = None) -> Iterator[Words]:
        """Draws words, batch by batch.

        Args:
            num_words: How many words to draw.
            seed: Seed of the draws; ``None`` draws anew each time.

        Returns:
            Batches of words; ``num_words`` in all, unless none is left or ``max_draws`` is reached.

        Raises:
            ArgumentError: ``num_words`` is negative, or ``seed`` needs more than 64 bits.
        """
        check_at_least(0, num_words=num_words)
        if seed is not None and not -(2**63) <= seed < 2**63:
            raise ArgumentError("seed", f"must be a number of at most 64 bits, got {seed}")
        generator = torch.Generator()
        if seed is None:
            generator.seed()
        else:
            generator.manual_seed(seed)
        return self._draw(num_words, generator)

    def draw_one(self) -> list[str]:
        """One word, or none if it hardly ever comes, from those drawn ahead: a batch takes little longer than one word.

        The words of several calls are independent draws, so ``unique`` means nothing here.
        """
        ahead = self._ahead()
        try:
            return [ahead.popleft()]
        except IndexError:  # all are used
            sampler = copy(self)
            sampler.unique = False
        for batch in sampler.draw(AHEAD):
            if batch.words:
                ahead.extend(batch.words[1:])
                return batch.words[:1]
        return []

    def _draw(self, num_words: int, generator: torch.Generator) -> Iterator[Words]:
        """Draws in rounds; between them, what must not come again is taken out.

        The more there is to take out, the longer a round. Rounds, and so the words, do not depend on the batch size.
        """
        self.num_draws, self.exhausted = 0, False
        opening = self._opening()
        removed = opening.removed
        drawn: dict[tuple[str, int], None] = {}
        abandoned: dict[tuple[str, int], None] = {}
        num_found = 0
        while num_found < num_words and self.num_draws < self.max_draws:
            if drawn or abandoned:
                removed = self._excluded([*drawn, *abandoned])
            if removed is not None and removed.left(self.wanted.forced) == -torch.inf:
                self.exhausted = True
                return
            num_endings = len(self.without) + len(drawn) + len(abandoned)
            length_of_round = max(with_margin(num_words - num_found), num_endings)
            end = min(self.max_draws, self.num_draws + length_of_round)
            given_up: dict[tuple[str, int], None] = {}
            while self.num_draws < end and num_found < num_words:
                size = self._batch_size(num_words - num_found, num_found, end - self.num_draws)
                words, endings = self._draw_batch(size, opening, removed, generator)
                self.num_draws += size
                if self.unique:
                    words = first_of_each(words, drawn)
                    drawn.update(dict.fromkeys((word, BOUNDARY) for word in words.words))
                given_up.update(dict.fromkeys(endings))
                left = num_words - num_found
                num_found += len(words.words)
                yield Words(words.words[:left], words.log_probs[:left])
            if len(abandoned) < MAX_ENDINGS:
                abandoned.update(given_up)

    def _batch_size(self, num_left: int, num_found: int, most: int) -> int:
        """How many draws to make at once: as many as give ``num_left`` words at the rate so far, in equal batches."""
        draws_per_word = (self.num_draws + 1, num_found + 1)
        needed = num_left * draws_per_word[0] // draws_per_word[1]
        needed = min(most, with_margin(needed) if needed > 1 else 1)  # one word, asked for in a loop, comes alone
        num_batches = -(-needed // self.batch_size)
        return -(-needed // num_batches)

    def _draw_batch(
        self, size: int, opening: Opening, removed: Excluded | None, generator: torch.Generator
    ) -> tuple[Words, list[tuple[str, int]]]:
        """The wanted words among as many independent draws, in their order, and the endings that are not wanted."""
        wanted = self.wanted
        uniform = torch.rand(size, wanted.max_length + 1, dtype=torch.float64, generator=generator)
        rows = torch.arange(size)  # (B,), the draws that go on
        states = torch.full_like(rows, wanted.first)  # (B,), where they stand in the automaton of wanted words,
        nodes = torch.zeros_like(rows)  # (B,), and in the tree of words that must not come
        if removed is not None:
            nodes += removed.find(wanted.forced)
        logits = opening.logits.expand(size, -1)  # (B, V)
        state = select(opening.state, torch.zeros_like(rows, device=self._device))
        steps: list[tuple[Tensor, ...]] = []
        with eval_mode(self.network):
            for length in range(len(wanted.forced), wanted.max_length + 1):
                log_probs = logits.log_softmax(dim=1)  # (B, V)
                log_weights = self.shaping.log_probs(log_probs)  # (B, V)
                if removed is not None:
                    removed.apply(log_weights, nodes)
                tokens = pick(log_weights, uniform[rows, length])  # (B,)
                states = wanted.next_state[states, tokens]
                live, ended = wanted.live[length + 1, states], tokens == BOUNDARY
                steps.append((rows, tokens, log_probs.gather(1, tokens[:, None]).squeeze(1), live & ended))
                going = (live & ~ended).nonzero().squeeze(1)
                if len(going) == 0:
                    break
                if len(going) < len(rows):
                    rows, tokens, states, nodes = rows[going], tokens[going], states[going], nodes[going]
                    state = select(state, going.to(self._device))
                if removed is not None:
                    nodes = removed.child(nodes, tokens)
                logits = step(self.network, tokens.to(self._device), state).cpu().double()  # (B, V)
        return self._collect(size, steps, opening.log_prob)

    def _collect(
        self, size: int, steps: list[tuple[Tensor, ...]], log_prob: float
    ) -> tuple[Words, list[tuple[str, int]]]:
        """What draws have come to, from the rows, tokens, log-probabilities and completions of each step."""
        rows, tokens, log_probs, completed = (torch.cat(parts) for parts in zip(*steps, strict=True))  # (N,) each
        forced = torch.tensor(self.wanted.forced, dtype=torch.long)
        at = torch.arange(len(steps)).repeat_interleave(torch.tensor([len(step[0]) for step in steps]))  # (N,)
        spelled = torch.full((size, len(forced) + len(steps)), BOUNDARY)
        spelled[:, : len(forced)] = forced
        spelled[rows, len(forced) + at] = tokens
        lengths = len(forced) + torch.bincount(rows, minlength=size) - 1  # (size,), without the last token
        complete = torch.zeros(size, dtype=torch.bool)
        complete[rows[completed]] = True
        total = torch.full((size,), log_prob, dtype=torch.float64).index_add_(0, rows, log_probs)
        words = Words(self._decode(spelled[complete], lengths[complete]), total[complete].tolist())
        if complete.all():
            return words, []
        beginnings = self._decode(spelled[~complete], lengths[~complete])
        last = spelled[~complete].gather(1, lengths[~complete, None]).squeeze(1).tolist()
        return words, list(zip(beginnings, last, strict=True))

    def _decode(self, rows: Tensor, lengths: Tensor) -> list[str]:
        """The characters of rows of tokens (B, L), of each as many as its length (B,)."""
        inside = torch.arange(rows.shape[1]) < lengths[:, None]  # (B, L)
        text = self.vocabulary.decode(rows[inside].tolist())  # all at once, and then cut
        return [text[begin:end] for begin, end in pairwise([0, *lengths.cumsum(0).tolist()])]

    def _open(self) -> Opening:
        """What all draws start from, by the network's present weights."""
        with eval_mode(self.network):
            state, log_prob = start(self.network, 1), 0.0
            logits = step(self.network, torch.tensor([BOUNDARY], device=self._device), state).cpu().double()  # (1, V)
            for token in self.wanted.forced:
                log_prob += logits.log_softmax(dim=1)[0, token].item()
                logits = step(self.network, torch.tensor([token], device=self._device), state).cpu().double()  # (1, V)
        return Opening(logits, state, log_prob, self._excluded([]) if self.without else None)

    def _excluded(self, endings: list[tuple[str, int]]) -> Excluded:
        """The tree of the words that must not come, and of other endings."""
        known = [(word, BOUNDARY) for word in self.without]
        return Excluded(self.network, self.vocabulary, known + endings, self.shaping)

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device
