"""What an exported file says of where its network comes from."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import wavenet
from wavenet.inference.model import TrainedModel
from wavenet.inference.trained_on import TrainedOn
from wavenet.network.layers import NgramLogits, receptive_field
from wavenet.runs import LAST, RunFolder

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Facts:
    """What there is to say of a trained network, as far as its checkpoint and the run beside it tell.

    Args:
        alphabet: Its characters, in the order of their token ids from 1 on.
        block_size: The tokens of a context.
        parameters: How many weights it has.
        trained_on: The corpus, or ``None`` if that is not known.
        losses: Nats per character by split, as the finished run has recorded them; empty without a record.
        table: How many of the weights stand in tables of n-grams.
        labels: Its labels, in the order of their ids from 1 on, each with how many training words have it.
        version: The version of this package that wrote the file.
    """

    alphabet: str
    block_size: int
    parameters: int
    trained_on: TrainedOn | None
    losses: dict[str, float]
    table: int = 0
    labels: dict[str, int] = field(default_factory=dict)
    version: str = wavenet.__version__

    @classmethod
    def of(cls, model: TrainedModel, checkpoint: Path | None = None) -> "Facts":
        """The facts of a model and of the run in which its checkpoint lies, if it lies in one."""
        return cls(
            alphabet=model.vocabulary.alphabet,
            block_size=receptive_field(model.network),
            parameters=sum(weights.numel() for weights in model.network.parameters()),
            trained_on=model.trained_on if isinstance(model.trained_on, TrainedOn) else None,
            losses={} if checkpoint is None else recorded_losses(checkpoint),
            table=sum(layer.weight.numel() for layer in model.network.modules() if isinstance(layer, NgramLogits)),
            labels={} if model.labels is None else model.labels.counts,
        )


def recorded_losses(checkpoint: Path) -> dict[str, float]:
    """The losses that the run of a checkpoint has recorded for it, or none where there is no whole record of them."""
    run = RunFolder.of_checkpoint(checkpoint)
    try:
        metrics = {} if run is None else json.loads(run.metrics.read_text(encoding="utf-8"))
        recorded = metrics[LAST] if checkpoint.stem == LAST else metrics
        return {split: float(recorded[f"{split}/loss"]) for split in SPLITS}
    except (OSError, ValueError, LookupError, TypeError):
        return {}
