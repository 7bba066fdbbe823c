"""The report of a search, and its best trial as a configuration."""

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState

from wavenet.experiments.comparison import Comparison, compare
from wavenet.experiments.curves import curve_of
from wavenet.experiments.figures import draw_curves, draw_losses
from wavenet.experiments.finished import BEST
from wavenet.experiments.report import as_json, markdown, table, write_report
from wavenet.experiments.search_figures import draw_search
from wavenet.experiments.sweep import Search, best_of, loss_of
from wavenet.experiments.trainings import flattened, nested, option, planned, seed_of
from wavenet.experiments.trial import PROBLEM, TEST_LOSS, runs_of
from wavenet.runs import command as program
from wavenet.runs import whole_file

NUM_BEST = 5  # trials in the table
BEST_CONFIG = "best.yaml"


def report_search(search: Search, typed: str) -> Comparison | None:
    """Writes the report, the figures and ``best.yaml`` of a search.

    Returns:
        The comparison of the best trials with the one in which nothing is changed, of those that were trained here;
        ``None`` if none was.

    Raises:
        ValueError: No trial is complete.
    """
    trials, folder = search.begun(), search.how.folder
    best = best_of(trials)
    if best is None:
        problems = [
            f"trial {trial.number}: {trial.user_attrs[PROBLEM]}" for trial in trials if PROBLEM in trial.user_attrs
        ]
        raise ValueError(f"no trial is complete{''.join(f'; {problem}' for problem in problems[-1:])}")
    write_best(search, best)
    importances = importances_of(search.study)
    draw_search([trial for trial in trials if trial.state.is_finished()], importances, folder / "search.png")
    sections = [search_section(search, trials, best, importances)]
    figures = [("search.png", "validation losses of the trials, and the importance of the settings")]
    groups = {label: runs for label, number in shown(search, trials).items() if (runs := runs_of(folder, number))}
    content = {"trials": [plain(trial) for trial in trials], "importances": importances}
    if not groups:
        text = "\n\n".join([f"# {search.how.name}", f"`{typed}`", *sections, f"![{figures[0][1]}]({figures[0][0]})"])
        write_report(folder, f"{text}\n", content)
        return None
    comparison = compare(groups, BEST)
    draw_losses(comparison, folder / "losses.png")
    figures.append(("losses.png", "losses, with 95 % intervals over words"))
    curves = [curve for label, runs in groups.items() if (curve := curve_of(label, runs)) is not None]
    if curves:
        draw_curves(curves, folder / "curves.png")
        figures.append(("curves.png", "training losses, in block means, and learning rates"))
    text = markdown(search.how.name, comparison, typed, figures, sections)
    write_report(folder, text, as_json(comparison, typed) | content)
    return comparison


def shown(search: Search, trials: Sequence[FrozenTrial]) -> dict[str, int]:
    """The trials of the table by their labels: the best, and the one in which nothing is changed."""
    complete = sorted((trial for trial in trials if trial.state == TrialState.COMPLETE), key=loss_of)
    unchanged = search.space.unchanged()
    labels = {}
    for place, trial in enumerate(complete):
        if trial.params == unchanged:
            labels[f"trial {trial.number}, nothing changed"] = trial.number
        elif place < NUM_BEST:
            labels[f"trial {trial.number}"] = trial.number
    return labels


def importances_of(study: optuna.Study) -> dict[str, float]:
    """The share of each setting in how losses differ, the largest first; none where too few trials say so."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # that the trials are too few
        try:
            return optuna.importance.get_param_importances(study)
        except (ValueError, RuntimeError, UserWarning):
            return {}


def search_section(
    search: Search, trials: Sequence[FrozenTrial], best: FrozenTrial, importances: dict[str, float]
) -> str:
    """What was searched and found, in Markdown."""
    states = Counter(trial.state.name.lower() for trial in trials)
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    now = dict(flattened(search.space.base.configuration))
    rows = [
        [f"`{name}`", limits(values), shortly(now[name]), shortly(best.params[name]), share(importances.get(name))]
        for name, values in search.space.ranges.items()
    ]
    parts = [
        "## Search",
        f"{len(trials)} trials: {counts}. The best is trial {best.number}, with a validation loss of "
        f"{loss_of(best):.4f}; `{BEST_CONFIG}` is its configuration. It was chosen for that loss, among many: the loss "
        f"on the test words, which chose nothing, is the one to expect on other words.",
        table(["setting", "searched", "without search", "best", "importance"], rows),
    ]
    if failed := problems(trials):
        parts.append("\n".join(["Failed:", "", *(f"- {line}" for line in failed)]))
    return "\n\n".join(parts)


def shortly(value: Any) -> str:
    """A value of a setting, to four digits.

    Examples:
        >>> shortly(0.40095328), shortly("gelu"), shortly(128)
        ('0.401', 'gelu', '128')
    """
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def share(importance: float | None) -> str:
    """An importance, if it is known."""
    return "" if importance is None else f"{importance:.2f}"


def problems(trials: Sequence[FrozenTrial]) -> list[str]:
    """Why trials failed."""
    failed = [trial for trial in trials if trial.state == TrialState.FAIL]
    return [f"trial {trial.number}: {trial.user_attrs.get(PROBLEM, 'ended from outside')}" for trial in failed]


def limits(values: Any) -> str:
    """A range in words."""
    if hasattr(values, "choices"):
        return ", ".join(map(str, values.choices))
    logarithmic = ", logarithmic" if values.log else ""
    steps = f", in steps of {values.step}" if values.step not in (None, 1) else ""
    return f"{values.low} to {values.high}{logarithmic}{steps}"


def plain(trial: FrozenTrial) -> dict[str, Any]:
    """A trial as plain data."""
    value = loss_of(trial) if trial.state == TrialState.COMPLETE else None
    notes = {name: trial.user_attrs.get(name) for name in (TEST_LOSS, PROBLEM)}
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "val/loss": value,
        **notes,
        "settings": trial.params,
    }


def write_best(search: Search, best: FrozenTrial) -> Path:
    """Writes the best trial as a configuration, with its command and its loss."""
    path, how = search.how.folder / BEST_CONFIG, search.how
    options = [*search.space.options, *(option(name, value) for name, value in best.params.items())]
    plan, options = planned(options, how.max_steps)
    given = [one.removeprefix("--").partition("=")[0] for one in options]
    resolved = dict(flattened(plan.configuration))
    settings = {name: resolved[name] for name in dict.fromkeys(given) if name in resolved}
    seeds = f"over {how.seeds} seeds from {seed_of(plan)} on" if how.seeds > 1 else f"with seed {seed_of(plan)}"
    content = {"experiment": f"{how.name}-best", "seed_everything": seed_of(plan), **nested(settings)}
    with whole_file(path) as file:
        file.write(f"# {program('wavenet')} fit --config {path}\n")
        file.write(
            f"# Trial {best.number} of the search {how.name}; expect val {loss_of(best):.4f}, "
            f"test {best.user_attrs[TEST_LOSS]:.4f} (nats), {seeds}.\n"
        )
        yaml.safe_dump(content, file, sort_keys=False, allow_unicode=True)
    return path
