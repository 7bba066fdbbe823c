import re
from math import log
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.enumeration import VOCABULARY, all_words, small_network, word_probability
from tests.networks import lecture
from wavenet.inference import search
from wavenet.inference.search import top


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "CHUNK", 3)


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 100),
    st.integers(1, 40),
    st.sampled_from(["", "a", "ba"]),
    st.sampled_from(["*", "*b", "?a*", "*a?"]),
    st.integers(0, 3),
    st.lists(st.sampled_from(all_words(3)), max_size=4),
)
def test_the_top_words_are_those_of_a_sorted_list(
    seed: int, num_words: int, prefix: str, pattern: str, min_length: int, without: list[str]
) -> None:
    network = small_network(seed)
    options: dict[str, Any] = {"prefix": prefix, "pattern": pattern, "min_length": min_length, "without": without}
    found = top(network, VOCABULARY, num_words, max_length=4, **options)
    expression = pattern.replace("*", ".*").replace("?", ".")
    words = [
        word
        for word in all_words(4, min_length)
        if word.startswith(prefix) and re.fullmatch(expression, word) and word not in without
    ]
    log_prob = {word: log(word_probability(network, word)) for word in words}
    expected = sorted(log_prob.values(), reverse=True)[:num_words]
    assert found.log_probs == pytest.approx(expected, abs=1e-5)
    assert [log_prob[word] for word in found.words] == pytest.approx(expected, abs=1e-5)
    assert len(set(found.words)) == found.num_certain == min(num_words, len(words))


@pytest.mark.parametrize("limit", [1, 5, 20])
def test_a_search_that_is_cut_short_says_which_words_are_certain(limit: int) -> None:
    network = small_network(3)
    full = top(network, VOCABULARY, 20, max_length=8)
    cut = top(network, VOCABULARY, 20, max_length=8, max_beginnings=limit)
    assert cut.num_certain < 20
    assert cut.words[: cut.num_certain] == full.words[: cut.num_certain]


@pytest.mark.parametrize("memory", [2_000, 6_000])
def test_what_does_not_fit_into_memory_is_dropped_and_said(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network, options = small_network(3), {"min_length": 7, "max_length": 8}
    full = top(network, VOCABULARY, 20, **options)
    assert full.complete
    assert not full.memory
    monkeypatch.setattr(search, "MEMORY", memory)
    largest = 0

    def measured(queue: search.Waiting) -> tuple[search.Waiting, float]:
        nonlocal largest
        kept, dropped = thinned(queue)
        assert all(item[2].log_probs.min() > dropped for item in kept)
        largest = max(largest, sum(item[2].num_bytes for item in queue))
        return kept, dropped

    thinned = search.thinned
    monkeypatch.setattr(search, "thinned", measured)
    cut = top(network, VOCABULARY, 20, **options)
    assert memory < largest < 4 * memory + 4_000  # one reading on may add a little
    assert cut.memory == (not cut.complete) == (cut.num_certain < 20)
    assert cut.words[: cut.num_certain] == full.words[: cut.num_certain]
    assert len(cut.words) == 20  # the search goes on with the likelier half


def test_searching_leaves_the_network_as_it_was() -> None:
    network = small_network().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    top(network, VOCABULARY, 5)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["num_words", "max_beginnings"])
def test_numbers_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        top(lecture(3), VOCABULARY, **{"num_words": 1, name: 0})
