"""What a training that goes on takes of a checkpoint's content: what it needs, of the form that it writes itself.

Lightning restores what stands in a checkpoint as it is. Here every number is measured against what a fresh training
has in its place: it is of the same kind, and where only one value makes sense, it is the fresh one that is taken.
"""

import reprlib
import warnings
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from packaging.version import Version
from torch import Tensor

from wavenet.corpus.vocabulary import Vocabulary
from wavenet.inference.checkpoint import TRAINED_ON
from wavenet.inference.weights import check_tensor, on_paper
from wavenet.network.config import NetworkConfig
from wavenet.training.optimization import OptimizationConfig, make

OLDEST = Version("2.6")  # of Lightning, from which on this package writes checkpoints
LARGEST = 2**53  # a count that a training can reach
OF_ANY_USE = (
    "state_dict", "hyper_parameters", "hparams_name", TRAINED_ON, "epoch", "global_step", "format", "wavenet_version",
)  # fmt: skip
MOMENTUM = "momentum_buffer"
NOT_NEGATIVE = ("step", "exp_avg_sq", "sum")  # of what the optimizers keep for a parameter
PLACE_IN_SCHEDULE = ("last_epoch", "_step_count", "_last_lr", "base_lrs")
BLOCK = "block_losses"  # the entry for the losses since the last point of train/loss, which the module judges
SCALER = "MixedPrecision"  # the entry of Lightning's plugin for 16-bit precision


def restored(content: Mapping[str, Any]) -> dict[str, Any]:
    """What a training goes on with, of the content of a checkpoint; :func:`record_of` judges what it records.

    Args:
        content: See :func:`wavenet.inference.checkpoint.read_checkpoint`.

    Raises:
        KeyError, TypeError, ValueError: Something is missing or wrong.
    """
    step, loops = count(content["global_step"], "global_step"), loops_of(content["loops"])
    fit_loop = loops["fit_loop"]
    done = fit_loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]["total"]["completed"]
    if step != done:
        raise ValueError(f"global_step is {step}, but {done} steps are recorded")
    if count(content["epoch"], "epoch") != fit_loop["epoch_progress"]["current"]["processed"]:
        raise ValueError(f"epoch is {content['epoch']}, but other epochs are recorded")
    optimizers, schedules = optimization_of(content)
    return {
        **evaluated(content),
        "loops": loops,
        "optimizer_states": optimizers,
        "lr_schedulers": schedules,
        "callbacks": callbacks_of(content["callbacks"]),
        **({BLOCK: content[BLOCK]} if BLOCK in content else {}),
        **({SCALER: like(content[SCALER], SCALER_STATE, SCALER)} if SCALER in content else {}),
    }


def evaluated(content: Mapping[str, Any]) -> dict[str, Any]:
    """What an evaluation needs of the content of a checkpoint, which a training needs, too."""
    name = "pytorch-lightning_version"
    if not isinstance(content[name], str) or Version(content[name]) < OLDEST:
        raise ValueError(f"it was written by Lightning {reprlib.repr(content[name])}: expected {OLDEST} or newer")
    return {key: content[key] for key in OF_ANY_USE if key in content} | {name: content[name]}


def count(value: Any, place: str) -> int:
    """A count; :class:`ValueError` if it is none."""
    if type(value) is not int or not 0 <= value <= LARGEST:
        raise ValueError(f"{place} is no count")
    return value


def number(value: Any, place: str) -> float:
    """A finite number; :class:`ValueError` if it is none."""
    if type(value) not in (int, float) or not isfinite(value):
        raise ValueError(f"{place} is no finite number")
    return float(value) if isinstance(value, float) else value


def like(value: Any, fresh: Any, place: str) -> Any:
    """A value of the form of a fresh one: counts, numbers and truth values are taken, all else is the fresh one's.

    What a mapping lacks is as in the fresh one, and what it has beyond it is left out.

    Raises:
        ValueError: The value has another form.

    Examples:
        >>> like({"steps": 3, "path": "/"}, {"steps": 0, "rate": 0.1, "name": "a"}, "x")
        {'steps': 3, 'rate': 0.1, 'name': 'a'}
    """
    if isinstance(fresh, dict):
        if not isinstance(value, dict):
            raise ValueError(f"{place} is no mapping")
        return {key: like(value[key], x, f"{place}.{key}") if key in value else x for key, x in fresh.items()}
    if isinstance(fresh, list | tuple):
        if not isinstance(value, list | tuple) or len(value) != len(fresh):
            raise ValueError(f"{place} is no list of {len(fresh)}")
        return type(fresh)(like(a, b, place) for a, b in zip(value, fresh, strict=True))
    if isinstance(fresh, bool):
        if not isinstance(value, bool):
            raise ValueError(f"{place} is neither true nor false")
        return value
    checks: dict[type, Callable[[Any, str], Any]] = {int: count, float: number}
    return checks[type(fresh)](value, place) if type(fresh) in checks else fresh


SCALER_STATE = {"scale": 1.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 1, "_growth_tracker": 0}


def loops_of(recorded: Any) -> dict[str, Any]:
    """How far a training was."""
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a GPU that is not used
        trainer = L.Trainer(accelerator="cpu", enable_model_summary=False, **quiet)
    return {"fit_loop": like(recorded["fit_loop"], trainer.fit_loop.state_dict(), "loops.fit_loop")}


def optimization_of(content: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    """The states of the optimizer and of its schedule."""
    hyper_parameters = content["hyper_parameters"]
    config = OptimizationConfig.of(hyper_parameters["optimization"])
    (state,), schedules = content["optimizer_states"], content["lr_schedulers"]
    total = count(schedules[0].get("total_steps", 1), "lr_schedulers.total_steps") if schedules else 1
    vocab_size, num_labels = len(Vocabulary(hyper_parameters["alphabet"])), len(hyper_parameters.get("labels", ()))
    network = on_paper(NetworkConfig.of(hyper_parameters["network"]), vocab_size, num_labels)
    optimizer, schedule = make(config, network.to_empty(device="cpu"), total)
    parameters = [(value, group) for group in optimizer.param_groups for value in group["params"]]
    fresh = optimizer.state_dict()
    if not isinstance(state["state"], dict):
        raise ValueError("optimizer_states.state is no mapping")
    taken = {
        "state": {index: moments(state["state"][index], *parameters[index]) for index in state["state"]},
        "param_groups": [settings(*pair) for pair in zip(state["param_groups"], fresh["param_groups"], strict=True)],
    }
    if schedule is None:
        return [taken], []
    (place,), of_schedule = schedules, schedule.state_dict()
    known = [name for name in PLACE_IN_SCHEDULE if name in of_schedule]
    part = like({name: place[name] for name in known}, {name: of_schedule[name] for name in known}, "lr_schedulers")
    return [taken], [of_schedule | part]


def settings(group: Any, fresh: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of an optimizer: the rates and momenta, where its schedule has led them, and all else fresh."""
    moved = {name: value for name, value in fresh.items() if isinstance(value, float | tuple)}
    return {**fresh, **like(group, moved, "optimizer_states.param_groups")}


def moments(state: Any, parameter: Tensor, group: Mapping[str, Any]) -> dict[str, Tensor]:
    """What the optimizer keeps for a parameter of a group."""
    shapes = kept(parameter, group)
    for name, value in state.items():
        if name not in shapes:
            raise ValueError(f"optimizer_states has {reprlib.repr(name)}")
        if value is None and name == MOMENTUM:  # SGD without it
            continue
        check_tensor(value, f"optimizer_states.{name}")
        if value.shape != shapes[name]:
            raise ValueError(f"optimizer_states.{name} has the shape {tuple(value.shape)}")
        if name in NOT_NEGATIVE and (value < 0).any():
            raise ValueError(f"optimizer_states.{name} is below 0")
    if state and (missing := shapes.keys() - state.keys()):
        raise ValueError(f"optimizer_states has no {min(missing)}")
    return dict(state)


def kept(parameter: Tensor, group: Mapping[str, Any]) -> dict[str, torch.Size]:
    """The shape of all that the optimizer keeps for a parameter of a group, by its name."""
    if group.get("rows"):
        return {"step": torch.Size(), "sum": parameter.shape[:1]}
    if "betas" in group:
        return {"step": torch.Size(), "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}
    return {MOMENTUM: parameter.shape}


def callbacks_of(recorded: Any) -> dict[str, Any]:
    """The states of callbacks by their names; what they hold is theirs to judge."""
    if not isinstance(recorded, dict) or not all(isinstance(state, dict) for state in recorded.values()):
        raise ValueError("callbacks is no mapping of mappings")
    timer = {"time_elapsed": {"train": 0.0}}
    return recorded | ({"Timer": like(recorded["Timer"], timer, "callbacks.Timer")} if "Timer" in recorded else {})


def forget_paths(content: dict[str, Any], trainer: L.Trainer) -> None:
    """Takes out of a checkpoint's content what Lightning's own way of restoring a ModelCheckpoint would take.

    It takes paths, and deletes what lies at them later, folders too. Such a callback begins anew.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if getattr(type(callback), "load_state_dict", None) is ModelCheckpoint.load_state_dict:
            content.get("callbacks", {}).pop(callback.state_key, None)
