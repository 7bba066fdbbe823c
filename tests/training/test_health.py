from pathlib import Path

import pytest
import torch
from torch import nn

from tests.networks import gated, lecture
from tests.training.test_callbacks import fit
from wavenet.network.config import NetworkConfig
from wavenet.network.layers import Gate
from wavenet.training.callbacks.final_validation import FinalValidation
from wavenet.training.callbacks.health import NetworkHealth, measure, recorded


@pytest.mark.parametrize(
    ("network", "names"),
    [
        (lecture(27), ["4", "8", "12"]),
        (gated(27, 8), ["4", "6.2", "8.2"]),
        (gated(27, 8, activation="gelu", hidden_dim=24), ["2.2", "4.2", "6.2"]),
    ],
)
def test_every_nonlinearity_is_recorded_and_no_hook_stays(network: nn.Sequential, names: list[str]) -> None:
    x = torch.randint(27, (16, 8))
    with recorded(network.eval()) as activations:
        network(x)
    assert list(activations) == names
    assert torch.equal(activations[names[0]].values, _output_of(network, names[0], x))
    activations.clear()
    network(x)
    assert not activations


def _output_of(network: nn.Sequential, name: str, x: torch.Tensor) -> torch.Tensor:
    last, *inner = map(int, name.split("."))
    if not inner:
        return network[: last + 1](x)
    x = network[:last](x)
    for layer in list(network[last])[: inner[0] + 1]:
        x = layer(x)
    return x


def test_saturated_values_and_dead_units() -> None:
    x = torch.tensor([[5.0, 0.0, -5.0, 5.0], [5.0, 5.0, -5.0, 0.0]])  # two positions of four units
    tanh = measure(nn.Tanh(), x, x.tanh())
    assert (tanh.saturated, tanh.dead) == (0.75, 0.5)
    gelu = measure(nn.GELU(), x, nn.functional.gelu(x))
    assert (gelu.saturated, gelu.dead) == (None, 0.25)
    gate = measure(Gate(), x, Gate()(x))  # units 0 and 1 go through the tanh
    assert (gate.saturated, gate.dead) == (0.75, 0.5)


def test_it_must_happen_now_and_then() -> None:
    with pytest.raises(ValueError, match="every_n_validations must be at least 1, got 0"):
        NetworkHealth(every_n_validations=0)


TANH = NetworkConfig(embedding_dim=4, hidden_dim=8, activation="tanh", residual=False)


class Recorder:
    """Takes the place of a TensorBoard writer."""

    def __init__(self) -> None:
        self.histograms: dict[str, torch.Tensor] = {}
        self.scalars: dict[str, float] = {}

    def add_histogram(self, tag: str, values: torch.Tensor, step: int, bins: int) -> None:
        self.histograms[tag] = values

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        self.scalars[tag] = value


def test_what_is_written_is_that_of_the_fixed_batch_in_eval_mode(
    words_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    monkeypatch.setattr("wavenet.training.callbacks.health.writers", lambda trainer: [recorder])
    trainer = fit(words_file, FinalValidation(), NetworkHealth(1), enable_progress_bar=False, network=TANH)
    model, data = trainer.lightning_module, trainer.datamodule  # type: ignore[attr-defined]
    windows = data.dataset("val")
    contexts, targets = windows[torch.arange(len(windows))]
    network = model.network.eval()
    loss = nn.functional.cross_entropy(network(contexts), targets)
    for name, parameter in network.named_parameters():
        (gradient,) = torch.autograd.grad(loss, parameter, retain_graph=True)
        torch.testing.assert_close(recorder.histograms[f"gradients/{name}"], gradient)
        assert gradient.any()
    tanh = network[:5](contexts)
    torch.testing.assert_close(recorder.histograms["activations/4"], tanh.detach())
    assert recorder.scalars["saturated/4"] == pytest.approx((tanh.abs() > 0.97).float().mean().item())
    assert recorder.scalars["dead_units/4"] == pytest.approx((tanh.abs() > 0.97).all(0).all(0).float().mean().item())
    assert torch.equal(recorder.histograms["running_mean/3"], network[3].running_mean)
