"""``wavenet score``: says how probable words are. ``predict`` writes its scores with :func:`write_scores` too."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context
from functools import partial
from io import StringIO
from itertools import islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.text import Text

from wavenet.commands.main import Parser
from wavenet.commands.options import add_label, label_of, model_of, novelty_of, parse
from wavenet.commands.output import Row, write
from wavenet.corpus.parsing import CONTROL, parse_line
from wavenet.corpus.vocabulary import UnknownCharacterError
from wavenet.errors import UsageError

if TYPE_CHECKING:
    from wavenet.inference.model import Label, TrainedModel
    from wavenet.inference.scoring import Character, Ranks, Score

COLUMNS = ["word", "log_prob", "bits_per_character", "rank", "rank_low", "rank_high"]
CHARACTER_COLUMNS = ["word", "position", "character", "probability", "bits"]
STDIN = "-"
SHOWN = 100  # characters of a word that a message quotes


class Unscored(NamedTuple):
    """A word that could not be scored, and why."""

    word: str
    error: str


def add_arguments(parser: Parser) -> None:
    """The options of the command."""
    parser.add_argument("words", nargs="*", metavar="WORDS", help="the words")
    parser.add_argument(
        "--file", metavar="FILE", help="a file with one word per line, read as it is scored; - is stdin"
    )
    parser.add_argument(
        "--explain", action="store_true", help="each character's probability, bits and the likeliest others"
    )
    parser.add_argument("--novelty", action="store_true", help="say whether a word is in train, validation or test")
    add_label(parser)
    parser.add_argument("--num_samples", type=int, default=10_000, help="draws that ranks are estimated from")
    parser.add_argument("--seed", type=int, default=0, help="seed of these draws")


def main(name: str, arguments: list[str]) -> None:
    """Runs the command; the exit code is 1 if a word could not be scored."""
    options = parse(name, add_arguments, "wavenet score emma xqzt --explain", arguments)
    if bool(options.words) == bool(options.file):
        raise UsageError(f"expected either WORDS or --file FILE, got {'both' if options.file else 'neither'}")
    total = count_lines(options.file) if options.file else len(options.words)
    model = model_of(options)
    label = label_of(model, options.label)
    ranks = model.ranks(options.num_samples, options.seed, label=label)
    words = words_of(options.file) if options.file else (unicodedata.normalize("NFC", word) for word in options.words)
    failed: list[str] = []
    count = write_scores(
        scored(model, words, failed, label),
        lambda _: ranks,
        total,
        form=options.format,
        path=options.output,
        explain=partial(model.explain, label=label) if options.explain else None,
        novelty=novelty_of(model) if options.novelty else None,
    )
    if not count:
        raise ValueError(f"{source(options.file)} holds no words: expected one word per line")
    if failed:
        sys.stderr.write(f"{len(failed):,} of {count:,} words could not be scored, such as {failed[0][:SHOWN]!r}\n")
        sys.exit(1)


def write_scores(
    scores: Iterable[Score | Unscored],
    ranks: Callable[[str | None], Ranks],
    total: int | None,
    form: str = "text",
    path: str | None = None,
    explain: Callable[[str], list[Character]] | None = None,
    novelty: Callable[[str], str] | None = None,
    labels: Sequence[str] | None = None,
) -> int:
    """Writes scores as they come, with an estimate of each word's rank; see :func:`wavenet.commands.output.write`.

    With ``explain``, ``csv`` has a row for each character; with ``novelty``, it is said where each word stands; with
    ``labels``, which label each was scored under, whose ``ranks`` are asked for.
    """
    console = Console(highlight=False) if path is None else Console(file=StringIO())
    columns = [*(character_columns() if explain else COLUMNS), *(["novelty"] if novelty else [])]
    columns += [*(["label"] if labels is not None else []), "error"]
    of_words = repeat(None) if labels is None else labels
    rows = (
        row_of(score, ranks(label), explain, novelty, label) for score, label in zip(scores, of_words, strict=False)
    )
    table = character_rows if explain else lambda row: [row]
    return write(rows, form, path, columns, total, text=lambda row: score_line(row, console), table=table)


def row_of(
    score: Score | Unscored,
    ranks: Ranks,
    explain: Callable[[str], list[Character]] | None,
    novelty: Callable[[str], str] | None,
    label: str | None,
) -> Row:
    """What is written of a word."""
    row: Row = dict.fromkeys(COLUMNS)
    row["word"] = score.word
    if novelty:
        row["novelty"] = novelty(score.word)
    if label is not None:
        row["label"] = label
    row["error"] = None
    if isinstance(score, Unscored):
        row["error"] = score.error
        return row
    (rank,) = ranks.of([score.log_prob])
    row["log_prob"] = round(score.log_prob, 4)
    row["bits_per_character"] = round(score.bits_per_character, 4)
    row["rank"] = significant(rank.rank)
    row["rank_low"], row["rank_high"] = significant(rank.low, ROUND_FLOOR), significant(rank.high, ROUND_CEILING)
    if explain:
        row["characters"] = [character._asdict() for character in explain(score.word)]
    return row


def character_columns() -> list[str]:
    """The columns of the table that explains words, up to those that every table has."""
    from wavenet.inference.scoring import NUM_ALTERNATIVES

    others = [f"{kind}_{i}" for i in range(1, NUM_ALTERNATIVES + 1) for kind in ("alternative", "probability")]
    return [*CHARACTER_COLUMNS, *others]


def character_rows(row: Row) -> Iterator[Row]:
    """A row for each character of an explained word, or the one row of a word that could not be scored."""
    if row["error"]:
        yield row
        return
    for position, character in enumerate(row["characters"], start=1):
        others: Row = {}
        for i, (other, probability) in enumerate(character["alternatives"], start=1):
            others |= {f"alternative_{i}": other, f"probability_{i}": probability}
        yield {**row, "position": position, **character, **others}


def source(path: str) -> str:
    """How messages call a file."""
    return "stdin" if path == STDIN else path


def count_lines(path: str) -> int | None:
    """How many lines a file has, for the progress bar; stdin and a pipe can be read only once.

    Raises:
        OSError: The file is missing, unreadable, a directory, or a device, which may have no end.
    """
    if path == STDIN or Path(path).is_fifo():
        return None
    if Path(path).is_char_device() or Path(path).is_block_device():
        raise OSError(f"expected a file with one word per line, got the device {path}; - is stdin")
    with open(path, "rb") as file:
        return sum(1 for _ in file)


def words_of(path: str) -> Iterator[str]:
    """The words of a file, line by line."""
    number = 0
    with open(sys.stdin.fileno() if path == STDIN else path, encoding="utf-8-sig", closefd=path != STDIN) as file:
        try:
            for number, line in enumerate(file, start=1):
                if word := parse_line(line, f"{source(path)}, line {number}")[0]:
                    yield word
        except UnicodeDecodeError:
            raise ValueError(f"{source(path)} is not UTF-8 after line {number}: save it as UTF-8") from None


def scored(
    model: TrainedModel, words: Iterable[str], failed: list[str], label: Label = None
) -> Iterator[Score | Unscored]:
    """The scores of words, many at a time; words with unknown characters are added to ``failed``."""
    from wavenet.network.packing import CHUNK

    words = iter(words)
    while chunk := list(islice(words, CHUNK)):
        errors = {word: unknown for word in chunk if (unknown := unknown_character(model, word))}
        scores = iter(model.score([word for word in chunk if word not in errors], label=label))
        for word in chunk:
            if word in errors:
                failed.append(word)
                yield Unscored(word, errors[word])
            else:
                yield next(scores)


def significant(value: float, rounding: str = ROUND_HALF_EVEN) -> float:
    """Three significant digits: an estimate has no more. The ends of an interval are rounded outwards.

    Examples:
        >>> significant(41234.5), significant(41234.5, ROUND_CEILING), significant(7.0, ROUND_CEILING)
        (41200.0, 41300.0, 7.0)
    """
    return min(float(Context(prec=3, rounding=rounding).create_decimal(value)), sys.float_info.max)


def counted(value: float) -> str:
    """How many, to be read."""
    return f"{value:,.0f}" if value < 1e9 else f"{value:.3g}"


def unknown_character(model: TrainedModel, word: str) -> str | None:
    """What is wrong with a word, if its characters are not all in the alphabet."""
    try:
        model.vocabulary.encode(word)
    except UnknownCharacterError as error:
        return f"unknown character {error.character!r} (U+{ord(error.character):04X})"
    return None


def printable(word: str) -> str:
    """A word that cannot garble a terminal."""
    return CONTROL.sub(lambda control: f"\\x{ord(control[0]):02x}", word)


def others_line(character: Row) -> str:
    """The likeliest other characters, apart by whether they are likelier than the one that stands there."""
    kinds: dict[str, list[str]] = {"likelier": [], "next": []}
    for other, probability in character["alternatives"]:
        kind = "likelier" if probability > character["probability"] else "next"
        kinds[kind].append(f"{other or 'end'} {probability:.4f}")
    return "; ".join(f"{kind} {', '.join(others)}" for kind, others in kinds.items() if others)


def score_line(row: Row, console: Console) -> str:
    """A word's score as text, and a line for each of its characters if they are explained."""
    if row["error"]:
        return f"{printable(row['word']):<16} {row['error']}"
    rank = f"about {counted(row['rank'])} ({counted(row['rank_low'])} to {counted(row['rank_high'])})"
    text = Text(
        f"{row['word']:<16}{row['log_prob']:>10.4f} nats{row['bits_per_character']:>8.3f} bits/character   rank {rank}"
    )
    if "novelty" in row:
        text.append(f"   {row['novelty']}")
    if row.get("label"):
        text.append(f"   {row['label']}")
    for character in row.get("characters", ()):
        probability = character["probability"]
        style = "green" if probability >= 0.1 else "yellow" if probability >= 0.01 else "red"
        text.append(f"\n  {character['character'] or 'end':<4}")
        text.append(f"{probability:.4f}", style=style)
        text.append(f"{character['bits']:>7.2f} bits   ")
        text.append(others_line(character), style="dim")
    with console.capture() as captured:
        console.print(text, soft_wrap=True, end="")
    return captured.get()
