"""The options of the ``wavenet`` command. Needs neither torch nor Lightning."""

import sys
from typing import NoReturn

from jsonargparse import ArgumentParser

from wavenet import __version__
from wavenet.commands.output import FORMATS


class Parser(ArgumentParser):
    """A parser whose errors are one line on stderr and exit code 2."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        fail(message)


def fail(message: object) -> NoReturn:
    """Ends with one line on stderr and exit code 2."""
    if isinstance(message, OSError) and message.filename is not None:
        message = f"{message.filename}: {message.strerror}"
    sys.stderr.write(f"error: {' '.join(str(message).split())}\n")
    sys.exit(2)


def make_parser() -> Parser:
    """The commands and their options."""
    parser = Parser(
        prog="wavenet", version=__version__, description="Makes, ranks and scores words with a trained model."
    )
    commands = parser.add_subcommands(required=True)
    for name, add_arguments, summary, example in (
        ("sample", add_sample, "draw words from the model", "wavenet sample --prefix ma --unique --novel"),
        ("top", add_top, "list the most probable words, exactly and in order", "wavenet top --pattern 'jo*n' -n 5"),
        ("score", add_score, "say how probable words are", "wavenet score emma xqzt --explain"),
    ):
        command = Parser(description=f"{summary[0].upper()}{summary[1:]}. Example: {example}")
        add_arguments(command)
        command.add_argument(
            "--ckpt_path", metavar="FILE", help="the checkpoint; by default the newest best.ckpt under runs/"
        )
        command.add_argument("--format", choices=FORMATS, default="text", help="of the output")
        command.add_argument("--output", metavar="FILE", help="where to write; by default to stdout")
        commands.add_subcommand(name, command, help=summary)
    return parser


def add_wanted(parser: Parser) -> None:
    """Options that say which words are wanted."""
    parser.add_argument("--prefix", default="", help="how words begin")
    parser.add_argument("--pattern", default="*", help="what words look like: jo*n, ?a?a, [aeiou]*, [!aeiou]*")
    parser.add_argument("--min_length", type=int, default=1, help="fewest characters")
    parser.add_argument("--max_length", type=int, default=64, help="most characters")
    parser.add_argument("--novel", action="store_true", help="no word of the training corpus")
    parser.add_argument("--novel_to", metavar="FILE", help="no word of this file")


def add_sample(parser: Parser) -> None:
    """Options of ``wavenet sample``."""
    parser.add_argument("--num_words", "-n", type=int, default=20, help="how many words")
    parser.add_argument("--temperature", type=float, default=1.0, help="below 1 for likelier, above 1 for odder words")
    parser.add_argument("--top_k", type=int, help="only the k likeliest characters at each step")
    parser.add_argument("--top_p", type=float, help="only the likeliest characters that add up to p at each step")
    add_wanted(parser)
    parser.add_argument("--unique", action="store_true", help="no word twice: drawn without replacement")
    parser.add_argument("--max_draws", type=int, default=1_000_000, help="draws after which a search ends")
    parser.add_argument("--seed", type=int, help="the same seed gives the same words")
    parser.add_argument("--log_prob", action="store_true", help="add log-probabilities (nats, at temperature 1)")
    parser.add_argument("--novelty", action="store_true", help="say whether a word is in train, validation or test")


def add_top(parser: Parser) -> None:
    """Options of ``wavenet top``."""
    parser.add_argument("--num_words", "-n", type=int, default=10, help="how many words")
    add_wanted(parser)
    parser.add_argument(
        "--max_beginnings", type=int, default=300_000, help="beginnings of words after which the search is cut short"
    )


def add_score(parser: Parser) -> None:
    """Options of ``wavenet score``."""
    parser.add_argument("words", nargs="*", metavar="WORDS", help="the words")
    parser.add_argument("--file", metavar="FILE", help="a file with one word per line, read as it is scored")
    parser.add_argument("--explain", action="store_true", help="each character's probability and likelier ones")
    parser.add_argument("--num_samples", type=int, default=10_000, help="draws that ranks are estimated from")
    parser.add_argument("--seed", type=int, default=0, help="seed of these draws")
