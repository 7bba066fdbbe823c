"""The figure of a search: how its best loss fell, and which settings mattered."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from optuna.trial import FrozenTrial, TrialState

from wavenet.experiments.style import GREY, colour, figure


def draw_search(trials: Sequence[FrozenTrial], importances: Mapping[str, float], path: Path) -> None:
    """The losses of trials in their order, with the best so far, beside how much each setting mattered.

    Args:
        trials: All that have ended.
        importances: The share of each setting, the largest first; none if too few trials are complete.
        path: Where the figure goes.
    """
    with figure(path, 12, 3.2 + 0.25 * max(4, len(importances))) as drawn:
        left, right = drawn.subplots(1, 2, width_ratios=(3, 2))
        draw_history(left, trials)
        shown = list(importances.items())[::-1]
        right.barh([short(name) for name, _ in shown], [share for _, share in shown], color=colour(0))
        right.set_xlabel("importance (PED-ANOVA)")
        right.grid(visible=False, axis="y")
        if not shown:
            right.set_yticks([])
            right.text(0.5, 0.5, "too few complete trials", ha="center", transform=right.transAxes)


def draw_history(axes: Axes, trials: Sequence[FrozenTrial]) -> None:
    """The losses of trials, the last validation of those that were pruned, and a mark for those that failed."""
    complete = {trial.number: trial.values[0] for trial in trials if trial.state == TrialState.COMPLETE}
    pruned = {
        trial.number: trial.intermediate_values[max(trial.intermediate_values)]
        for trial in trials
        if trial.state == TrialState.PRUNED and trial.intermediate_values
    }
    failed = [trial.number for trial in trials if trial.state == TrialState.FAIL]
    axes.plot(list(complete), list(complete.values()), "o", color=colour(0), label="complete")
    if pruned:
        axes.plot(list(pruned), list(pruned.values()), "x", color=colour(1), label="pruned, at its last validation")
    top: Any = {"transform": axes.get_xaxis_transform(), "clip_on": False}
    if failed:
        axes.plot(failed, [1.0] * len(failed), "v", color=colour(3), label="failed", **top)
    if complete:
        best = list(accumulate(complete.values(), min))
        axes.step([*complete, trials[-1].number], [*best, best[-1]], where="post", color=GREY, label="best so far")
        # what was pruned early would leave no room for what is good
        low, high = min(complete.values()), max(complete.values())
        axes.set_ylim(low - 0.1 * (high - low) - 1e-3, high + 0.5 * (high - low) + 1e-3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trial")
    axes.set_ylabel("validation loss (nats per character)")
    axes.legend(fontsize=9)


def short(name: str) -> str:
    """A setting without its groups.

    Examples:
        >>> short("model.optimization.learning_rate")
        'learning_rate'
    """
    return name.rpartition(".")[2]
