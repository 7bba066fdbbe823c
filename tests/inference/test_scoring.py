import json
import sys
from math import exp, log, log2, sqrt

import pytest
import torch
from torch.nn import functional as F

from tests.enumeration import all_words, small_network, step_probabilities, word_probability
from tests.networks import lecture
from wavenet.corpus.vocabulary import Vocabulary
from wavenet.inference import scoring
from wavenet.inference.scoring import Ranks, explain, score, word_log_probs
from wavenet.network.packing import Windows
from wavenet.network.sliding import eval_mode
from wavenet.training.datasets import WindowDataset
from wavenet.training.loss import mean_loss

WORDS = ["ab", "ba", "a", "bbbb"]
VOCABULARY = Vocabulary("ab")


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_the_mean_is_over_tokens_whatever_the_batches(batch_size: int) -> None:
    torch.manual_seed(0)
    network, windows = lecture(3), WindowDataset(WORDS, VOCABULARY, 8)
    contexts, targets = windows[torch.arange(len(windows))]
    batches = map(Windows, contexts.split(batch_size), targets.split(batch_size))
    loss = mean_loss(network, batches, torch.device("cpu"))
    assert network.training
    with eval_mode(network):
        assert loss == pytest.approx(F.cross_entropy(network(contexts), targets).item(), abs=1e-6)


def test_log_probabilities_add_up_over_a_word_and_its_end() -> None:
    torch.manual_seed(0)
    windows = WindowDataset(WORDS, VOCABULARY, 8)
    contexts, targets = windows[torch.arange(len(windows))]
    logits = lecture(3).eval()(contexts)
    found = word_log_probs(logits, targets)
    each = logits.log_softmax(-1)[torch.arange(len(targets)), targets]
    expected = torch.stack([part.sum() for part in each.split([len(word) + 1 for word in WORDS])])
    torch.testing.assert_close(found, expected)


def test_scores_are_windowed_log_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "CHUNK", 3)
    network, words = small_network().train(), ["ab", "ba", "", "bbbb", "abababab", "ab"]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    scores = score(network, VOCABULARY, words)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert [scored.word for scored in scores] == words
    for word, log_prob, bits in scores:
        probability = word_probability(network, word)
        assert log_prob == pytest.approx(log(probability), abs=1e-5)
        assert bits == pytest.approx(-log2(probability) / (len(word) + 1), abs=1e-5)
    assert score(network, VOCABULARY, []) == []


def test_explained_probabilities_are_the_models() -> None:
    network = small_network()
    characters = explain(network, VOCABULARY, "abb")
    shown = [None, *"ab"]
    for length, character in enumerate(characters):
        probs = step_probabilities(network, "abb"[:length])
        assert character.probability == pytest.approx(probs[shown.index(character.character)], abs=1e-6)
        assert character.bits == pytest.approx(-log2(character.probability))
        others = [(shown[token], probs[token]) for token in sorted(range(3), key=lambda token: -probs[token])]
        expected = [(other, p) for other, p in others if other != character.character]
        assert [other for other, _ in character.alternatives] == [other for other, _ in expected]
        assert [p for _, p in character.alternatives] == pytest.approx([p for _, p in expected], abs=1e-6)


def test_ranks_are_unbiased_where_all_words_can_be_counted() -> None:
    network = small_network()
    probability = {word: word_probability(network, word) for word in all_words(8)}
    ordered = sorted(probability, key=lambda word: -probability[word])
    generator = torch.Generator().manual_seed(0)
    left_out = 1 - sum(probability.values())  # longer words do not count
    draws = torch.multinomial(torch.tensor([*probability.values(), left_out]), 20_000, True, generator=generator)
    log_probs = [log(list(probability.values())[draw]) for draw in draws.tolist() if draw < len(probability)]
    ranks = Ranks(log_probs, num_draws=20_000)
    for place in (1, 2, 5, 20, 60):
        rank, error = ranks.of([log(probability[ordered[place - 1]])])[0]
        assert error is not None
        assert abs(rank - place) < 4 * error + 1e-6
    assert ranks.of([min(log_probs) - 50])[0].error is None
    assert exp(max(log_probs)) == pytest.approx(probability[ordered[0]])


def test_ranks_of_words_that_are_hardly_possible_are_finite_and_right() -> None:
    ranks = Ranks([-1.0, -400.0, -400.0, -800.0, -850.0], num_draws=10)
    first, second, third = ranks.of([0.0, -401.0, -900.0])
    assert first == (1, 0)
    assert second.rank == pytest.approx(2 * exp(400) / 10)
    assert second.error == pytest.approx(exp(400) * sqrt((2 / 10 - (2 / 10) ** 2) / 10))
    assert third == (sys.float_info.max, None)
    assert ranks.of([-801.0])[0] == (sys.float_info.max, sys.float_info.max)
    assert "nan" not in json.dumps(ranks.of([-1.0, -399.0, -400.0, -500.0, -1e6]), allow_nan=False)
