import pickle
import re
from collections import Counter
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import WORDS
from tests.enumeration import VOCABULARY, all_words, normalised, small_network, word_probability
from tests.inference.test_sampling import assert_frequencies
from wavenet import load
from wavenet.corpus.vocabulary import UnknownCharacterError
from wavenet.inference.excluded import Excluded
from wavenet.inference.model import NUM_SAMPLERS, TrainedModel
from wavenet.inference.patterns import Wanted


@pytest.fixture
def model(words_file: "object") -> TrainedModel:
    return TrainedModel(small_network().train(), VOCABULARY)


def test_a_model_is_in_eval_mode_and_samples_scores_and_ranks(model: TrainedModel) -> None:
    assert not model.network.training
    words = model.sample(10, prefix="a", unique=True, max_length=4, seed=1)
    assert len(set(words)) == 10
    assert all(re.fullmatch("a[ab]{0,3}", word) for word in words)
    best = model.top(3, max_length=4)
    assert best.log_probs == pytest.approx([score.log_prob for score in model.score(best.words)], abs=1e-5)
    assert [character.character for character in model.explain("ab")] == ["a", "b", None]
    with pytest.raises(UnknownCharacterError):
        model.score(["ab", "abc"])


def test_the_rank_of_the_top_words_is_their_place(model: TrainedModel) -> None:
    best = model.top(12)
    for place, (rank, low, high) in enumerate(model.ranks(20_000, seed=0).of(best.log_probs), start=1):
        assert rank == pytest.approx(place, rel=0.02)
        assert low <= place <= high < low + 3
    with pytest.raises(ValueError, match="num_samples must be at least 1, got 0"):
        model.ranks(0)
    with pytest.raises(ValueError, match="num_samples must be at most 1000000, got 18446744073709551616"):
        model.ranks(2**64)


def test_words_of_the_corpus_do_not_come(tiny_run: Path) -> None:
    trained = load(tiny_run / "checkpoints" / "best.ckpt")
    assert "emilia" in WORDS  # one of them, which each of these finds
    assert trained.sample(1, pattern="emilia") == trained.top(1, pattern="emilia").words == ["emilia"]
    assert trained.sample(1, pattern="emilia", novel=True) == trained.top(1, pattern="emilia", novel=True).words == []
    others = trained.top(20, pattern="emil?a", novel=True, without=["emilla"]).words
    assert others
    assert not {"emilia", "emilla"} & set(others)


def test_calls_for_one_word_prepare_once(model: TrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    for kind in (Wanted, Excluded):
        make = kind.__init__

        def counted(self: Any, *args: Any, make: Any = make, name: str = kind.__name__) -> None:
            made.append(name)
            make(self, *args)

        monkeypatch.setattr(kind, "__init__", counted)
    options: list[dict[str, Any]] = [{}, {"prefix": "a"}, {"pattern": "*b", "without": ["ab", "b"], "unique": True}]
    for given in options:
        words = [model.sample(1, max_length=4, **given)[0] for _ in range(200)]
        assert len(set(words)) > 3
    assert made == ["Wanted"] * 3 + ["Excluded"]
    for seed in range(5):
        assert len(model.sample(1, seed=seed, max_length=4, **options[1])) == 1
    assert made == ["Wanted"] * 3 + ["Excluded"]
    for length in range(1, 9):
        model.sample(1, max_length=length)
    assert len(model._samplers) == NUM_SAMPLERS


def test_single_words_have_the_exact_probabilities(model: TrainedModel) -> None:
    words = [word for _ in range(3_000) for word in model.sample(1, max_length=3, without=["b"])]
    expected = {word: word_probability(model.network, word) for word in all_words(3) if word != "b"}
    assert_frequencies(Counter(words), normalised(expected))


def test_words_drawn_ahead_are_forgotten_when_the_weights_change(model: TrainedModel) -> None:
    assert {len(model.sample(1, without=["a"])[0]) for _ in range(40)} - {9}
    with torch.no_grad():
        model.network[-1].bias[0] = -1e9  # no word ends by itself any more
    assert model.sample(1, without=["a"], max_draws=20) == []
    assert model.sample(1, max_draws=20, seed=1) == []
    with torch.no_grad():
        model.network[-1].bias[0] = 1e9
    assert model.sample(1, without=["a"], min_length=0) == [""]
    assert load_again(model).sample(1, without=["a"], min_length=0) == [""]
    other = deepcopy(model)
    with torch.no_grad():
        other.network[-1].bias[0] = -1e9
    assert other.sample(1, without=["a"], max_draws=20) == []


def load_again(model: TrainedModel) -> TrainedModel:
    """The model, pickled and read again."""
    again: TrainedModel = pickle.loads(pickle.dumps(model))
    return again


def test_a_sampler_counts_its_own_draws(model: TrainedModel) -> None:
    one, other = model.sampler(pattern="?b"), model.sampler(pattern="?b")
    assert sum(len(batch.words) for batch in one.draw(5, seed=1)) == 5
    assert one.num_draws > other.num_draws == 0
