"""The LightningModule: a network, its vocabulary, and how they are trained."""

from collections.abc import Callable
from math import exp, log
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, OneCycleLR
from torchmetrics import MeanMetric

from wavenet.corpus.vocabulary import Vocabulary
from wavenet.inference.model import build_network
from wavenet.inference.scoring import word_log_probs
from wavenet.network.sliding import PackedWords, Windows, run

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


class LanguageModel(L.LightningModule):
    """A character-level language model of words, ready for :class:`lightning.Trainer`.

    All arguments are plain values and go into the checkpoint, so that
    ``LanguageModel.load_from_checkpoint(path)`` needs nothing else.

    Args:
        alphabet: The characters, in the order of their token ids.
        network: Which builder makes the network: :func:`wavenet.network.build.wavenet`, :func:`wavenet.network.build.gated`, or
            the lecture's batch-norm bug.
        block_size: Length T of a context.
        group_size: Steps joined by each level: one number for all, or one per level. ``block_size`` makes a flat MLP.
        embedding_dim: Features of an embedded token.
        hidden_dim: Features of a hidden step.
        logits_norm: Whether batch norm follows the last linear layer; not for ``gated``.
        activation: ``gate`` or ``gelu``, for ``gated`` only, as are the next two; ``None`` takes the builder's default.
        norm: ``batch`` or ``layer``.
        dropout: Probability of zeroing a feature of a hidden layer.
        optimizer: ``adamw`` or ``sgd``.
        learning_rate: The highest learning rate of the schedule.
        weight_decay: The optimizer's weight decay.
        schedule: The learning rate after each step: ``one_cycle`` (a rise over the first 15 %, then a fall to
            nearly zero), ``step`` (the lecture's: a tenth from three quarters of the steps on) or ``constant``.

    Shape:
        - Input: (B, T) token ids.
        - Output: (B, V) logits.

    Raises:
        ValueError: ``learning_rate`` is not above 0 or ``weight_decay`` below it; see also
            :func:`wavenet.inference.model.build_network` and :class:`wavenet.corpus.vocabulary.Vocabulary`. Raised later, when a loss is
            no longer finite, or when the training that a checkpoint is to continue cannot be continued.

    Examples:
        >>> model = LanguageModel("abc")
        >>> model(torch.zeros(32, 8, dtype=torch.long)).shape
        torch.Size([32, 4])
    """

    example_input_array: Tensor

    def __init__(
        self,
        alphabet: str,
        network: Literal["wavenet", "gated", "wavenet_batch_norm_bug"] = "wavenet",
        block_size: int = 8,
        group_size: int | list[int] = 2,
        embedding_dim: int = 24,
        hidden_dim: int = 128,
        logits_norm: bool = False,
        activation: Literal["gate", "gelu"] | None = None,
        norm: Literal["batch", "layer"] | None = None,
        dropout: float | None = None,
        optimizer: Literal["adamw", "sgd"] = "adamw",
        learning_rate: float = 0.01,
        weight_decay: float = 0.01,
        schedule: Literal["one_cycle", "step", "constant"] = "one_cycle",
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        if not learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {learning_rate}")
        if not weight_decay >= 0:
            raise ValueError(f"weight_decay must be at least 0, got {weight_decay}")
        self.vocabulary = Vocabulary(alphabet)
        self.network = build_network(
            len(self.vocabulary),
            network,
            block_size,
            group_size,
            embedding_dim,
            hidden_dim,
            logits_norm,
            activation,
            norm,
            dropout,
        )
        self.example_input_array = torch.zeros(32, block_size, dtype=torch.long)
        self._losses = {"val": MeanMetric(), "test": MeanMetric()}
        self._blocks: dict[int, list[Tensor]] = {}

    def forward(self, contexts: Tensor) -> Tensor:
        logits: Tensor = self.network(contexts)  # (B, V)
        return logits

    def training_step(self, batch: Windows | PackedWords, batch_idx: int) -> Tensor:
        loss = F.cross_entropy(run(self.network, batch), batch.targets)
        self._log_block_mean(loss.detach())
        return loss

    def _log_block_mean(self, loss: Tensor) -> None:
        """Logs the mean of ``log_every_n_steps`` losses: one smooth point, and one call in so many steps."""
        every_n_steps: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        block, step = divmod(self.global_step, every_n_steps)
        if block not in self._blocks:
            self._blocks = {block: []}
        self._blocks[block].append(loss)
        if step + 1 == every_n_steps:
            self.log("train/loss", torch.stack(self._blocks[block]).mean(), prog_bar=True)

    def validation_step(self, batch: Windows | PackedWords, batch_idx: int) -> None:
        self._update_loss("val", batch)

    def on_validation_epoch_end(self) -> None:
        self._log_loss("val")

    def test_step(self, batch: Windows | PackedWords, batch_idx: int) -> None:
        self._update_loss("test", batch)

    def on_test_epoch_end(self) -> None:
        self._log_loss("test")

    def _update_loss(self, stage: str, batch: Windows | PackedWords) -> None:
        loss = F.cross_entropy(run(self.network, batch), batch.targets)
        if not loss.isfinite():
            raise ValueError(
                f"{stage}/loss is {loss} at step {self.global_step}: training has diverged; lower --model.learning_rate"
            )
        self._losses[stage].to(self.device).update(loss, weight=len(batch.targets))

    def _log_loss(self, stage: str) -> None:
        loss = self._losses[stage].compute().item()
        self._losses[stage].reset()
        self.log(f"{stage}/loss", loss, prog_bar=True)
        self.log_dict({f"{stage}/perplexity": exp(min(loss, 700)), f"{stage}/bits_per_character": loss / log(2)})

    def predict_step(self, batch: Windows | PackedWords, batch_idx: int) -> Tensor:
        """Log-probabilities (W,) of the words of the batch, in nats."""
        return word_log_probs(run(self.network, batch), batch.targets)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = OPTIMIZERS[self.hparams["optimizer"]](
            self.parameters(), lr=self.hparams["learning_rate"], weight_decay=self.hparams["weight_decay"], fused=True
        )
        if self.hparams["schedule"] == "constant":
            return optimizer
        scheduler = self._scheduler(optimizer, self._total_steps())
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _scheduler(self, optimizer: torch.optim.Optimizer, total_steps: int) -> LRScheduler:
        if self.hparams["schedule"] == "step":
            return MultiStepLR(optimizer, milestones=[total_steps * 3 // 4], gamma=0.1)
        # OneCycleLR divides by zero where total_steps * pct_start is exactly 1, which 0.15 never makes
        return OneCycleLR(
            optimizer, self.hparams["learning_rate"], total_steps=total_steps, pct_start=0.15, anneal_strategy="linear"
        )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses to continue a training that has ended, or whose schedule is made for another number of steps."""
        if self._trainer is None or self.trainer.state.fn != "fit":
            return
        schedules = [state["total_steps"] for state in checkpoint["lr_schedulers"] if "total_steps" in state]
        expected, done = self.trainer.estimated_stepping_batches, checkpoint["global_step"]
        if done >= expected:
            raise ValueError(
                f"the checkpoint's training is at step {done}, which leaves nothing to do: "
                f"expected more steps than that in all, got --trainer.max_steps or max_epochs for {expected}"
            )
        if schedules and schedules[0] != expected:
            raise ValueError(
                f"the checkpoint's schedule {self.hparams['schedule']} ends at step {schedules[0]}: "
                f"expected --trainer.max_steps or max_epochs for as many, got {expected}"
            )

    def _total_steps(self) -> int:
        steps = self.trainer.estimated_stepping_batches  # bounded by max_steps or max_epochs, whichever comes first
        if steps < 1 or steps == float("inf"):
            raise ValueError(
                f"schedule {self.hparams['schedule']} needs to know how many steps there will be: "
                f"set --trainer.max_steps or --trainer.max_epochs, or --model.schedule constant"
            )
        return int(steps)
