"""Stdout and stderr where they are closed, or where nobody reads them any more."""

import io
import os
import sys
from contextlib import suppress
from typing import Any

NAMES = ("stdin", "stdout", "stderr")  # in the order of their descriptors


def open_closed_streams() -> None:
    """Opens the streams that the caller has closed, so that no file of a run gets the descriptor of one of them.

    Messages are lost then, as was asked for. Results cannot be: writing to stdout fails.
    """
    for descriptor, name in enumerate(NAMES):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)
            os.dup2(opened, descriptor)
            if opened != descriptor:
                os.close(opened)
            stream = open(descriptor, "r" if name == "stdin" else "w", encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


class Unread(io.FileIO):
    """A descriptor to write to, whether or not that works: a pipe may be closed, a terminal gone, a disk full."""

    def write(self, data: Any) -> int:
        with suppress(OSError):
            return super().write(data)
        return len(data)


def outlive_readers() -> None:
    """Makes it no reason to end that what is printed cannot be written: the result of a training is its files."""
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is not getattr(sys, f"__{name}__"):  # it is not the process's own
            continue
        stream.flush()
        unread = io.BufferedWriter(Unread(descriptor, "wb", closefd=False))
        lines = stream.line_buffering
        setattr(sys, name, io.TextIOWrapper(unread, stream.encoding, stream.errors, line_buffering=lines))


def say(line: str) -> None:
    """Writes a last line to stderr, if that is still read."""
    with suppress(OSError):
        sys.stderr.write(f"{line}\n")


def give_up_unwritable() -> None:
    """Leaves out what cannot be written; the interpreter, at its own end, would try again and complain."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
