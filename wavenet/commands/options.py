"""What commands that use a trained model share: the checkpoint, which words are wanted, where the output goes.

Torch is imported once the arguments are parsed, so that help and errors come at once.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavenet.commands.main import COMMANDS, Parser, program
from wavenet.commands.output import FORMATS, Row
from wavenet.corpus.reading import read_corpus
from wavenet.corpus.splitting import known_words, novelty
from wavenet.corpus.words import Known
from wavenet.errors import ArgumentError, did_you_mean
from wavenet.runs import RUNS, find_checkpoint, newest_checkpoint

if TYPE_CHECKING:
    from wavenet.inference.model import TrainedModel


def add_output(parser: Parser) -> None:
    """Options that say where results go, and how they look."""
    parser.add_argument("--format", choices=FORMATS, default="text", help="of the output (default: text)")
    parser.add_argument("--output", metavar="FILE", help="where to write; by default to stdout")


def parse(
    name: str,
    add_arguments: Callable[[Parser], None],
    example: str,
    arguments: list[str],
    add_output: Callable[[Parser], None] = add_output,
) -> Namespace:
    """The options of a command that uses a trained model."""
    summary = COMMANDS[name].summary
    parser = Parser(
        prog=f"{program()} {name}",
        description=f"{summary[0].upper()}{summary[1:]}. Example: {example}",
        allow_abbrev=False,
    )
    add_arguments(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--ckpt_path", metavar="PATH", help="a checkpoint, or a folder with runs, of which the newest")
    which.add_argument("--experiment", metavar="NAME", help="the newest run of runs/NAME; by default of all runs")
    parser.add_argument("--threads", type=int, help="threads to run on; by default as many as pay")
    add_output(parser)
    return parser.parse_args(arguments)


def add_wanted(parser: Parser) -> None:
    """Options that say which words are wanted."""
    parser.add_argument("--prefix", default="", help="how words begin")
    parser.add_argument("--pattern", default="*", help="what words look like: jo*n, ?a?a, [aeiou]*, [!aeiou]*")
    parser.add_argument("--min_length", type=int, default=1, help="fewest characters (default: 1)")
    parser.add_argument(
        "--max_length", type=int, help="most characters (default: a quarter more than the longest training word)"
    )
    parser.add_argument("--novel", action="store_true", help="no word of the training corpus")
    parser.add_argument("--novel_to", metavar="FILE", help="no word of this file")


def model_of(options: Namespace) -> TrainedModel:
    """The model of the checkpoint that was asked for, or of the newest run; says on stderr which it is."""
    return load_model(checkpoint_of(options), options.threads)


def checkpoint_of(options: Namespace) -> Path:
    """The checkpoint that was asked for, or that of the newest run; says on stderr which it is."""
    given = None if options.ckpt_path is None else Path(options.ckpt_path)
    if given is not None:
        found = find_checkpoint(given)
    else:
        found = newest_checkpoint(RUNS if options.experiment is None else experiment_folder(options.experiment))
    if found != given:
        sys.stderr.write(f"using {found}\n")
    return found


def load_model(checkpoint: Path, threads: int | None) -> TrainedModel:
    """The model of a checkpoint, to run on so many threads, or on as many as pay."""
    from wavenet.inference.checkpoint import load
    from wavenet.network.threads import set_threads

    model = load(checkpoint)
    set_threads(model.network, threads)
    return model


def experiment_folder(name: str) -> Path:
    """The folder of an experiment's runs.

    Raises:
        ArgumentError: There is no such experiment.
    """
    names = sorted(path.name for path in RUNS.glob("*") if path.is_dir())
    if name not in names:
        expected = f"one of the experiments in {RUNS}/ ({', '.join(names) or 'there are none'})"
        raise ArgumentError("experiment", f"must be {expected}, got {name}{did_you_mean(name, names)}")
    return RUNS / name


def wanted(model: TrainedModel, options: Namespace) -> dict[str, Any]:
    """Which words are wanted, with the words that must not come."""
    without = Known() if options.novel_to is None else Known(read_corpus(Path(options.novel_to)).words)
    if options.novel:
        try:
            without = Known(without, known_words(model.split))
        except (OSError, ValueError) as error:
            if options.novel_to is None:
                raise ArgumentError(
                    "novel", f"needs the training corpus: {error}; or give its words as --novel_to FILE"
                ) from error
            sys.stderr.write(f"note: only the words of {options.novel_to} are left out; {error}\n")
    names = ("prefix", "pattern", "min_length", "max_length")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    return {**given, "without": without}


def novelty_of(model: TrainedModel) -> Callable[[str], str]:
    """What says whether a word is in the model's training, validation or test words."""
    try:
        return novelty(model.split)
    except (OSError, ValueError) as error:
        raise ArgumentError("novelty", f"needs the training corpus: {error}") from error


def tabbed(columns: list[str]) -> Callable[[Row], str]:
    """What makes a line of a row: the values of the columns, with tabs between them."""
    return lambda row: "\t".join(str(row[column]) for column in columns)
