import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT, run_cli
from wavenet.errors import ArgumentError
from wavenet.network import threads
from wavenet.network.build import build
from wavenet.network.config import NetworkConfig
from wavenet.network.threads import set_threads


@pytest.fixture(autouse=True)
def own_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine of eight cores whose user has chosen nothing."""
    before = torch.get_num_threads()
    for name in threads.CHOSEN_BY_USER:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "OWN", 8)
    yield
    torch.set_num_threads(before)


def test_little_work_is_done_on_one_thread_and_more_on_some() -> None:
    assert set_threads(build(NetworkConfig(), 27)) == torch.get_num_threads() == 1
    assert set_threads(build(NetworkConfig(hidden_dim=384), 27)) == torch.get_num_threads() == threads.MOST
    assert set_threads(build(NetworkConfig(), 27), tokens=4_000) == threads.MOST
    assert set_threads(build(NetworkConfig(hidden_dim=384), 27), tokens=32) == 1
    for processes, expected in ((2, 4), (3, 2), (16, 1)):  # which share the eight cores
        assert set_threads(build(NetworkConfig(hidden_dim=384), 27), processes=processes) == expected


@pytest.mark.parametrize(
    ("batch_size", "batching", "expected"), [(16, "words", 1), (48, "words", 4), (16, "windows", 1)]
)
def test_a_training_counts_the_tokens_of_its_batches(
    words_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int, batching: str, expected: int
) -> None:
    monkeypatch.setattr(threads, "LARGE", 32 * 150)  # 48 words have some 300 tokens
    data = [f"--data.path={words_file}", f"--data.batch_size={batch_size}", f"--data.batching={batching}"]
    options = [*data, "--model.network.hidden_dim=32", "--trainer.max_steps=2", "--trainer.default_root_dir", tmp_path]
    assert run_cli("fit", *options) == 0
    metrics = json.loads((tmp_path / "default" / "version_0" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["threads"]["number"] == expected


def test_the_users_choice_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build(NetworkConfig(), 27)
    assert set_threads(network, 3) == torch.get_num_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert set_threads(network) == torch.get_num_threads() == 8
    assert set_threads(network, 2) == 2
    with pytest.raises(ArgumentError, match="threads must be at least 1, got 0"):
        set_threads(network, 0)
    with pytest.raises(ArgumentError, match="threads must be at most 1024, got 18446744073709551616"):
        set_threads(network, 2**64)


@pytest.mark.parametrize(
    ("given", "expected"), [({}, "500"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")]
)
def test_threads_that_wait_do_not_spin_for_long(given: dict[str, str], expected: str) -> None:
    code = "import os; from wavenet.commands import main; main.calm_threads(); print(os.environ.get('GOMP_SPINCOUNT'))"
    clean = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=clean | given, capture_output=True, text=True)
    assert done.stdout.strip() == expected


def test_what_torch_has_read_already_is_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    from wavenet.commands.main import calm_threads

    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    calm_threads()
    assert "GOMP_SPINCOUNT" not in os.environ
