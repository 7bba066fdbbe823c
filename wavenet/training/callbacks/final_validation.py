"""When a run validates last."""

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback


class FinalValidation(Callback):
    """Validates after the last step of a run, whether or not ``val_check_interval`` falls on it.

    Without it the last weights of a run are neither measured nor compared with the best ones.
    """

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        last_step = trainer.global_step == trainer.max_steps
        last_epoch = trainer.is_last_batch and trainer.current_epoch + 1 == trainer.max_epochs
        if last_step or last_epoch:
            trainer.should_stop = True  # the training loop validates before it stops early
