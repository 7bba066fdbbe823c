"""The command line behind ``train.py``: LightningCLI, with what keeps a run safe, quiet and complete."""

import logging
import os
import sys
import threading
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import lightning as L
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, Timer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor

from wavenet.corpus.oddities import oddities
from wavenet.errors import ArgumentError, Interrupted
from wavenet.inference.model import TrainedModel
from wavenet.inference.scoring import Score, score_of
from wavenet.inference.trained_on import TrainedOn
from wavenet.network.layers import position_wise, receptive_field
from wavenet.network.threads import TOKENS, set_threads
from wavenet.runs import LAST, RunFolder, command
from wavenet.training.arguments import WordsCLI, expanded
from wavenet.training.callbacks import MONITORS
from wavenet.training.callbacks.checkpoints import WholeCheckpointIO, checkpoints
from wavenet.training.callbacks.final_validation import FinalValidation
from wavenet.training.callbacks.layer_table import LayerTable
from wavenet.training.callbacks.progress import StepProgress
from wavenet.training.callbacks.random_states import RandomStates
from wavenet.training.callbacks.record import log_results
from wavenet.training.callbacks.start import GoingOn, SameEverywhere, SavedConfiguration
from wavenet.training.checks import check_processes, check_trainer, has_bf16, wrong_trainer_options
from wavenet.training.fine_tuning import take_weights
from wavenet.training.processes import end_children, one_voice, own_number
from wavenet.training.recipe import describe
from wavenet.training.report import Training, finish_run

NOT_APPLICABLE = (  # Lightning's warnings about choices that are right here
    ".*does not have many workers",  # the data is in memory already
    "The number of training batches .* is smaller than the logging interval",  # steps are counted, not epochs
    "Be aware that when using `ckpt_path`, callbacks",  # an evaluation needs none of them
    "You're resuming from a checkpoint that ended before the epoch ended",  # batches go on where they were
    "Checkpoint directory .* exists and is not empty",  # it is that of the run that goes on
    "It is recommended to use .*sync_dist=True",  # the losses are those of all processes already
    ".*treespec, LeafSpec",  # its own, of how it calls torch
)


class WaveNetCLI(WordsCLI):
    """fit, validate, test and predict, of what the options say."""

    run_folder: RunFolder | None = None  # what a training writes to

    def __init__(self, args: list[str]) -> None:
        with ExitStack() as self.until_the_end:
            super().__init__(args)

    def after_instantiate_classes(self) -> None:
        processes = self.trainer.num_devices if self.trainer.world_size > 1 else 1
        tokens = self.datamodule.tokens_of_batch / self.trainer.world_size if self.subcommand == "fit" else TOKENS
        self.threads = set_threads(self.model.network, self._get(self.config, "threads"), processes, tokens)
        if self.trainer.strategy.launcher is not None:
            os.environ.setdefault("OMP_NUM_THREADS", str(self.threads))  # or Lightning would choose another number
        if self.datamodule.batching == "words" and not position_wise(self.model.network):
            raise ArgumentError(
                "data.batching", "must be windows for a norm that keeps statistics per position, got words"
            )
        self.datamodule.setup(self.subcommand)  # what is wrong with the words is said before a run folder exists
        if self.subcommand == "fit":
            self.datamodule.check_shares(self.trainer.world_size)
        if self.taken_from is not None:
            if self.taken_from.trained_on is not None:
                self.datamodule.load_state_dict(self.taken_from.trained_on.plain())
            known = take_weights(
                self.taken_from, self.model.network, self.model.vocabulary, self.datamodule.label_counts
            )
            print(f"note: weights from {self.config.fit.init_from}, {known}", file=sys.stderr)
        if self.subcommand == "predict" and self.datamodule.predict_path is not None:
            return
        corpus = self.datamodule.corpus
        if corpus.note:
            print(f"note: {corpus.note}", file=sys.stderr)
        if self.recorded is None:
            return
        if corpus.path.resolve() == Path(self.recorded.path).resolve():
            self.recorded.check(corpus)
        self.datamodule.load_state_dict(self.recorded.plain())

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        config = self._get(self.config_init, "trainer")
        check_trainer(config)
        callbacks: list[Callback] = []
        if self.subcommand != "predict":
            callbacks += [SameEverywhere(options=self._options_of_all(), words=self.datamodule.corpus.sha256)]
        if self._get(self.config_init, "quiet"):
            kwargs["enable_progress_bar"] = False
        elif config.enable_progress_bar is not False:
            callbacks += [StepProgress()]
        if self.subcommand == "fit":
            callbacks += self._prepare_fit(config, kwargs)
        else:  # an evaluation leaves nothing behind
            kwargs.update(logger=False, enable_checkpointing=False)
        self.trainer_defaults["callbacks"] = callbacks
        plugins = config.plugins or []
        plugins = [
            *(plugins if isinstance(plugins, list) else [plugins]),
            WholeCheckpointIO(going_on=self.subcommand == "fit"),
        ]
        with wrong_trainer_options(self.given):
            trainer = super().instantiate_trainer(
                enable_model_summary=False, use_distributed_sampler=False, plugins=plugins, **kwargs
            )
        if "bf16" in str(config.precision) and trainer.strategy.root_device.type == "cpu" and not has_bf16():
            print("note: --trainer.precision bf16 is many times slower here, on a CPU without bf16", file=sys.stderr)
        check_processes(config, trainer, str(self.subcommand))
        return trainer

    def _prepare_fit(self, config: Any, kwargs: dict[str, Any]) -> list[Callback]:
        """The callbacks that a training has, and its folder; what it asks of the trainer goes into ``kwargs``."""
        quiet = self._get(self.config_init, "quiet")
        with wrong_trainer_options(self.given):
            self.timer = Timer(config.max_time)
        kwargs["max_time"] = None  # Lightning would add a timer of its own
        callbacks: list[Callback] = [self.timer, FinalValidation(), RandomStates()]
        callbacks += [monitor for name in MONITORS if (monitor := self._get(self.config_init, name)).enabled]
        if config.enable_model_summary is not False and not quiet:
            callbacks += [LayerTable()]
        if self.recorded is not None and not quiet:
            callbacks += [GoingOn()]
        if config.fast_dev_run:  # leaves nothing
            kwargs["enable_checkpointing"] = False
            return callbacks
        self.run_folder = run = self._choose_run_folder()
        callbacks += [SavedConfiguration(run, self._resolved_configuration())]
        if config.enable_checkpointing is not False:
            seconds = self._get(self.config_init, "checkpoint_seconds")
            callbacks += checkpoints(run, config.limit_val_batches != 0, seconds)
        if config.logger in (None, True):
            kwargs["logger"] = TensorBoardLogger(run.root, run.experiment, run.path.name, default_hp_metric=False)
        return callbacks

    def _options_of_all(self) -> str:
        """The options that must be the same in all processes, of which only the first one's seed counts."""
        config = self.config[self.subcommand].clone()
        config.seed_everything = False
        return self._dumped(config)

    def before_fit(self) -> None:
        """Says what looks odd about the words, and which settings were chosen for them."""
        data = self.datamodule
        for oddity in oddities(data.corpus, receptive_field(self.model.network), data.deduplicate):
            print(f"note: {oddity}", file=sys.stderr)
        if data.passes_labels_over and "data.labels" not in self.given:
            print("note: most words have a label, which is passed over: --data.labels true tells it", file=sys.stderr)
        if self.chosen and not self._get(self.config, "quiet"):
            print(describe(self.chosen, len(self.datamodule.split.train.words)))

    def _choose_run_folder(self) -> RunFolder:
        """The folder of a run that goes on with its corpus, or a new one; the first process makes it, and keeps it.

        Lightning tells the others what they need of it when they meet. They never write to it.
        """
        first = own_number() == 0
        if self.continued is not None and cast(TrainedOn, self.recorded).sha256 == self.datamodule.corpus.sha256:
            self.config.fit.ckpt_path = None  # config.yaml describes the whole run, which begins without a checkpoint
            self.config.fit.resume = False
            if first:
                self.until_the_end.enter_context(self.continued.alone())
            self.model.finishing = not self.continued.metrics.exists()
            return self.continued
        experiment, root = self._get(self.config, "experiment"), self._get(self.config, "trainer").default_root_dir
        if Path(experiment).name != experiment or experiment in ("", ".", ".."):
            raise ArgumentError("experiment", f"must be a name without slashes, got {experiment!r}")
        if not first:
            return RunFolder.new(expanded(root), experiment)
        return self.until_the_end.enter_context(RunFolder.made(expanded(root), experiment))

    def _resolved_configuration(self) -> str:
        """What ``config.yaml`` holds."""
        return self._dumped(self.config[self.subcommand])

    def _dumped(self, config: Any) -> str:
        """A configuration, which was checked when it was parsed, as YAML."""
        return str(self._parser(self.subcommand).dump(config, skip_unset=False, skip_validation=True))

    def _run_subcommand(self, subcommand: str) -> None:
        """Runs the command; whatever ends it ends the other processes, too."""
        try:
            super()._run_subcommand(subcommand)
        except BaseException:
            end_children(self.trainer)
            raise

    def fit(self, **kwargs: Any) -> None:
        """Trains; names a folder that cannot be written to, and says how to go on after an interruption."""
        try:
            self.trainer.fit(**kwargs)
            if self.trainer.checkpoint_callbacks and self.run_folder is not None:
                self.trainer.save_checkpoint(self.run_folder.checkpoint(LAST))
        except SystemExit as stop:  # what Lightning makes of an interruption, and of SIGTERM before the first step
            last = self.run_folder and self.run_folder.checkpoint(LAST)
            saved = f"; continue with {command('wavenet')} fit --ckpt_path {last}" if last and last.exists() else ""
            sys.stderr.write(f"interrupted at step {self.trainer.global_step}{saved}\n")
            if isinstance(stop.__context__, Interrupted):
                sys.exit(stop.__context__.exit_code)
            sys.exit(143 if isinstance(stop, SIGTERMException) else 130)
        except OSError as error:
            if self.run_folder is None:
                raise
            raise self.run_folder.unwritable(error) from error

    def after_fit(self) -> None:
        if self.run_folder is None or not self.trainer.is_global_zero:  # a fast_dev_run leaves nothing
            return
        watched = [logger.save_dir for logger in self.trainer.loggers if isinstance(logger, TensorBoardLogger)]
        metrics = finish_run(
            self.model,
            self.datamodule,
            run=self.run_folder,
            watch_dir=Path(watched[0]) if watched else None,
            training=Training(
                steps=self.trainer.global_step,
                seconds=self.timer.time_elapsed("train"),
                seed=None if (seed := self._get(self.config, "seed_everything")) is False else seed,
                threads=self.threads,
                baseline=self._get(self.config_init, "ngram").best,
                init_from=self.config.fit.init_from,
            ),
        )
        if self._get(self.config_init, "record").enabled:
            log_results(self.trainer, self.model, self.datamodule, metrics)

    def predict(self, **kwargs: Any) -> None:
        """Keeps the scores of the words that were predicted."""
        batches = self.trainer.predict(**{**kwargs, "return_predictions": True}) or ()
        log_probs = [log_prob for batch in batches for log_prob in cast(Tensor, batch).tolist()]
        words = self.datamodule.predict_words[: len(log_probs)]  # a limit may cut the batches
        self.scores: list[Score] = score_of(words, log_probs)
        self.labels: list[str] | None = self.datamodule.predict_labels

    @property
    def trained_model(self) -> TrainedModel:
        """The model, to be used."""
        return TrainedModel(self.model.network, self.model.vocabulary, self.recorded, self.model.labels)


def run(args: list[str]) -> WaveNetCLI:
    """Trains or evaluates as the arguments say: ``["fit", "--experiment", "mine"]``.

    Raises:
        UsageError, ArgumentError: An argument is wrong.
        Exception: What goes wrong while running.
    """
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)  # devices, seeds and tips are announced below this level
    logging.getLogger("lightning.pytorch.profilers").setLevel(logging.INFO)  # which is how they report
    for message in NOT_APPLICABLE:
        warnings.filterwarnings("ignore", message=message)
    threading.excepthook = keep_quiet
    try:
        with one_voice():
            return WaveNetCLI(args)
    except MisconfigurationException as error:
        raise ValueError(str(error)) from error


def keep_quiet(args: threading.ExceptHookArgs) -> None:
    """Leaves it to the main thread to say that TensorBoard's writer thread cannot write."""
    if not isinstance(args.exc_value, OSError):
        threading.__excepthook__(args)
