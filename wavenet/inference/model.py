"""A trained network with its vocabulary: what samples, scores and ranks words. Needs torch alone."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypedDict, Unpack

from torch import nn

from wavenet.corpus.reading import Split, find_corpus, read_corpus, split_words
from wavenet.corpus.vocabulary import Vocabulary
from wavenet.inference.sampling import Sampler, Words
from wavenet.inference.scoring import Character, Ranks, Score, explain, score
from wavenet.inference.search import Ranking, top
from wavenet.network.build import gated, wavenet
from wavenet.network.exhibits import wavenet_batch_norm_bug

NETWORKS: dict[str, Callable[..., nn.Sequential]] = {
    "wavenet": wavenet,
    "gated": gated,
    "wavenet_batch_norm_bug": wavenet_batch_norm_bug,
}


def build_network(
    vocab_size: int,
    network: Literal["wavenet", "gated", "wavenet_batch_norm_bug"] = "wavenet",
    block_size: int = 8,
    group_size: int | list[int] = 2,
    embedding_dim: int = 24,
    hidden_dim: int = 128,
    logits_norm: bool = False,
    activation: Literal["gate", "gelu"] | None = None,
    norm: Literal["batch", "layer"] | None = None,
    dropout: float | None = None,
) -> nn.Sequential:
    """The network that plain hyper-parameters describe; see :class:`wavenet.training.module.LanguageModel` for them.

    Raises:
        ValueError: An option is none of that network's; see also :func:`wavenet.network.build.wavenet`.

    Examples:
        >>> len(build_network(27, "gated", activation="gelu"))
        8
    """
    if network not in NETWORKS:
        raise ValueError(f"network must be one of {', '.join(NETWORKS)}, got {network}")
    given = {"logits_norm": logits_norm or None, "activation": activation, "norm": norm, "dropout": dropout}
    options = {name: value for name, value in given.items() if value is not None}
    if unfit := [name for name in options if (name == "logits_norm") == (network == "gated")]:
        unset = " ".join(f"--model.{name} {'false' if name == 'logits_norm' else 'null'}" for name in unfit)
        got = ", ".join(f"{name} {options[name]}" for name in unfit)
        raise ValueError(f"network {network} has no {' and no '.join(unfit)}: expected {unset}, got {got}")
    return NETWORKS[network](
        vocab_size=vocab_size,
        block_size=block_size,
        embedding_dim=embedding_dim,
        hidden_dim=hidden_dim,
        group_size=group_size,
        **options,
    )


class WantedOptions(TypedDict, total=False):
    """Which words are wanted: see :class:`wavenet.inference.patterns.Wanted`; and words that must not come."""

    prefix: str
    pattern: str
    min_length: int
    max_length: int
    without: Iterable[str]


class SamplerOptions(WantedOptions, total=False):
    """How words are drawn: see :class:`wavenet.inference.sampling.Sampler`."""

    temperature: float
    top_k: int | None
    top_p: float | None
    unique: bool
    max_draws: int
    batch_size: int


class Model:
    """A trained network, ready to sample and score; :func:`wavenet.load` makes one of a checkpoint.

    Args:
        network: Built by :mod:`wavenet.network.build`.
        vocabulary: Its characters.
        corpus: What identifies the words that it was trained on, as a checkpoint has it: ``path``, ``sha256``,
            ``split_seed`` and ``deduplicate``.

    Examples:
        >>> model = Model(wavenet(vocab_size=3), Vocabulary("ab"))
        >>> len(model.sample(3, pattern="a*", unique=True, seed=1))
        3
        >>> sorted(model.top(2, max_length=1).words)
        ['a', 'b']
        >>> round(model.score(["ab"])[0].log_prob)
        -3
    """

    def __init__(self, network: nn.Sequential, vocabulary: Vocabulary, corpus: Mapping[str, Any] | None = None) -> None:
        self.network, self.vocabulary = network.eval(), vocabulary
        self._corpus = corpus

    def sample(
        self, num_words: int = 20, *, seed: int | None = None, novel: bool = False, **options: Unpack[SamplerOptions]
    ) -> list[str]:
        """Draws words.

        Args:
            num_words: How many.
            seed: Seed of the draws; ``None`` draws anew each time.
            novel: Whether words of the training corpus must not come.
            options: See :class:`wavenet.inference.sampling.Sampler`.

        Returns:
            The words; fewer than ``num_words`` if no more are left, or if wanted ones hardly ever come.

        Raises:
            ValueError: An option has a wrong value.
            OSError, ValueError: ``novel``, but the corpus cannot be found: see :meth:`split`.
        """
        return [word for batch in self.draw(num_words, seed=seed, novel=novel, **options) for word in batch.words]

    def draw(
        self, num_words: int, *, seed: int | None = None, novel: bool = False, **options: Unpack[SamplerOptions]
    ) -> Iterator[Words]:
        """The same as :meth:`sample`, batch by batch, and with log-probabilities."""
        return self.sampler(novel=novel, **options).draw(num_words, seed)

    def sampler(self, *, novel: bool = False, **options: Unpack[SamplerOptions]) -> Sampler:
        """What draws the words; it knows afterwards how many draws it took."""
        return Sampler(self.network, self.vocabulary, **self._without(novel, options))

    def top(
        self,
        num_words: int = 10,
        *,
        novel: bool = False,
        max_beginnings: int = 300_000,
        **options: Unpack[WantedOptions],
    ) -> Ranking:
        """The most probable words, in order: see :func:`wavenet.inference.search.top`."""
        wanted = self._without(novel, options)
        return top(self.network, self.vocabulary, num_words, max_beginnings=max_beginnings, **wanted)

    def score(self, words: Sequence[str]) -> list[Score]:
        """Log-probability and bits per character of each word: see :func:`wavenet.inference.scoring.score`."""
        return score(self.network, self.vocabulary, words)

    def explain(self, word: str) -> list[Character]:
        """The probability of each character of a word: see :func:`wavenet.inference.scoring.explain`."""
        return explain(self.network, self.vocabulary, word)

    def ranks(self, num_samples: int = 10_000, seed: int | None = None) -> Ranks:
        """What estimates the rank of a log-probability among the words of 1 to 64 characters, from so many draws.

        Raises:
            ValueError: ``num_samples`` is below 1, or the model ends no word.
        """
        if num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {num_samples}")
        batches = self.draw(num_samples, seed=seed, max_draws=num_samples)
        log_probs = [log_prob for batch in batches for log_prob in batch.log_probs]
        if not log_probs:
            raise ValueError(f"no rank can be estimated: the model ended none of {num_samples} words")
        return Ranks(log_probs, num_samples)

    @property
    def split(self) -> Split:
        """The words that the model was trained on, validated with and tested with, read from where they were.

        Raises:
            OSError: The corpus is not where it was.
            ValueError: It has changed since, or the model does not say what it was trained on.
        """
        if self._corpus is None:
            raise ValueError("the model does not say which words it was trained on")
        corpus = read_corpus(find_corpus(self._corpus["path"]))
        if corpus.sha256 != self._corpus["sha256"]:
            raise ValueError(
                f"{corpus.path} has changed since the model was trained: expected SHA-256 {self._corpus['sha256']}, "
                f"got {corpus.sha256}"
            )
        words = corpus.deduplicated() if self._corpus["deduplicate"] else corpus.words
        return split_words(words, self._corpus["split_seed"])

    def _without(self, novel: bool, options: Mapping[str, Any]) -> dict[str, Any]:
        without = list(options.get("without", ()))
        if novel:
            without += [word for words in self.split for word in words]
        return {**options, "without": without}
