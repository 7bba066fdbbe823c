"""Words as tensors: batches of windows or of packed words, and the prefix tree that packs them."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from wavenet.corpus.vocabulary import BOUNDARY, Vocabulary

CHUNK = 1024
"""Words, or beginnings of words, that go through a network at a time where a caller has no reason for another number:
their activations fit a usual processor's cache."""


class Windows(NamedTuple):
    """A batch of contexts (B, T) and targets (B,)."""

    contexts: Tensor
    targets: Tensor

    def to(self, device: torch.device) -> "Windows":
        """The same batch on a device."""
        return Windows(*(part.to(device) for part in self))


class PackedWords(NamedTuple):
    """Whole words on one axis: R rows, the boundary's and one for each distinct beginning of a word, and N targets.

    ``tokens`` (R,), the last of each beginning; ``previous`` (R,), the row of the token before it, the boundary's being
    its own; ``targets`` (N,), the tokens of word after word; ``rows`` (N,), which row predicts each of them: the
    boundary's for the first character of a word.
    """

    tokens: Tensor
    previous: Tensor
    targets: Tensor
    rows: Tensor

    def to(self, device: torch.device) -> "PackedWords":
        """The same batch on a device."""
        return PackedWords(*(part.to(device) for part in self))


Batch = Windows | PackedWords


def encode_words(words: Sequence[str], vocabulary: Vocabulary) -> tuple[Tensor, Tensor]:
    """The tokens (N,) of word after word, each with its closing boundary, and how many belong to each word (W,).

    Raises:
        UnknownCharacterError: A character of a word is not in the vocabulary.

    Examples:
        >>> encode_words(["ab", "b"], Vocabulary("ab"))
        (tensor([1, 2, 0, 2, 0]), tensor([3, 2]))
    """
    tokens = torch.tensor([token for word in words for token in (*vocabulary.encode(word), BOUNDARY)])  # (N,)
    return tokens, torch.tensor([len(word) + 1 for word in words])  # (W,)


class PrefixTree:
    """The beginnings of words as a tree, from which any of the words are packed: the index of a batch gives the batch.

    Training, scoring and the exclusion of words all read words this way. The empty beginning, number 0, is the
    boundary; shorter beginnings have smaller numbers, and each knows the beginning that is one character shorter.

    Args:
        words: The words.
        vocabulary: Their characters' token ids.

    Raises:
        UnknownCharacterError: A character of a word is not in the vocabulary.

    Examples:
        >>> tree = PrefixTree(["ab", "b", "aa"], Vocabulary("ab"))
        >>> batch = tree[torch.tensor([0, 2])]
        >>> batch.tokens, batch.previous  # the boundary, a, aa and ab
        (tensor([0, 1, 1, 2]), tensor([0, 0, 1, 1]))
        >>> batch.targets, batch.rows
        (tensor([1, 2, 0, 1, 1, 0]), tensor([0, 1, 3, 0, 1, 2]))

    Attributes:
        targets: (N,) the tokens of word after word, each with its closing boundary.
        lengths, starts: (W,) how many of them belong to a word, and where they begin.
        beginning: (N,) the number of the beginning that comes before each of the targets.
        tokens, previous: The last token of each beginning, and the number of the beginning without it.
        level_sizes: How many beginnings there are of each length.
    """

    def __init__(self, words: Sequence[str], vocabulary: Vocabulary) -> None:
        self.targets, self.lengths = encode_words(words, vocabulary)
        self.starts = self.lengths.cumsum(0) - self.lengths  # (W,)
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


def pack(words: Sequence[str], vocabulary: Vocabulary) -> PackedWords:
    """All the words, in their order, as one batch.

    Raises:
        UnknownCharacterError: A character of a word is not in the vocabulary.
    """
    return PrefixTree(words, vocabulary)[torch.arange(len(words))]
