"""Making words: draws from a network, with or without replacement, among the words that are wanted. Needs torch alone.

Every draw is exact: it comes from the model's distribution over words, given what is asked for. Only where wanted words
hardly ever come are draws directed by the pattern, and approximate (:mod:`wavenet.inference.directed`).

- The next character is drawn from the network's probabilities, shaped by temperature, top-k and top-p. What every
  wanted word begins with, such as the prefix, is not drawn: it is a prompt, and stays however unlikely it is.
- A draw that can no longer become a wanted word (:class:`wavenet.inference.patterns.Wanted`) is abandoned there and
  then, and another takes its place. A limit on the number of draws ends a search for what hardly ever comes.
- Words that must not come (known ones, and with ``unique`` those drawn before) have their probability taken out of
  every step at which they are still possible (:class:`wavenet.inference.excluded.Excluded`), and so have the beginnings
  at which draws were abandoned: nothing is drawn again and again in vain. Of very many known words only those are
  taken out that draws come to: a draw of one is abandoned at its end. The distribution over all others is the same.
"""

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from copy import copy
from dataclasses import asdict
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from wavenet.corpus.vocabulary import BOUNDARY, Vocabulary
from wavenet.corpus.words import Known
from wavenet.errors import ArgumentError, check_at_least
from wavenet.inference.directed import Pool, following_probs, guide, guide_fits
from wavenet.inference.drawing import Drawn, Opening, draw_batch, open_draws, without_known
from wavenet.inference.excluded import Excluded
from wavenet.inference.patterns import Wanted, WantedOptions
from wavenet.inference.remembered import Remembered
from wavenet.inference.shaping import Shaping
from wavenet.network.packing import CHUNK

AHEAD = 64  # words that are drawn for the calls to come, where each asks for one
CHECK = 50_000  # draws after which, again and again, it is looked at how often wanted words have come
ROUND = 10_000  # draws after which, again and again, it is looked at whether taking words out pays
RARE = 10_000  # draws a word, above which they come too rarely to be drawn exactly
NUM_GUIDES = 10_000  # words that the guide of directed draws is estimated from
RESERVE = 10  # words of equal weights that a pool of directed draws is worth, for each word that is asked for
LARGEST_POOL = 200  # draws for each word that is asked for, after which a pool will do; it may always take 16 chunks
MOST_FROM_POOL = 10_000  # words that are taken from one pool, so that pools fit into memory
MAX_ENDINGS = 100_000  # abandoned draws are remembered, and known words taken out from the outset, up to so many
FEWEST_DRAWS, DRAWS_PER_WORD = 1_000_000, 100  # a search ends after the larger number, where no other is given


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


def seeded(seed: int | None) -> torch.Generator:
    """What random numbers come from; without a seed others each time."""
    if seed is not None and not -(2**63) <= seed < 2**63:
        raise ArgumentError("seed", f"must be a number of at most 64 bits, got {seed}")
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator


def with_margin(num_draws: int) -> int:
    """Some more draws than are expected to do, so that one batch is usually enough."""
    return num_draws + num_draws // 16 + 8


def first_of_each(words: Words, known: Collection[tuple[str, int]]) -> Words:
    """The words without repetitions and without those whose ending is known."""
    pairs = zip(words.words, words.log_probs, strict=True)
    new = {word: log_prob for word, log_prob in pairs if (word, BOUNDARY) not in known}
    return Words(list(new), list(new.values()))


def remember(endings: dict[tuple[str, int], None], new: Iterable[tuple[str, int]]) -> None:
    """Adds endings, up to :data:`MAX_ENDINGS` in all."""
    for ending in new:
        if len(endings) >= MAX_ENDINGS:
            return
        endings[ending] = None


class SamplerOptions(WantedOptions, total=False):
    """How words are drawn: see :class:`Sampler`."""

    temperature: float
    top_k: int | None
    top_p: float | None
    unique: bool
    max_draws: int | None
    directed: bool | None
    batch_size: int


class Sampler:
    """Draws words from a network.

    Args:
        network: The network; it runs one step at a time.
        vocabulary: Its characters.
        temperature, top_k, top_p: How probabilities are shaped: see :class:`wavenet.inference.shaping.Shaping`.
        prefix, pattern, min_length, max_length: Which words are wanted: see :class:`wavenet.inference.patterns.Wanted`.
            What they all begin with is a prompt, to which top-k and top-p do not apply.
        unique: Whether no word comes twice: words are drawn without replacement.
        without: Words that must not come.
        max_draws: Draws after which a search ends, whether or not there are enough words; ``None`` ends it after a
            million, or a hundred for each word that is asked for where that is more.
        directed: Whether draws are directed by the pattern: then words that hardly ever come are found, but they come
            only approximately from the model's distribution. ``None`` directs them once fewer than one in 10,000 draws
            has given a word.
        batch_size: Draws at a time. It does not change the words.

    Attributes:
        num_draws: How many draws the last call of :meth:`draw` has made.
        num_found: How many words those of them gave that were not directed.
        limit: After how many it would have ended without enough words.
        exhausted: Whether it ended because no word was left.
        is_directed: Whether its last draws were directed.

    Raises:
        ArgumentError: ``max_draws`` or ``batch_size`` is below 1, or ``directed`` needs a simpler pattern; see also the
            two classes named above.
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
        without: Collection[str] = (),
        max_draws: int | None = None,
        directed: bool | None = None,
        batch_size: int = CHUNK,
    ) -> None:
        check_at_least(1, batch_size=batch_size, **({} if max_draws is None else {"max_draws": max_draws}))
        self.network, self.vocabulary = network, vocabulary
        self.shaping = Shaping(temperature, top_k, top_p)
        self.wanted = Wanted(vocabulary, prefix, pattern, min_length, max_length)
        if directed and not guide_fits(self.wanted):
            raise ArgumentError("directed", "needs a simpler pattern or a smaller max_length")
        self.unique = unique
        self.known: Known | None = None  # words that must not come, too many to be taken out from the outset
        if len(without) > MAX_ENDINGS:
            self.known, without = Known(without), ()
        self.without = [word for word in dict.fromkeys(without) if self.wanted.accepts(word)]
        self.max_draws, self.batch_size = max_draws, batch_size
        self.directed = directed
        self.num_draws, self.num_found, self.limit, self.exhausted, self.is_directed = 0, 0, 0, False, False
        self._opening = Remembered(network, self._open)
        self._guide = Remembered(network, self._make_guide)
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
        return self._draw(num_words, seeded(seed))

    def independent_draws(self, num_draws: int, seed: int | None = None) -> Iterator[Words]:
        """Makes so many draws, of which nothing is taken out in between; those that gave no wanted word are left out.

        Raises:
            ArgumentError: ``num_draws`` is negative, or ``seed`` needs more than 64 bits.
        """
        check_at_least(0, num_draws=num_draws)
        return self._draw_independently(num_draws, seeded(seed))

    def _draw_independently(self, num_draws: int, generator: torch.Generator) -> Iterator[Words]:
        removed = self._opening().removed
        for begin in range(0, num_draws, self.batch_size):
            batch = self._draw_batch(min(self.batch_size, num_draws - begin), removed, generator)
            yield Words(batch.words, batch.log_probs)

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
        """Draws exactly, and goes on directed where that is asked for or has shown that words hardly ever come."""
        self.num_draws, self.num_found, self.exhausted, self.is_directed = 0, 0, False, bool(self.directed)
        self.limit = max(FEWEST_DRAWS, DRAWS_PER_WORD * num_words) if self.max_draws is None else self.max_draws
        drawn: dict[tuple[str, int], None] = {}
        if not self.is_directed:
            yield from self._draw_exactly(num_words, drawn, generator)
        if self.is_directed:
            yield from self._draw_directed(num_words - self.num_found, drawn, generator)

    def _draw_exactly(
        self, num_words: int, drawn: dict[tuple[str, int], None], generator: torch.Generator
    ) -> Iterator[Words]:
        """Draws in rounds, between which what must not come again is taken out; ``drawn`` gets ``unique`` words."""
        removed = self._opening().removed
        abandoned: dict[tuple[str, int], None] = {}
        while self.num_found < num_words and self.num_draws < self.limit and not self.is_directed:
            if drawn or abandoned:
                removed = self._excluded([*drawn, *abandoned])
            if removed is not None and removed.left(self.wanted.forced) == -torch.inf:
                self.exhausted = True
                return
            yield from self._draw_round(num_words, removed, drawn, abandoned, generator)

    def _draw_round(
        self,
        num_words: int,
        removed: Excluded | None,
        drawn: dict[tuple[str, int], None],
        abandoned: dict[tuple[str, int], None],
        generator: torch.Generator,
    ) -> Iterator[Words]:
        """Draws until there are enough words, or about as many draws were in vain as taking out takes time.

        Where a round ends, and so what the words are, does not depend on the batch size.
        """
        num_endings, num_abandoned = len(self.without) + len(drawn) + len(abandoned), len(abandoned)
        end = min(self.limit, self.num_draws + max(with_margin(num_words - self.num_found), num_endings))
        bearable, in_vain = max(ROUND // 2, num_endings), 0
        while self.num_draws < end and self.num_found < num_words:
            most = min(end - self.num_draws, ROUND - self.num_draws % ROUND, CHECK - self.num_draws % CHECK)
            size = self._batch_size(num_words - self.num_found, most)
            batch = self._draw_batch(size, removed, generator)
            self.num_draws += size
            words = Words(batch.words, batch.log_probs)
            if self.unique:
                words = first_of_each(words, drawn)
                drawn.update(dict.fromkeys((word, BOUNDARY) for word in words.words))
            remember(abandoned, batch.abandoned)
            in_vain += size - len(words.words)
            left = num_words - self.num_found
            self.num_found += len(words.words)
            yield Words(words.words[:left], words.log_probs[:left])
            if self.num_draws % CHECK == 0 and self.num_found * RARE < self.num_draws:
                self.is_directed = self.directed is None and guide_fits(self.wanted)
            worth_it = self.unique or len(abandoned) > num_abandoned
            if self.is_directed or (self.num_draws % ROUND == 0 and in_vain >= bearable and worth_it):
                return

    def _draw_directed(
        self, num_words: int, drawn: dict[tuple[str, int], None], generator: torch.Generator
    ) -> Iterator[Words]:
        """Draws words from pools of directed draws; empty batches say that a pool has grown."""
        refused: dict[tuple[str, int], None] = {}
        while num_words > 0 and self.num_draws < self.limit:
            removed = self._excluded([*drawn, *refused]) if drawn or refused else self._opening().removed
            if removed is not None and removed.left(self.wanted.forced) == -torch.inf:
                self.exhausted = True
                return
            pool, wanted = Pool(), min(num_words, MOST_FROM_POOL)
            last = min(self.limit, self.num_draws + max(16 * CHUNK, LARGEST_POOL * wanted))
            while pool.effective_size < RESERVE * wanted and self.num_draws < last:
                end = min(last, self.num_draws + CHUNK)
                while self.num_draws < end:
                    size = min(self.batch_size, end - self.num_draws)
                    batch = self._draw_batch(size, removed, generator, self._guide())
                    pool.add(batch)
                    remember(refused, batch.abandoned if self.known is not None else ())
                    self.num_draws += size
                yield Words([], [])
            words = Words(*pool.draw(wanted, self.unique, generator))
            if self.unique:
                drawn.update(dict.fromkeys((word, BOUNDARY) for word in words.words))
            num_words -= len(words.words)
            yield words

    def _open(self) -> Opening:
        """What all draws start from."""
        return open_draws(self.network, self.wanted, self._excluded([]))

    def _make_guide(self) -> Tensor:
        """What directs draws, estimated from words that are drawn without a pattern."""
        given = {**asdict(self.shaping), "max_length": max(1, self.wanted.max_length), "directed": False}
        free = Sampler(self.network, self.vocabulary, **given, max_draws=NUM_GUIDES)
        words = [word for batch in free.draw(NUM_GUIDES, seed=0) for word in batch.words]
        return guide(self.wanted, following_probs(self.network, self.vocabulary, words, self.shaping))

    def _batch_size(self, num_left: int, most: int) -> int:
        """How many draws to make at once: as many as give ``num_left`` words at the rate so far, in equal batches."""
        needed = num_left * (self.num_draws + 1) // (self.num_found + 1)
        needed = min(most, with_margin(needed) if needed > 1 else 1)  # one word, asked for in a loop, comes alone
        num_batches = -(-needed // self.batch_size)
        return -(-needed // num_batches)

    def _draw_batch(
        self, size: int, removed: Excluded | None, generator: torch.Generator, table: Tensor | None = None
    ) -> Drawn:
        """So many independent draws."""
        opening = self._opening()
        drawn = draw_batch(self.network, self.wanted, self.shaping, opening, removed, table, size, generator)
        return drawn if self.known is None else without_known(drawn, self.known)

    def _excluded(self, endings: list[tuple[str, int]]) -> Excluded | None:
        """The tree of the words that must not come and of other endings, if there are any."""
        endings = [(word, BOUNDARY) for word in self.without] + endings
        return Excluded(self.network, self.vocabulary, endings, self.shaping) if endings else None
