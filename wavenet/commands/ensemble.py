"""``wavenet ensemble``: one checkpoint of several, whose probabilities are the mean of theirs."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from wavenet.commands.main import parser_of
from wavenet.commands.options import checkpoint_named
from wavenet.commands.output import target_of
from wavenet.errors import UsageError
from wavenet.runs import command

if TYPE_CHECKING:
    from wavenet.inference.model import TrainedModel

MEASURED = 100_000  # validation words


def main(name: str, arguments: list[str]) -> None:
    """Runs the command: writes the checkpoint, and says how good the members and the ensemble are on validation."""
    parser = parser_of(name, "Example: wavenet ensemble default gated --output both.ckpt")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="checkpoints, folders of runs, or experiments")
    parser.add_argument("--output", metavar="FILE", required=True, help="the checkpoint to write")
    parser.add_argument("--threads", type=int, help="threads to measure losses on; by default as many as pay")
    options = parser.parse_args(arguments)
    output, paths = Path(options.output), [checkpoint_named(run) for run in options.runs]
    check_members(paths)
    target_of(options.output)
    from wavenet.inference.checkpoint import load, write_checkpoint
    from wavenet.inference.ensemble import ensemble
    from wavenet.network.threads import set_threads

    content, members = ensemble(paths), [load(path) for path in paths]  # which finds out what cannot be computed with
    set_threads(members[0].network, options.threads)
    write_checkpoint(content, output)
    whole = load(output)
    show_losses({**{str(path): member for path, member in zip(paths, members, strict=True)}, str(output): whole})
    print(f"Words:  {command('wavenet')} sample --ckpt_path {quote(str(output))}")


def check_members(paths: list[Path]) -> None:
    """Raises a UsageError if there are too few members, or one comes twice."""
    if len(paths) < 2:
        raise UsageError(f"expected at least two runs to make an ensemble of, got {len(paths)}")
    path, count = Counter(path.resolve() for path in paths).most_common(1)[0]
    if count > 1:
        raise UsageError(f"expected each member once, got {path} {count} times: a folder means its newest run")


def show_losses(models: dict[str, TrainedModel]) -> None:
    """A table of the validation losses; where the words are missing, a line on stderr."""
    from rich.table import Table

    from wavenet.commands.experiments import console

    try:
        words = next(iter(models.values())).split.val.words[:MEASURED]
    except (OSError, ValueError) as error:
        sys.stderr.write(f"note: losses cannot be measured: {error}\n")
        return
    table = Table("", "parameters", "validation loss")
    for path, model in models.items():
        num_tokens = sum(len(word) + 1 for word in words)
        loss = -sum(scored.log_prob for scored in model.score(words)) / num_tokens
        parameters = sum(parameter.numel() for parameter in model.network.parameters())
        table.add_row(path, f"{parameters:,}", f"{loss:.4f}")
    console().print(table)
