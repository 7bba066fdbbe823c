"""The commands with labels: sample, top, score and guess."""

import csv
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import LABELS, run_cli
from wavenet.commands.options import label_of, mixture_of
from wavenet.corpus.labels import Labels
from wavenet.corpus.vocabulary import Vocabulary
from wavenet.errors import ArgumentError
from wavenet.inference.checkpoint import load
from wavenet.inference.model import TrainedModel
from wavenet.network.build import build
from wavenet.network.config import NetworkConfig


@pytest.fixture
def run(labelled_run: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Runs a command on the run with labels; the lines of its output."""

    def lines(*args: object, code: int = 0) -> list[str]:
        capsys.readouterr()
        assert run_cli(*args, "--ckpt_path", labelled_run / "checkpoints" / "best.ckpt") == code
        return capsys.readouterr().out.splitlines()

    return lines


def test_words_of_a_label(run: Callable[..., list[str]], labelled_run: Path) -> None:
    model = load(labelled_run / "checkpoints" / "best.ckpt")
    assert run("sample", "-n", 4, "--label", "New Zealand", "--seed", 1) == model.sample(4, label="New Zealand", seed=1)
    mixture = {"Finnish": 0.7, "日本語": 0.3}
    said = run("sample", "-n", 4, "--label", "Finnish=0.7,日本語=0.3", "--seed", 1, "--log_prob")
    assert [line.split("\t")[0] for line in said] == model.sample(4, label=mixture, seed=1)
    assert [line.split("\t")[0] for line in run("top", "-n", 3, "--label", "日本語")] == model.top(
        3, label="日本語"
    ).words
    (score,) = json.loads("".join(run("score", "sobe", "--label", "Finnish", "--format", "json")))
    assert score["log_prob"] == pytest.approx(model.score(["sobe"], label="Finnish")[0].log_prob, abs=1e-4)


def test_each_label_has_its_words(run: Callable[..., list[str]], tmp_path: Path) -> None:
    rows = [line.split("\t") for line in run("sample", "-n", 3, "--label", "each", "--seed", 1)]
    assert [label for _, label in rows] == [label for label in LABELS for _ in range(3)]
    run("sample", "-n", 2, "--label", "each", "--novelty", "--format", "csv", "--output", tmp_path / "each.csv")
    with (tmp_path / "each.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["label"] for row in table] == [label for label in LABELS for _ in range(2)]
    assert list(table[0]) == ["word", "label", "novelty"]


def test_predict_scores_each_word_under_its_label(
    run: Callable[..., list[str]], labelled_run: Path, tmp_path: Path, cli_error: Callable[..., str]
) -> None:
    checkpoint = labelled_run / "checkpoints" / "best.ckpt"
    model = load(checkpoint)
    words, labels = model.split.test.words, [fields[0] if fields else "" for fields in model.split.test.labels]
    said = run("predict")
    assert len(set(labels)) > 1
    for line, word, label, score in zip(said, words, labels, model.score(words, labels=labels), strict=True):
        assert line.split()[:2] == [word, f"{score.log_prob:.4f}"]
        assert line.endswith(f")   {label}")
    own = tmp_path / "own.tsv"
    own.write_text("sobe\tFinnish\nsobe\nsobe\t日本語\tmore\n", encoding="utf-8")
    scores = [run("score", "sobe", *told)[0] for told in (["--label", "Finnish"], [], ["--label", "日本語"])]
    chosen = run("predict", "--data.predict_path", own)
    assert chosen == [f"{scores[0]}   Finnish", scores[1], f"{scores[2]}   日本語"]
    assert run("predict", "--data.predict_path", own, "--data.labels=false") == [scores[1]] * 3
    own.write_text("sobe\tFinish\n", encoding="utf-8")
    error = cli_error("predict", "--ckpt_path", checkpoint, "--data.predict_path", own)
    assert "label must be one of 3 labels, got 'Finish'; the nearest are Finnish" in error


def test_guesses(run: Callable[..., list[str]], labelled_run: Path) -> None:
    model = load(labelled_run / "checkpoints" / "best.ckpt")
    rows = json.loads("".join(run("guess", "sobe", "emil", "--format", "json", "--uniform", "-n", 2)))
    for row, found in zip(rows, model.guess(["sobe", "emil"], uniform=True), strict=True):
        assert row["labels"] == pytest.approx(dict(list(found.probabilities.items())[:2]), abs=1e-4)
    (line,) = run("guess", "sobe")
    assert line.startswith("sobe             ")
    assert line.split("   ")[-1].split(" ")[-1].startswith("0.")
    assert all(label in line for label in LABELS)
    explained = run("guess", "sobe", "--explain")
    assert [part.split()[0] for part in explained] == ["sobe", "before", "s", "o", "b", "e", "end"]
    assert explained[-1].split(maxsplit=1)[1] == explained[0].split(maxsplit=1)[1]


def test_guesses_as_tables(run: Callable[..., list[str]], tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("sobe\nöö\nemil\n", encoding="utf-8")
    given = ("guess", "--file", tmp_path / "words.txt", "--format", "csv", "-n", 1)
    table = list(csv.DictReader(run(*given, code=1)))
    assert [row["word"] for row in table] == ["sobe", "öö", "emil"]
    assert [bool(row["error"]) for row in table] == [False, True, False]
    assert list(table[0]) == ["word", "label_1", "probability_1", "error"]
    explained = list(csv.DictReader(run(*given, "--explain", code=1)))
    assert [row["character"] for row in explained] == [*["", "s", "o", "b", "e", ""], "", *["", "e", "m", "i", "l", ""]]
    assert [row["position"] for row in explained][:7] == ["0", "1", "2", "3", "4", "5", ""]


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["sample", "--label", "finish"], "--label must be one of 3 labels, got 'finish'; the nearest are Finnish", 2),
        (["sample", "--label", ""], "--label must be one of 3 labels, got '', such as Finnish, New Zealand", 2),
        (["top", "--label", "Finnish=1,New Sealand=2"], "got 'New Sealand'; the nearest are New Zealand", 2),
        (["score", "sobe", "--label", "A="], "must be a label, or labels with weights such as A=0.7,B=0.3", 2),
        (["score", "sobe", "--label", "each"], "--label must be one of 3 labels, got 'each'", 2),
        (["guess"], "expected either WORDS or --file FILE, got neither", 2),
        (["guess", "sobe", "-n", "0"], "--num_labels must be at least 1, got 0", 2),
    ],
)
def test_wrong_labels_end_in_one_line(
    arguments: list[str], message: str, code: int, labelled_run: Path, cli_error: Callable[..., str]
) -> None:
    error = cli_error(*arguments, "--ckpt_path", labelled_run / "checkpoints" / "best.ckpt", code=code)
    assert message in error


@pytest.mark.parametrize(
    "arguments", [["guess", "sobe"], ["sample", "--label", "each"], ["sample", "--label", "Finnish"]]
)
def test_models_without_labels(arguments: list[str], tiny_run: Path, cli_error: Callable[..., Any]) -> None:
    code = 2 if "Finnish" in arguments else 1
    error = cli_error(*arguments, "--ckpt_path", tiny_run / "checkpoints" / "best.ckpt", code=code)
    assert "trained with" in error


def test_a_label_may_be_typed_in_another_normal_form() -> None:
    labels = Labels({"Māori": 1, "Inuktitut": 1})
    model = TrainedModel(build(NetworkConfig(4, 2, 2, 4), 3, len(labels)), Vocabulary("ab"), labels=labels)
    typed = unicodedata.normalize("NFD", "Māori")
    assert label_of(model, typed) == "Māori" != typed
    assert label_of(model, f"{typed}=0.5,Inuktitut=0.5") == {"Māori": 0.5, "Inuktitut": 0.5}


def test_mixtures() -> None:
    assert mixture_of("A=1, New Zealand=2.5,日本=0.5") == {"A": 1.0, "New Zealand": 2.5, "日本": 0.5}
    assert mixture_of("x=y=2") == {"x=y": 2.0}
    for text in ("A=0.5,B", "A=x", "A=1,A=2", "A=1,"):
        with pytest.raises(ArgumentError, match="must be a label, or labels with weights"):
            mixture_of(text)
