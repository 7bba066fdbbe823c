import json
import sys
from collections.abc import Callable
from math import exp, log, log2, sqrt

import pytest
import torch
from torch.nn import functional as F

from tests.enumeration import all_words, small_network, step_probabilities, word_probability
from tests.networks import lecture
from wavenet.corpus.vocabulary import Vocabulary
from wavenet.inference import scoring
from wavenet.inference.scoring import RISK, Ranks, explain, score, word_log_probs
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


NUM_SEEDS = 200
LETTERS_ALONE = [0.4 / 26**length for length in range(1, 4) for _ in range(26**length)]  # many words tie


def enumerated() -> list[float]:
    """The probabilities of all words of up to eight characters of a small model."""
    network = small_network()
    return [word_probability(network, word) for word in all_words(8)]


def many_rare_words() -> list[float]:
    """Words three times as many as others and a sixth as probable, again and again: most are never drawn."""
    generator = torch.Generator().manual_seed(0)
    sizes = [3**level for level in range(10)]
    probs = torch.cat([torch.full((size,), 0.5 ** (level + 1) / size) for level, size in enumerate(sizes)]).double()
    return (probs * (0.8 + 0.2 * torch.rand(len(probs), generator=generator))).tolist()


@pytest.mark.parametrize("probabilities", [enumerated, many_rare_words, lambda: LETTERS_ALONE])
@pytest.mark.parametrize("num_draws", [3, 100, 2_000])
def test_intervals_of_ranks_hold_the_true_rank_as_often_as_they_claim(
    probabilities: Callable[[], list[float]], num_draws: int
) -> None:
    probs = torch.tensor(probabilities(), dtype=torch.float64).sort(descending=True).values
    log_probs = probs.log()
    asked = sorted({min(len(probs) - 1, round(1.6**power)) for power in range(24)})
    places = [1 + int((log_probs > log_probs[index] + 1e-4).sum()) for index in asked]
    upto = torch.cat([probs.cumsum(0), torch.ones(1, dtype=torch.float64)])  # longer words do not count
    hits, estimates = [0] * len(asked), [0.0] * len(asked)
    for seed in range(NUM_SEEDS):
        uniform = torch.rand(num_draws, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        drawn = torch.searchsorted(upto, uniform).unique()
        ranks = Ranks(log_probs[drawn[drawn < len(probs)]].tolist(), num_draws).of(log_probs[asked].tolist())
        for number, (rank, low, high) in enumerate(ranks):
            hits[number] += low <= places[number] <= high
            estimates[number] += rank / NUM_SEEDS
            assert low <= rank <= high
            assert low < high
    fewest = 0.95 * NUM_SEEDS - 3 * sqrt(NUM_SEEDS * 0.95 * 0.05)
    assert min(hits) >= fewest
    for place, index, estimate in zip(places, asked, estimates, strict=True):
        if num_draws * probs[index] > 0.05:  # below it, the mean itself needs more seeds
            assert estimate == pytest.approx(place, rel=0.1)


def test_intervals_of_ranks_are_narrow_where_words_are_drawn_often() -> None:
    probs = torch.tensor(many_rare_words(), dtype=torch.float64).sort(descending=True).values
    uniform = torch.rand(10_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    drawn = torch.searchsorted(probs.cumsum(0), uniform).unique()
    ranks = Ranks(probs[drawn[drawn < len(probs)]].log().tolist(), 10_000)
    for index, width in ((0, 2), (9, 2), (50, 12), (300, 150)):
        _, low, high = ranks.of([log(probs[index])])[0]
        assert high - low <= width


def test_ranks_of_words_that_are_hardly_possible_are_finite() -> None:
    largest = sys.float_info.max
    ranks = Ranks([-1.0, -400.0, -800.0, -850.0], num_draws=10)
    first, second, third = ranks.of([0.0, -401.0, -900.0])
    assert first == (1, 1, 2)
    assert second.rank == pytest.approx(exp(400) / 10)
    assert second.low == pytest.approx(second.rank * RISK)
    assert second.rank < second.high < exp(401.01)
    assert third[0] == third[2] == largest
    assert "nan" not in json.dumps(ranks.of([-1.0, -399.0, -400.0, -500.0, -1e6]), allow_nan=False)
