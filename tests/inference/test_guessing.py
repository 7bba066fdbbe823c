"""What a model with labels does under one, and how it guesses them: against sums over all words."""

from math import exp, log

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.enumeration import MAX_LENGTH, VOCABULARY, all_words, normalised, word_probability
from tests.networks import lecture
from wavenet.corpus.labels import Labels
from wavenet.errors import ArgumentError
from wavenet.inference.model import TrainedModel
from wavenet.network.build import build
from wavenet.network.config import NetworkConfig

NAMES = ["X", "New Zealand", "日本語"]
NUM_DRAWS = 8_000


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    """A model of two characters whose three labels differ a lot."""
    torch.manual_seed(3)
    config = NetworkConfig(4, 2, 3, 8, activation="tanh", residual=False)
    network = build(config, len(VOCABULARY), len(NAMES))
    nn.init.normal_(network[0].label_weight)
    for _ in range(20):  # running statistics
        network(torch.randint(len(VOCABULARY) * 4, (64, 4)))
    nn.init.normal_(network[-1].weight, std=0.7)
    network[-1].bias.data[0] = 0.8
    return TrainedModel(network, VOCABULARY, labels=Labels({"X": 5, "New Zealand": 3, "日本語": 2}))


KINDS = ["X", "日本語", {"X": 0.7, "New Zealand": 0.3}, {"New Zealand": 2}, None]


def exact(model: TrainedModel, label: object, words: list[str]) -> dict[str, float]:
    network = model.network_for(label)
    return {word: word_probability(network, word) for word in words}


@pytest.mark.parametrize("label", KINDS)
def test_draws_under_a_label_come_from_its_distribution(model: TrainedModel, label: object) -> None:
    expected = normalised(exact(model, label, all_words()))
    drawn = model.sample(NUM_DRAWS, label=label, seed=5, max_length=MAX_LENGTH)
    statistic = sum((drawn.count(word) - NUM_DRAWS * p) ** 2 / (NUM_DRAWS * p) for word, p in expected.items())
    assert statistic < len(expected) + 4 * (2 * len(expected)) ** 0.5


@pytest.mark.parametrize("label", KINDS)
def test_what_is_wanted_stays_exact_under_a_label(model: TrainedModel, label: object) -> None:
    wanted = [word for word in all_words() if word.startswith("a") and word.endswith("b") and word != "ab"]
    expected = normalised(exact(model, label, wanted))
    options = {"prefix": "a", "pattern": "*b", "min_length": 2, "max_length": MAX_LENGTH, "without": ["ab"]}
    drawn = model.sample(NUM_DRAWS, label=label, seed=6, **options)
    statistic = sum((drawn.count(word) - NUM_DRAWS * p) ** 2 / (NUM_DRAWS * p) for word, p in expected.items())
    assert set(drawn) <= set(expected)
    assert statistic < len(expected) + 4 * (2 * len(expected)) ** 0.5
    assert sorted(model.sample(50, label=label, seed=7, unique=True, **options)) == sorted(wanted)


@pytest.mark.parametrize("label", KINDS)
def test_top_and_scores_under_a_label_are_exact(model: TrainedModel, label: object) -> None:
    expected = exact(model, label, all_words())
    ranking = model.top(len(expected), label=label, max_length=MAX_LENGTH)
    assert ranking.words == sorted(expected, key=lambda word: (-round(expected[word], 12), word))
    scores = model.score(ranking.words, label=label)
    assert [one.log_prob for one in scores] == pytest.approx([log(expected[word]) for word in ranking.words], abs=1e-5)
    assert [log_prob for log_prob in ranking.log_probs] == pytest.approx([one.log_prob for one in scores], abs=1e-5)
    first = model.explain("ab", label=label)
    assert sum(log(c.probability) for c in first) == pytest.approx(log(expected["ab"]), abs=1e-5)
    (rank,) = model.ranks(2000, seed=1, label=label).of([scores[0].log_prob])
    assert rank.low <= 3


def test_labels_differ(model: TrainedModel) -> None:
    probabilities = [model.score(["abba"], label=label)[0].log_prob for label in KINDS]
    assert len({round(x, 3) for x in probabilities}) == len(probabilities)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.text("ab", max_size=6), min_size=1, max_size=4), st.booleans())
def test_a_guess_is_that_of_bayes_rule(model: TrainedModel, words: list[str], uniform: bool) -> None:
    prior = {name: 1 / 3 if uniform else share for name, share in zip(NAMES, (0.5, 0.3, 0.2), strict=True)}
    for found, word in zip(model.guess(words, uniform=uniform), words, strict=True):
        joint = {name: prior[name] * exp(model.score([word], label=name)[0].log_prob) for name in NAMES}
        total = sum(joint.values())
        expected = {name: value / total for name, value in joint.items()}
        assert found.word == word
        assert found.probabilities == pytest.approx(expected, abs=1e-6)
        assert list(found.probabilities.values()) == sorted(found.probabilities.values(), reverse=True)
        assert found.label == max(expected, key=lambda name: expected[name])


@pytest.mark.parametrize("word", ["abba", ""])
def test_the_belief_moves_from_the_prior_to_the_guess(model: TrainedModel, word: str) -> None:
    beliefs = model.explain_guess(word)
    assert [belief.character for belief in beliefs] == ["", *word, None]
    assert beliefs[0].probabilities == pytest.approx({"X": 0.5, "New Zealand": 0.3, "日本語": 0.2})
    assert beliefs[-1].probabilities == pytest.approx(model.guess([word])[0].probabilities)


def test_samplers_are_kept_apart_by_label(model: TrainedModel) -> None:
    kinds = [None, "X", "日本語", {"X": 1, "日本語": 2}]
    again = [[model.sample(30, label=label, seed=1) for label in kinds] for _ in range(2)]
    assert again[0] == again[1]
    assert len({tuple(words) for words in again[0]}) == len(kinds)


def test_many_labels_are_guessed_in_parts() -> None:
    torch.manual_seed(0)
    network = build(NetworkConfig(4, 2, 2, 4), len(VOCABULARY), 5000)
    nn.init.normal_(network[0].label_weight)
    many = TrainedModel(network, VOCABULARY, labels=Labels({str(number): 1 for number in range(5000)}))
    (found,) = many.guess(["abba"])
    assert len(found.probabilities) == 5000
    assert sum(found.probabilities.values()) == pytest.approx(1)
    best = max(many.labels.names[:50], key=lambda name: many.score(["abba"], label=name)[0].log_prob)
    assert found.probabilities[best] == max(found.probabilities[name] for name in many.labels.names[:50])


def test_one_label_is_certain(model: TrainedModel) -> None:
    network = build(NetworkConfig(4, 2, 2, 4), len(VOCABULARY), 1)
    only = TrainedModel(network, VOCABULARY, labels=Labels({"X": 9}))
    assert only.guess(["ab"])[0].probabilities == {"X": 1.0}
    assert len(only.sample(3, label="X", seed=1)) == 3


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("new zealand", "must be one of 3 labels, got 'new zealand'; the nearest are New Zealand"),
        ("", "must be one of 3 labels, got ''"),
        ({"X": 0.5, "Y": 0.5}, "must be one of 3 labels, got 'Y'"),
        ({"X": 0.5, "日本語": 0}, "must have weights above 0, got 日本語=0"),
        ({"X": float("nan")}, "must have weights above 0, got X=nan"),
        ({}, "must name a label, got none"),
    ],
)
def test_wrong_labels(model: TrainedModel, label: object, message: str) -> None:
    for use in (model.sample, model.top, lambda n, label: model.score(["ab"], label=label)):
        with pytest.raises(ArgumentError, match=message):
            use(1, label=label)


def test_a_model_without_labels_knows_none() -> None:
    plain = TrainedModel(lecture(len(VOCABULARY), 4, 2, 2, 4), VOCABULARY)
    with pytest.raises(ArgumentError, match="label needs a model that was trained with labels, got 'X'"):
        plain.sample(1, label="X")
    with pytest.raises(ValueError, match="the model knows no labels"):
        plain.guess(["ab"])
