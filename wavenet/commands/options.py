"""What commands that use a trained model share: the checkpoint, which words are wanted, where the output goes.

Torch is imported once the arguments are parsed, so that help and errors come at once.
"""

from __future__ import annotations

import sys
import unicodedata
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavenet.commands.main import Parser, parser_of
from wavenet.commands.output import FORMATS, Row
from wavenet.corpus.reading import read_corpus
from wavenet.corpus.splitting import known_words, novelty
from wavenet.corpus.words import Known
from wavenet.errors import ArgumentError, UsageError, did_you_mean
from wavenet.runs import RUNS, find_checkpoint, newest_checkpoint

if TYPE_CHECKING:
    from wavenet.inference.model import Label, TrainedModel


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
    parser = parser_of(name, f"Example: {example}")
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


def add_label(parser: Parser, more: str = "") -> None:
    """The option that says what kind of words is meant, for a model that was trained with labels."""
    parser.add_argument(
        "--label", metavar="LABEL", help=f"what kind of words: a label, or a mixture such as A=0.7,B=0.3{more}"
    )


def label_of(model: TrainedModel, text: str | None) -> Label:
    """The label, or the mixture of labels, that an option names.

    Raises:
        ArgumentError: It names none, or one that the model does not know.
    """
    known = [] if model.labels is None else model.labels.names
    label: Label = None if text is None else unicodedata.normalize("NFC", text)  # as corpora are read
    if isinstance(label, str) and label not in known and "=" in label:
        label = mixture_of(label)
    model.network_for(label)  # which knows what is wrong
    return label


def mixture_of(text: str) -> dict[str, float]:
    """Labels with how much there is of each.

    Raises:
        ArgumentError: It is no mixture.

    Examples:
        >>> mixture_of("Finnish=0.7, New Zealand=0.3")
        {'Finnish': 0.7, 'New Zealand': 0.3}
    """
    mixture: dict[str, float] = {}
    for part in text.split(","):
        name, equals, weight = part.rpartition("=")
        try:
            share = float(weight)
        except ValueError:
            equals = ""
        if not equals or name.strip() in mixture:
            raise ArgumentError("label", f"must be a label, or labels with weights such as A=0.7,B=0.3, got {text!r}")
        mixture[name.strip()] = share
    return mixture


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


def checkpoint_named(what: str) -> Path:
    """The checkpoint that an argument means: one itself, that of a run's folder, or of an experiment's newest run.

    Raises:
        UsageError: It is none of these.
        FileNotFoundError: The folder holds no checkpoint.
    """
    path = Path(what)
    if path.exists():
        return find_checkpoint(path)
    names = sorted(path.name for path in RUNS.glob("*") if path.is_dir())
    if what not in names:
        raise UsageError(
            f"{what} not found: expected a checkpoint, the folder of a run, or one of the experiments in {RUNS}/ "
            f"({', '.join(names) or 'there are none'}){did_you_mean(what, names)}"
        )
    return newest_checkpoint(RUNS / what)


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
