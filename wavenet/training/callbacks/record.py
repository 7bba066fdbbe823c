"""What a run is: its configuration, corpus, graph and characters, and its results beside its settings."""

import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from wavenet.network.labels import LabelledEmbedding
from wavenet.network.sliding import eval_mode
from wavenet.runs import RunFolder
from wavenet.training.callbacks.tensorboard import indented, writers
from wavenet.training.data import WordsDataModule
from wavenet.training.module import LanguageModel


class RunRecord(Callback):
    """Writes what a run is: configuration and corpus as text, the network's graph, at the end characters and labels.

    Args:
        graph: Whether the network's graph is written.
        projector: Whether the embedded characters are written for the projector.
        enabled: Whether anything is written.
    """

    def __init__(self, graph: bool = True, projector: bool = True, enabled: bool = True) -> None:
        self.graph, self.projector, self.enabled = graph, projector, enabled

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        model, data = cast(LanguageModel, pl_module), cast(WordsDataModule, trainer.datamodule)  # type: ignore[attr-defined]
        for writer in writers(trainer) if self.enabled else []:
            if (config := RunFolder(Path(writer.log_dir)).config).is_file():
                writer.add_text("configuration", indented(config.read_text(encoding="utf-8")))
            facts = (f"{name}: {value}" for name, value in data.trained_on.plain().items())
            writer.add_text("corpus", indented("\n".join(facts)))
            if self.graph:
                add_graph(writer, model)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        model = cast(LanguageModel, pl_module)
        labels = [".", *(f"U+{ord(c):04X}" if c.isspace() or c == "." else c for c in model.vocabulary.alphabet)]
        for writer in writers(trainer) if self.enabled else []:
            if self.projector:
                embedding = next(layer for layer in model.network.modules() if isinstance(layer, nn.Embedding))
                weights, step = embedding.weight.detach().cpu(), trainer.global_step
                writer.add_embedding(weights, labels, tag="characters", global_step=step)
                if model.labels is not None:
                    of_labels = cast(LabelledEmbedding, embedding).label_weight.detach().cpu()
                    writer.add_embedding(of_labels, ["any", *model.labels.names], tag="labels", global_step=step)


def add_graph(writer: SummaryWriter, model: LanguageModel) -> None:
    """Writes the graph of the windowed form for the model's example batch."""
    with eval_mode(model.network), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # shapes are traced as constants, which is what a graph shows
        writer.add_graph(model.network, model.example_input_array.to(model.device))


def log_results(trainer: L.Trainer, model: LanguageModel, data: WordsDataModule, metrics: dict[str, Any]) -> None:
    """Writes hyper-parameters with the final losses, so that runs can be compared."""
    settings = {**(asdict(model.config) if model.config else {}), **asdict(model.optimization)}
    plain = {name: str(value) if isinstance(value, tuple) else value for name, value in settings.items()}
    plain |= {
        "batching": data.batching,
        "batch_size": data.batch_size,
        "seed": metrics["seed"],
        "steps": metrics["steps"],
    }
    plain = {name: "null" if value is None else value for name, value in plain.items()}
    results = {f"final/{split}_loss": metrics[f"{split}/loss"] for split in ("val", "test")}
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(plain, results)
