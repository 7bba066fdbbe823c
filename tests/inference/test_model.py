import re
from pathlib import Path

import pytest

from tests.conftest import WORDS
from tests.enumeration import VOCABULARY, small_network
from wavenet import load
from wavenet.corpus.vocabulary import UnknownCharacterError
from wavenet.inference.model import TrainedModel


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
    for place, (rank, error) in enumerate(model.ranks(20_000, seed=0).of(best.log_probs), start=1):
        assert error is not None
        assert abs(rank - place) < 4 * error + 1e-6
    with pytest.raises(ValueError, match="num_samples must be at least 1, got 0"):
        model.ranks(0)


def test_words_of_the_corpus_do_not_come(tiny_run: Path) -> None:
    trained = load(tiny_run / "checkpoints" / "best.ckpt")
    assert "emilia" in WORDS  # one of them, which each of these finds
    assert trained.sample(1, pattern="emilia") == trained.top(1, pattern="emilia").words == ["emilia"]
    assert trained.sample(1, pattern="emilia", novel=True) == trained.top(1, pattern="emilia", novel=True).words == []
    others = trained.top(20, pattern="emil?a", novel=True, without=["emilla"]).words
    assert others
    assert not {"emilia", "emilla"} & set(others)
