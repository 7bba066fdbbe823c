"""The table of layers that a run begins with."""

from typing import cast

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.table import Table

from wavenet.network.layers import Residual
from wavenet.network.sliding import eval_mode
from wavenet.training.module import LanguageModel


class LayerTable(Callback):
    """Prints every layer with its output shape for the model's example batch, and its number of parameters."""

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.is_global_zero:
            model = cast(LanguageModel, pl_module)
            Console().print(layer_table(model.network, model.example_input_array.to(model.device)))


def layer_table(network: torch.nn.Sequential, x: torch.Tensor) -> Table:
    """One row per layer: what it is, the shape it makes of ``x`` after the layers before it, its parameters."""
    table = Table()
    table.add_column(f"layer, for an input of {tuple(x.shape)}", no_wrap=True, max_width=44)
    table.add_column("output shape", no_wrap=True)
    table.add_column("parameters", justify="right", no_wrap=True)
    total = 0
    with eval_mode(network):
        for layer in network:
            x = layer(x)
            parameters = sum(parameter.numel() for parameter in layer.parameters())
            total += parameters
            parts = (
                ", ".join(type(part).__name__ for part in layer) if isinstance(layer, Residual) else layer.extra_repr()
            )
            name = f"{type(layer).__name__}({parts})"
            table.add_row(name, str(tuple(x.shape)), f"{parameters:,}")
    table.add_section()
    table.add_row("", "", f"{total:,}")
    return table
