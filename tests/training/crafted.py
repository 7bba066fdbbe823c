"""Checkpoints that somebody has written on purpose: what each changes in a real one, by a name that says it."""

from collections.abc import Callable
from typing import Any

import torch

Content = dict[str, Any]
Change = Callable[[Content], object]
WEIGHT, VARIANCE = "network.0.2.weight", "network.0.3.running_var"


def put(*path: Any, value: Any) -> Change:
    """Replaces what lies at a path of keys."""

    def change(content: Content) -> None:
        place: Any = content
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


def bomb(depth: int = 40) -> list[Any]:
    """A list that is small in memory, and endless for what walks through it."""
    nested: list[Any] = [1]
    for _ in range(depth):
        nested = [nested, nested]
    return nested


LOOP = ("loops", "fit_loop")
STEPS = (*LOOP, "epoch_loop.automatic_optimization.optim_progress", "optimizer", "step", "total")
FIRST = ("optimizer_states", 0)
CORPUS, NETWORK = "WordsDataModule", ("hyper_parameters", "network")

FOR_ALL: dict[str, Change] = {  # no command can use these
    "a weight of another shape": put("state_dict", WEIGHT, value=torch.zeros(3, 3)),
    "a weight that is no number": put("state_dict", WEIGHT, value=torch.full((8, 8), torch.nan)),
    "a weight too large for float32": put("state_dict", WEIGHT, value=torch.full((8, 8), 1e300, dtype=torch.float64)),
    "weights whose products are infinite": put("state_dict", WEIGHT, value=torch.full((8, 8), 3e38)),
    "a complex weight": put("state_dict", WEIGHT, value=torch.zeros(8, 8, dtype=torch.complex64)),
    "a weight of truth values": put("state_dict", WEIGHT, value=torch.zeros(8, 8, dtype=torch.bool)),
    "a sparse weight": put("state_dict", WEIGHT, value=torch.zeros(8, 8).to_sparse()),
    "a weight on meta": put("state_dict", WEIGHT, value=torch.zeros(8, 8, device="meta")),
    "one number seen as many": put("state_dict", WEIGHT, value=torch.zeros(1).expand(2**20, 2**20)),
    "a weight that is a string": put("state_dict", WEIGHT, value="/etc/passwd"),
    "a weight too few": lambda content: content["state_dict"].pop(WEIGHT),
    "a weight too many": put("state_dict", "network.99.weight", value=torch.zeros(2)),
    "a weight without a name": put("state_dict", 5, value=torch.zeros(2)),
    "weights that are no mapping": put("state_dict", value=[1]),
    "a variance below zero": put("state_dict", VARIANCE, value=torch.full((8,), -1.0)),
    "a count below zero": put("state_dict", "network.0.3.num_batches_tracked", value=torch.tensor(-1)),
    "no settings": put("hyper_parameters", value=None),
    "an alphabet that is a list": put("hyper_parameters", "alphabet", value=["a"]),
    "an alphabet that steers terminals": put("hyper_parameters", "alphabet", value="\x1bbcdefghij"),
    "an alphabet with a character twice": put("hyper_parameters", "alphabet", value="aabcdefghi"),
    "an alphabet that walks for ever": put("hyper_parameters", "alphabet", value=bomb()),
    "a layer wider than memory": put(*NETWORK, "hidden_dim", value=2**40),
    "an embedding wider than numbers": put(*NETWORK, "embedding_dim", value=2**70),
    "a context longer than memory": put(*NETWORK, "block_size", value=2**62),
    "more levels than can be multiplied": put(*NETWORK, "group_size", value=(2,) * 100_000),
    "levels that walk for ever": put(*NETWORK, "group_size", value=bomb()),
    "a width that walks for ever": put(*NETWORK, "hidden_dim", value=bomb()),
    "an unknown activation": put(*NETWORK, "activation", value="os.system"),
    "a hyper-parameter that there is not": put(*NETWORK, "path", value="/tmp"),
    "a network that is a list": put("hyper_parameters", "network", value=[]),
    "a corpus that is a list": put(CORPUS, value=[]),
    "a corpus whose path is a number": put(CORPUS, "path", value=7),
    "a corpus whose path is endless": put(CORPUS, "path", value="a/" * 100_000),
    "a corpus whose path holds a zero": put(CORPUS, "path", value="words\0.txt"),
    "a corpus that walks for ever": put(CORPUS, "split_seed", value=bomb()),
    "counts of words that are none": put(CORPUS, "words", value={"train": -1}),
    "a format that walks for ever": put("format", value=bomb()),
}

FOR_LIGHTNING: dict[str, Change] = {  # sample, score and top do without these
    "a version of Lightning that is none": put("pytorch-lightning_version", value="banana"),
    "a version of Lightning before this package": put("pytorch-lightning_version", value="0.7.1"),
    "a version of Lightning that is a list": put("pytorch-lightning_version", value=bomb()),
    "optimization that is a list": put("hyper_parameters", "optimization", value=[]),
    "an unknown optimizer": put("hyper_parameters", "optimization", "optimizer", value="adam"),
    "a learning rate that is no number": put("hyper_parameters", "optimization", "learning_rate", value=float("nan")),
}

FOR_FIT: dict[str, Change] = {  # only a training that goes on needs these
    "a step below zero": put("global_step", value=-5),
    "a step beyond all numbers": put("global_step", value=10**30),
    "a step that is a string": put("global_step", value="12"),
    "steps that contradict each other": put("global_step", value=3),
    "done steps that are a string": put(*STEPS, "completed", value="12"),
    "an epoch that is a string": put("epoch", value="2"),
    "an epoch below zero": put("epoch", value=-1),
    "no loops": put("loops", value=None),
    "loops that are a list": put("loops", "fit_loop", value=[]),
    "a batch that is a string": put(*LOOP, "epoch_loop.batch_progress", "current", "ready", value="/"),
    "a batch below zero": put(*LOOP, "epoch_loop.batch_progress", "current", "ready", value=-4),
    "a last batch that is a number": put(*LOOP, "epoch_loop.batch_progress", "is_last_batch", value=3),
    "a loop that walks for ever": put(*LOOP, "epoch_progress", value=bomb()),
    "two optimizers": lambda content: content["optimizer_states"].append({}),
    "no optimizer": put("optimizer_states", value=[]),
    "a moment of another shape": put(*FIRST, "state", 0, "exp_avg", value=torch.zeros(2)),
    "a moment that is no number": put(*FIRST, "state", 0, "exp_avg", value=torch.full((11, 4), torch.inf)),
    "a square below zero": put(*FIRST, "state", 0, "exp_avg_sq", value=torch.full((11, 4), -1.0)),
    "a moment seen as many": put(*FIRST, "state", 0, "exp_avg", value=torch.zeros(1).expand(2**20, 2**20)),
    "a moment of nothing": put(*FIRST, "state", 99, value={"step": torch.tensor(1.0)}),
    "a moment by another name": put(*FIRST, "state", 0, "path", value="/"),
    "moments that are a list": put(*FIRST, "state", value=[]),
    "no groups": put(*FIRST, "param_groups", value=[]),
    "a rate that is a string": put(*FIRST, "param_groups", 0, "lr", value="high"),
    "a rate that is no number": put(*FIRST, "param_groups", 0, "lr", value=float("nan")),
    "momenta that are one": put(*FIRST, "param_groups", 0, "betas", value=(0.9,)),
    "no schedule": put("lr_schedulers", value=[]),
    "a schedule of no steps": put("lr_schedulers", 0, "total_steps", value=0),
    "a schedule that is a string": put("lr_schedulers", 0, value="/"),
    "a place in the schedule that is a string": put("lr_schedulers", 0, "last_epoch", value="now"),
    "callbacks that are a list": put("callbacks", value=[]),
    "a callback's state that is a path": put("callbacks", "Timer", value="/"),
    "a time that is a string": put("callbacks", "Timer", "time_elapsed", "train", value="long"),
}

HARMLESS: dict[str, Change] = {  # what is not needed is not looked at
    "more entries": put("path", value="/"),
    "an entry that walks for ever": put("more", value=bomb()),
    "an unknown callback": put("callbacks", "Unknown", value={"dirpath": "/"}),
    "more in a loop": put(*LOOP, "path", value="/"),
    "more in a schedule": put("lr_schedulers", 0, "optimizer", value="/"),
    "phases that divide by zero": put("lr_schedulers", 0, "_schedule_phases", value=[]),
    "another way to step": put(*FIRST, "param_groups", 0, "maximize", value=bomb()),
    "another name of the settings": put("hparams_name", value="eval"),
    "a step of another plugin": put("native_amp_scaling_state", value="/"),
}
