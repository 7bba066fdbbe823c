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

FORMATS = ("html", "onnx")


def add_output(parser: Parser) -> None:
    """Options that say what is written, and where."""
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="html",
        help="html: one page that makes, shows and scores words in any browser; onnx: two files for onnxruntime and "
        "others (default: html)",
    )
    parser.add_argument("--output", metavar="FILE", help="where to write (default: wavenet.FORMAT)")
    parser.add_argument(
        "--without_corpus", action="store_true", help="a page that cannot tell new words from those of the corpus"
    )


def main(name: str, arguments: list[str]) -> None:
    """Runs the command."""
    example = "wavenet export --format html --output names.html"
    options = parse(name, lambda parser: None, example, arguments, add_output)
    path = options.output or f"wavenet.{options.format}"
    target_of(path)
    if options.format == "onnx":
        require("onnx")
    checkpoint = checkpoint_of(options)
    model = load_model(checkpoint, options.threads)
    from wavenet.export.facts import Facts

    facts = Facts.of(model, checkpoint)
    if options.format == "onnx":
        export_onnx(model, facts, Path(path))
    else:
        export_html(model, facts, Path(path), with_corpus=not options.without_corpus)


def export_html(model: TrainedModel, facts: Facts, path: Path, with_corpus: bool) -> None:
    """Writes the page, and says how large it is and what packing has cost."""
    from wavenet.export.page import write_page

    if with_corpus:
        try:
            _ = model.split
        except (OSError, ValueError) as error:
            sys.stderr.write(f"note: the page will not know the words of the corpus; {error}\n")
            with_corpus = False
    written = write_page(model, facts, path, with_corpus)
    print(f"{path}: {written.size / 1e6:.2f} MB; open it in a browser")
    if written.loss is not None:
        print(f"validation loss {written.loss:.5f}, as packed {written.packed_loss:.5f}")


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
