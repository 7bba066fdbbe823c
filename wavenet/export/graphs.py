"""ONNX files of a trained network, for onnxruntime and everything else that reads this format.

There are two forms, of the same weights: the windowed one reads whole contexts, the stepping one reads one token at a
time, for generation, and hands its state back (:mod:`wavenet.network.stepping`).
"""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wavenet.corpus.vocabulary import ANY, BOUNDARY
from wavenet.export.facts import Facts
from wavenet.export.folding import folded
from wavenet.extras import require
from wavenet.network.labels import num_labels, under
from wavenet.network.layers import position_wise, receptive_field
from wavenet.network.stepping import State, start, step
from wavenet.runs import whole_file

TOKENS, LOGITS, STATE, NEXT = "tokens", "logits", "state", "next_state"  # the inputs and outputs


class Stepping(nn.Module):
    """The stepping form with its state in the open.

    A word begins with the boundary, which also brings the state of before any word: whatever the state was, such as
    zeros, does not matter then. Words of a batch may begin and end at different steps.

    Args:
        network: A network that can step.

    Shape:
        - Input: tokens :math:`(B,)`, and for each layer that joins n steps its queue :math:`(B, (n - 1) d, C)`, where
          d is how far apart the steps lie that it joins; where tokens themselves are joined, C is 1. With labels the
          tokens are ids of :func:`wavenet.network.labels.pairs`.
        - Output: logits :math:`(B, V)`, and the queues after this step, of the same shapes.

    Examples:
        >>> from wavenet import NetworkConfig, build
        >>> stepping = Stepping(build(NetworkConfig(ngram_rows=1024), 27).eval())
        >>> states = stepping.zeros(batch_size=2)
        >>> [tuple(state.shape) for state in states]
        [(2, 1, 24), (2, 2, 128), (2, 4, 128), (2, 4, 1)]
        >>> logits, *states = stepping(torch.tensor([0, 0]), *states)
        >>> logits.shape
        torch.Size([2, 27])
    """

    def __init__(self, network: nn.Sequential) -> None:
        super().__init__()
        self.network = network
        with torch.no_grad():
            self.vocab_size = step(network, torch.tensor([BOUNDARY]), start(network, batch_size=1)).shape[1]
            kinds = [start(under(network, {label: 1.0}), 1).queues for label in range(num_labels(network) + 1)]
        self.joins = [bool(queue) for queue in kinds[ANY]]  # of each level; one that joins a single step has no queue
        for level in range(sum(self.joins)):
            of_labels = [torch.cat(list(filter(None, queues))[level]) for queues in kinds]  # (Q, C) each
            self.register_buffer(f"start_{level}", torch.stack(of_labels))  # (L + 1, Q, C)

    @property
    def starts(self) -> list[Tensor]:
        """The state (L + 1, Q, C) of each level before any word, by the word's label."""
        return [self.get_buffer(f"start_{level}") for level in range(sum(self.joins))]

    def zeros(self, batch_size: int) -> list[Tensor]:
        """A state for the first step, which must read the boundary."""
        return [queue.new_zeros(batch_size, *queue.shape[1:]) for queue in self.starts]

    def forward(self, tokens: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        labels = tokens // self.vocab_size  # (B,)
        begins = (tokens - self.vocab_size * labels == BOUNDARY)[:, None, None]  # (B, 1, 1)
        before = iter(
            [torch.where(begins, queue[labels], x) for queue, x in zip(self.starts, states, strict=True)]  # (B, Q, C)
        )
        state = State([list(next(before).unbind(dim=1)) if joins else [] for joins in self.joins])
        logits = step(self.network, tokens, state)  # (B, V)
        return logits, *(torch.stack(queue, dim=1) for queue in state.queues if queue)


def write_graphs(network: nn.Sequential, facts: Facts, path: Path) -> list[Path]:
    """Writes the windowed form to ``path`` and, if the network can step, the stepping form beside it.

    Args:
        network: The network, on the CPU.
        facts: What the files say of it, as metadata.
        path: Where: ``names.onnx`` gets ``names.step.onnx`` beside it.

    Returns:
        The files.

    Raises:
        ImportError: The packages of the extra ``onnx`` are not installed.
        OSError: A file cannot be written.
    """
    require("onnx")
    network = folded(network)
    contexts = torch.zeros(2, receptive_field(network), dtype=torch.long)  # (B, T), with B to become any number
    graphs = {path: to_onnx(network, [contexts], [TOKENS], [LOGITS])}
    if position_wise(network):
        stepping = Stepping(network)
        states = stepping.zeros(batch_size=2)
        inputs, outputs = ([f"{name}_{level}" for level in range(len(states))] for name in (STATE, NEXT))
        graphs[path.with_suffix(f".step{path.suffix}")] = to_onnx(
            stepping, [contexts[:, 0], *states], [TOKENS, *inputs], [LOGITS, *outputs]
        )
    for target, graph in graphs.items():
        describe(graph, facts, "windowed" if target == path else "stepping")
        with whole_file(target, "wb") as file:
            file.write(graph.SerializeToString())
    return list(graphs)


def to_onnx(module: nn.Module, arguments: list[Tensor], inputs: list[str], outputs: list[str]) -> Any:
    """The ONNX graph of a module, for any batch size; ``arguments`` are an example of what it takes."""
    batch = {0: torch.export.Dim("batch")}
    states = [batch] * (len(arguments) - 1)
    with silence():
        program = torch.onnx.export(
            module.eval(),
            tuple(arguments),
            dynamo=True,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=(batch, tuple(states)) if states else (batch,),
            verbose=False,
        )
    assert program is not None
    return program.model_proto


@contextmanager
def silence() -> Iterator[None]:
    """Keeps what torch's exporter tells developers of it off the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def describe(graph: Any, facts: Facts, form: str) -> None:
    """Writes metadata into a graph, and takes out where in Python each of its nodes comes from."""
    trained_on = facts.trained_on
    metadata = {
        "form": form,
        "alphabet": facts.alphabet,
        "labels": json.dumps(facts.labels, ensure_ascii=False),
        "block_size": str(facts.block_size),
        "corpus_sha256": "" if trained_on is None else trained_on.sha256,
        "wavenet_version": facts.version,
    }
    for key, value in metadata.items():
        graph.metadata_props.add(key=key, value=value)
    for node in graph.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
