"""The random numbers of a training, which dropout draws: in its checkpoints, so that it goes on exactly."""

from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor


class RandomStates(Callback):
    """Keeps the states of torch's generators, of the CPU and of each CUDA device, in checkpoints.

    A training that goes on takes them over when it starts, after everything that is prepared for it. Batches need none:
    their order is a function of the seed and the epoch (:class:`wavenet.training.datasets.BatchIndices`). States of
    CUDA devices are taken over where there are as many devices as there were.

    Raises:
        ValueError: What a checkpoint holds for the states is none.
    """

    def __init__(self) -> None:
        self._to_restore: dict[str, list[Tensor]] = {}

    def state_dict(self) -> dict[str, Any]:
        return self._to_restore or current_states()  # a training that has nothing left to do does not start

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._to_restore = checked_states(state_dict)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        states, self._to_restore = self._to_restore, {}
        for state in states.get("cpu", ()):
            restore(state, torch.set_rng_state)
        if len(states.get("cuda", ())) == torch.cuda.device_count():
            for device, state in enumerate(states.get("cuda", ())):
                restore(state, lambda state, device=device: torch.cuda.set_rng_state(state, device))


def current_states() -> dict[str, list[Tensor]]:
    """The states of torch's generators, by the kind of device; of CUDA only if it has been used."""
    used = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return {"cpu": [torch.get_rng_state()], "cuda": torch.cuda.get_rng_state_all() if used else []}


def checked_states(content: Any) -> dict[str, list[Tensor]]:
    """What a checkpoint holds for the states, once it is sure that they are bytes, as many as a generator has.

    Raises:
        ValueError: They are anything else.
    """
    sizes = {"cpu": torch.get_rng_state().numel(), "cuda": 16}  # CUDA: the seed and the offset
    if not isinstance(content, dict) or set(content) != set(sizes) or not isinstance(content["cuda"], list):
        raise ValueError("the checkpoint's random states are not states of the CPU and of CUDA devices")
    if not isinstance(content["cpu"], list) or len(content["cpu"]) != 1:
        raise ValueError("the checkpoint's random states are not one state of the CPU and those of CUDA devices")
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
