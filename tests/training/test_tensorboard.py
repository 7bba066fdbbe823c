"""The pages of a real TensorBoard server, read over HTTP, and two of them in a real browser."""

import json
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.browser import CHROMIUM, HEADLESS
from tests.conftest import TINY, run_cli

RUN = "default/version_0"
LINE = (255, 112, 67)  # the colour of the first run

Get = Callable[..., Any]


@pytest.fixture(scope="module")
def run_root(tmp_path_factory: pytest.TempPathFactory, words_file: Path) -> Path:
    root = tmp_path_factory.mktemp("watched")
    parts = ("--health.enabled=true", "--health.every_n_validations=1", "--samples.num_draws=50", "--record.graph=true")
    assert run_cli("fit", "--data.path", words_file, "--trainer.default_root_dir", root, *TINY, *parts) == 0
    return root


@pytest.fixture(scope="module")
def address(run_root: Path) -> Iterator[str]:
    """A server that has read the run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(run_root), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        runs: list[str] = []
        while RUN not in runs and time.monotonic() < deadline:
            time.sleep(0.3)
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/data/runs", timeout=10) as response:
                    runs = json.load(response)
            except OSError:
                assert server.poll() is None
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def get(address: str) -> Get:
    """Reads JSON from a route of a plugin."""

    def read(route: str, data: dict[str, Any] | None = None, **query: str) -> Any:
        url = f"{address}/data/plugin/{route}?{urllib.parse.urlencode(query)}"
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as response:
            content = response.read()
        try:
            return json.loads(content)
        except json.JSONDecodeError:
            return content.decode()

    return read


def test_scalars(get: Get, run_root: Path) -> None:
    tags = set(get("scalars/tags")[RUN])
    assert tags >= {
        "train/loss", "val/loss", "val/ngram_loss", "val/perplexity", "val/bits_per_character", "train/learning_rate",
        "train/seconds_per_step", "train/gradient_norm", "samples/new", "final/val_loss", "final/test_loss",
        "update_ratio/0.0.weight", "update_ratio/0.6.0.weight", "update_ratio/0.9.weight", "dead_units/0.6.2",
    }  # fmt: skip
    metrics = json.loads((run_root / RUN / "metrics.json").read_text(encoding="utf-8"))
    points = {tag: get("scalars/scalars", tag=tag, run=RUN) for tag in tags}
    assert len(points["val/loss"]) == 3
    assert points["val/loss"][-1][2] == pytest.approx(metrics["last"]["val/loss"], abs=1e-5)
    assert points["final/test_loss"][-1][2] == pytest.approx(metrics["test/loss"], abs=1e-5)
    assert [point[1] for point in points["train/gradient_norm"]] == [3, 7, 11]
    assert all(-13 < point[2] < 0 for point in points["update_ratio/0.6.0.weight"])
    assert all(0 < point[2] < 1 for point in points["train/seconds_per_step"])
    assert all(0 <= point[2] <= 1 for point in points["samples/new"])


def test_the_losses_share_a_chart(get: Get) -> None:
    layout = get("custom_scalars/layout")
    (chart,) = layout["category"][0]["chart"]
    assert chart["multiline"]["tag"] == ["train/loss", "val/loss", "val/ngram_loss"]


def test_histograms(get: Get) -> None:
    tags = set(get("histograms/tags")[RUN])
    assert tags >= {
        "activations/0.4", "gradients/0.6.0.weight", "running_mean/0.3", "running_var/0.6.1",
    }  # fmt: skip
    histograms = get("histograms/histograms", tag="activations/0.6.2", run=RUN)
    assert len(histograms) == 3
    assert sum(bucket[2] for bucket in histograms[0][2]) > 8


def test_text(get: Get) -> None:
    assert set(get("text/tags")[RUN]) == {
        "configuration/text_summary", "corpus/text_summary", "samples/text_summary",
    }  # fmt: skip
    configuration = get("text/text", tag="configuration/text_summary", run=RUN)[0]["text"]
    assert "hidden_dim: 8" in configuration
    assert "sha256: " in get("text/text", tag="corpus/text_summary", run=RUN)[0]["text"]
    samples = get("text/text", tag="samples/text_summary", run=RUN)
    assert len(samples) == 3
    assert samples[-1]["text"].count("<td>new</td>") > 10


def test_projector(get: Get) -> None:
    (embedding,) = get("projector/info", run=RUN)["embeddings"]
    assert embedding["tensorName"] == "characters:00012"
    labels = get("projector/metadata", run=RUN, name=embedding["tensorName"])
    assert labels.splitlines() == [".", *"abeilmorsv"]


def test_graph(get: Get) -> None:
    info = get("graphs/info")
    assert info[RUN]["run_graph"]
    graph = get("graphs/graph", run=RUN, conceptual="false")
    assert "Residual" in graph
    assert "FlattenConsecutive" in graph


def test_hyper_parameters(get: Get, run_root: Path) -> None:
    experiment = get("hparams/experiment", {"experimentName": ""})
    names = {info["name"] for info in experiment["hparamInfos"]}
    assert names >= {"hidden_dim", "learning_rate", "batch_size", "seed", "residual"}
    metrics = {info["name"]["tag"] for info in experiment["metricInfos"]}
    assert metrics == {"final/val_loss", "final/test_loss"}


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
@pytest.mark.parametrize("page", ["custom_scalars", "scalars"])
def test_charts_are_drawn_in_a_browser(page: str, address: str, tmp_path: Path) -> None:
    picture = tmp_path / f"{page}.png"
    options = (
        *HEADLESS, "--window-size=1400,1000",
        "--virtual-time-budget=20000", f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={picture}",
    )  # fmt: skip
    subprocess.run([str(CHROMIUM), *options, f"{address}/#{page}"], check=True, capture_output=True, timeout=120)
    with Image.open(picture) as image:
        content = image.convert("RGB").crop((450, 70, 1400, 1000))  # without the header and the list of runs
        pixels = content.getcolors(maxcolors=2**24) or []
    assert sum(count for count, colour in pixels if colour == LINE) > 30
