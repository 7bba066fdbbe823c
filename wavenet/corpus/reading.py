"""Reading a corpus, fetching the default one, splitting its words. Needs neither torch nor Lightning."""

import hashlib
import os
import random
import re
import shutil
import tempfile
import unicodedata
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import wrap_file

DATA_DIR = Path(__file__).resolve().parent.parent.parent / "data"
NAMES_URL = "https://raw.githubusercontent.com/karpathy/makemore/988aa59e4d8fefa526d06f3b453ad116258398d4/names.txt"
NAMES_SHA256 = "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d"
BUNDLED = "world_names.tsv"
CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")  # what could garble a terminal or break a line
TIMEOUT = 20  # seconds without an answer after which the network counts as absent


@dataclass(frozen=True)
class Corpus:
    """The words of a file, in its order, with what identifies the file.

    ``labels[i]`` holds the fields that follow word i on its line; ``note`` says why this is not the corpus that was
    asked for, if it is not.
    """

    path: Path
    sha256: str
    words: list[str]
    labels: list[tuple[str, ...]]
    note: str | None = None

    def deduplicated(self) -> list[str]:
        """The words without repetitions, each at its first place."""
        return list(dict.fromkeys(self.words))


class Split(NamedTuple):
    """The words of the three splits."""

    train: list[str]
    val: list[str]
    test: list[str]


def read_corpus(path: Path, note: str | None = None) -> Corpus:
    """Reads a UTF-8 file with one word per line, or with tab-separated fields of which the first is the word.

    Words are brought to Unicode's NFC form and stripped of surrounding white space; blank lines are skipped, a byte
    order mark is dropped and both kinds of line ends are read.

    Raises:
        OSError: The file is missing, a directory or unreadable.
        ValueError: The file is not UTF-8, holds no words, or has a line with labels but no word.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"words not found: expected a text file with one word per line at {path}") from None
    except IsADirectoryError:
        raise IsADirectoryError(f"expected a text file with one word per line, got the directory {path}") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        start = error.start + (3 if content.startswith(b"\xef\xbb\xbf") else 0)  # utf-8-sig counts from after the BOM
        number = content.count(b"\n", 0, start) + 1
        byte = start - content.rfind(b"\n", 0, start)
        raise ValueError(
            f"{path} is not UTF-8: line {number}, byte {byte} is 0x{content[start]:02x}; save the file as UTF-8"
        ) from None
    words, labels = [], []
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1):
        word, *fields = parse_line(line, f"{path}, line {number}")
        if word:
            words.append(word)
            labels.append(tuple(fields))
    if not words:
        raise ValueError(f"{path} holds no words: expected one word per line, got {len(content)} bytes without any")
    return Corpus(path.absolute(), hashlib.sha256(content).hexdigest(), words, labels, note)


def parse_line(line: str, place: str) -> list[str]:
    """The fields of a line, the word first; it is empty on a blank line.

    Raises:
        ValueError: The line has labels but no word, or a control character; ``place`` says where it stands.
    """
    fields = [unicodedata.normalize("NFC", field.strip()) for field in line.split("\t")]
    if control := CONTROL.search("".join(fields)):
        raise ValueError(
            f"{place}: expected text, got the control character U+{ord(control[0]):04X}; save the file as UTF-8"
        )
    if not fields[0] and any(fields):
        raise ValueError(f"{place}: expected a word before the first tab, got none")
    return fields


def default_corpus() -> Corpus:
    """``data/names.txt``, downloaded when it is missing, or the bundled corpus when there is no network.

    Raises:
        ValueError: What was downloaded is not the expected file.
    """
    names = DATA_DIR / "names.txt"
    if names.exists():
        return read_corpus(names)
    try:
        download(NAMES_URL, names, NAMES_SHA256)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        bundled = DATA_DIR / BUNDLED
        return read_corpus(
            bundled, f"names.txt could not be downloaded ({reason}), so this run uses the bundled corpus {bundled}"
        )
    return read_corpus(names)


def find_corpus(recorded: str) -> Path:
    """The file that a checkpoint was trained on, or, if it has moved, the file of that name in data/."""
    path = Path(recorded)
    moved = DATA_DIR / path.name
    return moved if not path.exists() and moved.exists() else path


def download(url: str, path: Path, sha256: str) -> None:
    """Fetches a file to ``path``, which appears only once it is complete and its SHA-256 is the expected one.

    Raises:
        OSError, HTTPException: There is no network, the server refuses or stops, or the file cannot be written.
        ValueError: The SHA-256 is another one.
    """
    with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as part:
            try:
                size = int(response.headers.get("Content-Length", 0))
                console = Console(stderr=True)
                with wrap_file(
                    response,
                    size,
                    description=f"Downloading {path.name}",
                    console=console,
                    disable=not console.is_terminal,
                ) as source:
                    shutil.copyfileobj(source, part)
                part.close()
                if (got_size := Path(part.name).stat().st_size) < size:
                    raise ConnectionError(f"the connection ended after {got_size:,} of {size:,} bytes")
                got = hashlib.sha256(Path(part.name).read_bytes()).hexdigest()
                if got != sha256:
                    raise ValueError(
                        f"{url} gave a file with SHA-256 {got}, expected {sha256}; nothing was kept: "
                        f"try again, or put the file at {path} yourself"
                    )
                os.chmod(part.name, 0o644)
                os.replace(part.name, path)
            finally:
                Path(part.name).unlink(missing_ok=True)


def split_words(words: list[str], seed: int) -> Split:
    """Shuffles the words by ``seed`` alone and cuts them 80/10/10. With seed 42 it is the lecture's split.

    Raises:
        ValueError: There are too few words for three splits.
    """
    shuffled = list(words)
    random.Random(seed).shuffle(shuffled)
    first, second = int(0.8 * len(words)), int(0.9 * len(words))
    split = Split(shuffled[:first], shuffled[first:second], shuffled[second:])
    if not all(split):
        raise ValueError(f"expected at least 6 words, enough for train, validation and test splits, got {len(words)}")
    return split


def novelty(split: Split) -> Callable[[str], str]:
    """What says where a word stands: in ``train``, else in ``validation``, else in ``test``, or nowhere: ``new``.

    Source: the lists that makemore sorts its samples into.

    Examples:
        >>> kind = novelty(Split(train=["emma"], val=["ava"], test=["mia"]))
        >>> kind("ava"), kind("amma")
        ('validation', 'new')
    """
    train, val, test = map(frozenset, split)

    def kind(word: str) -> str:
        return "train" if word in train else "validation" if word in val else "test" if word in test else "new"

    return kind


def leaks(split: Split) -> dict[str, int]:
    """How many words of validation and test also stand in train, as ``{"val": ..., "test": ...}``."""
    train = set(split.train)
    return {"val": sum(word in train for word in split.val), "test": sum(word in train for word in split.test)}
