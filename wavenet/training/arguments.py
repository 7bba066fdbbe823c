"""What the command line is told: its options, and the settings that a checkpoint and its run give them."""

import argparse
import os
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import Any, ClassVar, NoReturn, cast, get_args

import yaml
from jsonargparse.typing import class_from_function
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from wavenet.errors import ArgumentError, UsageError, did_you_mean
from wavenet.inference.checkpoint import Record
from wavenet.inference.trained_on import TrainedOn
from wavenet.network.config import NetworkConfig
from wavenet.runs import TO_CONTINUE, TO_USE, RunFolder, find_checkpoint, shipped, unfinished_run
from wavenet.training.callbacks import MONITORS
from wavenet.training.callbacks.checkpoints import CHECKPOINT_SECONDS
from wavenet.training.checks import record_to_use
from wavenet.training.configs import configs_first, keys_of
from wavenet.training.continuing import settings_of
from wavenet.training.data import WordsDataModule
from wavenet.training.module import LanguageModel
from wavenet.training.optimization import OptimizationConfig
from wavenet.training.processes import options_of_launcher
from wavenet.training.recipe import chosen_for

DEFAULT_CONFIG = shipped("configs") / "default.yaml"
BLOCK_SIZE, LINKED = "model.network.block_size", "data.block_size"  # the second follows the first
NOT_GIVEN = -(2**60)  # a block size that nobody types

MAY_CHANGE = (
    "model.network.dropout",
    *(f"model.optimization.{name}" for name in ("learning_rate", "weight_decay", "ngram_learning_rate")),
)
"""The settings that a training may go on with otherwise than a checkpoint has them."""


def language_model(
    alphabet: str,
    network: NetworkConfig = NetworkConfig(),
    optimization: OptimizationConfig = OptimizationConfig(),
    labels: dict[str, int] | None = None,
) -> LanguageModel:
    """What ``--model`` describes: a :class:`wavenet.LanguageModel` without the networks that only Python can give."""
    return LanguageModel(alphabet, network, optimization, labels)


MODEL = class_from_function(language_model)


def expanded(root: str) -> Path:
    """A folder that an option names, with its ``~`` and variables filled in."""
    return Path(os.path.expandvars(root)).expanduser()


class Parser(LightningArgumentParser):
    """A parser that says what is wrong with an option by an exception, which the command's frame shows."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise UsageError(message)


def settings_of_record(record: Record, trained_on: TrainedOn) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options that a checkpoint gives defaults, and those among them that cannot be others."""
    fixed = {f"model.network.{name}": value for name, value in asdict(cast(NetworkConfig, record.network)).items()}
    fixed |= {f"model.optimization.{name}": value for name, value in record.optimization.items()}
    fixed["data.alphabet"] = record.alphabet
    fixed["data.label_counts"] = record.label_counts
    column = trained_on.label_column
    defaults = {f"data.{name}": getattr(trained_on, name) for name in ("split_seed", "deduplicate", "batching")}
    defaults |= fixed | {"data.path": trained_on.path, "data.labels": column is not None}
    if column is not None:
        defaults["data.label_column"] = column
    elif record.labels is None:
        fixed["data.labels"] = False
    return defaults, fixed


class WordsCLI(LightningCLI):
    """Parses the options. Each of these wins over those before it: what stands in ``configs/default.yaml``, what a
    checkpoint and its run say, what ``--config`` says, and what is typed."""

    _made: ClassVar[dict[tuple[str, ...], tuple[Any, Any, Any]]] = {}  # parsers, by the subcommands that they know

    def __init__(self, args: list[str]) -> None:
        self.args = args = configs_first(args)
        defaults = {"default_config_files": [str(DEFAULT_CONFIG)]}
        super().__init__(
            MODEL,
            WordsDataModule,
            args=args,
            parser_class=Parser,
            parser_kwargs={"allow_abbrev": False, **{name: dict(defaults) for name in self.subcommands()}},
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            save_config_callback=None,
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """The subcommand that is called, alone: to make the parsers of the others takes a third of the time."""
        known = LightningCLI.subcommands()
        return {name: known[name] for name in self.args[:1] if name in known} or known

    def _set_seed(self) -> None:
        """Seeds all random numbers; ``true`` draws the seed, which is recorded like one that was given."""
        config = self.config[self.config.subcommand]
        if config.seed_everything is True:
            config.seed_everything = random.SystemRandom().randrange(2**32)
        if config.seed_everything is not False and not 0 <= config.seed_everything < 2**32:
            raise ArgumentError("seed_everything", f"must be from 0 to {2**32 - 1}, got {config.seed_everything}")
        super()._set_seed()

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses the arguments that were given, which Lightning's own does with a warning.

        Raises:
            UsageError: They cannot be parsed.
            ArgumentError: A configuration has a value where options are expected, or ``null`` where that is no value.
        """
        for config in (arg.removeprefix("--config=") for arg in args if arg.startswith("--config=")):
            for key in keys_of(Path(config)):
                if f"--{key}" in self._groups(args[0]):
                    raise ArgumentError(key, f"must be options and their values, got something else in {config}")
        try:
            self.config = parser.parse_args(args)
        except UsageError as error:
            raise UsageError(f"{error}{self._hint(args)}") from error
        self._check_nulls()

    def _check_nulls(self) -> None:
        """Raises an :class:`ArgumentError` for ``null`` where that is no value.

        In a configuration the parser lets it pass, whatever the type.
        """
        config = self.config[self.config.subcommand]
        for action in self._subcommand_parsers[self.config.subcommand]._actions:
            kind = getattr(action, "_typehint", None)
            if kind is None or action.default == argparse.SUPPRESS or NoneType in get_args(kind):
                continue
            if config[action.dest] is None:
                raise ArgumentError(action.dest, f"must be of type {getattr(kind, '__name__', kind)}, got None")

    def _groups(self, subcommand: str) -> set[str]:
        """What stands before the dots of options."""
        options = self._subcommand_parsers[subcommand]._option_string_actions
        return {option.rpartition(".")[0] for option in options if not option.endswith(".help")}

    def _hint(self, args: list[str]) -> str:
        """The option that may be meant by the first that there is not, on the command line or in a ``--config``."""
        options = self._subcommand_parsers[args[0]]._option_string_actions
        known = [option for option in options if not option.endswith(".help")]
        groups = self._groups(args[0])
        objects = tuple(f"{option}." for option in known if option not in groups)  # what these take is not listed

        def unknown(name: str) -> bool:
            return name.startswith("--") and name not in options and not name.startswith(objects)

        for arg in args:
            name, _, value = arg.partition("=")
            for key in keys_of(Path(value)) if name == "--config" else ():
                if unknown(f"--{key}"):
                    near = did_you_mean(key, [option.removeprefix("--") for option in known])
                    return f"; {value} has an unknown {key}{near}"
            if unknown(name.rstrip("+")):
                return did_you_mean(name.rstrip("+"), known)
        return ""

    def before_instantiate_classes(self) -> None:
        """Fills in the settings that a launcher of processes and the words decide, where nobody has given them."""
        for option, count in options_of_launcher(self.given).items():
            self.config[self.subcommand][option] = count
        self.chosen: dict[str, float] = {}
        if self.subcommand != "fit":
            return
        config, given = self.config[self.subcommand], self.settings_of_the_run | self.given
        settled = {option: value for option, value in vars(config.as_flat()).items() if option.startswith("model.")}
        if self.recorded is not None:
            given |= settled
        if self.taken_from is not None:  # the rule does not choose another shape than the checkpoint's
            given |= {option: value for option, value in settled.items() if option not in MAY_CHANGE}
        data = config.data
        how = {name: data[name] for name in ("split_seed", "deduplicate", "labels", "label_column")}
        words = WordsDataModule(data.path, **how).split.train.words
        self.chosen = chosen_for(words, given)
        for option, value in self.chosen.items():
            config[option] = value
        config[LINKED] = config[BLOCK_SIZE]

    def setup_parser(self, *args: Any) -> None:
        """Makes the parsers of the subcommand, once in a process: experiments plan many trainings."""
        names = tuple(self.subcommands())
        if names not in self._made:
            super().setup_parser(*args)
            if "fit" in self._subcommand_parsers:
                self._add_arguments_to_fit()
            self._made[names] = self.parser, self._subcommand_parsers, self._subcommand_method_arguments
        self.parser, self._subcommand_parsers, self._subcommand_method_arguments = self._made[names]
        for parser in (self.parser, *self._subcommand_parsers.values()):
            vars(parser).pop("print_config", None)  # which a command that failed leaves there

    def _add_arguments_to_fit(self) -> None:
        """Adds the options that only a training has."""
        self._subcommand_parsers["fit"].add_argument(
            "--init_from",
            type=str | None,
            default=None,
            help="Checkpoint whose weights, and shape, training begins with.",
        )
        self._subcommand_parsers["fit"].add_argument(
            "--resume",
            action="store_true",
            help="Go on with the newest unfinished run, of --experiment if it is given.",
        )
        self._subcommand_parsers["fit"].add_argument(
            "--checkpoint_seconds",
            type=float,
            default=CHECKPOINT_SECONDS,
            help="How old last.ckpt may get; 0 writes it after each step.",
        )

    @cached_property
    def given(self) -> dict[str, Any]:
        """The options that stand on the command line or in a ``--config``."""
        name, *rest = self.args
        linked = f"--{BLOCK_SIZE}={NOT_GIVEN}"  # jsonargparse wants a value for what is linked
        given = vars(self.parser.parse_args([name, linked, *rest], defaults=False)[name].as_flat())
        return {option: value for option, value in given.items() if (option, value) != (BLOCK_SIZE, NOT_GIVEN)}

    def instantiate_classes(self) -> None:
        """Makes model, data and trainer; an argument that they refuse gets its option's whole name."""
        try:
            super().instantiate_classes()
        except ArgumentError as error:
            options = vars(self.config[self.subcommand].as_flat())
            names = [name for name in options if name == error.name or name.endswith(f".{error.name}")]
            names = [name for name in names if name != LINKED] or names
            raise ArgumentError(names[0] if len(names) == 1 else error.name, error.problem) from error

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--experiment",
            type=str,
            default="default",
            help="Name of the run's folder: <default_root_dir>/<experiment>/version_N.",
        )
        parser.add_argument("--quiet", action="store_true", help="Show the final lines only.")
        parser.add_argument(
            "--threads", type=int | None, default=None, help="Threads of each process; by default as many as pay."
        )
        for name, callback in MONITORS.items():
            parser.add_class_arguments(callback, name)
        parser.link_arguments(BLOCK_SIZE, LINKED)
        parser.link_arguments("data.alphabet", "model.alphabet", apply_on="instantiate")
        parser.link_arguments("data.label_counts", "model.labels", apply_on="instantiate")

    def _parse_ckpt_path(self) -> None:
        """Makes the settings of the checkpoint and its run the defaults, and refuses given ones that contradict it."""
        subcommand = self.config.subcommand
        ckpt_path = self.config[subcommand].ckpt_path
        self.recorded: TrainedOn | None = None
        self.continued: RunFolder | None = None
        self.settings_of_the_run: dict[str, Any] = {}
        self.taken_from: Record | None = None
        init_from = self.config[subcommand].get("init_from")
        if resuming := self.config[subcommand].get("resume", False):
            if ckpt_path is not None:
                raise ArgumentError("resume", "finds the checkpoint itself: expected it without --ckpt_path")
            ckpt_path = self._unfinished()
        if ckpt_path is None:
            if subcommand != "fit":
                raise ArgumentError("ckpt_path", f"must name a file: {subcommand} needs trained weights, got none")
            if init_from is not None:
                self._take_shape(init_from)
            return
        if init_from is not None:
            raise ArgumentError(
                "init_from",
                "begins a training, and --ckpt_path goes on with one, as --resume does: expected one of them",
            )
        if ckpt_path in ("last", "best"):
            raise ArgumentError(
                "ckpt_path",
                f"{ckpt_path} means a checkpoint of this process, which has none: "
                f"expected a file, such as runs/default/version_0/checkpoints/{ckpt_path}.ckpt",
            )
        found = self._found(ckpt_path, TO_CONTINUE if subcommand == "fit" else TO_USE)
        record = record_to_use(found, going_on=subcommand == "fit")
        self.recorded = cast(TrainedOn, record.trained_on)
        defaults, fixed = settings_of_record(record, self.recorded)
        if subcommand == "fit":
            self._take_settings_of_the_run(found, resuming)
            fixed = {name: value for name, value in fixed.items() if name not in MAY_CHANGE}
        self._parse_again(defaults, fixed)
        self.config[subcommand].ckpt_path = found

    def _unfinished(self) -> str:
        """The last checkpoint of the run that ``--resume`` goes on with, which is said."""
        root, experiment = self.config.fit.trainer.default_root_dir, self.given.get("experiment")
        found = unfinished_run(expanded(root), experiment)
        sys.stderr.write(f"using {found}\n")
        return str(found)

    @staticmethod
    def _found(path: str, names: Sequence[str]) -> str:
        """The checkpoint that a file or a folder of runs stands for, which is said if it is not the same."""
        found = find_checkpoint(Path(path), names)
        if found != Path(path):
            sys.stderr.write(f"using {found}\n")
        return str(found)

    def _take_shape(self, init_from: str) -> None:
        """Makes the network as the checkpoint has it, save for its dropout, and keeps its weights for it."""
        record = self.taken_from = record_to_use(self._found(init_from, TO_USE))
        shape = {f"model.network.{name}": value for name, value in asdict(cast(NetworkConfig, record.network)).items()}
        del shape["model.network.dropout"]
        self._parse_again(shape, shape)

    def _parse_again(self, defaults: dict[str, Any], fixed: dict[str, Any]) -> None:
        """Parses again, a checkpoint's settings before those that were given, and refuses what contradicts it."""
        name, *rest = self.args
        settings = yaml.safe_dump(self.settings_of_the_run | defaults)
        self.config = self.parser.parse_args([name, f"--config={settings}", *rest])
        self._check_nulls()
        for option, expected in fixed.items():
            if (got := self.config[name][option]) != expected:
                raise ArgumentError(option, f"contradicts the checkpoint: expected {expected!r}, got {got!r}")

    def _take_settings_of_the_run(self, ckpt_path: str, resuming: bool) -> None:
        """Makes the run that a checkpoint lies in go on with its settings, and in its folder."""
        run = RunFolder.of_checkpoint(ckpt_path)
        if run is None:
            return
        given, settings = self.given, settings_of(run, set(vars(self.config.fit.as_flat())))
        for bound, other in (("trainer.max_steps", "trainer.max_epochs"), ("trainer.max_epochs", "trainer.max_steps")):
            if bound in given:  # it takes the place of both bounds that the run had
                settings[other] = -1
        self.settings_of_the_run = settings | {"trainer.default_root_dir": str(run.root), "experiment": run.experiment}
        root = Path(given.get("trainer.default_root_dir") or run.root)
        if resuming or ("experiment" not in given and root.resolve() == run.root.resolve()):
            self.continued = run
