"""The table of layers that a run begins with."""

from collections.abc import Iterable
from typing import cast

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.table import Table

from wavenet.network.layers import Parallel, receptive_field
from wavenet.network.sliding import eval_mode
from wavenet.training.module import LanguageModel


class LayerTable(Callback):
    """Prints every layer with its output shape for the model's example batch, and its number of parameters."""

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.is_global_zero:
            model = cast(LanguageModel, pl_module)
            Console().print(layer_table(model.network, model.example_input_array.to(model.device)))


def layer_table(network: torch.nn.Sequential, tokens: torch.Tensor) -> Table:
    """One row per layer: what it is, the shape it makes of the layers before it or of ``tokens``, its parameters.

    Parameters that layers share are counted in the first of them.
    """
    table = Table()
    table.add_column(f"layer, for an input of {tuple(tokens.shape)}", no_wrap=True, max_width=44)
    table.add_column("output shape", no_wrap=True)
    table.add_column("parameters", justify="right", no_wrap=True)
    members = network.members if isinstance(network, Parallel) else [network]
    counted: set[torch.nn.Parameter] = set()
    with eval_mode(network):
        for member in members:
            x = tokens[:, -receptive_field(member) :]
            for layer in member:
                x = layer(x)
                own = set(layer.parameters()) - counted
                counted |= own
                table.add_row(described(layer), str(tuple(x.shape)), f"{num_parameters(own):,}")
            table.add_section()
    together = f"{type(network).__name__} of all" if len(members) > 1 else ""
    table.add_row(together, str(tuple(x.shape)) if together else "", f"{num_parameters(network.parameters()):,}")
    return table


def described(layer: torch.nn.Module) -> str:
    """A layer's name, with its settings or the names of its parts."""
    parts = ", ".join(type(part).__name__ for part in layer) if isinstance(layer, torch.nn.Sequential) else None
    return f"{type(layer).__name__}({layer.extra_repr() if parts is None else parts})"


def num_parameters(parameters: Iterable[torch.nn.Parameter]) -> int:
    """How many numbers these parameters have."""
    return sum(parameter.numel() for parameter in parameters)
