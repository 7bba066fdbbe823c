"""The LightningModule: a network, its vocabulary, and how they are trained."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from math import exp, log
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from wavenet.corpus.labels import Labels
from wavenet.corpus.vocabulary import BOUNDARY, Vocabulary
from wavenet.errors import ArgumentError
from wavenet.inference.checkpoint import hyper_parameters, renamed, stamp
from wavenet.inference.scoring import word_log_probs
from wavenet.network.build import build
from wavenet.network.config import NetworkConfig
from wavenet.network.labels import num_labels
from wavenet.network.layers import FlattenConsecutive, position_wise, receptive_field
from wavenet.network.packing import Batch
from wavenet.network.sliding import eval_mode, run, slide
from wavenet.training.datasets import Share
from wavenet.training.loss import TokenLoss, check_finite
from wavenet.training.optimization import OptimizationConfig, ends_at, going_on, make, tables
from wavenet.training.restoring import BLOCK, forget_paths


class LanguageModel(L.LightningModule):
    """What trains: a character-level language model of words, ready for :class:`lightning.Trainer`.

    With the defaults it is what ``python train.py fit`` trains. :func:`wavenet.load` makes of its checkpoint a
    :class:`wavenet.TrainedModel`, which samples and scores.

    Args:
        alphabet: The characters, in the order of their token ids.
        network: Its hyper-parameters, as a config or as the plain mapping that a checkpoint holds; or a network of
            your own: any ``nn.Sequential`` from token ids (B, T) to logits (B, V) that begins with an
            ``nn.Embedding`` and consists of :class:`wavenet.FlattenConsecutive` and position-wise layers. T is the
            product of the group sizes. Its checkpoints are loaded with ``network`` given again.
        optimization: The optimizer and its schedule, as a config or as a plain mapping.
        labels: What words are labelled with, each label with how many training words have it, in the order of their
            ids (:attr:`wavenet.WordsDataModule.label_counts`); ``None`` for words without labels. A network of your own
            that knows labels begins with a :class:`wavenet.network.labels.LabelledEmbedding`.

    Shape:
        - Input: (B, T) token ids.
        - Output: (B, V) logits.

    Raises:
        ArgumentError: ``network`` or ``optimization`` is none of these, or has a wrong value; see also
            :class:`wavenet.Vocabulary`.
        ValueError: Raised later, when a loss is no longer finite, or when the training that a checkpoint is to
            continue cannot be continued.

    Examples:
        >>> model = LanguageModel("abc", NetworkConfig(hidden_dim=64))
        >>> model(torch.zeros(32, 8, dtype=torch.long)).shape
        torch.Size([32, 4])
        >>> own = nn.Sequential(nn.Embedding(4, 8), FlattenConsecutive(4), nn.Linear(32, 4))
        >>> LanguageModel("abc", own)(torch.zeros(32, 4, dtype=torch.long)).shape
        torch.Size([32, 4])
    """

    example_input_array: Tensor
    finishing = False  # whether a training that has no steps left may go on, to be measured

    def __init__(
        self,
        alphabet: str,
        network: NetworkConfig | Mapping[str, Any] | nn.Sequential | None = NetworkConfig(),
        optimization: OptimizationConfig | Mapping[str, Any] = OptimizationConfig(),
        labels: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.vocabulary = Vocabulary(alphabet)
        self.labels = Labels(labels) if labels else None
        known = 0 if self.labels is None else len(self.labels)
        if isinstance(optimization, Mapping):
            optimization = OptimizationConfig.of(optimization)
        self.optimization = optimization
        if isinstance(network, Mapping):
            network = NetworkConfig.of(network)
        if isinstance(network, nn.Sequential):
            check_own(network, len(self.vocabulary), known)
            self.config, self.network = None, network
        elif isinstance(network, NetworkConfig):
            self.config, self.network = network, build(network, len(self.vocabulary), known)
        else:
            raise ArgumentError("network", f"must be a NetworkConfig or an nn.Sequential, got {network!r}")
        if optimization.ngram_learning_rate > 0 and not tables(optimization, self.network):
            raise ArgumentError("ngram_learning_rate", "must be 0 for a network without a table of n-grams")
        self.save_hyperparameters(hyper_parameters(alphabet, self.config, asdict(optimization), labels))
        self.example_input_array = torch.zeros(32, receptive_field(self.network), dtype=torch.long)
        self._losses = {"val": TokenLoss(), "test": TokenLoss()}
        self._blocks: dict[int, list[Tensor]] = {}

    def forward(self, contexts: Tensor) -> Tensor:
        logits: Tensor = self.network(contexts)  # (B, V)
        return logits

    def training_step(self, batch: Batch | Share, batch_idx: int) -> Tensor:
        """The loss, which among several processes is weighted: they take the mean of their gradients."""
        batch, weight = batch if isinstance(batch, Share) else Share(batch, 1.0)
        loss = weight * F.cross_entropy(run(self.network, batch), batch.targets)
        self._note_loss(loss.detach())
        return loss

    def _note_loss(self, loss: Tensor) -> None:
        """Keeps a loss for the mean of its block of ``log_every_n_steps`` steps."""
        block = self.global_step // self._log_every_n_steps
        if block not in self._blocks:
            self._blocks = {block: []}
        self._blocks[block].append(loss)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Logs the mean of ``log_every_n_steps`` losses: one smooth point, and one call in so many steps.

        It goes to the loggers at once. Lightning would write it after the step's checkpoint, so that a training that
        goes on from there would lack it, and would write it again, where the training stops.
        """
        self._share_statistics()
        block, step = divmod(self.global_step, self._log_every_n_steps)
        if step + 1 < self._log_every_n_steps:
            return
        self._check_block()
        loss = self._losses_of(block).mean()
        self.log("train/loss", loss, prog_bar=True, logger=False)
        for logger in self.trainer.loggers:
            logger.log_metrics({"train/loss": loss.item(), "epoch": self.current_epoch}, step=self.global_step)
            logger.save()

    def _check_block(self) -> None:
        """Ends a training at a loss that is no number, when its block is logged or a checkpoint would be written."""
        for block in self._blocks:
            for number, loss in enumerate(self._losses_of(block).tolist()):
                step = block * self._log_every_n_steps + number // self.trainer.accumulate_grad_batches + 1
                check_finite("train/loss", loss, step, self.optimization)

    def _share_statistics(self) -> None:
        """Makes batch norm's running statistics the mean of those of all processes, each of which has its own share.

        A share is normalised by its own statistics, not by those of the batch: to exchange them takes two calls more
        for each layer, forward and backward, and gains nothing that could be measured (docs/processes.md).
        """
        statistics = [buffer for buffer in self.buffers() if buffer.is_floating_point()]
        if self.trainer.world_size > 1 and statistics:
            mean = self.trainer.strategy.reduce(parameters_to_vector(statistics), reduce_op="mean")
            vector_to_parameters(mean, statistics)

    def _losses_of(self, block: int) -> Tensor:
        """The losses of a block so far, (steps,), each the mean over all processes, which all must ask for them."""
        if not self._blocks.get(block):
            return torch.empty(0)
        mean: Tensor = self.trainer.strategy.reduce(torch.stack(self._blocks[block]), reduce_op="mean")
        return mean

    @property
    def _log_every_n_steps(self) -> int:
        return self.trainer.log_every_n_steps  # type: ignore[attr-defined, no-any-return]

    def validation_step(self, batch: Batch | Share, batch_idx: int) -> None:
        self._update_loss("val", batch)

    def on_validation_epoch_end(self) -> None:
        self._log_loss("val")

    def test_step(self, batch: Batch | Share, batch_idx: int) -> None:
        self._update_loss("test", batch)

    def on_test_epoch_end(self) -> None:
        self._log_loss("test")

    def _update_loss(self, stage: str, batch: Batch | Share) -> None:
        batch, weight = batch if isinstance(batch, Share) else Share(batch, 1.0)
        count = len(batch.targets) if weight > 0 else 0
        self._losses[stage].update(run(self.network, batch)[:count], batch.targets[:count])

    def _log_loss(self, stage: str) -> None:
        loss = self._losses[stage].compute().item()
        self._losses[stage].reset()
        check_finite(f"{stage}/loss", loss, self.global_step, self.optimization)
        self.log(f"{stage}/loss", loss, prog_bar=True)
        self.log_dict({f"{stage}/perplexity": exp(min(loss, 700)), f"{stage}/bits_per_character": loss / log(2)})

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Log-probabilities (W,) of the words of the batch, in nats."""
        return word_log_probs(run(self.network, batch), batch.targets)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        for layer in tables(self.optimization, self.network):
            layer.sparse = self._takes_sparse_gradients
        optimizer, schedule = make(self.optimization, self.network, self.trainer.estimated_stepping_batches)
        if schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_fit_end(self) -> None:
        """Leaves the network to optimizers that know dense gradients only."""
        for layer in tables(self.optimization, self.network):
            layer.sparse = False

    @property
    def _takes_sparse_gradients(self) -> bool:
        """Whether a gradient may be sparse: clipping, several processes and other devices know dense ones only."""
        alone = self.trainer.world_size == 1 and self.device.type in ("cpu", "cuda")
        return alone and self.trainer.gradient_clip_val is None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Says which format the checkpoint has, and keeps the losses that are not logged yet.

        Raises:
            ValueError: One of them is no number; the checkpoint of before stays.
        """
        stamp(checkpoint)
        if self._trainer is not None and self._trainer.state.fn == "fit":
            self._check_block()
            checkpoint[BLOCK] = {
                "log_every_n_steps": self._log_every_n_steps,
                "losses": self._losses_of(self.global_step // self._log_every_n_steps).cpu(),
            }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Makes a training go on; if its schedule would end at another step, the steps left have one of their own.

        Weights, step and the optimizer's moments are the checkpoint's; the settings of optimization and the dropout
        are this module's. See :func:`wavenet.training.optimization.going_on`.

        Raises:
            ValueError: No steps are left, and ``finishing`` is not set; the table of n-grams was learned by another
                optimizer; or what the checkpoint keeps of the losses is none.
        """
        if self._trainer is None:
            return
        forget_paths(checkpoint, self.trainer)
        if self.trainer.state.fn != "fit":
            return
        total, done = self.trainer.estimated_stepping_batches, checkpoint["global_step"]
        if done > total or (done == total and not self.finishing):
            raise ValueError(
                f"the checkpoint's training is at step {done}, which leaves nothing to do: "
                f"expected more steps than that in all, got --trainer.max_steps or max_epochs for {total}"
            )
        self._take_block(checkpoint.get(BLOCK), done)
        checkpoint["state_dict"] = renamed(checkpoint["state_dict"], self)
        before = OptimizationConfig.of(checkpoint["hyper_parameters"]["optimization"])
        if (before.ngram_learning_rate > 0) != (self.optimization.ngram_learning_rate > 0):
            raise ValueError(
                f"the checkpoint's training has --model.optimization.ngram_learning_rate "
                f"{before.ngram_learning_rate:g}: expected {'another above 0' if before.ngram_learning_rate else '0'}, "
                f"got {self.optimization.ngram_learning_rate:g}"
            )
        (state,), schedules = checkpoint["optimizer_states"], checkpoint["lr_schedulers"]
        if replace(before, weight_decay=self.optimization.weight_decay) == self.optimization and all(
            ends_at(schedule, done, total) for schedule in schedules
        ):
            for group in state["param_groups"]:
                group["weight_decay"] = self.optimization.weight_decay
            return
        config = going_on(self.optimization, before, rate=state["param_groups"][0]["lr"])
        optimizer, schedule = make(config, self.network, total - done)
        state["param_groups"] = optimizer.state_dict()["param_groups"]
        schedules[:] = [] if schedule is None else [schedule.state_dict()]

    def _take_block(self, content: Any, step: int) -> None:
        """Goes on with the block of losses that a checkpoint has begun, unless blocks are of another size now."""
        if content is None:  # as in older checkpoints
            return
        every, losses = (
            content.get(name) if isinstance(content, dict) else None for name in ("log_every_n_steps", "losses")
        )
        most = self._log_every_n_steps * self.trainer.accumulate_grad_batches
        if (
            type(every) is not int
            or not isinstance(losses, Tensor)
            or losses.ndim != 1
            or not losses.is_floating_point()
        ):
            raise ValueError(f"the checkpoint's {BLOCK} must be log_every_n_steps and losses (N,), got {content!r:.80}")
        if every == self._log_every_n_steps and len(losses) < most:
            self._blocks = {step // every: list(losses.to(self.device).unbind())}


def check_own(network: nn.Sequential, vocab_size: int, known: int = 0) -> None:
    """Refuses a network of the user's own that is not of the kind that can train here.

    Raises:
        ArgumentError: It knows other labels, has no ``FlattenConsecutive``, has other shapes than (B, T) to (B, V), or
            runs otherwise when it slides than windowed, although no layer says that it is not position-wise.
    """
    if num_labels(network) != known:
        raise ArgumentError("network", f"must begin with an embedding of {known} labels, got {num_labels(network)}")
    if not any(isinstance(layer, FlattenConsecutive) for layer in network.modules()):
        raise ArgumentError("network", "must have a FlattenConsecutive, to join the tokens of the context, got none")
    word = torch.arange(1, 6) % vocab_size  # the tokens of one word, after the boundary
    tokens = torch.cat([torch.tensor([BOUNDARY]), word])  # (R,)
    padded = torch.cat([tokens.new_full((receptive_field(network) - 1,), BOUNDARY), tokens])
    contexts = padded.unfold(0, receptive_field(network), 1)  # (R, T)
    try:
        with eval_mode(network):
            windowed = network(contexts)
            alike = not position_wise(network) or torch.allclose(
                windowed, slide(network, tokens, torch.tensor([0, *range(len(word))])), rtol=1e-3, atol=1e-4
            )
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        raise ArgumentError("network", f"must map token ids (B, T) to logits (B, V): {error}") from error
    if windowed.shape != (len(tokens), vocab_size):
        raise ArgumentError(
            "network", f"must map (B, T) to (B, {vocab_size}), got {tuple(windowed.shape)} for B = {len(tokens)}"
        )
    if not alike:
        raise ArgumentError("network", "must have position-wise layers beside FlattenConsecutive, got one that is not")
