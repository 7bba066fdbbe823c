"""The page is for everyone: by keyboard alone, on a phone, in the dark, in any script, whatever the words are."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Browser
from tests.conftest import WORDS
from tests.export.in_browser import CONTROLS, fill, letters, made_words
from tests.export.test_page import HOSTILE, model_of
from wavenet import NetworkConfig

pytestmark = pytest.mark.browser


def test_the_keyboard_is_enough(page: Any, tmp_path: Path) -> None:
    model = model_of(NetworkConfig(embedding_dim=4, hidden_dim=8), WORDS, tmp_path / "words.txt")
    browser: Browser = page(model)
    focus = "document.activeElement"
    browser.press("Tab")
    assert browser.js(f"{focus}.id") == "tab-make"
    browser.press("Tab")
    assert browser.js(f"{focus}.id") == "prefix"
    browser.type("av")
    browser.js("document.querySelector('#made').textContent = ''")
    browser.press("Enter")
    browser.wait("document.querySelector('#made').textContent.includes('seed')")
    browser.js("document.querySelector('#words button').focus()")
    browser.press("ArrowRight", "ArrowRight", "ArrowLeft")
    word = browser.js(f"{focus}.textContent")
    assert word.startswith("av")
    browser.press("Enter")
    assert browser.js("document.querySelector('#word').value") == word
    browser.press("Home", "ArrowRight", "ArrowRight")
    browser.wait("document.querySelector('#reading').textContent.startsWith('After “\u2068av\u2069”')")
    assert letters(browser) == "······av"
    browser.js("document.querySelector('.node').focus()")
    lit = "document.querySelectorAll('.node.is-lit').length"
    for key, count in (("ArrowDown", 7), ("ArrowLeft", 7), ("ArrowDown", 3), ("ArrowDown", 1), ("ArrowUp", 3)):
        browser.press(key)
        assert browser.js(lit) == count
    assert browser.js(f"{focus}.ariaLabel") == "Level 1 has read nothing, before the word"
    assert browser.js("document.querySelector('#reading').textContent") == "Level 1 has read nothing, before the word."
    browser.js("document.querySelector('#tab-look').focus()")
    browser.press("ArrowRight")
    assert browser.js("!document.querySelector('#score').hidden")
    named = f"""[...document.querySelectorAll('{CONTROLS}')].filter((control) =>
        !(control.ariaLabel || control.textContent.trim() || control.labels?.length))"""
    assert browser.js(f"{named}.map((control) => control.outerHTML)") == []


def test_words_of_any_kind_are_shown_as_text(page: Any, tmp_path: Path) -> None:
    model = model_of(NetworkConfig(4, 2, 4, 8), HOSTILE, tmp_path / "<b>$title\"'&.txt", more="\u2028")
    browser: Browser = page(model, with_corpus=True)
    assert browser.js("document.querySelector('h1').textContent") == "Words like <b>$title\"'&"
    words = [*HOSTILE[:4], "e\u0323\u0301", *HOSTILE[5:], "a\u0301", "a\u2028b"]  # it knows a and the accent, not á
    elements = browser.js("document.querySelectorAll('b, script').length")
    browser.click("#tab-score")
    fill(browser, "#list", "\n".join(words))
    browser.wait(f"document.querySelectorAll('#scores .heat').length === {len(words)}")
    shown = browser.js("[...document.querySelectorAll('#scores .heat')].map((word) => word.textContent)")
    assert [text.removesuffix("end").replace("◌", "") for text in shown] == [
        word.replace("e\u0323", "\u1eb9") for word in words
    ]
    for word in words:
        browser.js(f"document.querySelector('#word').value = {json.dumps(word)}")
        browser.js("document.querySelector('#word').dispatchEvent(new Event('input'))")
    assert letters(browser).endswith("a\u2028b")
    browser.click("#tab-make")
    fill(browser, "#prefix", HOSTILE[0])
    assert all(word.startswith("</script>") for word in made_words(browser))
    assert browser.js("document.querySelectorAll('b, script').length") - elements <= 41  # the letters below the bars


def test_words_that_run_from_right_to_left(page: Any, tmp_path: Path) -> None:
    words = ["אברהם", "שרה", "יצחק", "רבקה", "יעקב", "לאה", "רחל", "דוד"]
    browser: Browser = page(model_of(NetworkConfig(4, 2, 4, 8), words, tmp_path / "words.txt"))
    browser.click("#tab-look")
    fill(browser, "#word", "שרה")
    places = browser.js("[...document.querySelectorAll('.letter')].map((letter) => letter.getBoundingClientRect().x)")
    assert places == sorted(places, reverse=True)
    assert letters(browser) == "·שרה"


@pytest.mark.parametrize("size", [(1200, 900), (360, 740)], ids=["desktop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_is_cut_off(size: tuple[int, int], dark: bool, page: Any, tmp_path: Path) -> None:
    config = NetworkConfig(embedding_dim=4, hidden_dim=8, ngram_rows=50)
    browser: Browser = page(model_of(config, WORDS, tmp_path / "words.txt"))
    browser.show(*size, dark=dark)
    papers = {False: "rgb(251, 250, 247)", True: "rgb(21, 23, 27)"}
    assert browser.js("getComputedStyle(document.body).backgroundColor") == papers[dark]
    for view in ("make", "look", "score"):
        browser.click(f"#tab-{view}")
        assert browser.js("document.documentElement.scrollWidth") <= size[0]
        outside = f"""[...document.querySelectorAll('#{view} *')].filter((part) =>
            part.getBoundingClientRect().right > {size[0]} + 1 || part.getBoundingClientRect().left < -1)"""
        assert browser.js(f"{outside}.map((part) => part.outerHTML.slice(0, 80))") == []
        tree = "document.querySelector('#tree')"
        assert browser.js(f"{tree}.scrollHeight === {tree}.clientHeight")


def test_a_tree_that_does_not_fit_shows_its_newest_characters(page: Any, tmp_path: Path) -> None:
    browser: Browser = page(model_of(NetworkConfig(32, 2, 4, 8), WORDS, tmp_path / "words.txt"))
    browser.show(360, 740)
    browser.click("#tab-look")
    fill(browser, "#word", "sobe")
    place = "[...document.querySelectorAll('.letter')].at(-1).getBoundingClientRect()"
    browser.wait(f"{place}.right <= 360 && {place}.left > 300")
    assert browser.js("document.documentElement.scrollWidth") <= 360
