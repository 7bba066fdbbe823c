"""``report.md`` and ``report.json``: a comparison in words and in numbers."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wavenet.experiments.comparison import Comparison, Difference, Loss, Over, Row
from wavenet.experiments.evaluation import TEST, UNSEEN, VAL
from wavenet.experiments.finished import BEST
from wavenet.runs import whole_file

MARKDOWN, JSON = "report.md", "report.json"
HEADINGS = {VAL: "val", UNSEEN: "val, not in train", TEST: "test"}
WEIGHTS = {BEST: "with the best validation loss", "last": "after the last step"}

Figures = Sequence[tuple[str, str]]


def over(number: Over, digits: int = 4) -> str:
    """A number over seeds: its mean ± its standard deviation.

    Examples:
        >>> over(Over(1.98767, 0.00123)), over(Over(5.25, None), 1)
        ('1.9877 ± 0.0012', '5.2')
    """
    deviation = "" if number.deviation is None else f" ± {number.deviation:.{digits}f}"
    return f"{number.mean:.{digits}f}{deviation}"


def with_interval(loss: Loss | None) -> str:
    """A loss and its interval over words."""
    return "" if loss is None else f"{over(loss)} ({loss.low:.3f} to {loss.high:.3f})"


def alone(loss: Loss | None) -> str:
    """A loss without its interval."""
    return "" if loss is None else over(loss)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def columns_of(comparison: Comparison) -> list[str]:
    """The columns of the table of rows."""
    published = ["train, published", "val, published"] if any(row.published for row in comparison.rows) else []
    return ["what", "parameters", "seeds", "steps", "seconds", "train", *published, *HEADINGS.values()]


def cells_of(comparison: Comparison, shown: Callable[[Loss | None], str] = with_interval) -> list[list[str]]:
    """The cells of the table of rows, the n-gram's row last, with losses as a function shows them."""
    shows_published = any(row.published for row in comparison.rows)

    def cells(row: Row) -> list[str]:
        said = ["", ""] if row.published is None else [f"{row.published.train:.3f}", f"{row.published.val:.3f}"]
        said = said if shows_published else []
        counts = [f"{row.parameters:,}", str(len(row.runs)), f"{row.steps:,}", over(row.seconds, 1)]
        return [row.label, *counts, over(row.train), *said, *(shown(row.losses.get(name)) for name in HEADINGS)]

    ngram = [shown(comparison.ngram.get(name)) for name in HEADINGS]
    empty = [""] * (len(columns_of(comparison)) - 1 - len(ngram))
    return [*map(cells, comparison.rows), [f"{comparison.ngram_order}-gram, to compare", *empty, *ngram]]


def verdict(difference: Difference) -> str:
    """What a difference means."""
    if difference.better is None:
        return "no clear difference"
    return f"{difference.better} is better" + ("" if difference.by_chance is not None else " (one seed each)")


def differences_of(comparison: Comparison) -> str:
    """The table of the differences of all pairs."""

    def cells(difference: Difference) -> list[str]:
        chance = "" if difference.by_chance is None else f"{difference.by_chance:.4f}"
        losses = [difference.losses.get(name) for name in HEADINGS]
        shown = ["" if loss is None else f"{loss.mean:+.4f} ({loss.low:+.4f} to {loss.high:+.4f})" for loss in losses]
        return [f"{difference.first} - {difference.second}", *shown, chance, verdict(difference)]

    columns = ["difference of losses", *HEADINGS.values(), "by seeds alone", "meaning"]
    return table(columns, [cells(difference) for difference in comparison.differences])


def explanation(comparison: Comparison) -> str:
    """How the numbers are to be read."""
    counts, weights = comparison.num_words, WEIGHTS[comparison.weights]
    leaked = counts[VAL] - counts.get(UNSEEN, 0)
    return (
        f"Losses are nats per character, of the weights {weights}: means ± standard deviations over seeds. In "
        f"brackets stands the 95 % interval over words, by the bootstrap: where the loss of all words of the kind may "
        f"lie. Seeds vary training alone: all rows have the same split (split_seed {comparison.corpus.split_seed}). "
        f'Of {counts[VAL]:,} validation words {leaked:,} also stand in train; the column "{HEADINGS[UNSEEN]}" leaves '
        f"them out. There are {counts[TEST]:,} test words."
    )


DIFFERENCES = (
    "Below zero the first is better. The intervals are over words, which are drawn alike for both. A row is called "
    "better if the interval of validation leaves out zero and the difference is larger than that which seeds alone "
    "make in 95 of 100 cases. Each pair is judged by itself: of twenty pairs that do not differ one may seem to."
)


def markdown(title: str, comparison: Comparison, command: str, figures: Figures, more: Sequence[str] = ()) -> str:
    """The report in Markdown.

    Args:
        title: Its heading.
        comparison: What it is about.
        command: What makes it again.
        figures: Files and what they show.
        more: Further parts, which follow the table.
    """
    parts = [f"# {title}", f"`{command}`", table(columns_of(comparison), cells_of(comparison)), explanation(comparison)]
    parts += more
    if comparison.differences:
        parts += ["## Differences", differences_of(comparison), DIFFERENCES]
    parts += [f"![{what}]({file})" for file, what in figures]
    runs = [f"- {row.label}, seed {run.seed}: `{run.folder.path}`" for row in comparison.rows for run in row.runs]
    return "\n\n".join([*parts, "## Runs", "\n".join(runs)]) + "\n"


def as_json(comparison: Comparison, command: str) -> dict[str, Any]:
    """The report as plain data, with the ``metrics.json`` of every run."""

    def row_of(row: Row) -> dict[str, Any]:
        runs = [{"seed": run.seed, "path": str(run.folder.path), "metrics": run.metrics} for run in row.runs]
        losses = {name: asdict(loss) for name, loss in row.losses.items()}
        published = row.published and row.published._asdict()
        plain = {"label": row.label, "parameters": row.parameters, "steps": row.steps, "published": published}
        return {**plain, "seconds": asdict(row.seconds), "train": asdict(row.train), **losses, "runs": runs}

    def difference_of(difference: Difference) -> dict[str, Any]:
        losses = {name: asdict(loss) for name, loss in difference.losses.items()}
        for loss in losses.values():
            del loss["deviation"]
        pair = {"first": difference.first, "second": difference.second}
        return {**pair, **losses, "by_chance": difference.by_chance, "better": difference.better}

    return {
        "command": command,
        "weights": comparison.weights,
        "corpus": asdict(comparison.corpus),
        "num_words": comparison.num_words,
        "ngram": {"order": comparison.ngram_order, **{name: asdict(loss) for name, loss in comparison.ngram.items()}},
        "rows": [row_of(row) for row in comparison.rows],
        "differences": [difference_of(difference) for difference in comparison.differences],
    }


def write_report(folder: Path, text: str, content: dict[str, Any]) -> Path:
    """Writes both files and returns the one to read."""
    with whole_file(folder / JSON) as file:
        json.dump(content, file, indent=2, ensure_ascii=False, allow_nan=False)
    with whole_file(folder / MARKDOWN) as file:
        file.write(text)
    return folder / MARKDOWN
