"""``SPACE.yaml``: what a search may change, and between which values; checked before anything runs.

The file is a configuration of ``wavenet fit``, which every trial has, with one more key, ``space``: for each setting
that is searched, by its dotted name, either a list of values or a range with ``low`` and ``high``, and if wanted
``step`` or ``log: true``::

    trainer: {max_epochs: 5}
    space:
      model.optimization.learning_rate: {low: 0.003, high: 0.1, log: true}
      model.network.hidden_dim: {low: 64, high: 256, step: 32}
      model.network.activation: [gelu, gate]
"""

import reprlib
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.trial import Trial

from wavenet.errors import ArgumentError, UsageError, did_you_mean
from wavenet.experiments.trainings import ELSEWHERE, flattened, option, seed_of
from wavenet.training.planning import Plan, plan

Range = CategoricalDistribution | FloatDistribution | IntDistribution

SPACE = "space"
KEYS = ("low", "high", "step", "log")
NOT_SEARCHED = (*ELSEWHERE, "seed_everything", "init_from", "data.split_seed", "data.deduplicate", "data.alphabet")
"""Settings that no search may change: where things lie, seeds, and what the words of validation are."""


@dataclass(frozen=True)
class Space:
    """What a search may change.

    Args:
        path: The file that says it.
        options: The settings of every trial, as options of ``wavenet fit``.
        ranges: The settings that are searched, by name.
        base: A trial in which nothing is changed.
    """

    path: Path
    options: list[str]
    ranges: dict[str, Range]
    base: Plan

    def suggest(self, trial: Trial) -> dict[str, Any]:
        """The values of a trial; those that it has already stay.

        A seed of its own draws them, so that a search of one job, in which the same trials are given up, is the same.
        """
        trial.study.sampler = TPESampler(seed=(seed_of(self.base) + trial.number) % 2**32)
        return {name: suggested(trial, name, values) for name, values in self.ranges.items()}

    def unchanged(self) -> dict[str, Any] | None:
        """The values of a trial in which nothing is changed, or ``None`` if the ranges leave one of them out."""
        settings = dict(flattened(self.base.configuration))
        values = {name: settings[name] for name in self.ranges}
        return values if all(holds(self.ranges[name], value) for name, value in values.items()) else None


def read_space(path: Path, options: list[str]) -> Space:
    """Reads and checks a space.

    Args:
        path: The file.
        options: Further settings of every trial, as options of ``wavenet fit``.

    Raises:
        OSError: A file cannot be read.
        UsageError, ValueError: The file is no space; a name is no setting, or one that no search may change; a range is
            empty or turned round; or a training could not begin with a value.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not YAML: {error}") from error
    if not isinstance(content, dict) or not isinstance(given := content.pop(SPACE, None), dict) or not given:
        raise UsageError(f"{path} has no {SPACE}: expected settings and their ranges below a key of that name")
    settings = dict(flattened(content))
    if wrong := [name for name in settings if name in ELSEWHERE and name != "data.path"]:
        raise UsageError(f"{path}: {wrong[0]} cannot be set: the search says where and how its trials run")
    options = [*(option(name, value) for name, value in settings.items()), *options]
    try:
        base = plan(options)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    known = dict(flattened(base.configuration))
    for name in given:
        check_name(path, name, known)
    ranges = {name: range_of(f"{path}: {name}", values, known[name]) for name, values in given.items()}
    space = Space(path, options, ranges, base)
    for name, values in ranges.items():
        for value in ends(values):
            check_value(space, name, value)
    return space


def check_name(path: Path, name: Any, known: Mapping[str, Any]) -> None:
    """Raises a :class:`UsageError` if a name is no setting that can be searched."""
    if name in NOT_SEARCHED:
        raise UsageError(f"{path}: {name} cannot be searched: trials differ in how they train, not in their words")
    if name not in known:
        raise UsageError(f"{path}: unknown setting {name}{did_you_mean(str(name), known)}")


def range_of(place: str, given: Any, now: Any) -> Range:
    """The range that a file gives for a setting.

    Args:
        place: Where it stands, for the messages.
        given: What stands there.
        now: What the setting is without the search, which says whether whole numbers are meant.

    Raises:
        UsageError: It is no range.

    Examples:
        >>> range_of("dropout", {"low": 0, "high": 0.5}, 0.0)
        FloatDistribution(high=0.5, log=False, low=0.0, step=None)
        >>> range_of("dropout", {"low": 0.5, "high": 0.1}, 0.0)
        Traceback (most recent call last):
        ...
        wavenet.errors.UsageError: dropout: expected low below high, got low 0.5 and high 0.1
    """
    if isinstance(given, list):
        if not given or any(given.count(value) > 1 for value in given):
            raise UsageError(f"{place}: expected a list of values that differ, got {reprlib.repr(given)}")
        if not all(isinstance(value, str | int | float | None) for value in given):
            raise UsageError(f"{place}: expected a list of plain values, got {reprlib.repr(given)}")
        return CategoricalDistribution(given)
    if not isinstance(given, dict):
        raise UsageError(f"{place}: expected a list of values, or low and high, got {reprlib.repr(given)}")
    for key in given:
        if key not in KEYS:
            raise UsageError(f"{place}: expected {', '.join(KEYS)}, got {key}{did_you_mean(str(key), KEYS)}")
    low, high, step, log = (given.get(key, False if key == "log" else None) for key in KEYS)
    return between(place, low, high, step, log, whole=type(now) is not float)


def between(place: str, low: Any, high: Any, step: Any, log: Any, whole: bool) -> Range:
    """The range between two numbers, of whole ones if they are meant and given; see :func:`range_of`."""
    if any(type(end) not in (int, float) for end in (low, high)):
        raise UsageError(f"{place}: expected numbers as low and high, got low {low!r} and high {high!r}")
    if not -sys.float_info.max <= low < high <= sys.float_info.max:
        raise UsageError(f"{place}: expected low below high, got low {low} and high {high}")
    if type(log) is not bool or (log and low <= 0):
        raise UsageError(f"{place}: expected log true or false, and low above 0 for it, got log {log} and low {low}")
    if step is not None and (type(step) not in (int, float) or not 0 < step <= high - low or log):
        raise UsageError(f"{place}: expected a step above 0, no larger than the range, without log, got {step!r}")
    if step is not None and not whole_number((high - low) / step):
        raise UsageError(f"{place}: expected a step that leads from low {low} to high {high}, got {step}")
    if whole and all(type(number) is int for number in (low, high, step or 1)):
        return IntDistribution(low, high, log=log, step=step or 1)
    return FloatDistribution(low, high, log=log, step=step)


def ends(values: Range) -> Iterable[Any]:
    """The values of a range that are checked: its ends, or all of a list."""
    return values.choices if isinstance(values, CategoricalDistribution) else (values.low, values.high)


def holds(values: Range, value: Any) -> bool:
    """Whether a value is in a range.

    Examples:
        >>> holds(IntDistribution(8, 64, step=8), 24), holds(IntDistribution(8, 64, step=8), 25)
        (True, False)
    """
    if isinstance(values, CategoricalDistribution):
        return value in values.choices
    if type(value) not in (int, float) or not values.low <= value <= values.high:
        return False
    return values.step is None or whole_number((value - values.low) / values.step)


def whole_number(ratio: float) -> bool:
    """Whether a ratio is a whole number but for rounding."""
    return abs(ratio - round(ratio)) < 1e-9


def suggested(trial: Trial, name: str, values: Range) -> Any:
    """The value of a setting in a trial."""
    if isinstance(values, CategoricalDistribution):
        return trial.suggest_categorical(name, values.choices)
    suggest: Callable[..., Any] = trial.suggest_int if isinstance(values, IntDistribution) else trial.suggest_float
    return suggest(name, values.low, values.high, step=values.step, log=values.log)


def check_value(space: Space, name: str, value: Any) -> None:
    """Raises a :class:`UsageError` if no training could begin with a value of a setting.

    It may need a value of another searched setting; one other is tried at a time.
    """
    try:
        plan([*space.options, option(name, value)])
    except (ArgumentError, UsageError, ValueError) as error:
        others = [(other, x) for other, values in space.ranges.items() if other != name for x in ends(values)]
        if not any(can_begin([*space.options, option(name, value), option(other, x)]) for other, x in others):
            raise UsageError(f"{space.path}: {name} cannot be {value}: {error}") from error


def can_begin(options: list[str]) -> bool:
    """Whether a training with these options could begin."""
    try:
        plan(options)
    except ValueError:
        return False
    return True
