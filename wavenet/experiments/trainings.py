"""A training of an experiment: where it lies, what it depends on, and whether it has to be run."""

import ast
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import wavenet
from wavenet.runs import LAST, PACKAGE, RunFolder, whole_file
from wavenet.training.planning import Plan, plan

FINGERPRINT = "fingerprint.json"
ROOMS = ("corpus", "network", "training")  # whose code decides what a training makes
PLACES = ("experiment", "trainer.default_root_dir", "data.path", "data.predict_path", "config", "ckpt_path")
OF_A_CALL = ("threads", "quiet", "resume", "checkpoint_seconds", "weights_only")
ELSEWHERE = frozenset((*PLACES, *OF_A_CALL))
"""Settings that say where and how a training runs, not what it makes."""


@dataclass(frozen=True, eq=False)
class Training:
    """A training of an experiment, with one seed.

    Args:
        label: What is trained, as the reports call it.
        seed: Its seed.
        options: Of ``wavenet fit``, save those that say where it lies.
        plan: What they amount to.
        folder: Where its runs lie: ``runs/<name>/<label>/seed_<seed>``.
    """

    label: str
    seed: int
    options: Sequence[str]
    plan: Plan
    folder: Path

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What its result depends on."""
        settings = {name: value for name, value in flattened(self.plan.configuration) if name not in ELSEWHERE} | {
            "seed_everything": self.seed
        }
        return {"configuration": settings, "corpus": self.plan.corpus.sha256, "code": code_version()}

    @property
    def log(self) -> Path:
        """What the training prints."""
        return self.folder / "log.txt"

    def known_run(self) -> RunFolder | None:
        """The run, finished or begun, of just this training, if there is one."""
        path = self.folder / FINGERPRINT
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            run = RunFolder(self.folder / content.pop("run"))
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        return run if content == self.fingerprint else None

    def finished_run(self) -> RunFolder | None:
        """The finished run of this training, if there is one."""
        run = self.known_run()
        return run if run is not None and run.metrics.is_file() else None

    def start_options(self, threads: int | None) -> list[str]:
        """The options to begin it with, or to go on where it was stopped; what is begun is noted in its folder."""
        how = ["--quiet", *([] if threads is None else [f"--threads={threads}"])]
        run = self.known_run()
        if run is not None and run.checkpoint(LAST).is_file():
            return [*how, f"--ckpt_path={run.checkpoint(LAST)}"]
        root, experiment = self.folder.parent, self.folder.name
        run = RunFolder.new(root, experiment)
        self.folder.mkdir(parents=True, exist_ok=True)
        with whole_file(self.folder / FINGERPRINT) as file:
            json.dump({"run": run.path.name, **self.fingerprint}, file, indent=2, ensure_ascii=False)
        where = [f"--trainer.default_root_dir={root}", f"--experiment={experiment}", f"--seed_everything={self.seed}"]
        return [*self.options, *where, *how]


@cache
def code_version() -> str:
    """The version of the package, and a digest of the code that trains, comments and layout aside."""
    digest = hashlib.sha256()
    for room in ROOMS:
        for path in sorted((PACKAGE / room).rglob("*.py")):
            digest.update(ast.dump(ast.parse(path.read_bytes())).encode())
    return f"{wavenet.__version__} {digest.hexdigest()[:16]}"


def flattened(configuration: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a nested configuration by the dotted names of their options.

    Examples:
        >>> dict(flattened({"data": {"path": "a.txt"}, "seed": 1}))
        {'data.path': 'a.txt', 'seed': 1}
    """
    for key, value in configuration.items():
        if isinstance(value, Mapping) and value:
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A nested configuration of dotted names: the way back of :func:`flattened`.

    Examples:
        >>> nested({"data.path": "a.txt", "seed": 1})
        {'data': {'path': 'a.txt'}, 'seed': 1}
    """
    found: dict[str, Any] = {}
    for name, value in settings.items():
        *groups, last = name.split(".")
        place = found
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = value
    return found


def option(name: str, value: Any) -> str:
    """The option of ``wavenet fit`` that gives a setting this value.

    Examples:
        >>> option("trainer.check_val_every_n_epoch", None), option("data.path", "a b.txt")
        ('--trainer.check_val_every_n_epoch=null', '--data.path=a b.txt')
    """
    return f"--{name}={value if isinstance(value, str) else json.dumps(value)}"


def planned(options: Sequence[str], max_steps: int | None) -> tuple[Plan, list[str]]:
    """The plan of a training with these options, shortened, and the options that do it.

    Raises:
        UsageError, ArgumentError, OSError, ValueError: See :func:`wavenet.training.planning.plan`.
    """
    whole = plan(list(options))
    more = shortened(whole, max_steps)
    return (plan([*options, *more]) if more else whole), [*options, *more]


def shortened(whole: Plan, max_steps: int | None) -> list[str]:
    """The options that end a training after so many steps, if it would take more, and show its curve all the same."""
    if max_steps is None or (whole.steps is not None and whole.steps <= max_steps):
        return []
    settings = {
        "trainer.max_steps": max_steps,
        "trainer.max_epochs": -1,
        "trainer.val_check_interval": max(1, max_steps // 10),
        "trainer.check_val_every_n_epoch": None,
        "trainer.log_every_n_steps": max(1, max_steps // 50),
    }
    return [option(name, value) for name, value in settings.items()]


def seed_of(training: Plan) -> int:
    """The seed that a configuration has, or 1337."""
    seed = training.configuration.get("seed_everything")
    return seed if type(seed) is int else 1337
