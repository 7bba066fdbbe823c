"""The page in Firefox: it loads in silence, computes the same numbers as torch, makes words and scores words."""

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import WORDS
from tests.export.in_browser import check_logits
from tests.export.test_page import model_of
from tests.networks import VARIED

pytestmark = pytest.mark.browser

MADE = "[...document.querySelectorAll('#words button')].map((word) => word.textContent)"
SCORED = "[...document.querySelectorAll('#scores .bits')].map((bits) => parseFloat(bits.textContent))"


@pytest.mark.parametrize("kind", ["a table of n-grams", "an ensemble"])
def test_the_page_works(kind: str, page_in_firefox: Any, tmp_path: Path) -> None:
    model = model_of(VARIED[kind], WORDS, tmp_path / "words.txt")
    browser = page_in_firefox(model, with_corpus=True)
    check_logits(model, browser, model.sample(100, seed=1, max_length=12))
    browser.js("document.querySelector('#prefix').value = 'so', document.querySelector('#made').textContent = ''")
    browser.js("document.querySelector('#wanted .primary').click()")
    browser.wait("document.querySelector('#made').textContent.includes('seed')")
    made = browser.js(MADE)
    assert len(set(made)) == 60
    assert all(word.startswith("so") and word not in WORDS for word in made)
    browser.js("document.querySelector('#tab-score').click(), document.querySelector('#list').value = 'sobe\\nmira'")
    browser.js("document.querySelector('#list').dispatchEvent(new Event('input'))")
    browser.wait(f"{SCORED}.length === 2")
    assert browser.js(SCORED) == pytest.approx(
        [score.bits_per_character for score in model.score(["sobe", "mira"])], abs=0.01
    )
