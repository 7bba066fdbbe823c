"""Whether a network is healthy: what its layers put out, their gradients, and the statistics of batch norm."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from wavenet.errors import check_at_least
from wavenet.network.layers import Gate
from wavenet.network.sliding import eval_mode, run
from wavenet.training.callbacks.tensorboard import writers
from wavenet.training.data import WordsDataModule
from wavenet.training.module import LanguageModel

SATURATED = 0.97  # of a tanh, beyond which hardly any gradient passes
BINS = 64
NUM_EXAMPLES = 256  # words, or windows, in the fixed batch


class Activations(NamedTuple):
    """What a nonlinearity put out, (..., C), the share of saturated values (none for GELU), and that of dead units.

    A unit is dead if on all positions its tanh is saturated, or its GELU not above zero.
    """

    values: Tensor
    saturated: float | None
    dead: float


class NetworkHealth(Callback):
    """Writes histograms for a fixed validation batch: activations, gradients, and batch norm's running statistics.

    Args:
        every_n_validations: After how many validations.
        enabled: Whether anything is written.

    Raises:
        ArgumentError: ``every_n_validations`` is below 1.

    Source: Andrej Karpathy, "Building makemore, part 3: Activations & Gradients, BatchNorm".
    """

    def __init__(self, every_n_validations: int = 2, enabled: bool = True) -> None:
        check_at_least(1, every_n_validations=every_n_validations)
        self.every_n_validations, self.enabled = every_n_validations, enabled
        self._validations = 0

    def state_dict(self) -> dict[str, Any]:
        return {"validations": self._validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        number = state_dict.get("validations")
        if type(number) is not int or number < 0:
            raise ValueError(f"the checkpoint's number of validations must be a whole number, got {number!r:.80}")
        self._validations = number

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not self.enabled or trainer.sanity_checking or trainer.state.fn != "fit":
            return
        self._validations += 1
        if self._validations % self.every_n_validations or not writers(trainer):
            return
        model, data = cast(LanguageModel, pl_module), cast(WordsDataModule, trainer.datamodule)  # type: ignore[attr-defined]
        dataset = data.dataset("val")
        batch = dataset[torch.arange(min(len(dataset), NUM_EXAMPLES))].to(model.device)
        with eval_mode(model.network), torch.enable_grad(), recorded(model.network) as activations:
            loss = F.cross_entropy(run(model.network, batch), batch.targets)
            named = dict(model.network.named_parameters())
            gradients = dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))
        histograms = {f"activations/{name}": activation.values for name, activation in activations.items()}
        histograms |= {f"gradients/{name}": gradient.to_dense() for name, gradient in gradients.items()}
        for name, layer in model.network.named_modules():
            if isinstance(layer, nn.BatchNorm1d) and layer.running_mean is not None and layer.running_var is not None:
                histograms[f"running_mean/{name}"] = layer.running_mean
                histograms[f"running_var/{name}"] = layer.running_var
        for writer in writers(trainer):
            for tag, values in histograms.items():
                writer.add_histogram(tag, values.detach().float().cpu(), trainer.global_step, bins=BINS)
            for name, activation in activations.items():
                writer.add_scalar(f"dead_units/{name}", activation.dead, trainer.global_step)
                if activation.saturated is not None:
                    writer.add_scalar(f"saturated/{name}", activation.saturated, trainer.global_step)


@contextmanager
def recorded(network: nn.Module) -> Iterator[dict[str, Activations]]:
    """Records what every nonlinearity of the network puts out, by the name of its layer.

    Examples:
        >>> from wavenet.network.build import build
        >>> from wavenet.network.config import lecture_hierarchical
        >>> network = build(lecture_hierarchical(), 27)
        >>> with recorded(network) as activations:
        ...     _ = network(torch.zeros(32, 8, dtype=torch.long))
        >>> list(activations), activations["4"].values.shape
        (['4', '8', '12'], torch.Size([32, 4, 128]))
    """
    found: dict[str, Activations] = {}

    def record(name: str, layer: nn.Module) -> RemovableHandle:
        def hook(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            found[name] = measure(layer, inputs[0].detach(), output.detach())

        return layer.register_forward_hook(hook)

    layers = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Tanh | nn.GELU | Gate)]
    handles = [record(name, layer) for name, layer in layers]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def measure(layer: nn.Module, x: Tensor, output: Tensor) -> Activations:
    """The activations of a nonlinearity, from what it was given and put out."""
    if isinstance(layer, nn.GELU):
        return Activations(output, None, (output <= 0).flatten(0, -2).all(dim=0).float().mean().item())
    tanh = x.chunk(2, dim=-1)[0].tanh() if isinstance(layer, Gate) else output
    saturated = tanh.abs() > SATURATED
    dead = saturated.flatten(0, -2).all(dim=0).float().mean().item()
    return Activations(output, saturated.float().mean().item(), dead)
