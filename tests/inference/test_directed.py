from collections import Counter
from typing import Any

import pytest
import torch
from torch import nn

from tests.enumeration import VOCABULARY, all_words, normalised, small_network, word_probability
from tests.networks import lecture
from wavenet.corpus.vocabulary import Vocabulary
from wavenet.inference import directed, sampling
from wavenet.inference.model import TrainedModel
from wavenet.inference.sampling import Sampler, sample

LETTERS = Vocabulary("abcdefghijklmnopqrstuvwxyz")
RARE: dict[str, Any] = {"pattern": "*zz*", "max_length": 12}


@pytest.fixture(autouse=True)
def small_guides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "NUM_GUIDES", 1_000)


def network_without_z() -> nn.Sequential:
    """A network for which z is so rare that a word with two of them is one in ten million."""
    torch.manual_seed(0)
    network = lecture(27)
    network[-1].bias.data[26] = -6.0
    return network


def drawn(sampler: Sampler, num_words: int, seed: int = 0) -> list[str]:
    return [word for batch in sampler.draw(num_words, seed) for word in batch.words]


@pytest.mark.parametrize(
    "options",
    [
        {"pattern": "*bbab*"},
        {"pattern": "*aaaa*", "temperature": 0.7},
        {"prefix": "b", "pattern": "*bab", "without": ["bab", "bbbab"]},
    ],
    ids=str,
)
def test_frequencies_are_close_to_the_exact_probabilities(options: dict[str, Any]) -> None:
    """Half the sum of the differences is below 0.04; of as many exact draws it is between 0.02 and 0.03."""
    network, pattern = small_network(), options["pattern"]
    shaping = {name: options[name] for name in ("temperature",) if name in options}
    words = [word for word in all_words(7) if pattern.strip("*") in word and word.startswith(options.get("prefix", ""))]
    words = [word for word in words if pattern.endswith("*") or word.endswith("bab")]
    expected = normalised(
        {word: word_probability(network, word, **shaping) for word in words if word not in options.get("without", ())}
    )
    found = Counter(sample(network, VOCABULARY, 4_000, seed=1, max_length=7, directed=True, **options))
    assert found.total() == 4_000
    assert set(found) <= set(expected)
    assert sum(abs(found[word] / 4_000 - probability) for word, probability in expected.items()) / 2 < 0.04


def test_rare_words_are_found_where_exact_draws_find_none() -> None:
    network = network_without_z()
    assert sample(network, LETTERS, 20, seed=0, directed=False, max_draws=4_000, **RARE) == []
    sampler = Sampler(network, LETTERS, directed=True, max_draws=4_000, unique=True, without=["azz", "zz"], **RARE)
    words = drawn(sampler, 20)
    assert len(set(words)) == 20
    assert all("zz" in word and len(word) <= 12 for word in words)
    assert not {"azz", "zz"} & set(words)
    assert sampler.is_directed


def test_draws_are_directed_once_they_have_proved_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "CHECK", 500)
    model = TrainedModel(network_without_z(), LETTERS)
    sampler = model.sampler(**RARE)
    words = drawn(sampler, 5)
    assert all("zz" in word for word in words)
    assert (len(words), sampler.is_directed) == (5, True)
    assert 500 < sampler.num_draws < 20_000
    assert drawn(sampler, 5) == words != drawn(sampler, 5, seed=1)
    often = model.sampler(pattern="*e*")
    assert len(drawn(often, 2_000)) == 2_000
    assert not often.is_directed
    forbidden = model.sampler(directed=False, max_draws=1_000, **RARE)
    assert (drawn(forbidden, 5), forbidden.is_directed) == ([], False)
    assert "zz" in model.sample(1, **RARE)[0]


def test_directed_words_do_not_depend_on_the_batch_size() -> None:
    network = network_without_z()
    options: dict[str, Any] = {"directed": True, "unique": True, **RARE}
    words = sample(network, LETTERS, 10, seed=1, **options)
    for batch_size in (100, 5_000):
        assert sample(network, LETTERS, 10, seed=1, batch_size=batch_size, **options) == words


def test_all_words_of_a_small_pattern_are_found() -> None:
    sampler = Sampler(
        small_network(), VOCABULARY, pattern="*bb", max_length=4, unique=True, directed=True, max_draws=9_000
    )
    expected = [word for word in all_words(4) if word.endswith("bb")]
    assert sorted(drawn(sampler, 20)) == sorted(expected)
    assert sampler.num_draws == 9_000


def test_a_guide_that_would_be_too_large_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directed, "MAX_TABLE", 100)
    monkeypatch.setattr(sampling, "CHECK", 500)
    sampler = Sampler(network_without_z(), LETTERS, max_draws=1_000, **RARE)
    assert (drawn(sampler, 5), sampler.is_directed) == ([], False)
    with pytest.raises(ValueError, match="directed needs a simpler pattern or a smaller max_length"):
        Sampler(network_without_z(), LETTERS, directed=True, **RARE)
