"""``wavenet import``: makes a checkpoint of the weights of the lecture's notebook."""

import string
from pathlib import Path
from shlex import quote

from wavenet.commands.main import parser_of
from wavenet.commands.output import target_of
from wavenet.corpus.reading import read_corpus
from wavenet.corpus.vocabulary import Vocabulary
from wavenet.runs import command


def main(name: str, arguments: list[str]) -> None:
    """Runs the command."""
    parser = parser_of(name, "Example: wavenet import notebook.pt --output notebook.ckpt")
    parser.add_argument("weights", metavar="FILE", help="a dictionary of tensors in the order of the layers")
    parser.add_argument("--words", metavar="FILE", help="the words it was trained on (default: words of a to z)")
    parser.add_argument("--output", metavar="FILE", required=True, help="where to write the checkpoint")
    options = parser.parse_args(arguments)
    target_of(options.output)
    alphabet = string.ascii_lowercase
    if options.words is not None:
        alphabet = Vocabulary.from_words(read_corpus(Path(options.words)).words).alphabet
    from wavenet.inference.checkpoint import write_checkpoint
    from wavenet.inference.notebook import read_notebook

    content = read_notebook(Path(options.weights), alphabet)
    write_checkpoint(content, Path(options.output))
    print(f"{options.output}: {command('wavenet')} sample --ckpt_path {quote(options.output)}")
