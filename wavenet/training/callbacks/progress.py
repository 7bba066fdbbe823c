"""How far a run is: a bar in a terminal, elsewhere a line now and then."""

import time
from typing import Any, cast

import lightning as L
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from wavenet.training.data import WordsDataModule

NUM_LINES = 20
FORETELL_AFTER = 5.0  # seconds of training, from which the rest is estimated
LONG = 30  # seconds of training that are worth a line


class StepProgress(ProgressBar):
    """Progress in steps, with the latest losses and the speed: a bar in a terminal, elsewhere a line now and then.

    It goes to stderr, since only results go to stdout. Without a terminal there are at most about twenty lines,
    each after a validation.
    """

    def __init__(self) -> None:
        super().__init__()
        self._console = Console(stderr=True)
        self._enabled = True
        self._progress: Progress | None = None
        self._seconds, self._examples = 0.0, 0  # of training, without validations
        self._resumed = 0.0  # when training began, or went on after a validation
        self._line_step = 0
        self._validated = self._foretold = False

    def disable(self) -> None:
        """Shows nothing; Lightning calls it on all processes but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Shows progress again."""
        self._enabled = True

    def say(self, line: str) -> None:
        """Prints a line above the bar; without a terminal there is none, and nothing is said."""
        if self._progress is not None:
            self._progress.console.print(line, highlight=False, markup=False, emoji=False)

    def _start(self, description: str, total: float | None) -> None:
        if self._enabled and self._console.is_terminal:
            columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            self._progress = Progress(
                *columns, TextColumn("{task.fields[losses]}"), TimeRemainingColumn(), console=self._console
            )
            self._progress.start()
            self._progress.add_task(description, total=total, losses="")

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._line_step = self._first_step = trainer.global_step
        self._seconds, self._examples, self._resumed = 0.0, 0, time.perf_counter()
        self._start("Training", self._total_steps(trainer))

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._seconds += time.perf_counter() - self._resumed
        self._validated = True

    def on_train_batch_start(self, *args: Any) -> None:
        if self._validated:
            self._resumed, self._validated = time.perf_counter(), False

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        data = cast(WordsDataModule, trainer.datamodule)  # type: ignore[attr-defined]
        left = len(data.dataset("train")) - batch_idx * data.batch_size
        self._examples += data.batch_size if data.replacement else min(data.batch_size, left)
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], completed=trainer.global_step)
        if not self._foretold:
            self._foretell(trainer)

    def _foretell(self, trainer: L.Trainer) -> None:
        """Says once, after some steps, about how long all of them take."""
        seconds, total = self._seconds + time.perf_counter() - self._resumed, self._total_steps(trainer)
        if seconds < FORETELL_AFTER or total is None:
            return
        self._foretold = True
        left = seconds * (total - trainer.global_step) / max(1, trainer.global_step - self._first_step)
        if left > LONG and self._enabled:
            console = self._console if self._progress is None else self._progress.console
            duration = f"{left / 60:.0f} minutes" if left > 90 else f"{left:.0f} seconds"
            console.print(f"training takes about {duration} from here on", highlight=False, soft_wrap=True)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        losses = "  ".join(
            f"{name} {trainer.callback_metrics[name]:.4f}"
            for name in ("train/loss", "val/loss")
            if name in trainer.callback_metrics
        )
        status = f"{losses}  {self._speed(trainer)}"
        total = self._total_steps(trainer)
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], losses=status)
        elif trainer.global_step == total or trainer.global_step - self._line_step >= (
            total / NUM_LINES if total else self._line_step / 4  # ever further apart, if no end is known
        ):
            self._line_step = trainer.global_step
            if self._enabled:
                step = f"step {trainer.global_step:,}" + (f" of {total:,}" if total else "")
                self._console.print(f"{step}  {status}", highlight=False, soft_wrap=True)

    def _speed(self, trainer: L.Trainer) -> str:
        data = cast(WordsDataModule, trainer.datamodule)  # type: ignore[attr-defined]
        return f"{self._examples / max(self._seconds, 1e-9):,.0f} {data.batching}/s"

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._stop()

    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._start("Scoring", sum(trainer.num_predict_batches))

    def on_predict_batch_end(self, *args: Any) -> None:
        if self._progress is not None:
            self._progress.advance(self._progress.task_ids[0])

    def on_predict_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._stop()

    @staticmethod
    def _total_steps(trainer: L.Trainer) -> int | None:
        if trainer.num_training_batches == float("inf"):
            return trainer.max_steps if trainer.max_steps > 0 else None
        by_epochs = (trainer.max_epochs or -1) * -(-trainer.num_training_batches // trainer.accumulate_grad_batches)
        bounds = [int(steps) for steps in (trainer.max_steps, by_epochs) if 0 < steps < float("inf")]
        return min(bounds, default=None)
