from pathlib import Path

import lightning as L
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import WORDS
from wavenet.data import BatchIndices, WindowDataset, WordsDataModule
from wavenet.vocabulary import UnknownCharacterError, Vocabulary


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


@given(st.integers(1, 50), st.integers(1, 20), st.integers(0, 5), st.integers(0, 5))
def test_an_epoch_visits_every_index_once_in_an_order_of_its_own(n: int, batch: int, seed: int, epoch: int) -> None:
    order = BatchIndices(n, batch, seed)
    order.set_epoch(epoch)
    batches = list(order)
    assert len(batches) == len(order)
    assert sorted(torch.cat(batches).tolist()) == list(range(n))
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


def test_drawing_with_replacement_repeats_and_fills_every_batch() -> None:
    drawn = list(BatchIndices(1000, 32, seed=1, replacement=True))
    assert {len(batch) for batch in drawn} == {32}
    assert len(torch.cat(drawn).unique()) < 700  # 632 expected


def module(words_file: Path, **kwargs: object) -> WordsDataModule:
    return WordsDataModule(str(words_file), **kwargs)  # type: ignore[arg-type]


def test_the_split_does_not_follow_the_training_seed(words_file: Path) -> None:
    splits = []
    for seed in (1, 2):
        L.seed_everything(seed, verbose=False)
        splits.append(module(words_file).split)
    assert splits[0] == splits[1]
    assert splits[0] != module(words_file, split_seed=7).split


def test_the_training_order_follows_the_training_seed(words_file: Path) -> None:
    def first_batch(seed: int) -> list[int]:
        L.seed_everything(seed, verbose=False)
        data = module(words_file)
        data.setup("fit")
        torch.rand(3)  # what is drawn in between does not matter
        batch: list[int] = next(iter(data.train_dataloader()))[1].tolist()
        return batch

    assert first_batch(1) == first_batch(1) != first_batch(2)


def test_evaluation_serves_each_window_once(words_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wavenet.data.EVAL_TOKENS", 8 * 7)
    data = module(words_file)
    data.setup("fit")
    windows = [
        (context, target)
        for contexts, targets in data.val_dataloader()
        for context, target in zip(contexts.tolist(), targets.tolist(), strict=True)
    ]
    assert windows == lecture_windows(data.split.val, data.vocabulary, 8)
    assert len(data.val_dataloader()) > 1


def test_facts_and_alphabet_are_known_before_any_model(words_file: Path) -> None:
    data = module(words_file)
    assert data.alphabet == "".join(sorted(set("".join(WORDS))))
    assert data.facts["words"] == {"train": 48, "val": 6, "test": 6}
    assert data.facts["examples"]["val"] == sum(len(word) + 1 for word in data.split.val)
    assert data.facts["also_in_train"] == {"val": 0, "test": 0}
    assert len(data.facts["sha256"]) == 64


def test_deduplicate_leaves_no_word_in_two_splits(tmp_path: Path) -> None:
    path = tmp_path / "twice.txt"
    path.write_text("\n".join(WORDS * 2), encoding="utf-8")
    assert sum(module(path).facts["also_in_train"].values()) > 0
    assert sum(module(path, deduplicate=True).facts["also_in_train"].values()) == 0
    assert sum(module(path, deduplicate=True).facts["words"].values()) == len(WORDS)


def test_the_default_corpus_is_the_bundled_one_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "world_names.tsv").write_text("".join(f"{word}\tx\n" for word in WORDS), encoding="utf-8")
    monkeypatch.setattr("wavenet.corpus.DATA_DIR", tmp_path)
    facts = WordsDataModule().facts
    assert facts["path"] == str(tmp_path / "world_names.tsv")
    assert "could not be downloaded" in facts["note"]


def test_a_path_that_the_user_gave_is_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="corpus not found"):
        _ = module(tmp_path / "names.txt").corpus


def test_a_character_outside_the_alphabet_is_found_at_setup(words_file: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownCharacterError, match="expected one of the 3 characters"):
        module(words_file, alphabet="xyz").setup("fit")
    other = tmp_path / "other.txt"
    other.write_text("emma\nzoë\n", encoding="utf-8")
    with pytest.raises(UnknownCharacterError, match=r"'m' \(U\+006D\) in 'emma'"):
        module(words_file, alphabet="aeilorsv", predict_path=str(other)).setup("predict")


def test_prediction_keeps_words_whole_and_in_order(words_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wavenet.data.EVAL_TOKENS", 16 * 8 * 2)
    data = module(words_file)
    data.setup("predict")
    batches = list(data.predict_dataloader())
    assert len(batches) == 3
    assert [int(batch.word_index[-1]) + 1 for batch in batches] == [2, 2, 2]
    targets = [token for batch in batches for token in batch.targets.tolist()]
    assert targets == [t for word in data.split.test for t in [*data.vocabulary.encode(word), 0]]


@pytest.mark.parametrize("name", ["block_size", "batch_size"])
def test_sizes_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        WordsDataModule(**{name: 0})  # type: ignore[arg-type]


def test_a_checkpoints_corpus_is_not_split_another_way(words_file: Path, tmp_path: Path) -> None:
    recorded = module(words_file).state_dict()
    module(words_file).load_state_dict(recorded)
    with pytest.raises(ValueError, match=r"--data\.split_seed contradicts the checkpoint: expected 42, got 7"):
        module(words_file, split_seed=7).load_state_dict(recorded)
    other = tmp_path / "other.txt"
    other.write_text("\n".join(WORDS[:30]), encoding="utf-8")
    module(other, split_seed=7).load_state_dict(recorded)
