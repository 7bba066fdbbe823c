import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, TINY, run_cli
from wavenet.commands.main import main as commands_main

README = (ROOT / "README.md").read_text(encoding="utf-8")
DATA_README = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", README + DATA_README, flags=re.DOTALL)
COMMANDS = [line.split("  #")[0].strip() for block in BLOCKS for line in block.splitlines()]


def commands(start: str) -> list[str]:
    return [command for command in COMMANDS if command.startswith(start)]


OF_RUNS = {
    "wavenet ensemble runs/default runs/second --output both.ckpt": "both.ckpt",
    "wavenet report runs/default": "runs/default/version_0/report/index.html",
    "wavenet compare runs/default runs/gated --name finished": "runs/finished/report.md",
}
"""Commands that want finished runs, and what they write."""
ELSEWHERE = {
    "wavenet compare configs/debug.yaml configs/default.yaml --seeds 2 --max_steps 60": "experiments/test_compare.py",
    "wavenet lecture --jobs 2": "experiments/test_lecture.py",
    "wavenet sweep configs/sweeps/rates.yaml --trials 30": "experiments/test_sweep.py",
    "wavenet export --format onnx --output names.onnx": "export/test_graphs.py",
}
"""Commands that take long, and where the same is run with less to do."""


def test_the_readme_has_the_two_commands() -> None:
    assert "make fit" in COMMANDS
    assert "make test" in COMMANDS


@pytest.mark.parametrize("command", commands("make"))
def test_make_commands_exist(command: str) -> None:
    subprocess.run([*shlex.split(command), "--dry-run"], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("command", commands("python train.py"))
def test_python_commands_run(
    command: str, tiny_run: Path, words_file: Path, labelled_file: Path, tmp_path: Path
) -> None:
    assert command.startswith("python train.py ")
    command = command.split(" > ")[0]
    command = command.replace("runs/default/version_0", str(tiny_run)).replace("my_words.txt", str(words_file))
    _, _, subcommand, *options = shlex.split(command)
    if subcommand == "fit":
        tiny = [option for option in TINY if "--config" not in options or not option.startswith("--model")]
        if "--data.path" not in options:
            options += ["--data.path", str(labelled_file if "configs/languages.yaml" in options else words_file)]
        options += [*tiny, "--trainer.default_root_dir", str(tmp_path)]
    assert run_cli(subcommand, *options) == 0


@pytest.mark.parametrize("command", ELSEWHERE)
def test_commands_that_run_elsewhere_get_as_far_as_the_packages_that_they_need(
    command: str, cli_error: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command in COMMANDS
    assert (ROOT / "tests" / ELSEWHERE[command]).is_file()
    (tmp_path / "configs").symlink_to(ROOT / "configs", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("wavenet.extras.find_spec", lambda name: None)
    assert "not installed: pip install" in cli_error(*shlex.split(command)[1:])  # its options and files are right


@pytest.mark.parametrize("command", OF_RUNS)
def test_commands_of_finished_runs_run(
    command: str, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("default", "second", "gated"):
        shutil.copytree(tiny_run, tmp_path / "runs" / name / "version_0")
    monkeypatch.chdir(tmp_path)
    assert command in COMMANDS
    assert run_cli(*shlex.split(command)[1:]) == 0
    assert (tmp_path / OF_RUNS[command]).is_file()


@pytest.mark.parametrize(
    "command", [command for command in commands("wavenet ") if command not in (*ELSEWHERE, *OF_RUNS)]
)
def test_wavenet_commands_run(
    command: str,
    tiny_run: Path,
    labelled_run: Path,
    words_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = labelled_run if "--label" in command or "guess" in command else tiny_run
    replaced = {"my_words.txt": str(words_file), "10000": "100"}
    replaced |= {
        "--prefix ma": "--prefix so",
        " sarabella xqzt": "",
        "emma": "sobe",
        "Aino Kenji": "sobe emil",
        "Aino": "sobe",
        "Japanese": "日本語",
    }  # the tiny run's alphabet is small
    for old, new in replaced.items():
        command = command.replace(old, new)
    command = command.replace(" --ckpt_path both.ckpt", "")
    (tmp_path / "runs").symlink_to(run.parent.parent, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", shlex.split(command))
    commands_main()
    captured = capsys.readouterr()
    assert captured.err.startswith("using runs/")
    assert captured.out or (tmp_path / "names.csv").read_text(encoding="utf-8")


def test_every_command_is_of_a_kind_that_is_tested() -> None:
    plain = ("python -m venv", ".venv/bin/pip install", ". .venv/bin/activate", "tensorboard --logdir")
    for command in COMMANDS:
        assert command.startswith(("make ", "python train.py ", "wavenet ", "pytest", "ruff", "mypy", *plain)), command


def test_the_python_example_runs(words_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, example = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(example.replace("data/world_names.tsv", str(words_file)).replace("max_steps=1000", "max_steps=3"), {})
    assert (tmp_path / "names.ckpt").is_file()


def test_the_python_example_of_a_loaded_model_runs(tiny_run: Path) -> None:
    example, _ = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    example = example.replace("runs/default/version_0", str(tiny_run)).replace('"emma", "xqzt"', '"sobe"')
    exec(example.replace('"ma"', '"so"').replace("jo*n", "so*a"), {})


def test_paths_that_the_readme_names_exist() -> None:
    for path in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"`((?:configs|data|wavenet|tests|benchmarks)/[\w./]+)`", README):
        assert (ROOT / path).exists() or path == "data/names.txt", path
