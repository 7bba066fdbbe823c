"""Making words: draws from a network, with or without replacement, among the words that are wanted. Needs torch alone.

Every draw is exact: it comes from the model's distribution over words, given what is asked for.

- The next character is drawn from the network's probabilities, shaped by temperature, top-k and top-p.
- A draw that can no longer become a wanted word (:class:`wavenet.inference.patterns.Wanted`) is abandoned there and
  then, and another takes its place. A limit on the number of draws ends a search for what hardly ever comes.
- Words that must not come (known ones, and with ``unique`` those drawn before) have their probability taken out of
  every step at which they are still possible (:class:`wavenet.inference.excluded.Excluded`), and so have the beginnings
  at which draws were abandoned: nothing is drawn again and again in vain.
"""

from collections.abc import Collection, Iterable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from wavenet.corpus.vocabulary import BOUNDARY, Vocabulary
from wavenet.errors import ArgumentError, check_at_least
from wavenet.inference.excluded import Excluded
from wavenet.inference.patterns import Wanted, WantedOptions
from wavenet.inference.shaping import Shaping, pick
from wavenet.network.packing import CHUNK
from wavenet.network.sliding import eval_mode
from wavenet.network.stepping import State, select, start, step

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

    def _draw(self, num_words: int, generator: torch.Generator) -> Iterator[Words]:
        """Draws in rounds; between them, what must not come again is taken out.

        The more there is to take out, the longer a round. Rounds, and so the words, do not depend on the batch size.
        """
        self.num_draws, self.exhausted = 0, False
        endings = dict.fromkeys((word, BOUNDARY) for word in self.without)
        num_found = 0
        while num_found < num_words and self.num_draws < self.max_draws:
            removed = Excluded(self.network, self.vocabulary, list(endings), self.shaping) if endings else None
            if removed is not None and removed.left(self.wanted.forced) == -torch.inf:
                self.exhausted = True
                return
            abandoned: dict[tuple[str, int], None] = {}
            length_of_round = max(with_margin(num_words - num_found), len(endings))
            end = min(self.max_draws, self.num_draws + length_of_round)
            while self.num_draws < end and num_found < num_words:
                size = self._batch_size(num_words - num_found, num_found, end - self.num_draws)
                words, given_up = self._draw_batch(size, removed, generator)
                self.num_draws += size
                if self.unique:
                    words = first_of_each(words, endings)
                    endings.update(dict.fromkeys((word, BOUNDARY) for word in words.words))
                abandoned.update(dict.fromkeys(given_up))
                left = num_words - num_found
                num_found += len(words.words)
                yield Words(words.words[:left], words.log_probs[:left])
            if len(endings) < MAX_ENDINGS:
                endings.update(abandoned)

    def _batch_size(self, num_left: int, num_found: int, most: int) -> int:
        """How many draws to make at once: as many as give ``num_left`` words at the rate so far, in equal batches."""
        draws_per_word = (self.num_draws + 1, num_found + 1)
        needed = num_left * draws_per_word[0] // draws_per_word[1]
        needed = min(most, with_margin(needed))
        num_batches = -(-needed // self.batch_size)
        return -(-needed // num_batches)

    def _draw_batch(
        self, size: int, removed: Excluded | None, generator: torch.Generator
    ) -> tuple[Words, list[tuple[str, int]]]:
        """The wanted words among as many independent draws, in their order, and the endings that are not wanted."""
        wanted = self.wanted
        uniform = torch.rand(size, wanted.max_length + 1, dtype=torch.float64, generator=generator)
        spelled = torch.full((size, wanted.max_length + 1), BOUNDARY)
        spelled[:, : len(wanted.forced)] = torch.tensor(wanted.forced, dtype=torch.long)
        complete, lengths = torch.zeros(size, dtype=torch.bool), torch.zeros(size, dtype=torch.long)
        with eval_mode(self.network):
            logits, state, log_prob = self._beginning()
            log_probs = torch.full((size,), log_prob, dtype=torch.float64)
            rows = torch.arange(size)  # (B,), the draws that go on
            source = torch.zeros_like(rows)  # (B,), their rows of the step state and the logits
            states, nodes = torch.full_like(rows, wanted.first), torch.zeros_like(rows)  # (B,), where they stand in
            if removed is not None:  # the automaton of wanted words, and in the tree of words that must not come
                nodes += removed.find(wanted.forced)
            for length in range(len(wanted.forced), wanted.max_length + 1):
                log_weights = self.shaping.log_probs(logits)[source]  # (B, V)
                if removed is not None:
                    removed.apply(log_weights, nodes)
                tokens = pick(log_weights, uniform[rows, length])  # (B,)
                spelled[rows, length], lengths[rows] = tokens, length
                log_probs[rows] += logits.log_softmax(dim=1)[source, tokens]
                states = wanted.next_state[states, tokens]
                live = wanted.live[length + 1, states]
                complete[rows] = live & (tokens == BOUNDARY)
                going = (live & (tokens != BOUNDARY)).nonzero().squeeze(1)
                if len(going) == 0:
                    break
                if removed is not None:
                    nodes = removed.child(nodes[going], tokens[going])
                rows, tokens, states = rows[going], tokens[going], states[going]
                state = select(state, source[going].to(self._device))
                source = torch.arange(len(rows))
                logits = step(self.network, tokens.to(self._device), state).cpu().double()  # (B, V)
        words = self._decode(spelled[complete], lengths[complete])
        beginnings = self._decode(spelled[~complete], lengths[~complete])
        last = spelled[~complete].gather(1, lengths[~complete, None]).squeeze(1).tolist()
        return Words(words, log_probs[complete].tolist()), list(zip(beginnings, last, strict=True))

    def _decode(self, rows: Tensor, lengths: Tensor) -> list[str]:
        """The characters of rows of tokens (B, L), of each as many as its length (B,)."""
        inside = torch.arange(rows.shape[1]) < lengths[:, None]  # (B, L)
        text = self.vocabulary.decode(rows[inside].tolist())  # all at once, and then cut
        return [text[begin:end] for begin, end in pairwise([0, *lengths.cumsum(0).tolist()])]

    def _beginning(self) -> tuple[Tensor, State, float]:
        """Logits (1, V) and step state after what every wanted word begins with, and the log-probability of that."""
        state, log_prob = start(self.network, 1), 0.0
        logits = step(self.network, torch.tensor([BOUNDARY], device=self._device), state).cpu().double()  # (1, V)
        for token in self.wanted.forced:
            log_prob += logits.log_softmax(dim=1)[0, token].item()
            logits = step(self.network, torch.tensor([token], device=self._device), state).cpu().double()  # (1, V)
        return logits, state, log_prob

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device
