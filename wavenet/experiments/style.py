"""How figures look: they have no background, and colours that can be read on white and on black."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from wavenet.runs import whole_file

COLOURS = ("#3b82d0", "#d9730d", "#2e9e5b", "#d9484a", "#9467bd", "#17939e", "#c2569b", "#94850a")
GREY = "#7a7f85"
STYLE: Any = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "svg.fonttype": "none",
    **{name: GREY for name in ("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor")},
    **{name: GREY for name in ("xtick.color", "ytick.color", "grid.color", "legend.labelcolor")},
}


@contextmanager
def figure(path: Path, width: float, height: float, style: Any = None) -> Iterator[Figure]:
    """A figure of so many inches to draw, which is written to a PNG file, whole or not at all.

    Args:
        path: The file.
        width, height: Inches.
        style: Settings of matplotlib beyond those that all figures have.
    """
    with matplotlib.rc_context(STYLE | (style or {})):
        drawn = Figure(figsize=(width, height), layout="constrained")
        yield drawn
        with whole_file(path, "wb") as file:
            drawn.savefig(file, format="png", dpi=140, transparent=True)


def colour(index: int) -> str:
    """The colour of a row."""
    return COLOURS[index % len(COLOURS)]
