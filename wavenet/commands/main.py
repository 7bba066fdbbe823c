"""The ``wavenet`` command: ``sample``, ``top`` and ``score``. It needs torch, but not Lightning."""

import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from io import StringIO, TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, cast

from jsonargparse import Namespace
from rich.console import Console
from rich.text import Text

from wavenet.commands.options import fail, make_parser
from wavenet.commands.output import Row, write
from wavenet.corpus.reading import novelty, parse_line, read_corpus
from wavenet.corpus.vocabulary import UnknownCharacterError
from wavenet.inference.checkpoint import load
from wavenet.inference.model import Model
from wavenet.inference.scoring import CHUNK, Ranks

RUNS = Path("runs")


def load_model(ckpt_path: str | None) -> Model:
    """The model of a checkpoint, or of the newest run."""
    if ckpt_path is None:
        found = sorted(RUNS.rglob("best.ckpt"), key=lambda path: path.stat().st_mtime)
        if not found:
            raise FileNotFoundError(
                f"no checkpoint: expected --ckpt_path FILE or a best.ckpt under {RUNS}/; python train.py fit makes one"
            )
        ckpt_path = str(found[-1])
        sys.stderr.write(f"using {ckpt_path}\n")
    return load(ckpt_path)


def wanted_options(model: Model, options: Namespace) -> dict[str, Any]:
    """Which words are wanted, with the words that must not come."""
    without = read_corpus(Path(options.novel_to)).words if options.novel_to is not None else []
    if options.novel:
        try:
            without += [word for words in model.split for word in words]
        except (OSError, ValueError) as error:
            if options.novel_to is None:
                raise ValueError(
                    f"--novel needs the training corpus: {error}; or give its words as --novel_to FILE"
                ) from error
            sys.stderr.write(f"note: only the words of {options.novel_to} are left out; {error}\n")
    names = ("prefix", "pattern", "min_length", "max_length")
    return {**{name: options[name] for name in names}, "without": without}


def tabbed(columns: list[str]) -> Callable[[Row], str]:
    """What makes a line of a row: the values of the columns, with tabs between them."""
    return lambda row: "\t".join(str(row[column]) for column in columns)


def run_sample(options: Namespace) -> None:
    """``wavenet sample``."""
    model = load_model(options.ckpt_path)
    shaping = {name: options[name] for name in ("temperature", "top_k", "top_p", "unique", "max_draws")}
    sampler = model.sampler(**shaping, **wanted_options(model, options))
    batches = sampler.draw(options.num_words, options.seed)
    try:
        kind = novelty(model.split) if options.novelty else None
    except (OSError, ValueError) as error:
        raise ValueError(f"--novelty needs the training corpus: {error}") from error
    columns = ["word", *["log_prob"] * options.log_prob, *["novelty"] * options.novelty]

    def rows() -> Iterator[Row]:
        for words, log_probs in batches:
            for word, log_prob in zip(words, log_probs, strict=True):
                row = {"word": word, "log_prob": round(log_prob, 4), "novelty": kind(word) if kind else None}
                yield {column: row[column] for column in columns}

    count = write(rows(), options.format, options.output, columns, options.num_words, text=tabbed(columns))
    if count < options.num_words:
        reason = "there are no more" if sampler.exhausted else f"{sampler.num_draws:,} draws gave no more"
        sys.stderr.write(f"{count:,} of {options.num_words:,} words: {reason}\n")


def run_top(options: Namespace) -> None:
    """``wavenet top``."""
    model = load_model(options.ckpt_path)
    ranking = model.top(options.num_words, max_beginnings=options.max_beginnings, **wanted_options(model, options))
    rows = (
        {"rank": rank, "word": word, "log_prob": round(log_prob, 4), "certain": rank <= ranking.num_certain}
        for rank, (word, log_prob) in enumerate(zip(ranking.words, ranking.log_probs, strict=True), start=1)
    )
    columns = ["rank", "word", "log_prob", "certain"]
    write(rows, options.format, options.output, columns, options.num_words, text=tabbed(["word", "log_prob"]))
    if not ranking.complete:
        sys.stderr.write(
            f"cut short after {options.max_beginnings:,} beginnings of words: the first {ranking.num_certain:,} words "
            f"are certain; --max_beginnings sets the limit\n"
        )
    elif len(ranking.words) < options.num_words:
        sys.stderr.write(f"{len(ranking.words):,} of {options.num_words:,} words: there are no more\n")


def run_score(options: Namespace) -> None:
    """``wavenet score``."""
    if bool(options.words) == bool(options.file):
        raise ValueError(f"expected either WORDS or --file FILE, got {'both' if options.file else 'neither'}")
    if options.explain and options.format == "csv":
        raise ValueError("explain must go with --format text or json, got csv")
    total = count_lines(Path(options.file)) if options.file else len(options.words)
    model = load_model(options.ckpt_path)
    ranks = model.ranks(options.num_samples, options.seed)
    words = words_of(options.file) if options.file else (unicodedata.normalize("NFC", word) for word in options.words)
    console = Console(highlight=False) if options.output is None else Console(file=StringIO())
    num_failed, example = 0, ""

    def rows() -> Iterator[Row]:
        nonlocal num_failed, example
        for row in scored(model, ranks, words, options.explain):
            if row["error"]:
                num_failed, example = num_failed + 1, example or row["word"]
            yield row

    columns = ["word", "log_prob", "bits_per_character", "rank", "rank_error", "error"]
    count = write(rows(), options.format, options.output, columns, total, text=lambda row: score_line(row, console))
    if not count:
        raise ValueError(f"{options.file} holds no words: expected one word per line")
    if num_failed:
        sys.stderr.write(f"{num_failed:,} of {count:,} words could not be scored, such as {example!r}\n")
        sys.exit(1)


def count_lines(path: Path) -> int | None:
    """How many lines a file has, for the progress bar; a pipe can be read only once."""
    if path.exists() and not path.is_file():
        return None
    with open(path, "rb") as file:
        return sum(1 for _ in file)


def words_of(path: str) -> Iterator[str]:
    """The words of a file, line by line."""
    number = 0
    with open(path, encoding="utf-8-sig") as file:
        try:
            for number, line in enumerate(file, start=1):
                if word := parse_line(line, f"{path}, line {number}")[0]:
                    yield word
        except UnicodeDecodeError:
            raise ValueError(f"{path} is not UTF-8 after line {number}: save the file as UTF-8") from None


def scored(model: Model, ranks: Ranks, words: Iterable[str], explain: bool) -> Iterator[Row]:
    """A row for each word, many words at a time; those with unknown characters say so."""
    words = iter(words)
    while chunk := list(islice(words, CHUNK)):
        errors = {word: unknown for word in chunk if (unknown := unknown_character(model, word))}
        scores = model.score([word for word in chunk if word not in errors])
        known = zip(scores, ranks.of([score.log_prob for score in scores]), strict=True)
        for word in chunk:
            row: Row = dict.fromkeys(("word", "log_prob", "bits_per_character", "rank", "rank_error", "error"))
            row["word"] = word
            if word in errors:
                row["error"] = errors[word]
            else:
                score, rank = next(known)
                row["log_prob"] = round(score.log_prob, 4)
                row["bits_per_character"] = round(score.bits_per_character, 4)
                row["rank"], row["rank_error"] = significant(rank.rank), significant(rank.error)
                if explain:
                    row["characters"] = [character._asdict() for character in model.explain(word)]
            yield row


def significant(value: float | None) -> float | None:
    """Three significant digits: an estimate has no more."""
    return None if value is None else float(f"{value:.3g}")


def unknown_character(model: Model, word: str) -> str | None:
    """What is wrong with a word, if its characters are not all in the alphabet."""
    try:
        model.vocabulary.encode(word)
    except UnknownCharacterError as error:
        return f"unknown character {error.character!r} (U+{ord(error.character):04X})"
    return None


def score_line(row: Row, console: Console) -> str:
    """A word's score as text, and a line for each of its characters if they are explained."""
    if row["error"]:
        return f"{row['word']:<16} {row['error']}"
    error = row["rank_error"]
    rank = f"above {row['rank']:,.0f}" if error is None else f"{row['rank']:,.0f} ± {error:,.0f}"
    text = Text(
        f"{row['word']:<16}{row['log_prob']:>10.4f} nats{row['bits_per_character']:>8.3f} bits/character   rank {rank}"
    )
    for character in row.get("characters", ()):
        probability = character["probability"]
        style = "green" if probability >= 0.1 else "yellow" if probability >= 0.01 else "red"
        text.append(f"\n  {character['character'] or 'end':<4}")
        text.append(f"{probability:.4f}", style=style)
        others = (f"{other or 'end'} {probability:.4f}" for other, probability in character["alternatives"])
        text.append(f"   rather {', '.join(others)}", style="dim")
    with console.capture() as captured:
        console.print(text, soft_wrap=True, end="")
    return captured.get()


COMMANDS = {"sample": run_sample, "top": run_top, "score": run_score}


def main() -> None:
    """Runs the command line; what a user can cause ends in one line on stderr and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        cast(TextIOWrapper, stream).reconfigure(errors="backslashreplace")  # a narrow terminal must not end a run
    options = make_parser().parse_args()
    try:
        COMMANDS[options.subcommand](options[options.subcommand])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe, such as head, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    except (ValueError, OSError) as error:
        if os.environ.get("WAVENET_TRACEBACK"):
            raise
        named = re.match(r"(\w+) must ", str(error))  # what the library says of an argument is said of the option
        fail(f"--{error}" if named and named[1] in options[options.subcommand] else error)
