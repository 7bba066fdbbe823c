"""How a network's weights are moved: the optimizer and the schedule of its learning rate, with all their settings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ConstantLR, LRScheduler, MultiStepLR, OneCycleLR

from wavenet.errors import ArgumentError, check_types
from wavenet.network.layers import NgramLogits


class RowAdagrad(torch.optim.Optimizer):
    """An optimizer that moves tables row by row, by Adagrad, and all other parameters as its next base class does.

    A row moves less the more it has been moved, and not at all by a batch that has nothing to say of it. So a row that
    is seldom seen takes large steps, and one that every batch has takes small ones.

    The tables are the parameters of groups that have ``rows``. Their gradients may be sparse; they are gone after the
    step.

    Sources: Duchi et al., "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization" (2011); with
    one sum for each row, Lerer et al., "PyTorch-BigGraph: A Large-scale Graph Embedding System" (2019).
    """

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Makes a step; see :meth:`torch.optim.Optimizer.step`."""
        with torch.enable_grad():
            loss = None if closure is None else closure()
        for group in self.param_groups:
            for table in group["params"] if group.get("rows") else []:
                if table.grad is not None:
                    move_rows(table, self.state[table], group["lr"])
                    table.grad = None
        super().step()
        return loss


@torch.no_grad()
def move_rows(table: Tensor, state: dict[str, Tensor], rate: float) -> None:
    """Moves the rows of a table (R, V) by its gradient, each divided by the root of the sum of its mean squares.

    Args:
        table: A parameter with a gradient, dense or sparse.
        state: Keeps the ``sum`` (R,) of the mean squares of each row's gradients, and the number of ``step``s, without
            which PyTorch's optimizers load no state.
        rate: How far the first gradient moves a row (the root mean square over its elements).
    """
    gradient = table.grad
    assert gradient is not None
    if gradient.is_sparse:
        rows, place = torch.unique(gradient._indices()[0], return_inverse=True)  # (U,), (N,)
        values = gradient._values().new_zeros(len(rows), table.shape[1]).index_add_(0, place, gradient._values())
    else:
        rows, values = torch.arange(len(table), device=table.device), gradient  # (R,), (R, V)
    if not state:
        state.update(step=torch.tensor(0.0), sum=table.new_zeros(len(table)))
    state["step"] += 1
    sums = state["sum"][rows] + values.square().mean(1)  # (U,)
    state["sum"].index_copy_(0, rows, sums)
    table.index_add_(0, rows, values / (sums.sqrt().unsqueeze(1) + 1e-10), alpha=-rate)


class AdamW(RowAdagrad, torch.optim.AdamW):
    """:class:`torch.optim.AdamW`, save for tables."""


class SGD(RowAdagrad, torch.optim.SGD):
    """:class:`torch.optim.SGD`, save for tables."""


FASTEST = 1000
"""The highest rate of a table: far beyond any use, and far below the largest number."""

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"adamw": AdamW, "sgd": SGD}


@dataclass(frozen=True)
class OptimizationConfig:
    """The optimizer and its schedule. The defaults are what ``python train.py fit`` trains with.

    Args:
        optimizer: ``adamw`` or ``sgd``.
        learning_rate: The highest learning rate of the schedule.
        weight_decay: The optimizer's weight decay.
        schedule: The learning rate after each step: ``one_cycle`` (a rise over the first 15 %, then a fall to
            nearly zero), ``step`` (the lecture's: a tenth from three quarters of the steps on) or ``constant``.
        ngram_learning_rate: The highest rate at which the network's table of n-grams is learned, by
            :class:`RowAdagrad`; 0 if the optimizer is to learn it as all else.

    Raises:
        ArgumentError: A value is none of these, ``learning_rate`` is not above 0, ``weight_decay`` is below it,
            or ``ngram_learning_rate`` is not from 0 to ``FASTEST``.
    """

    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 0.025
    weight_decay: float = 0.01
    schedule: Literal["one_cycle", "step", "constant"] = "one_cycle"
    ngram_learning_rate: float = 0.0

    def __post_init__(self) -> None:
        check_types(self)
        for name, choices in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
            if (value := getattr(self, name)) not in choices:
                raise ArgumentError(name, f"must be one of {', '.join(choices)}, got {value}")
        if not 0 < self.learning_rate < float("inf"):
            raise ArgumentError("learning_rate", f"must be above 0, got {self.learning_rate}")
        if not 0 <= self.weight_decay < float("inf"):
            raise ArgumentError("weight_decay", f"must be at least 0, got {self.weight_decay}")
        if not 0 <= self.ngram_learning_rate <= FASTEST:
            raise ArgumentError("ngram_learning_rate", f"must be from 0 to {FASTEST:,}, got {self.ngram_learning_rate}")

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "OptimizationConfig":
        """The config that a checkpoint describes; :func:`dataclasses.asdict` is the way back.

        Raises:
            ArgumentError, TypeError: A name is no setting, or a value is wrong.
        """
        return cls(**plain)


def tables(config: OptimizationConfig, network: nn.Module) -> list[NgramLogits]:
    """The tables of n-grams that are learned row by row."""
    layers = [layer for layer in network.modules() if isinstance(layer, NgramLogits)]
    return layers if config.ngram_learning_rate > 0 else []


def make_optimizer(config: OptimizationConfig, network: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of a network's parameters; those that are learned row by row come last, in a group of their own."""
    rows = [layer.weight for layer in tables(config, network)]
    others = [parameter for parameter in network.parameters() if all(parameter is not table for table in rows)]
    settings = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    if not rows:
        return OPTIMIZERS[config.optimizer](others, fused=True, **settings)
    # fused in its group only: an optimizer that is so as a whole would have to undo a GradScaler's scale itself
    groups = [{"params": others, "fused": True}, {"params": rows, "rows": True, "lr": config.ngram_learning_rate}]
    return OPTIMIZERS[config.optimizer](groups, **settings)


def one_cycle(optimizer: torch.optim.Optimizer, total_steps: int) -> LRScheduler:
    """A rise over the first 15 % of the steps, then a fall to nearly zero.

    When a training goes on for more steps than it was begun for, the steps left have a cycle of their own, less high:
    see :func:`going_on`.

    Source: Smith and Topin, "Super-Convergence" (2018), https://arxiv.org/abs/1708.07120.
    """
    # OneCycleLR divides by zero where total_steps * pct_start is exactly 1, which 0.15 never makes
    highest = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(optimizer, highest, total_steps=total_steps, pct_start=0.15, anneal_strategy="linear")


def lecture_steps(optimizer: torch.optim.Optimizer, total_steps: int) -> LRScheduler:
    """A tenth of the learning rate from three quarters of the steps on."""
    schedule = MultiStepLR(optimizer, milestones=[total_steps * 3 // 4], gamma=0.1)
    schedule.total_steps = total_steps  # type: ignore[attr-defined]  # saved with it, as OneCycleLR's is
    return schedule


def constant(optimizer: torch.optim.Optimizer, total_steps: int) -> LRScheduler:
    """The same learning rate throughout."""
    return ConstantLR(optimizer, factor=1.0, total_iters=0)


SCHEDULES: dict[str, Callable[[torch.optim.Optimizer, int], LRScheduler]] = {
    "one_cycle": one_cycle,
    "step": lecture_steps,
    "constant": constant,
}


def make(
    config: OptimizationConfig, network: nn.Module, total_steps: float
) -> tuple[torch.optim.Optimizer, LRScheduler | None]:
    """The optimizer and its schedule; ``constant`` needs none, and no end.

    Raises:
        ValueError: The schedule needs an end, and ``total_steps`` is none.
    """
    optimizer = make_optimizer(config, network)
    if config.schedule == "constant":
        return optimizer, None
    if total_steps < 1 or total_steps == float("inf"):
        raise ValueError(
            f"schedule {config.schedule} needs to know how many steps there will be: "
            f"set --trainer.max_steps or --trainer.max_epochs, or --model.optimization.schedule constant"
        )
    return optimizer, SCHEDULES[config.schedule](optimizer, int(total_steps))


def ends_at(state: Mapping[str, Any], step: int, total_steps: float) -> bool:
    """Whether a schedule that was saved at a step of the training ends when the training does.

    An interruption between a step and its schedule's leaves the schedule one behind.
    """
    return "total_steps" not in state or step - state["last_epoch"] + state["total_steps"] - total_steps in (0, 1)


def going_on(config: OptimizationConfig, before: OptimizationConfig, rate: float) -> OptimizationConfig:
    """What a training goes on with for more steps than its schedule had, when its learning rate is ``rate``.

    The steps left have a schedule of their own. Its highest rates are new ones that are given; else the present one,
    but at least a fifth of the highest of before, and as much of the table's: a finished training goes on without
    unlearning first. On data/world_names.tsv, five epochs (validation loss 2.384) that become six, or ten, reach 2.376
    and 2.353, and with the whole rate again 2.413 and 2.367 (seed 1).
    """
    share = max(rate / before.learning_rate, 1 / 5)
    rates = {
        name: new if (new := getattr(config, name)) != (old := getattr(before, name)) else old * share
        for name in ("learning_rate", "ngram_learning_rate")
    }
    return replace(config, **rates)
