"""Weights of the lecture's notebook, made here from plain tensors, as checkpoints that score and sample."""

import string
from collections.abc import Callable
from math import prod
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.conftest import run_cli
from wavenet import load
from wavenet.inference.checkpoint import CheckpointError
from wavenet.inference.notebook import read_notebook

LETTERS = string.ascii_lowercase
GENERATOR = torch.Generator().manual_seed(0)


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=GENERATOR) * 0.4


def weights(
    groups: list[int], embedding_dim: int, hidden_dim: int, at: list[int], norm_logits: bool = False
) -> list[Tensor]:
    """What the notebook has after training; ``at`` are the positions that each level's statistics are kept for."""
    tensors, width = [drawn(27, embedding_dim)], embedding_dim
    for group, positions in zip(groups, at, strict=True):
        shape = (1, positions, hidden_dim) if positions > 1 else (1, 1, hidden_dim)
        tensors += [drawn(group * width, hidden_dim), 1 + drawn(hidden_dim), drawn(hidden_dim)]
        tensors += [drawn(*shape), drawn(*shape).abs() + 0.5]
        width = hidden_dim
    if norm_logits:
        return [*tensors, drawn(width, 27), 1 + drawn(27), drawn(27), drawn(1, 27), drawn(1, 27).abs() + 0.5]
    return [*tensors, drawn(width, 27), drawn(27)]


def forward(tensors: list[Tensor], groups: list[int], contexts: Tensor) -> Tensor:
    """The lecture's network, with its own layers."""

    def norm(x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        return gamma * (x - mean) / torch.sqrt(var + 1e-5) + beta

    embedding, *left = tensors
    x = embedding[contexts]  # (B, T, C)
    for group in groups:
        x = x.view(len(x), -1, x.shape[2] * group)
        weight, *vectors = left[:5]
        x, left = torch.tanh(norm(x @ weight, *vectors)), left[5:]
    weight, *vectors = left
    x = x.squeeze(1) @ weight
    return norm(x, *vectors) if len(vectors) == 4 else x + vectors[0]


SHAPES = {
    "hierarchical": ([2, 2, 2], 10, 68, [1, 1, 1], False),
    "flat": ([3], 10, 200, [1], False),
    "square": ([2, 2], 8, 16, [1, 1], False),
    "norm on logits": ([2, 2, 2], 10, 100, [1, 1, 1], True),
    "the bug": ([2, 2, 2], 10, 20, [4, 2, 1], False),
}


@pytest.mark.parametrize(("groups", "embedding", "hidden", "at", "norm"), SHAPES.values(), ids=list(SHAPES))
@pytest.mark.parametrize("is_torch", [False, True], ids=["x @ weight", "nn.Linear"])
def test_an_imported_model_is_the_one_of_the_notebook(
    groups: list[int], embedding: int, hidden: int, at: list[int], norm: bool, is_torch: bool, tmp_path: Path
) -> None:
    tensors = weights(groups, embedding, hidden, at, norm)
    saved = list(tensors)
    if is_torch:
        saved = [x.T if i and x.ndim == 2 and len(x) > 1 else x for i, x in enumerate(tensors)]
    source, path = tmp_path / "notebook.pt", tmp_path / "notebook.ckpt"
    torch.save({str(i): tensor for i, tensor in enumerate(saved)}, source)
    assert run_cli("import", source, "--output", path) == 0
    model = load(path)
    contexts = torch.randint(27, (50, prod(groups)), generator=GENERATOR)
    torch.testing.assert_close(model.network(contexts), forward(tensors, groups, contexts), atol=1e-4, rtol=1e-4)
    assert len(model.sample(5, seed=1, max_length=9)) == 5
    assert model.score(["emma"])[0].log_prob < 0


def test_the_alphabet_of_other_words(tmp_path: Path, words_file: Path) -> None:
    tensors = weights([2, 2], 6, 12, [1, 1])
    alphabet = "abeilmorsv"
    tensors[0], tensors[-2], tensors[-1] = tensors[0][:11], tensors[-2][:, :11], tensors[-1][:11]
    torch.save(dict(enumerate(tensors)), tmp_path / "notebook.pt")
    path = tmp_path / "notebook.ckpt"
    assert run_cli("import", tmp_path / "notebook.pt", "--words", words_file, "--output", path) == 0
    assert load(path).vocabulary.alphabet == alphabet
    assert run_cli("sample", "--ckpt_path", path, "-n", "3", "--max_length", "5") == 0


def test_what_is_no_notebook_ends_in_one_line(cli_error: Callable[..., str], tmp_path: Path) -> None:
    path, whole = tmp_path / "notebook.pt", weights([2, 2], 6, 12, [1, 1])
    where = ("--output", tmp_path / "x.ckpt")

    def error(content: object) -> str:
        torch.save(content, path)
        return cli_error("import", path, *where).removeprefix(f"error: {path} ")

    kind = "does not hold the weights of the lecture's network: "
    assert error({}) == f"{kind}expected an embedding, and vectors after each other matrix\n"
    assert error([1, 2]) == f"{kind}its weights have no names\n"
    assert error(dict(enumerate(whole[:-2]))).startswith(kind)
    assert error(dict(enumerate([*whole[:7], *whole[8:]]))).startswith(f"{kind}a level has weights (24, 12)")
    assert error(dict(enumerate([whole[0][:20], *whole[1:]]))) == (
        f"{kind}its embedding has 20 rows, the alphabet 26 characters and the end\n"
    )
    assert error(dict(enumerate([*whole, whole[-1]]))).startswith(kind)
    assert "weights not found" in cli_error("import", tmp_path / "no.pt", *where)
    path.write_bytes(b"no archive")
    assert "is truncated or not weights: expected a dictionary of tensors" in cli_error("import", path, *where)
    assert not (tmp_path / "x.ckpt").exists()
    with pytest.raises(CheckpointError):
        read_notebook(path, LETTERS)
