"""The baseline of these benchmarks: the lecture's loop, written from its description with plain tensors.

Layers are Python objects with lists of parameters; the whole training set stands in memory as windows; each step draws
32 of them with replacement, runs the layers in turn, and updates every parameter by hand.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Linear:
    """A matrix and perhaps a bias."""

    def __init__(self, fan_in: int, fan_out: int, bias: bool = True) -> None:
        self.weight = torch.randn(fan_in, fan_out) / fan_in**0.5
        self.bias = torch.zeros(fan_out) if bias else None

    def __call__(self, x: Tensor) -> Tensor:
        self.out = x @ self.weight
        if self.bias is not None:
            self.out = self.out + self.bias
        return self.out

    def parameters(self) -> list[Tensor]:
        """What is trained."""
        return [self.weight] if self.bias is None else [self.weight, self.bias]


class BatchNorm1d:
    """Normalises over batch and time; in training it keeps running statistics."""

    def __init__(self, dim: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        self.eps, self.momentum, self.training = eps, momentum, True
        self.gamma, self.beta = torch.ones(dim), torch.zeros(dim)
        self.running_mean, self.running_var = torch.zeros(dim), torch.ones(dim)

    def __call__(self, x: Tensor) -> Tensor:
        if self.training:
            axes = tuple(range(x.ndim - 1))
            mean, var = x.mean(axes, keepdim=True), x.var(axes, keepdim=True)
        else:
            mean, var = self.running_mean, self.running_var
        self.out = self.gamma * ((x - mean) / torch.sqrt(var + self.eps)) + self.beta
        if self.training:
            with torch.no_grad():
                self.running_mean = (1 - self.momentum) * self.running_mean + self.momentum * mean
                self.running_var = (1 - self.momentum) * self.running_var + self.momentum * var
        return self.out

    def parameters(self) -> list[Tensor]:
        """What is trained."""
        return [self.gamma, self.beta]


class Tanh:
    """The hyperbolic tangent."""

    def __call__(self, x: Tensor) -> Tensor:
        self.out = torch.tanh(x)
        return self.out

    def parameters(self) -> list[Tensor]:
        """Nothing is trained."""
        return []


class Embedding:
    """A row for each token."""

    def __init__(self, count: int, dim: int) -> None:
        self.weight = torch.randn(count, dim)

    def __call__(self, x: Tensor) -> Tensor:
        self.out = self.weight[x]
        return self.out

    def parameters(self) -> list[Tensor]:
        """What is trained."""
        return [self.weight]


class FlattenConsecutive:
    """Joins n consecutive steps."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        x = x.view(B, T // self.n, C * self.n)  # (B, T/n, n*C)
        self.out = x.squeeze(1) if x.shape[1] == 1 else x
        return self.out

    def parameters(self) -> list[Tensor]:
        """Nothing is trained."""
        return []


class Sequential:
    """Layers, one after the other."""

    def __init__(self, layers: list) -> None:
        self.layers = layers

    def __call__(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x

    def parameters(self) -> list[Tensor]:
        """The parameters of all layers."""
        return [parameter for layer in self.layers for parameter in layer.parameters()]


class LectureLoop:
    """The lecture's largest network (76,579 parameters for 27 tokens) and its training loop."""

    def __init__(self, contexts: Tensor, targets: Tensor, vocab_size: int, steps: int = 200_000) -> None:
        layers: list = [Embedding(vocab_size, 24)]
        for fan_in in (2 * 24, 2 * 128, 2 * 128):
            layers += [FlattenConsecutive(2), Linear(fan_in, 128, bias=False), BatchNorm1d(128), Tanh()]
        layers.append(Linear(128, vocab_size))
        layers[-1].weight *= 0.1
        self.model, self.contexts, self.targets, self.steps = Sequential(layers), contexts, targets, steps
        self.parameters = self.model.parameters()
        for parameter in self.parameters:
            parameter.requires_grad = True
        self.losses: list[float] = []

    def train(self, steps: int) -> None:
        """Takes some steps."""
        for _ in range(steps):
            index = torch.randint(0, self.contexts.shape[0], (32,))
            loss = F.cross_entropy(self.model(self.contexts[index]), self.targets[index])
            for parameter in self.parameters:
                parameter.grad = None
            loss.backward()
            rate = 0.1 if len(self.losses) < 150_000 else 0.01
            for parameter in self.parameters:
                parameter.data += -rate * parameter.grad
            self.losses.append(loss.log10().item())

    @torch.no_grad()
    def loss(self, contexts: Tensor, targets: Tensor) -> float:
        """The loss in eval mode."""
        self.eval()
        return F.cross_entropy(self.model(contexts), targets).item()

    def eval(self) -> None:
        """Batch norm uses its running statistics from here on."""
        for layer in self.model.layers:
            layer.training = False

    @torch.no_grad()
    def copy_to(self, network: nn.Sequential) -> None:
        """Gives the weights and running statistics to the same network, of ``wavenet.lecture_hierarchical()``."""
        own = [layer for layer in self.model.layers if not isinstance(layer, FlattenConsecutive | Tanh)]
        others = [layer for layer in network if list(layer.parameters())]
        for mine, theirs in zip(own, others, strict=True):
            for value, parameter in zip(mine.parameters(), theirs.parameters(), strict=True):
                parameter.copy_(value.T if value.ndim == 2 and isinstance(mine, Linear) else value)
            if isinstance(mine, BatchNorm1d):
                theirs.running_mean.copy_(mine.running_mean.flatten())
                theirs.running_var.copy_(mine.running_var.flatten())

    @torch.no_grad()
    def sample(self, generator: torch.Generator | None = None) -> list[int]:
        """Draws one word, character by character, each from the whole network on the whole context."""
        context = [0] * self.contexts.shape[1]
        out: list[int] = []
        while True:
            probs = F.softmax(self.model(torch.tensor([context])), dim=1)
            token = int(torch.multinomial(probs, num_samples=1, generator=generator).item())
            context = [*context[1:], token]
            if token == 0:
                return out
            out.append(token)
