"""``wavenet guess``: says which label words have, for a model that was trained with labels."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING

from wavenet.commands.main import Parser
from wavenet.commands.options import model_of, parse
from wavenet.commands.output import Row, write
from wavenet.commands.score import SHOWN, count_lines, printable, source, unknown_character, words_of
from wavenet.errors import UsageError, check_at_least

if TYPE_CHECKING:
    from wavenet.inference.model import TrainedModel

BEFORE = "before"  # what stands in place of a character where none has been read


def add_arguments(parser: Parser) -> None:
    """The options of the command."""
    parser.add_argument("words", nargs="*", metavar="WORDS", help="the words")
    parser.add_argument("--file", metavar="FILE", help="a file with one word per line; - is stdin")
    parser.add_argument(
        "--uniform", action="store_true", help="all labels alike beforehand, not as frequent as in the training words"
    )
    parser.add_argument("--explain", action="store_true", help="how the belief moves, character by character")
    parser.add_argument("--num_labels", "-n", type=int, default=3, help="how many of the likeliest (default: 3)")


def main(name: str, arguments: list[str]) -> None:
    """Runs the command; the exit code is 1 if a word has characters that the model does not know."""
    options = parse(name, add_arguments, "wavenet guess Aino Kenji --explain", arguments)
    if bool(options.words) == bool(options.file):
        raise UsageError(f"expected either WORDS or --file FILE, got {'both' if options.file else 'neither'}")
    check_at_least(1, num_labels=options.num_labels)
    total = count_lines(options.file) if options.file else len(options.words)
    model = model_of(options)
    most = min(options.num_labels, len(model.known_labels))
    words = words_of(options.file) if options.file else (unicodedata.normalize("NFC", word) for word in options.words)
    failed: list[str] = []
    of_labels = [column for number in range(1, most + 1) for column in (f"label_{number}", f"probability_{number}")]
    columns = ["word", *(["position", "character"] if options.explain else []), *of_labels, "error"]
    count = write(
        rows_of(model, words, options.uniform, options.explain, most, failed),
        options.format,
        options.output,
        columns,
        total,
        text=text_of,
        table=belief_rows if options.explain else lambda row: [{**row, **numbered(row["labels"])}],
    )
    if not count:
        raise ValueError(f"{source(options.file)} holds no words: expected one word per line")
    if failed:
        sys.stderr.write(f"{len(failed):,} of {count:,} words could not be read, such as {failed[0][:SHOWN]!r}\n")
        sys.exit(1)


def rows_of(
    model: TrainedModel, words: Iterable[str], uniform: bool, explain: bool, most: int, failed: list[str]
) -> Iterator[Row]:
    """What is written of words, some at a time; words with unknown characters are added to ``failed``."""
    from wavenet.network.packing import CHUNK

    words = iter(words)
    while chunk := list(islice(words, max(1, CHUNK // len(model.known_labels)))):
        errors = {word: unknown for word in chunk if (unknown := unknown_character(model, word))}
        guesses = iter(model.guess([word for word in chunk if word not in errors], uniform=uniform))
        for word in chunk:
            row: Row = {"word": word, "labels": {}, "error": errors.get(word)}
            if word in errors:
                failed.append(word)
            else:
                row["labels"] = likeliest(next(guesses).probabilities, most)
            if explain:
                beliefs = [] if word in errors else model.explain_guess(word, uniform=uniform)
                row["beliefs"] = [
                    {"character": character, "labels": likeliest(probabilities, most)}
                    for character, probabilities in beliefs
                ]
            yield row


def likeliest(probabilities: Mapping[str, float], most: int) -> dict[str, float]:
    """The first labels with their probabilities, rounded."""
    return {label: round(probability, 4) for label, probability in islice(probabilities.items(), most)}


def numbered(labels: Mapping[str, float]) -> Row:
    """Labels and probabilities as columns."""
    found: Row = {}
    for number, (label, probability) in enumerate(labels.items(), start=1):
        found |= {f"label_{number}": label, f"probability_{number}": probability}
    return found


def belief_rows(row: Row) -> Iterator[Row]:
    """A row for each belief of an explained word, or the one row of a word that could not be read."""
    if row["error"]:
        yield row
    for position, belief in enumerate(row["beliefs"]):
        yield {**row, "position": position, "character": belief["character"], **numbered(belief["labels"])}


def text_of(row: Row) -> str:
    """A word's labels as text, and a line for each belief if they are explained."""
    if row["error"]:
        return f"{printable(row['word']):<16} {row['error']}"
    lines = [f"{row['word']:<16} {in_words(row['labels'])}"]
    for belief in row.get("beliefs", ()):
        shown = "end" if belief["character"] is None else belief["character"] or BEFORE
        lines.append(f"  {shown:<14} {in_words(belief['labels'])}")
    return "\n".join(lines)


def in_words(labels: Mapping[str, float]) -> str:
    """Labels and probabilities, to be read."""
    return "   ".join(f"{label} {probability:.4f}" for label, probability in labels.items())
