import ast
import importlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import copies
from tests.conftest import ROOT
from tests.networks import lecture
from wavenet.training.cli import run

SHORT = ["--trainer.max_steps=2"]
SCRIPTS = sorted((ROOT / "benchmarks").glob("*.py"))


def test_the_baseline_is_the_lectures_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from lecture import LectureLoop

    torch.manual_seed(0)
    contexts, targets = torch.randint(27, (500, 8)), torch.randint(27, (500,))
    loop = LectureLoop(contexts, targets, vocab_size=27)
    assert sum(parameter.numel() for parameter in loop.parameters) == 76_579
    first = loop.loss(contexts, targets)
    for layer in loop.model.layers:
        layer.training = True
    loop.train(30)
    assert loop.loss(contexts, targets) < first
    network = lecture(27).eval()
    loop.copy_to(network)
    with torch.no_grad():
        torch.testing.assert_close(network(contexts), loop.model(contexts), rtol=1e-4, atol=1e-4)
    assert all(0 < token < 27 for token in loop.sample())


@pytest.mark.parametrize(
    ("name", "smaller", "arguments"),
    [
        ("time_to_loss", {"STEPS": 2}, []),
        ("throughput", {"BATCHES": 2}, []),
        ("overhead", {}, []),
        ("context", {"WORDS": 8, "BATCH": 2, "STEPS": 2, "BLOCK_SIZES": (8, 16)}, []),
        ("generate", {"STEPS": 2, "CALLS": 2, "SIZES": (1, 4)}, []),
        ("busy", {"TRAINED": {"tiny": ("names", SHORT)}, "THREADS": {"chosen": ([], {})}}, []),
        ("processes", {"TRAINED": {"tiny": SHORT}, "NUMBERS": (1,)}, []),
        (
            "list_sizes",
            {"POOLED": 30, "run": lambda args: run([*args, *SHORT])},
            ["--lists", "phrases", "--sizes", "30"],
        ),
        ("corpus", {"STEPS": 2}, ["--characters", "2000"]),
        ("transformer", {"EVERY": 2, "BATCH_SIZES": (8, 32)}, ["--steps", "4", "--trials", "2"]),
        ("transformer", {"EVERY": 2}, ["--steps", "4"]),
    ],
)
def test_every_script_runs(
    name: str,
    smaller: dict[str, object],
    arguments: list[str],
    words_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    script = importlib.import_module(name)
    for constant, value in smaller.items():
        assert hasattr(script, constant)
        monkeypatch.setattr(script, constant, value)
    if name != "processes":  # of which one starts its trainings as a user does
        monkeypatch.setattr("subprocess.run", copies.run)
    monkeypatch.setattr("sys.argv", [name, "--path", str(words_file), "--repeats", "1", *arguments])
    with torch.random.fork_rng():
        script.main()
    assert "threads)" in capsys.readouterr().out


def test_the_script_about_labels_runs(
    labelled_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import languages

    if find_spec("sklearn") is None:  # which only this script needs
        monkeypatch.setattr(languages, "baselines", dict)
    for constant, value in {"STEPS": 2, "NAMES": 20, "MIXED": 20}.items():
        monkeypatch.setattr(languages, constant, value)
    figure = tmp_path / "figure.png"
    options = ["--ckpt_path", str(labelled_run), "--figure", str(figure), "--repeats", "1"]
    monkeypatch.setattr("sys.argv", ["languages", *options])
    with torch.random.fork_rng():
        languages.main()
    said = capsys.readouterr().out
    assert "labels of 8 validation words" in said
    assert "names a second" in said
    assert figure.is_file()


def test_the_script_about_ways_to_tell_labels_runs(
    labelled_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import conditioning

    monkeypatch.setattr(conditioning, "STEPS", 2)
    monkeypatch.setattr("sys.argv", ["conditioning", "--path", str(labelled_file)])
    with torch.random.fork_rng():
        conditioning.main()
    said = capsys.readouterr().out
    assert all(way in said for way in conditioning.WAYS)


def test_the_calibration_error_is_the_mean_distance_of_sure_from_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from languages import calibration_error, reliability

    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.4, 0.6], [1.0, 0.0]])
    targets = np.array([0, 1, 1, 0])
    low, high = reliability(probabilities, targets)
    assert low == pytest.approx((0.6, 1.0, 1))
    assert high == pytest.approx((2.9 / 3, 2 / 3, 3))
    assert calibration_error(probabilities, targets) == pytest.approx((0.4 + (2.9 - 2)) / 4)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_says_how_it_is_run(path: Path) -> None:
    documentation = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert documentation is not None
    if path.stem not in ("common", "lecture"):
        assert f"python benchmarks/{path.name}" in documentation


def test_the_transformer_is_causal_and_counts_each_token_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from transformer import Transformer, evaluate, losses, padded

    from wavenet.corpus.vocabulary import Vocabulary

    torch.manual_seed(0)
    model, vocabulary = Transformer(27, dropout=0.1), Vocabulary("abcdefghijklmnopqrstuvwxyz")
    words = ["emma", "o", "annabella"]
    targets = padded(words, vocabulary, torch.device("cpu"))
    loss = evaluate(model, targets)
    model.eval()
    with torch.no_grad():
        alone = [losses(model, padded([word], vocabulary, torch.device("cpu"))).item() for word in words]
        logits = model(torch.tensor([[0, 5, 13, 13], [0, 5, 13, 1]]))
    assert loss == pytest.approx(sum(alone) / sum(len(word) + 1 for word in words), rel=1e-5)
    torch.testing.assert_close(logits[0, :3], logits[1, :3])
    assert not torch.allclose(logits[0, 3], logits[1, 3])
    assert 200_000 < sum(parameter.numel() for parameter in model.parameters()) < 210_000
