import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.parametrize("command", ["sample", "top", "score"])
def test_help_is_short_and_has_an_example(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "wavenet", command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) < 60
    assert done.stderr == ""
    assert f"Example: wavenet {command} " in done.stdout.replace("\n", " ")


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_what_it_is(option: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "wavenet", option], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "wavenet" in done.stdout
    assert done.stderr == ""
