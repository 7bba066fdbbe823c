"""When and how a run writes its checkpoints, and how Ctrl-C ends it."""

import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, Checkpoint, ModelCheckpoint
from torch import Tensor

from wavenet.errors import SIGNALS, ArgumentError, Interrupted
from wavenet.inference.checkpoint import read_checkpoint, whole_model_expected, write_checkpoint
from wavenet.runs import BEST, LAST, RunFolder, remove_parts
from wavenet.training.processes import gathered
from wavenet.training.restoring import evaluated, restored

CHECKPOINT_SECONDS = 60.0
FIRST_SECONDS = 5.0  # after which a training is worth going on with
MONITOR = "val/loss"


class BestCheckpoint(ModelCheckpoint):
    """``best.ckpt``, the best by validation loss; in a run that goes on in its folder it stays the best of all.

    Only scores are taken from what a checkpoint says of the run before: Lightning would also take paths from it, and
    delete what they name. The file itself may be newer than the checkpoint that the run goes on from, and better.
    """

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        score = None
        if trainer.is_global_zero:
            remove_parts(self._path)
            if self._path.is_file():
                states = read_checkpoint(self._path).get("callbacks")
                state = states.get(self.state_key) if isinstance(states, dict) else None
                score = state.get("best_model_score") if isinstance(state, dict) else None
        self._take(trainer.strategy.broadcast(score))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if self._path.is_file():
            self._take(state_dict.get("best_model_score"))

    @property
    def _path(self) -> Path:
        return Path(self.dirpath or ".") / f"{self.filename}.ckpt"

    def _take(self, score: Any) -> None:
        """Makes a score that of the file, if it is one and no better one is known."""
        if not isinstance(score, Tensor) or score.ndim or not score.isfinite():
            return
        if self.best_model_score is None or score < self.best_model_score:
            self.best_model_path = self.kth_best_model_path = str(self._path)
            self.best_model_score = self.kth_value = score
            self.best_k_models = {str(self._path): score}


class LastCheckpoint(Checkpoint):
    """``last.ckpt``, written only where a training can go on exactly: after a step and the validation that follows it.

    It is written after a few seconds, then each time that the last one is so many seconds old, and when Ctrl-C,
    SIGTERM or SIGHUP ends the training, which they do at that place and not in the middle of a step. What they did
    before is theirs again at once, so that a second Ctrl-C does not wait. Of several processes
    any may find that it is time, or get the signal; all of them write, or end, after the same step.

    Args:
        path: The file.
        seconds: How old it may get; 0 writes it after each step.

    Raises:
        ArgumentError: ``seconds`` is below 0.
    """

    def __init__(self, path: Path, seconds: float = CHECKPOINT_SECONDS) -> None:
        if not 0 <= seconds < float("inf"):
            raise ArgumentError("checkpoint_seconds", f"must be a number from 0 on, got {seconds}")
        self.path, self.seconds = path, seconds
        self._due = float("inf")
        self._asked: int | None = None  # the signal that asks for the end
        self._handlers: dict[int, Any] = {}  # what signals did before

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.is_global_zero:
            remove_parts(self.path)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._due = time.monotonic() + min(self.seconds, FIRST_SECONDS)
        if threading.current_thread() is threading.main_thread():  # the only one that may
            before = {number: signal.getsignal(number) for number in SIGNALS}
            self._handlers = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}
        for number in self._handlers:
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        """What a signal does: it asks the training to end after this step."""
        self._asked = number
        self._give_back()

    def _give_back(self) -> None:
        """Makes signals do what they did before."""
        for number, handler in self._handlers.items():
            if signal.getsignal(number) == self._ask:
                signal.signal(number, handler)

    def on_train_batch_start(self, trainer: L.Trainer, *args: Any) -> None:
        """Counts the epoch that a training begins with where its checkpoint ended another, which Lightning forgets.

        The next checkpoint would otherwise be of an epoch that has not begun, and be gone on from with the wrong one.
        """
        progress = trainer.fit_loop.epoch_progress
        if progress.current.ready == progress.current.processed:  # type: ignore[attr-defined]
            progress.increment_ready()
            progress.increment_started()

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        if not validation_follows(trainer):
            self._between_steps(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._between_steps(trainer)

    def _between_steps(self, trainer: L.Trainer) -> None:
        if trainer.fit_loop._should_accumulate():
            return  # the gradients so far would be lost
        wanted = self._asked is not None or time.monotonic() >= self._due
        if trainer.strategy.reduce_boolean_decision(wanted, all=False):
            for logger in trainer.loggers:
                logger.save()  # what was logged must not be lost when the training goes on after it
            trainer.save_checkpoint(self.path)
            self._due = time.monotonic() + self.seconds
            self._end_if_asked()

    def _end_if_asked(self) -> None:
        """Ends the training if any process was asked to."""
        self._asked = max(gathered(self._asked or 0)) or None
        if self._asked is not None:
            raise Interrupted(self._asked)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._give_back()
        self._end_if_asked()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._give_back()


def validation_follows(trainer: L.Trainer) -> bool:
    """Whether the training loop validates after the present step; to be asked when the step is over."""
    loop = trainer.fit_loop
    assert loop._data_fetcher is not None
    return loop.epoch_loop._should_check_val_fx(loop._data_fetcher)


def checkpoints(run: RunFolder, validated: bool = True, seconds: float = CHECKPOINT_SECONDS) -> list[Callback]:
    """Writes ``best.ckpt`` by validation loss, if there is one, and then ``last.ckpt``, which knows of it."""
    last = LastCheckpoint(run.checkpoint(LAST), seconds)
    if not validated:
        return [last]
    best = BestCheckpoint(
        run.checkpoints, BEST, monitor=MONITOR, enable_version_counter=False, save_on_train_epoch_end=False
    )
    return [best, last]


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes a run's checkpoints whole or not at all, and reads of them only what is needed and plain.

    Args:
        going_on: Whether trainings go on from what is read; an evaluation needs the weights alone.
    """

    def __init__(self, going_on: bool = True) -> None:
        super().__init__()
        self.going_on = going_on

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        Path(path).parent.mkdir(exist_ok=True)  # in the run folder, which is not made again where someone removed it
        write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        content = read_checkpoint(path)
        with whole_model_expected(path):
            return restored(content) if self.going_on else evaluated(content)
