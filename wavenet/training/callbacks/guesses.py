"""How well a network with labels tells them apart, which labels it spells well, and words of each."""

from collections import Counter
from collections.abc import Sequence
from typing import cast

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from PIL import Image, ImageDraw
from torch import Tensor
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_confusion_matrix

from wavenet.errors import check_at_least
from wavenet.inference.guessing import log_likelihoods, log_prior
from wavenet.inference.model import TrainedModel
from wavenet.inference.scoring import score
from wavenet.training.callbacks.tensorboard import escaped, writers
from wavenet.training.data import MEASURED, WordsDataModule
from wavenet.training.module import LanguageModel

FEWEST = 20  # words that are guessed, however many labels there are
MOST_LABELS = 60  # that have a chart, a row and a column of the image, and samples of their own
MOST_ROWS = 20  # of the table of confusions
CELL, MARGIN = 14, 110  # pixels of the image


class LabelGuesses(Callback):
    """Guesses the labels of validation words after each validation, as :mod:`wavenet.inference.guessing` does.

    Logs ``val/guess_accuracy``, the share of words whose label is the most probable one, and
    ``val/guess_top3_accuracy``; writes which labels are taken for which, as a table and, for up to 60 labels, as an
    image of the confusion matrix; and the loss of the validation words of each label, as a table and as scalars. When
    training ends, words of each label follow. Without labels nothing is done.

    Args:
        pairs: Words times labels that are computed after a validation; at least 20 words are guessed.
        num_samples: Words drawn for each label at the end.
        enabled: Whether anything is guessed.

    Raises:
        ArgumentError: ``pairs`` or ``num_samples`` is below 1.
    """

    def __init__(self, pairs: int = 10_000, num_samples: int = 5, enabled: bool = True) -> None:
        check_at_least(1, pairs=pairs, num_samples=num_samples)
        self.pairs, self.num_samples, self.enabled = pairs, num_samples, enabled

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        model, data = cast(LanguageModel, pl_module), cast(WordsDataModule, trainer.datamodule)  # type: ignore[attr-defined]
        if not self.enabled or model.labels is None or trainer.sanity_checking or trainer.state.fn != "fit":
            return
        if not trainer.is_global_zero:
            return
        step, names = trainer.global_step, model.labels.names
        losses = losses_of_labels(model, data)
        guessed = guessed_words(model, data, self.pairs)
        for writer in writers(trainer):
            writer.add_text("labels/loss", loss_table(losses, names), step)
            for label, (loss, _) in losses.items() if len(names) <= MOST_LABELS else ():
                writer.add_scalar(f"label_loss/{names[label]}", loss, step)
            if guessed is None:
                continue
            log_probs, targets = guessed
            for name, accuracy in accuracies(log_probs, targets).items():
                writer.add_scalar(f"val/{name}", accuracy, step)
            writer.add_text("labels/confusions", confusion_table(log_probs, targets, names), step)
            if 1 < len(names) <= MOST_LABELS:
                counts = multiclass_confusion_matrix(log_probs, targets, len(names))
                image = torch.frombuffer(bytearray(drawn(counts, names).tobytes()), dtype=torch.uint8)
                side = MARGIN + CELL * len(names)
                writer.add_image("labels/confusions", image.view(side, side, 3), step, dataformats="HWC")

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        model, data = cast(LanguageModel, pl_module), cast(WordsDataModule, trainer.datamodule)  # type: ignore[attr-defined]
        if not self.enabled or model.labels is None or not writers(trainer):
            return
        trained = TrainedModel(model.network, model.vocabulary, data.trained_on, model.labels)
        rows = ["| label | words |", "| --- | --- |"]
        for name in model.labels.names[:MOST_LABELS]:
            words = trained.sample(self.num_samples, label=name, seed=0, max_draws=100 * self.num_samples)
            rows.append(f"| {escaped(name)} | {escaped(', '.join(words))} |")
        for writer in writers(trainer):
            writer.add_text("labels/samples", "\n".join(rows), trainer.global_step)


def guessed_words(model: LanguageModel, data: WordsDataModule, pairs: int) -> tuple[Tensor, Tensor] | None:
    """The log-probabilities (W, L) of the labels of validation words, up to a constant, and which are right (W,).

    Words without a label are left out; ``None`` if none has one.

    Args:
        model: A model with labels.
        data: Its words.
        pairs: Words times labels that are computed; at least 20 words.
    """
    labels = model.labels
    if labels is None:
        return None
    num_words = max(FEWEST, pairs // len(labels))
    lines = zip(data.split.val.words, data.label_ids("val") or (), strict=False)
    known = [(word, label) for word, label in lines if label][:num_words]
    if not known:
        return None
    found = log_likelihoods(model.network, model.vocabulary, [word for word, _ in known]) + log_prior(labels)
    return found, torch.tensor([label - 1 for _, label in known])


def accuracies(log_probs: Tensor, targets: Tensor) -> dict[str, float]:
    """The shares of words (W,) whose label is the most probable one, and among the three most probable (W, L)."""
    num_labels = log_probs.shape[1]
    if num_labels == 1:  # of which torchmetrics does not count how often it is right
        return {"guess_accuracy": 1.0, "guess_top3_accuracy": 1.0}
    best, three = (
        multiclass_accuracy(log_probs, targets, num_labels, average="micro", top_k=min(k, num_labels)) for k in (1, 3)
    )
    return {"guess_accuracy": float(best), "guess_top3_accuracy": float(three)}


def losses_of_labels(model: LanguageModel, data: WordsDataModule) -> dict[int, tuple[float, int]]:
    """The loss in nats per token of the validation words of each label, by its place among all, and their number."""
    words, ids = data.split.val.words[:MEASURED], (data.label_ids("val") or [])[:MEASURED]
    totals: dict[int, list[float]] = {}
    for scored, label in zip(score(model.network, model.vocabulary, words, ids), ids, strict=True):
        if label:
            total = totals.setdefault(label - 1, [0.0, 0.0, 0.0])
            total[0] -= scored.log_prob
            total[1] += len(scored.word) + 1
            total[2] += 1
    return {label: (loss / tokens, int(count)) for label, (loss, tokens, count) in sorted(totals.items())}


def loss_table(losses: dict[int, tuple[float, int]], names: Sequence[str]) -> str:
    """The losses as a table in Markdown, the highest first, as far as there are not too many."""
    order = sorted(losses.items(), key=lambda item: -item[1][0])[:MOST_LABELS]
    rows = (f"| {escaped(names[label])} | {loss:.3f} | {count:,} |" for label, (loss, count) in order)
    return "\n".join(["| label | loss | validation words |", "| --- | --- | --- |", *rows])


def confusion_table(log_probs: Tensor, targets: Tensor, names: Sequence[str]) -> str:
    """Which labels are most often taken for which, as a table in Markdown."""
    taken = Counter(zip(targets.tolist(), log_probs.argmax(dim=1).tolist(), strict=True))
    of_label = Counter(targets.tolist())
    wrong = [(pair, count) for pair, count in taken.most_common() if pair[0] != pair[1]][:MOST_ROWS]
    rows = (
        f"| {escaped(names[right])} | {escaped(names[guess])} | {count} of {of_label[right]} |"
        for (right, guess), count in wrong
    )
    return "\n".join(["| label | taken for | words |", "| --- | --- | --- |", *rows])


def drawn(counts: Tensor, names: Sequence[str]) -> Image.Image:
    """A confusion matrix (L, L) as an image: a row for each label, a column for each guess, darker for more words."""
    side = MARGIN + CELL * len(names)
    image = Image.new("RGB", (side, side), "white")
    draw = ImageDraw.Draw(image)
    shares = counts / counts.sum(dim=1, keepdim=True).clamp(min=1)
    for row, line in enumerate(shares.tolist()):
        for column, share in enumerate(line):
            x, y = MARGIN + CELL * column, MARGIN + CELL * row
            light = round(255 * (1 - share))
            draw.rectangle((x, y, x + CELL - 2, y + CELL - 2), fill=(light, light, 255 - round(100 * share)))
    for place, name in enumerate(names):
        draw.text((2, MARGIN + CELL * place), name[:17], fill="black")
        turned = Image.new("RGB", (MARGIN - 4, CELL), "white")
        ImageDraw.Draw(turned).text((0, 0), name[:17], fill="black")
        image.paste(turned.rotate(90, expand=True), (MARGIN + CELL * place, 2))
    return image
