"""Words as tensors, as windows of context or packed whole, and the order in which training visits them."""

import random
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from wavenet.corpus.vocabulary import BOUNDARY, Vocabulary
from wavenet.network.sliding import PackedWords, Windows


class WindowDataset(Dataset[Windows]):
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
        >>> contexts, targets = windows[torch.arange(len(windows))]
        >>> contexts
        tensor([[0, 0, 0],
                [0, 0, 1],
                [0, 1, 2]])
        >>> targets
        tensor([1, 2, 0])
    """

    def __init__(self, words: Sequence[str], vocabulary: Vocabulary, block_size: int) -> None:
        lengths = torch.tensor([len(word) + 1 for word in words])
        self.tokens = torch.tensor([token for word in words for token in (*vocabulary.encode(word), BOUNDARY)])  # (N,)
        starts = (lengths.cumsum(0) - lengths).repeat_interleave(lengths)
        self.position = torch.arange(len(self.tokens)) - starts  # (N,), of a token in its word
        self.lags = torch.arange(block_size, 0, -1)  # (T,), how far back each token of a context lies

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: Tensor) -> Windows:
        """Contexts (B, T) and targets (B,) at the positions ``index`` (B,)."""
        contexts = self.tokens[(index[:, None] - self.lags).clamp_(min=0)]  # (B, T)
        before_word = self.lags > self.position[index][:, None]  # (B, T)
        return Windows(contexts.masked_fill_(before_word, BOUNDARY), self.tokens[index])


class WordDataset(Dataset[PackedWords]):
    """Whole words, packed on one axis: a row for the boundary, and one for each distinct beginning of a word.

    Args:
        words: The words.
        vocabulary: Their characters' token ids.

    Raises:
        UnknownCharacterError: A character of a word is not in the vocabulary.

    Examples:
        >>> words = WordDataset(["ab", "b", "aa"], Vocabulary("ab"))
        >>> batch = words[torch.tensor([0, 2])]
        >>> batch.tokens, batch.previous  # the boundary, a, aa and ab
        (tensor([0, 1, 1, 2]), tensor([0, 0, 1, 1]))
        >>> batch.targets, batch.rows
        (tensor([1, 2, 0, 1, 1, 0]), tensor([0, 1, 3, 0, 1, 2]))
    """

    def __init__(self, words: Sequence[str], vocabulary: Vocabulary) -> None:
        self.lengths = torch.tensor([len(word) + 1 for word in words])  # (W,)
        self.starts = self.lengths.cumsum(0) - self.lengths  # (W,)
        self.targets = torch.tensor([token for word in words for token in (*vocabulary.encode(word), BOUNDARY)])  # (N,)
        self._grow_tree(len(vocabulary))

    def _grow_tree(self, vocab_size: int) -> None:
        """Numbers the distinct beginnings of words, shorter ones first; 0 is the empty one, which is the boundary."""
        self.beginning = torch.zeros_like(self.targets)  # (N,), what comes before each target in its word
        tokens, previous, count = [torch.tensor([BOUNDARY])], [torch.tensor([0])], 1
        words, length = torch.arange(len(self.lengths)), 0
        while len(words := words[self.lengths[words] - 1 > length]):
            at = self.starts[words] + length
            keys, index = torch.unique(self.beginning[at] * vocab_size + self.targets[at], return_inverse=True)
            self.beginning[at + 1] = count + index
            tokens.append(keys % vocab_size)
            previous.append(keys // vocab_size)
            count, length = count + len(keys), length + 1
        self.tokens, self.previous = torch.cat(tokens), torch.cat(previous)  # one for each beginning
        self.level_sizes = [len(level) for level in tokens]

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: Tensor) -> PackedWords:
        """The words ``index`` (W,), one after the other."""
        lengths = self.lengths[index]  # (W,)
        first = lengths.cumsum(0) - lengths  # (W,), where each word begins in the batch
        shift = (self.starts[index] - first).repeat_interleave(lengths)  # (N,)
        source = torch.arange(len(shift)) + shift  # (N,)
        beginnings, rows = torch.unique(self.beginning[source], return_inverse=True)  # (R,), ascending, and (N,)
        return PackedWords(
            tokens=self.tokens[beginnings],
            previous=torch.searchsorted(beginnings, self.previous[beginnings]),
            targets=self.targets[source],
            rows=rows,
        )


class BatchIndices(Sampler[Tensor]):
    """Batches of indices (B,); the order of an epoch is a function of the seed and the epoch alone.

    Args:
        num_examples: Indices run from 0 to ``num_examples - 1``.
        batch_size: Indices in a batch; the last one of an epoch may be smaller. When shuffling, a last batch of one
            joins the batch before it, because batch norm cannot train on one example.
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
        return -(-self.num_examples // self.batch_size) - self._joins_last

    def __iter__(self) -> Iterator[Tensor]:
        batches = list(torch.split(self._order(), self.batch_size))
        if self._joins_last:
            batches[-2:] = [torch.cat(batches[-2:])]
        return iter(batches)

    @property
    def _joins_last(self) -> bool:
        shuffling = self.seed is not None and not self.replacement
        return shuffling and self.num_examples > self.batch_size and self.num_examples % self.batch_size == 1

    def _order(self) -> Tensor:
        if self.seed is None:
            return torch.arange(self.num_examples)
        generator = torch.Generator().manual_seed(random.Random(f"{self.seed}/{self.epoch}").getrandbits(63))
        if self.replacement:
            return torch.randint(self.num_examples, (len(self) * self.batch_size,), generator=generator)
        return torch.randperm(self.num_examples, generator=generator)
