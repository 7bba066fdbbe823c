"""Words after each validation, and whether they are new."""

import time
from textwrap import shorten
from typing import cast

import lightning as L
from lightning.pytorch.callbacks import Callback

from wavenet.corpus.splitting import novelty
from wavenet.errors import ArgumentError, check_at_least
from wavenet.inference.model import TrainedModel
from wavenet.inference.sampling import Words
from wavenet.training.callbacks.progress import StepProgress
from wavenet.training.callbacks.tensorboard import escaped, writers
from wavenet.training.data import WordsDataModule
from wavenet.training.module import LanguageModel

CHARACTERS = 200_000  # that are drawn after a validation, where words are long


class WordSamples(Callback):
    """Writes a table of words after each validation, and the share of new ones among many; shows a few in the terminal.

    The same random numbers are used each time, so that the words show what training has changed.

    Args:
        num_words: Words in the table.
        num_draws: Draws among whose words the share of new ones is counted; fewer where words are long.
        seconds: The least time between two lines in the terminal.
        enabled: Whether anything is drawn.

    Raises:
        ArgumentError: ``num_words`` is below 1, ``num_draws`` below ``num_words``, or ``seconds`` negative.
    """

    def __init__(self, num_words: int = 20, num_draws: int = 1000, seconds: float = 3.0, enabled: bool = True) -> None:
        check_at_least(1, num_words=num_words)
        if num_draws < num_words:
            raise ArgumentError("num_draws", f"must be at least num_words {num_words}, got {num_draws}")
        if not seconds >= 0:
            raise ArgumentError("seconds", f"must be at least 0, got {seconds}")
        self.num_words, self.num_draws, self.seconds, self.enabled = num_words, num_draws, seconds, enabled
        self._shown = float("-inf")

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        data = cast(WordsDataModule, trainer.datamodule)  # type: ignore[attr-defined]
        self._kind = novelty(data.split)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not self.enabled or trainer.sanity_checking or trainer.state.fn != "fit" or not trainer.is_global_zero:
            return
        model, data = cast(LanguageModel, pl_module), cast(WordsDataModule, trainer.datamodule)  # type: ignore[attr-defined]
        trained = TrainedModel(model.network, model.vocabulary, data.trained_on, model.labels)
        drawn = Words([], [])
        num_draws = min(self.num_draws, max(self.num_words, CHARACTERS // trained.sampler().wanted.max_length))
        for batch in trained.draw(num_draws, seed=0, max_draws=num_draws):
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
