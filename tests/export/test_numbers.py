"""The page's numbers in Chromium: the same logits as torch's, and words that come as often as they are probable."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.browser import Browser
from tests.conftest import WORDS
from tests.enumeration import VOCABULARY, all_words, normalised, small_network, word_probability
from tests.export.in_browser import DRAWN, check_logits
from tests.export.test_page import model_of
from tests.networks import VARIED, lively
from wavenet import NetworkConfig, TrainedModel, Vocabulary, build

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("config", VARIED.values(), ids=list(VARIED))
def test_the_logits_are_those_of_torch(
    config: NetworkConfig | Sequence[NetworkConfig], page: Any, tmp_path: Path
) -> None:
    model = model_of(config, WORDS, tmp_path / "words.txt")
    words = model.sample(1000, seed=1, max_length=12)
    check_logits(model, page(model), words)


@pytest.mark.parametrize(
    ("options", "shaping", "wanted"),
    [
        ({}, {}, lambda word: True),
        ({"temperature": 0.7}, {"temperature": 0.7}, lambda word: True),
        ({"topP": 0.7}, {"top_p": 0.7}, lambda word: True),
        ({"pattern": "*b?", "minLength": 3}, {}, lambda word: len(word) >= 3 and word[-2] == "b"),
        ({"known": ["a", "ab", "bbb"]}, {}, lambda word: word not in ("a", "ab", "bbb")),
    ],
    ids=["plain", "temperature", "top-p", "pattern", "only new"],
)
def test_words_come_as_often_as_they_are_probable(options: Any, shaping: Any, wanted: Any, page: Any) -> None:
    network = small_network()
    number = 20_000
    drawn = page(TrainedModel(network, VOCABULARY)).js(DRAWN % json.dumps({"number": number, "seed": 5, **options}))
    probabilities = {word: word_probability(network, word, **shaping) for word in all_words() if wanted(word)}
    expected = {word: number * share for word, share in normalised(probabilities).items()}
    found = Counter(drawn)
    assert found.keys() <= expected.keys()
    distance = sum((found[word] - count) ** 2 / count for word, count in expected.items())
    degrees = len(expected) - 1
    assert distance < degrees + 4 * (2 * degrees) ** 0.5 + 6


def test_words_without_replacement(page: Any) -> None:
    """The second of two words is as probable as when the first one is taken out; in the end, every word has come."""
    network, seeds = small_network(), 4000
    browser = page(TrainedModel(network, VOCABULARY))
    options = {"number": 2, "unique": True, "maxLength": 2}
    pairs = browser.js(
        f"Array.from({{ length: {seeds} }}, (_, seed) => {DRAWN % ('{ ...' + json.dumps(options) + ', seed }')})"
    )
    words = normalised({word: word_probability(network, word) for word in all_words(2)})
    expected = {(a, b): seeds * words[a] * words[b] / (1 - words[a]) for a in words for b in words if a != b}
    found = Counter(map(tuple, pairs))
    distance = sum((found[pair] - count) ** 2 / count for pair, count in expected.items())
    degrees = len(expected) - 1
    assert distance < degrees + 4 * (2 * degrees) ** 0.5 + 6
    everything = browser.js(DRAWN % json.dumps({"number": 100, "unique": True, "seed": 1}))
    assert sorted(everything) == sorted(all_words())


def test_the_same_seed_gives_the_same_words(page: Any) -> None:
    browser = page(TrainedModel(small_network(), VOCABULARY))
    options = {"number": 50, "maxLength": 30}
    first, again, other = (browser.js(DRAWN % json.dumps({**options, "seed": seed})) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("pattern", ["a*", "?a?", "[ab]b", "[!a]*", "*[^b]", "[a-b]a", "a\\b", "*a*b*", "ab"])
def test_patterns_mean_what_they_mean_to_the_command(pattern: str, page: Any) -> None:
    model = TrainedModel(small_network(), VOCABULARY)
    found = page(model).js(DRAWN % json.dumps({"number": 100, "unique": True, "seed": 1, "pattern": pattern}))
    assert sorted(found) == sorted(model.sample(100, unique=True, pattern=pattern, max_length=4, seed=1))


THOUSAND = """
    (() => {
        const { network, vocabulary } = inside.page;
        const wanted = new inside.Wanted(vocabulary, { maxLength: 19 });
        const sampler = new inside.Sampler(network, vocabulary, wanted, { seed: 1, unique: true });
        const found = [];
        for (const _ of sampler.draw(1000, found));
        return found;
    })()
"""


def test_a_thousand_words_come_soon(page: Any) -> None:
    """Of the page's one thread they take half a second; more is allowed for a busy machine."""
    network = lively(build(NetworkConfig(ngram_rows=16_384), 27))
    with torch.no_grad():
        network[0][-1].weight[0] = 0
        network[0][-1].bias[0] = 2.5  # words of about six characters, as names are
    browser: Browser = page(TrainedModel(network, Vocabulary("abcdefghijklmnopqrstuvwxyz")))
    browser.call("Performance.enable", timeDomain="threadTicks")
    before = browser.seconds()
    words = browser.js(THOUSAND)
    assert len(set(words)) == 1000
    assert 4 < sum(map(len, words)) / 1000 < 8
    assert browser.seconds() - before < 4
