"""Reading a checkpoint safely, and making a model of it. Needs neither Lightning nor the code that trained it."""

import inspect
import io
import pickle
from pathlib import Path
from typing import Any

import torch

from wavenet.corpus.vocabulary import Vocabulary
from wavenet.inference.model import Model, build_network

DATA = "WordsDataModule"  # the entry of a checkpoint that says what it was trained on
RECORDED = {"path": str, "sha256": str, "split_seed": int, "deduplicate": bool, "batching": str}  # what it must hold


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


def load(path: str | Path) -> Model:
    """The model of a checkpoint, on the CPU, ready to sample and score.

    Args:
        path: A checkpoint that training has written.

    Raises:
        OSError: The file is missing, a directory or unreadable.
        CheckpointError: See :func:`read_checkpoint`; or the file's settings and weights do not make a model.

    Examples:
        >>> model = load("runs/default/version_0/checkpoints/best.ckpt")  # doctest: +SKIP
        >>> model.sample(3, prefix="ma", unique=True, seed=1)  # doctest: +SKIP
        ['marius', 'mackenna', 'maelin']
    """
    checkpoint = read_checkpoint(path)
    try:
        settings = checkpoint["hyper_parameters"]
        vocabulary = Vocabulary(settings["alphabet"])
        names = set(inspect.signature(build_network).parameters) & set(settings)
        network = build_network(len(vocabulary), **{name: settings[name] for name in names})
        prefix = "network."
        weights = checkpoint["state_dict"]
        network.load_state_dict({name.removeprefix(prefix): value for name, value in weights.items()})
        corpus = {name: checkpoint[DATA][name] for name in RECORDED} if DATA in checkpoint else None
        if corpus is not None and any(not isinstance(corpus[name], kind) for name, kind in RECORDED.items()):
            raise TypeError(f"the corpus is recorded as {corpus}")
        if not isinstance(settings["alphabet"], str):
            raise TypeError(f"the alphabet is {settings['alphabet']}")
        if not all(value.isfinite().all() for value in weights.values()):
            raise ValueError("its weights are not all finite numbers")
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise CheckpointError(f"{path} does not hold a whole model of this version: {error!r}") from error
    return Model(network, vocabulary, corpus)
