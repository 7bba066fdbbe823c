"""Windows of context as a dataset, and the order in which training visits its examples."""

import random
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from wavenet.corpus.vocabulary import BOUNDARY, Vocabulary
from wavenet.network.packing import Windows, encode_words


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
        self.tokens, lengths = encode_words(words, vocabulary)  # (N,), (W,)
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


class BatchIndices(Sampler[Tensor]):
    """Batches of indices (B,); the order of an epoch is a function of the seed and the epoch alone.

    Args:
        num_examples: Indices run from 0 to ``num_examples - 1``.
        batch_size: Indices in a batch; the last one of an epoch may be smaller. When shuffling, a last batch of one
            joins the batch before it, because batch norm cannot train on one example.
        seed: Seed of the shuffling; ``None`` keeps the order.
        replacement: Whether every index is drawn anew, as in the lecture, instead of once an epoch.
        done: How many batches of the epoch a training that goes on has seen; asked, like the epoch, when the first
            batch is wanted, since Lightning makes the iterator before it knows either.
    """

    def __init__(
        self,
        num_examples: int,
        batch_size: int,
        seed: int | None = None,
        replacement: bool = False,
        done: Callable[[], int] = lambda: 0,
    ) -> None:
        self.num_examples = num_examples
        self.batch_size = batch_size
        self.seed = seed
        self.replacement = replacement
        self.done = done
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
        yield from batches[self.done() :]

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
