"""The data module: a corpus, its splits, and the batches that training and evaluation see."""

from collections.abc import Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

import lightning as L
import torch
from torch.utils.data import DataLoader

from wavenet.corpus.download import default_corpus
from wavenet.corpus.labels import COLUMN, Labels, UnknownLabelError, Wanted, label_in
from wavenet.corpus.reading import (
    LABELLED_UP_TO,
    Corpus,
    as_it_looks,
    read_as_wanted,
    read_corpus,
    with_labels,
)
from wavenet.corpus.shuffling import LISTED
from wavenet.corpus.splitting import Part, Split, split_corpus
from wavenet.corpus.vocabulary import Vocabulary
from wavenet.corpus.words import Words, characters, num_tokens, translation
from wavenet.errors import ArgumentError, check_at_least
from wavenet.inference.trained_on import TrainedOn
from wavenet.network.packing import CHUNK, Batch
from wavenet.training.datasets import BatchIndices, LabelIds, Share, Shares, WindowDataset, WordDataset

MEASURED = 100_000
"""Words of a split that are enough to measure its loss while a network trains, and at the end; they are shuffled."""

WORD_LENGTH = 16  # about how many tokens there are in a word, where memory is planned
EACH = 2  # examples of a batch that each process needs, for batch norm to have a variance
STAGE_SPLITS = {"fit": Split._fields, "validate": ("val",), "test": ("test",), "predict": ()}


class WordsDataModule(L.LightningDataModule):
    """Reads a corpus, splits it by words, and serves batches of packed words or of windows.

    Args:
        path: The corpus: one word per line, or tab-separated with the word first. By default data/names.txt,
            downloaded when it is missing, or the bundled data/world_names.tsv when there is no network.
        block_size: Length T of a context.
        batching: ``words`` packs whole words (:class:`wavenet.network.packing.PackedWords`); ``windows`` serves single
            contexts (:class:`wavenet.network.packing.Windows`), as the lecture does. Their losses are the same.
        batch_size: Words, or windows, in a training batch, which all processes share.
        split_seed: Alone decides which words are train, validation and test; 42 makes the lecture's split.
        deduplicate: Whether a word that occurs twice counts once, so that no word is in two splits.
        replacement: Whether training examples are drawn with replacement, as in the lecture.
        alphabet: The characters of the model, by default those of the corpus.
        predict_path: Words that ``predict`` scores, in the same format, each under the label that stands there if the
            model knows labels; by default those of the test split.
        labels: Whether words have labels, which the network is told: ``auto`` looks whether most of them have one.
        label_column: The field of a line that holds its word's label; the word is the first.
        hidden_labels: Share of training words whose label is hidden, others in each epoch, so that the network also
            knows words of any kind; 1 trains a network that is told no label, to compare with.
        label_counts: The labels of the model, each with how many training words have it; by default the corpus's.

    Raises:
        OSError, ValueError: See :func:`wavenet.corpus.reading.read_as_wanted` and
            :func:`wavenet.corpus.splitting.split_corpus`; or a label is not in ``label_counts``.
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
        batch_size: int = 256,
        split_seed: int = 42,
        deduplicate: bool = False,
        replacement: bool = False,
        alphabet: str | None = None,
        predict_path: str | None = None,
        labels: Wanted = False,
        label_column: int = COLUMN,
        hidden_labels: float = 0.1,
        label_counts: dict[str, int] | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= hidden_labels <= 1:
            raise ArgumentError("hidden_labels", f"must be from 0 to 1, got {hidden_labels}")
        check_at_least(1, block_size=block_size)
        if batching not in ("words", "windows"):
            raise ArgumentError("batching", f"must be words or windows, got {batching}")
        if not isinstance(batch_size, int) or batch_size < 2:
            raise ArgumentError(
                "batch_size", f"must be at least 2, for batch norm to have a variance, got {batch_size}"
            )
        self.path = path
        self.block_size = block_size
        self.batching = batching
        self.batch_size = batch_size
        self.split_seed = split_seed
        self.deduplicate = deduplicate
        self.replacement = replacement
        self.predict_path = predict_path
        self.label_column, self.hidden_labels = label_column, hidden_labels
        self._labels, self._label_counts = labels, label_counts
        self._alphabet = alphabet
        self._datasets: dict[str, WindowDataset | WordDataset] = {}

    @cached_property
    def corpus(self) -> Corpus:
        """The corpus, read (and the default one downloaded) when first asked for."""
        if self.path is not None:
            return read_as_wanted(Path(self.path), self._labels, self.label_column)
        corpus = default_corpus()
        if self._labels == "auto":
            return as_it_looks(corpus, self.label_column)
        return with_labels(corpus, self.label_column) if self._labels else corpus

    @cached_property
    def split(self) -> Split:
        """The words and labels of the three splits."""
        return split_corpus(self.corpus, self.split_seed, self.deduplicate)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The characters of the model, known before it is built."""
        return Vocabulary(characters(self.corpus.words) if self._alphabet is None else self._alphabet)

    @property
    def alphabet(self) -> str:
        """The characters of the model in the order of their token ids."""
        return self.vocabulary.alphabet

    @cached_property
    def labels(self) -> Labels | None:
        """The labels of the model, if it knows any."""
        if self._label_counts:
            return Labels(self._label_counts)
        if self.corpus.label_column is None:
            return None
        everywhere = {label for part in self.split for label in self._labels_of(part)}
        return Labels.of(self._labels_of(self.split.train), names=everywhere - {""})

    @property
    def passes_labels_over(self) -> bool:
        """Whether most words have a label that the model is not told."""
        corpus = self.corpus
        return corpus.label_column is None and as_it_looks(corpus, self.label_column).label_column is not None

    @property
    def label_counts(self) -> dict[str, int] | None:
        """The labels of the model with how many training words have each, in the order of their ids."""
        return None if self.labels is None else self.labels.counts

    def _labels_of(self, part: Part) -> list[str]:
        """The label of each word of a part; empty where it has none."""
        column = self.corpus.label_column
        if column is None:
            return [""] * len(part.words)
        return [label_in(fields, column) for fields in part.labels]

    def label_ids(self, split: str) -> list[int] | None:
        """The id of the label of each word of a split, if the model knows any.

        Raises:
            ValueError: One of them is unknown to the model.
        """
        return None if self.labels is None else self._encoded(self._labels_of(getattr(self.split, split)), self.corpus)

    def _encoded(self, labels: Sequence[str], corpus: Corpus) -> list[int]:
        """The ids of labels that stand in a corpus; an unknown one is a ValueError."""
        try:
            return [cast(Labels, self.labels).encode(label) for label in labels]
        except UnknownLabelError as error:
            raise ValueError(f"{corpus.path} has a label that the model does not know: {error}") from error

    @cached_property
    def trained_on(self) -> TrainedOn:
        """What identifies the data of a run: file, SHA-256, splits and batches."""
        return TrainedOn.describe(
            self.corpus, self.split, self.split_seed, self.deduplicate, self.batching, self.batch_size
        )

    @property
    def tokens_of_batch(self) -> float:
        """About how many tokens a training batch has: those of its words, or ``block_size`` for each window."""
        num_tokens = self.trained_on.examples["train"]
        if self.batching == "windows":
            return self.block_size * min(self.batch_size, num_tokens)
        return min(1.0, self.batch_size / len(self.split.train.words)) * num_tokens

    def setup(self, stage: str) -> None:
        """Builds the datasets of a stage; a character outside the alphabet is found here, before anything runs."""
        if stage == "predict":
            self.predict_words, self.predict_labels = self._to_predict()
            translation(Words.of(self.predict_words), self.vocabulary)
        for split in STAGE_SPLITS[stage]:
            self.dataset(split)

    def _to_predict(self) -> tuple[Sequence[str], list[str] | None]:
        """The words that ``predict`` scores, and the label of each, if the model knows labels and they are wanted."""
        told = self._labels is not False and self.labels is not None
        if self.predict_path is None:
            return self.split.test.words, self._labels_of(self.split.test) if told else None
        if not told:
            return read_corpus(Path(self.predict_path)).words, None
        corpus = read_corpus(Path(self.predict_path), encoded_from=LABELLED_UP_TO)
        labels = [label_in(fields, self.label_column) for fields in corpus.labels] or [""] * len(corpus.words)
        self._encoded(labels, corpus)
        return corpus.words, labels

    def dataset(self, split: str) -> WindowDataset | WordDataset:
        """All examples of a split: train, val or test."""
        if split not in self._datasets:
            ids = self.label_ids(split)
            labels = None if ids is None else LabelIds(torch.tensor(ids))
            self._datasets[split] = self._make_dataset(getattr(self.split, split).words, labels)
        return self._datasets[split]

    def _make_dataset(self, words: Sequence[str], labels: LabelIds | None = None) -> WindowDataset | WordDataset:
        if self.batching == "words":
            return WordDataset(words, self.vocabulary, labels)
        return WindowDataset(words, self.vocabulary, self.block_size, labels)

    def _training_dataset(self) -> WindowDataset | WordDataset:
        """The examples of train as training sees them: with some labels hidden."""
        dataset = self.dataset("train")
        if dataset.labels is None:
            return dataset
        hiding = copy(dataset)
        hiding.labels = dataset.labels._replace(hidden=self.hidden_labels)
        return hiding

    def train_dataloader(self) -> DataLoader[Batch | Share]:
        """Shuffled batches; the order depends on the global seed, which is the first process's, and the epoch."""
        dataset, ranks = self._training_dataset(), self._ranks
        seed = torch.initial_seed() if self.trainer is None else self.trainer.strategy.broadcast(torch.initial_seed())
        fewest = EACH * ranks[1]
        order = BatchIndices(len(dataset), self.batch_size, seed, self.replacement, self._batches_done, fewest)
        return loader(dataset, order, *ranks)

    def check_shares(self, num_ranks: int) -> None:
        """Refuses training batches that do not have enough examples for each of several processes.

        Raises:
            ArgumentError: ``batch_size`` is too small.
            ValueError: There are too few examples.
        """
        fewest, got = EACH * num_ranks, len(self.dataset("train"))
        if self.batch_size < fewest:
            problem = f"must be at least {fewest}, {EACH} for each of {num_ranks} processes, got {self.batch_size}"
            raise ArgumentError("data.batch_size", problem)
        if num_ranks > 1 and got < fewest:
            raise ValueError(
                f"{self.corpus.path} has too few words for {num_ranks} processes: "
                f"expected at least {fewest} training {self.batching}, got {got}"
            )

    @property
    def _ranks(self) -> tuple[int, int]:
        """The number of this process, and how many there are."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def _batches_done(self) -> int:
        """How many batches of this epoch the training has seen, before it was interrupted; 0 outside of one."""
        if self.trainer is None or not self.trainer.training:
            return 0
        return self.trainer.fit_loop.epoch_loop.batch_progress.current.ready

    def val_dataloader(self) -> DataLoader[Batch | Share]:
        """The validation split, each example once, in order; in a training at most ``MEASURED`` of its words."""
        training = self.trainer is not None and self.trainer.state.fn == "fit"
        return self.eval_dataloader("val", MEASURED if training else None, *self._ranks)

    def test_dataloader(self) -> DataLoader[Batch | Share]:
        """The test split, each example once, in order."""
        return self.eval_dataloader("test", None, *self._ranks)

    def eval_dataloader(
        self, split: str, num_words: int | None = None, rank: int = 0, num_ranks: int = 1
    ) -> DataLoader[Batch | Share]:
        """Any split (train, val or test), or as many of its words, each example once, in order.

        Args:
            split: The split.
            num_words: How many of its words.
            rank: The number of the process that gets its share.
            num_ranks: How many processes share the examples; by default the caller gets all.
        """
        dataset = self.dataset(split)
        size = CHUNK * 4 // (self.block_size if isinstance(dataset, WindowDataset) else WORD_LENGTH)
        words = getattr(self.split, split).words[:num_words]
        examples = num_tokens(words) if isinstance(dataset, WindowDataset) else len(words)
        return loader(dataset, BatchIndices(examples, max(1, size) * num_ranks), rank, num_ranks)

    def predict_dataloader(self) -> DataLoader[Batch]:
        """All examples of some words at a time, none of them divided between batches."""
        places: Any = range(len(self.predict_words))
        return DataLoader(places, batch_size=CHUNK // WORD_LENGTH, collate_fn=self._whole)

    def _whole(self, places: list[int]) -> Batch:
        labels = None
        if self.predict_labels is not None and self.labels is not None:
            labels = LabelIds(torch.tensor([self.labels.encode(self.predict_labels[place]) for place in places]))
        dataset = self._make_dataset([self.predict_words[place] for place in places], labels)
        return dataset[torch.arange(len(dataset))]

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint says of the data it was trained on."""
        return self.trained_on.plain()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuses to cut the checkpoint's own corpus another way: its test words would have been trained on.

        Raises:
            ArgumentError: ``split_seed``, ``deduplicate`` or the column of labels differs from the checkpoint's, for
                the same corpus.
            ValueError: The same setting cuts the corpus another way now: older versions shuffled more than a million
                words otherwise.
        """
        if self.predict_path is not None or state_dict["sha256"] != self.corpus.sha256:
            return  # no split is used, or another corpus is
        for name in ("split_seed", "deduplicate"):
            if (expected := state_dict[name]) != (got := getattr(self, name)):
                raise ArgumentError(f"data.{name}", f"contradicts the checkpoint: expected {expected}, got {got}")
        if (expected := state_dict.get("label_column")) != (got := self.corpus.label_column):
            problem = f"contradict the checkpoint: expected those of column {expected}, got those of column {got}"
            raise ArgumentError("data.labels", problem)
        if len(self.corpus.words) > LISTED and state_dict["examples"] != self.trained_on.examples:
            raise ValueError(
                f"{self.corpus.path} is cut another way than by the version that wrote the checkpoint: its test words "
                f"would have been trained on"
            )


def loader(
    dataset: WindowDataset | WordDataset, order: BatchIndices, rank: int, num_ranks: int
) -> DataLoader[Batch | Share]:
    """Serves batches in an order, or the share of each that one of several processes has.

    By default a loader takes the seed of its workers, although it has none, from the random numbers that dropout draws:
    a training would then depend on how often it is validated, and on where it was interrupted.
    """
    served: Any = dataset if num_ranks == 1 else Shares(dataset, rank, num_ranks)
    return DataLoader(served, batch_size=None, sampler=order, generator=torch.Generator())
