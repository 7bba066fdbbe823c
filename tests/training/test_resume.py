"""A training that was stopped, wherever, and went on ends like the one that was never stopped, bit for bit."""

import csv
import io
import itertools
import json
import os
import random
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import yaml
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from lightning.pytorch.loggers import CSVLogger
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from tests.conftest import TINY, run_cli
from wavenet.inference import checkpoint
from wavenet.inference.checkpoint import read_checkpoint
from wavenet.network.config import NetworkConfig
from wavenet.runs import unfinished_run
from wavenet.training import cli
from wavenet.training.callbacks.checkpoints import LastCheckpoint
from wavenet.training.callbacks.final_validation import FinalValidation
from wavenet.training.callbacks.random_states import RandomStates, checked_states, current_states
from wavenet.training.callbacks.scalars import TrainingScalars
from wavenet.training.data import WordsDataModule
from wavenet.training.module import LanguageModel

STEPS = 14
CHECKED_AT = (5, 10, STEPS)  # the steps after which these runs validate
MID_STEP = ("on_train_batch_start", "on_before_optimizer_step")
AFTER_STEP = ("on_train_batch_end",)
VALIDATION = ("on_validation_start", "on_validation_batch_end", "on_validation_epoch_end", "on_validation_end")
OPTIONS = [
    *TINY, f"--trainer.max_steps={STEPS}", "--model.network.dropout=0.3", "--data.batch_size=12", "--quiet",
    "--samples.num_draws=50", "--health.enabled=true", "--record.enabled=false",
]  # fmt: skip
BATCHINGS = {  # four steps an epoch, with labels five
    "words": [],
    "windows": ["--data.batching=windows", "--data.batch_size=64"],
    "replacement": ["--data.batching=windows", "--data.batch_size=64", "--data.replacement=true"],
    "epochs": ["--trainer.max_steps=-1", "--trainer.max_epochs=4", "--trainer.val_check_interval=1.0",
               "--trainer.check_val_every_n_epoch=1"],
    "labels": ["--data.labels=true", "--data.hidden_labels=0.5"],
    "rows": ["--model.network.ngram_rows=1024", "--model.optimization.ngram_learning_rate=0.2"],
}  # fmt: skip
KILL = [int(signal.SIGKILL)]
TIMES = ("train/seconds_per_step",)


class Die(L.Callback):
    """Kills the process, or sends it other signals, in a hook of a step, counted from 1."""

    def __init__(self, hook: str, step: int, numbers: list[int] = KILL) -> None:
        def die(trainer: L.Trainer, *args: Any) -> None:
            if trainer.global_step + (hook in MID_STEP) == step:
                for number in numbers:
                    signal.raise_signal(number)

        setattr(self, hook, die)


class DieWriting(L.Callback):
    """Kills the process in the middle of writing a checkpoint, after so many of them."""

    def __init__(self, after: int) -> None:
        self.left = after

    def on_train_start(self, *args: Any) -> None:
        save = torch.save

        def half(content: Any, file: Any) -> None:
            self.left -= 1
            if self.left < 0:
                save(content, whole := io.BytesIO())
                file.write(whole.getvalue()[: len(whole.getvalue()) // 2])
                file.flush()
                signal.raise_signal(signal.SIGKILL)
            save(content, file)

        checkpoint.torch.save = half  # type: ignore[attr-defined]


class DieLater(L.Callback):
    """Kills the process some seconds after training has begun, wherever it is then."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_train_start(self, *args: Any) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # which is death, as SIGKILL is
        signal.setitimer(signal.ITIMER_REAL, self.seconds)


def in_child(run: Callable[[], int]) -> int:
    """Runs a function in a copy of this process; its exit code, or the negative of the signal that killed it."""
    child = os.fork()
    if child == 0:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        try:
            os._exit(run())
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def scalars(run: Path) -> tuple[set[tuple[str, int, float]], set[tuple[str, int]]]:
    """The points of a run in all its event files: tag, step and value, and without a value those of times."""
    points, times = set(), set()
    for path in run.glob("events*"):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name != "scalars":
                    continue
                if value.tag in TIMES:
                    times.add((value.tag, event.step))
                else:
                    points.add((value.tag, event.step, value.tensor.float_val[0]))
    assert {tag for tag, *_ in points} > {"train/loss", "val/loss", "train/learning_rate", "samples/new"}
    return points, times


def same(one: Any, other: Any) -> bool:
    """Whether two parts of checkpoints are the same, bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


class Runs:
    """Runs, and for each batching the one that is never stopped."""

    def __init__(self, words_file: Path, labelled_file: Path, folder: Path) -> None:
        self.words_file, self.labelled_file, self.folder = words_file, labelled_file, folder
        self._numbers = itertools.count()
        self.whole = cache(self._whole)

    def fit(self, batching: str, root: Path, *options: object) -> int:
        """Begins a run."""
        words = self.labelled_file if batching == "labels" else self.words_file
        place = ["--data.path", words, "--trainer.default_root_dir", root]
        return run_cli("fit", *place, *OPTIONS, *BATCHINGS[batching], *options)

    def _whole(self, batching: str) -> Path:
        root = self.folder / f"whole_{batching}"
        assert self.fit(batching, root) == 0
        return root / "default" / "version_0"

    def new_root(self) -> Path:
        """Where runs of their own lie."""
        return self.folder / str(next(self._numbers))

    def killed(self, batching: str, *options: object) -> Path:
        """A run that was killed."""
        root = self.new_root()
        assert in_child(lambda: self.fit(batching, root, *options)) == -signal.SIGKILL
        return root / "default" / "version_0"

    def check(self, run: Path, batching: str) -> None:
        """Checks that a run ended as it would have ended if it had never been stopped."""
        whole = self.whole(batching)
        for name in ("last", "best"):
            one, other = (read_checkpoint(path / "checkpoints" / f"{name}.ckpt") for path in (whole, run))
            for part in ("global_step", "state_dict", "optimizer_states", "lr_schedulers", "block_losses"):
                assert same(one[part], other[part]), f"{part} of {name}.ckpt"
            for part in ("RandomStates", "NetworkHealth"):
                assert same(one["callbacks"][part], other["callbacks"][part]), f"{part} of {name}.ckpt"
        assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
        assert scalars(run) == scalars(whole)
        results = [json.loads((path / "metrics.json").read_text("utf-8")) for path in (whole, run)]
        assert {**results[0], "seconds": 0} == {**results[1], "seconds": 0}


@pytest.fixture(scope="module")
def runs(words_file: Path, labelled_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(words_file, labelled_file, tmp_path_factory.mktemp("resumed"))


def callback(kind: type[L.Callback], **arguments: object) -> str:
    """The option that adds a callback of a test."""
    described = {"class_path": f"{kind.__module__}.{kind.__name__}", "init_args": arguments}
    return f"--trainer.callbacks=[{json.dumps(described)}]"


def go_on(run: Path, *options: object) -> int:
    return run_cli("fit", "--ckpt_path", run / "checkpoints" / "last.ckpt", "--quiet", *options)


@pytest.mark.parametrize(
    ("batching", "kind", "arguments"),
    [
        ("words", Die, {"hook": "on_before_optimizer_step", "step": 7}),
        ("windows", Die, {"hook": "on_train_batch_start", "step": 5}),  # at an epoch's first batch
        ("replacement", Die, {"hook": "on_validation_batch_end", "step": 10}),
        ("epochs", Die, {"hook": "on_validation_end", "step": 8}),
        ("words", DieWriting, {"after": 6}),
        ("labels", Die, {"hook": "on_before_optimizer_step", "step": 9}),  # in an epoch that hides other labels
        ("rows", Die, {"hook": "on_before_optimizer_step", "step": 7}),
    ],
)
def test_a_killed_run_ends_as_if_it_had_not_been(
    runs: Runs, batching: str, kind: type, arguments: dict[str, Any]
) -> None:
    run = runs.killed(batching, callback(kind, **arguments), "--checkpoint_seconds=0")
    assert go_on(run) == 0
    runs.check(run, batching)


def test_a_run_that_is_killed_twice_and_redoes_steps(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    between_steps = LastCheckpoint._between_steps

    def every_third(self: LastCheckpoint, trainer: L.Trainer) -> None:
        if trainer.global_step % 3 == 0:
            between_steps(self, trainer)

    monkeypatch.setattr(LastCheckpoint, "_between_steps", every_third)
    run = runs.killed("words", callback(Die, hook="on_before_optimizer_step", step=9), "--checkpoint_seconds=0")
    again = callback(Die, hook="on_train_batch_start", step=12)
    assert in_child(lambda: go_on(run, again)) == -signal.SIGKILL
    assert read_checkpoint(run / "checkpoints" / "last.ckpt")["global_step"] == 9
    assert go_on(run) == 0
    runs.check(run, "words")


@pytest.mark.parametrize("batching", ["words", "epochs"])  # the latter ends where a block of losses does
def test_a_run_that_is_killed_after_its_last_step_is_measured_and_leaves_no_parts(
    runs: Runs, batching: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = runs.new_root()
    run = root / "default" / "version_0"
    with monkeypatch.context() as patch:
        patch.setattr(cli, "finish_run", lambda *args, **kwargs: signal.raise_signal(signal.SIGKILL))
        assert in_child(lambda: runs.fit(batching, root)) == -signal.SIGKILL
    for name in ("checkpoints/.last.ckpt.x", "checkpoints/.best.ckpt.x", ".config.yaml.x", ".metrics.json.x"):
        (run / name).touch()
    assert go_on(run) == 0
    runs.check(run, batching)
    assert not list(run.rglob(".*"))


@pytest.mark.parametrize(
    ("hook", "step", "numbers", "code", "at"),
    [
        ("on_before_optimizer_step", 7, [signal.SIGINT], 130, 7),
        ("on_validation_batch_end", 5, [signal.SIGTERM, signal.SIGTERM], 143, 5),
        ("on_train_batch_start", 3, [signal.SIGHUP], 129, 3),
        ("on_train_batch_end", STEPS, [signal.SIGINT], 130, STEPS),  # all that is left is to measure
        ("on_before_optimizer_step", 7, [signal.SIGINT, signal.SIGINT], 130, 6),
    ],
)
def test_a_signal_ends_a_training_between_two_steps(
    runs: Runs, capsys: pytest.CaptureFixture[str], hook: str, step: int, numbers: list[int], code: int, at: int
) -> None:
    root = runs.new_root()
    run = root / "default" / "version_0"
    options = ["--checkpoint_seconds=0"] if len(numbers) > 1 else []
    capsys.readouterr()
    death = callback(Die, hook=hook, step=step, numbers=list(map(int, numbers)))
    assert runs.fit("words", root, death, *options) == code
    assert capsys.readouterr().err.startswith(f"interrupted at step {at}; continue with ")
    assert read_checkpoint(run / "checkpoints" / "last.ckpt")["global_step"] == at
    assert go_on(run) == 0
    runs.check(run, "words")


def test_resume_finds_the_newest_unfinished_run(
    runs: Runs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = runs.new_root()
    with monkeypatch.context() as patch:
        patch.setattr(cli, "finish_run", lambda *args, **kwargs: signal.raise_signal(signal.SIGKILL))
        assert in_child(lambda: runs.fit("words", root, "--experiment=mine")) == -signal.SIGKILL
    last = root / "mine" / "version_0" / "checkpoints" / "last.ckpt"
    assert unfinished_run(root) == unfinished_run(root, "mine") == last
    capsys.readouterr()
    place = ["--trainer.default_root_dir", root, "--quiet"]
    assert run_cli("fit", "--resume", "--experiment=other", *place) == 1
    assert run_cli("fit", "--resume", "--experiment=mine", *place) == 0
    errors = capsys.readouterr().err.splitlines()
    assert errors[0].startswith(f"error: no unfinished run under {root}/other/: expected one with ")
    assert errors[1] == f"using {last}"
    runs.check(root / "mine" / "version_0", "words")
    config = yaml.safe_load((root / "mine" / "version_0" / "config.yaml").read_text(encoding="utf-8"))
    assert (config["resume"], config["experiment"]) == (False, "mine")
    assert run_cli("fit", "--resume", *place) == 1
    assert capsys.readouterr().err.startswith(f"error: no unfinished run under {root}/: ")
    assert run_cli("fit", "--resume", "--ckpt_path=x.ckpt", *place) == 2
    assert capsys.readouterr().err == "error: --resume finds the checkpoint itself: expected it without --ckpt_path\n"
    assert run_cli("fit", "--checkpoint_seconds=-1", "--trainer.default_root_dir", root / "none") == 2
    assert capsys.readouterr().err == "error: --checkpoint_seconds must be a number from 0 on, got -1.0\n"


def test_a_finished_run_that_goes_on_is_unfinished(runs: Runs) -> None:
    root = runs.new_root()
    assert runs.fit("words", root) == 0
    run = root / "default" / "version_0"
    options = ["--trainer.max_steps=20", callback(Die, hook="on_train_batch_start", step=18), "--checkpoint_seconds=0"]
    assert in_child(lambda: go_on(run, *options)) == -signal.SIGKILL
    assert unfinished_run(root) == run / "checkpoints" / "last.ckpt"


class Rates(L.Callback):
    """The learning rate of each step, when it is made."""

    def __init__(self) -> None:
        self.used: list[float] = []

    def on_before_optimizer_step(self, trainer: L.Trainer, model: L.LightningModule, optimizer: Any) -> None:
        self.used.append(optimizer.param_groups[0]["lr"])


class Crash(L.Callback):
    """Raises an error in a hook of a step, counted from 1."""

    def __init__(self, hook: str, step: int) -> None:
        def crash(trainer: L.Trainer, *args: Any) -> None:
            if trainer.global_step + (hook in MID_STEP) == step:
                raise CrashError

        setattr(self, hook, crash)


class CrashError(Exception):
    pass


def train(words_file: Path, batching: dict[str, Any], path: Path, crash: tuple[str, int] | None) -> L.LightningModule:
    """Trains 14 steps, or goes on with them; the state after each is saved."""
    L.seed_everything(1, verbose=False)
    data = WordsDataModule(str(words_file), **batching)
    model = LanguageModel(data.alphabet, NetworkConfig(embedding_dim=4, hidden_dim=8, dropout=0.3))
    model.finishing = True  # it may crash after its last step
    callbacks = [FinalValidation(), RandomStates(), LastCheckpoint(path, seconds=0)]
    trainer = L.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False, max_steps=STEPS,
        num_sanity_val_steps=0, val_check_interval=5, check_val_every_n_epoch=None, log_every_n_steps=4,
        callbacks=[*([Crash(*crash)] if crash else []), *callbacks],
    )  # fmt: skip
    with suppress(CrashError):
        trainer.fit(model, data, ckpt_path=path if path.exists() else None)
    return model


WINDOWS = {"batching": "windows", "batch_size": 64}
WAYS: tuple[dict[str, Any], ...] = ({"batch_size": 12}, WINDOWS, {**WINDOWS, "replacement": True})
DEATHS = st.one_of(
    st.tuples(st.sampled_from(MID_STEP + AFTER_STEP), st.integers(1, STEPS)),
    st.tuples(st.sampled_from(VALIDATION), st.sampled_from(CHECKED_AT)),
)


@settings(max_examples=4, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@example(way=0, deaths=[("on_train_batch_start", 9), ("on_train_batch_start", 13)])  # two ends of epochs
@given(way=st.sampled_from(range(len(WAYS))), deaths=st.lists(DEATHS, min_size=1, max_size=2))
def test_trainings_that_crash_anywhere(
    words_file: Path, tmp_path_factory: pytest.TempPathFactory, way: int, deaths: list[tuple[str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("crashed")
    whole = train(words_file, WAYS[way], folder / "whole.ckpt", None)
    for death in deaths:
        train(words_file, WAYS[way], folder / "last.ckpt", death)
    if not (folder / "last.ckpt").exists() or read_checkpoint(folder / "last.ckpt")["global_step"] < STEPS:
        again = train(words_file, WAYS[way], folder / "last.ckpt", None)
        assert same(dict(whole.state_dict()), dict(again.state_dict()))
    one, other = (read_checkpoint(folder / f"{name}.ckpt") for name in ("whole", "last"))
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "block_losses"):
        assert same(one[part], other[part]), part


def test_the_learning_rate_in_the_chart_is_the_one_a_step_was_made_with(words_file: Path, tmp_path: Path) -> None:
    data = WordsDataModule(str(words_file), batch_size=12)
    model = LanguageModel(data.alphabet, NetworkConfig(embedding_dim=4, hidden_dim=8))
    logger, rates = CSVLogger(tmp_path), Rates()
    trainer = L.Trainer(
        accelerator="cpu", logger=logger, enable_progress_bar=False, enable_model_summary=False, max_steps=8,
        enable_checkpointing=False, log_every_n_steps=1, callbacks=[TrainingScalars(), rates], limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(model, data)
    rows = csv.DictReader((Path(logger.log_dir) / "metrics.csv").read_text(encoding="utf-8").splitlines())
    logged = {int(row["step"]): float(row["train/learning_rate"]) for row in rows if row["train/learning_rate"]}
    assert [logged[step] for step in range(8)] == rates.used
    assert min(rates.used) > 0
    assert rates.used[0] < rates.used[1]  # so that the next step's would differ


@pytest.mark.campaign
@pytest.mark.parametrize("batching", BATCHINGS)
def test_many_runs_that_are_killed_anywhere(runs: Runs, batching: str) -> None:
    chance = random.Random(f"{batching} {os.environ.get('CAMPAIGN_SEED', 0)}")
    kills = compared = 0
    while kills < int(os.environ.get("CAMPAIGN_KILLS", 15)):
        root = runs.new_root()
        run = root / "default" / "version_0"
        seconds = f"--checkpoint_seconds={chance.choice((0, 0, 0.05, 0.2))}"
        for _ in range(chance.choice((1, 2, 3))):
            code = in_child(partial(begin_or_go_on, runs, batching, root, random_death(chance), seconds))
            assert code in (0, -signal.SIGKILL, -signal.SIGALRM)
            kills += code < 0
            if code == 0:
                break
        if code != 0:
            assert begin_or_go_on(runs, batching, root) == 0
        runs.check(run, batching)
        compared += 1
    print(f"{batching}: {kills} kills, {compared} runs compared")


def begin_or_go_on(runs: Runs, batching: str, root: Path, *options: object) -> int:
    """Goes on with a run that has not finished; one that was killed before its first checkpoint begins again."""
    run = root / "default" / "version_0"
    if (run / "metrics.json").is_file():
        return 0
    if (run / "checkpoints" / "last.ckpt").is_file():
        return go_on(run, *options)
    shutil.rmtree(root, ignore_errors=True)
    return runs.fit(batching, root, *options)


def random_death(chance: random.Random) -> str:
    """The option that kills a run somewhere."""
    step = chance.randint(1, STEPS)
    return chance.choice(
        [
            callback(Die, hook=chance.choice(MID_STEP + AFTER_STEP), step=step),
            callback(Die, hook=chance.choice(VALIDATION), step=chance.choice(CHECKED_AT)),
            callback(DieWriting, after=chance.randint(0, STEPS)),
            callback(DieLater, seconds=chance.uniform(0.001, 0.6)),
        ]
    )


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        {"cpu": torch.zeros(5056, dtype=torch.uint8)},
        {"cpu": 1, "cuda": []},
        {"cpu": [], "cuda": []},
        {"cpu": [torch.zeros(10, dtype=torch.uint8)], "cuda": []},
        {"cpu": [torch.zeros(5056)], "cuda": []},
        {"cpu": ["state"], "cuda": []},
        {**current_states(), "cuda": [torch.zeros(17, dtype=torch.uint8)]},
        {**current_states(), "cuda": "x"},
    ],
)
def test_random_states_that_are_none(wrong: Any) -> None:
    with pytest.raises(ValueError, match="random state"):
        checked_states(wrong)


def test_bytes_that_are_no_random_state() -> None:
    callback = RandomStates()
    callback.load_state_dict({"cpu": [torch.full((5056,), 255, dtype=torch.uint8)], "cuda": []})
    with pytest.raises(ValueError, match="a random state of the checkpoint is refused"):
        callback.on_train_start(L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False), None)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("callbacks", "RandomStates"), {"cpu": 5, "cuda": []}),
        (("callbacks", "NetworkHealth"), {"validations": "many"}),
        (("block_losses",), [1, 2]),
        (("block_losses", "losses"), torch.zeros(2, 2)),
        (("block_losses", "log_every_n_steps"), 4.0),
    ],
)
def test_a_checkpoint_with_wrong_values_ends_in_one_line(
    runs: Runs, cli_error: Callable[..., str], tmp_path: Path, path: tuple[str, ...], value: Any
) -> None:
    content = read_checkpoint(runs.whole("words") / "checkpoints" / "last.ckpt")
    place = content
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    torch.save(content, tmp_path / "x.ckpt")
    options = ["--trainer.max_steps=20", "--health.enabled=true", "--trainer.default_root_dir", tmp_path / "runs"]
    assert "checkpoint's" in cli_error("fit", "--ckpt_path", tmp_path / "x.ckpt", *options)
