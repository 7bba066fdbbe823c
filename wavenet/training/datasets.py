"""Words and windows of context as datasets, and the order in which training visits their examples."""

import random
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from wavenet.corpus.shuffling import LISTED, Shuffle
from wavenet.corpus.vocabulary import ANY, BOUNDARY, Vocabulary
from wavenet.corpus.words import Words, translation
from wavenet.network.labels import pairs
from wavenet.network.packing import Batch, PackedWords, Windows, pack_labelled, pack_tokens


class LabelIds(NamedTuple):
    """The labels of words, as a network is told them: their ids (W,), of which a share is hidden each time.

    Which ones are hidden is a function of the examples in a batch, of which each epoch has others: a training that goes
    on hides the same ones, and no random number is drawn for it.
    """

    ids: Tensor
    hidden: float = 0.0

    def told(self, index: Tensor) -> Tensor:
        """The ids (B,) of the labels of a batch of examples (B,), with ``ANY`` for those that are hidden.

        Examples:
            >>> labels = LabelIds(torch.ones(1000, dtype=torch.long), hidden=0.1)
            >>> labels.told(torch.arange(1000)).sum()
            tensor(893)
        """
        labels = self.ids[index]
        if not self.hidden:
            return labels
        generator = torch.Generator().manual_seed(zlib.crc32(index.numpy().tobytes()))
        return labels.masked_fill(torch.rand(len(index), generator=generator) < self.hidden, ANY)


class WordDataset(Dataset[PackedWords]):
    """Whole words, packed when they are asked for, so that memory does not grow beyond what the words take.

    Args:
        words: The words.
        vocabulary: Their characters' token ids.
        labels: Their labels, if they have any; then batches hold ids of :func:`wavenet.network.labels.pairs`.

    Raises:
        UnknownCharacterError: A character of a word is not in the vocabulary.

    Examples:
        >>> words = WordDataset(["ab", "b", "aa"], Vocabulary("ab"))
        >>> words[torch.tensor([0, 2])].targets
        tensor([1, 2, 0, 1, 1, 0])
    """

    def __init__(self, words: Sequence[str], vocabulary: Vocabulary, labels: LabelIds | None = None) -> None:
        self.words, self.labels, self.vocab_size = Words.of(words), labels, len(vocabulary)
        self.ids = translation(self.words, vocabulary).astype(np.int64)  # of the words' own tokens

    def __len__(self) -> int:
        return len(self.words)

    def num_targets(self, index: Tensor) -> int:
        """How many targets the words ``index`` (B,) have."""
        return int(self.words.store.lengths(self.words.rows_at(index.numpy())).sum())

    def __getitem__(self, index: Tensor) -> PackedWords:
        """The words at the positions ``index`` (B,), one after the other."""
        tokens, lengths = self.words.tokens(index.numpy())
        targets, sizes = torch.from_numpy(self.ids[tokens]), torch.from_numpy(lengths)
        if self.labels is None:
            return pack_tokens(targets, sizes)
        return pack_labelled(targets, sizes, self.labels.told(index), self.vocab_size)


class WindowDataset(Dataset[Windows]):
    """Every (context, target) of the words: each character is predicted, and then the boundary that ends the word.

    The words lie on one axis of N tokens. A window is cut out when it is asked for, whole batches at a time, so that
    memory grows with the text and not with ``block_size``.

    Args:
        words: The words, each used once.
        vocabulary: Their characters' token ids.
        block_size: Length T of a context.
        labels: Their labels, if they have any; then contexts hold ids of :func:`wavenet.network.labels.pairs`.

    Raises:
        UnknownCharacterError: A character of a word is not in the vocabulary.

    Examples:
        >>> windows = WindowDataset(["ab"], Vocabulary("ab"), block_size=3)
        >>> contexts, targets = windows[torch.arange(len(windows))]
        >>> contexts
        tensor([[0, 0, 0],
                [0, 0, 1],
                [0, 1, 2]])
        >>> targets
        tensor([1, 2, 0])
    """

    def __init__(
        self, words: Sequence[str], vocabulary: Vocabulary, block_size: int, labels: LabelIds | None = None
    ) -> None:
        encoded = Words.of(words)
        tokens, sizes = encoded.tokens(np.arange(len(encoded)))
        lengths = torch.from_numpy(sizes)  # (W,)
        self.tokens = torch.from_numpy(translation(encoded, vocabulary).astype(np.int64)[tokens])  # (N,)
        starts = (lengths.cumsum(0) - lengths).repeat_interleave(lengths)
        self.position = torch.arange(len(self.tokens)) - starts  # (N,), of a token in its word
        self.lags = torch.arange(block_size, 0, -1)  # (T,), how far back each token of a context lies
        self.labels = labels and labels._replace(ids=labels.ids.repeat_interleave(lengths))  # of each token's word
        self.vocab_size = len(vocabulary)

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: Tensor) -> Windows:
        """Contexts (B, T) and targets (B,) at the positions ``index`` (B,)."""
        contexts = self.tokens[(index[:, None] - self.lags).clamp_(min=0)]  # (B, T)
        before_word = self.lags > self.position[index][:, None]  # (B, T)
        contexts = contexts.masked_fill_(before_word, BOUNDARY)
        if self.labels is not None:
            contexts = pairs(contexts, self.labels.told(index)[:, None], self.vocab_size)
        return Windows(contexts, self.tokens[index])

    def num_targets(self, index: Tensor) -> int:
        """How many targets the examples ``index`` have."""
        return len(index)


class Examples(Protocol):
    """Examples that are served in batches, by their indices (B,)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Tensor) -> Batch: ...

    def num_targets(self, index: Tensor) -> int:
        """How many targets the examples ``index`` have."""


class Share(NamedTuple):
    """What one process has of a batch, and what its mean loss counts.

    The mean over all processes of weight times loss is the mean loss over the targets of the whole batch. A process
    that has nothing of a batch has the weight 0, and some example of it.
    """

    batch: Batch
    weight: float


class Shares(Dataset[Share]):
    """The examples as one of several processes sees them: of each batch every so manieth example.

    Each process gets the indices of whole batches, and computes the weight of its share from them: nobody needs to
    ask another. No example is left out or comes twice, and shares differ by one example at most.

    Args:
        examples: All examples.
        rank: The number of this process.
        num_ranks: How many processes there are.

    Examples:
        >>> windows = WindowDataset(["ab"], Vocabulary("ab"), block_size=3)
        >>> shares = [Shares(windows, rank, 2)[torch.arange(3)] for rank in (0, 1)]
        >>> [share.batch.targets.tolist() for share in shares], [round(share.weight, 2) for share in shares]
        ([[1, 0], [2]], [1.33, 0.67])
    """

    def __init__(self, examples: Examples, rank: int, num_ranks: int) -> None:
        self.examples, self.rank, self.num_ranks = examples, rank, num_ranks

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: Tensor) -> Share:
        """This process's share of the batch of the examples ``index`` (B,)."""
        own = index[self.rank :: self.num_ranks]
        if len(own) == 0:
            return Share(self.examples[index[:1]], 0.0)
        batch = self.examples[own]
        return Share(batch, self.num_ranks * len(batch.targets) / self.examples.num_targets(index))


class BatchIndices(Sampler[Tensor]):
    """Batches of indices (B,); the order of an epoch is a function of the seed and the epoch alone.

    Above a million examples (:data:`wavenet.corpus.shuffling.LISTED`) no order is kept: each batch is computed.

    Args:
        num_examples: Indices run from 0 to ``num_examples - 1``.
        batch_size: Indices in a batch; the last one of an epoch may be smaller.
        seed: Seed of the shuffling; ``None`` keeps the order.
        replacement: Whether every index is drawn anew, as in the lecture, instead of once an epoch.
        done: How many batches of the epoch a training that goes on has seen; asked, like the epoch, when the first
            batch is wanted, since Lightning makes the iterator before it knows either.
        fewest: When shuffling, a last batch of fewer joins the batch before it: batch norm cannot train on one example,
            nor on one for each process.
    """

    def __init__(
        self,
        num_examples: int,
        batch_size: int,
        seed: int | None = None,
        replacement: bool = False,
        done: Callable[[], int] = lambda: 0,
        fewest: int = 2,
    ) -> None:
        self.num_examples = num_examples
        self.batch_size = batch_size
        self.seed = seed
        self.replacement = replacement
        self.done = done
        self.fewest = fewest
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose order comes next; Lightning calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.num_examples // self.batch_size) - self._joins_last

    def __iter__(self) -> Iterator[Tensor]:
        order = self._order()
        for number in range(self.done(), len(self)):
            begin, last = number * self.batch_size, number == len(self) - 1
            full = begin + self.batch_size
            yield order(begin, full if not last or self._fills_last else self.num_examples)

    @property
    def _fills_last(self) -> bool:
        return self.replacement and self.seed is not None

    @property
    def _joins_last(self) -> bool:
        shuffling = self.seed is not None and not self.replacement
        left = self.num_examples % self.batch_size
        return shuffling and self.num_examples > self.batch_size and 0 < left < self.fewest

    def _order(self) -> Callable[[int, int], Tensor]:
        """What gives the indices at the positions of an epoch from one up to another."""
        if self.seed is None:
            return torch.arange
        name = f"{self.seed}/{self.epoch}"
        generator = torch.Generator().manual_seed(random.Random(name).getrandbits(63))
        if self.num_examples <= LISTED:
            if self.replacement:
                order = torch.randint(self.num_examples, (len(self) * self.batch_size,), generator=generator)
            else:
                order = torch.randperm(self.num_examples, generator=generator)
            return lambda begin, end: order[begin:end]
        if self.replacement:
            return lambda begin, end: self._drawn(f"{name}/{begin}", end - begin)
        shuffle = Shuffle(self.num_examples, name)
        return lambda begin, end: torch.from_numpy(shuffle(np.arange(begin, end)))

    def _drawn(self, name: str, count: int) -> Tensor:
        """As many indices, each drawn from all."""
        generator = torch.Generator().manual_seed(random.Random(name).getrandbits(63))
        return torch.randint(self.num_examples, (count,), generator=generator)
