import re
from collections import Counter
from math import log, sqrt
from typing import Any

import pytest
import torch
from torch import nn

from tests.enumeration import (
    MAX_LENGTH,
    VOCABULARY,
    all_words,
    normalised,
    small_network,
    step_probabilities,
    word_probability,
)
from tests.networks import batch_norm_bug, lecture
from wavenet.corpus.vocabulary import Vocabulary
from wavenet.inference import sampling
from wavenet.inference.excluded import Excluded
from wavenet.inference.sampling import Sampler, sample

SHAPING = ("temperature", "top_k", "top_p")


def expected_probabilities(network: nn.Sequential, options: dict[str, Any]) -> dict[str, float]:
    """The exact distribution over words that the options ask for."""
    shaping = {name: options[name] for name in SHAPING if name in options}
    pattern = options.get("pattern", "*").replace("*", ".*").replace("?", ".").replace("[!", "[^")
    return normalised(
        {
            word: word_probability(network, word, **shaping)
            for word in all_words(min_length=options.get("min_length", 1))
            if word.startswith(options.get("prefix", ""))
            and re.fullmatch(pattern, word)
            and word not in options.get("without", ())
        }
    )


def assert_frequencies(counts: dict[Any, int], expected: dict[Any, float]) -> None:
    """Pearson's chi-square test, at about four standard deviations."""
    total = sum(counts.values())
    assert set(counts) <= set(expected)
    rare = {word for word, probability in expected.items() if probability * total < 5}
    groups = [(counts[word], probability) for word, probability in expected.items() if word not in rare]
    groups.append((sum(counts[word] for word in rare), sum(expected[word] for word in rare)))
    chi_square = sum((count - p * total) ** 2 / (p * total) for count, p in groups if p > 0)
    assert chi_square < len(groups) + 4 * sqrt(2 * len(groups))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.6},
        {"temperature": 2.0},
        {"top_k": 2},
        {"top_p": 0.75},
        {"temperature": 1.5, "top_k": 2, "top_p": 0.9},
        {"prefix": "ab"},
        {"pattern": "?b*"},
        {"pattern": "*b[!b]"},
        {"prefix": "a", "pattern": "*b", "min_length": 3},
        {"min_length": 0},
        {"without": ["a", "b", "ab", "aab"]},
        {"without": ["b", "ba", "abb"], "pattern": "*b*", "temperature": 0.7},
    ],
    ids=str,
)
def test_frequencies_are_the_exact_probabilities(options: dict[str, Any]) -> None:
    network = small_network()
    words = sample(network, VOCABULARY, 6_000, seed=3, max_length=MAX_LENGTH, **options)
    assert len(words) == 6_000
    assert_frequencies(Counter(words), expected_probabilities(network, options))


@pytest.mark.parametrize("options", [{}, {"pattern": "*b*", "temperature": 0.5}, {"without": ["a", "bb"]}], ids=str)
def test_draws_without_replacement_have_the_exact_probabilities(options: dict[str, Any]) -> None:
    """Ordered pairs: the second word is drawn from what the first has left."""
    network = small_network(1)
    sampler = Sampler(network, VOCABULARY, unique=True, max_length=2, **options)
    expected = expected_probabilities(network, options)
    expected = normalised({word: p for word, p in expected.items() if len(word) <= 2})
    pairs = {(a, b): p * q / (1 - p) for a, p in expected.items() for b, q in expected.items() if a != b}
    assert sum(pairs.values()) == pytest.approx(1)
    counts: Counter[tuple[str, ...]] = Counter()
    for seed in range(400):
        counts[tuple(word for batch in sampler.draw(2, seed) for word in batch.words)] += 1
    assert_frequencies(counts, pairs)


@pytest.mark.parametrize(
    "options",
    [
        {"without": ["a", "b", "ab", "aab"]},
        {"without": ["b", "ba", "abb"], "pattern": "*b*", "temperature": 0.7},
        {"without": ["a", "aa", "b", "c", "ab", "ba", "bb"], "unique": True},
    ],
    ids=str,
)
def test_words_too_many_to_be_taken_out_change_no_frequency(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "MAX_ENDINGS", 2)
    network, expected = small_network(), expected_probabilities(small_network(), options)
    counts: Counter[str] = Counter()
    for seed in range(500 if options.get("unique") else 1):  # of a draw without replacement the first word counts
        sampler = Sampler(network, VOCABULARY, max_length=MAX_LENGTH, **options)
        assert sampler.known is not None
        words = [word for batch in sampler.draw(2 if sampler.unique else 6_000, seed) for word in batch.words]
        counts.update(words[:1] if sampler.unique else words)
    assert_frequencies(counts, expected)


@pytest.mark.parametrize("directed", [None, True])
def test_where_all_words_are_known_there_are_no_more(directed: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    words = all_words(min_length=1)
    monkeypatch.setattr(sampling, "MAX_ENDINGS", len(words) - 1)
    options: dict[str, Any] = {"pattern": "ab?", "max_length": MAX_LENGTH, "directed": directed, "max_draws": 40_000}
    sampler = Sampler(small_network(), VOCABULARY, without=words, **options)
    assert sampler.known is not None
    assert not [word for batch in sampler.draw(3, seed=1) for word in batch.words]
    assert sampler.exhausted or directed


@pytest.mark.parametrize("unique", [False, True])
def test_the_same_seed_draws_the_same_words_whatever_the_batch_size(unique: bool) -> None:
    torch.manual_seed(0)
    network, vocabulary = lecture(5), Vocabulary("abc.")
    options: dict[str, Any] = {"unique": unique, "pattern": "*a*", "without": ["a", "ab"], "max_length": 20}
    words = sample(network, vocabulary, 70, seed=1, **options)
    assert len(words) == 70
    for batch_size in (1, 7, 64, 10_000):
        assert sample(network, vocabulary, 70, seed=1, batch_size=batch_size, **options) == words
    assert sample(network, vocabulary, 70, seed=2, **options) != words
    assert sample(network, vocabulary, 20) != sample(network, vocabulary, 20)


def test_words_come_with_their_log_probability() -> None:
    network = small_network()
    sampler = Sampler(network, VOCABULARY, temperature=0.5, prefix="a", max_length=MAX_LENGTH)
    for words, log_probs in sampler.draw(50, seed=0):
        for word, log_prob in zip(words, log_probs, strict=True):
            assert log_prob == pytest.approx(log(word_probability(network, word)), abs=1e-5)


def test_unique_words_end_when_none_is_left() -> None:
    sampler = Sampler(small_network(), VOCABULARY, unique=True, max_length=3, temperature=0.05, without=["ab"])
    words = [word for batch in sampler.draw(100, seed=0) for word in batch.words]
    assert sorted(words) == sorted(set(all_words(3)) - {"ab"})
    assert sampler.exhausted
    assert sampler.num_draws < 5_000  # the rarest of them has a probability below 1e-9


@pytest.mark.parametrize("temperature", [0.01, 0.001, 1e-300])
def test_unique_words_do_not_run_out_where_probabilities_underflow(temperature: float) -> None:
    sampler = Sampler(small_network(), VOCABULARY, unique=True, pattern="??", temperature=temperature)
    words = [word for batch in sampler.draw(9, seed=0) for word in batch.words]
    assert sorted(words) == ["aa", "ab", "ba", "bb"]
    assert sampler.exhausted


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 0.05}])
@pytest.mark.parametrize("wanted", [{"prefix": "ab"}, {"pattern": "ab*"}, {"prefix": "b"}, {"pattern": "bbb*"}])
def test_what_all_words_begin_with_is_a_prompt(options: dict[str, Any], wanted: dict[str, str]) -> None:
    """It comes however unlikely its characters are; what follows is the likeliest at each step."""
    network = small_network()
    network[-1].bias.data += torch.tensor([0.0, 0.5, -1.0])
    network[-1].bias.data[0] += 0.5
    prompt = "".join(wanted.values()).strip("*")
    assert step_probabilities(network, prompt[: prompt.index("b")], top_k=1)[VOCABULARY.encode("b")[0]] == 0
    word = prompt
    while len(word) < 9 and (token := max(range(3), key=step_probabilities(network, word).__getitem__)):
        word += VOCABULARY.decode([token])
    assert len(word) < 9
    assert sample(network, VOCABULARY, 5, seed=0, max_length=8, **wanted, **options) == [word] * 5


@pytest.mark.parametrize("num_words", [20, 1_000_000])
def test_unique_words_are_all_found_however_many_are_asked_for(num_words: int) -> None:
    torch.manual_seed(0)
    letters = Vocabulary("abcdefghijklmnopqrst")
    sampler = Sampler(lecture(21), letters, unique=True, pattern="??", max_length=2)
    words = [word for batch in sampler.draw(num_words, seed=0) for word in batch.words]
    assert len(set(words)) == len(words) == min(num_words, 400)
    if num_words > 400:
        assert sampler.exhausted
        assert sampler.num_draws < 200_000


def test_a_search_ends_later_the_more_words_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "FEWEST_DRAWS", 300)
    monkeypatch.setattr(sampling, "DRAWS_PER_WORD", 2)
    network = small_network()
    network[-1].bias.data[0] = -1e9  # no word ends
    for num_words, limit, max_draws in ((10, 300, None), (1_000, 2_000, None), (1_000, 70, 70)):
        sampler = Sampler(network, VOCABULARY, max_draws=max_draws, max_length=40)
        assert not any(batch.words for batch in sampler.draw(num_words, seed=0))
        assert sampler.num_draws == sampler.limit == limit


def test_independent_draws_are_not_changed_by_each_other() -> None:
    sampler = Sampler(small_network(), VOCABULARY, unique=True, max_length=2, batch_size=500)
    words = [word for batch in sampler.independent_draws(30_000, seed=0) for word in batch.words]
    expected = {word: word_probability(sampler.network, word) for word in all_words(2)}
    expected |= {"": 1 - sum(expected.values())}  # the draws that gave none
    assert_frequencies(Counter([*words, *[""] * (30_000 - len(words))]), expected)


def test_a_search_for_what_hardly_ever_comes_ends() -> None:
    torch.manual_seed(0)
    network, vocabulary = lecture(27), Vocabulary("abcdefghijklmnopqrstuvwxyz")
    sampler = Sampler(network, vocabulary, pattern="*abcde*", max_draws=500, max_length=12)
    assert sum(len(batch.words) for batch in sampler.draw(20, seed=0)) < 20
    assert sampler.num_draws == 500
    assert not sampler.exhausted


def test_beginnings_are_remembered_however_many_words_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "MAX_ENDINGS", 29)
    known = all_words()[:-1]
    assert len(known) == 29
    sizes: list[int] = []

    def counted(*arguments: Any) -> Excluded:
        sizes.append(len(arguments[2]))
        return Excluded(*arguments)

    monkeypatch.setattr(sampling, "Excluded", counted)
    options: dict[str, Any] = {"max_length": MAX_LENGTH, "without": known, "max_draws": 1_000}
    assert set(sample(small_network(), VOCABULARY, 900, seed=0, **options)) == {"bbbb"}
    assert sizes[0] == len(known)
    assert max(sizes) > len(known)


def test_a_word_that_does_not_end_is_abandoned() -> None:
    network = lecture(3)
    network[-1].bias.data[0] = -1e9
    assert sample(network, VOCABULARY, 5, seed=1, max_length=6, max_draws=100) == []


@pytest.mark.parametrize("num_words", [0, 1])
def test_few_words_leave_the_network_and_the_global_seed_alone(num_words: int) -> None:
    network = small_network().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random_state = torch.get_rng_state()
    for seed in (1, None):
        options: dict[str, Any] = {"unique": True, "without": ["a"], "batch_size": 1, "pattern": "*b*"}
        assert len(sample(network, VOCABULARY, num_words, seed, **options)) == num_words
    assert torch.equal(torch.get_rng_state(), random_state)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_gradients_stay_on_between_batches() -> None:
    for _ in Sampler(small_network(), VOCABULARY, batch_size=1).draw(2):
        assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0}, "temperature must be above 0, got 0"),
        ({"temperature": float("nan")}, "temperature must be above 0"),
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"top_p": 0.0}, r"top_p must be above 0 and at most 1, got 0\.0"),
        ({"top_p": 1.1}, "top_p must be"),
        ({"max_draws": 0}, "max_draws must be at least 1"),
        ({"min_length": 3, "max_length": 2}, "min_length must be at most max_length 2, got 3"),
        ({"seed": 10**20}, "seed must be a number of at most 64 bits, got 100000000000000000000"),
        ({"num_words": -1}, "num_words must be at least 0, got -1"),
    ],
)
def test_wrong_values(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sample(lecture(3), VOCABULARY, **{"num_words": 1, **options})


def test_the_exhibit_samples_too() -> None:
    words = sample(batch_norm_bug(3), VOCABULARY, 50, seed=1, unique=True, without=["a"], pattern="*b", max_length=9)
    assert len(set(words)) == 50
