import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wavenet.corpus.vocabulary import Vocabulary
from wavenet.network.packing import pack
from wavenet.training.datasets import BatchIndices, WindowDataset, WordDataset


def lecture_windows(words: list[str], vocabulary: Vocabulary, block_size: int) -> list[tuple[list[int], int]]:
    """The windows as the lecture makes them, one character at a time."""
    windows = []
    for word in words:
        context = [0] * block_size
        for token in [*vocabulary.encode(word), 0]:
            windows.append((context, token))
            context = [*context[1:], token]
    return windows


@settings(deadline=None)
@given(st.lists(st.text("ab.é", min_size=1), min_size=1, max_size=9), st.integers(1, 12))
def test_windows_are_the_lectures(words: list[str], block_size: int) -> None:
    vocabulary = Vocabulary("ab.é")
    dataset = WindowDataset(words, vocabulary, block_size)
    contexts, targets = dataset[torch.arange(len(dataset))]
    assert list(zip(contexts.tolist(), targets.tolist(), strict=True)) == lecture_windows(words, vocabulary, block_size)


@given(st.integers(2, 50), st.integers(2, 20), st.integers(0, 5), st.integers(0, 5))
def test_an_epoch_visits_every_index_once_in_an_order_of_its_own(n: int, batch: int, seed: int, epoch: int) -> None:
    order = BatchIndices(n, batch, seed)
    order.set_epoch(epoch)
    batches = list(order)
    assert len(batches) == len(order)
    assert sorted(torch.cat(batches).tolist()) == list(range(n))
    assert min(map(len, batches)) > 1
    assert [b.tolist() for b in order] == [b.tolist() for b in batches]
    assert torch.cat(list(BatchIndices(n, batch))).tolist() == list(range(n))


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = set()
    for seed in range(3):
        for epoch in range(3):
            order = BatchIndices(1000, 100, seed)
            order.set_epoch(epoch)
            orders.add(tuple(torch.cat(list(order)).tolist()))
    assert len(orders) == 9


@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize("size", [33, 40, 64])
def test_a_long_order_is_computed_from_any_position(
    size: int, replacement: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wavenet.training.datasets.LISTED", 20)
    order = BatchIndices(size, 8, seed=3, replacement=replacement)
    order.set_epoch(2)
    batches = [batch.tolist() for batch in order]
    assert len(batches) == len(order)
    visited = sorted(index for batch in batches for index in batch)
    assert (visited == list(range(size))) == (not replacement)
    assert set(visited) <= set(range(size))
    for done in (1, len(batches) - 1, len(batches)):
        later = BatchIndices(size, 8, seed=3, replacement=replacement, done=lambda done=done: done)  # type: ignore[misc]
        later.set_epoch(2)
        assert [batch.tolist() for batch in later] == batches[done:]
    order.set_epoch(3)
    assert [batch.tolist() for batch in order] != batches


def test_orders_of_the_lectures_size_are_as_they_were() -> None:
    generator = torch.Generator().manual_seed(random.Random("1/2").getrandbits(63))
    order = BatchIndices(1001, 100, seed=1)
    order.set_epoch(2)
    expected = torch.randperm(1001, generator=generator)
    assert torch.equal(torch.cat(list(order)), expected)


def test_drawing_with_replacement_repeats_and_fills_every_batch() -> None:
    drawn = list(BatchIndices(1000, 32, seed=1, replacement=True))
    assert {len(batch) for batch in drawn} == {32}
    assert len(torch.cat(drawn).unique()) < 700  # 632 expected


@settings(deadline=None)
@given(st.lists(st.text("ab.é"), min_size=1, max_size=9), st.data())
def test_packed_words_are_the_words_between_boundaries(words: list[str], data: st.DataObject) -> None:
    vocabulary = Vocabulary("ab.é")
    index = data.draw(st.lists(st.integers(0, len(words) - 1), min_size=1))
    batch = WordDataset(words, vocabulary)[torch.tensor(index)]
    chosen = [words[i] for i in index]
    assert all(map(torch.equal, batch, pack(chosen, vocabulary)))
    beginnings = [""]  # of each row, read along the tree
    for token, previous in list(zip(batch.tokens.tolist(), batch.previous.tolist(), strict=True))[1:]:
        beginnings.append(beginnings[previous] + vocabulary.decode([token]))
    assert batch.tokens[0] == batch.previous[0] == 0
    distinct = {word[:length] for word in chosen for length in range(len(word) + 1)}
    assert beginnings == sorted(distinct, key=lambda beginning: (len(beginning), vocabulary.encode(beginning)))
    expected = [word[:length] for word in chosen for length in range(len(word) + 1)]
    assert [beginnings[row] for row in batch.rows] == expected
    assert batch.targets.tolist() == [token for word in chosen for token in [*vocabulary.encode(word), 0]]
