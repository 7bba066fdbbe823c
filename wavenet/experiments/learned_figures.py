"""The figures of what a network has learned."""

from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from wavenet.experiments.glyphs import END, Glyphs
from wavenet.experiments.learned import KINDS, Calibration, Mean, Point
from wavenet.experiments.style import GREY, colour, figure

NUM_BARS, NUM_POINTS = 32, 120  # of characters, the most frequent ones
FEWEST = 20  # tokens of which a mean is shown
KIND_NAMES = ("in train", "in validation or test", "one edit from train", "farther from train")  # of KINDS


def fonts_of(glyphs: Glyphs) -> dict[str, Any]:
    """Settings that draw labels in the fonts that have them."""
    return {"font.family": glyphs.families}


def draw_embedding(
    points: Sequence[Point], shares: tuple[float, float], characters: Sequence[str | None], path: Path
) -> None:
    """The embedded characters in two dimensions.

    Args:
        points: Of the characters.
        shares: Of the variance, along both axes.
        characters: As many, ``None`` being the boundary.
        path: Where the figure goes.
    """
    glyphs = Glyphs(characters)
    with figure(path, 7, 6, fonts_of(glyphs)) as drawn:
        axes: Axes = drawn.subplots()
        axes.scatter([point.x for point in points], [point.y for point in points], s=0)
        for point, character in zip(points, characters, strict=True):
            hue, label = (GREY, "start/end") if character is None else (colour(0), glyphs.label(character))
            size = 14 if len(points) <= 60 else 10
            size = size if len(label) <= 2 else 8
            axes.annotate(label, (point.x, point.y), ha="center", va="center", color=hue, fontsize=size)
        axes.margins(0.08)
        axes.set_xlabel(f"first component ({shares[0]:.0%} of the variance)")
        axes.set_ylabel(f"second component ({shares[1]:.0%})")


def draw_positions(means: Sequence[Mean], path: Path) -> None:
    """The loss by position in the word, where there are tokens enough to speak of."""
    shown = [(place, mean) for place, mean in enumerate(means, start=1) if mean.tokens >= FEWEST]
    shown = shown or list(enumerate(means, start=1))
    with figure(path, 7.5, 3.6) as drawn:
        axes: Axes = drawn.subplots()
        axes.plot([place for place, _ in shown], [mean.loss for _, mean in shown], "o-", color=colour(0))
        axes.set_ylim(bottom=0)
        axes.locator_params(axis="x", integer=True)
        axes.set_xlabel("position in the word")
        axes.set_ylabel("loss (nats)")


def draw_characters(means: Sequence[tuple[str | None, Mean]], path: Path) -> None:
    """The loss of each character where it comes, the hardest first."""
    shown = sorted(means, key=lambda row: -row[1].loss)
    glyphs = Glyphs([character for character, _ in shown])
    with figure(path, 7.5, 3.6, fonts_of(glyphs)) as drawn:
        axes: Axes = drawn.subplots()
        hues = [GREY if character is None else colour(0) for character, _ in shown]
        axes.bar(range(len(shown)), [mean.loss for _, mean in shown], color=hues)
        label_bars(axes, glyphs, [character for character, _ in shown])
        axes.set_ylabel("loss (nats)")


def label_bars(axes: Axes, glyphs: Glyphs, characters: Sequence[str | None]) -> None:
    """Writes characters below the bars of a chart; code points upright, since they are long."""
    labels = [glyphs.label(character) for character in characters]
    axes.set_xticks(range(len(labels)), labels)
    for tick in axes.get_xticklabels():
        if len(tick.get_text()) > len(END):
            tick.set_rotation(90)
    axes.set_xlim(-0.7, len(labels) - 0.3)
    axes.grid(visible=False, axis="x")


def draw_calibration(likeliest: Calibration, every: Calibration, path: Path) -> None:
    """Predicted against observed probabilities; on the diagonal they are true."""
    with figure(path, 7.5, 4.4) as drawn:
        left, right = drawn.subplots(1, 2)
        draw_bins(left, likeliest, 0.0)
        left.set_title(f"the likeliest character (ECE {likeliest.error:.4f})", fontsize=11)
        lowest = min(bin.observed or bin.predicted for bin in every.bins) / 2
        right.set_xscale("log")
        right.set_yscale("log")
        draw_bins(right, every, max(lowest, 1e-6))
        right.set_title(f"every character (ECE {every.error:.4f})", fontsize=11)


def draw_bins(axes: Axes, calibration: Calibration, lowest: float) -> None:
    """The bins of a calibration, with the 95 % of what true probabilities would give."""
    bins = calibration.bins
    axes.plot([lowest, 1], [lowest, 1], color=GREY, linestyle=":", label="true")
    spread = [1.96 * sqrt(bin.predicted * (1 - bin.predicted) / bin.size) for bin in bins]
    below = [max(lowest, bin.predicted - half) for bin, half in zip(bins, spread, strict=True)]
    above = [bin.predicted + half for bin, half in zip(bins, spread, strict=True)]
    predicted = [bin.predicted for bin in bins]
    axes.fill_between(predicted, below, above, color=GREY, alpha=0.3, linewidth=0, label="95 % by chance")
    axes.plot(predicted, [bin.observed for bin in bins], "o-", color=colour(0), label="this network")
    axes.set_xlabel("predicted probability")
    axes.set_ylabel("observed share")
    axes.legend()


def draw_lengths(samples: Sequence[float], corpus: Sequence[float], path: Path) -> None:
    """The shares of the lengths of samples and training words."""
    with figure(path, 7.5, 3.6) as drawn:
        axes: Axes = drawn.subplots()
        for index, (name, shares) in enumerate({"samples": samples, "training words": corpus}.items()):
            last = max(index for index, share in enumerate(shares) if share > 0)
            axes.plot(range(last + 1), shares[: last + 1], "os"[index] + "-", color=colour(index), label=name)
        axes.locator_params(axis="x", integer=True)
        axes.set_xlabel("characters of a word")
        axes.set_ylabel("share of words")
        axes.legend()


def draw_frequencies(
    samples: Sequence[float], corpus: Sequence[float], characters: Sequence[str | None], path: Path
) -> None:
    """The shares of characters in samples and training words, side by side."""
    glyphs = Glyphs(characters)
    with figure(path, 7.5, 3.6, fonts_of(glyphs)) as drawn:
        axes: Axes = drawn.subplots()
        for index, (name, shares) in enumerate({"samples": samples, "training words": corpus}.items()):
            places = [place + 0.4 * (index - 0.5) for place in range(len(shares))]
            axes.bar(places, shares, width=0.4, color=colour(index), label=name)
        label_bars(axes, glyphs, characters)
        axes.set_ylabel("share of characters")
        axes.legend()


def draw_kinds(rows: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """The shares of words by where they stand, a bar for each set of words."""
    with figure(path, 7.5, 1.2 + 0.6 * len(rows)) as drawn:
        axes: Axes = drawn.subplots()
        begins = [0.0] * len(rows)
        for index, (kind, name) in enumerate(zip(KINDS, KIND_NAMES, strict=True)):
            widths = [shares[kind] for shares in rows.values()]
            bars = axes.barh(list(rows), widths, left=begins, color=colour(index), label=name)
            labels = [f"{width:.0%}" if width >= 0.04 else "" for width in widths]
            axes.bar_label(bars, labels, label_type="center", color="white", fontsize=10)
            begins = [begin + width for begin, width in zip(begins, widths, strict=True)]
        axes.set_xlim(0, 1)
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.set_xticks([])
        axes.spines[:].set_visible(False)
        drawn.legend(loc="outside lower center", ncols=4, fontsize=10)
