from math import log

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.enumeration import VOCABULARY, small_network, step_probabilities
from wavenet.corpus.splitting import Part, Split
from wavenet.experiments import learned
from wavenet.experiments.learned import Tally, close_to, in_two_dimensions, measure, shares_of
from wavenet.inference.scoring import score
from wavenet.network.layers import Ensemble, FlattenConsecutive

VAL = ["ab", "b", "abba", "ba", "aab"]
SPLIT = Split(Part(["ab", "bbb"], [()] * 2), Part(VAL, [()] * len(VAL)), Part(["bb"], [()]))
SMALL = st.text("abc", max_size=5)


def edits(word: str, other: str) -> int:
    """The edit distance, by the textbook."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(word, start=1):
        row, above = [i], row
        for j, b in enumerate(other, start=1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a != b)))
    return row[-1]


@settings(deadline=None, max_examples=200)
@given(st.lists(SMALL, max_size=8), st.lists(SMALL, max_size=8))
def test_close_words_are_those_of_edit_distance_one(words: list[str], known: list[str]) -> None:
    assert close_to(words, known) == {word for word in words if any(edits(word, other) == 1 for other in known)}


@pytest.mark.parametrize("at_a_time", [learned.AT_A_TIME, 1])
def test_losses_by_position_and_character_are_those_of_the_words(
    at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learned, "AT_A_TIME", at_a_time)
    network = small_network()
    found = measure(network, VOCABULARY, SPLIT)
    tokens = sum(len(word) + 1 for word in VAL)
    total = -sum(scored.log_prob for scored in score(network, VOCABULARY, VAL))
    assert found.losses["val"][0] == pytest.approx(total / tokens)
    unseen = [scored for scored in score(network, VOCABULARY, VAL) if scored.word != "ab"]
    expected = -sum(scored.log_prob for scored in unseen) / (tokens - 3)
    mean, low, high = found.losses["val_unseen"]
    assert mean == pytest.approx(expected)
    assert low < mean < high
    for means in (found.by_position, found.by_character):
        assert sum(mean.loss * mean.tokens for mean in means) == pytest.approx(total)
        assert sum(mean.tokens for mean in means) == tokens
    assert [mean.tokens for mean in found.by_position] == [5, 5, 4, 2, 1]
    first = [-log(step_probabilities(network, "")[VOCABULARY.encode(word)[0]]) for word in VAL]
    assert found.by_position[0].loss == pytest.approx(np.mean(first), abs=1e-5)
    after = [step_probabilities(network, word)[0] for word in VAL]
    assert found.by_character[0].loss == pytest.approx(-np.log(after).mean(), abs=1e-5)


def test_true_probabilities_are_calibrated_and_others_are_not() -> None:
    torch.manual_seed(0)
    probs = torch.rand(50_000, dtype=torch.float64)
    true, bold = (Tally(np.linspace(0, 1, 11)[1:-1]) for _ in range(2))
    true.add(probs, torch.rand(50_000) < probs)
    bold.add(probs, torch.rand(50_000) < probs / 2)
    assert true.calibration().error < 0.01
    assert bold.calibration().error == pytest.approx(0.25, abs=0.01)
    assert sum(one.size for one in true.calibration().bins) == 50_000


def test_every_prediction_is_counted() -> None:
    found = measure(small_network(), VOCABULARY, SPLIT)
    tokens = sum(len(word) + 1 for word in VAL)
    assert sum(one.size for one in found.likeliest.bins) == tokens
    assert sum(one.size for one in found.every.bins) == tokens * len(VOCABULARY)
    assert sum(one.predicted * one.size for one in found.every.bins) == pytest.approx(tokens)
    assert sum(one.observed * one.size for one in found.every.bins) == pytest.approx(tokens)


def embedded(rows: list[list[float]]) -> nn.Sequential:
    """A network whose tokens have these vectors."""
    weight = torch.tensor(rows)
    return nn.Sequential(nn.Embedding.from_pretrained(weight), FlattenConsecutive(2), nn.Linear(2, 2))


def test_the_plane_is_that_of_the_tokens_that_come() -> None:
    rows = [[0.0, 0.0, 5.0], [1.0, 0.0, 5.0], [3.0, 1.0, 5.0], [0.0, 0.0, 99.0]]
    points, variance = in_two_dimensions(embedded(rows), [0.25, 0.5, 0.25, 0.0])
    assert sum(variance) == pytest.approx(1)
    assert variance[0] > variance[1] > 0
    apart = [[np.hypot(a.x - b.x, a.y - b.y) for a in points[:3]] for b in points[:3]]
    expected = [[np.linalg.norm(np.subtract(a, b)) for a in rows[:3]] for b in rows[:3]]
    np.testing.assert_allclose(apart, expected, atol=1e-5)


@pytest.mark.parametrize("rows", [[[1.0], [2.0]], [[1.0, 1.0], [1.0, 1.0]], [[1.0, 2.0, 3.0]]])
def test_embeddings_that_do_not_fill_a_plane(rows: list[list[float]]) -> None:
    points, variance = in_two_dimensions(embedded(rows), [1 / len(rows)] * len(rows))
    assert len(points) == len(rows)
    assert np.isfinite(points).all()
    assert variance[1] == 0


def test_the_embeddings_of_an_ensemble_stand_side_by_side() -> None:
    rows = [[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]
    alone, shares = in_two_dimensions(embedded(rows), [1 / 3] * 3)
    twice, same = in_two_dimensions(Ensemble(embedded(rows), embedded(rows)), [1 / 3] * 3)
    assert same == pytest.approx(shares)
    np.testing.assert_allclose(twice, np.array(alone) * 2**0.5, atol=1e-6)


def test_words_are_of_the_first_kind_that_fits() -> None:
    shares = shares_of(["ab", "b", "abb", "bbbaa", "bb", "ab"], SPLIT)
    assert shares == pytest.approx({"train": 2 / 6, "held out": 2 / 6, "near": 1 / 6, "new": 1 / 6})
    shares = shares_of(VAL, SPLIT, held_out=False)
    assert shares == pytest.approx({"train": 1 / 5, "held out": 0, "near": 2 / 5, "new": 2 / 5})  # b and aab; abba, ba
