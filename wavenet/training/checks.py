"""What the command line refuses before anything runs: checkpoints and trainer settings that cannot work."""

from jsonargparse import Namespace

from wavenet.errors import ArgumentError
from wavenet.inference.checkpoint import (
    TRAINED_ON,
    CheckpointError,
    Record,
    read_checkpoint,
    record_of,
    whole_model_expected,
)
from wavenet.training.module import LanguageModel


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
    needed = {TRAINED_ON, "global_step", "pytorch-lightning_version"}
    if going_on:
        needed |= {"callbacks", "loops", "lr_schedulers", "optimizer_states"}
    if missing := sorted(needed - set(content)):
        raise CheckpointError(f"{ckpt_path} was not written by train.py: expected the entries {', '.join(missing)}")
    with whole_model_expected(ckpt_path):
        record = record_of(content, ckpt_path)
        if record.network is None:
            raise ValueError("its network is one of the user's own: use it from Python")
        model = LanguageModel(record.alphabet, record.network, record.optimization)
        model.network.load_state_dict(dict(record.weights))
    return record


def check_trainer(config: Namespace) -> None:
    """Refuses the trainer's settings that would fail later, or train nothing.

    Raises:
        ArgumentError: One of them.
    """
    for name in ("accumulate_grad_batches", "log_every_n_steps", "val_check_interval", "limit_train_batches"):
        if (value := config[name]) is not None and not isinstance(value, str) and value <= 0:
            raise ArgumentError(f"trainer.{name}", f"must be above 0, got {value}")
    for name in ("max_steps", "max_epochs"):
        if config[name] == 0:
            raise ArgumentError(f"trainer.{name}", "0 trains nothing: expected a number above 0, or -1 for no limit")
    if config.overfit_batches:
        raise ArgumentError("trainer.overfit_batches", "is not supported: use --trainer.limit_train_batches")
    if config.logger is False or config.logger == []:
        raise ArgumentError("trainer.logger", "false is not supported: the logger gives a run its folder")
