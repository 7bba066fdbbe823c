"""Words as tensors: windows of context, and the data module that serves them."""

import random
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from wavenet.corpus import Corpus, Split, default_corpus, leaks, read_corpus, split_words
from wavenet.vocabulary import BOUNDARY, Vocabulary

EVAL_TOKENS = 2**16  # context tokens in one evaluation batch: large enough to be fast, small enough for any memory
STAGE_SPLITS = {"fit": Split._fields, "validate": ("val",), "test": ("test",), "predict": ()}


class WindowDataset(Dataset[tuple[Tensor, Tensor]]):
    """Every (context, target) of the words: each character is predicted, and then the boundary that ends the word.

    The words lie on one axis of N tokens. A window is cut out when it is asked for, whole batches at a time, so that
    memory grows with the text and not with ``block_size``.

    Args:
        words: The words, each used once.
        vocabulary: Their characters' token ids.
        block_size: Length T of a context.

    Raises:
        UnknownCharacterError: A character of a word is not in the vocabulary.

    Examples:
        >>> windows = WindowDataset(["ab"], Vocabulary("ab"), block_size=3)
        >>> windows[torch.arange(len(windows))]
        (tensor([[0, 0, 0],
                [0, 0, 1],
                [0, 1, 2]]), tensor([1, 2, 0]))
    """

    def __init__(self, words: Sequence[str], vocabulary: Vocabulary, block_size: int) -> None:
        lengths = torch.tensor([len(word) + 1 for word in words])
        self.tokens = torch.tensor([token for word in words for token in (*vocabulary.encode(word), BOUNDARY)])  # (N,)
        starts = (lengths.cumsum(0) - lengths).repeat_interleave(lengths)
        self.position = torch.arange(len(self.tokens)) - starts  # (N,), of a token in its word
        self.word_index = torch.arange(len(words)).repeat_interleave(lengths)  # (N,), the word a token belongs to
        self.lags = torch.arange(block_size, 0, -1)  # (T,), how far back each token of a context lies

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Contexts (B, T) and targets (B,) at the positions ``index`` (B,)."""
        contexts = self.tokens[(index[:, None] - self.lags).clamp_(min=0)]  # (B, T)
        before_word = self.lags > self.position[index][:, None]  # (B, T)
        return contexts.masked_fill_(before_word, BOUNDARY), self.tokens[index]


class BatchIndices(Sampler[Tensor]):
    """Batches of indices (B,); the order of an epoch is a function of the seed and the epoch alone.

    Args:
        num_examples: Indices run from 0 to ``num_examples - 1``.
        batch_size: Indices in a batch; the last one of an epoch may be smaller.
        seed: Seed of the shuffling; ``None`` keeps the order.
        replacement: Whether every index is drawn anew, as in the lecture, instead of once an epoch.
    """

    def __init__(self, num_examples: int, batch_size: int, seed: int | None = None, replacement: bool = False) -> None:
        self.num_examples = num_examples
        self.batch_size = batch_size
        self.seed = seed
        self.replacement = replacement
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose order comes next; Lightning calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.num_examples // self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(torch.split(self._order(), self.batch_size))

    def _order(self) -> Tensor:
        if self.seed is None:
            return torch.arange(self.num_examples)
        generator = torch.Generator().manual_seed(random.Random(f"{self.seed}/{self.epoch}").getrandbits(63))
        if self.replacement:
            return torch.randint(self.num_examples, (len(self) * self.batch_size,), generator=generator)
        return torch.randperm(self.num_examples, generator=generator)


class WordBatch(NamedTuple):
    """All windows of some words: contexts (N, T), targets (N,), and the word that each window belongs to (N,)."""

    contexts: Tensor
    targets: Tensor
    word_index: Tensor


class WordsDataModule(L.LightningDataModule):
    """Reads a corpus, splits it by words, and serves batches of windows: contexts (B, T) and targets (B,).

    Args:
        path: The corpus: one word per line, or tab-separated with the word first. By default data/names.txt,
            downloaded when it is missing, or the bundled data/world_names.tsv when there is no network.
        block_size: Length T of a context.
        batch_size: Windows in a training batch.
        split_seed: Alone decides which words are train, validation and test; 42 makes the lecture's split.
        deduplicate: Whether a word that occurs twice counts once, so that no word is in two splits.
        replacement: Whether training windows are drawn with replacement, as in the lecture.
        alphabet: The characters of the model, by default those of the corpus.
        predict_path: Words that ``predict`` scores, in the same format; by default those of the test split.

    Raises:
        OSError, ValueError: See :func:`wavenet.corpus.read_corpus`, :func:`wavenet.corpus.split_words`.
        UnknownCharacterError: A character of a word is not in ``alphabet``.

    Examples:
        >>> data = WordsDataModule("data/world_names.tsv")  # doctest: +SKIP
        >>> data.setup("fit")  # doctest: +SKIP
        >>> contexts, targets = next(iter(data.train_dataloader()))  # doctest: +SKIP
    """

    def __init__(
        self,
        path: str | None = None,
        block_size: int = 8,
        batch_size: int = 32,
        split_seed: int = 42,
        deduplicate: bool = False,
        replacement: bool = False,
        alphabet: str | None = None,
        predict_path: str | None = None,
    ) -> None:
        super().__init__()
        for name, size in {"block_size": block_size, "batch_size": batch_size}.items():
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        self.path = path
        self.block_size = block_size
        self.batch_size = batch_size
        self.split_seed = split_seed
        self.deduplicate = deduplicate
        self.replacement = replacement
        self.predict_path = predict_path
        self._alphabet = alphabet
        self._datasets: dict[str, WindowDataset] = {}

    @cached_property
    def corpus(self) -> Corpus:
        """The corpus, read (and the default one downloaded) when first asked for."""
        return default_corpus() if self.path is None else read_corpus(Path(self.path))

    @cached_property
    def split(self) -> Split:
        """The words of the three splits."""
        words = self.corpus.deduplicated() if self.deduplicate else self.corpus.words
        return split_words(words, self.split_seed)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The characters of the model, known before it is built."""
        return Vocabulary.from_words(self.corpus.words) if self._alphabet is None else Vocabulary(self._alphabet)

    @property
    def alphabet(self) -> str:
        """The characters of the model in the order of their token ids."""
        return self.vocabulary.alphabet

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What identifies the data of a run: file, SHA-256, words and examples of each split, words in two splits."""
        return {
            "path": str(self.corpus.path),
            "sha256": self.corpus.sha256,
            "note": self.corpus.note,
            "split_seed": self.split_seed,
            "deduplicate": self.deduplicate,
            "words": {stage: len(words) for stage, words in self.split._asdict().items()},
            "examples": {stage: sum(map(len, words)) + len(words) for stage, words in self.split._asdict().items()},
            "also_in_train": leaks(self.split),
        }

    def setup(self, stage: str) -> None:
        """Builds the datasets of a stage; a character outside the alphabet is found here, before anything runs."""
        if stage == "predict":
            path = self.predict_path
            self.predict_words = self.split.test if path is None else read_corpus(Path(path)).words
            for word in self.predict_words:
                self.vocabulary.encode(word)
        for split in STAGE_SPLITS[stage]:
            self.dataset(split)

    def dataset(self, split: str) -> WindowDataset:
        """All windows of a split: train, val or test."""
        if split not in self._datasets:
            self._datasets[split] = WindowDataset(getattr(self.split, split), self.vocabulary, self.block_size)
        return self._datasets[split]

    def train_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        """Shuffled batches; the order depends on the global seed and the epoch."""
        dataset = self.dataset("train")
        order = BatchIndices(len(dataset), self.batch_size, seed=torch.initial_seed(), replacement=self.replacement)
        return DataLoader(dataset, batch_size=None, sampler=order)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        """The validation split, each window once, in order."""
        return self.eval_dataloader("val")

    def test_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        """The test split, each window once, in order."""
        return self.eval_dataloader("test")

    def eval_dataloader(self, split: str) -> DataLoader[tuple[Tensor, Tensor]]:
        """Any split (train, val or test), each window once, in order."""
        dataset = self.dataset(split)
        order = BatchIndices(len(dataset), max(1, EVAL_TOKENS // self.block_size))
        return DataLoader(dataset, batch_size=None, sampler=order)

    def predict_dataloader(self) -> DataLoader[WordBatch]:
        """All windows of a few hundred words at a time."""
        words: Any = self.predict_words
        return DataLoader(words, batch_size=max(1, EVAL_TOKENS // (16 * self.block_size)), collate_fn=self._word_batch)

    def _word_batch(self, words: list[str]) -> WordBatch:
        windows = WindowDataset(words, self.vocabulary, self.block_size)
        return WordBatch(*windows[torch.arange(len(windows))], windows.word_index)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint says of the data it was trained on: :attr:`facts`."""
        return self.facts

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuses to cut the checkpoint's own corpus another way: its test words would have been trained on.

        Raises:
            ValueError: ``split_seed`` or ``deduplicate`` differs from the checkpoint's, for the same corpus.
        """
        if self.predict_path is not None or state_dict["sha256"] != self.corpus.sha256:
            return  # no split is used, or another corpus is
        for name in ("split_seed", "deduplicate"):
            if (expected := state_dict[name]) != (got := getattr(self, name)):
                raise ValueError(f"--data.{name} contradicts the checkpoint: expected {expected}, got {got}")
