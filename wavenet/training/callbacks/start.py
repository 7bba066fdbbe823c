"""What happens when a run starts: its configuration is written, and a run that goes on says where."""

import sys

import lightning as L
from lightning.pytorch.callbacks import Callback

from wavenet.runs import RunFolder, whole_file


class SavedConfiguration(Callback):
    """Writes ``config.yaml`` once it is sure that the training can begin or go on.

    The ``metrics.json`` of a run that goes on is removed: a run that has one is finished.

    Args:
        run: The folder of the run, which is made if it is not there.
        text: The resolved configuration.
    """

    def __init__(self, run: RunFolder, text: str) -> None:
        self.run, self.text = run, text

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.run.path.mkdir(parents=True, exist_ok=True)
        with whole_file(self.run.config) as file:
            file.write(self.text)
        self.run.metrics.unlink(missing_ok=True)


class GoingOn(Callback):
    """Says on stderr where a training goes on, and whether it has a new schedule."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        step, total = trainer.global_step, trainer.estimated_stepping_batches
        end = "" if total == float("inf") else f" of {total:,}"
        schedule = "".join(
            f"; a new schedule of the learning rate takes the {total - step:,} steps left"
            for config in trainer.lr_scheduler_configs
            if config.scheduler.last_epoch == 0  # its first step is still to come
        )
        print(f"note: training goes on at step {step:,}{end}{schedule}", file=sys.stderr)
