"""Words as tensors: batches of windows or of packed words, and the prefix tree that packs them."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wavenet.corpus.vocabulary import BOUNDARY, Vocabulary
from wavenet.network.labels import pairs

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

Ints = npt.NDArray[np.int64]


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


def pack_tokens(targets: Tensor, lengths: Tensor) -> PackedWords:
    """Words as one batch: the tree of their beginnings.

    Rows are numbered by the length of their beginnings, and those of one length in the order of their tokens: that is
    the order in which the words, sorted, show them for the first time, length by length. The boundary is row 0.

    Args:
        targets: (N,) the tokens of word after word, each with its closing boundary.
        lengths: (W,) how many of them belong to a word.

    Examples:
        >>> batch = pack_tokens(torch.tensor([1, 2, 0, 1, 1, 0]), torch.tensor([3, 3]))  # ab and aa
        >>> batch.tokens, batch.previous  # the boundary, a, aa and ab
        (tensor([0, 1, 1, 2]), tensor([0, 0, 1, 1]))
        >>> batch.rows
        tensor([0, 1, 3, 0, 1, 2])
    """
    tokens, sizes = targets.numpy(), lengths.numpy()
    ends = sizes.cumsum()
    by_bytes = tokens.astype(np.uint8 if len(tokens) and tokens.max() < 256 else ">u4")  # which compare as bytes do
    text, width = by_bytes.tobytes(), by_bytes.itemsize
    spelled = [text[begin:end] for begin, end in pairwise([0, *(ends * width).tolist()])]
    order = np.array(sorted(range(len(spelled)), key=spelled.__getitem__), np.int64)  # (W,), of the sorted words
    sizes = sizes[order]
    first = sizes.cumsum() - sizes  # (W,), where each sorted word begins
    place = np.arange(len(tokens)) - np.repeat(first, sizes)  # (N,), of a token in its word
    source = np.repeat(ends[order] - sizes, sizes) + place  # (N,), where the token stands among the targets
    tokens = tokens[source]
    new = place >= np.repeat(shared(tokens, sizes, first), sizes)  # (N,), whether its beginning is shown here first
    new &= tokens != BOUNDARY
    by_length = np.argsort(place, kind="stable")
    number = np.empty_like(tokens)  # (N,), of the row that ends with the token
    number[by_length] = new[by_length].cumsum()
    before = np.where(place == 0, 0, np.roll(number, 1))  # (N,), of the row that predicts it
    shown = by_length[new[by_length]]
    rows = np.empty_like(tokens)
    rows[source] = before
    return PackedWords(
        tokens=torch.from_numpy(np.concatenate([[BOUNDARY], tokens[shown]])),
        previous=torch.from_numpy(np.concatenate([[0], before[shown]])),
        targets=targets,
        rows=torch.from_numpy(rows),
    )


def pack_labelled(targets: Tensor, lengths: Tensor, labels: Tensor, vocab_size: int) -> PackedWords:
    """Words with labels as one batch: a tree of their beginnings for each label, whose rows are ids of pairs.

    Words share the rows of what they begin with if they also share their label: a row stands for what the network has
    read, and that includes the label. The first rows are the boundary's, with each label.

    Args:
        targets: (N,) the tokens of word after word, each with its closing boundary.
        lengths: (W,) how many of them belong to a word.
        labels: (W,) the ids of the words' labels.
        vocab_size: Number of tokens V.

    Examples:
        >>> two = torch.tensor([1, 0, 1, 0])  # a and a
        >>> batch = pack_labelled(two, torch.tensor([2, 2]), torch.tensor([0, 3]), vocab_size=10)
        >>> batch.tokens, batch.previous  # the boundary twice, then a twice
        (tensor([ 0, 30,  1, 31]), tensor([0, 1, 0, 1]))
        >>> batch.rows
        tensor([0, 2, 1, 3])
    """
    of_target = labels.repeat_interleave(lengths)  # (N,)
    ids = pairs(targets, of_target, vocab_size).masked_fill_(targets == BOUNDARY, BOUNDARY)
    tree = pack_tokens(ids, lengths)  # with one boundary row for all labels
    roots, root = torch.unique(labels, return_inverse=True)  # (K,), (W,)
    more = len(roots) - 1
    first = tree.previous == 0  # (R,), the first characters, and the boundary
    previous = torch.where(first, torch.searchsorted(roots, tree.tokens // vocab_size), tree.previous + more)
    rows = torch.where(tree.rows == 0, root.repeat_interleave(lengths), tree.rows + more)
    return PackedWords(
        tokens=torch.cat([pairs(torch.tensor(BOUNDARY), roots, vocab_size), tree.tokens[1:]]),
        previous=torch.cat([torch.arange(len(roots)), previous[1:]]),
        targets=targets,
        rows=rows,
    )


def shared(tokens: Ints, sizes: Ints, first: Ints) -> Ints:
    """How many tokens (W,) each word begins with as the word before it does.

    Args:
        tokens: (N,) of word after word, each with its closing boundary.
        sizes, first: (W,) how many belong to a word, and where they begin.
    """
    place = np.arange(len(tokens)) - np.repeat(first, sizes)
    above = np.arange(len(tokens)) - np.repeat(np.concatenate([sizes[:1], sizes[:-1]]), sizes)  # where the other has it
    differs = (tokens != tokens[above]) | (tokens == BOUNDARY)  # no other's token lies beyond its end: that differs
    differs[: sizes[0]] = True
    found: Ints = np.minimum.reduceat(np.where(differs, place, len(tokens)), first)
    return found


def pack(words: Sequence[str], vocabulary: Vocabulary) -> PackedWords:
    """All the words, in their order, as one batch.

    Raises:
        UnknownCharacterError: A character of a word is not in the vocabulary.

    Examples:
        >>> pack(["ab"], Vocabulary("ab")).targets
        tensor([1, 2, 0])
    """
    return pack_tokens(*encode_words(words, vocabulary))
