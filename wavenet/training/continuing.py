"""How a run that goes on in its folder knows its settings: from the ``config.yaml`` that it began with."""

import sys
from collections.abc import Collection, Iterator
from typing import Any

import yaml

from wavenet.runs import RunFolder

CLASSES = ("callbacks", "logger", "plugins", "profiler", "strategy")  # the trainer's options that may name a class
OF_A_CALL = ("config", "ckpt_path", "resume", "weights_only", "quiet")  # options of one call, not of the run


def settings_of(run: RunFolder, names: Collection[str]) -> dict[str, Any]:
    """The settings that a run has in its ``config.yaml``, of those options; none if it has no such file.

    Whatever may name a class is left out, with a note: nobody asked for what that would import.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not UTF-8, or no configuration.
    """
    if not run.config.is_file():
        return {}
    try:
        config = yaml.safe_load(run.config.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{run.config} is not YAML: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{run.config} holds no configuration: expected options and their values")
    classes = [f"trainer.{name}" for name in CLASSES]
    found = dict(flattened(config, {*names, *classes}))
    for name in classes:
        if isinstance(found.pop(name, None), dict | list):
            print(f"note: --{name} of {run.config} is not taken over; give it again if it is wanted", file=sys.stderr)
    return {name: value for name, value in found.items() if name not in OF_A_CALL}


def flattened(config: dict[str, Any], names: Collection[str], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a nested configuration by the dotted names of their options; other names are passed over.

    Examples:
        >>> dict(flattened({"data": {"path": "a.txt", "old": 1}}, ["data.path"]))
        {'data.path': 'a.txt'}
    """
    for key, value in config.items():
        if (name := f"{prefix}{key}") in names:
            yield name, value
        elif isinstance(value, dict):
            yield from flattened(value, names, f"{name}.")
