"""The frame of all commands: which there are, how they are called, and how errors end them. It imports no torch."""

import argparse
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from io import TextIOWrapper
from types import FrameType
from typing import Any, NamedTuple, NoReturn, cast

import wavenet
from wavenet.commands.streams import give_up_unwritable, open_closed_streams, say
from wavenet.corpus.parsing import CONTROL
from wavenet.errors import SIGNALS, ArgumentError, Interrupted, UsageError, did_you_mean


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
    "guess": Command("guess", "say which label words have, by a model that was trained with labels"),
    "ensemble": Command("ensemble", "make one model of several, whose probabilities are the mean of theirs"),
    "report": Command("report", "show what a trained model has learned, in figures on one page"),
    "export": Command("export", "write a trained model as a file for other programs"),
    "import": Command("importing", "make a checkpoint of the weights of the lecture's notebook"),
    "compare": Command("compare", "train configurations with several seeds, or take finished runs, and report on them"),
    "lecture": Command("compare", "train the lecture's configurations, and report beside what it published"),
    "sweep": Command("sweep", "search for the best settings in the ranges of a file"),
    "doctor": Command("doctor", "say what is installed here, and whether it works"),
}

SPIN_COUNT = "500"
"""How often a thread of OpenMP looks whether it may go on before it sleeps (``benchmarks/busy.py``)."""

LONGEST_ERROR = 2_000
"""Characters of an error; the middle of longer ones is left out."""

RESERVE = 4_000_000
"""Bytes that are given back when memory is exhausted, so that there is some to say so with."""


def interrupt(number: int, frame: FrameType | None) -> None:
    """What the first signal does: it ends the program by an exception.

    While a module is imported it ends it at once: nothing is half-done yet, and what imports modules, some of it in C,
    may swallow an exception or print it.
    """
    if signal.getsignal(number) is not interrupt:  # Lightning, which calls this too, stops at the next step
        return
    handle_signals(end_at_once)
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            end_at_once(number, frame)
        frame = frame.f_back
    raise Interrupted(number)


def end_at_once(number: int, frame: FrameType | None) -> NoReturn:
    """What a second signal does, or one that comes too early."""
    with suppress(OSError):
        os.write(2, b"interrupted\n")
    os._exit(128 + number)


def handle_signals(handler: Callable[[int, FrameType | None], object]) -> None:
    """Says what Ctrl-C and its like do from now on, unless they are ignored, as in the background of a shell script."""
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


@contextmanager
def interruptible() -> Iterator[None]:
    """Ends the program with one line after Ctrl-C, SIGTERM or SIGHUP; the exit code is 130, 143 or 129."""
    code: Any = 0
    try:
        handle_signals(interrupt)
        yield
    except SystemExit as stop:
        code = stop.code or 0
        raise
    except Interrupted as stop:
        handle_signals(lambda *_: None)
        say("interrupted")
        code = stop.exit_code
        handle_signals(lambda *_: os._exit(code))
        with suppress(OSError):
            sys.stdout.flush()  # a pipe may be full, or closed
        os._exit(code)  # during the interpreter's own end, a second signal would have its default effect
    finally:
        handle_signals(lambda *_: os._exit(code))


class Parser(argparse.ArgumentParser):
    """A parser whose errors are exceptions, which the frame shows."""

    def parse_args(self, arguments: list[str]) -> argparse.Namespace:  # type: ignore[override]
        """The options; those that there are not are named, with the ones that may be meant."""
        options, unknown = self.parse_known_args(arguments)
        if unknown:
            raise UsageError(unknown_options(unknown, self._option_string_actions))
        for option, action in self._option_string_actions.items():
            if isinstance(getattr(options, action.dest, None), list):  # what older versions of argparse make of --
                raise UsageError(f"argument {option}: expected one argument, got --")
        return options

    def error(self, message: str) -> NoReturn:
        """Raises a UsageError."""
        raise UsageError(message)


def parser_of(name: str, text: str) -> Parser:
    """The parser of a command, described by its summary and the sentences of ``text``."""
    summary = COMMANDS[name].summary
    description = f"{summary[0].upper()}{summary[1:]}. {text}"
    return Parser(prog=f"{program()} {name}", description=description, allow_abbrev=False)


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
    # what was typed or read could garble a terminal, or fill it
    line = CONTROL.sub(lambda control: f"\\x{ord(control[0]):02x}", " ".join(str(message).split()))
    if len(line) > LONGEST_ERROR:
        line = f"{line[: LONGEST_ERROR // 2]} ... {line[-LONGEST_ERROR // 2 :]}"
    say(f"error: {line}")
    give_up_unwritable()
    sys.exit(code)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Ends the program with one line for what a user can cause.

    The exit code is 2 if the command was called wrongly, 1 if something went wrong while it ran.
    With ``WAVENET_TRACEBACK`` in the environment an error ends in its traceback.
    """
    reserve = bytearray(RESERVE)
    try:
        yield
        sys.stdout.flush()
        return
    except BrokenPipeError:  # the reader of a pipe, such as head, has had enough
        give_up_unwritable()
        sys.exit(1)
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        if os.environ.get("WAVENET_TRACEBACK"):
            raise
        if isinstance(error, ArgumentError):
            fail(f"--{error}", 2)
        fail(error, 2 if isinstance(error, UsageError) else 1)
    except MemoryError:
        reserve.clear()  # what the error holds on to is free once this block is left
    except Exception as error:  # what nobody has foreseen: still one line, and nothing half-written
        if os.environ.get("WAVENET_TRACEBACK"):
            raise
        fail(f"{type(error).__name__}: {error} (WAVENET_TRACEBACK=1 in the environment shows where)", 1)
    fail("there is not enough memory: expected a smaller model, corpus or batch", 1)


def calm_threads() -> None:
    """Keeps OpenMP's threads from spinning for long where another program needs the core.

    The environment that the user has set comes first, and torch, once it is imported, has read it.
    """
    if "OMP_WAIT_POLICY" not in os.environ and "torch" not in sys.modules:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)


@contextmanager
def no_garbage() -> Iterator[None]:
    """Does not look for garbage meanwhile: modules that are imported stay, and looking through them takes a while."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def main() -> None:
    """Runs the command line."""
    open_closed_streams()
    with interruptible(), one_line_errors():
        for stream in (sys.stdout, sys.stderr):
            cast(TextIOWrapper, stream).reconfigure(errors="backslashreplace")  # a narrow terminal must not end a run
        name, *rest = sys.argv[1:] or [""]
        if name in ("-h", "--help"):
            print(overview())
        elif name == "--version":
            print(f"wavenet {wavenet.__version__}")
        elif name in COMMANDS:
            calm_threads()
            with no_garbage():
                module = import_module(f"wavenet.commands.{COMMANDS[name].module}")
            module.main(name, rest)
        else:
            hint = did_you_mean(name, COMMANDS)
            raise UsageError(f"expected a command, one of {', '.join(COMMANDS)}, got {name or 'none'}{hint}")
