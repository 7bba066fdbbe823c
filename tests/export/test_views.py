"""The page's three views in Chromium: every control does what it says."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Browser
from tests.conftest import WORDS
from tests.export.in_browser import check_logits, choose, fill, letters, made_words, probability, saved
from tests.export.test_page import model_of
from tests.networks import VARIED
from wavenet import NetworkConfig, TrainedModel
from wavenet.corpus.labels import Labels
from wavenet.corpus.vocabulary import ANY
from wavenet.export import page as page_module

pytestmark = pytest.mark.browser


def test_making_words_by_mouse(touched: tuple[Browser, TrainedModel], downloads: Path) -> None:
    browser, model = touched
    browser.click("#wanted summary")
    fill(browser, "#prefix", "so")
    fill(browser, "#pattern", "*a")
    for name, text in (("shortest", "3"), ("longest", "9"), ("number", "12"), ("seed", "7")):
        fill(browser, f"#{name}", text)
    for name in ("temperature", "top-p"):
        browser.click(f"#{name}")
        browser.press("End", "ArrowLeft")
        assert browser.js(f"document.querySelector('#{name}-value').textContent") != "1.00"
    words = made_words(browser)
    assert len(set(words)) == 12
    assert all(word.startswith("so") and word.endswith("a") and 3 <= len(word) <= 9 for word in words)
    assert not set(words) & set(WORDS)
    assert words == made_words(browser)
    for name in ("unique", "only-new"):
        browser.click(f"#{name}")
    fill(browser, "#longest", "4")
    repeated = made_words(browser)
    assert len(repeated) == 12 > len(set(repeated))
    browser.click("#copy")
    browser.wait("document.querySelector('#copy').textContent === 'Copied'")
    browser.click("#save-text")
    assert saved(downloads, "words.txt", browser) == repeated
    browser.click("#save-csv")
    head, *rows = saved(downloads, "words.csv", browser)
    assert head == "word,log_prob,bits_per_character"
    for row, score in zip(rows, model.score(repeated), strict=True):
        word, log_prob, bits = row.split(",")
        assert word == score.word
        assert (float(log_prob), float(bits)) == pytest.approx((score.log_prob, score.bits_per_character), abs=2e-3)
    fill(browser, "#pattern", "*" + "?" * 7 + "s*s*s")
    for name, text in (("longest", "200"), ("number", "10000")):
        fill(browser, f"#{name}", text)
    browser.click("#wanted .primary")
    browser.wait("!document.querySelector('#stop').disabled")
    browser.click("#stop")
    browser.wait("document.querySelector('#made').textContent.endsWith('; stopped · seed 7')")
    assert browser.js("document.querySelector('#stop').disabled")


def test_words_that_hardly_ever_come(page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said how rarely they come; those so far are there, and all else works, while more are sought."""
    model = model_of(NetworkConfig(4, 2, 4, 8), WORDS, tmp_path / "words.txt")
    browser: Browser = page(model)
    browser.js("document.querySelector('#number').value = 10000")
    fill(browser, "#pattern", "*sss*sss*")
    browser.click("#wanted .primary")
    said = "document.querySelector('#made').textContent"
    browser.wait(f"/^[\\d,]+ words?, one in [\\d,]+ draws …$/.test({said})")
    found = browser.js("[...document.querySelectorAll('#words button')].map((word) => word.textContent)")
    assert found
    assert all(word.count("sss") >= 2 or "ssssss" in word for word in found)
    browser.click("#words button")
    assert letters(browser) == found[0][-4:]
    browser.click("#tab-make")
    browser.click("#stop")
    browser.wait(f"/^[\\d,]+ words?, one in [\\d,]+ draws; stopped · seed \\d+$/.test({said})")
    script = page_module.bundled()
    assert "FEWEST_DRAWS = 200_000, DRAWS_PER_WORD = 100;" in script
    script = script.replace("FEWEST_DRAWS = 200_000, DRAWS_PER_WORD = 100;", "FEWEST_DRAWS = 500, DRAWS_PER_WORD = 0;")
    monkeypatch.setattr(page_module, "bundled", lambda: script)
    fill(page(model), "#pattern", "*sssssssss")
    browser.click("#wanted .primary")
    browser.wait(f"/^0 words in [\\d,]+ draws; the search ends here · seed \\d+$/.test({said})")


@pytest.mark.parametrize(
    ("field", "text", "problem"),
    [
        ("#pattern", "[", "The pattern has a [ without its ], as in [aeiou]."),
        ("#pattern", "a\\", "A character must follow the last backslash of the pattern."),
        ("#pattern", "[xyz]", "The network knows no character of [xyz]."),
        ("#prefix", "x", "The network does not know the character x (U+0078)."),
        ("#pattern", "", "No word of these lengths fits."),
    ],
)
def test_what_cannot_be_made_is_said(field: str, text: str, problem: str, page: Any, tmp_path: Path) -> None:
    browser: Browser = page(model_of(NetworkConfig(4, 2, 4, 8), WORDS, tmp_path / "words.txt"))
    fill(browser, field, text or "?" * 80)
    browser.click("#wanted .primary")
    browser.wait(f"document.querySelector('#made.bad')?.textContent === {json.dumps(problem)}")


def test_looking_inside_by_mouse(touched: tuple[Browser, TrainedModel]) -> None:
    browser, model = touched
    fill(browser, "#pattern", "sobe")
    browser.click("#only-new")
    made_words(browser)
    browser.click("#words button")
    assert browser.js("document.querySelector('#word').value") == "sobe"
    assert browser.js("document.activeElement.id") == "word"
    assert letters(browser) == "····sobe"
    for button, read in (("#back", "·····sob"), ("#on", "····sobe")):
        browser.click(button)
        assert letters(browser) == read
    (*_, end) = model.explain("sobe")
    assert probability(browser, "end of the word") == pytest.approx(end.probability, abs=0.006)
    browser.click("#bars button[value='5']")
    assert browser.js("document.querySelector('#word').value") == "sobe" + model.vocabulary.alphabet[4]
    browser.click(".node")
    assert browser.js("document.querySelectorAll('.node.is-lit').length") == 15
    fill(browser, "#word", "sox")
    browser.wait("document.querySelector('#reading').textContent.startsWith('The network does not know')")


def test_scoring_by_mouse(touched: tuple[Browser, TrainedModel], downloads: Path) -> None:
    browser, model = touched
    browser.click("#tab-score")
    fill(browser, "#list", "sobe\nx?\nmira\n")
    browser.wait("document.querySelector('#scores .unknown')")
    browser.click("#scores summary")
    browser.wait("document.querySelector('#scores table')")
    cells = browser.js("[...document.querySelectorAll('#scores td:nth-child(3)')].map((cell) => cell.textContent)")
    assert [float(cell) for cell in cells] == pytest.approx([each.bits for each in model.explain("sobe")], abs=0.01)
    bits = {score.word: score.bits_per_character for score in model.score(["sobe", "mira"])}
    for order, key in (("likely", bits["sobe"]), ("odd", -bits["sobe"])):
        browser.click("#order")
        browser.press("Escape")
        choose = f"(box => {{ box.value = '{order}'; box.dispatchEvent(new Event('change')) }})"
        browser.js(f"{choose}(document.querySelector('#order'))")
        first = "sobe" if key < (1 if order == "likely" else -1) * bits["mira"] else "mira"
        shown = "[...document.querySelectorAll('#scores details .heat')].map((word) => word.textContent)"
        browser.wait(f"{shown}[0] === '{first}end'")
    browser.click("#save-scores")
    assert saved(downloads, "words_scores.csv", browser)[2] == "x?,,,the network does not know the character x (U+0078)"


def test_labels_are_told_and_guessed(page: Any, downloads: Path, tmp_path: Path) -> None:
    labels = Labels({"<b>Finnish</b>": 30, "日本語": 10, "Never seen": 0})
    model = model_of(VARIED["an ensemble"], WORDS, tmp_path / "words.txt", labels=labels)
    browser: Browser = page(model)
    told = "日本語"
    for label in (ANY, labels.encode(told)):
        check_logits(model, browser, WORDS[:5], label)
    options = [option.strip() for option in browser.js("document.querySelector('#label').innerText").splitlines()]
    assert options == ["any", *labels.names]
    choose(browser, "#label", 2)
    words = made_words(browser)
    (downloads / "words.csv").unlink(missing_ok=True)
    browser.click("#save-csv")
    _, row, *_ = saved(downloads, "words.csv", browser)
    (scored,) = model.score(words[:1], label=told)
    assert float(row.split(",")[1]) == pytest.approx(scored.log_prob, abs=0.05)
    browser.click("#words button")
    assert browser.js("document.querySelector('#look-label').value") == "2"
    (*_, end) = model.explain(words[0], label=told)
    assert probability(browser, "end of the word") == pytest.approx(end.probability, abs=0.01)
    leaves = "document.querySelectorAll('.letter').length"
    for number, size in enumerate([8, 3]):  # the contexts of the two networks, of which the second has no table
        choose(browser, "#member", number)
        assert browser.js(leaves) == size
        assert browser.js("document.querySelector('#sum').hidden") == (number == 1)
    browser.click("#tab-score")
    fill(browser, "#list", "emila\nolivia")
    shown = "[...document.querySelectorAll('.scores .guess')].map((guess) => guess.textContent)"
    browser.wait(f"{shown}.length === 2 && {shown}.every(Boolean)")
    for text, guessed in zip(browser.js(shown), model.guess(["emila", "olivia"]), strict=True):
        name, share = text.removesuffix(" %").rsplit(" ", 1)
        assert name == f"\u2068{guessed.label}\u2069"
        assert float(share) / 100 == pytest.approx(guessed.probabilities[guessed.label], abs=0.02)
    choose(browser, "#score-label", 1)
    (scored,) = model.score(["emila"], label=labels.names[0])
    bits = "document.querySelector('.scores .bits').textContent"
    browser.wait(f"Math.abs(parseFloat({bits}) - {scored.bits_per_character}) < 0.05")


def test_the_tree_and_the_table_add_up(page: Any, tmp_path: Path) -> None:
    """The lines end with what the bars say, and name the n-grams in the order of their length."""
    browser: Browser = page(model_of(VARIED["a table of n-grams"], WORDS, tmp_path / "words.txt"))
    browser.click("#tab-look")
    fill(browser, "#word", "emil")
    heads = (
        "[...document.querySelectorAll('#sum th')].map((head) => head.textContent.replaceAll(/[\u2068\u2069]/g, ''))"
    )
    browser.wait(f"{heads}[1] === '+ il'")
    assert browser.js(heads) == ["tree", "+ il", "+ mil", "+ emil", "+ ·emil", "= prediction"]
    likeliest = browser.js("document.querySelector('#reading').textContent").split(": ", 1)[1]
    last = "[...document.querySelectorAll('#sum tr:last-child span')].map((part) => part.textContent).join(', ')"
    assert browser.js(last) == likeliest.replace("end of the word", "end")
