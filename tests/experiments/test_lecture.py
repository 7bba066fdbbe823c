import json
import re
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT, run_cli
from wavenet.experiments.lecture import PUBLISHED


def test_a_tiny_lecture_has_the_losses_after_the_last_step_beside_the_published_ones(
    here: Path, words_file: Path, in_process: None, capsys: pytest.CaptureFixture[str]
) -> None:
    # at so high a rate, validated so often, the best step is not the last
    often = ["--trainer.val_check_interval", 1, "--model.optimization.learning_rate", 3.0]
    assert run_cli("lecture", "--max_steps", 3, "--data.path", words_file, *often) == 0
    out, err = capsys.readouterr()
    assert "6 trainings, of which 0 are finished" in err
    assert re.search(r"\[5/6\] scaled, seed 1337: train \d\.\d+, val \d\.\d+, test .* s; about \d+ seconds left", err)
    printed = dict(re.findall(r"\] (\w+), seed 1337: train (\d\.\d+), val", err))
    assert "Report: runs/lecture/report.md" in out
    folder = here / "runs" / "lecture"
    content = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert content["weights"] == "last"
    assert [row["label"] for row in content["rows"]] == [*PUBLISHED, "logits_norm"]
    for row in content["rows"]:
        (run,) = row["runs"]
        metrics = json.loads((here / run["path"] / "metrics.json").read_text(encoding="utf-8"))
        assert metrics["steps"] == 3
        for split in ("train", "val", "test"):
            assert row[split]["mean"] == pytest.approx(metrics["last"][f"{split}/loss"], abs=1e-5)
        assert printed[row["label"]] == f"{metrics['last']['train/loss']:.4f}"
        assert row["val"]["deviation"] is None
    text = (folder / "report.md").read_text(encoding="utf-8")
    for label, said in PUBLISHED.items():
        assert re.search(rf"^\| {label} \|.* {said.train:.3f} \| {said.val:.3f} \|", text, flags=re.MULTILINE)
    with Image.open(folder / "story.png") as image:
        assert len(image.getcolors(maxcolors=10**6)) > 10


@pytest.mark.parametrize("label", PUBLISHED)
def test_the_published_losses_are_those_of_the_configurations(label: str) -> None:
    text = (ROOT / "configs" / "lecture" / f"{label}.yaml").read_text(encoding="utf-8")
    assert f"expect about train {PUBLISHED[label].train:.3f}, val {PUBLISHED[label].val:.3f}" in text
