import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import optuna
import pytest
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.conftest import ROOT, run_cli
from tests.experiments.conftest import TINY, InCopy
from wavenet.experiments import children, curves
from wavenet.experiments.children import Child, Children
from wavenet.experiments.how import HowToRun
from wavenet.experiments.space import read_space
from wavenet.experiments.sweep import HowToSearch, Search
from wavenet.experiments.trial import begin, trial_folder

Error = Callable[..., str]

WIDTH = "model.network.hidden_dim"
RANGES = {
    "model.optimization.learning_rate": {"low": 0.001, "high": 0.1, "log": True},
    WIDTH: {"low": 8, "high": 24, "step": 8},
    "model.network.activation": ["gelu", "tanh"],
}


@pytest.fixture
def space(here: Path, words_file: Path) -> Path:
    return write_space(here / "space.yaml", words_file, {WIDTH: [8, 16]})


def write_space(path: Path, words_file: Path, ranges: object) -> Path:
    path.write_text(yaml.safe_dump(TINY | {"data": {"path": str(words_file)}, "space": ranges}), encoding="utf-8")
    return path


def study_of(here: Path, name: str = "space") -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(here / "runs" / name / "journal.log")))
    return optuna.load_study(study_name=name, storage=storage)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_a_tiny_search_with_two_workers_and_a_killed_trial(
    here: Path, words_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    space, start = write_space(here / "space.yaml", words_file, RANGES), Children.start

    def start_and_kill(self: Children, options: list[str], log: Path) -> Child:
        child = start(self, options, log)
        if "trial_0001" in str(log):
            os.kill(child.pid, signal.SIGKILL)
        return child

    monkeypatch.setattr(children, "Child", InCopy)
    monkeypatch.setattr(Children, "start", start_and_kill)
    assert run_cli("sweep", space, "--trials", 3, "--jobs", 2) == 0
    out, err = capsys.readouterr()
    assert "trial 1: failed, killed by signal 9" in err
    folder, trials = here / "runs" / "space", study_of(here).trials
    assert [trial.state for trial in trials].count(TrialState.COMPLETE) == 2
    assert trials[1].state == TrialState.FAIL
    for trial in trials:
        if trial.state == TrialState.COMPLETE:
            (path,) = trial_folder(folder, trial.number).glob("seed_1337/version_0/metrics.json")
            assert trial.value == json.loads(path.read_text(encoding="utf-8"))["val/loss"]
            assert list(trial.intermediate_values)[:1] == [0]
    content = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    best = study_of(here).best_trial
    label, *_ = content["rows"][0]["label"].split(", ")  # trial 0 says that nothing is changed, and may be the best
    assert label == f"trial {best.number}"
    assert content["rows"][0]["val"]["mean"] == pytest.approx(best.value, abs=1e-5)
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "trial 1: killed by signal 9" in text
    assert "(search.png)" in text
    assert "optuna-dashboard runs/space/journal.log" in out
    events = EventAccumulator(str(trial_folder(folder, best.number)))
    events.Reload()
    assert events.PluginTagToContent("hparams")
    config = folder / "best.yaml"
    first, second, *_ = config.read_text(encoding="utf-8").splitlines()
    assert first.endswith("fit --config runs/space/best.yaml")
    assert f"expect val {best.value:.4f}" in second
    assert run_cli("fit", "--config", config) == 0
    (path,) = here.glob("runs/space-best/version_0/metrics.json")
    assert json.loads(path.read_text(encoding="utf-8"))["val/loss"] == pytest.approx(best.value, abs=1e-4)


def test_a_search_goes_on_with_what_was_left_and_takes_several_seeds(
    here: Path, space: Path, in_process: None, capsys: pytest.CaptureFixture[str]
) -> None:
    how = HowToRun("space", seeds=2)
    search = Search(read_space(space, []), how, HowToSearch(trials=1))
    left = begin(search.study, search.space, how)  # as by a process that was killed
    left._lock.release()
    assert run_cli("sweep", space, "--trials", 2, "--seeds", 2) == 0
    assert "2 trials, of which 1 have begun" in capsys.readouterr().err
    trials = study_of(here).trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 2
    assert trials[0].params == left.values
    paths = trial_folder(here / "runs" / "space", 0).glob("seed_*/version_0/metrics.json")
    losses = [json.loads(path.read_text(encoding="utf-8"))["val/loss"] for path in paths]
    assert len(losses) == 2
    assert trials[0].value == pytest.approx(fmean(losses))
    Search(search.space, how, HowToSearch(trials=2)).run()
    assert "2 trials, of which 2 have begun" in capsys.readouterr().err


def test_a_trial_that_another_process_runs_is_left_alone(here: Path, space: Path) -> None:
    how = HowToRun("space")
    search = Search(read_space(space, []), how, HowToSearch(trials=1))
    running = begin(search.study, search.space, how)
    assert Search(search.space, how, HowToSearch(trials=1))._next([]) is None
    running._lock.release()


def test_a_search_can_be_repeated(here: Path, words_file: Path) -> None:
    space = read_space(write_space(here / "space.yaml", words_file, RANGES), [])

    def values(name: str) -> list[dict[str, object]]:
        search = Search(space, HowToRun(name), HowToSearch())
        return [begin(search.study, space, search.how).values for _ in range(4)]

    first, *others = values("one")
    assert all(first[name] != other[name] for other in others for name in first if "rate" in name)
    assert [first, *others] == values("again")


class Endless(Child):
    """A training that goes on until it is asked to end."""

    def __init__(self, options: list[str], log: Path) -> None:
        self.log, self.ended = log, False

    @property
    def code(self) -> int | None:
        return 143 if self.ended else None

    def ask_to_end(self) -> None:
        self.ended = True

    def end(self, patience: float = 0) -> None:
        pass


def test_hopeless_trials_are_given_up(here: Path, space: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wavenet.experiments.children.Child", Endless)
    monkeypatch.setattr(curves.Validations, "read", lambda self: [3.0, 2.9, 2.9])
    search = Search(read_space(space, []), HowToRun("space"), HowToSearch(trials=7))
    ranges = search.space.ranges
    for _ in range(6):
        better = optuna.create_trial(
            params={WIDTH: 8},
            distributions=ranges,
            value=2.0,
            intermediate_values={0: 2.2, 1: 2.1, 2: 2.0},
        )
        search.study.add_trial(better)
    search.run()
    trial = study_of(here).trials[0]
    assert trial.state == TrialState.PRUNED
    assert trial.intermediate_values == {0: 3.0, 1: 2.9}


def test_a_database_keeps_a_search_too(here: Path, space: Path, in_process: None) -> None:
    assert run_cli("sweep", space, "--trials", 1, "--storage", f"sqlite:///{here}/study.db") == 0
    study = optuna.load_study(study_name="space", storage=f"sqlite:///{here}/study.db")
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE]
    assert not (here / "runs" / "space" / "journal.log").exists()


def test_another_space_is_another_search(here: Path, space: Path, words_file: Path, cli_error: Error) -> None:
    Search(read_space(space, []), HowToRun("space"), HowToSearch())
    assert "begun with other seeds" in cli_error("sweep", space, "--seeds", 2)
    write_space(space, words_file, {"model.network.dropout": {"low": 0.0, "high": 0.5}})
    assert "begun with other space" in cli_error("sweep", space)


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({}, "has no space"),
        ({"model.network.hiden_dim": [8]}, "unknown setting model.network.hiden_dim; did you mean"),
        ({"model.network.dropout": {"low": 0.5, "high": 0.1}}, "expected low below high, got low 0.5 and high 0.1"),
        ({"model.network.dropout": {"low": 0.1}}, "expected numbers as low and high"),
        ({"model.network.dropout": {"low": 0.1, "hihg": 0.2}}, "got hihg; did you mean high?"),
        ({"model.network.dropout": {"low": 0.0, "high": 1.5}}, "dropout cannot be 1.5"),
        ({"model.optimization.learning_rate": {"low": 0, "high": 1, "log": True}}, "low above 0 for it"),
        ({"model.network.hidden_dim": {"low": 8, "high": 16, "step": 0}}, "expected a step above 0"),
        ({"model.network.hidden_dim": {"low": 8, "high": 31, "step": 8}}, "expected a step that leads from low 8 to"),
        ({"model.optimization.learning_rate": {"low": 1, "high": 10**400}}, "expected low below high"),
        ({"model.network.activation": []}, "expected a list of values that differ"),
        ({"model.network.activation": ["gelu", "gellu"]}, "cannot be gellu"),
        ({"model.network.activation": "gelu"}, "expected a list of values, or low and high"),
        ({"seed_everything": [1, 2]}, "seed_everything cannot be searched"),
        ({"data.split_seed": [1, 2]}, "data.split_seed cannot be searched"),
    ],
)
def test_a_wrong_space_is_said_in_a_line_before_anything_runs(
    here: Path, words_file: Path, cli_error: Error, ranges: object, message: str
) -> None:
    assert message in cli_error("sweep", write_space(here / "space.yaml", words_file, ranges), code=2)
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--trials", "0"], 2, "--trials must be at least 1"),
        (["--storage", "nonsense"], 2, "--storage must be the URL of a database that can be used"),
        (["--name", "a/b"], 2, "without slashes"),
        (["--model.network.netwrk=1"], 2, "unrecognized arguments"),
    ],
)
def test_wrong_options_are_said_in_a_line(
    here: Path, space: Path, cli_error: Error, options: list[str], code: int, message: str
) -> None:
    assert message in cli_error("sweep", space, *options, code=code)
    assert not (here / "runs").exists()


def test_a_damaged_journal_is_named(here: Path, space: Path, cli_error: Error) -> None:
    journal = here / "runs" / "space" / "journal.log"
    journal.parent.mkdir(parents=True)
    journal.write_text("garbage\n", encoding="utf-8")
    assert "runs/space/journal.log holds no search" in cli_error("sweep", space)


def test_values_may_need_each_other(here: Path, words_file: Path) -> None:
    ranges = {"model.network.block_size": [8, 27], "model.network.group_size": [2, 3]}
    space = read_space(write_space(here / "space.yaml", words_file, ranges), [])
    assert space.ranges["model.network.block_size"].choices == (8, 27)


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_spaces_that_are_shipped_can_be_searched(path: Path, words_file: Path) -> None:
    first, *_ = path.read_text(encoding="utf-8").splitlines()
    assert first.startswith(f"# wavenet sweep configs/sweeps/{path.name}")
    assert read_space(path, [f"--data.path={words_file}"]).unchanged() is not None or "batch" in path.read_text()
