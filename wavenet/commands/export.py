"""``wavenet export``: writes a trained model as files that other programs read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wavenet.commands.main import Parser
from wavenet.commands.options import checkpoint_of, load_model, parse
from wavenet.commands.output import target_of
from wavenet.extras import require

if TYPE_CHECKING:
    from wavenet.export.facts import Facts
    from wavenet.inference.model import TrainedModel

FORMATS = ("onnx",)


def add_output(parser: Parser) -> None:
    """Options that say what is written, and where."""
    parser.add_argument("--format", choices=FORMATS, required=True, help="onnx: two files for onnxruntime and others")
    parser.add_argument("--output", metavar="FILE", help="where to write (default: wavenet.FORMAT)")


def main(name: str, arguments: list[str]) -> None:
    """Runs the command."""
    example = "wavenet export --format onnx --output names.onnx"
    options = parse(name, lambda parser: None, example, arguments, add_output)
    path = options.output or f"wavenet.{options.format}"
    target_of(path)
    require("onnx")
    checkpoint = checkpoint_of(options)
    model = load_model(checkpoint, options.threads)
    from wavenet.export.facts import Facts

    export_onnx(model, Facts.of(model, checkpoint), Path(path))


def export_onnx(model: TrainedModel, facts: Facts, path: Path) -> None:
    """Writes the ONNX files, and says what each of them computes."""
    from wavenet.export.graphs import write_graphs

    windowed, *stepping = write_graphs(model.network, facts, path)
    print(f"{windowed}: logits from contexts of {facts.block_size} tokens")
    for file in stepping:
        print(f"{file}: logits and the next state from one token and the state")
    if not stepping:
        sys.stderr.write(
            "note: the network cannot step, since a layer is not position-wise: there is no stepping form\n"
        )
