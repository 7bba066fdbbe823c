"""The data module: a corpus, its splits, and the batches of windows that training and evaluation see."""

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from torch.utils.data import DataLoader

from wavenet.corpus.reading import Corpus, Split, default_corpus, leaks, read_corpus, split_words
from wavenet.corpus.vocabulary import Vocabulary
from wavenet.network.packing import BatchIndices, WindowDataset, WordDataset
from wavenet.network.sliding import PackedWords, Windows

EVAL_SIZE = 2**12  # context tokens, or 16 times the words, in one evaluation batch: what it makes fits a usual cache
STAGE_SPLITS = {"fit": Split._fields, "validate": ("val",), "test": ("test",), "predict": ()}


class WordsDataModule(L.LightningDataModule):
    """Reads a corpus, splits it by words, and serves batches of packed words or of windows.

    Args:
        path: The corpus: one word per line, or tab-separated with the word first. By default data/names.txt,
            downloaded when it is missing, or the bundled data/world_names.tsv when there is no network.
        block_size: Length T of a context.
        batching: ``words`` packs whole words (:class:`wavenet.network.sliding.PackedWords`); ``windows`` serves single contexts
            (:class:`wavenet.network.sliding.Windows`), as the lecture does. The losses of an evaluation are the same.
        batch_size: Words, or windows, in a training batch.
        split_seed: Alone decides which words are train, validation and test; 42 makes the lecture's split.
        deduplicate: Whether a word that occurs twice counts once, so that no word is in two splits.
        replacement: Whether training examples are drawn with replacement, as in the lecture.
        alphabet: The characters of the model, by default those of the corpus.
        predict_path: Words that ``predict`` scores, in the same format; by default those of the test split.

    Raises:
        OSError, ValueError: See :func:`wavenet.corpus.reading.read_corpus`, :func:`wavenet.corpus.reading.split_words`.
        UnknownCharacterError: A character of a word is not in ``alphabet``.

    Examples:
        >>> data = WordsDataModule("data/world_names.tsv")  # doctest: +SKIP
        >>> data.setup("fit")  # doctest: +SKIP
        >>> batch = next(iter(data.train_dataloader()))  # doctest: +SKIP
    """

    def __init__(
        self,
        path: str | None = None,
        block_size: int = 8,
        batching: Literal["words", "windows"] = "words",
        batch_size: int = 32,
        split_seed: int = 42,
        deduplicate: bool = False,
        replacement: bool = False,
        alphabet: str | None = None,
        predict_path: str | None = None,
    ) -> None:
        super().__init__()
        if block_size < 1:
            raise ValueError(f"block_size must be at least 1, got {block_size}")
        if batching not in ("words", "windows"):
            raise ValueError(f"batching must be words or windows, got {batching}")
        if batch_size < 2:
            raise ValueError(f"batch_size must be at least 2, for batch norm to have a variance, got {batch_size}")
        self.path = path
        self.block_size = block_size
        self.batching = batching
        self.batch_size = batch_size
        self.split_seed = split_seed
        self.deduplicate = deduplicate
        self.replacement = replacement
        self.predict_path = predict_path
        self._alphabet = alphabet
        self._datasets: dict[str, WindowDataset | WordDataset] = {}

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
            "batching": self.batching,
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

    def dataset(self, split: str) -> WindowDataset | WordDataset:
        """All examples of a split: train, val or test."""
        if split not in self._datasets:
            self._datasets[split] = self._make_dataset(getattr(self.split, split))
        return self._datasets[split]

    def _make_dataset(self, words: list[str]) -> WindowDataset | WordDataset:
        if self.batching == "words":
            return WordDataset(words, self.vocabulary)
        return WindowDataset(words, self.vocabulary, self.block_size)

    def train_dataloader(self) -> DataLoader[Windows | PackedWords]:
        """Shuffled batches; the order depends on the global seed and the epoch."""
        dataset = self.dataset("train")
        order = BatchIndices(len(dataset), self.batch_size, seed=torch.initial_seed(), replacement=self.replacement)
        return DataLoader(dataset, batch_size=None, sampler=order)

    def val_dataloader(self) -> DataLoader[Windows | PackedWords]:
        """The validation split, each example once, in order."""
        return self.eval_dataloader("val")

    def test_dataloader(self) -> DataLoader[Windows | PackedWords]:
        """The test split, each example once, in order."""
        return self.eval_dataloader("test")

    def eval_dataloader(self, split: str) -> DataLoader[Windows | PackedWords]:
        """Any split (train, val or test), each example once, in order."""
        dataset = self.dataset(split)
        size = EVAL_SIZE // (self.block_size if isinstance(dataset, WindowDataset) else 16)
        return DataLoader(dataset, batch_size=None, sampler=BatchIndices(len(dataset), max(1, size)))

    def predict_dataloader(self) -> DataLoader[Windows | PackedWords]:
        """All examples of some words at a time, none of them divided between batches."""
        words: Any = self.predict_words
        tokens = 16 * (self.block_size if self.batching == "windows" else 1)  # of one word, in all its contexts
        return DataLoader(words, batch_size=max(1, EVAL_SIZE // tokens), collate_fn=self._whole)

    def _whole(self, words: list[str]) -> Windows | PackedWords:
        dataset = self._make_dataset(words)
        return dataset[torch.arange(len(dataset))]

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
