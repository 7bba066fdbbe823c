"""What a plain n-gram reaches on the same words, beside the losses of the network."""

from typing import cast

import lightning as L
from lightning.pytorch.callbacks import Callback

from wavenet.corpus.ngram import Baseline, best_ngram
from wavenet.training.data import WordsDataModule


class NgramBaseline(Callback):
    """Counts an n-gram on the training words and logs its validation loss as ``val/ngram_loss``, in the first process.

    A network that does not get below it has not learned to spell. Counting takes a tenth of a second for 30,000 words
    and is bounded for many; ``best`` keeps the result.

    Args:
        enabled: Whether anything is counted.

    Source: see :mod:`wavenet.corpus.ngram`.
    """

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled
        self.best: Baseline | None = None

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        data = cast(WordsDataModule, trainer.datamodule)  # type: ignore[attr-defined]
        if self.enabled and trainer.is_global_zero:
            self.best = best_ngram(data.split, len(data.vocabulary))

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.best is not None:
            pl_module.log("val/ngram_loss", self.best.losses["val"])
