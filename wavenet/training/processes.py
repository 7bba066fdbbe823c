"""Several processes that train or evaluate: who started them, which of them speaks, and what they tell each other."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, NamedTuple

import lightning as L
import torch.distributed
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from wavenet.errors import ArgumentError

PATIENCE = 15.0
"""Seconds that the first process has to say an error itself, before another one says it."""


class Started(NamedTuple):
    """What a launcher of processes has started: how many on each machine, and on how many machines."""

    launcher: str
    devices: int
    num_nodes: int


def started() -> Started | None:
    """What torchrun or SLURM's srun has started, if this process is one of theirs."""
    if SLURMEnvironment.detect():
        tasks, nodes = int(os.environ["SLURM_NTASKS"]), int(os.environ.get("SLURM_NNODES", 1))
        return Started("srun", tasks // nodes, nodes)
    if TorchElasticEnvironment.detect():
        processes, here = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
        return Started("torchrun", here, processes // here)
    return None


def options_of_launcher(given: Mapping[str, Any]) -> dict[str, int]:
    """The trainer's options that make it use the processes which torchrun or srun has started; none without them.

    Args:
        given: The options that somebody has set.

    Raises:
        ArgumentError: One of them says another number.
    """
    found = started()
    if found is None:
        return {}
    options = {"trainer.devices": found.devices, "trainer.num_nodes": found.num_nodes}
    for option, count in options.items():
        if given.get(option) not in (None, "auto", "-1", -1, str(count), count):
            raise ArgumentError(option, f"must be {count}, as {found.launcher} has started, got {given[option]}")
    return options


def own_number() -> int:
    """The number of this process among those that train or evaluate together, known before they have met.

    Of the processes that Lightning starts, it is the number on the machine, or at least one on other machines.
    """
    environments: tuple[type[ClusterEnvironment], ...] = (SLURMEnvironment, TorchElasticEnvironment)
    for kind in environments:
        if kind.detect():
            return kind().global_rank()
    lightning = LightningEnvironment()
    return max(lightning.local_rank(), lightning.node_rank())


@contextmanager
def one_voice() -> Iterator[None]:
    """Leaves it to the first process to write to the terminal.

    An error that all processes run into is thus said once. Another process says its own if the first has not ended
    both after a while, by the launcher that ends all processes when one has failed.
    """
    number = own_number()
    if number == 0:
        yield
        return
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        try:
            try:
                yield
            except Exception:
                time.sleep(PATIENCE)
                print(f"process {number}: ", end="", file=sys.__stderr__)
                raise
        except KeyboardInterrupt as stop:
            raise SystemExit(getattr(stop, "exit_code", 130)) from stop


def gathered(value: Any) -> list[Any]:
    """A value of each of the processes, in their order; all of them must call this."""
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return [value]
    values: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(values, value)
    return values


def end_children(trainer: L.Trainer) -> None:
    """Ends the processes that this one has started through Lightning, and which may wait for it."""
    processes = getattr(trainer.strategy.launcher, "procs", [])
    for process in processes:
        process.kill()
    processes.clear()  # a thread of Lightning's ends this process, too, if it finds one that has failed
