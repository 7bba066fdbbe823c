import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import run_cli
from wavenet.corpus.ngram import best_ngram
from wavenet.network.config import NetworkConfig
from wavenet.training.data import WordsDataModule
from wavenet.training.optimization import OptimizationConfig
from wavenet.training.recipe import (
    AFFORDABLE,
    FINE_TUNING,
    MOST_LOGITS,
    NAMES_TOKENS,
    NAMES_WORDS,
    Recipe,
    chosen_for,
    describe,
    num_weights,
    recipe_for,
)

SMALL = ["--trainer.limit_train_batches=2", "--samples.enabled=false", "--record.enabled=false"]


def like_names(num_words: int, num_tokens: int) -> list[str]:
    """As many words with as many tokens."""
    length, longer = divmod(num_tokens - num_words, num_words)
    return ["a" * (length + 1)] * longer + ["a" * length] * (num_words - longer)


def test_the_table_of_ngrams_grows_with_the_list_and_leaves_room_for_a_rich_alphabet() -> None:
    names, many = like_names(NAMES_WORDS, NAMES_TOKENS), like_names(3 * NAMES_WORDS, 3 * NAMES_TOKENS)
    rich = ["".join(map(chr, range(first, first + 5))) for first in range(0x4E00, 0x6E00, 5)]
    assert (recipe_for(names).ngram_rows, recipe_for(many).ngram_rows) == (2**14, 2**20)
    assert 2 * recipe_for(rich).ngram_rows * 0x2001 > MOST_LOGITS >= recipe_for(rich).ngram_rows * 0x2001


def test_the_defaults_of_the_classes_are_the_recipe_for_names() -> None:
    recipe = recipe_for(like_names(NAMES_WORDS, NAMES_TOKENS))
    network, optimization = NetworkConfig(), OptimizationConfig()
    assert (recipe.max_steps, recipe.batch_size) == (505, WordsDataModule().batch_size)
    for name in ("learning_rate", "weight_decay", "ngram_learning_rate"):
        assert getattr(recipe, name) == getattr(optimization, name)
    for name in ("dropout", "hidden_dim", "block_size", "ngram_gain"):
        assert getattr(recipe, name) == getattr(network, name)


@given(st.lists(st.integers(1, 300), min_size=4, max_size=300), st.booleans())
def test_every_list_has_a_recipe_that_can_train(lengths: list[int], windows: bool) -> None:
    words = ["a" * length for length in lengths]
    recipe = recipe_for(words, windows)
    num_examples = sum(lengths) + len(lengths) if windows else len(words)
    assert 2 <= recipe.batch_size <= max(4, num_examples)
    assert 1 <= recipe.num_validations <= recipe.max_steps
    assert recipe.steps_per_epoch == -(-num_examples // recipe.batch_size)
    assert 0 <= recipe.dropout <= 0.5
    epochs = recipe.max_steps / recipe.steps_per_epoch
    assert recipe.ngram_gain == 0.3 or epochs * recipe.learning_rate * recipe.ngram_gain == pytest.approx(0.1, rel=0.1)
    shape = ("block_size", "hidden_dim", "dropout", "ngram_rows", "ngram_gain")
    NetworkConfig(**{name: getattr(recipe, name) for name in shape})
    rates = ("learning_rate", "weight_decay", "ngram_learning_rate")
    OptimizationConfig(**{name: getattr(recipe, name) for name in rates})
    assert recipe.ngram_gain * recipe.ngram_learning_rate <= 0.2 * 1.01


def test_longer_words_come_in_larger_batches_with_more_rows_of_ngrams() -> None:
    short, long = recipe_for(like_names(4_000, 7 * 4_000)), recipe_for(like_names(700, 40 * 700))
    assert long.batch_size * 40 > 1.25 * short.batch_size * 7
    assert long.ngram_rows > short.ngram_rows


def test_smaller_lists_get_more_epochs_smaller_batches_and_more_dropout() -> None:
    recipes = [recipe_for(like_names(size, 7 * size)) for size in (40, 400, 4_000, 40_000, 400_000)]
    batches = [recipe.batch_size for recipe in recipes]
    epochs = [recipe.max_steps / recipe.steps_per_epoch for recipe in recipes]
    assert batches == sorted(batches)
    assert [recipe.dropout for recipe in recipes] == sorted((recipe.dropout for recipe in recipes), reverse=True)
    assert epochs[1:] == sorted(epochs[1:], reverse=True)
    assert epochs[-1] >= 1


@pytest.mark.parametrize(("num_words", "length"), [(1_600, 6), (800, 43), (4_000, 2)])
def test_no_list_has_more_than_fifty_epochs(num_words: int, length: int) -> None:
    recipe = recipe_for(like_names(num_words, (1 + length) * num_words))
    assert recipe.max_steps / recipe.steps_per_epoch == 50


@pytest.mark.parametrize("num_words", [40, 800, 8_000, 24_000])
@pytest.mark.parametrize("length", [6, 40, 200])
@pytest.mark.parametrize("num_characters", [20, 3_000])
def test_no_list_of_up_to_30_000_words_takes_more_than_a_minute(
    num_words: int, length: int, num_characters: int
) -> None:
    text = "".join(map(chr, range(0x4E00, 0x4E00 + num_characters))) * (1 + length // num_characters) * 2
    words = [text[begin : begin + length] for begin in (length * i % num_characters for i in range(num_words))]
    recipe = recipe_for(words)
    assert operations(words, recipe) < 1.01 * AFFORDABLE
    assert recipe.hidden_dim >= 32


def operations(words: list[str], recipe: Recipe) -> float:
    """Of a training on the words as the rule has it, forward and backward."""
    num_tokens = sum(map(len, words)) + len(words)
    epochs = recipe.max_steps / recipe.steps_per_epoch
    return 6 * num_weights(recipe.hidden_dim, len(set().union(*words))) * num_tokens * epochs


def test_more_words_may_take_longer() -> None:
    lists = [like_names(size, 100 * size) for size in (24_000, 48_000, 96_000)]
    needed = [operations(words, recipe_for(words)) for words in lists]
    assert needed[0] < needed[1] < needed[2]
    assert needed[2] < 4.1 * AFFORDABLE


def test_the_table_of_a_large_list_is_learned_row_by_row_unless_its_gain_is_given() -> None:
    words, rate = like_names(700, 40 * 700), "model.optimization.ngram_learning_rate"
    recipe, gain = recipe_for(words), {"model.network.ngram_gain": 0.3}
    assert recipe.ngram_learning_rate > 0
    chosen = chosen_for(words, {})
    assert chosen[rate] == recipe.ngram_learning_rate
    assert f"rows of n-grams, learned row by row at {chosen[rate]:g}; set any" in describe(chosen, 700)
    assert not {rate, "model.network.ngram_gain"} & set(chosen_for(words, {"model.network.ngram_rows": 0}))
    assert rate not in chosen_for(words, gain)
    fine_tuned = chosen_for(words, gain | {"init_from": "runs/other"})
    assert fine_tuned[rate] == pytest.approx(FINE_TUNING * recipe.ngram_learning_rate, abs=1e-3)
    assert rate not in chosen_for(like_names(700, 7 * 700), {})


def config_of(root: Path) -> Any:
    return yaml.safe_load((root / "default" / "version_0" / "config.yaml").read_text(encoding="utf-8"))


def test_the_command_line_follows_the_words_and_records_it(
    words_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli("fit", "--data.path", words_file, "--trainer.default_root_dir", tmp_path, *SMALL) == 0
    data = WordsDataModule(str(words_file))
    recipe = recipe_for(data.split.train.words)
    config = config_of(tmp_path)
    assert config["data"]["batch_size"] == recipe.batch_size
    assert config["trainer"]["max_steps"] == recipe.max_steps
    assert config["trainer"]["log_every_n_steps"] == recipe.max_steps // 10
    assert config["model"]["optimization"]["learning_rate"] == recipe.learning_rate
    assert config["model"]["network"]["hidden_dim"] == recipe.hidden_dim
    assert config["model"]["network"]["ngram_rows"] == recipe.ngram_rows
    assert config["model"]["network"]["ngram_gain"] == recipe.ngram_gain
    metrics = json.loads((tmp_path / "default" / "version_0" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["steps"] == recipe.max_steps
    said = capsys.readouterr().out
    assert f"48 words: batches of {recipe.batch_size}, {recipe.max_steps} steps" in said
    assert f"dropout {recipe.dropout:g}, width {recipe.hidden_dim}, context 8, 16,384 rows of n-grams" in said


def test_what_is_given_wins(words_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text("model:\n  network:\n    dropout: 0.25\n    block_size: 4\n", encoding="utf-8")
    options = ["--config", tmp_path / "mine.yaml", "--data.batch_size=6", "--trainer.max_epochs=2", "--quiet"]
    options += ["--data.path", words_file, "--trainer.default_root_dir", tmp_path]
    assert run_cli("fit", *options, "--model.optimization", '{"learning_rate": 0.001}') == 0
    config = config_of(tmp_path)
    assert (config["data"]["batch_size"], config["data"].get("block_size", 4)) == (6, 4)
    assert (config["model"]["network"]["dropout"], config["model"]["network"]["block_size"]) == (0.25, 4)
    assert config["model"]["optimization"]["learning_rate"] == 0.001
    assert (config["trainer"]["max_epochs"], config["trainer"]["max_steps"]) == (2, -1)
    assert config["trainer"]["log_every_n_steps"] == 1  # 16 steps
    metrics = json.loads((tmp_path / "default" / "version_0" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["steps"] == 16
    assert "chosen for" not in capsys.readouterr().out


def test_fine_tuning_has_a_lower_learning_rate() -> None:
    words = ["emma", "ava"] * 100
    fresh, tuned = (chosen_for(words, given) for given in ({}, {"init_from": "best.ckpt"}))
    assert tuned.pop("model.optimization.learning_rate") == pytest.approx(
        0.3 * fresh.pop("model.optimization.learning_rate"), abs=1e-5
    )
    assert tuned == fresh


def test_long_words_and_rich_alphabets_have_recipes_of_their_own() -> None:
    names = recipe_for(like_names(4_000, 28_500))
    assert recipe_for(["".join(chr(0x4E00 + 37 * i % 3_000 + j) for j in range(6)) for i in range(4_000)]).max_steps < (
        names.max_steps
    )
    assert recipe_for(like_names(4_000, 172_000)).hidden_dim > 128
    assert recipe_for(["ab", "abc", "a"] * 50).block_size == 4


@pytest.mark.parametrize("enabled", [True, False])
def test_the_ngram_stands_beside_the_losses(
    enabled: bool, words_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--data.path", words_file, "--trainer.default_root_dir", tmp_path, *SMALL, "--trainer.max_steps=4"]
    assert run_cli("fit", *options, f"--ngram.enabled={enabled}") == 0
    metrics = json.loads((tmp_path / "default" / "version_0" / "metrics.json").read_text(encoding="utf-8"))
    data = WordsDataModule(str(words_file))
    best = best_ngram(data.split, len(data.vocabulary))
    expected = {
        "order": best.order,
        "words": 48,
        "val/loss": best.losses["val"],
        "test/loss": best.losses["test"],
    }
    assert metrics["ngram"] == (expected if enabled else None)
    said = capsys.readouterr().out
    assert (f"{best.order}-gram, to compare" in said) == enabled
    assert ("predicts the validation words better than the network" in said) == enabled  # after four steps
    assert metrics["val/standard_error"] > 0
    assert metrics["threads"]["number"] >= 1


def test_what_goes_with_a_given_option_is_not_chosen_against_it(words_file: Path) -> None:
    words = WordsDataModule(str(words_file)).split.train.words
    chosen = chosen_for(words, {"trainer.val_check_interval": 5})
    assert chosen["trainer.check_val_every_n_epoch"] is None  # 5 steps, however many an epoch has
    assert "trainer.val_check_interval" not in chosen
    assert "model.network.block_size" not in chosen_for(words, {"model.network.group_size": 8})


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--data.batch_size=0", "--data.batch_size must be at least 2, for batch norm to have a variance, got 0"),
        ("--model.network.block_size=-1", "--model.network.block_size must be at least 1, got -1"),
    ],
)
def test_a_value_that_the_rule_cannot_use_is_refused(
    words_file: Path, tmp_path: Path, cli_error: Callable[..., str], option: str, message: str
) -> None:
    arguments = ["fit", "--data.path", words_file, "--trainer.default_root_dir", tmp_path, option]
    assert message in cli_error(*arguments, code=2)
