import json
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, run_cli
from wavenet.training.planning import plan

GOLDEN = json.loads((ROOT / "tests" / "data" / "golden_losses.json").read_text(encoding="utf-8"))
CONFIGS = sorted(path for path in (ROOT / "configs").rglob("*.yaml") if path.parent.name != "sweeps")
STEPS = 20
GOLDEN_TOLERANCE = 1e-3  # nats: processors and numbers of threads round differently
LECTURE = {"context3": 12_097, "context8": 22_097, "hierarchical_bug": 22_397, "hierarchical": 22_397, "scaled": 76_579}


@pytest.fixture(scope="module")
def every_fifth_name(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A share of the bundled names, with their labels."""
    path = tmp_path_factory.mktemp("corpus") / "names.tsv"
    lines = (ROOT / "data" / "world_names.tsv").read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[::5]), encoding="utf-8")
    return path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_runs_says_how_and_keeps_its_losses(
    path: Path, every_fifth_name: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = path.relative_to(ROOT).as_posix()
    first, *rest = path.read_text(encoding="utf-8").splitlines()
    option = "" if path.stem == "default" else f" --config {name}"
    assert first == f"# python train.py fit{option}"
    assert any("expect" in line for line in rest[:2])
    short = [f"--trainer.max_steps={STEPS}", "--trainer.max_epochs=-1", f"--trainer.val_check_interval={STEPS}"]
    short += ["--trainer.check_val_every_n_epoch=null", "--data.path", str(every_fifth_name)]
    assert run_cli(*first.split()[3:], *short, "--trainer.default_root_dir", tmp_path) == 0
    if path.parent.name == "lecture":  # which leaves nothing to choose
        assert "chosen for" not in capsys.readouterr().out
    experiment = yaml.safe_load(path.read_text(encoding="utf-8"))["experiment"]
    metrics = json.loads((tmp_path / experiment / "version_0" / "metrics.json").read_text(encoding="utf-8"))
    golden = GOLDEN[path.relative_to(ROOT / "configs").with_suffix("").as_posix()]
    assert {split: metrics[f"{split}/loss"] for split in golden} == pytest.approx(golden, abs=GOLDEN_TOLERANCE)


@pytest.mark.parametrize("name", LECTURE)
def test_the_lectures_configs_are_the_lectures(name: str, tmp_path: Path) -> None:
    words, path = tmp_path / "letters.txt", ROOT / "configs" / "lecture" / f"{name}.yaml"
    words.write_text("".join(f"{chr(letter)}a\n" for letter in range(ord("a"), ord("z") + 1)), encoding="utf-8")
    planned = plan([f"--config={path}", f"--data.path={words}"])
    assert planned.parameters == LECTURE[name]
    assert planned.steps == 200_000
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert config["data"] == {"batching": "windows", "batch_size": 32, "replacement": True}
    assert (config["model"]["optimization"]["optimizer"], config["model"]["optimization"]["schedule"]) == (
        "sgd",
        "step",
    )
