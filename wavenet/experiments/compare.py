"""``wavenet compare``: configurations trained with several seeds, or finished runs, in one report."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from wavenet.errors import UsageError
from wavenet.experiments.comparison import Comparison, Published, compare, same_words
from wavenet.experiments.curves import curve_of
from wavenet.experiments.figures import draw_curves, draw_losses, draw_story
from wavenet.experiments.finished import BEST, FinishedRun, find_runs, grouped
from wavenet.experiments.how import HowToRun, locked
from wavenet.experiments.report import as_json, markdown, write_report
from wavenet.experiments.schedule import Schedule, say
from wavenet.experiments.trainings import Training, planned, seed_of
from wavenet.runs import RUNS

Groups = Mapping[str, list[FinishedRun]]


def compare_configs(
    configs: Sequence[Path],
    how: HowToRun,
    command: str,
    weights: str = BEST,
    published: Mapping[str, Published] | None = None,
) -> Comparison:
    """Trains configurations, as far as they are not trained yet, and reports what comes of it.

    Args:
        configs: Configurations of ``wavenet fit``; their names are the rows' labels.
        how: How they are trained, and where.
        command: What was typed, for the report.
        weights: Which weights are measured, ``best`` or ``last``.
        published: What the lecture says of the rows.

    Raises:
        UsageError, ArgumentError, OSError, ValueError: Something is wrong with the configurations, found before
            anything runs; or a training failed, found when all have ended and what there is has been reported.
    """
    schedule = Schedule(trainings_of(configs, how), how.jobs, how.threads, weights)
    with locked(how.folder):
        schedule.run()
        groups: dict[str, list[FinishedRun]] = {}
        for training in schedule.trainings:
            if training in schedule.results:
                groups.setdefault(training.label, []).append(schedule.results[training])
        schedule.check_any()
        comparison = report(how.name, groups, how.folder, command, weights, published)
    schedule.check_all()
    return comparison


def compare_runs(paths: Sequence[Path], name: str, command: str) -> Comparison:
    """Reports on finished runs.

    Args:
        paths: Folders of runs, or folders with runs in them, of which all that are finished count.
        name: Of the report: it goes to ``runs/<name>``.
        command: What was typed, for the report.

    Raises:
        OSError, ValueError: A folder holds no finished run, or they were trained on different words.
    """
    runs = {run.folder.path.resolve(): run for path in paths for run in find_runs(path)}
    with locked(RUNS / name):
        return report(name, grouped(list(runs.values())), RUNS / name, command)


def labels_of(configs: Sequence[Path]) -> dict[str, Path]:
    """The configurations by their names.

    Raises:
        UsageError: Two have the same name.
    """
    label, count = Counter(path.stem for path in configs).most_common(1)[0]
    if count > 1:
        both = " and ".join(str(path) for path in configs if path.stem == label)
        raise UsageError(f"{both} have the same name, {label}: expected configurations whose names differ")
    return {path.stem: path for path in configs}


def trainings_of(configs: Sequence[Path], how: HowToRun) -> list[Training]:
    """The trainings of some configurations, all of which can begin; the first seeds of all come first.

    Raises:
        UsageError, ArgumentError: A configuration or an option is wrong.
        OSError, ValueError: A file cannot be read, or the words differ.
    """
    found: list[list[Training]] = []
    for label, path in labels_of(configs).items():
        try:
            plan, options = planned([f"--config={path}", *how.options], how.max_steps)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error
        first = seed_of(plan)
        seeds = range(first, first + how.seeds)
        found.append([Training(label, seed, options, plan, how.folder / label / f"seed_{seed}") for seed in seeds])
    same_words({str(path): group[0].plan.corpus for path, group in zip(configs, found, strict=True)})
    if (note := found[0][0].plan.corpus.note) is not None:
        say(f"note: {note}")
    return [training for of_a_seed in zip(*found, strict=True) for training in of_a_seed]


def report(
    title: str,
    groups: Groups,
    folder: Path,
    command: str,
    weights: str = BEST,
    published: Mapping[str, Published] | None = None,
) -> Comparison:
    """Compares finished runs and writes ``report.md``, ``report.json`` and the figures into a folder."""
    comparison = compare(groups, weights, published)
    figures = [("losses.png", "losses, with 95 % intervals over words")]
    draw_losses(comparison, folder / "losses.png")
    curves = [curve for label, runs in groups.items() if (curve := curve_of(label, runs)) is not None]
    if curves:
        draw_curves(curves, folder / "curves.png")
        figures.append(("curves.png", "training losses, in block means, and learning rates"))
    if any(row.published for row in comparison.rows):
        draw_story(comparison.rows, folder / "story.png")
        figures.insert(0, ("story.png", "validation losses, published and measured"))
    text = markdown(title, comparison, command, figures)
    write_report(folder, text, as_json(comparison, command))
    return comparison
