"""A trained network with its vocabulary: what samples, scores and ranks words. Needs torch alone."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from copy import copy
from math import isfinite
from typing import Any, Protocol, Unpack

from torch import nn

from wavenet.corpus.labels import Labels, UnknownLabelError
from wavenet.corpus.splitting import Split, known_words
from wavenet.corpus.vocabulary import Vocabulary
from wavenet.corpus.words import Known
from wavenet.errors import ArgumentError, check_at_least
from wavenet.inference.guessing import Belief, Guess, explain_guess, guess
from wavenet.inference.patterns import MAX_LENGTH, WantedOptions
from wavenet.inference.sampling import Sampler, SamplerOptions, Words
from wavenet.inference.scoring import Character, Ranks, Score, explain, score
from wavenet.inference.search import Ranking, top
from wavenet.network.labels import under

Label = str | Mapping[str, float] | None
"""What kind of words is meant: one label, a mixture of labels with how much there is of each, or any."""

NUM_SAMPLERS = 4  # that a model keeps; with words that must not come, one can take tens of megabytes
MAX_SAMPLES = 1_000_000  # that ranks are estimated from; they are kept, and take a minute


class Source(Protocol):
    """What knows the words that a network was trained on: :class:`wavenet.inference.trained_on.TrainedOn`."""

    @property
    def longest_word(self) -> int | None:
        """The length of the longest word of train, if that is known."""

    def read_split(self) -> Split:
        """The words of the three splits."""


class TrainedModel:
    """A trained network, ready to sample and score; :func:`wavenet.load` makes one of a checkpoint.

    Args:
        network: The network.
        vocabulary: Its characters.
        trained_on: What knows the words that it was trained on, if that is known.
        labels: Its labels, if it knows any.

    Wherever there is a ``label``, it says what kind of words is meant: one of the labels, ``"Finnish"``; a mixture,
    ``{"Finnish": 0.7, "Japanese": 0.3}``, whose embedding is the mean of the labels' embeddings with these weights
    (divided by their sum), so that a mixture is one network like any other; or ``None``, words of any kind.

    Examples:
        >>> from wavenet import NetworkConfig, build
        >>> model = TrainedModel(build(NetworkConfig(), vocab_size=3), Vocabulary("ab"))
        >>> len(model.sample(3, pattern="a*", unique=True, seed=1))
        3
        >>> sorted(model.top(2, max_length=1).words)
        ['a', 'b']
        >>> round(model.score(["ab"])[0].log_prob)
        -3
    """

    def __init__(
        self,
        network: nn.Sequential,
        vocabulary: Vocabulary,
        trained_on: Source | None = None,
        labels: Labels | None = None,
    ) -> None:
        self.network, self.vocabulary = network.eval(), vocabulary
        self.trained_on, self.labels = trained_on, labels
        self._samplers: dict[Hashable, Sampler] = {}  # by their options, the last used last

    def sample(
        self,
        num_words: int = 20,
        *,
        label: Label = None,
        seed: int | None = None,
        novel: bool = False,
        **options: Unpack[SamplerOptions],
    ) -> list[str]:
        """Draws words, by default up to a little longer than the longest word that the model was trained on.

        Args:
            num_words: How many.
            label: What kind of words.
            seed: Seed of the draws; ``None`` draws anew each time. Then single words are drawn ahead, for the calls to
                come, which makes a loop of them fast.
            novel: Whether words of the training corpus must not come.
            options: See :class:`wavenet.inference.sampling.Sampler`.

        Returns:
            The words; fewer than ``num_words`` if no more are left, or if wanted ones hardly ever come.

        Raises:
            ArgumentError: An option has a wrong value, or the model does not know the label.
            OSError, ValueError: ``novel``, but the corpus cannot be found: see :meth:`split`.
        """
        if num_words == 1 and seed is None:
            return self._sampler(label, novel, options).draw_one()
        batches = self.draw(num_words, label=label, seed=seed, novel=novel, **options)
        return [word for batch in batches for word in batch.words]

    def draw(
        self,
        num_words: int,
        *,
        label: Label = None,
        seed: int | None = None,
        novel: bool = False,
        **options: Unpack[SamplerOptions],
    ) -> Iterator[Words]:
        """The same as :meth:`sample`, batch by batch, and with log-probabilities, those under the label."""
        return self.sampler(label=label, novel=novel, **options).draw(num_words, seed)

    def sampler(self, *, label: Label = None, novel: bool = False, **options: Unpack[SamplerOptions]) -> Sampler:
        """What draws the words; it knows afterwards how many draws it took."""
        return copy(self._sampler(label, novel, options))

    def top(
        self,
        num_words: int = 10,
        *,
        label: Label = None,
        novel: bool = False,
        max_beginnings: int = 300_000,
        **options: Unpack[WantedOptions],
    ) -> Ranking:
        """The most probable words, in order: see :func:`wavenet.inference.search.top`."""
        wanted = self._completed(novel, options)
        return top(self.network_for(label), self.vocabulary, num_words, max_beginnings=max_beginnings, **wanted)

    def score(self, words: Sequence[str], *, label: Label = None, labels: Sequence[str] | None = None) -> list[Score]:
        """Log-probability and bits per character of each word: see :func:`wavenet.inference.scoring.score`.

        Args:
            words: The words.
            label: What kind of words they all are.
            labels: In its place, the label of each word; an empty one says nothing.
        """
        if labels is not None:
            ids = [self.known_labels.encode(one) for one in labels]
            return score(self.network, self.vocabulary, words, ids)
        return score(self.network_for(label), self.vocabulary, words)

    def explain(self, word: str, *, label: Label = None) -> list[Character]:
        """The probability of each character of a word: see :func:`wavenet.inference.scoring.explain`."""
        return explain(self.network_for(label), self.vocabulary, word)

    def guess(self, words: Sequence[str], *, uniform: bool = False) -> list[Guess]:
        """The probability of each label of words: see :func:`wavenet.inference.guessing.guess`.

        Raises:
            UnknownCharacterError: A character of a word is not in the vocabulary.
            ValueError: The model knows no labels.
        """
        return guess(self.network, self.vocabulary, self.known_labels, words, uniform)

    def explain_guess(self, word: str, *, uniform: bool = False) -> list[Belief]:
        """How the belief moves while a word is read: see :func:`wavenet.inference.guessing.explain_guess`."""
        return explain_guess(self.network, self.vocabulary, self.known_labels, word, uniform)

    def network_for(self, label: Label) -> nn.Sequential:
        """The network of words of a kind: one without labels, which shares its weights with the model's.

        Raises:
            ArgumentError: The model knows no labels, or not this one; or a weight of a mixture is not above 0.
        """
        if label is None:
            return self.network
        if self.labels is None:
            raise ArgumentError("label", f"needs a model that was trained with labels, got {label!r}")
        mixture = {label: 1.0} if isinstance(label, str) else label
        for name, weight in mixture.items():
            if not name:
                raise UnknownLabelError(name, self.labels.names)
            if not (isfinite(weight) and weight > 0):
                raise ArgumentError("label", f"must have weights above 0, got {name}={weight:g}")
        if not mixture:
            raise ArgumentError("label", "must name a label, got none")
        total = sum(mixture.values())
        weights = {self.labels.encode(name): weight / total for name, weight in mixture.items()}
        return under(self.network, weights)

    @property
    def known_labels(self) -> Labels:
        """The model's labels.

        Raises:
            ValueError: It knows none.
        """
        if self.labels is None:
            raise ValueError("the model knows no labels: expected one that was trained with --data.labels true")
        return self.labels

    def ranks(self, num_samples: int = 10_000, seed: int | None = None, *, label: Label = None) -> Ranks:
        """What estimates the rank of a log-probability among all words that :meth:`sample` draws, from so many of them.

        Raises:
            ArgumentError: ``num_samples`` is below 1 or above ``MAX_SAMPLES``.
            ValueError: The model ends no word.
        """
        check_at_least(1, num_samples=num_samples)
        if num_samples > MAX_SAMPLES:
            raise ArgumentError("num_samples", f"must be at most {MAX_SAMPLES}, got {num_samples}")
        drawn: dict[str, float] = {}
        for words, log_probs in self.sampler(label=label).independent_draws(num_samples, seed):
            drawn.update(zip(words, log_probs, strict=True))
        if not drawn:
            raise ValueError(f"no rank can be estimated: the model ended none of {num_samples} words")
        return Ranks(list(drawn.values()), num_samples)

    @property
    def split(self) -> Split:
        """The words that the model was trained on, validated with and tested with, read from where they were.

        Raises:
            OSError: The corpus is not where it was.
            ValueError: It has changed since, or the model does not say what it was trained on.
        """
        if self.trained_on is None:
            raise ValueError("the model does not say which words it was trained on")
        return self.trained_on.read_split()

    def _sampler(self, label: Label, novel: bool, options: Mapping[str, Any]) -> Sampler:
        """A sampler, of which the last few are kept: calls for one word would take most of their time to prepare."""
        without = options.get("without", ())
        if not isinstance(without, Known):  # which is compared by what it is, not by its words
            without = tuple(without)
        given = {**options, "without": without}
        kind = label if isinstance(label, str | None) else frozenset(label.items())
        key = (kind, novel, *sorted(given.items()))
        sampler = self._samplers.pop(key, None)
        if sampler is None:
            sampler = Sampler(self.network_for(label), self.vocabulary, **self._completed(novel, given))
        self._samplers[key] = sampler
        if len(self._samplers) > NUM_SAMPLERS:
            del self._samplers[next(iter(self._samplers))]
        return sampler

    def _completed(self, novel: bool, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options with the words that must not come, and the length that words may have where none is given.

        Words longer than the longest of the training words and a quarter of it, or 4 characters where that is more, are
        what a network that has missed a word's end goes on to spell. What the other options ask for may be as much
        longer than them.
        """
        without = options.get("without", ())
        if novel:
            without = Known(without, known_words(self.split))
        completed = {**options, "without": without}
        known = None if self.trained_on is None else self.trained_on.longest_word
        if known is not None and "max_length" not in options:
            longest = max(known, options.get("min_length", 0), len(options.get("prefix", "")))
            completed["max_length"] = min(longest + max(4, longest // 4), MAX_LENGTH)
        return completed
