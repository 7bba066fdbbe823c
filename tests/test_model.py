import re

import pytest

from tests.conftest import WORDS
from tests.enumeration import VOCABULARY, small_network
from wavenet.model import Model, build_network
from wavenet.vocabulary import UnknownCharacterError


@pytest.fixture
def model(words_file: "object") -> Model:
    return Model(small_network().train(), VOCABULARY)


def test_a_model_is_in_eval_mode_and_samples_scores_and_ranks(model: Model) -> None:
    assert not model.network.training
    words = model.sample(10, prefix="a", unique=True, max_length=4, seed=1)
    assert len(set(words)) == 10
    assert all(re.fullmatch("a[ab]{0,3}", word) for word in words)
    best = model.top(3, max_length=4)
    assert best.log_probs == pytest.approx([score.log_prob for score in model.score(best.words)], abs=1e-5)
    assert [character.character for character in model.explain("ab")] == ["a", "b", None]
    with pytest.raises(UnknownCharacterError):
        model.score(["ab", "abc"])


def test_the_rank_of_the_top_words_is_their_place(model: Model) -> None:
    best = model.top(12, min_length=0)
    ranks = model.ranks(20_000, seed=0)
    for place, (rank, error) in enumerate(ranks.of(best.log_probs)):
        assert abs(rank - place) < 4 * error + 0.01 * place + 0.01
    with pytest.raises(ValueError, match="num_samples must be at least 1, got 0"):
        model.ranks(0)


def test_words_of_the_corpus_do_not_come(tiny_run: "object") -> None:
    from wavenet import load

    trained = load(tiny_run / "checkpoints" / "best.ckpt")  # type: ignore[operator]
    assert not set(trained.sample(200, novel=True, seed=1)) & set(WORDS)
    assert not set(trained.top(20, novel=True, without=["a"]).words) & {*WORDS, "a"}


def test_unknown_networks_are_refused() -> None:
    with pytest.raises(ValueError, match="network must be one of wavenet, gated, wavenet_batch_norm_bug, got other"):
        build_network(3, "other")  # type: ignore[arg-type]
