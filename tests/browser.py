"""A headless Chromium, driven over its DevTools protocol, that keeps every complaint and every request of a page."""

import base64
import json
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import websocket

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HEADLESS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip
PATIENCE = 60  # seconds


class Driver(ABC):
    """A page of a browser that is driven by messages, as the DevTools protocol and WebDriver BiDi have them.

    Attributes:
        problems: Errors of scripts, and what the console said.
        requests: The addresses that pages have asked for, those of documents aside.
    """

    def __init__(self, address: str) -> None:
        self.socket = websocket.create_connection(address, timeout=PATIENCE, suppress_origin=True)
        self.number = 0
        self.problems: list[str] = []
        self.requests: list[str] = []

    def call(self, method: str, **parameters: Any) -> Any:
        """Calls a method of the protocol."""
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while (message := json.loads(self.socket.recv())).get("id") != self.number:
            self.notice(message)
        assert "error" not in message, f"{method}: {message}"
        return message["result"]

    @abstractmethod
    def notice(self, message: dict[str, Any]) -> None:
        """Keeps what an event tells of problems and requests."""

    @abstractmethod
    def open(self, path: Path) -> None:
        """Opens a file, and waits until it is loaded."""

    @abstractmethod
    def js(self, expression: str) -> Any:
        """The value of an expression in the page, once it is there if it is a promise."""

    def wait(self, condition: str) -> None:
        """Waits until an expression is true."""
        deadline = time.monotonic() + PATIENCE
        while not self.js(f"Boolean({condition})"):
            assert time.monotonic() < deadline, condition
            time.sleep(0.02)


class Browser(Driver):
    """A page of Chromium."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.events: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def notice(self, message: dict[str, Any]) -> None:
        method, given = message["method"], message["params"]
        self.events.append(method)
        if method == "Runtime.exceptionThrown":
            details = given["exceptionDetails"]
            self.problems.append(str(details.get("exception", {}).get("description", details["text"])))
        elif method == "Runtime.consoleAPICalled":
            self.problems.append(str([argument.get("value") for argument in given["args"]]))
        elif method == "Log.entryAdded":
            self.problems.append(given["entry"]["text"])
        elif method == "Network.requestWillBeSent" and given["type"] != "Document":
            self.requests.append(given["request"]["url"])

    def open(self, path: Path) -> None:
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        deadline = time.monotonic() + PATIENCE
        while "Page.loadEventFired" not in self.events:
            assert time.monotonic() < deadline
            self.notice(json.loads(self.socket.recv()))

    def js(self, expression: str) -> Any:
        given = {"expression": expression, "awaitPromise": True, "returnByValue": True, "userGesture": True}
        result = self.call("Runtime.evaluate", **given)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def click(self, selector: str) -> None:
        """Clicks in the middle of an element, as the mouse does."""
        self.js(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'center'}})")
        x, y = self.js(
            f"(() => {{ const box = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
            f"return [box.x + box.width / 2, box.y + box.height / 2]; }})()"
        )
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button = "none" if kind == "mouseMoved" else "left"
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, clickCount=1)

    def press(self, *keys: str) -> None:
        """Presses keys, by their names."""
        for key in keys:
            text = {"text": "\r"} if key == "Enter" else {}
            for kind in ("keyDown", "keyUp"):
                code = KEY_CODES.get(key, 0)
                self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def type(self, text: str) -> None:
        """Types into what has the focus."""
        self.call("Input.insertText", text=text)

    def seconds(self) -> float:
        """The time that the page has computed, in the domain that was chosen."""
        metrics = {metric["name"]: metric["value"] for metric in self.call("Performance.getMetrics")["metrics"]}
        return float(metrics["TaskDuration"])

    def show(self, width: int, height: int, dark: bool = False, scale: float = 1) -> None:
        """Sets the size of the window, and whether it is a dark one."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 500}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def picture(self, path: Path) -> None:
        """Saves what is to be seen, as a PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


KEY_CODES = {
    "Tab": 9, "Enter": 13, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40,
}  # fmt: skip


@contextmanager
def running(command: list[str]) -> Iterator[None]:
    """A browser that runs meanwhile."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """A browser with an empty profile in a folder, where it also saves files."""
    profile = folder / "profile"
    command = [str(CHROMIUM), *HEADLESS, "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
    with running(command):
        browser = Browser(page_address(profile))
        browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        yield browser
        browser.socket.close()


def page_address(profile: Path) -> str:
    """Where the browser listens, once it does: for its first page."""
    written, deadline = profile / "DevToolsActivePort", time.monotonic() + PATIENCE
    while not (written.exists() and written.read_text().count("\n")):
        assert time.monotonic() < deadline, "Chromium does not start"
        time.sleep(0.05)
    port = written.read_text().splitlines()[0]
    while True:
        with urlopen(f"http://127.0.0.1:{port}/json", timeout=PATIENCE) as response:
            pages = [target for target in json.load(response) if target["type"] == "page"]
        if pages:
            return str(pages[0]["webSocketDebuggerUrl"])
        assert time.monotonic() < deadline
        time.sleep(0.05)
