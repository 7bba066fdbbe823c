import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT, WORDS
from wavenet import load
from wavenet.commands import sample
from wavenet.commands.main import COMMANDS, main
from wavenet.inference import sampling
from wavenet.inference.checkpoint import read_checkpoint


@pytest.fixture
def wavenet(
    tiny_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[str, str, int]]:
    """Runs the command with the checkpoint of a tiny run; its stdout, stderr and exit code."""

    def run(
        command: str, *arguments: object, ckpt: Path | None = tiny_run / "checkpoints" / "best.ckpt"
    ) -> tuple[str, str, int]:
        given = [] if ckpt is None else ["--ckpt_path", ckpt]
        monkeypatch.setattr(sys, "argv", ["wavenet", command, *map(str, (*arguments, *given))])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return captured.out, captured.err, code

    return run


Run = Callable[..., tuple[str, str, int]]


def test_sample_writes_words_and_nothing_else(wavenet: Run) -> None:
    out, err, code = wavenet("sample", "--seed", 1)
    assert (len(out.splitlines()), err, code) == (20, "", 0)
    assert wavenet("sample", "--seed", 1)[0] == out != wavenet("sample", "--seed", 2)[0]
    out, _, _ = wavenet("sample", "-n", 30, "--prefix", "so", "--pattern", "*a", "--unique", "--min_length", 4)
    assert len(set(out.split())) == 30
    assert all(word.startswith("so") and word.endswith("a") and len(word) > 3 for word in out.split())


def test_sample_adds_log_probabilities_and_novelty(wavenet: Run, tiny_run: Path) -> None:
    out, _, _ = wavenet("sample", "-n", 300, "--log_prob", "--novelty", "--temperature", 0.5, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    model = load(tiny_run / "checkpoints" / "best.ckpt")
    for row, score in zip(rows, model.score([row["word"] for row in rows]), strict=True):
        assert float(row["log_prob"]) == pytest.approx(score.log_prob, abs=2e-4)
    kinds = {"train": model.split.train.words, "validation": model.split.val.words, "test": model.split.test.words}
    assert all(row["word"] in kinds.get(row["novelty"], [row["word"]]) for row in rows)
    (row,) = json.loads(wavenet("sample", "-n", 1, "--pattern", kinds["test"][0], "--novelty", "--format", "json")[0])
    assert row["novelty"] == "test"
    assert not {row["word"] for row in rows if row["novelty"] == "new"} & set(WORDS)
    out, _, _ = wavenet("sample", "-n", 3, "--novelty", "--log_prob")
    assert all(len(line.split("\t")) == 3 for line in out.splitlines())
    out, _, _ = wavenet("sample", "-n", 3, "--format", "json")
    assert [list(row) for row in json.loads(out)] == [["word"]] * 3


def test_novel_words(wavenet: Run, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("a\nb\nzoë\n", encoding="utf-8")
    for command in ("sample", "top"):
        out, _, code = wavenet(command, "-n", 100, "--novel", "--novel_to", other, "--max_length", 8, "--format", "csv")
        words = [row["word"] for row in csv.DictReader(io.StringIO(out))]
        assert code == 0
        assert len(words) == 100
        assert not set(words) & {*WORDS, "a", "b"}
        for known in ("a", WORDS[0]):
            assert known in wavenet(command, "-n", 1, "--pattern", known)[0]
            assert known not in wavenet(command, "-n", 1, "--pattern", known, "--novel", "--novel_to", other)[0]


def test_a_file_gets_the_output(wavenet: Run, tmp_path: Path) -> None:
    out, _, code = wavenet("sample", "-n", 7, "--output", tmp_path / "words.txt")
    assert (out, code) == ("", 0)
    assert len((tmp_path / "words.txt").read_text(encoding="utf-8").split()) == 7


def test_too_few_words_are_said(wavenet: Run) -> None:
    out, err, code = wavenet("sample", "-n", 50, "--pattern", "?", "--unique")
    assert (len(out.split()), code) == (10, 0)
    assert err == "10 of 50 words: there are no more\n"
    _, err, code = wavenet("sample", "-n", 9, "--pattern", "*vvvvvvvv*", "--max_draws", 90)
    assert code == 0
    assert "of 9 words: 90 draws gave no more\n" in err
    _, err, code = wavenet("top", "-n", 50, "--pattern", "?")
    assert (err, code) == ("10 of 50 words: there are no more\n", 0)
    _, err, code = wavenet("top", "-n", 50, "--max_beginnings", 20)
    assert code == 0
    assert err.startswith("cut short after 20 beginnings of words: the first ")
    rows = json.loads(wavenet("top", "-n", 50, "--max_beginnings", 20, "--format", "json")[0])
    certain = [row["certain"] for row in rows]
    assert certain == sorted(certain, reverse=True)
    assert not certain[-1]
    assert all(row["certain"] for row in json.loads(wavenet("top", "--format", "json")[0]))


def test_words_that_hardly_ever_come(wavenet: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    rare = ("sample", "-n", 5, "--pattern", "*vvvvvvv*", "--unique", "--seed", 0)
    directed = "draws are directed by the pattern now: approximately from the model's distribution\n"
    out, err, code = wavenet(*rare, "--directed")
    assert (err, code) == (directed, 0)
    assert sum("vvvvvvv" in word for word in set(out.split())) == 5
    monkeypatch.setattr(sample, "PATIENCE", -1.0)
    monkeypatch.setattr(sampling, "CHECK", 2_000)
    _, err, _ = wavenet(*rare, "--no-directed", "--max_draws", 2_000)
    slow = r"0 words in [\d,]+ draws after 0 s; the search goes on, up to 2,000 draws \(--max_draws\)"
    first, last = err.splitlines()
    assert re.fullmatch(slow, first)
    assert last == "0 of 5 words: 2,000 draws gave no more"
    assert wavenet(*rare)[1].splitlines()[1:] == [directed.strip()]
    assert wavenet("sample", "-n", 500)[1] == ""


def test_top_lists_words_in_order(wavenet: Run) -> None:
    out, err, code = wavenet("top", "--max_length", 9)
    log_probs = [float(line.split("\t")[1]) for line in out.splitlines()]
    assert (len(log_probs), err, code) == (10, "", 0)
    assert log_probs == sorted(log_probs, reverse=True)
    rows = json.loads(wavenet("top", "--max_length", 9, "--format", "json")[0])
    assert [row["rank"] for row in rows] == list(range(1, 11))
    assert [row["word"] for row in rows] == [line.split("\t")[0] for line in out.splitlines()]


def test_score_words_and_files(wavenet: Run, tmp_path: Path, tiny_run: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("\ufeffemilia\tF\n\n av \nsobe\n", encoding="utf-8")
    by_file = json.loads(wavenet("score", "--file", path, "--format", "json")[0])
    by_name = json.loads(wavenet("score", "emilia", "av", "sobe", "--format", "json")[0])
    assert by_file == by_name
    for row, score in zip(
        by_name, load(tiny_run / "checkpoints" / "best.ckpt").score(["emilia", "av", "sobe"]), strict=True
    ):
        assert (row["word"], row["error"]) == (score.word, None)
        assert row["log_prob"] == pytest.approx(score.log_prob, abs=1e-4)
        assert row["bits_per_character"] == pytest.approx(score.bits_per_character, abs=1e-4)
        assert row["rank"] >= 0
    out, _, _ = wavenet("score", "emilia")
    assert out.startswith("emilia ")
    assert "bits/character   rank " in out


def test_a_word_that_cannot_be_scored_does_not_stop_the_others(wavenet: Run) -> None:
    out, err, code = wavenet("score", "sobe", "zoë", "", "ava")
    lines = out.splitlines()
    assert (len(lines), code) == (4, 1)
    assert lines[1] == "zoë              unknown character 'z' (U+007A)"
    assert err == "1 of 4 words could not be scored, such as 'zoë'\n"
    rows = list(csv.DictReader(io.StringIO(wavenet("score", "zz", "sobe", "--format", "csv")[0])))
    assert [bool(row["error"]) for row in rows] == [True, False]


def test_explained_scores(wavenet: Run) -> None:
    out, _, _ = wavenet("score", "sobe", "--explain")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["s", "o", "b", "e", "end"]
    assert "\x1b" not in out
    (row,) = json.loads(wavenet("score", "sobe", "--explain", "--format", "json")[0])
    for line, character in zip(lines[1:], row["characters"], strict=True):
        assert f"{character['probability']:.4f}{character['bits']:>7.2f} bits   " in line
        likelier = [probability > character["probability"] for _, probability in character["alternatives"]]
        assert ("likelier" in line, "next" in line) == (any(likelier), not all(likelier))
        assert line.find("next") == -1 or line.find("likelier") < line.find("next")
    assert sum(character["bits"] for character in row["characters"]) == pytest.approx(
        5 * row["bits_per_character"], abs=1e-3
    )
    assert [character["character"] for character in row["characters"]] == ["s", "o", "b", "e", None]
    assert all(len(character["alternatives"]) == 3 for character in row["characters"])


def test_explained_scores_as_a_table(wavenet: Run) -> None:
    words = json.loads(wavenet("score", "sobe", "ava", "--explain", "--format", "json")[0])
    out, _, code = wavenet("score", "sobe", "zoë", "ava", "--explain", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 1
    assert [row["word"] for row in rows] == ["sobe"] * 5 + ["zoë"] + ["ava"] * 4
    assert [row["position"] for row in rows] == [*"12345", "", *"1234"]
    assert [bool(row["error"]) for row in rows] == [row["word"] == "zoë" for row in rows]
    del rows[5]
    characters = [character for word in words for character in word["characters"]]
    for row, character in zip(rows, characters, strict=True):
        assert row["character"] == (character["character"] or "")
        assert (float(row["probability"]), float(row["bits"])) == (character["probability"], character["bits"])
        others = [(row[f"alternative_{i}"], float(row[f"probability_{i}"])) for i in (1, 2, 3)]
        assert others == [(other or "", probability) for other, probability in character["alternatives"]]


def test_scores_say_whether_a_word_is_known(wavenet: Run, tiny_run: Path, tmp_path: Path) -> None:
    split = load(tiny_run / "checkpoints" / "best.ckpt").split
    words = [split.train.words[0], split.val.words[0], split.test.words[0], "beb", "zoë"]
    kinds = ["train", "validation", "test", "new", "new"]
    rows = json.loads(wavenet("score", *words, "--novelty", "--format", "json")[0])
    assert [row["novelty"] for row in rows] == kinds
    rows = list(csv.DictReader(io.StringIO(wavenet("score", *words, "--novelty", "--format", "csv")[0])))
    assert [row["novelty"] for row in rows] == kinds
    lines = wavenet("score", *words, "--novelty")[0].splitlines()
    assert [line.split()[-1] for line in lines[:4]] == kinds[:4]
    assert "novelty" not in json.loads(wavenet("score", "beb", "--format", "json")[0])[0]
    checkpoint = read_checkpoint(tiny_run / "checkpoints" / "best.ckpt")
    checkpoint["WordsDataModule"]["path"] = str(tmp_path / "gone.txt")
    torch.save(checkpoint, tmp_path / "x.ckpt")
    out, err, code = wavenet("score", "beb", "--novelty", ckpt=tmp_path / "x.ckpt")
    assert (out, code) == ("", 2)
    assert err.startswith("error: --novelty needs the training corpus: words not found")


def test_words_from_stdin(wavenet: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def score(content: bytes) -> tuple[str, str, int]:
        (tmp_path / "input").write_bytes(content)
        with open(tmp_path / "input", encoding="ascii") as file:  # whatever the locale says, words are UTF-8
            monkeypatch.setattr(sys, "stdin", file)
            return wavenet("score", "--file", "-", "--format", "json")

    assert score(b"\xef\xbb\xbfsobe\n\n ava\tF\n")[0] == wavenet("score", "sobe", "ava", "--format", "json")[0]
    assert score("zoë\n".encode())[1:] == ("1 of 1 words could not be scored, such as 'zoë'\n", 1)
    assert score(b"\n")[1:] == ("error: stdin holds no words: expected one word per line\n", 1)
    assert score(b"ava\nzo\xeb\n")[1:] == ("error: stdin is not UTF-8 after line 0: save it as UTF-8\n", 1)
    assert score(b"ava\nzo\0\n")[1].startswith("error: stdin, line 2: expected text, got the control character")
    assert wavenet("score", "ava", "--file", "-")[2] == 2


def test_the_newest_best_checkpoint_is_taken(
    wavenet: Run, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _, err, code = wavenet("sample", ckpt=None)
    assert code == 1
    assert err.startswith("error: no checkpoint under runs/: expected best.ckpt or last.ckpt; --ckpt_path names one ")
    assert err.endswith(" fit makes one\n")
    (tmp_path / "runs").symlink_to(tiny_run.parent.parent, target_is_directory=True)
    _, err, code = wavenet("sample", "-n", 1, ckpt=None)
    assert code == 0
    assert err.startswith("using runs/")
    newer = tmp_path / "runs" / "newer" / "best.ckpt"
    (tmp_path / "runs").unlink()
    for age, name in enumerate(("newer", "a_older", "z_older")):
        path = tmp_path / "runs" / name / "best.ckpt"
        path.parent.mkdir(parents=True)
        shutil.copy(tiny_run / "checkpoints" / "best.ckpt", path)
        os.utime(path, (1e9 - age, 1e9 - age))
    assert wavenet("sample", "-n", 1, ckpt=None)[1] == f"using {newer.relative_to(tmp_path)}\n"


def test_a_folder_or_an_experiment_is_taken_for_its_newest_run(
    wavenet: Run, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for age, name in enumerate(("default/version_1", "default/version_0", "other/version_0")):
        path = tmp_path / "runs" / name / "checkpoints" / "last.ckpt"  # a run without validation has no best.ckpt
        path.parent.mkdir(parents=True)
        shutil.copy(tiny_run / "checkpoints" / "last.ckpt", path)
        os.utime(path, (1e9 - age, 1e9 - age))

    def used(*options: object) -> str:
        _, err, code = wavenet("sample", "-n", 1, *options, ckpt=None)
        assert code == 0
        return err

    assert used() == used("--experiment", "default") == "using runs/default/version_1/checkpoints/last.ckpt\n"
    assert used("--experiment", "other") == "using runs/other/version_0/checkpoints/last.ckpt\n"
    for folder in ("runs/default/version_0", "./runs/default/version_0/", "runs/default/version_0/checkpoints"):
        assert used("--ckpt_path", folder) == "using runs/default/version_0/checkpoints/last.ckpt\n"
    assert used("--ckpt_path", "./runs/other/version_0/checkpoints/last.ckpt") == ""
    shutil.copy(path, path.with_name("best.ckpt"))
    assert used("--ckpt_path", "runs/other") == "using runs/other/version_0/checkpoints/best.ckpt\n"
    _, err, code = wavenet("top", "--experiment", "defualt", ckpt=None)
    assert (err, code) == (
        "error: --experiment must be one of the experiments in runs/ (default, other), got defualt; "
        "did you mean default?\n",
        2,
    )
    _, err, code = wavenet("top", "--experiment", "default", "--ckpt_path", "runs", ckpt=None)
    assert (code, err.count("\n")) == (2, 1)
    (tmp_path / "empty").mkdir()
    _, err, code = wavenet("score", "ava", "--ckpt_path", "empty", ckpt=None)
    assert code == 1
    assert err.startswith("error: no checkpoint under empty/: expected best.ckpt or last.ckpt; ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("sample --temperature 0", "--temperature must be above 0, got 0.0"),
        ("sample --temperature=-1", "--temperature must be above 0, got -1.0"),
        ("sample --top_p 0", "--top_p must be above 0 and at most 1, got 0.0"),
        ("sample --top_p 1.5", "--top_p must be above 0 and at most 1, got 1.5"),
        ("sample --top_k 0", "--top_k must be at least 1, got 0"),
        ("sample --prefix xé", "--prefix has an unknown character 'x' (U+0078) in 'xé': expected one of the 10"),
        ("sample --min_length 5 --max_length 4", "--min_length must be at most max_length 4, got 5"),
        ("sample --max_length -1", "--max_length must be at least 1, got -1"),
        ("top --prefix sobe --max_length 3", "--prefix must be no longer than max_length 3, got 'sobe'"),
        ("sample --pattern [", "--pattern must have a ] for its ["),
        ("sample --pattern b? --min_length 3", "--pattern matches no word"),
        ("sample --format xml", "--format"),
        ("sample -n=--", "argument --num_words: expected one argument, got --"),
        ("sample --prefix=--", "--prefix"),
        ("sample -n x", "invalid int value: 'x'"),
        ("sample -n -1", "--num_words must be at least 1, got -1"),
        ("sample -n 0", "--num_words must be at least 1, got 0"),
        ("sample --output missing/words.txt", "--output must be a file in an existing folder, got missing"),
        ("sample --seed 99999999999999999999", "--seed must be a number of at most 64 bits"),
        ("sample --max_length 1000000000000", "--max_length must be at most 10000"),
        ("sample --unknown 3", "unrecognized arguments: --unknown 3\n"),
        ("sample --temprature=0.5", "unrecognized arguments: --temprature=0.5; did you mean --temperature?"),
        ("top --max_lenght 5", "unrecognized arguments: --max_lenght 5; did you mean --max_length?"),
        ("score emma --expain", "unrecognized arguments: --expain; did you mean --explain?"),
        ("top -n 0", "--num_words must be at least 1, got 0"),
        ("score", "expected either WORDS or --file FILE, got neither"),
        ("score a --file b", "expected either WORDS or --file FILE, got both"),
        ("score a --num_samples 0", "--num_samples must be at least 1, got 0"),
        ("other", "expected a command, one of fit, validate, "),
        ("sampel", "did you mean sample?"),
    ],
)  # fmt: skip
def test_wrong_values_end_in_one_line(
    wavenet: Run, arguments: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ckpt = {} if arguments.split()[0] in COMMANDS else {"ckpt": None}
    out, err, code = wavenet(*arguments.split(), **ckpt)
    assert (out, code) == ("", 2)
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", ["sample --novel_to missing.txt", "score --file missing.txt"])
def test_missing_files_end_in_one_line(
    wavenet: Run, arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out, err, code = wavenet(*arguments.split())
    assert (out, code, err.count("\n")) == ("", 1, 1)
    assert "missing.txt" in err


def test_missing_and_wrong_files(wavenet: Run, tmp_path: Path) -> None:
    _, err, code = wavenet("sample", ckpt=tmp_path / "missing.ckpt")
    assert (err, code) == (f"error: checkpoint not found: {tmp_path}/missing.ckpt\n", 1)
    latin = tmp_path / "latin.txt"
    latin.write_bytes("zoë\n".encode("latin-1"))
    _, err, code = wavenet("score", "--file", latin)
    assert code == 1
    assert "is not UTF-8" in err


def test_novel_without_the_corpus(wavenet: Run, tiny_run: Path, words_file: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(tiny_run / "checkpoints" / "best.ckpt")
    checkpoint["WordsDataModule"]["path"] = str(tmp_path / "gone.txt")
    torch.save(checkpoint, tmp_path / "x.ckpt")
    _, err, code = wavenet("sample", "--novel", ckpt=tmp_path / "x.ckpt")
    assert code == 2
    assert err.startswith("error: --novel needs the training corpus: words not found")
    out, err, code = wavenet("sample", "--novel", "--novel_to", words_file, ckpt=tmp_path / "x.ckpt")
    assert code == 0
    assert err.startswith(f"note: only the words of {words_file} are left out; words not found")
    assert not set(out.split()) & set(WORDS)
    _, err, code = wavenet("sample", "--novelty", ckpt=tmp_path / "x.ckpt")
    assert code == 2
    assert err.startswith("error: --novelty needs the training corpus")


def test_a_closed_pipe_ends_quietly(tiny_run: Path) -> None:
    command = f"{sys.executable} -m wavenet sample -n 20000 --ckpt_path {tiny_run}/checkpoints/best.ckpt | head -n 1"
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


def test_a_pipe_is_scored_and_written_to(wavenet: Run, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["timeout", "60", "cat", str(pipe)], stdout=subprocess.PIPE, text=True) as reader:
        assert wavenet("sample", "-n", 3, "--output", pipe)[2] == 0
        assert reader.stdout is not None
        assert len(reader.stdout.read().split()) == 3
    with subprocess.Popen(["sh", "-c", f"printf 'sobe\\nava\\n' > {pipe}"]):
        assert len(json.loads(wavenet("score", "--file", pipe, "--format", "json")[0])) == 2


def test_output_keeps_links_and_modes(wavenet: Run, tmp_path: Path) -> None:
    target, link = tmp_path / "words.txt", tmp_path / "link.txt"
    target.write_text("before\n", encoding="utf-8")
    target.chmod(0o600)
    link.symlink_to(target)
    assert wavenet("sample", "-n", 4, "--output", link)[2] == 0
    assert link.is_symlink()
    assert len(target.read_text(encoding="utf-8").split()) == 4
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_file_without_words(wavenet: Run, tmp_path: Path) -> None:
    path = tmp_path / "blank.txt"
    path.write_text("\n \n", encoding="utf-8")
    assert wavenet("score", "--file", path)[1:] == (f"error: {path} holds no words: expected one word per line\n", 1)


def test_a_checkpoint_with_weights_that_are_no_numbers(wavenet: Run, tiny_run: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(tiny_run / "checkpoints" / "best.ckpt")
    broken = {**checkpoint, "WordsDataModule": {**checkpoint["WordsDataModule"], "path": 5}}
    torch.save(broken, tmp_path / "path.ckpt")
    next(iter(checkpoint["state_dict"].values()))[0] = float("nan")
    torch.save(checkpoint, tmp_path / "nan.ckpt")
    for name in ("path.ckpt", "nan.ckpt"):
        out, err, code = wavenet("sample", "--novel", ckpt=tmp_path / name)
        assert (out, code, err.count("\n")) == ("", 1, 1)
        assert "does not hold a whole model" in err
