"""The page in a real browser: the same numbers as torch's, every control by mouse and keyboard, and no complaint."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.browser import CHROMIUM, Browser, chromium
from tests.conftest import WORDS
from tests.enumeration import VOCABULARY, all_words, normalised, small_network, word_probability
from tests.export.test_page import CLOSE, HOSTILE, model_of
from tests.networks import VARIED, lively
from wavenet import NetworkConfig, TrainedModel, Vocabulary, build
from wavenet.corpus.labels import Labels
from wavenet.corpus.vocabulary import ANY
from wavenet.export import page as page_module
from wavenet.export.facts import Facts
from wavenet.export.folding import folded
from wavenet.export.packing import rounded
from wavenet.export.page import bundled, write_page
from wavenet.inference.scoring import predictions
from wavenet.network.labels import under
from wavenet.network.packing import pack

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")]

OPENED = "globalThis.inside = { page, Tree, Wanted, Sampler, logProbabilities };"
READY = "document.querySelector('#made').textContent"


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the browser saves files."""
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(downloads: Path) -> Iterator[Browser]:
    with chromium(downloads) as opened:
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


@pytest.mark.parametrize("config", VARIED.values(), ids=list(VARIED))
def test_the_logits_are_those_of_torch(
    config: NetworkConfig | Sequence[NetworkConfig], page: Any, tmp_path: Path
) -> None:
    model = model_of(config, WORDS, tmp_path / "words.txt")
    words = model.sample(1000, seed=1, max_length=12)
    check_logits(model, page(model), words)


def check_logits(model: TrainedModel, browser: Browser, words: list[str], label: int = ANY) -> None:
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


TOUCHED = """
    globalThis.touched = new Set();
    for (const event of ["click", "input", "change"]) {
        document.addEventListener(event, ({ target }) => {
            for (let at = target; at; at = at.parentElement) touched.add(at);
        }, true);
    }
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
            return (folder / name).read_text(encoding="utf-8").splitlines()
        browser.js("new Promise((resolve) => setTimeout(resolve, 25))")
    raise AssertionError(f"{name} was not saved: {list(folder.iterdir())}")


@pytest.fixture
def touched(page: Any, tmp_path: Path) -> Iterator[tuple[Browser, TrainedModel]]:
    """A page on which, in the end, every control of the view that is shown has been used."""
    model = model_of(NetworkConfig(embedding_dim=4, hidden_dim=8), WORDS, tmp_path / "words.txt")
    browser: Browser = page(model, with_corpus=True)
    browser.js(TOUCHED)
    yield browser, model
    controls = f"[...document.querySelectorAll('section:not([hidden]) :is({CONTROLS})')]"
    missed = f"{controls}.filter((each) => each.id && !each.closest('[hidden]') && !touched.has(each))"
    assert browser.js(f"{missed}.map((each) => each.id)") == []


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


def choose(browser: Browser, selector: str, value: int) -> None:
    """Chooses what a select offers."""
    box = f"document.querySelector({json.dumps(selector)})"
    browser.js(f"{box}.value = {value}; {box}.dispatchEvent(new Event('change'))")


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


def letters(browser: Browser) -> str:
    """What the leaves of the tree show."""
    return str(browser.js("[...document.querySelectorAll('.letter')].map((letter) => letter.textContent).join('')"))


def probability(browser: Browser, name: str) -> float:
    """How probable the bars say that something is."""
    label = browser.js(f"document.querySelector('#bars [aria-label^=\"{name}\"]').ariaLabel")
    return float(label.removeprefix(name).rstrip(" %")) / 100


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
    words = [*HOSTILE[:4], "e\u0323\u0301", *HOSTILE[5:], "a\u2028b"]
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
    browser: Browser = page(model_of(NetworkConfig(embedding_dim=4, hidden_dim=8), WORDS, tmp_path / "words.txt"))
    browser.show(*size, dark=dark)
    papers = {False: "rgb(251, 250, 247)", True: "rgb(21, 23, 27)"}
    assert browser.js("getComputedStyle(document.body).backgroundColor") == papers[dark]
    for view in ("make", "look", "score"):
        browser.click(f"#tab-{view}")
        assert browser.js("document.documentElement.scrollWidth") <= size[0]
        outside = f"""[...document.querySelectorAll('#{view} *')].filter((part) =>
            part.getBoundingClientRect().right > {size[0]} + 1 || part.getBoundingClientRect().left < -1)"""
        assert browser.js(f"{outside}.map((part) => part.outerHTML.slice(0, 80))") == []


def test_a_tree_that_does_not_fit_shows_its_newest_characters(page: Any, tmp_path: Path) -> None:
    browser: Browser = page(model_of(NetworkConfig(32, 2, 4, 8), WORDS, tmp_path / "words.txt"))
    browser.show(360, 740)
    browser.click("#tab-look")
    fill(browser, "#word", "sobe")
    place = "[...document.querySelectorAll('.letter')].at(-1).getBoundingClientRect()"
    browser.wait(f"{place}.right <= 360 && {place}.left > 300")
    assert browser.js("document.documentElement.scrollWidth") <= 360
