"""The errors that the command line tells apart: how it was called, a wrong value of an argument, and a signal."""

import reprlib
import signal
from collections.abc import Collection, Iterable
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""The signals that end a command with one line, and a training with a checkpoint."""


class Interrupted(KeyboardInterrupt):
    """A signal came, at a time when what is half-done can be cleaned up."""

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number


class UsageError(ValueError):
    """The command line was called in a way that it does not know: exit code 2."""


class ArgumentError(ValueError):
    """An argument has a wrong value; the command line names the option it came from and exits with code 2.

    Args:
        name: The argument, as the function or the option is called: ``temperature``, ``trainer.max_steps``.
        problem: What was expected and what was got, to be read after the name: ``must be above 0, got -1``.

    Examples:
        >>> str(ArgumentError("temperature", "must be above 0, got -1"))
        'temperature must be above 0, got -1'
    """

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name} {problem}")
        self.name, self.problem = name, problem


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the known one that is most like it, or nothing.

    Examples:
        >>> did_you_mean("sampel", ["sample", "score"]), did_you_mean("x", ["sample", "score"])
        ('; did you mean sample?', '')
    """
    near = get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def check_types(config: Any, leave_out: Collection[str] = ()) -> None:
    """Raises an :class:`ArgumentError` for the first field of a dataclass that is of another type than its default.

    A whole number does where the default has a point.
    """
    for field in fields(config):
        if field.name in leave_out:
            continue
        value, kind = getattr(config, field.name), type(field.default)
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise ArgumentError(field.name, f"must be of type {kind.__name__}, got {reprlib.repr(value)}")


def check_at_least(minimum: int, **arguments: int) -> None:
    """Raises an :class:`ArgumentError` for the first of the arguments that is below the minimum."""
    for name, value in arguments.items():
        if value < minimum:
            raise ArgumentError(name, f"must be at least {minimum}, got {value}")
