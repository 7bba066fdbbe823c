"""Writing results: as text, JSON or CSV, to stdout or whole to a file, with progress on stderr."""

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from wavenet.errors import ArgumentError
from wavenet.runs import whole_file

FORMATS = ("text", "json", "csv")

Row = dict[str, Any]


def write(
    rows: Iterable[Row],
    form: str,
    path: str | None,
    columns: list[str],
    total: int | None,
    text: Callable[[Row], str],
    table: Callable[[Row], Iterable[Row]] = lambda row: [row],
) -> int:
    """Writes rows as they come.

    Args:
        rows: A dictionary for each word.
        form: ``text``, a line for each row; ``json``, an array; or ``csv``.
        path: A file, which appears once it is complete; ``None`` for stdout.
        columns: The keys of the rows, for ``csv``.
        total: How many rows are expected, for the progress bar, if that is known.
        text: The line of a row.
        table: The rows that stand for a row in ``csv``.

    Returns:
        The number of rows.

    Raises:
        ArgumentError: The file is a folder, or in none.
        OSError: The file cannot be written.

    Examples:
        >>> write([{"word": "emma"}, {"word": "ava"}], "json", None, ["word"], total=2, text=str)
        [
        {"word": "emma"},
        {"word": "ava"}
        ]
        2
    """
    count = 0

    def counted() -> Iterator[Row]:
        nonlocal count
        with progress(total, hidden=path is None and sys.stdout.isatty()) as advance:
            for row in rows:
                yield row
                count += 1
                advance()

    with opened(path) as stream:
        stream.writelines(lines(counted(), form, columns, text, table))
    return count


def lines(
    rows: Iterable[Row],
    form: str,
    columns: list[str],
    text: Callable[[Row], str],
    table: Callable[[Row], Iterable[Row]],
) -> Iterator[str]:
    """What is written for the rows, piece by piece."""
    if form == "json":
        yield "["
        for number, row in enumerate(rows):
            yield ("," if number else "") + "\n" + json.dumps(row, ensure_ascii=False, allow_nan=False)
        yield "\n]\n"
    elif form == "csv":
        writer = csv.writer(SimpleNamespace(write=str), lineterminator="\n")  # its writerow returns the line
        yield str(writer.writerow(columns))
        for row in rows:
            for line in table(row):
                yield str(writer.writerow([line.get(column) for column in columns]))
    else:
        for row in rows:
            yield text(row) + "\n"


def target_of(path: str) -> Path:
    """Where a file is to be written that takes its place when it is whole.

    Raises:
        ArgumentError: It is a folder, or in none; or a device, or a pipe, which a file would replace.
    """
    target = Path(path).resolve()
    if not target.parent.is_dir() or (target.exists() and not target.is_file()):
        raise ArgumentError("output", f"must be a file in an existing folder, got {path}")
    return target


@contextmanager
def opened(path: str | None) -> Iterator[IO[str]]:
    """Stdout, or a file that takes its place when all is written, and leaves nothing if that fails."""
    if path is None:
        try:
            yield sys.stdout
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OSError(f"cannot write to stdout: {error.strerror}") from error
        return
    special = Path(path)
    if special.exists() and not special.is_file() and not special.is_dir():  # a pipe or a device
        with open(special, "w", encoding="utf-8", newline="") as stream:
            yield stream
        return
    with whole_file(target_of(path)) as whole:
        yield whole


@contextmanager
def progress(total: int | None, hidden: bool) -> Iterator[Callable[[], None]]:
    """A bar on stderr, if that is a terminal; what it gives is called once a word."""
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("words"), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=hidden or not console.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)
