import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.conftest import run_cli
from wavenet import load
from wavenet.inference.checkpoint import read_checkpoint

Fails = Callable[..., str]


@pytest.fixture
def here(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the runs of two experiments, alike but for a weight, to work in."""
    for name in ("one", "two"):
        shutil.copytree(tiny_run, tmp_path / "runs" / name / "version_0")
    path = tmp_path / "runs" / "two" / "version_0" / "checkpoints" / "best.ckpt"
    content = read_checkpoint(path)
    content["state_dict"]["network.0.0.weight"].mul_(3)
    torch.save(content, path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_runs_by_name_folder_and_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = [("one", "two"), ("runs/two", "one"), ("runs/two/version_0/checkpoints/best.ckpt", "one")]
    for number, (first, second) in enumerate(pairs):
        assert run_cli("ensemble", first, second, "--output", f"{number}.ckpt") == 0
    out = capsys.readouterr().out
    losses = [float(line.split("│")[3]) for line in out.splitlines() if re.match(r"│.*\.ckpt ", line)]
    assert len(losses) == 9
    model = load("0.ckpt")
    words = model.split.val.words
    loss = -sum(scored.log_prob for scored in model.score(words)) / sum(len(word) + 1 for word in words)
    assert losses[2] == losses[5] == losses[8] == pytest.approx(loss, abs=1e-4)
    assert losses[2] < max(losses[:2])
    assert "sample --ckpt_path 0.ckpt" in out
    for command in (["sample", "-n", "3"], ["score", "sobe", "--explain"], ["top", "--novel"]):
        assert run_cli(*command, "--ckpt_path", "0.ckpt") == 0


def test_where_the_words_are_missing_it_says_so(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        path = here / "runs" / name / "version_0" / "checkpoints" / "best.ckpt"
        content = read_checkpoint(path)
        content["WordsDataModule"]["path"] = "gone.txt"
        torch.save(content, path)
    assert run_cli("ensemble", "one", "two", "--output", "both.ckpt") == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("note: losses cannot be measured: ")
    assert captured.err.count("\n") == 1
    assert len(load("both.ckpt").sample(3)) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["one", "--output", "x.ckpt"], 2, "expected at least two runs"),
        (["one", "runs/one", "--output", "x.ckpt"], 2, "expected each member once"),
        (["one", "tow", "--output", "x.ckpt"], 2, "tow not found: expected .*one, two\\); did you mean two"),
        (["one", "two", "--output", "runs"], 2, "--output must be a file in an existing folder, got runs"),
        (["one", "two", "--output", "no/x.ckpt"], 2, "--output must be a file in an existing folder"),
        (["one", "two"], 2, "required: --output"),
        (["one", "two", "--output", "x.ckpt", "--threads", "0"], 2, "--threads must be at least 1, got 0"),
        (["one", "x.txt", "--output", "x.ckpt"], 1, "x.txt is truncated or not a checkpoint"),
    ],
)
def test_wrong_calls_end_in_one_line(
    here: Path, cli_error: Fails, arguments: list[str], code: int, message: str
) -> None:
    (here / "x.txt").write_text("emma\n", encoding="utf-8")
    error = cli_error("ensemble", *arguments, code=code)
    assert re.search(message, error), error
    assert not (here / "x.ckpt").exists()
