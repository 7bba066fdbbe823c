"""The weights of the lecture's notebook, saved by a reader, as a checkpoint.

They are a plain dictionary of tensors in the order of the layers: the embedding; for each level the linear layer's
weights and the batch norm's gain, bias, running mean and running variance; at the end a linear layer's weights and
bias, or its weights and a batch norm. In the notebook::

    layers = model.layers
    tensors = [layers[0].weight]
    for layer in layers[1:]:
        if isinstance(layer, Linear):
            tensors += layer.parameters()
        if isinstance(layer, BatchNorm1d):
            tensors += [layer.gamma, layer.beta, layer.running_mean, layer.running_var]
    torch.save({str(i): tensor.detach() for i, tensor in enumerate(tensors)}, "notebook.pt")

Source: Karpathy, "Building makemore, part 5: Building a WaveNet".
"""

from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from wavenet.corpus.vocabulary import Vocabulary
from wavenet.inference.checkpoint import NETWORK, hyper_parameters, read_plain, stamp
from wavenet.inference.weights import COUNT, check_weights, on_paper
from wavenet.network.config import NetworkConfig

NORM = 4  # vectors of a batch norm


class Block(NamedTuple):
    """A matrix and the vectors that follow it: a linear layer with its norm, or with its bias."""

    matrix: Tensor
    vectors: list[Tensor]

    @property
    def width(self) -> int:
        """How many features come out of it; the statistics of the lecture's bug are kept for each position."""
        return self.vectors[0].numel()


def read_notebook(path: Path, alphabet: str) -> dict[str, Any]:
    """The content of a checkpoint with the weights of a file.

    Raises:
        OSError: The file is missing, a directory or unreadable.
        CheckpointError: The file is not what ``torch.save`` has written, or not plain data.
        ValueError: The tensors are not those of the lecture's network, or the alphabet has another size.
    """
    weights = read_plain(path, "weights", "a dictionary of tensors, written by torch.save")
    try:
        if isinstance(weights, dict):
            weights = {str(name): value for name, value in weights.items()}
        check_weights(weights)
        return as_checkpoint(list(weights.values()), alphabet)
    except ValueError as error:
        raise ValueError(f"{path} does not hold the weights of the lecture's network: {error}") from None


def as_checkpoint(tensors: list[Tensor], alphabet: str) -> dict[str, Any]:
    """The content of a checkpoint with these weights.

    Raises:
        ValueError: They are not those of the lecture's network, or the alphabet has another size.
    """
    embedding, *blocks = blocks_of(tensors)
    vocab_size, width = embedding.matrix.shape
    if embedding.vectors or len(blocks) < 2:
        raise ValueError("expected an embedding, levels with batch norm, and a linear layer")
    if vocab_size != len(Vocabulary(alphabet)):
        raise ValueError(f"its embedding has {vocab_size} rows, the alphabet {len(alphabet)} characters and the end")
    is_transposed = all(block.matrix.shape[1] == block.width for block in blocks)  # in the lecture it is x @ weight
    groups = []
    for block in blocks[:-1]:
        inputs = block.matrix.shape[0 if is_transposed else 1]
        if len(block.vectors) != NORM or inputs % width:
            raise ValueError(f"a level has weights {tuple(block.matrix.shape)} and {len(block.vectors)} vectors")
        groups.append(inputs // width)
        width = block.width
    per_position = any(block.vectors[-1].numel() != block.width for block in blocks)
    config = NetworkConfig(
        block_size=prod(groups),
        group_size=tuple(groups),
        embedding_dim=embedding.matrix.shape[1],
        hidden_dim=width,
        activation="tanh",
        norm="batch_per_position" if per_position else "batch",
        residual=False,
        logits_norm=len(blocks[-1].vectors) == NORM,
    )
    matrices = [block.matrix.T if is_transposed else block.matrix for block in blocks]
    ordered = [embedding.matrix]
    for block, matrix in zip(blocks, matrices, strict=True):
        ordered += [matrix, *block.vectors]
    content = {
        "state_dict": named(ordered, config, vocab_size),
        "hyper_parameters": hyper_parameters(alphabet, config, {}),
    }
    stamp(content)
    return content


def blocks_of(tensors: list[Tensor]) -> list[Block]:
    """The tensors, cut before each matrix; running statistics may have dimensions of one."""
    blocks: list[Block] = []
    for tensor in tensors:
        if tensor.ndim == 2 and tensor.shape[0] > 1:
            blocks.append(Block(tensor, []))
        elif blocks:
            blocks[-1].vectors.append(tensor)
    if not blocks or not all(block.vectors for block in blocks[1:]):
        raise ValueError("expected an embedding, and vectors after each other matrix")
    return blocks


def named(tensors: list[Tensor], config: NetworkConfig, vocab_size: int) -> dict[str, Tensor]:
    """The tensors by the names, and in the shapes, that they have in a network of this package."""
    found: dict[str, Tensor] = {}
    remaining = iter(tensors)
    for name, expected in on_paper(config, vocab_size).state_dict().items():
        tensor = torch.tensor(0) if name.endswith(COUNT) else next(remaining, None)
        if tensor is None or tensor.numel() != expected.numel():
            got = "nothing" if tensor is None else str(tuple(tensor.shape))
            raise ValueError(f"expected {tuple(expected.shape)} for {name}, got {got}")
        found[NETWORK + name] = tensor.detach().to(expected.dtype).reshape(expected.shape).clone()
    if next(remaining, None) is not None:
        raise ValueError(f"it holds more than the {len(found)} tensors of its network")
    return found
