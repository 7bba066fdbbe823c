from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.trainer.states import TrainerFn

from tests.conftest import WORDS
from tests.network.test_packing import lecture_windows
from wavenet.corpus.vocabulary import UnknownCharacterError
from wavenet.training.data import WordsDataModule


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
        data = module(words_file, batch_size=8)
        data.setup("fit")
        torch.rand(3)  # what is drawn in between does not matter
        batch: list[int] = next(iter(data.train_dataloader())).targets.tolist()
        return batch

    assert first_batch(1) == first_batch(1) != first_batch(2)


def test_the_tokens_of_a_batch_are_those_of_its_words_on_average_or_of_its_windows(words_file: Path) -> None:
    def tokens(batch_size: int, batching: str) -> float:
        return module(words_file, batch_size=batch_size, batching=batching).tokens_of_batch

    train = module(words_file).split.train.words
    of_all = sum(map(len, train)) + len(train)
    assert tokens(8, "words") == pytest.approx(8 * of_all / len(train))
    assert tokens(8, "windows") == 8 * 8
    assert (tokens(10**6, "words"), tokens(10**6, "windows")) == (of_all, 8 * of_all)  # there are no more


def test_evaluation_serves_each_window_once(words_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wavenet.training.data.CHUNK", 14)
    data = module(words_file, batching="windows")
    data.setup("fit")
    windows = [
        (context, target)
        for contexts, targets in data.val_dataloader()
        for context, target in zip(contexts.tolist(), targets.tolist(), strict=True)
    ]
    assert windows == lecture_windows(data.split.val.words, data.vocabulary, 8)
    assert len(data.val_dataloader()) > 1


@pytest.mark.parametrize("batching", ["words", "windows"])
def test_a_training_validates_on_so_many_words_and_an_evaluation_on_all(
    words_file: Path, monkeypatch: pytest.MonkeyPatch, batching: str
) -> None:
    monkeypatch.setattr("wavenet.training.data.MEASURED", 4)
    data = module(words_file, batching=batching)
    data.trainer = L.Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False)
    sizes = {}
    for stage in (TrainerFn.FITTING, TrainerFn.VALIDATING):
        data.trainer.state.fn = stage
        sizes[stage] = sum(int((batch.targets == 0).sum()) for batch in data.val_dataloader())
    assert sizes == {TrainerFn.FITTING: 4, TrainerFn.VALIDATING: 6}


@pytest.mark.parametrize("batching", ["words", "windows"])
def test_an_encoded_file_gives_the_batches_of_the_list(
    words_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batching: str
) -> None:
    found = []
    for size in (2**20, 1):
        monkeypatch.setattr("wavenet.corpus.reading.ENCODED_FROM", size)
        monkeypatch.setenv("WAVENET_CACHE", str(tmp_path))
        L.seed_everything(1, verbose=False)
        data = module(words_file, batching=batching, batch_size=8)
        for stage in ("fit", "test", "predict"):
            data.setup(stage)
        loaders = (data.train_dataloader(), data.val_dataloader(), data.test_dataloader(), data.predict_dataloader())
        found.append(([part for loader in loaders for batch in loader for part in batch], data.trained_on))
    (listed, facts), (encoded, other_facts) = found
    assert facts == other_facts
    assert len(listed) == len(encoded)
    assert all(map(torch.equal, listed, encoded))


def test_facts_and_alphabet_are_known_before_any_model(words_file: Path) -> None:
    data = module(words_file)
    assert data.alphabet == "".join(sorted(set("".join(WORDS))))
    assert data.trained_on.words == {"train": 48, "val": 6, "test": 6}
    assert data.trained_on.examples["val"] == sum(len(word) + 1 for word in data.split.val.words)
    assert data.trained_on.also_in_train == {"val": 0, "test": 0}
    assert len(data.trained_on.sha256) == 64


def test_deduplicate_leaves_no_word_in_two_splits(tmp_path: Path) -> None:
    path = tmp_path / "twice.txt"
    path.write_text("\n".join(WORDS * 2), encoding="utf-8")
    assert sum(module(path).trained_on.also_in_train.values()) > 0
    assert sum(module(path, deduplicate=True).trained_on.also_in_train.values()) == 0
    assert sum(module(path, deduplicate=True).trained_on.words.values()) == len(WORDS)


def test_the_default_corpus_is_the_bundled_one_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "world_names.tsv").write_text("".join(f"{word}\tx\n" for word in WORDS), encoding="utf-8")
    monkeypatch.setattr("wavenet.corpus.download.DATA_DIR", tmp_path)
    monkeypatch.setattr("wavenet.corpus.download.BUNDLED", tmp_path / "world_names.tsv")
    found = WordsDataModule().trained_on
    assert found.path == str(tmp_path / "world_names.tsv")
    assert "could not be downloaded" in str(found.note)


def test_a_path_that_the_user_gave_is_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="words not found"):
        _ = module(tmp_path / "names.txt").corpus


def test_a_character_outside_the_alphabet_is_found_at_setup(words_file: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownCharacterError, match="expected one of the 3 characters"):
        module(words_file, alphabet="xyz").setup("fit")
    other = tmp_path / "other.txt"
    other.write_text("emma\nzoë\n", encoding="utf-8")
    with pytest.raises(UnknownCharacterError, match=r"'m' \(U\+006D\) in 'emma'"):
        module(words_file, alphabet="aeilorsv", predict_path=str(other)).setup("predict")


@pytest.mark.parametrize("batching", ["words", "windows"])
def test_prediction_keeps_words_whole_and_in_order(
    words_file: Path, batching: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wavenet.training.data.CHUNK", 16 * 2)
    data = module(words_file, batching=batching)
    data.setup("predict")
    batches = list(data.predict_dataloader())
    assert len(batches) == 3
    assert [int((batch.targets == 0).sum()) for batch in batches] == [2, 2, 2]
    targets = [token for batch in batches for token in batch.targets.tolist()]
    assert targets == [t for word in data.split.test.words for t in [*data.vocabulary.encode(word), 0]]


def test_sizes_too_small_are_refused() -> None:
    with pytest.raises(ValueError, match="block_size must be at least 1, got 0"):
        WordsDataModule(block_size=0)
    with pytest.raises(ValueError, match="batch_size must be at least 2, for batch norm to have a variance, got 1"):
        WordsDataModule(batch_size=1)


def test_a_checkpoints_corpus_is_not_split_another_way(words_file: Path, tmp_path: Path) -> None:
    recorded = module(words_file).state_dict()
    module(words_file).load_state_dict(recorded)
    with pytest.raises(ValueError, match=r"data\.split_seed contradicts the checkpoint: expected 42, got 7"):
        module(words_file, split_seed=7).load_state_dict(recorded)
    other = tmp_path / "other.txt"
    other.write_text("\n".join(WORDS[:30]), encoding="utf-8")
    module(other, split_seed=7).load_state_dict(recorded)


def test_a_long_list_that_an_older_version_cut_another_way_is_refused(
    words_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = module(words_file).state_dict()
    monkeypatch.setattr("wavenet.training.data.LISTED", 10)
    module(words_file).load_state_dict(recorded)
    recorded["examples"] = {**recorded["examples"], "val": 1}
    with pytest.raises(ValueError, match="is cut another way than by the version that wrote the checkpoint"):
        module(words_file).load_state_dict(recorded)
