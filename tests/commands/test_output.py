import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from wavenet.commands.output import Row, target_of, write

ROWS: list[Row] = [{"word": 'a"b', "log_prob": -1.5}, {"word": "zoë,", "log_prob": -2.0}]


def written(form: str, capsys: pytest.CaptureFixture[str], rows: list[Row] = ROWS) -> str:
    count = write(iter(rows), form, None, ["word", "log_prob"], len(rows), text=lambda row: f"<{row['word']}>")
    assert count == len(rows)
    return capsys.readouterr().out


def test_every_form(capsys: pytest.CaptureFixture[str]) -> None:
    assert written("text", capsys) == '<a"b>\n<zoë,>\n'
    assert json.loads(written("json", capsys)) == ROWS
    table = list(csv.DictReader(io.StringIO(written("csv", capsys))))
    assert [{**row, "log_prob": float(row["log_prob"])} for row in table] == ROWS


def test_no_rows(capsys: pytest.CaptureFixture[str]) -> None:
    assert written("text", capsys, []) == ""
    assert json.loads(written("json", capsys, [])) == []
    assert written("csv", capsys, []) == "word,log_prob\n"


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("before\n", encoding="utf-8")

    def failing() -> Iterator[Row]:
        yield ROWS[0]
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        write(failing(), "text", str(path), ["word"], 2, text=str)
    assert path.read_text(encoding="utf-8") == "before\n"
    write(ROWS, "csv", str(path), ["word"], 2, text=str)
    assert path.read_text(encoding="utf-8") == 'word\n"a""b"\n"zoë,"\n'
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ValueError, match="output must be a file in an existing folder"):
        write(ROWS, "csv", str(tmp_path), ["word"], 2, text=str)


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ValueError, match="output must be a file in an existing folder"):
        target_of(str(pipe))


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no folder in which nobody can write")
def test_a_folder_in_which_nobody_can_write() -> None:
    with pytest.raises(OSError, match=r"'/proc/words\.txt'$"):
        write(ROWS, "text", "/proc/words.txt", ["word"], 2, text=str)
