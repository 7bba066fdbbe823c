"""The configurations among the arguments of the command line: where they stand, and what they set."""

import argparse
from pathlib import Path
from typing import Any

import yaml

from wavenet.errors import UsageError


def configs_first(args: list[str]) -> list[str]:
    """The arguments with every ``--config`` before the other options, so that an option wins wherever it stands.

    Raises:
        UsageError: A ``--config`` names no file.

    Examples:
        >>> configs_first(["fit", "--trainer.max_epochs", "60", "--config", "a.yaml", "-c=b.yaml"])
        ['fit', '--config=a.yaml', '--config=b.yaml', '--trainer.max_epochs', '60']
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("-c", "--config", action="append", default=[])
    try:
        found, others = parser.parse_known_args(args)
    except argparse.ArgumentError as error:
        raise UsageError(str(error)) from error
    return [*others[:1], *(f"--config={path}" for path in found.config), *others[1:]]


def keys_of(config: Path) -> list[str]:
    """The options that a configuration sets, by their whole names; none if it cannot be read."""
    try:
        content = yaml.safe_load(config.read_bytes())
    except (OSError, ValueError, yaml.YAMLError):
        return []
    found: list[str] = []

    def collect(prefix: str, values: Any) -> None:
        if isinstance(values, dict):
            for key, value in values.items():
                collect(f"{prefix}.{key}" if prefix else str(key), value)
        elif prefix:
            found.append(prefix)

    collect("", content)
    return found
