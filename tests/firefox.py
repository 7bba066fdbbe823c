"""A headless Firefox, driven over WebDriver BiDi, that keeps every complaint and every request of a page."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.browser import PATIENCE, Driver, running

FIREFOX = next(filter(None, map(shutil.which, ("firefox", "firefox-esr"))), None)


class Firefox(Driver):
    """A page of Firefox."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.call("session.new", capabilities={})
        self.context = self.call("browsingContext.getTree")["contexts"][0]["context"]
        self.call("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])

    def notice(self, message: dict[str, Any]) -> None:
        method, given = message["method"], message["params"]
        if method == "log.entryAdded":
            self.problems.append(str(given["text"]))
        elif method == "network.beforeRequestSent" and given["navigation"] is None:
            self.requests.append(given["request"]["url"])

    def open(self, path: Path) -> None:
        self.call("browsingContext.navigate", context=self.context, url=path.as_uri(), wait="complete")

    def js(self, expression: str) -> Any:
        text = f"Promise.resolve({expression}).then((value) => JSON.stringify(value))"
        answer = self.call(
            "script.evaluate", expression=text, target={"context": self.context}, awaitPromise=True, userActivation=True
        )
        assert answer["type"] == "success", answer["exceptionDetails"]["text"]
        return json.loads(answer["result"].get("value", "null"))


@contextmanager
def firefox(folder: Path) -> Iterator[Firefox]:
    """A browser with an empty profile in a folder."""
    command = [str(FIREFOX), "--headless", "--no-remote", "--profile", str(folder), "--remote-debugging-port=0"]
    with running(command):
        browser = Firefox(session_address(folder))
        yield browser
        browser.socket.close()


def session_address(profile: Path) -> str:
    """Where the browser listens, once it does."""
    written, deadline = profile / "WebDriverBiDiServer.json", time.monotonic() + PATIENCE
    while not (written.exists() and written.read_text().endswith("}")):
        assert time.monotonic() < deadline, "Firefox does not start"
        time.sleep(0.05)
    server = json.loads(written.read_text())
    return f"ws://{server['ws_host']}:{server['ws_port']}/session"
