"""The wheel: what a person gets who has no clone. It is installed beside the dependencies that are here already."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts' folder of a fresh environment with the wheel in it; it borrows the packages that this one has."""
    root = tmp_path_factory.mktemp("wheel")
    clone = root / "clone"
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in tracked.splitlines():
        if name.split("/")[0] not in ("tests", "docs") and (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            (clone / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(root), str(clone)]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = root.glob("wavenet-*.whl")
    venv.create(root / "venv", symlinks=True)
    (site,) = (root / "venv").glob("lib/python*/site-packages")
    here = [path for path in sys.path if path.endswith("site-packages")]
    (site / "borrowed.pth").write_text("".join(f"{path}\n" for path in here), encoding="utf-8")
    options = ["--no-deps", "--no-index", "--ignore-installed", "--prefix", str(root / "venv"), str(wheel)]
    subprocess.run([*pip, "install", *options], check=True)
    return root / "venv" / "bin"


@pytest.mark.skipif(os.name == "nt", reason="the folders of an environment have other names there")
def test_the_wheel_fits_and_samples_where_there_is_no_clone(installed: Path, words_file: Path, tmp_path: Path) -> None:
    commands = [
        ["fit", "--data.path", str(words_file), "--trainer.max_epochs", "2", "--quiet"],
        ["sample", "-n", "3", "--output", "words.txt"],
        ["export", "--output", "words.html"],
    ]
    code = f"""
import sys, wavenet
from wavenet.commands.main import main
for arguments in {commands}:
    sys.argv = ["wavenet", *arguments]
    main()
print(wavenet.__file__)
"""
    python = [str(installed / "python"), "-c", code]  # the script runs the Python that pip ran in
    done = subprocess.run(python, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith(str(installed.parent))  # not the clone that these tests are in
    (metrics,) = tmp_path.rglob("metrics.json")
    assert json.loads(metrics.read_text(encoding="utf-8"))["seed"] == 1337  # the default configuration was found
    assert len((tmp_path / "words.txt").read_text(encoding="utf-8").splitlines()) == 3
    assert "Look inside" in (tmp_path / "words.html").read_text(encoding="utf-8")
    bundled = installed.parent.glob("lib/python*/site-packages/wavenet/data/world_names.tsv")
    assert next(bundled).read_bytes() == (ROOT / "data" / "world_names.tsv").read_bytes()
    assert not (tmp_path / "data").exists()
