"""The ONNX files, run by onnxruntime as another program would."""

import json
import warnings
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

import wavenet
from tests.conftest import run_cli
from tests.copies import Copy, Ended
from tests.networks import VARIED, batch_norm_bug, lively
from wavenet import NetworkConfig, TrainedModel, Vocabulary, build
from wavenet.corpus.vocabulary import BOUNDARY
from wavenet.export.facts import Facts
from wavenet.export.folding import folded
from wavenet.export.graphs import Stepping, write_graphs
from wavenet.inference.checkpoint import TRAINED_ON, hyper_parameters, read_checkpoint, stamp, write_checkpoint
from wavenet.network.labels import num_labels, pairs
from wavenet.network.layers import NgramLogits, receptive_field

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")  # which takes long to import: once, and not in each copy of this process

ALPHABET = "abcdé"
COUNTS = {"Finnish": 30, "日本語": 10}
NUMPY = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
CLOSE = {"atol": 1e-4, "rtol": 0.0}


@pytest.mark.parametrize("config", VARIED.values(), ids=list(VARIED))
def test_a_folded_network_has_the_same_logits(config: NetworkConfig | Sequence[NetworkConfig]) -> None:
    network = lively(build(config, 6))
    contexts = torch.randint(6, (50, receptive_field(network)), generator=torch.Generator().manual_seed(2))
    left = [layer for layer in folded(network).modules() if isinstance(layer, nn.BatchNorm1d | nn.Dropout)]
    assert len(left) == sum(isinstance(layer, NgramLogits) for layer in network.modules())  # each has a dropout inside
    torch.testing.assert_close(folded(network)(contexts), network(contexts), atol=1e-5, rtol=1e-5)


class Exported(NamedTuple):
    """A checkpoint's network, the sessions of its two forms, and what the command that wrote them said."""

    network: nn.Sequential
    windowed: Any
    stepping: Any
    said: Ended


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("onnx")


@pytest.fixture(scope="module")
def exported(folder: Path, tiny_run: Path) -> Exported:
    """The command's files of an ensemble with a table and labels."""
    network = lively(build(VARIED["an ensemble"], len(ALPHABET) + 1, len(COUNTS)))
    content: dict[str, Any] = {
        "state_dict": {f"network.{name}": value for name, value in network.state_dict().items()},
        "hyper_parameters": hyper_parameters(ALPHABET, VARIED["an ensemble"], {}, COUNTS),
        TRAINED_ON: read_checkpoint(tiny_run / "checkpoints" / "best.ckpt")[TRAINED_ON],
    }
    stamp(content)
    write_checkpoint(content, folder / "words.ckpt")

    def export() -> int:
        warnings.simplefilter("default")  # all of them would be written to stderr
        options = ["--output", folder / "words.onnx", "--ckpt_path", folder / "words.ckpt"]
        return run_cli("export", "--format", "onnx", *options)

    said = Copy(export, folder / "streams").ended()
    windowed, stepping = (onnxruntime.InferenceSession(folder / name) for name in ("words.onnx", "words.step.onnx"))
    return Exported(network, windowed, stepping, said)


def test_the_command_says_what_it_has_written(exported: Exported, folder: Path) -> None:
    assert exported.said == (
        0,
        f"{folder / 'words.onnx'}: logits from contexts of 8 tokens\n"
        f"{folder / 'words.step.onnx'}: logits and the next state from one token and the state\n",
        "",
    )


def test_whole_words_come_out_alike(exported: Exported) -> None:
    """A loop draws words with all three: torch, the windowed and the stepping form; a new word follows each end."""
    network, windowed, stepping, _ = exported
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
    network, windowed, *_ = exported
    for rows in (1, 7):
        logits = windowed.run(None, {"tokens": torch.zeros(rows, receptive_field(network), dtype=torch.long).numpy()})[
            0
        ]
        assert logits.shape == (rows, len(ALPHABET) + 1)


def test_the_files_say_where_they_come_from(exported: Exported, words_file: Path) -> None:
    network, windowed, stepping, _ = exported
    for session, form in ((windowed, "windowed"), (stepping, "stepping")):
        said = session.get_modelmeta().custom_metadata_map
        assert said["alphabet"] == ALPHABET
        assert json.loads(said["labels"]) == COUNTS
        assert said["block_size"] == str(receptive_field(network))
        assert said["form"] == form
        assert said["corpus_sha256"] == sha256(words_file.read_bytes()).hexdigest()
        assert said["wavenet_version"] == wavenet.__version__


@pytest.mark.parametrize("config", VARIED.values(), ids=list(VARIED))
def test_the_stepping_form_reads_a_token_at_a_time(config: NetworkConfig | Sequence[NetworkConfig]) -> None:
    network, rows = lively(build(config, 6)), 5
    stepping = Stepping(network)
    states, contexts = stepping.zeros(rows), torch.full((rows, receptive_field(network)), BOUNDARY)
    drawn = torch.randint(6, (20, rows, 1), generator=torch.Generator().manual_seed(2))
    for tokens in [torch.full((rows, 1), BOUNDARY), *drawn]:
        contexts = torch.where(tokens == BOUNDARY, BOUNDARY, torch.cat([contexts[:, 1:], tokens], dim=1))
        logits, *states = stepping(tokens[:, 0], *states)
        torch.testing.assert_close(logits, network(contexts), **CLOSE)


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
