"""When and how a run writes its checkpoints."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from wavenet.inference.checkpoint import read_checkpoint, write_checkpoint
from wavenet.runs import BEST, LAST


def checkpoints(validated: bool = True) -> list[Callback]:
    """Writes ``best.ckpt`` by validation loss, and ``last.ckpt`` once a minute and when a run is interrupted."""
    last = ModelCheckpoint(
        filename=LAST,
        enable_version_counter=False,
        train_time_interval=timedelta(minutes=1),
        save_on_exception=True,
    )
    if not validated:
        return [last]
    return [ModelCheckpoint(filename=BEST, monitor="val/loss", enable_version_counter=False), last]


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes a run's checkpoints whole or not at all, and reads them as safely as every command does."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        return read_checkpoint(path)
