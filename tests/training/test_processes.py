"""Several processes train and evaluate as one does: the same examples, gradients, losses and files."""

import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from tests import copies
from tests.conftest import ROOT, TINY, WORDS, run_cli
from tests.copies import Copy, Ended
from wavenet.corpus.vocabulary import Vocabulary
from wavenet.inference.checkpoint import read_checkpoint
from wavenet.network.build import build
from wavenet.network.config import NetworkConfig
from wavenet.network.sliding import run
from wavenet.training import processes
from wavenet.training.data import EACH
from wavenet.training.datasets import BatchIndices, Shares, WindowDataset, WordDataset

LAYER_NORM = ["--model.network.norm=layer", "--model.network.dropout=0"]
LAUNCHERS: dict[str, Callable[[int, int, int], dict[str, object]]] = {  # what they tell process i of n, beside a port
    "torchrun": lambda i, n, port: {
        "RANK": i, "LOCAL_RANK": i, "WORLD_SIZE": n, "LOCAL_WORLD_SIZE": n, "TORCHELASTIC_RUN_ID": "test",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
    },
    "srun": lambda i, n, port: {  # a machine for each process
        "SLURM_PROCID": i, "SLURM_LOCALID": 0, "SLURM_NODEID": i, "SLURM_NTASKS": n, "SLURM_NNODES": n,
        "SLURM_NTASKS_PER_NODE": 1, "SLURM_JOB_NAME": "train", "SLURM_JOB_ID": 1,
        "SLURM_NODELIST": "127.0.0.1", "MASTER_PORT": port,
    },
    "lightning": lambda i, n, port: {"NODE_RANK": i, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
}  # fmt: skip
LOST = 300.0  # seconds after which a process is taken to hang


class Fail(L.Callback):
    """Raises an error, or a signal, in one process, before it makes a step."""

    def __init__(self, rank: int, step: int, number: int | None = None) -> None:
        self.rank, self.step, self.number = rank, step, number

    def on_before_optimizer_step(self, trainer: L.Trainer, *args: Any) -> None:
        if (trainer.global_rank, trainer.global_step + 1) == (self.rank, self.step):
            if self.number is None:
                raise ValueError("something is wrong here")
            signal.raise_signal(self.number)


def failing(**arguments: object) -> str:
    """The option that adds the callback above."""
    return f"--trainer.callbacks=[{json.dumps({'class_path': f'{__name__}.Fail', 'init_args': arguments})}]"


def launched(environment: dict[str, object], args: list[object]) -> int:
    """Runs the command line as a launcher would have it; its exit code."""
    os.environ |= {name: str(value) for name, value in environment.items()}
    return run_cli(*args)


class Together:
    """Runs a command in several processes at once, as a launcher does, but as copies of this process."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0

    def __call__(
        self,
        *args: object,
        number: int = 2,
        launcher: str = "torchrun",
        own: dict[int, list[object]] | None = None,
    ) -> list[Ended]:
        """How each process ended; once one has failed and the first has ended, the others are killed."""
        self.count += 1
        folder = self.folder / f"processes_{self.count}"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        copies = [
            Copy(
                partial(launched, LAUNCHERS[launcher](i, number, port), [*args, *(own or {}).get(i, [])]),
                folder / str(i),
            )
            for i in range(number)
        ]
        end = time.monotonic() + LOST
        while None in (codes := [copy.code for copy in copies]):
            if time.monotonic() > end or (codes[0] and any(code for code in codes if code)):
                for copy in copies:
                    copy.kill()
            time.sleep(0.01)
        return [copy.ended() for copy in copies]


@pytest.fixture
def together(tmp_path: Path) -> Together:
    return Together(tmp_path)


def metrics_of(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "metrics.json").read_text("utf-8"))
    return content


def weights_of(run: Path, name: str = "last") -> dict[str, Tensor]:
    weights: dict[str, Tensor] = read_checkpoint(run / "checkpoints" / f"{name}.ckpt")["state_dict"]
    return weights


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 9), st.integers(0, 60), st.integers(0, 30), st.integers(0, 3))
def test_every_example_is_in_one_share_of_one_batch(num_ranks: int, more: int, larger: int, epoch: int) -> None:
    fewest = EACH * num_ranks
    order = BatchIndices(fewest + more, fewest + larger, seed=1, fewest=fewest)
    order.set_epoch(epoch)
    batches = list(order)
    assert len(batches) == len(order)
    shares = [[batch[rank::num_ranks] for batch in batches] for rank in range(num_ranks)]
    seen = torch.cat([part for share in shares for part in share])
    assert sorted(seen.tolist()) == list(range(fewest + more))
    assert min(len(part) for share in shares for part in share) >= EACH


def examples(batching: str, words: list[str]) -> Any:
    vocabulary = Vocabulary.from_words(words)
    return WordDataset(words, vocabulary) if batching == "words" else WindowDataset(words, vocabulary, 8)


@pytest.mark.parametrize("batching", ["words", "windows"])
@settings(deadline=None, max_examples=25)
@given(st.integers(1, 5), st.lists(st.text("abc", min_size=1), min_size=1, max_size=9), st.integers(1, 9))
def test_the_weights_of_shares_make_the_mean_over_all_targets(
    batching: str, num_ranks: int, words: list[str], batch_size: int
) -> None:
    everything = examples(batching, words)
    for index in BatchIndices(len(everything), batch_size):
        shares = [Shares(everything, rank, num_ranks)[index] for rank in range(num_ranks)]
        total = sum(share.weight * share.batch.targets.float().mean() for share in shares) / num_ranks
        torch.testing.assert_close(total, everything[index].targets.float().mean())
        assert sum(len(share.batch.targets) for share in shares if share.weight) == everything.num_targets(index)


@pytest.mark.parametrize("batching", ["words", "windows"])
def test_the_mean_of_the_processes_gradients_is_that_of_the_whole_batch(batching: str) -> None:
    torch.manual_seed(0)
    everything = examples(batching, WORDS)
    network = build(NetworkConfig(embedding_dim=4, hidden_dim=8, norm="layer"), len(Vocabulary.from_words(WORDS)))

    def gradients(weigh: Callable[[Any], Tensor], batches: list[Any]) -> list[Tensor]:
        losses = [weigh(batch) for batch in batches]
        return list(torch.autograd.grad(torch.stack(losses).mean(), list(network.parameters())))

    def loss(batch: Any) -> Tensor:
        return F.cross_entropy(run(network, batch), batch.targets)

    index = torch.randperm(len(everything))[:23]
    shares = [Shares(everything, rank, 2)[index] for rank in range(2)]
    whole = gradients(loss, [everything[index]])
    torch.testing.assert_close(gradients(lambda share: share.weight * loss(share.batch), shares), whole)
    assert not all(map(torch.allclose, gradients(lambda share: loss(share.batch), shares), whole)) or (
        batching == "windows"  # of which one share has one more
    )


BY_ROW = ["--model.network.ngram_rows=512", "--model.optimization.ngram_learning_rate=0.1"]


@pytest.mark.parametrize(
    ("batching", "launcher", "table"),
    [("words", "torchrun", BY_ROW), ("windows", "srun", [])],
    ids=["words", "windows"],
)
def test_two_processes_train_as_one(
    together: Together, words_file: Path, tmp_path: Path, batching: str, launcher: str, table: list[str]
) -> None:
    options = [*TINY, *LAYER_NORM, *table, f"--data.batching={batching}", "--data.batch_size=11"]
    options += ["--data.path", str(words_file)]
    assert run_cli("fit", *options, "--trainer.default_root_dir", tmp_path / "one", "--quiet") == 0
    ended = together("fit", *options, "--trainer.default_root_dir", tmp_path / "two", launcher=launcher)
    assert [process.code for process in ended] == [0, 0], ended
    assert (ended[1].out, ended[1].err) == ("", "")
    assert ended[0].out.count("chosen for") == ended[0].out.count("Run:") == ended[0].err.count("step 12 of 12") == 1
    assert [path.name for path in (tmp_path / "two").rglob("version_*")] == ["version_0"]
    one, two = tmp_path / "one" / "default" / "version_0", tmp_path / "two" / "default" / "version_0"
    torch.testing.assert_close(weights_of(two), weights_of(one), rtol=1e-3, atol=1e-4)
    for name, loss in metrics_of(one).items():
        if name.endswith("/loss"):
            assert metrics_of(two)[name] == pytest.approx(loss, abs=1e-4)
    assert metrics_of(two)["ngram"] == metrics_of(one)["ngram"]
    assert {path.name.split(".")[0] for path in two.rglob("*")} == {path.name.split(".")[0] for path in one.rglob("*")}


def test_four_processes_measure_as_one(
    together: Together,
    tiny_run: Path,
    words_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("wavenet.training.data.CHUNK", 4)  # a word at a time for each process: two get nothing at last

    def losses(text: str) -> list[float]:
        cells = [line.split("│") for line in text.splitlines() if "│" in line]
        return [float(cell[2]) for cell in cells if "/loss" in cell[1]]

    capsys.readouterr()
    assert run_cli("test", "--ckpt_path", tiny_run) == 0
    seen = losses(capsys.readouterr().out)
    nodes = ["--trainer.num_nodes=4", "--trainer.accelerator=cpu"]
    ended = together("test", "--ckpt_path", tiny_run, *nodes, number=4, launcher="lightning")
    assert [process.code for process in ended] == [0] * 4, ended
    assert losses(ended[0].out) == pytest.approx(seen, abs=1e-6)
    assert [process.out + process.err for process in ended[1:]] == [""] * 3


DROPPING = [*TINY, "--model.network.dropout=0.3", "--data.batch_size=12", "--quiet", "--samples.enabled=false"]


def test_a_signal_to_one_process_ends_all_after_the_same_step_and_they_go_on_exactly(
    together: Together, words_file: Path, tmp_path: Path
) -> None:
    place = ["--data.path", words_file, "--trainer.default_root_dir", tmp_path]
    assert [process.code for process in together("fit", *DROPPING, *place, "--experiment=whole")] == [0, 0]
    ended = together("fit", *DROPPING, *place, failing(rank=1, step=7, number=int(signal.SIGTERM)))
    assert [process.code for process in ended] == [143, 143], ended
    assert ended[0].err.startswith("interrupted at step 7; continue with ")
    assert ended[0].err.count("\n") == 1
    assert ended[1].err == ""
    one, two = tmp_path / "whole" / "version_0", tmp_path / "default" / "version_0"
    states = read_checkpoint(two / "checkpoints" / "last.ckpt")["callbacks"]["RandomStates"]["cpu"]
    assert len(states) == 2
    assert not torch.equal(*states)
    shutil.copytree(two.parent, alone := tmp_path / "alone" / "default")
    ended = together("fit", "--resume", "--quiet", "--trainer.default_root_dir", tmp_path)
    assert [process.code for process in ended] == [0, 0], ended
    assert all(torch.equal(weight, weights_of(two)[name]) for name, weight in weights_of(one).items())
    assert {**metrics_of(one), "seconds": 0} == {**metrics_of(two), "seconds": 0}
    assert run_cli("fit", "--resume", "--trainer.devices=1", "--quiet", "--trainer.default_root_dir", alone.parent) == 0
    assert metrics_of(alone / "version_0")["steps"] == 12


def test_an_error_of_one_process_ends_all(
    together: Together, words_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "PATIENCE", 0.2)
    place = ["--data.path", words_file, "--trainer.default_root_dir", tmp_path]
    ended = together("fit", *DROPPING, *place, failing(rank=1, step=3))
    assert ended[1].code == 1
    assert ended[0].code in (1, -signal.SIGKILL)
    assert ended[1].err == "process 1: error: something is wrong here\n"


def test_processes_that_differ_are_refused(together: Together, words_file: Path, tmp_path: Path) -> None:
    place = ["--data.path", words_file, "--trainer.default_root_dir", tmp_path / "runs"]
    ended = together("fit", *DROPPING, *place, own={1: ["--trainer.max_steps=9"]})
    assert ended[0].code == 1
    assert ended[0].err == (
        "error: the processes do not agree: expected the same options in all of them, "
        "got another in process 1 than in process 0\n"
    )
    assert not (tmp_path / "runs" / "default" / "version_0" / "config.yaml").exists()


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("fit", ["--data.batch_size=3"], "--data.batch_size must be at least 4, 2 for each of 2 processes, got 3"),
        (
            "fit",
            ["--trainer.strategy=ddp_spawn"],
            "--trainer.strategy must be ddp for several processes, got ddp_spawn",
        ),
        ("fit", ["--trainer.sync_batchnorm=true"], "--trainer.sync_batchnorm is not supported: see docs/processes.md"),
        ("predict", [], "--trainer.devices must be 1 for predict, whose words come in their order, got 2"),
    ],
)
def test_what_does_not_work_in_processes(
    cli_error: Callable[..., str], words_file: Path, tiny_run: Path, command: str, options: list[str], message: str
) -> None:
    trained = [] if command == "fit" else ["--ckpt_path", tiny_run / "checkpoints" / "best.ckpt"]
    common = ["--data.path", words_file, "--trainer.accelerator=cpu", "--trainer.devices=2", "--quiet"]
    assert message in cli_error(command, *common, *trained, *options, code=2)


def test_a_launchers_number_of_processes_is_used(
    cli_error: Callable[..., str], words_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**LAUNCHERS["torchrun"](0, 6, 1), "LOCAL_WORLD_SIZE": 3}.items():
        monkeypatch.setenv(name, str(value))
    assert processes.started() == ("torchrun", 3, 2)
    error = cli_error("fit", "--data.path", words_file, "--trainer.devices=2", code=2)
    assert error == "error: --trainer.devices must be 3, as torchrun has started, got 2\n"


@pytest.mark.parametrize("launcher", ["lightning", "torchrun"])
def test_both_launchers_leave_one_run(words_file: Path, tmp_path: Path, launcher: str) -> None:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    how = torchrun if launcher == "torchrun" else []
    options = [*TINY, "--data.path", words_file, "--trainer.default_root_dir", tmp_path, "--trainer.accelerator=cpu"]
    if launcher == "lightning":
        options += ["--trainer.devices=2", "--trainer.strategy=ddp"]
    command = [sys.executable, *how, "train.py", "fit", *options]
    ended = copies.run(command, cwd=ROOT)  # the processes that are started are new
    assert ended.returncode == 0, ended
    assert ended.stdout.count("Run:") == ended.stderr.count("step 12 of 12") == 1
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("step ")]
    assert not [line for line in lines if "torch/distributed/run.py" not in line and line.strip("*")], lines
    (run,) = tmp_path.rglob("version_*")
    assert metrics_of(run)["steps"] == 12
