"""What the commands of experiments share: their options, those that they pass on to ``fit``, and their last lines."""

from __future__ import annotations

import shlex
import sys
from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from wavenet.commands.main import Parser, parser_of, program
from wavenet.errors import UsageError
from wavenet.runs import RUNS, command

if TYPE_CHECKING:
    from wavenet.experiments.comparison import Comparison
    from wavenet.experiments.how import HowToRun

WIDTH = 130  # characters of the table where no terminal says how many there are
NOT_TO_GIVE = ("trainer.default_root_dir", "data.predict_path")  # options that say where things lie


def parse(name: str, add_arguments: Callable[[Parser], None], example: str, arguments: list[str]) -> Namespace:
    """The options of a command that trains; ``passed_on`` holds those of ``fit``, which have dots in their names."""
    own, passed_on = divided(arguments)
    about = "Options of fit with a dot in their names, such as --data.path FILE, are passed on to all trainings."
    parser = parser_of(name, f"{about} Example: {example}")
    add_arguments(parser)
    parser.add_argument("--max_steps", type=int, help="end trainings after so many steps that would take more")
    parser.add_argument("--jobs", type=int, help="trainings at once, which share the cores (default: 1)")
    parser.add_argument("--threads", type=int, help="threads of each training; by default a share of the cores")
    options = parser.parse_args(own)
    options.passed_on = passed_on
    return options


def divided(arguments: list[str]) -> tuple[list[str], list[str]]:
    """A command's own arguments, and the options of ``fit`` among them.

    Raises:
        UsageError: An option of ``fit`` has no value, or says where things lie.

    Examples:
        >>> divided(["a.yaml", "--data.path", "b.txt", "--seeds", "2", "--trainer.max_epochs=3"])
        (['a.yaml', '--seeds', '2'], ['--data.path=b.txt', '--trainer.max_epochs=3'])
    """
    own, passed_on = [], []
    rest = iter(arguments)
    for argument in rest:
        name, equals, _ = argument.partition("=")
        if not (name.startswith("--") and "." in name):
            own.append(argument)
            continue
        if name.removeprefix("--") in NOT_TO_GIVE:
            raise UsageError(f"{name} cannot be given here: the runs lie in the folder of the experiment, see --name")
        value = None if equals else next(rest, None)
        if not equals and value is None:
            raise UsageError(f"argument {name}: expected one argument, got none")
        passed_on.append(argument if equals else f"{name}={value}")
    return own, passed_on


def how_to_run(options: Namespace) -> HowToRun:
    """How the trainings are run."""
    from wavenet.experiments.how import HowToRun

    return HowToRun(
        name=options.name,
        seeds=options.seeds,
        max_steps=options.max_steps,
        jobs=1 if options.jobs is None else options.jobs,
        threads=options.threads,
        options=options.passed_on,
    )


def options_of_trainings(options: Namespace) -> list[str]:
    """The options that were given and say how trainings are run."""
    names = ("seeds", "max_steps", "jobs", "threads")
    passed_on = [argument.partition("=")[0] for argument in options.passed_on]
    return [*(f"--{name}" for name in names if getattr(options, name) is not None), *passed_on]


def typed() -> str:
    """The command as it was typed."""
    return shlex.join([*program().split(), *sys.argv[1:]])


def show(comparison: Comparison, name: str, more: dict[str, str] | None = None) -> None:
    """The table of a comparison, and the last lines."""
    from wavenet.experiments.report import alone, cells_of, columns_of

    table = Table(*columns_of(comparison))
    for cells in cells_of(comparison, alone):
        table.add_row(*cells)
    console().print(table)
    last_lines(name, more)


def last_lines(name: str, more: dict[str, str] | None = None) -> None:
    """Where the report lies, and what to type next."""
    from wavenet.experiments.report import MARKDOWN

    lines = {"Report": str(RUNS / name / MARKDOWN), **(more or {})}
    lines["Watch"] = f"{command('tensorboard')} --logdir {shlex.quote(str(RUNS / name))}"
    for what, line in lines.items():
        console().print(f"{what + ':':8}{line}", soft_wrap=True)


def console() -> Console:
    """Stdout."""
    return Console(markup=False, emoji=False, highlight=False, width=None if sys.stdout.isatty() else WIDTH)
