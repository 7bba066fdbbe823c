"""Labels in the network: its first layer embeds each token together with its word's label, and nothing else knows them.

A token and the label of its word are one id: the token plus V times the label's id, so that the first layer is an
embedding of such pairs. All other layers, and the windowed, the sliding and the stepping form, are those of a network
without labels. Label 0, ``ANY``, says nothing of a word: the ids of its tokens are the tokens themselves, so whoever
knows of no labels runs a network with labels as one that was told none.

Source: van den Oord et al., "WaveNet" (2016), section 2.5, global conditioning, https://arxiv.org/abs/1609.03499, which
adds the speaker to every layer; docs/languages.md compares the two.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wavenet.network.layers import Parallel


def pairs(tokens: Tensor, labels: Tensor, vocab_size: int) -> Tensor:
    """The ids of tokens with labels, of shapes that broadcast.

    Examples:
        >>> pairs(torch.tensor([0, 2]), torch.tensor([1, 1]), vocab_size=27)
        tensor([27, 29])
    """
    return tokens + vocab_size * labels


class LabelledEmbedding(nn.Embedding):
    """Embeds tokens together with the labels of their words: the sum of the two embeddings.

    All labels are alike at first: their embeddings begin as zeros.

    Args:
        vocab_size: Number of tokens V, the boundary included.
        num_labels: Number of labels L, ``ANY`` not counted.
        embedding_dim: Features C.

    Attributes:
        weight: (V, C), the embeddings of tokens.
        label_weight: (L + 1, C), those of labels; row 0 is that of ``ANY``.

    Shape:
        - Input: :math:`(*)`, ids of :func:`pairs`.
        - Output: :math:`(*, C)`.

    Examples:
        >>> layer = LabelledEmbedding(27, num_labels=40, embedding_dim=24)
        >>> layer(pairs(torch.zeros(32, 8, dtype=torch.long), torch.tensor(40), vocab_size=27)).shape
        torch.Size([32, 8, 24])
    """

    def __init__(self, vocab_size: int, num_labels: int, embedding_dim: int) -> None:
        super().__init__(vocab_size, embedding_dim)
        self.label_weight = nn.Parameter(torch.zeros(num_labels + 1, embedding_dim))

    @property
    def num_labels(self) -> int:
        """Number of labels L, ``ANY`` not counted."""
        return len(self.label_weight) - 1

    def forward(self, ids: Tensor) -> Tensor:
        labels = ids // self.num_embeddings
        tokens = ids - self.num_embeddings * labels
        return F.embedding(tokens, self.weight) + F.embedding(labels, self.label_weight)  # (*, C)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}, num_labels={self.num_labels}"


class Conditioned(nn.Module):
    """A :class:`LabelledEmbedding` of words that all have one label, or one mixture of labels: an embedding of tokens.

    Args:
        embedding: What embeds tokens and labels; its weights are shared, not copied.
        weights: How much of each label there is, by id. They add up to 1, and so do the embeddings of the labels.

    Shape:
        - Input: :math:`(*)`, tokens.
        - Output: :math:`(*, C)`.
    """

    def __init__(self, embedding: LabelledEmbedding, weights: Mapping[int, float]) -> None:
        super().__init__()
        self.embedding = embedding
        self.weights = dict(weights)

    def forward(self, tokens: Tensor) -> Tensor:
        rows = self.embedding.label_weight[list(self.weights)]  # (K, C)
        shares = rows.new_tensor(list(self.weights.values()))  # (K,)
        return F.embedding(tokens, self.embedding.weight) + shares @ rows  # (*, C)

    def extra_repr(self) -> str:
        return f"weights={self.weights}"


def num_labels(network: nn.Sequential) -> int:
    """How many labels a network knows, ``ANY`` not counted; 0 for one without labels."""
    return next((layer.num_labels for layer in network.modules() if isinstance(layer, LabelledEmbedding)), 0)


def under(network: nn.Sequential, weights: Mapping[int, float]) -> nn.Sequential:
    """The network of words with a label, or with a mixture of labels: one of tokens alone, which shares all weights.

    Args:
        network: A network with labels.
        weights: See :class:`Conditioned`.

    Examples:
        >>> from wavenet import NetworkConfig, build
        >>> network = build(NetworkConfig(), vocab_size=27, num_labels=40)
        >>> under(network, {3: 0.7, 12: 0.3})(torch.zeros(32, 8, dtype=torch.long)).shape
        torch.Size([32, 27])
    """
    if isinstance(network, Parallel):
        return type(network)(*(under(member, weights) for member in network.members))
    first, *others = network
    return nn.Sequential(Conditioned(first, weights), *others) if isinstance(first, LabelledEmbedding) else network
