"""What the command line refuses before anything runs: checkpoints and trainer settings that cannot work."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import isnan
from typing import Any

import lightning as L
import torch
from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import LearningRateFinder
from lightning.pytorch.strategies import DDPStrategy

from wavenet.errors import ArgumentError, UsageError
from wavenet.inference.checkpoint import (
    TRAINED_ON,
    CheckpointError,
    Record,
    read_checkpoint,
    record_of,
    whole_model_expected,
)
from wavenet.inference.weights import check_finite_logits
from wavenet.network.config import NetworkConfig
from wavenet.runs import command
from wavenet.training.module import LanguageModel
from wavenet.training.restoring import evaluated, restored

ABOVE_ZERO = (
    "accumulate_grad_batches", "check_val_every_n_epoch", "log_every_n_steps", "val_check_interval",
    "limit_train_batches", "num_nodes",
)  # fmt: skip
BEYOND = 2**63
"""The first whole number that has no room in 64 bits with a sign."""

REFUSALS = (
    MisconfigurationException,
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RuntimeError,
)
"""What a trainer raises for values that it does not expect."""


def record_to_use(ckpt_path: str, going_on: bool = False) -> Record:
    """What a checkpoint says, once it is sure that it holds a whole model.

    Args:
        ckpt_path: The file.
        going_on: Whether its training is to go on, which needs more of it.

    Raises:
        OSError, CheckpointError: See :func:`wavenet.inference.checkpoint.read_checkpoint`; or the file lacks what is
            needed, or its settings and weights do not make a model.
    """
    content = read_checkpoint(ckpt_path)
    check_single(content, ckpt_path)
    needed = {TRAINED_ON, "global_step", "pytorch-lightning_version"}
    if going_on:
        needed |= {"callbacks", "loops", "lr_schedulers", "optimizer_states"}
    if missing := sorted(needed - set(content)):
        raise CheckpointError(f"{ckpt_path} was not written by train.py: expected the entries {', '.join(missing)}")
    with whole_model_expected(ckpt_path):
        record = record_of(content, ckpt_path)
        if not isinstance(record.network, NetworkConfig):
            raise ValueError("its network is one of the user's own: use it from Python")
        model = LanguageModel(record.alphabet, record.network, record.optimization, record.label_counts)
        model.network.load_state_dict(dict(record.weights))
        check_finite_logits(model.network, len(model.vocabulary))
        restored(content) if going_on else evaluated(content)
    return record


def check_single(content: Mapping[str, Any], ckpt_path: str) -> None:
    """Raises a CheckpointError if a checkpoint holds an ensemble."""
    settings = content["hyper_parameters"]
    if isinstance(settings, dict) and isinstance(settings.get("network"), list):
        raise CheckpointError(
            f"{ckpt_path} is an ensemble, which does not train: expected the checkpoint of a training; "
            f"{command('wavenet')} score, sample, top and report take ensembles, too"
        )


def check_trainer(config: Namespace) -> None:
    """Refuses the trainer's settings that would fail later, or train nothing.

    Raises:
        ArgumentError: One of them.
    """
    for name, value in vars(config).items():
        if isinstance(value, int) and not -BEYOND <= value < BEYOND:
            raise ArgumentError(f"trainer.{name}", "must be from -2^63 to below 2^63, got a number beyond that")
        if isinstance(value, float) and isnan(value):
            raise ArgumentError(f"trainer.{name}", "must be a number, got nan")
    for name in ABOVE_ZERO:
        if isinstance(value := config[name], int | float) and value <= 0:
            raise ArgumentError(f"trainer.{name}", f"must be above 0, got {value}")
    for name in ("max_steps", "max_epochs"):
        if config[name] == 0:
            raise ArgumentError(f"trainer.{name}", "0 trains nothing: expected a number above 0, or -1 for no limit")
    if config.overfit_batches:
        raise ArgumentError("trainer.overfit_batches", "is not supported: use --trainer.limit_train_batches")
    if config.logger is False or config.logger == []:
        raise ArgumentError("trainer.logger", "false is not supported: what a run writes belongs to it")
    if config.default_root_dir is None:
        raise ArgumentError("trainer.default_root_dir", "must be a folder, got null")
    callbacks = config.callbacks if isinstance(config.callbacks, list) else [config.callbacks]
    if any(isinstance(callback, LearningRateFinder) for callback in callbacks):
        raise ArgumentError(
            "trainer.callbacks",
            "must be without LearningRateFinder, which cannot change the rate of a schedule: "
            "try a few values of --model.optimization.learning_rate",
        )


def check_processes(config: Namespace, trainer: L.Trainer, subcommand: str) -> None:
    """Refuses what does not work in several processes.

    Raises:
        ArgumentError: One of the settings.
    """
    if trainer.world_size == 1:
        return
    if subcommand == "predict":
        problem = f"must be 1 for predict, whose words come in their order, got {trainer.num_devices}"
        raise ArgumentError("trainer.devices" if trainer.num_nodes == 1 else "trainer.num_nodes", problem)
    if config.strategy not in ("auto", "ddp") and not isinstance(config.strategy, DDPStrategy):
        raise ArgumentError("trainer.strategy", f"must be ddp for several processes, got {config.strategy}")
    if config.sync_batchnorm:  # it expects channels before time, and a GPU
        raise ArgumentError("trainer.sync_batchnorm", "is not supported: see docs/processes.md")


@contextmanager
def wrong_trainer_options(given: Mapping[str, Any]) -> Iterator[None]:
    """Makes one line of what goes wrong while a trainer is made: the option that a trainer refuses on its own.

    Raises:
        ArgumentError: One of the given options is wrong.
        UsageError: They do not go together.
    """
    try:
        yield
    except REFUSALS as error:
        if isinstance(error, UsageError | ArgumentError):
            raise
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        for option, value in given.items():
            group, _, name = option.partition(".")
            if group != "trainer" or "." in name:
                continue
            try:
                L.Trainer(**{**quiet, name: value})
            except REFUSALS as reason:
                raise ArgumentError(option, f"is refused: {reason}") from error
        raise UsageError(f"the trainer's options do not go together: {error}") from error


def has_bf16() -> bool:
    """Whether the processor has instructions for bfloat16, without which it is emulated."""
    return any(has is True for name, has in torch.cpu.get_capabilities().items() if "bf16" in name)
