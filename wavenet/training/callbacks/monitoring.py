"""What training writes for TensorBoard, each from a callback with its own switch; and when it validates."""

import time
import warnings
from datetime import timedelta
from math import log10
from pathlib import Path
from textwrap import shorten
from typing import Any, cast

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from wavenet.corpus.reading import novelty
from wavenet.inference.sampling import Sampler, Words
from wavenet.network.build import eval_mode
from wavenet.training.callbacks.progress import StepProgress
from wavenet.training.data import WordsDataModule
from wavenet.training.module import LanguageModel


def writers(trainer: L.Trainer) -> list[SummaryWriter]:
    """The TensorBoard files that a run writes to; none without TensorBoard."""
    return [logger.experiment for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]


class FinalValidation(Callback):
    """Validates after the last step of a run, whether or not ``val_check_interval`` falls on it.

    Without it the last weights of a run are neither measured nor compared with the best ones.
    """

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        last_step = trainer.global_step == trainer.max_steps
        last_epoch = trainer.is_last_batch and trainer.current_epoch + 1 == trainer.max_epochs
        if last_step or last_epoch:
            trainer.should_stop = True  # the training loop validates before it stops early


def checkpoints(validated: bool = True) -> list[Callback]:
    """Writes ``best.ckpt`` by validation loss, and ``last.ckpt`` once a minute and when a run is interrupted."""
    best = ModelCheckpoint(filename="best", monitor="val/loss", enable_version_counter=False)
    return [
        *[best] * validated,
        ModelCheckpoint(
            filename="last",
            enable_version_counter=False,
            train_time_interval=timedelta(minutes=1),
            save_on_exception=True,
        ),
    ]


class TrainingScalars(Callback):
    """Writes, every ``log_every_n_steps``, what tells whether training goes well.

    The learning rate; seconds a step, without validations; the norm of the gradient before clipping; and for each
    weight matrix the size of its update relative to its own, as the decimal logarithm of the ratio of their norms:
    about -3 is healthy, far above is too fast, far below too slow. A chart shows the training and the validation loss
    together.

    Args:
        enabled: Whether anything is written.

    Source of the update ratio: Andrej Karpathy, "Building makemore, part 3: Activations & Gradients, BatchNorm".
    """

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled
        self._before: dict[str, Tensor] = {}
        self._since = (0.0, 0)  # the time and the step of the last writing
        self._paused: float | None = None  # when the last validation began

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        for writer in writers(trainer) if self.enabled else []:
            writer.add_custom_scalars({"loss": {"train and validation": ["Multiline", ["train/loss", "val/loss"]]}})
        self._since, self._paused = (time.perf_counter(), trainer.global_step), None

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._paused = time.perf_counter()

    def on_train_batch_start(self, *args: Any) -> None:
        if self._paused is not None:  # a validation, and what goes with it, is no part of a step
            self._since = (self._since[0] + time.perf_counter() - self._paused, self._since[1])
            self._paused = None

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        if self.enabled and (trainer.global_step + 1) % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            named = {name: value for name, value in pl_module.named_parameters() if value.grad is not None}
            self._before = {name: value.detach().clone() for name, value in named.items() if value.ndim == 2}
            gradients = [value.grad for value in named.values() if value.grad is not None]
            self._gradient_norm = torch.nn.utils.get_total_norm(gradients)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        if not self._before:
            return
        weights = dict(pl_module.named_parameters())
        scalars = {
            f"update_ratio/{name.removeprefix('network.')}": update_ratio(before, weights[name].detach())
            for name, before in self._before.items()
        }
        now, (then, step) = time.perf_counter(), self._since
        scalars["train/learning_rate"] = trainer.optimizers[0].param_groups[0]["lr"]
        scalars["train/seconds_per_step"] = (now - then) / max(1, trainer.global_step - step)
        scalars["train/gradient_norm"] = self._gradient_norm.item()
        for logger in trainer.loggers:
            logger.log_metrics(scalars, step=trainer.global_step - 1)
        self._before, self._since = {}, (time.perf_counter(), trainer.global_step)


def update_ratio(before: Tensor, after: Tensor) -> float:
    """The decimal logarithm of the size of an update over that of the weights.

    Examples:
        >>> weights = torch.tensor([[1.0, -1.0], [2.0, -2.0]])
        >>> round(update_ratio(weights, 1.001 * weights), 2)
        -3.0
    """
    return log10(max(((after - before).norm() / before.norm().clamp(min=1e-12)).item(), 1e-12))


class WordSamples(Callback):
    """Writes a table of words after each validation, and the share of new ones among many; shows a few in the terminal.

    The same random numbers are used each time, so that the words show what training has changed.

    Args:
        num_words: Words in the table.
        num_draws: Draws among whose words the share of new ones is counted.
        seconds: The least time between two lines in the terminal.
        enabled: Whether anything is drawn.

    Raises:
        ValueError: ``num_words`` is below 1, ``num_draws`` below ``num_words``, or ``seconds`` negative.
    """

    def __init__(self, num_words: int = 20, num_draws: int = 1000, seconds: float = 3.0, enabled: bool = True) -> None:
        if num_words < 1:
            raise ValueError(f"num_words must be at least 1, got {num_words}")
        if num_draws < num_words:
            raise ValueError(f"num_draws must be at least num_words {num_words}, got {num_draws}")
        if not seconds >= 0:
            raise ValueError(f"seconds must be at least 0, got {seconds}")
        self.num_words, self.num_draws, self.seconds, self.enabled = num_words, num_draws, seconds, enabled
        self._shown = float("-inf")

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        data = cast(WordsDataModule, trainer.datamodule)  # type: ignore[attr-defined]
        self._kind = novelty(data.split)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not self.enabled or trainer.sanity_checking or trainer.state.fn != "fit":
            return
        model = cast(LanguageModel, pl_module)
        sampler = Sampler(model.network, model.vocabulary, max_draws=self.num_draws)
        drawn = Words([], [])
        for batch in sampler.draw(self.num_draws, seed=0):
            drawn = Words(drawn.words + batch.words, drawn.log_probs + batch.log_probs)
        kinds = [self._kind(word) for word in drawn.words]
        step = trainer.global_step
        for writer in writers(trainer):
            writer.add_text("samples", samples_table(drawn, kinds, self.num_words), step)
            writer.add_scalar("samples/new", kinds.count("new") / max(1, len(kinds)), step)
        progress = trainer.progress_bar_callback
        if isinstance(progress, StepProgress) and drawn.words and time.monotonic() - self._shown > self.seconds:
            self._shown = time.monotonic()
            progress.say(shorten(f"words: {', '.join(drawn.words[:8])}", width=80, placeholder=" ..."))


def samples_table(drawn: Words, kinds: list[str], num_words: int) -> str:
    """The first words as a table in Markdown: each, where it stands, and its log-probability in nats."""
    rows = zip(drawn.words[:num_words], kinds, drawn.log_probs, strict=False)
    lines = (f"| {escaped(word)} | {kind} | {log_prob:.2f} |" for word, kind, log_prob in rows)
    return "\n".join(["| word | in | log-probability |", "| --- | --- | --- |", *lines])


def escaped(text: str) -> str:
    """Text as it is, in Markdown."""
    escapes = {"&": "&amp;", "<": "&lt;", ">": "&gt;"} | {
        character: f"\\{character}" for character in "\\`*_{}[]()#+-.!|"
    }
    return "".join(escapes.get(character, character) for character in text)


class RunRecord(Callback):
    """Writes what a run is: its configuration and corpus as text, the network's graph, and at the end its characters.

    Args:
        graph: Whether the network's graph is written.
        projector: Whether the embedded characters are written for the projector.
        enabled: Whether anything is written.
    """

    def __init__(self, graph: bool = True, projector: bool = True, enabled: bool = True) -> None:
        self.graph, self.projector, self.enabled = graph, projector, enabled

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        model, data = cast(LanguageModel, pl_module), cast(WordsDataModule, trainer.datamodule)  # type: ignore[attr-defined]
        config = Path(trainer.log_dir or ".") / "config.yaml"
        for writer in writers(trainer) if self.enabled else []:
            if config.is_file():
                writer.add_text("configuration", indented(config.read_text(encoding="utf-8")))
            facts = (f"{name}: {value}" for name, value in data.facts.items())
            writer.add_text("corpus", indented("\n".join(facts)))
            if self.graph:
                add_graph(writer, model)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        model = cast(LanguageModel, pl_module)
        labels = [".", *(f"U+{ord(c):04X}" if c.isspace() or c == "." else c for c in model.vocabulary.alphabet)]
        for writer in writers(trainer) if self.enabled else []:
            if self.projector:
                writer.add_embedding(
                    cast(nn.Embedding, model.network[0]).weight.detach().cpu(), labels, tag="characters"
                )


def indented(text: str) -> str:
    """Text as it is, in Markdown, line by line."""
    return "\n".join(f"    {line}" for line in text.splitlines())


def add_graph(writer: SummaryWriter, model: LanguageModel) -> None:
    """Writes the graph of the windowed form for the model's example batch."""
    with eval_mode(model.network), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # shapes are traced as constants, which is what a graph shows
        writer.add_graph(model.network, model.example_input_array.to(model.device))


def log_results(trainer: L.Trainer, model: LanguageModel, data: WordsDataModule, metrics: dict[str, Any]) -> None:
    """Writes hyper-parameters with the final losses, so that runs can be compared."""
    plain = {name: str(value) if isinstance(value, list) else value for name, value in model.hparams.items()}
    plain |= {
        "batching": data.batching,
        "batch_size": data.batch_size,
        "seed": metrics["seed"],
        "steps": metrics["steps"],
    }
    plain = {name: "null" if value is None else value for name, value in plain.items() if name != "alphabet"}
    results = {f"final/{split}_loss": metrics[f"{split}/loss"] for split in ("val", "test")}
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(plain, results)
