"""The frame of all commands: which there are, how they are called, and how errors end them. It imports no torch."""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from io import TextIOWrapper
from typing import NamedTuple, NoReturn, cast

import wavenet
from wavenet.errors import ArgumentError, UsageError, did_you_mean


class Command(NamedTuple):
    """A command: the module of :mod:`wavenet.commands` that has it, and what it does."""

    module: str
    summary: str


COMMANDS = {
    "fit": Command("training", "train a network on a list of words"),
    "validate": Command("training", "measure a checkpoint's loss on the validation words"),
    "test": Command("training", "measure a checkpoint's loss on the test words"),
    "predict": Command("training", "score the test words, or those of --data.predict_path"),
    "sample": Command("sample", "draw words from a trained model"),
    "top": Command("top", "list the most probable words, exactly and in order"),
    "score": Command("score", "say how probable words are"),
}


class Parser(argparse.ArgumentParser):
    """A parser whose errors are exceptions, which the frame shows."""

    def parse_args(self, arguments: list[str]) -> argparse.Namespace:  # type: ignore[override]
        """The options; those that there are not are named, with the ones that may be meant."""
        options, unknown = self.parse_known_args(arguments)
        if unknown:
            raise UsageError(unknown_options(unknown, self._option_string_actions))
        return options

    def error(self, message: str) -> NoReturn:
        """Raises a UsageError."""
        raise UsageError(message)


def unknown_options(unknown: Sequence[str], known: Iterable[str]) -> str:
    """What is wrong with arguments that no option takes."""
    hint = did_you_mean(unknown[0].split("=")[0], known)
    return f"unrecognized arguments: {' '.join(unknown)}{hint}"


def program() -> str:
    """What the program was called as."""
    name = os.path.basename(sys.argv[0])
    return {"train.py": "python train.py", "__main__.py": "python -m wavenet"}.get(name, "wavenet")


def overview() -> str:
    """What ``--help`` shows."""
    lines = [f"  {name:<10}{command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            f"usage: {program()} COMMAND [options]",
            "",
            "Learns how words are spelled, and makes, ranks and scores more of them.",
            "",
            *lines,
            "",
            f"{program()} COMMAND --help shows the options of a command; --version shows the version.",
        ]
    )


def fail(message: object, code: int) -> NoReturn:
    """Ends with one line on stderr."""
    if isinstance(message, OSError) and message.filename is not None:
        message = f"{message.filename}: {message.strerror}"
    sys.stderr.write(f"error: {' '.join(str(message).split())}\n")
    sys.exit(code)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Ends the program with one line for what a user can cause.

    The exit code is 2 if the command was called wrongly, 1 if something went wrong while it ran, and 130 after Ctrl-C.
    With ``WAVENET_TRACEBACK`` in the environment an error ends in its traceback.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe, such as head, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        if os.environ.get("WAVENET_TRACEBACK"):
            raise
        if isinstance(error, ArgumentError):
            fail(f"--{error}", 2)
        fail(error, 2 if isinstance(error, UsageError) else 1)
    except Exception as error:  # what nobody has foreseen: still one line, and nothing half-written
        if os.environ.get("WAVENET_TRACEBACK"):
            raise
        fail(f"{type(error).__name__}: {error} (WAVENET_TRACEBACK=1 in the environment shows where)", 1)


def main() -> None:
    """Runs the command line."""
    for stream in (sys.stdout, sys.stderr):
        cast(TextIOWrapper, stream).reconfigure(errors="backslashreplace")  # a narrow terminal must not end a run
    with one_line_errors():
        name, *rest = sys.argv[1:] or [""]
        if name in ("-h", "--help"):
            print(overview())
        elif name == "--version":
            print(f"wavenet {wavenet.__version__}")
        elif name in COMMANDS:
            import_module(f"wavenet.commands.{COMMANDS[name].module}").main(name, rest)
        else:
            hint = did_you_mean(name, COMMANDS)
            raise UsageError(f"expected a command, one of {', '.join(COMMANDS)}, got {name or 'none'}{hint}")
