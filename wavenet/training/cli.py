"""The command line behind ``train.py``: LightningCLI, with what keeps a run safe, quiet and complete."""

import logging
import sys
import threading
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn, cast

import lightning as L
import yaml
from jsonargparse import dict_to_namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, Timer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor

from wavenet.corpus.download import find_corpus
from wavenet.errors import ArgumentError, UsageError
from wavenet.inference.checkpoint import TrainedOn
from wavenet.inference.model import TrainedModel
from wavenet.inference.scoring import Score, score_of
from wavenet.network.config import NetworkConfig
from wavenet.network.layers import position_wise
from wavenet.runs import LAST, RunFolder, command, shipped
from wavenet.training.callbacks import MONITORS
from wavenet.training.callbacks.checkpoints import WholeCheckpointIO, checkpoints
from wavenet.training.callbacks.final_validation import FinalValidation
from wavenet.training.callbacks.layer_table import LayerTable
from wavenet.training.callbacks.progress import StepProgress
from wavenet.training.callbacks.record import log_results
from wavenet.training.checks import check_trainer, record_to_use
from wavenet.training.data import WordsDataModule
from wavenet.training.module import LanguageModel
from wavenet.training.optimization import OptimizationConfig
from wavenet.training.report import finish_run

DEFAULT_CONFIG = shipped("configs") / "default.yaml"
NOT_APPLICABLE = (  # Lightning's warnings about choices that are right here
    ".*does not have many workers",  # the data is in memory already
    "The number of training batches .* is smaller than the logging interval",  # steps are counted, not epochs
    "Be aware that when using `ckpt_path`, callbacks",  # an evaluation needs none of them
    "The dirpath has changed",  # a resumed run has a folder of its own
    ".*treespec, LeafSpec",  # its own, of how it calls torch
)


def language_model(
    alphabet: str, network: NetworkConfig = NetworkConfig(), optimization: OptimizationConfig = OptimizationConfig()
) -> LanguageModel:
    """What ``--model`` describes: a :class:`wavenet.LanguageModel` without the networks that only Python can give."""
    return LanguageModel(alphabet, network, optimization)


class Parser(LightningArgumentParser):
    """A parser that says what is wrong with an option by an exception, which the command's frame shows."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise UsageError(message)


class WaveNetCLI(LightningCLI):
    """fit, validate, test and predict; ``configs/default.yaml`` is read first, then ``--config`` and the options."""

    def __init__(self, args: list[str]) -> None:
        self.args = args
        defaults = {"default_config_files": [str(DEFAULT_CONFIG)]}
        super().__init__(
            language_model,
            WordsDataModule,
            args=args,
            parser_class=Parser,
            parser_kwargs={subcommand: dict(defaults) for subcommand in self.subcommands()},
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses the arguments that were given, which Lightning's own does with a warning."""
        self.config = parser.parse_args(args)

    def instantiate_classes(self) -> None:
        """Makes model, data and trainer; an argument that they refuse gets its option's whole name."""
        try:
            super().instantiate_classes()
        except ArgumentError as error:
            options = vars(self.config[self.subcommand].as_flat())
            names = [name for name in options if name == error.name or name.endswith(f".{error.name}")]
            raise ArgumentError(names[0] if len(names) == 1 else error.name, error.problem) from error

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--experiment",
            type=str,
            default="default",
            help="Name of the run's folder: <default_root_dir>/<experiment>/version_N.",
        )
        parser.add_argument("--quiet", action="store_true", help="Show the final lines only.")
        for name, callback in MONITORS.items():
            parser.add_class_arguments(callback, name)
        parser.link_arguments("model.network.block_size", "data.block_size")
        parser.link_arguments("data.alphabet", "model.alphabet", apply_on="instantiate")

    def _parse_ckpt_path(self) -> None:
        """Makes the checkpoint's settings the defaults, and refuses the given ones that contradict them."""
        subcommand = self.config.subcommand
        ckpt_path = self.config[subcommand].ckpt_path
        self.recorded: TrainedOn | None = None
        if ckpt_path is None:
            if subcommand != "fit":
                raise ArgumentError("ckpt_path", f"must name a file: {subcommand} needs trained weights, got none")
            return
        if ckpt_path in ("last", "best"):
            raise ArgumentError(
                "ckpt_path",
                f"{ckpt_path} means a checkpoint of this process, which has none: "
                f"expected a file, such as runs/default/version_0/checkpoints/{ckpt_path}.ckpt",
            )
        record = record_to_use(ckpt_path, subcommand)
        self.recorded = cast(TrainedOn, record.trained_on)
        fixed = {f"model.network.{name}": value for name, value in asdict(cast(NetworkConfig, record.network)).items()}
        fixed |= {f"model.optimization.{name}": value for name, value in record.optimization.items()}
        fixed["data.alphabet"] = record.alphabet
        defaults = {f"data.{name}": getattr(self.recorded, name) for name in ("split_seed", "deduplicate", "batching")}
        defaults |= fixed | {"data.path": str(find_corpus(self.recorded.path))}
        parser = self._subcommand_parsers[subcommand]
        with open(DEFAULT_CONFIG, encoding="utf-8") as file:
            default_config = dict_to_namespace(yaml.safe_load(file))
        parser.default_config_files = []
        parser.set_defaults({**vars(default_config.as_flat()), **defaults})
        self.config = self.parser.parse_args(self.args)
        config = self.config[subcommand]
        for name, expected in fixed.items():
            if config[name] != expected:
                raise ArgumentError(name, f"contradicts the checkpoint: expected {expected!r}, got {config[name]!r}")

    def after_instantiate_classes(self) -> None:
        if self.datamodule.batching == "words" and not position_wise(self.model.network):
            raise ArgumentError(
                "data.batching", "must be windows for a norm that keeps statistics per position, got words"
            )
        self.datamodule.setup(self.subcommand)  # what is wrong with the words is said before a run folder exists
        if self.subcommand == "predict" and self.datamodule.predict_path is not None:
            return
        corpus = self.datamodule.corpus
        if corpus.note:
            print(f"note: {corpus.note}", file=sys.stderr)
        if self.recorded is None:
            return
        if corpus.path.resolve() == find_corpus(self.recorded.path).resolve():
            self.recorded.check(corpus)
        self.datamodule.load_state_dict(asdict(self.recorded))

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        config = self._get(self.config_init, "trainer")
        check_trainer(config)
        quiet = self._get(self.config_init, "quiet")
        callbacks: list[Callback] = []
        if quiet:
            kwargs["enable_progress_bar"] = False
        elif config.enable_progress_bar is not False:
            callbacks += [StepProgress()]
        if self.subcommand == "fit":
            self.timer = Timer(config.max_time)
            kwargs["max_time"] = None  # Lightning would add a timer of its own
            callbacks += [self.timer, FinalValidation()]
            callbacks += [monitor for name in MONITORS if (monitor := self._get(self.config_init, name)).enabled]
            if config.enable_model_summary is not False and not quiet:
                callbacks += [LayerTable()]
            if config.enable_checkpointing is not False and not config.fast_dev_run:
                callbacks += checkpoints(validated=config.limit_val_batches != 0)
            if config.fast_dev_run:  # leaves nothing
                kwargs["enable_checkpointing"] = False
            if config.logger in (None, True):
                experiment = self._get(self.config_init, "experiment")
                if Path(experiment).name != experiment or experiment in ("", ".", ".."):
                    raise ArgumentError("experiment", f"must be a name without slashes, got {experiment!r}")
                kwargs["logger"] = TensorBoardLogger(config.default_root_dir, experiment, default_hp_metric=False)
        else:  # an evaluation leaves nothing behind
            kwargs.update(logger=False, enable_checkpointing=False)
            self.save_config_callback = None
        self.trainer_defaults["callbacks"] = callbacks
        plugins = config.plugins or []
        given = plugins if isinstance(plugins, list) else [plugins]
        trainer = super().instantiate_trainer(
            enable_model_summary=False, plugins=[*given, WholeCheckpointIO()], **kwargs
        )
        if trainer.world_size > 1:
            raise ArgumentError("trainer.devices", f"must be 1, got {trainer.world_size}")
        return trainer

    def fit(self, **kwargs: Any) -> None:
        """Trains; names a folder that cannot be written to, and says how to go on after an interruption."""
        try:
            self.trainer.fit(**kwargs)
            if self.trainer.checkpoint_callbacks and self.trainer.log_dir is not None:
                self.trainer.save_checkpoint(self._last_checkpoint)
        except SystemExit as stop:  # what Lightning makes of Ctrl-C and of SIGTERM
            last = self._last_checkpoint
            saved = f"; continue with {command('wavenet')} fit --ckpt_path {last}" if last.exists() else ""
            sys.stderr.write(f"interrupted at step {self.trainer.global_step}{saved}\n")
            sys.exit(143 if isinstance(stop, SIGTERMException) else 130)
        except OSError as error:
            raise OSError(
                f"cannot write to the run folder {self.trainer.log_dir}: {error.strerror or error}"
            ) from error

    @property
    def _last_checkpoint(self) -> Path:
        return RunFolder(Path(self.trainer.log_dir or ".")).checkpoint(LAST)

    def after_fit(self) -> None:
        if self.trainer.log_dir is None or not self.trainer.is_global_zero:  # a fast_dev_run leaves nothing
            return
        watched = any(isinstance(logger, TensorBoardLogger) for logger in self.trainer.loggers)
        metrics = finish_run(
            self.model,
            self.datamodule,
            run=RunFolder(Path(self.trainer.log_dir)),
            watch_dir=Path(self.trainer.default_root_dir) if watched else None,
            steps=self.trainer.global_step,
            seconds=self.timer.time_elapsed("train"),
            seed=None if (seed := self._get(self.config, "seed_everything")) is False else seed,
        )
        if self._get(self.config_init, "record").enabled:
            log_results(self.trainer, self.model, self.datamodule, metrics)

    def predict(self, **kwargs: Any) -> None:
        """Keeps the scores of the words that were predicted."""
        batches = self.trainer.predict(**{**kwargs, "return_predictions": True}) or ()
        log_probs = [log_prob for batch in batches for log_prob in cast(Tensor, batch).tolist()]
        words = self.datamodule.predict_words[: len(log_probs)]  # a limit may cut the batches
        self.scores: list[Score] = score_of(words, log_probs)

    @property
    def trained_model(self) -> TrainedModel:
        """The model, to be used."""
        return TrainedModel(self.model.network, self.model.vocabulary, self.recorded)


def run(args: list[str]) -> WaveNetCLI:
    """Trains or evaluates as the arguments say: ``["fit", "--experiment", "mine"]``.

    Raises:
        UsageError, ArgumentError: An argument is wrong.
        Exception: What goes wrong while running.
    """
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)  # devices, seeds and tips are announced below this level
    for message in NOT_APPLICABLE:
        warnings.filterwarnings("ignore", message=message)
    threading.excepthook = keep_quiet
    try:
        return WaveNetCLI(args)
    except MisconfigurationException as error:
        raise ValueError(str(error)) from error


def keep_quiet(args: threading.ExceptHookArgs) -> None:
    """Leaves it to the main thread to say that TensorBoard's writer thread cannot write."""
    if not isinstance(args.exc_value, OSError):
        threading.__excepthook__(args)
