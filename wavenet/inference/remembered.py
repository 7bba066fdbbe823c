"""What is computed once from a network's weights, and again when they change."""

import os
from collections.abc import Callable
from typing import Generic, TypeVar

from torch import nn

Value = TypeVar("Value")


class Remembered(Generic[Value]):
    """A value that is computed from a network, and kept for as long as the weights stay as they are.

    Changes are seen as autograd sees them: a step of an optimizer, ``load_state_dict`` and another device count, what
    is written to ``weight.data`` does not. A forked process computes its own, since what is random must not come twice.

    Args:
        network: The network.
        compute: What computes the value.

    Examples:
        >>> layer = nn.Linear(1, 1)
        >>> doubled = Remembered(layer, lambda: 2 * layer.weight.item())
        >>> doubled() == doubled() == 2 * layer.weight.item()
        True
    """

    def __init__(self, network: nn.Module, compute: Callable[[], Value]) -> None:
        self.network, self.compute = network, compute
        self.kept: tuple[object, object, Value] | None = None

    def __call__(self) -> Value:
        """The value."""
        weights = [*self.network.parameters(), *self.network.buffers()]
        versions = [(weight.data_ptr(), 0 if weight.is_inference() else weight._version) for weight in weights]
        seen = (os.getpid(), versions)
        if self.kept is None or self.kept[0] != seen:
            alive = [weight.detach() for weight in weights]  # so that no other weights get their addresses
            self.kept = seen, alive, self.compute()
        return self.kept[2]
