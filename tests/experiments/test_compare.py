import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import util
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
from PIL import Image

from tests.conftest import run_cli
from tests.copies import Copy
from tests.experiments.conftest import InCopy, InProcess, Write, write_config
from wavenet import load
from wavenet.experiments import children, trainings
from wavenet.experiments.compare import trainings_of
from wavenet.experiments.how import HowToRun, locked

Error = Callable[..., str]

CONFIGS = ["narrow.yaml", "wide.yaml"]

ENDLESS: dict[str, Any] = {
    "trainer": {"max_steps": 10**6, "max_epochs": -1, "val_check_interval": 10**5, "check_val_every_n_epoch": None}
}


def report(here: Path, name: str = "compare") -> Any:
    return json.loads((here / "runs" / name / "report.json").read_text(encoding="utf-8"))


def metrics_of(row: Any, here: Path) -> list[Any]:
    return [json.loads((here / run["path"] / "metrics.json").read_text(encoding="utf-8")) for run in row["runs"]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, words_file: Path) -> Path:
    """A folder in which two configurations were compared, with two seeds each."""
    here = tmp_path_factory.mktemp("compared")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.setattr(children, "Child", InProcess)
        write_config(here / "narrow.yaml")
        write_config(here / "wide.yaml", model={"network": {"hidden_dim": 16, "embedding_dim": 4, "dropout": 0.0}})
        assert run_cli("compare", *CONFIGS, "--seeds", 2, "--data.path", words_file) == 0
    return here


@pytest.fixture
def compared(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_process: None) -> Path:
    """A copy of that folder, to work in."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_report_has_the_numbers_of_the_runs(compared: Path) -> None:
    content = report(compared)
    assert [row["label"] for row in content["rows"]] == ["narrow", "wide"]
    for row in content["rows"]:
        found = metrics_of(row, compared)
        assert [run["seed"] for run in row["runs"]] == [one["seed"] for one in found] == [1337, 1338]
        for split in ("train", "val", "test"):
            losses = [one[f"{split}/loss"] for one in found]
            assert row[split]["mean"] == pytest.approx(fmean(losses), abs=1e-5)
            assert row[split]["deviation"] == pytest.approx(stdev(losses), abs=1e-5)
        assert row["seconds"]["mean"] == pytest.approx(fmean(one["seconds"] for one in found))
        assert row["parameters"] == found[0]["parameters"]
        assert row["val"]["low"] <= row["val"]["mean"] <= row["val"]["high"]
    ngram = found[0]["ngram"]
    assert content["ngram"]["order"] == ngram["order"]
    assert content["ngram"]["val"]["mean"] == pytest.approx(ngram["val/loss"])
    (difference,) = content["differences"]
    narrow, wide = content["rows"]
    assert difference["val"]["mean"] == pytest.approx(narrow["val"]["mean"] - wide["val"]["mean"])


def test_the_report_can_be_read(compared: Path) -> None:
    folder = compared / "runs" / "compare"
    text = (folder / "report.md").read_text(encoding="utf-8")
    row = report(compared)["rows"][1]
    shown = f"{row['val']['mean']:.4f} ± {row['val']['deviation']:.4f} ({row['val']['low']:.3f} to "
    assert f"| wide | {row['parameters']:,} | 2 |" in text
    assert shown in text
    for name in ("curves.png", "losses.png"):
        assert f"({name})" in text
        with Image.open(folder / name) as image:
            assert len(image.getcolors(maxcolors=10**6)) > 10
            assert image.mode == "RGBA"


def test_what_is_finished_is_used_again(compared: Path, words_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, options = report(compared), ["--seeds", 2, "--data.path", words_file]
    assert run_cli("compare", *CONFIGS, *options) == 0
    assert "4 trainings, of which 4 are finished" in capsys.readouterr().err
    assert report(compared)["rows"] == before["rows"]
    write_config(compared / "narrow.yaml", trainer={**ENDLESS["trainer"], "max_steps": 3})
    assert run_cli("compare", *CONFIGS, *options) == 0
    assert "4 trainings, of which 2 are finished" in capsys.readouterr().err
    assert [run["path"][-9:] for row in report(compared)["rows"] for run in row["runs"]] == ["version_1"] * 2 + [
        "version_0"
    ] * 2


def test_other_settings_words_or_code_make_another_training(
    compared: Path, words_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finished(*options: str, path: Path = words_file) -> int:
        how = HowToRun("compare", seeds=2, options=[f"--data.path={path}", *options])
        found = trainings_of([Path("wide.yaml")], how)
        return sum(training.finished_run() is not None for training in found)

    moved = compared / "moved.txt"
    shutil.copy(words_file, moved)
    assert finished() == finished(path=moved) == finished("--threads=1") == 2
    moved.write_text(words_file.read_text(encoding="utf-8") + "emilia\n", encoding="utf-8")
    assert finished(path=moved) == 0
    assert finished("--model.optimization.weight_decay=0.5") == 0
    monkeypatch.setattr(trainings, "code_version", lambda: "another")
    assert finished() == 0


def test_finished_runs_make_the_same_table(compared: Path) -> None:
    assert run_cli("compare", compared / "runs" / "compare", "--name", "again") == 0
    for row, same in zip(report(compared)["rows"], report(compared, "again")["rows"], strict=True):
        assert {name: same[name] for name in ("label", "val", "val_unseen", "test", "train")} == {
            name: row[name] for name in ("label", "val", "val_unseen", "test", "train")
        }
    one = compared / "runs" / "compare" / "wide" / "seed_1338" / "version_0"
    assert run_cli("compare", one, "--name", "one") == 0
    (row,) = report(compared, "one")["rows"]
    assert [run["seed"] for run in row["runs"]] == [1338]
    assert report(compared, "one")["differences"] == []


@pytest.mark.parametrize("options", [["--seeds", "3"], ["--jobs=2"], ["--data.path", "a.txt"]])
def test_finished_runs_are_not_trained(compared: Path, cli_error: Error, options: list[str]) -> None:
    message = f"expected no {options[0].partition('=')[0]}, which is for trainings"
    assert message in cli_error("compare", "runs/compare/wide", *options, code=2)


def test_unseen_words_have_a_loss_of_their_own(here: Path, write: Write, in_process: None) -> None:
    words = here / "twice.txt"
    known = [f"{a}{b}{c}" for a in "abcde" for b in "iou" for c in ("na", "lo")]
    words.write_text("\n".join([*known, *known[:10], "xyzz", "zyxx"]), encoding="utf-8")
    assert run_cli("compare", write("tiny"), "--seeds", 1, "--data.path", words) == 0
    content = report(here)
    assert 0 < content["num_words"]["val_unseen"] < content["num_words"]["val"]
    (row,) = content["rows"]
    model = load(here / row["runs"][0]["path"] / "checkpoints" / "best.ckpt")
    new = [word for word in model.split.val.words if word not in model.split.train.words]
    losses = [-scored.log_prob for scored in model.score(new)]
    assert row["val_unseen"]["mean"] == pytest.approx(sum(losses) / sum(len(word) + 1 for word in new))


def test_max_steps_shortens_and_never_lengthens(here: Path, write: Write, words_file: Path, in_process: None) -> None:
    long = write("long", trainer={**ENDLESS["trainer"], "max_steps": 40, "val_check_interval": 40})
    options = ["--seeds", 1, "--max_steps", 20, "--data.path", words_file]
    assert run_cli("compare", long, write("short"), *options) == 0
    assert [row["steps"] for row in report(here)["rows"]] == [20, 12]


def test_a_training_that_fails_leaves_the_others_their_report(
    here: Path, write: Write, words_file: Path, in_process: None, capsys: pytest.CaptureFixture[str]
) -> None:
    wild = write("wild", model={"optimization": {"optimizer": "sgd", "learning_rate": 1e30}})
    assert run_cli("compare", wild, write("tiny"), "--seeds", 1, "--data.path", words_file) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: 1 of 2 trainings failed")
    assert "training has diverged" in error
    assert [row["label"] for row in report(here)["rows"]] == ["tiny"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["tiny.yaml", "--seeds", "0"], 2, "--seeds must be at least 1, got 0"),
        (["tiny.yaml", "--jobs", "0"], 2, "--jobs must be at least 1, got 0"),
        (["tiny.yaml", "--max_steps", "0"], 2, "--max_steps must be at least 1, got 0"),
        (["tiny.yaml", "--name", "a/b"], 2, "must be a name without slashes, got 'a/b'"),
        (["tiny.yaml", "other/tiny.yaml"], 2, "have the same name, tiny"),
        (["nothing.yaml"], 2, "nothing.yaml not found: expected a configuration to train, or the folder"),
        (["tiny.yaml", "other"], 2, "got both"),
        (["other"], 1, "no finished run in other"),
        (["wrong.yaml"], 2, "wrong.yaml has an unknown model.netwrk.hidden_dim; did you mean"),
        (["tiny.yaml", "--model.network.dropout", "2"], 2, "--model.network.dropout must be from 0 to below 1, got 2"),
        (["tiny.yaml", "--trainer.default_root_dir", "x"], 2, "cannot be given here"),
        (["tiny.yaml", "--data.path"], 2, "argument --data.path: expected one argument"),
        (["tiny.yaml", "--data.path", "none.txt"], 1, "words not found"),
        (["tiny.yaml", "--sedes", "2"], 2, "unrecognized arguments: --sedes 2; did you mean --seeds?"),
        (["tiny.yaml", "split.yaml"], 1, "got split_seed 42 and 7"),
        (["tiny.yaml", "--name", "full"], 1, "runs/full"),
    ],
)
def test_what_is_wrong_is_said_in_a_line_before_anything_runs(
    here: Path, write: Write, words_file: Path, cli_error: Error, arguments: list[str], code: int, message: str
) -> None:
    (here / "other").mkdir()
    (here / "runs").mkdir()
    (here / "runs" / "full").write_text("a file")
    data = {"path": str(words_file)}
    write("tiny", data=data)
    write("other/tiny", data=data)
    write("wrong", model={"netwrk": {"hidden_dim": 3}})
    write("split", data={**data, "split_seed": 7})
    assert message in cli_error("compare", *arguments, code=code)
    assert [path.name for path in (here / "runs").iterdir()] == ["full"]


def test_a_missing_extra_is_named(here: Path, write: Write, cli_error: Error, monkeypatch: pytest.MonkeyPatch) -> None:
    found = util.find_spec
    monkeypatch.setattr("wavenet.extras.find_spec", lambda name: None if name == "matplotlib" else found(name))
    error = cli_error("compare", write("tiny"))
    assert error.startswith("error: matplotlib is not installed: pip install '.[report]'")


def test_two_processes_do_not_share_a_folder(
    here: Path, write: Write, words_file: Path, in_process: None, cli_error: Error
) -> None:
    with locked(here / "runs" / "compare"):
        error = cli_error("compare", write("tiny"), "--data.path", words_file)
    assert "another process is at work in runs/compare" in error


def test_the_cores_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8), raising=False)
    assert [children.threads_for(jobs) for jobs in (1, 2, 3, 20)] == [None, 4, 2, 1]


def wait_for(what: Callable[[], bool], run: Copy) -> None:
    while not what():
        assert run.code is None, run.ended()
        time.sleep(0.1)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_ctrl_c_ends_all_trainings_and_the_same_command_goes_on(
    here: Path, write: Write, words_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "Child", InCopy)
    trainer = {**ENDLESS["trainer"], "val_check_interval": 10}
    config = write("long", trainer=trainer)
    options = [config, "--seeds", "2", "--jobs", "2", "--data.path", words_file]
    run = Copy(partial(run_cli, "compare", *options), here / "streams")
    folders = [here / "runs" / "compare" / "long" / f"seed_{seed}" for seed in (1337, 1338)]
    wait_for(lambda: all(list(folder.rglob("best.ckpt")) for folder in folders), run)
    os.kill(run.pid, signal.SIGINT)
    code, _, errors = run.ended()
    assert code == 130
    assert errors.splitlines()[-1] == "interrupted"
    assert len(errors.splitlines()) == 2
    for folder in folders:
        assert "interrupted at step" in (folder / "log.txt").read_text(encoding="utf-8")
    how = HowToRun("compare", seeds=2, options=[f"--data.path={words_file}"])
    for training in trainings_of([config], how):  # the same command goes on where they were
        last = training.folder / "version_0" / "checkpoints" / "last.ckpt"
        assert last.is_file()
        assert training.start_options(None) == ["--quiet", f"--ckpt_path={last}"]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_a_training_ends_with_the_process_that_began_it(here: Path, write: Write, words_file: Path) -> None:
    log = here / "log.txt"
    child = children.Child([f"--config={write('long', **ENDLESS)}", f"--data.path={words_file}"], log)
    while not list(here.rglob("config.yaml")):
        assert child.code is None, log.read_text(encoding="utf-8")
        time.sleep(0.1)
    child._process.stdin.close()  # as it is once this process is gone
    child.end()
    assert child.code == 143
    assert "interrupted at step" in log.read_text(encoding="utf-8")
