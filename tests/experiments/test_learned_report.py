import json
import re
import shutil
from base64 import b64decode
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from tests.conftest import run_cli
from wavenet import extras
from wavenet.experiments import glyphs, learned_report
from wavenet.experiments.glyphs import Glyphs
from wavenet.experiments.learned import Mean, Point
from wavenet.experiments.learned_figures import draw_characters, draw_embedding, draw_frequencies
from wavenet.experiments.page import Section, Table, Words, page
from wavenet.inference.checkpoint import read_checkpoint

FIGURES = {"calibration", "characters", "embedding", "frequencies", "kinds", "lengths", "positions"}
ODD = [
    "a",
    "$",
    "_",
    "^",
    "\\",
    "{",
    " ",
    "\u0301",
    "\u200d",
    "中",
    "ع",
    "א",
    "😀",
    "\U000f0000",
    "\ue000",
    "\u0e31",
    None,
]


@pytest.fixture(scope="module")
def reported(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report on a copy of the tiny run."""
    run = tmp_path_factory.mktemp("reported") / "tiny" / "version_0"
    shutil.copytree(tiny_run, run)
    assert run_cli("report", run, "--num_samples", "200", "--seed", "1") == 0
    return run / "report"


def test_the_numbers_are_those_of_the_run(reported: Path) -> None:
    report = json.loads((reported / "report.json").read_text(encoding="utf-8"))
    metrics = json.loads((reported.parent / "metrics.json").read_text(encoding="utf-8"))
    assert report["losses"]["val"]["mean"] == pytest.approx(metrics["val/loss"], abs=1e-5)
    assert report["parameters"] == metrics["parameters"]
    assert report["num_words"] == {"train": 48, "val": 6, "test": 6}
    assert report["num_samples"] == 200
    tokens = sum(mean["tokens"] for mean in report["by_position"])
    assert tokens == sum(mean["tokens"] for mean in report["by_character"]) == metrics["corpus"]["examples"]["val"]
    assert [row["character"] for row in report["by_character"]] == [None, *"abeilmorsv"]
    for name in ("samples", "validation words"):
        assert sum(report["shares"][name].values()) == pytest.approx(1)
    for name in ("samples", "train"):
        assert sum(report["lengths"][name]) == pytest.approx(1)
        assert sum(row[name] for row in report["characters"]["shares"]) == pytest.approx(1)


class Sources(HTMLParser):
    """What a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.alternatives = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href")]
        self.alternatives += sum(name == "alt" and bool(value) for name, value in attrs)
        assert tag not in ("script", "link", "iframe")


def test_the_page_needs_no_other_file(reported: Path) -> None:
    text = (reported / "index.html").read_text(encoding="utf-8")
    sources = Sources()
    sources.feed(text)
    assert len(sources.found) == sources.alternatives == len(FIGURES)
    pictures = {b64decode(source.removeprefix("data:image/png;base64,")) for source in sources.found}
    assert pictures == {(reported / f"{name}.png").read_bytes() for name in FIGURES}
    assert "url(" not in text
    assert "@import" not in text
    assert {path.name for path in reported.iterdir()} == {f"{name}.png" for name in FIGURES} | {
        "index.html",
        "report.json",
    }


def test_what_words_hold_is_text_in_the_page() -> None:
    odd = "<script>&\"'"
    text = page(odd, odd, [Section(odd, [Table([odd], [[odd]]), Words([odd])], odd)])
    assert "<script>" not in text
    assert text.count("&lt;script&gt;&amp;&quot;&#x27;") == 8  # the title twice


def test_characters_that_no_font_has_stand_as_code_points(tmp_path: Path) -> None:
    found = Glyphs(ODD)
    assert found.label("\U000f0000") == "U+F0000"
    assert found.label("\u200d") == "U+200D"
    assert found.label(None) == "end"
    assert found.label("$") == r"\$"
    assert found.label("\u0301") == "◌\u0301"
    means = [(character, Mean(1.0, 3)) for character in ODD]
    draw_characters(means, tmp_path / "a.png")  # a glyph that is missing would be a warning, which fails here
    draw_frequencies([0.1] * len(ODD), [0.2] * len(ODD), ODD, tmp_path / "b.png")
    draw_embedding([Point(float(i), 0.0) for i in range(len(ODD))], (0.5, 0.2), ODD, tmp_path / "c.png")


def test_other_fonts_are_used_for_what_the_first_one_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    have = {"1": {"a", "b"}, "2": {"b"}, "3": {"中"}}
    monkeypatch.setattr(glyphs, "fonts", lambda: [("DejaVu Sans", "1"), ("Second", "2"), ("Third", "3")])
    monkeypatch.setattr(glyphs, "glyphs_of", lambda path: frozenset(have[path]))
    found = Glyphs(["a", "b", "中", "文"])
    assert found.families == ["DejaVu Sans", "Third"]
    assert [found.label(character) for character in ("a", "中", "文")] == ["a", "中", "U+6587"]


def test_a_checkpoint_outside_a_run_is_reported_beside_it(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    content = read_checkpoint(tiny_run / "checkpoints" / "best.ckpt")
    torch.save(content, "mine.ckpt")
    assert run_cli("report", "mine.ckpt", "--num_samples", "20") == 0
    captured = capsys.readouterr()
    assert re.search(r"^Page: +mine_report/index\.html$", captured.out, flags=re.MULTILINE)
    assert captured.err == ""
    content["WordsDataModule"]["path"] = "gone.txt"
    torch.save(content, "lost.ckpt")
    assert run_cli("report", "lost.ckpt") == 1
    assert re.fullmatch("error: words not found: .*\n", capsys.readouterr().err)
    assert not Path("lost_report").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nothing"], 2, "nothing not found: expected a checkpoint, the folder of a run"),
        (["RUN", "--num_samples", "0"], 2, "--num_samples must be at least 1, got 0"),
        (["RUN", "--num_samples", "1000001"], 2, "--num_samples must be at most 1000000, got 1000001"),
        (["RUN", "--output", "a.txt"], 2, "--output must be a folder, got the file a.txt"),
        ([], 1, "no checkpoint under runs/"),
    ],
)
def test_wrong_calls_end_in_one_line(
    here: Path, tiny_run: Path, cli_error: Callable[..., str], arguments: list[str], code: int, message: str
) -> None:
    (here / "a.txt").write_text("emma\n", encoding="utf-8")
    given = [str(tiny_run / "checkpoints" / "best.ckpt") if argument == "RUN" else argument for argument in arguments]
    assert message in cli_error("report", *given, code=code)


def test_the_page_says_which_part_of_a_large_corpus_was_looked_at(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learned_report, "MEASURED", 3)
    assert run_cli("report", tiny_run, "--num_samples", "20", "--output", tmp_path / "new" / "report") == 0
    assert "At most 3 validation words are measured" in (tmp_path / "new/report/index.html").read_text(encoding="utf-8")


def test_without_matplotlib_it_says_what_to_install(
    tiny_run: Path, monkeypatch: pytest.MonkeyPatch, cli_error: Callable[..., str]
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    assert "pip install '.[report]'" in cli_error("report", tiny_run / "checkpoints" / "best.ckpt")
