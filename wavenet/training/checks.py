"""What the command line refuses before anything runs: checkpoints and trainer settings that cannot work."""

from typing import Any

from jsonargparse import Namespace

from wavenet.inference.checkpoint import DATA, RECORDED, CheckpointError, read_checkpoint
from wavenet.training.module import LanguageModel


def settings_of(ckpt_path: str, subcommand: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The hyper-parameters of a checkpoint's model, and the facts of the corpus it was trained on.

    Raises:
        OSError, CheckpointError: See :func:`wavenet.inference.checkpoint.read_checkpoint`; or the file lacks what the subcommand
            needs, or its settings and weights do not make a model.
    """
    checkpoint = read_checkpoint(ckpt_path)
    needed = {DATA, "global_step", "pytorch-lightning_version"}
    if subcommand == "fit":
        needed |= {"callbacks", "loops", "lr_schedulers", "optimizer_states"}
    if missing := sorted(needed - set(checkpoint)):
        raise CheckpointError(f"{ckpt_path} was not written by train.py: expected the entries {', '.join(missing)}")
    try:
        recorded = {name: checkpoint[DATA][name] for name in RECORDED}
        LanguageModel(**checkpoint["hyper_parameters"]).load_state_dict(checkpoint["state_dict"])
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise CheckpointError(f"{ckpt_path} does not hold a whole model of this version: {error!r}") from error
    return dict(checkpoint["hyper_parameters"]), recorded


def check_trainer(config: Namespace) -> None:
    """Refuses the trainer's settings that would fail later, or train nothing.

    Raises:
        ValueError: One of them.
    """
    for name in ("accumulate_grad_batches", "log_every_n_steps", "val_check_interval", "limit_train_batches"):
        if (value := config[name]) is not None and not isinstance(value, str) and value <= 0:
            raise ValueError(f"--trainer.{name} must be above 0, got {value}")
    for name in ("max_steps", "max_epochs"):
        if config[name] == 0:
            raise ValueError(f"--trainer.{name} 0 trains nothing: expected a number above 0, or -1 for no limit")
    if config.overfit_batches:
        raise ValueError("--trainer.overfit_batches is not supported: use --trainer.limit_train_batches")
    if config.logger is False:
        raise ValueError("--trainer.logger false is not supported: the logger gives a run its folder")
