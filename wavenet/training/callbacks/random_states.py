"""The random numbers of a training, which dropout draws: in its checkpoints, so that it goes on exactly."""

import random
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from wavenet.training.processes import gathered


class RandomStates(Callback):
    """Keeps the states of torch's generators, of the CPU and of each CUDA device, in checkpoints.

    A training that goes on takes them over when it starts, after everything that is prepared for it. Batches need none:
    their order is a function of the seed and the epoch (:class:`wavenet.training.datasets.BatchIndices`). States of
    CUDA devices are taken over where there are as many devices as there were. Of several processes each has states of
    its own, so that no two drop the same; one that finds none in the checkpoint begins with fresh ones.

    Raises:
        ValueError: What a checkpoint holds for the states is none.
    """

    def __init__(self) -> None:
        self._to_restore: dict[str, list[Tensor]] = {}

    def state_dict(self) -> dict[str, Any]:
        return self._to_restore or all_states()  # a training that has nothing left to do does not start

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._to_restore = checked_states(state_dict)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        states, self._to_restore = self._to_restore or {"cpu": [], "cuda": []}, {}
        rank, num_ranks = trainer.global_rank, trainer.world_size
        seed = trainer.strategy.broadcast(torch.initial_seed())
        if rank < len(states["cpu"]):
            restore(states["cpu"][rank], torch.set_rng_state)
        elif rank > 0:
            torch.manual_seed(random.Random(f"{seed}/{rank}/{trainer.global_step}").getrandbits(63))
        if num_ranks > 1 and len(states["cuda"]) == num_ranks:
            restore(states["cuda"][rank], torch.cuda.set_rng_state)
        elif num_ranks == 1 and len(states["cuda"]) == torch.cuda.device_count():
            for device, state in enumerate(states["cuda"]):
                restore(state, lambda state, device=device: torch.cuda.set_rng_state(state, device))


def all_states() -> dict[str, list[Tensor]]:
    """The states of all processes; all of them must ask for them."""
    states = gathered(current_states())
    return {kind: [state for of_process in states for state in of_process[kind]] for kind in states[0]}


def current_states() -> dict[str, list[Tensor]]:
    """The states of torch's generators, by the kind of device; of CUDA only if it has been used.

    One process has all devices, and one of several has its own.
    """
    used = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    alone = not torch.distributed.is_available() or not torch.distributed.is_initialized()
    of_cuda = torch.cuda.get_rng_state_all if alone else lambda: [torch.cuda.get_rng_state()]
    return {"cpu": [torch.get_rng_state()], "cuda": of_cuda() if used else []}


def checked_states(content: Any) -> dict[str, list[Tensor]]:
    """What a checkpoint holds for the states, once it is sure that they are bytes, as many as a generator has.

    Raises:
        ValueError: They are anything else.
    """
    sizes = {"cpu": torch.get_rng_state().numel(), "cuda": 16}  # CUDA: the seed and the offset
    if not isinstance(content, dict) or set(content) != set(sizes) or not isinstance(content["cuda"], list):
        raise ValueError("the checkpoint's random states are not states of the CPU and of CUDA devices")
    if not isinstance(content["cpu"], list) or not content["cpu"]:
        raise ValueError("the checkpoint's random states are not those of the CPU and those of CUDA devices")
    for kind, states in content.items():
        for state in states:
            if not isinstance(state, Tensor) or state.dtype != torch.uint8 or state.shape != (sizes[kind],):
                what = f"{state.dtype} {tuple(state.shape)}" if isinstance(state, Tensor) else type(state).__name__
                raise ValueError(f"a random state of the checkpoint must be {sizes[kind]} bytes ({kind}), got {what}")
    return content


def restore(state: Tensor, setter: Any) -> None:
    """Sets the state of a generator.

    Raises:
        ValueError: The bytes are no state.
    """
    try:
        setter(state.contiguous())
    except RuntimeError as error:
        raise ValueError(f"a random state of the checkpoint is refused: {error}") from error
