"""The command line behind ``train.py``: LightningCLI, with what keeps a run safe, quiet and complete."""

import logging
import os
import sys
import threading
import warnings
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn, cast

import lightning as L
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, Timer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor

from wavenet.corpus.reading import find_corpus
from wavenet.network.sliding import steppable
from wavenet.training.callbacks.health import NetworkHealth
from wavenet.training.callbacks.monitoring import (
    FinalValidation,
    RunRecord,
    TrainingScalars,
    WordSamples,
    checkpoints,
    log_results,
)
from wavenet.training.callbacks.progress import LayerTable, StepProgress
from wavenet.training.checks import check_trainer, settings_of
from wavenet.training.data import WordsDataModule
from wavenet.training.module import LanguageModel
from wavenet.training.report import finish_run

DEFAULT_CONFIG = Path(__file__).resolve().parent.parent.parent / "configs" / "default.yaml"
NOT_APPLICABLE = (  # Lightning's warnings about choices that are right here
    ".*does not have many workers",  # the data is in memory already
    "The number of training batches .* is smaller than the logging interval",  # steps are counted, not epochs
    "Be aware that when using `ckpt_path`, callbacks",  # an evaluation needs none of them
    "The dirpath has changed",  # a resumed run has a folder of its own
    ".*treespec, LeafSpec",  # its own, of how it calls torch
)


MONITORS = {"scalars": TrainingScalars, "samples": WordSamples, "record": RunRecord, "health": NetworkHealth}


class OneLineErrorParser(LightningArgumentParser):
    """A parser whose errors are one line on stderr and exit code 2."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        sys.stderr.write(f"error: {one_line(message)}\n")
        sys.exit(2)


class WaveNetCLI(LightningCLI):
    """fit, validate, test and predict; ``configs/default.yaml`` is read first, then ``--config`` and the options."""

    def __init__(self) -> None:
        if not DEFAULT_CONFIG.is_file():
            raise FileNotFoundError(f"{DEFAULT_CONFIG} not found: train from a clone, installed with pip install -e .")
        defaults = {"default_config_files": [str(DEFAULT_CONFIG)]}
        super().__init__(
            LanguageModel,
            WordsDataModule,
            parser_class=OneLineErrorParser,
            parser_kwargs={subcommand: dict(defaults) for subcommand in self.subcommands()},
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

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
        parser.link_arguments("model.block_size", "data.block_size")
        parser.link_arguments("data.alphabet", "model.alphabet", apply_on="instantiate")

    def _parse_ckpt_path(self) -> None:
        """Makes the checkpoint's settings the defaults, and refuses the given ones that contradict them."""
        subcommand = self.config.subcommand
        ckpt_path = self.config[subcommand].ckpt_path
        self.recorded: dict[str, Any] | None = None
        if ckpt_path is None:
            if subcommand != "fit":
                raise ValueError(f"{subcommand} needs trained weights: expected --ckpt_path FILE, got none")
            return
        if ckpt_path in ("last", "best"):
            raise ValueError(
                f"--ckpt_path {ckpt_path} means a checkpoint of this process, which has none: "
                f"expected a file, such as runs/default/version_0/checkpoints/{ckpt_path}.ckpt"
            )
        model, recorded = settings_of(ckpt_path, subcommand)
        data = {name: recorded[name] for name in ("split_seed", "deduplicate", "batching")}
        data |= {"path": str(find_corpus(recorded["path"])), "alphabet": model.pop("alphabet")}
        defaults = {f"model.{name}": value for name, value in model.items()}
        defaults |= {f"data.{name}": value for name, value in data.items()}
        parser = self._subcommand_parsers[subcommand]
        with open(DEFAULT_CONFIG, encoding="utf-8") as file:
            default_config = parser.parse_string(file.read(), defaults=False)
        parser.default_config_files = []
        parser.set_defaults({**vars(default_config.as_flat()), **defaults})
        self.config = self.parser.parse_args()
        config = self.config[subcommand]
        for name in (*(f"model.{name}" for name in model), "data.alphabet"):
            if config[name] != defaults[name]:
                raise ValueError(
                    f"--{name} contradicts the checkpoint: expected {defaults[name]!r}, got {config[name]!r}"
                )
        self.recorded = recorded

    def after_instantiate_classes(self) -> None:
        if self.datamodule.batching == "words" and not steppable(self.model.network):
            raise ValueError(
                "the batch-norm bug keeps statistics per position: expected --data.batching windows, got words"
            )
        self.datamodule.setup(self.subcommand)  # what is wrong with the words is said before a run folder exists
        if self.subcommand == "predict" and self.datamodule.predict_path is not None:
            return
        corpus = self.datamodule.corpus
        if corpus.note:
            print(f"note: {corpus.note}", file=sys.stderr)
        if self.recorded is None:
            return
        if self.datamodule.path == str(find_corpus(self.recorded["path"])) and corpus.sha256 != self.recorded["sha256"]:
            raise ValueError(
                f"{corpus.path} has changed since the checkpoint was written: expected SHA-256 "
                f"{self.recorded['sha256']}, got {corpus.sha256}; give --data.path to use another corpus"
            )
        self.datamodule.load_state_dict(self.recorded)

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
            if config.logger in (None, True):
                experiment = self._get(self.config_init, "experiment")
                if Path(experiment).name != experiment or not experiment:
                    raise ValueError(
                        f"--experiment names a folder: expected a name without slashes, got {experiment!r}"
                    )
                kwargs["logger"] = TensorBoardLogger(config.default_root_dir, experiment, default_hp_metric=False)
        else:  # an evaluation leaves nothing behind
            kwargs.update(logger=False, enable_checkpointing=False)
            self.save_config_callback = None
        self.trainer_defaults["callbacks"] = callbacks
        trainer = super().instantiate_trainer(enable_model_summary=False, **kwargs)
        if trainer.world_size > 1:
            raise ValueError(f"expected one device, got {trainer.world_size}: set --trainer.devices 1")
        return trainer

    def fit(self, **kwargs: Any) -> None:
        """Trains; names a folder that cannot be written to, and says how to go on after an interruption."""
        try:
            self.trainer.fit(**kwargs)
            if self.trainer.checkpoint_callbacks:
                self.trainer.save_checkpoint(self._last_checkpoint)
        except SystemExit as stop:  # what Lightning makes of Ctrl-C and of SIGTERM
            last = self._last_checkpoint
            saved = f"; continue with python train.py fit --ckpt_path {last}" if last.exists() else ""
            sys.stderr.write(f"interrupted at step {self.trainer.global_step}{saved}\n")
            sys.exit(143 if isinstance(stop, SIGTERMException) else 130)
        except OSError as error:
            raise OSError(
                f"cannot write to the run folder {self.trainer.log_dir}: {error.strerror or error}"
            ) from error

    @property
    def _last_checkpoint(self) -> Path:
        return Path(self.trainer.log_dir or ".") / "checkpoints" / "last.ckpt"

    def after_fit(self) -> None:
        if self.trainer.log_dir is None or not self.trainer.is_global_zero:  # a fast_dev_run leaves nothing
            return
        watched = any(isinstance(logger, TensorBoardLogger) for logger in self.trainer.loggers)
        metrics = finish_run(
            self.model,
            self.datamodule,
            run_dir=Path(self.trainer.log_dir),
            watch_dir=Path(self.trainer.default_root_dir) if watched else None,
            steps=self.trainer.global_step,
            seconds=self.timer.time_elapsed("train"),
            seed=None if (seed := self._get(self.config, "seed_everything")) is False else seed,
        )
        if self._get(self.config_init, "record").enabled:
            log_results(self.trainer, self.model, self.datamodule, metrics)

    def predict(self, **kwargs: Any) -> None:
        """Writes a line ``word<TAB>log-probability in nats`` to stdout for each word."""
        batches = self.trainer.predict(**{**kwargs, "return_predictions": True}) or ()
        log_probs = [log_prob for batch in batches for log_prob in cast(Tensor, batch).tolist()]
        for word, log_prob in zip(
            self.datamodule.predict_words, log_probs, strict=False
        ):  # a limit may cut the batches
            print(f"{word}\t{log_prob:.4f}")


def one_line(message: object) -> str:
    """The message on a single line."""
    if isinstance(message, OSError) and message.filename is not None:
        message = f"{message.filename}: {message.strerror}"
    return " ".join(str(message).split())


def keep_quiet(args: threading.ExceptHookArgs) -> None:
    """Leaves it to the main thread to say that TensorBoard's writer thread cannot write."""
    if not isinstance(args.exc_value, OSError):
        threading.__excepthook__(args)


def main() -> None:
    """Runs the command line; what a user can cause ends in one line on stderr and exit code 1."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)  # devices, seeds and tips are announced below this level
    for message in NOT_APPLICABLE:
        warnings.filterwarnings("ignore", message=message)
    threading.excepthook = keep_quiet
    for stream in (sys.stdout, sys.stderr):
        cast(TextIOWrapper, stream).reconfigure(errors="backslashreplace")  # a narrow terminal must not end a run
    try:
        WaveNetCLI()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe, such as head, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    except (ValueError, OSError, RuntimeError, ImportError, MisconfigurationException) as error:
        if os.environ.get("WAVENET_TRACEBACK"):
            raise
        sys.stderr.write(f"error: {one_line(error)}\n")
        sys.exit(1)
