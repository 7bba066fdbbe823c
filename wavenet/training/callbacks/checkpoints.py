"""When and how a run writes its checkpoints."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning as L
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import Tensor

from wavenet.inference.checkpoint import read_checkpoint, write_checkpoint
from wavenet.runs import BEST, LAST, RunFolder


class RunCheckpoint(ModelCheckpoint):
    """A checkpoint of a run, under one name. In a run that goes on in its folder the best stays the best of all.

    Only the best score is taken from what a checkpoint says of the run before: Lightning would also take paths from
    it, and delete what they name. What goes wrong before the training has begun again leaves the file of before.
    """

    begun = False

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self.begun, self._last_global_step_saved = True, -1  # an interruption of the first step is one, too

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        if self.begun:
            super().on_exception(trainer, pl_module, exception)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        path, score = Path(self.dirpath or ".") / f"{self.filename}.ckpt", state_dict.get("best_model_score")
        if isinstance(score, Tensor) and path.is_file():
            self.best_model_path = self.kth_best_model_path = str(path)
            self.best_model_score = self.kth_value = score
            self.best_k_models = {str(path): score}


def checkpoints(run: RunFolder, validated: bool = True) -> list[Callback]:
    """Writes ``best.ckpt`` by validation loss, and ``last.ckpt`` once a minute and when a run is interrupted."""
    last = RunCheckpoint(
        run.checkpoints,
        filename=LAST,
        enable_version_counter=False,
        train_time_interval=timedelta(minutes=1),
        save_on_exception=True,
    )
    if not validated:
        return [last]
    return [RunCheckpoint(run.checkpoints, BEST, monitor="val/loss", enable_version_counter=False), last]


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes a run's checkpoints whole or not at all, and reads them as safely as every command does."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        return read_checkpoint(path)
