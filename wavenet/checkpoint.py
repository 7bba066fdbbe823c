"""Reading a checkpoint safely. Needs neither Lightning nor the code that trained it."""

import io
import pickle
from pathlib import Path
from typing import Any

import torch


class CheckpointError(ValueError):
    """A file is not a checkpoint of this package, or one that must not be opened."""


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The content of a checkpoint, on the CPU. Only plain data is read; nothing in the file is ever executed.

    Raises:
        OSError: The file is missing, a directory or unreadable.
        CheckpointError: The file is truncated, is not a checkpoint, or holds a pickled object that is not plain data.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"checkpoint not found: {path}")
    if path.is_dir():
        raise IsADirectoryError(f"expected a checkpoint file, got the directory {path}")
    file = io.BytesIO(path.read_bytes())
    try:
        content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{path} was refused: it is no checkpoint, or holds a pickled object that is not plain data; "
            f"nothing in it was executed"
        ) from None
    except Exception as error:  # torch.load has no error class of its own for what is not a checkpoint
        raise CheckpointError(
            f"{path} is truncated or not a checkpoint: expected a .ckpt file written by training"
        ) from error
    missing = {"state_dict", "hyper_parameters"} - set(content if isinstance(content, dict) else ())
    if missing:
        raise CheckpointError(f"{path} is not a wavenet checkpoint: expected the entries {', '.join(sorted(missing))}")
    return content
