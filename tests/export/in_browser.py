"""What the tests of the page do in a browser: fill fields, press buttons, read what is shown, compare numbers."""

import json
from pathlib import Path

import torch

from tests.browser import Browser, Driver
from wavenet import TrainedModel
from wavenet.corpus.vocabulary import ANY
from wavenet.export.folding import folded
from wavenet.export.packing import rounded
from wavenet.inference.scoring import predictions
from wavenet.network.labels import under
from wavenet.network.packing import pack

CLOSE = 1e-3  # what packing changes a logit by at most
OPENED = "globalThis.inside = { page, Tree, Wanted, Sampler, logProbabilities };"
READY = "document.querySelector('#made').textContent"

LOGITS = """
    (() => {
        const tree = new inside.Tree(inside.page.network, %s);
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


def check_logits(model: TrainedModel, browser: Driver, words: list[str], label: int = ANY) -> None:
    """The page's logits must be those of the packed network, and nearly those of the network itself."""
    found = torch.tensor(browser.js(LOGITS % (label, json.dumps(words))), dtype=torch.float64)
    told = under(model.network, {label: 1.0})
    packed, _ = predictions(rounded(folded(told)), pack(words, model.vocabulary))
    torch.testing.assert_close(found, packed, atol=1e-4, rtol=0)
    expected, _ = predictions(told, pack(words, model.vocabulary))
    torch.testing.assert_close(found, expected, atol=CLOSE, rtol=0)


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

CONTROLS = "button, input, select, textarea, summary"


def fill(browser: Browser, selector: str, text: str) -> None:
    """Replaces what a field holds, as someone does who types."""
    browser.click(selector)
    browser.js(f"document.querySelector({json.dumps(selector)}).select()")
    browser.type(text)


def made_words(browser: Browser) -> list[str]:
    """Presses the button, and gives the words that are there then."""
    browser.js("document.querySelector('#made').textContent = ''")
    browser.click("#wanted .primary")
    browser.wait("document.querySelector('#made').textContent.includes('seed')")
    return list(browser.js("[...document.querySelectorAll('#words button')].map((word) => word.textContent)"))


def saved(folder: Path, name: str, browser: Browser) -> list[str]:
    """The lines of a file that the page has saved."""
    browser.wait("true")
    for _ in range(200):
        if (folder / name).is_file():
            lines = (folder / name).read_text(encoding="utf-8").splitlines()
            (folder / name).unlink()
            return lines
        browser.js("new Promise((resolve) => setTimeout(resolve, 25))")
    raise AssertionError(f"{name} was not saved: {list(folder.iterdir())}")


def choose(browser: Browser, selector: str, value: int) -> None:
    """Chooses what a select offers."""
    box = f"document.querySelector({json.dumps(selector)})"
    browser.js(f"{box}.value = {value}; {box}.dispatchEvent(new Event('change'))")


def letters(browser: Browser) -> str:
    """What the leaves of the tree show."""
    return str(browser.js("[...document.querySelectorAll('.letter')].map((letter) => letter.textContent).join('')"))


def probability(browser: Browser, name: str) -> float:
    """How probable the bars say that something is."""
    label = browser.js(f"document.querySelector('#bars [aria-label^=\"{name}\"]').ariaLabel")
    return float(label.removeprefix(name).rstrip(" %")) / 100
