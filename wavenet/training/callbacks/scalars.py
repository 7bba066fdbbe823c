"""What tells, step by step, whether training goes well."""

import time
from math import log10
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from wavenet.training.callbacks.tensorboard import writers

LOSSES = ("train/loss", "val/loss", "val/ngram_loss")  # in one chart


class TrainingScalars(Callback):
    """Writes, every ``log_every_n_steps``, what tells whether training goes well.

    The learning rate that the step was made with; seconds a step, without validations; the norm of the gradient before
    clipping; and for each weight matrix the size of its update relative to its own, as the decimal logarithm of the
    ratio of their norms: about -3 is healthy, far above is too fast, far below too slow. A chart shows the training and
    the validation loss together with the n-gram's.

    Args:
        enabled: Whether anything is written.

    Source of the update ratio: Andrej Karpathy, "Building makemore, part 3: Activations & Gradients, BatchNorm".
    """

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled
        self._before: dict[str, Tensor] = {}
        self._since = (0.0, 0)  # the time and the step of the last writing
        self._paused: float | None = None  # when the last validation began

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        for writer in writers(trainer) if self.enabled else []:
            writer.add_custom_scalars({"loss": {"train, validation and n-gram": ["Multiline", list(LOSSES)]}})
        self._since, self._paused = (time.perf_counter(), trainer.global_step), None

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._paused = time.perf_counter()

    def on_train_batch_start(self, *args: Any) -> None:
        if self._paused is not None:  # a validation, and what goes with it, is no part of a step
            self._since = (self._since[0] + time.perf_counter() - self._paused, self._since[1])
            self._paused = None

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        if self.enabled and (trainer.global_step + 1) % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            named = {name: value for name, value in pl_module.named_parameters() if value.grad is not None}
            self._before = {name: value.detach().clone() for name, value in named.items() if value.ndim == 2}
            gradients = [entries(value.grad) for value in named.values() if value.grad is not None]
            self._learning_rate = optimizer.param_groups[0]["lr"]  # after the step it is the next one's
            self._gradient_norm = torch.nn.utils.get_total_norm(gradients)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        if not self._before:
            return
        weights = dict(pl_module.named_parameters())
        scalars = {
            f"update_ratio/{name.removeprefix('network.')}": update_ratio(before, weights[name].detach())
            for name, before in self._before.items()
        }
        now, (then, step) = time.perf_counter(), self._since
        scalars["train/learning_rate"] = self._learning_rate
        scalars["train/seconds_per_step"] = (now - then) / max(1, trainer.global_step - step)
        scalars["train/gradient_norm"] = self._gradient_norm.item()
        for logger in trainer.loggers:
            logger.log_metrics(scalars, step=trainer.global_step - 1)
        self._before, self._since = {}, (time.perf_counter(), trainer.global_step)


def entries(gradient: Tensor) -> Tensor:
    """The gradient; of a sparse one the rows that it has."""
    return gradient.coalesce().values() if gradient.is_sparse else gradient


def update_ratio(before: Tensor, after: Tensor) -> float:
    """The decimal logarithm of the size of an update over that of the weights.

    Examples:
        >>> weights = torch.tensor([[1.0, -1.0], [2.0, -2.0]])
        >>> round(update_ratio(weights, 1.001 * weights), 2)
        -3.0
    """
    return log10(max(((after - before).norm() / before.norm().clamp(min=1e-12)).item(), 1e-12))
