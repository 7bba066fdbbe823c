"""The ONNX files, run by onnxruntime as another program would."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.conftest import run_cli
from tests.networks import VARIED, batch_norm_bug, lively
from wavenet import NetworkConfig, TrainedModel, Vocabulary, build, load
from wavenet.corpus.labels import Labels
from wavenet.corpus.vocabulary import BOUNDARY
from wavenet.export.facts import Facts
from wavenet.export.folding import folded
from wavenet.export.graphs import Stepping, write_graphs
from wavenet.network.labels import num_labels, pairs
from wavenet.network.layers import receptive_field

onnxruntime = pytest.importorskip("onnxruntime")

ALPHABET = "abcdé"
COUNTS = {"Finnish": 30, "日本語": 10}
NUMPY = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
CLOSE = {"atol": 1e-4, "rtol": 0.0}
Exported = tuple[nn.Sequential, Any, Any]


@pytest.mark.parametrize("config", VARIED.values(), ids=list(VARIED))
def test_a_folded_network_has_the_same_logits(config: NetworkConfig | Sequence[NetworkConfig]) -> None:
    network = lively(build(config, 6))
    contexts = torch.randint(6, (50, receptive_field(network)), generator=torch.Generator().manual_seed(2))
    assert not any(isinstance(layer, nn.BatchNorm1d | nn.Dropout) for layer in folded(network).modules())
    torch.testing.assert_close(folded(network)(contexts), network(contexts), atol=1e-5, rtol=1e-5)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """An ensemble with a table and labels, and the sessions of its two forms."""
    network = lively(build(VARIED["an ensemble"], len(ALPHABET) + 1, len(COUNTS)))
    path = tmp_path_factory.mktemp("onnx") / "words.onnx"
    model = TrainedModel(network, Vocabulary(ALPHABET), labels=Labels(COUNTS))
    paths = write_graphs(network, Facts.of(model), path)
    assert [path.name for path in paths] == ["words.onnx", "words.step.onnx"]
    return network, *(onnxruntime.InferenceSession(path) for path in paths)


def test_whole_words_come_out_alike(exported: Exported) -> None:
    compare(*exported)


def compare(network: nn.Sequential, windowed: Any, stepping: Any) -> None:
    """A loop draws words with all three: torch, the windowed and the stepping form; a new word follows each end."""
    generator = torch.Generator().manual_seed(3)
    _, *states = stepping.get_inputs()
    size, rows = receptive_field(network), 5
    contexts, labels = torch.full((rows, size), BOUNDARY), torch.arange(rows) % (num_labels(network) + 1)
    fed = {state.name: np.full((rows, *state.shape[1:]), 9, NUMPY[state.type]) for state in states}
    ends = 0
    for _ in range(100):
        with torch.no_grad():
            vocab_size = network(contexts).shape[1]
            ids = pairs(contexts, labels[:, None], vocab_size)
            expected = network(ids)
        logits = torch.from_numpy(windowed.run(None, {"tokens": ids.numpy()})[0])
        stepped, *following = stepping.run(None, {"tokens": ids[:, -1].numpy(), **fed})
        fed = {state.name: value for state, value in zip(states, following, strict=True)}
        torch.testing.assert_close(logits, expected, **CLOSE)
        torch.testing.assert_close(torch.from_numpy(stepped), expected, **CLOSE)
        drawn = torch.multinomial(logits.softmax(1), 1, generator=generator)
        ended = drawn == BOUNDARY
        contexts = torch.where(ended, BOUNDARY, torch.cat([contexts[:, 1:], drawn], dim=1))
        labels = (labels + ended[:, 0]) % (num_labels(network) + 1)
        ends += int(ended.sum())
    assert ends > rows


def test_any_number_of_words_at_once(exported: Exported) -> None:
    network, windowed, _ = exported
    for rows in (1, 7):
        logits = windowed.run(None, {"tokens": torch.zeros(rows, receptive_field(network), dtype=torch.long).numpy()})[
            0
        ]
        assert logits.shape == (rows, len(ALPHABET) + 1)


def test_the_files_say_where_they_come_from(exported: Exported) -> None:
    network, windowed, stepping = exported
    for session, form in ((windowed, "windowed"), (stepping, "stepping")):
        said = session.get_modelmeta().custom_metadata_map
        assert said["alphabet"] == ALPHABET
        assert json.loads(said["labels"]) == COUNTS
        assert said["block_size"] == str(receptive_field(network))
        assert said["form"] == form


def test_the_command(
    tiny_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    path = tmp_path / "words.onnx"
    assert run_cli("export", "--format", "onnx", "--output", path, "--ckpt_path", tiny_run) == 0
    out, err = capfd.readouterr()
    assert out.splitlines() == [
        f"{path}: logits from contexts of 8 tokens",
        f"{tmp_path / 'words.step.onnx'}: logits and the next state from one token and the state",
    ]
    assert err.splitlines() == [f"using {tiny_run / 'checkpoints' / 'best.ckpt'}"]
    assert not recwarn.list
    model = load(tiny_run / "checkpoints" / "best.ckpt")
    sessions = [onnxruntime.InferenceSession(file) for file in (path, tmp_path / "words.step.onnx")]
    compare(model.network, *sessions)
    said = sessions[0].get_modelmeta().custom_metadata_map
    assert said["corpus_sha256"] == model.trained_on.sha256
    assert said["wavenet_version"] == "0.1.0"


def test_a_network_without_context_steps_without_a_state() -> None:
    network = lively(build(VARIED["no context"], 6))
    (logits,) = Stepping(network)(torch.arange(6))
    torch.testing.assert_close(logits, network(torch.arange(6)[:, None]))


def test_the_bug_of_the_lecture_cannot_step(tmp_path: Path) -> None:
    network = lively(batch_norm_bug(6, block_size=4, embedding_dim=4, hidden_dim=8))
    (path,) = write_graphs(network, Facts.of(TrainedModel(network, Vocabulary(ALPHABET))), tmp_path / "bug.onnx")
    contexts = torch.randint(6, (5, 4))
    logits = onnxruntime.InferenceSession(path).run(None, {"tokens": contexts.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(logits), network(contexts).detach(), **CLOSE)


def test_missing_packages_end_in_one_line(
    cli_error: Callable[..., str], tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wavenet.extras.find_spec", lambda name: None)
    error = cli_error("export", "--format", "onnx", "--output", tmp_path / "x.onnx", "--ckpt_path", tiny_run)
    assert "onnx and onnxscript are not installed: pip install '.[onnx]'" in error
    assert not list(tmp_path.iterdir())


def test_wrong_calls_end_in_one_line(cli_error: Callable[..., str], tiny_run: Path, tmp_path: Path) -> None:
    where = ("--ckpt_path", tiny_run, "--output")
    assert "invalid choice: 'pdf'" in cli_error("export", "--format", "pdf", *where, tmp_path / "x.pdf", code=2)
    missing = tmp_path / "no" / "x.onnx"
    assert f"--output must be a file in an existing folder, got {missing}" in cli_error(
        "export", "--format", "onnx", *where, missing, code=2
    )
    error = cli_error(
        "export", "--format", "onnx", "--ckpt_path", tmp_path / "no.ckpt", "--output", tmp_path / "x.onnx"
    )
    assert "checkpoint not found" in error
