"""What a training would be, found out without running it."""

import logging
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from math import ceil
from typing import Any

import yaml
from lightning.fabric.utilities.exceptions import MisconfigurationException

from wavenet.inference.trained_on import TrainedOn
from wavenet.training.cli import WaveNetCLI


@dataclass(frozen=True)
class Plan:
    """A training that has not begun.

    Args:
        configuration: Every setting, those that the words decide included.
        corpus: What it would be trained on.
        parameters: How many the network has.
        steps: How many it would take, if that is known.
    """

    configuration: dict[str, Any]
    corpus: TrainedOn
    parameters: int
    steps: int | None


class Rehearsal(WaveNetCLI):
    """A training that makes everything ready, and does not begin."""

    def _run_subcommand(self, subcommand: str) -> None:
        pass


def plan(options: list[str]) -> Plan:
    """What ``wavenet fit`` would do with these options; nothing is printed or written.

    Raises:
        UsageError, ArgumentError: An option is wrong.
        OSError, ValueError: A file cannot be read, or the training could not begin with what it holds.

    Examples:
        >>> plan(["--data.path=data/world_names.tsv", "--trainer.max_steps=3"]).steps  # doctest: +SKIP
        3
    """
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        warnings.simplefilter("ignore")  # the training says them
        try:
            cli = Rehearsal(["fit", *options])
        except MisconfigurationException as error:
            raise ValueError(str(error)) from error
    return Plan(
        configuration=yaml.safe_load(cli._resolved_configuration()),
        corpus=cli.datamodule.trained_on,
        parameters=sum(parameter.numel() for parameter in cli.model.parameters()),
        steps=planned_steps(cli),
    )


def planned_steps(cli: WaveNetCLI) -> int | None:
    """How many steps the trainer is to make, or ``None`` if only a time, or nothing, ends it."""
    trainer = cli.trainer
    per_epoch = ceil(len(cli.datamodule.train_dataloader()) / trainer.accumulate_grad_batches)
    epochs = trainer.max_epochs if trainer.max_epochs is not None else -1
    bounds = [trainer.max_steps, epochs * per_epoch]
    return min((bound for bound in bounds if bound > 0), default=None)
