"""Browsers, and the page of a model in each of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.browser import CHROMIUM, Browser, Driver, chromium
from tests.conftest import WORDS
from tests.export.in_browser import CONTROLS, OPENED, READY
from tests.export.test_page import model_of
from tests.firefox import FIREFOX, firefox
from wavenet import NetworkConfig, TrainedModel
from wavenet.export import page as page_module
from wavenet.export.facts import Facts
from wavenet.export.page import bundled, write_page


@pytest.fixture(scope="session")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the browser saves files."""
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="session")
def browser(downloads: Path) -> Iterator[Browser]:
    """Chromium, which starts once for all tests that need it."""
    if CHROMIUM is None:
        pytest.skip("no Chromium")
    with chromium(downloads) as opened:
        yield opened


@pytest.fixture(scope="session")
def other_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """Firefox."""
    if FIREFOX is None:
        pytest.skip("no Firefox")
    with firefox(tmp_path_factory.mktemp("firefox")) as opened:
        yield opened


@pytest.fixture
def page(browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Opens the page of a model in Chromium."""
    with opening(browser, tmp_path, monkeypatch) as open_page:

        def open_in_a_window(model: TrainedModel, with_corpus: bool = False) -> Browser:
            browser.show(1200, 900)
            open_page(model, with_corpus)
            return browser

        yield open_in_a_window


@pytest.fixture
def page_in_firefox(other_browser: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Opens the page of a model in Firefox."""
    with opening(other_browser, tmp_path, monkeypatch) as open_page:
        yield open_page


@contextmanager
def opening(driver: Driver, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What opens the page of a model; at the end the browser must have had nothing to complain of or ask for."""
    monkeypatch.setattr(page_module, "bundled", lambda: bundled() + OPENED)
    driver.problems.clear()
    driver.requests.clear()

    def open_page(model: TrainedModel, with_corpus: bool = False) -> Driver:
        write_page(model, Facts.of(model), folder / "page.html", with_corpus)
        driver.open(folder / "page.html")
        driver.wait(READY)
        return driver

    yield open_page
    assert driver.problems == []
    assert [request for request in driver.requests if not request.startswith(("data:", "blob:"))] == []


TOUCHED = """
    globalThis.touched = new Set();
    for (const event of ["click", "input", "change"]) {
        document.addEventListener(event, ({ target }) => {
            for (let at = target; at; at = at.parentElement) touched.add(at);
        }, true);
    }
"""


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
