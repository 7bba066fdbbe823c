"""The page in a real browser: the same numbers as torch's, every control by mouse and keyboard, and no complaint."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.browser import CHROMIUM, Browser, chromium
from tests.conftest import WORDS
from tests.enumeration import VOCABULARY, all_words, normalised, small_network, word_probability
from tests.export.test_page import model_of
from tests.networks import VARIED
from wavenet import NetworkConfig, TrainedModel
from wavenet.export import page as page_module
from wavenet.export.facts import Facts
from wavenet.export.folding import folded
from wavenet.export.packing import rounded
from wavenet.export.page import bundled, write_page
from wavenet.inference.scoring import predictions
from wavenet.network.packing import pack

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")]

OPENED = "globalThis.inside = { page, Tree, Wanted, Sampler, logProbabilities };"
READY = "document.querySelector('#made').textContent"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def page(browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Opens the page of a model; at the end the browser must have had nothing to complain of or ask for."""
    monkeypatch.setattr(page_module, "bundled", lambda: bundled() + OPENED)

    def open_page(model: TrainedModel, with_corpus: bool = False) -> Browser:
        write_page(model, Facts.of(model), tmp_path / "page.html", with_corpus)
        browser.show(1200, 900)
        browser.open(tmp_path / "page.html")
        browser.wait(READY)
        return browser

    yield open_page
    assert browser.problems == []
    assert [request for request in browser.requests if not request.startswith(("data:", "blob:"))] == []


LOGITS = """
    (() => {
        const tree = new inside.Tree(inside.page.network);
        const words = %s.map((word) => inside.page.vocabulary.encode(word));
        tree.insert(words);
        return words.flatMap((word) => {
            let row = 0;
            return [...word, 0].map((token) => {
                const logits = [...tree.logits.row(row)];
                row = tree.child(row, token) ?? row;
                return logits;
            });
        });
    })()
"""


@pytest.mark.parametrize("config", VARIED.values(), ids=list(VARIED))
def test_the_logits_are_those_of_torch(config: NetworkConfig, page: Any, tmp_path: Path) -> None:
    model = model_of(config, WORDS, tmp_path / "words.txt")
    words = model.sample(1000, seed=1, max_length=12)
    found = torch.tensor(page(model).js(LOGITS % json.dumps(words)), dtype=torch.float64)
    packed, _ = predictions(rounded(folded(model.network)), pack(words, model.vocabulary))
    torch.testing.assert_close(found, packed, atol=1e-4, rtol=0)
    expected, _ = predictions(model.network, pack(words, model.vocabulary))
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-4)  # some of these logits are far above 10


DRAWN = """
    (() => {
        const { network, vocabulary } = inside.page;
        const { known, number, ...options } = %s;
        const wanted = new inside.Wanted(vocabulary, { maxLength: 4, ...options });
        const found = [];
        const sampler = new inside.Sampler(network, vocabulary, wanted, { known: known && new Set(known), ...options });
        for (const _ of sampler.draw(number, found));
        return found;
    })()
"""


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
