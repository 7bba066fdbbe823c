"""The figures of reports of trainings: losses, curves, and the lecture's story."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from wavenet.experiments.comparison import Comparison, Row
from wavenet.experiments.curves import Curve
from wavenet.experiments.evaluation import TEST, UNSEEN, VAL
from wavenet.experiments.style import COLOURS, GREY, colour, figure

SET_NAMES = {VAL: "validation", UNSEEN: "validation, not in train", TEST: "test"}
ALIKE = 3.0  # how many times as many steps one training may have as another, for both to be drawn over steps


def draw_curves(curves: Sequence[Curve], path: Path) -> None:
    """The training curves of all rows in one figure, with the learning rates below."""
    last = [curve.loss.steps[-1] for curve in curves]
    over_steps = max(last) <= ALIKE * min(last)
    with figure(path, 9, 6.5) as drawn:
        above, below = drawn.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        for index, curve in enumerate(curves):
            scale = 1.0 if over_steps else 100 / curve.loss.steps[-1]
            style = {"color": colour(index), "linestyle": "-" if index < len(COLOURS) else "--"}
            above.plot(curve.loss.steps * scale, curve.loss.values, label=curve.label, **style)
            below.plot(curve.learning_rate.steps * scale, curve.learning_rate.values, **style)
        above.set_ylabel("training loss (nats per character)")
        above.set_ylim(*focus([value for curve in curves for value in curve.loss.values]))
        above.legend()
        below.set_yscale("log")
        below.set_ylabel("learning rate")
        below.set_xlabel("step" if over_steps else "share of the training (%)")


def focus(values: Sequence[float]) -> tuple[float, float]:
    """The part of an axis in which curves differ: the beginnings, where all fall steeply, may leave it."""
    ordered = sorted(values)
    low, high = ordered[0], ordered[int(0.97 * (len(ordered) - 1))]
    margin = 0.05 * max(high - low, 1e-3)
    return low - margin, high + margin


def draw_losses(comparison: Comparison, path: Path) -> None:
    """The losses of all rows with their intervals over words, and the n-gram's."""
    rows = comparison.rows
    names = list(comparison.num_words)
    with figure(path, 9, 1.8 + 0.55 * len(rows)) as drawn:
        axes: Axes = drawn.subplots()
        for index, name in enumerate(names):
            losses = [row.losses[name] for row in rows]
            places = [place + 0.2 * (index - (len(names) - 1) / 2) for place in range(len(rows))]
            spread = [[loss.mean - loss.low for loss in losses], [loss.high - loss.mean for loss in losses]]
            means = [loss.mean for loss in losses]
            axes.errorbar(means, places, xerr=spread, fmt="o", color=colour(index), capsize=3, label=SET_NAMES[name])
        ngram = comparison.ngram[VAL].mean
        axes.axvline(ngram, color=GREY, linestyle=":", label=f"{comparison.ngram_order}-gram, validation")
        axes.set_yticks(range(len(rows)), [row.label for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel("loss (nats per character), with 95 % intervals over words")
        drawn.legend(loc="outside lower center", ncols=4, fontsize=9)


def draw_story(rows: Sequence[Row], path: Path) -> None:
    """The lecture's way from its first loss to its best: validation losses, measured beside published.

    Args:
        rows: In the lecture's order; those of which it says nothing are left out.
        path: Where the figure goes.
    """
    told = [(row.published, row) for row in rows if row.published is not None]
    published = [said.val for said, _ in told]
    measured = [row.losses[VAL] for _, row in told]
    places = range(len(told))
    with figure(path, 10, 6) as drawn:
        axes: Axes = drawn.subplots()
        axes.plot(places, published, "o--", color=colour(1), label="published")
        spread = [[loss.mean - loss.low for loss in measured], [loss.high - loss.mean for loss in measured]]
        means = [loss.mean for loss in measured]
        label = "measured, with 95 % intervals over words"
        axes.errorbar(places, means, yerr=spread, fmt="o-", color=colour(0), capsize=4, label=label)
        for place, said, loss in zip(places, published, measured, strict=True):
            near: Any = {"textcoords": "offset points", "ha": "center"}
            above, below = max(said, loss.high), min(said, loss.low)
            axes.annotate(f"{loss.mean:.3f}", (place, above), (0, 8), color=colour(0), va="bottom", **near)
            axes.annotate(f"{said:.3f}", (place, below), (0, -8), color=colour(1), va="top", **near)
        axes.margins(y=0.12)
        axes.grid(visible=False, axis="x")
        labels = [f"{said.what}\n{row.parameters:,} parameters" for said, row in told]
        axes.set_xticks(places, labels, fontsize=9)
        axes.set_xlim(-0.45, len(told) - 0.55)
        axes.set_ylabel("validation loss (nats per character)")
        axes.set_title(f"from {published[0]:.3f} to {published[-1]:.3f}; measured after {rows[0].steps:,} steps")
        axes.legend()
