"""What happens when a run starts: its configuration is written, and a run that goes on says where."""

import sys
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from wavenet.runs import RunFolder, remove_parts, whole_file
from wavenet.training.processes import gathered


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
        if not trainer.is_global_zero:
            return
        self.run.path.mkdir(parents=True, exist_ok=True)
        for path in (self.run.config, self.run.metrics):
            remove_parts(path)
        with whole_file(self.run.config) as file:
            file.write(self.text)
        self.run.metrics.unlink(missing_ok=True)


class SameEverywhere(Callback):
    """Refuses to run in processes that were started differently, or that read different words: they would not meet.

    Args:
        facts: What must be the same.

    Raises:
        ValueError: It is not the same.
    """

    def __init__(self, **facts: Any) -> None:
        self.facts = facts

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        first, *others = gathered(self.facts)
        for number, facts in enumerate(others, start=1):
            for name, value in facts.items():
                if value != first[name]:
                    raise ValueError(
                        f"the processes do not agree: expected the same {name} in all of them, "
                        f"got another in process {number} than in process 0"
                    )


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
