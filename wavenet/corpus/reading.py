"""Reading a corpus: a UTF-8 file with one word per line."""

import hashlib
import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from wavenet.runs import open_regular

EXPECTED = "a text file with one word per line"
LARGEST = 2**30  # bytes; a checkpoint may name any file as its corpus
CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")  # what could garble a terminal or break a line
SURROUNDING = re.compile(r"^[\s\ufeff]+|[\s\ufeff]+$")  # of a field: white space, and byte order marks of joined files


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


def read_corpus(path: Path, note: str | None = None) -> Corpus:
    """Reads a UTF-8 file with one word per line, or with tab-separated fields of which the first is the word.

    Words are brought to Unicode's NFC form and stripped of surrounding white space; blank lines are skipped, a byte
    order mark is dropped, also where files were joined, and all kinds of line ends are read.

    Raises:
        OSError: The file is missing, unreadable, a directory, a device or a pipe.
        ValueError: The file is not UTF-8, holds no words, is larger than 1 GiB, or has a line with labels but no word.
    """
    try:
        with open_regular(path, EXPECTED) as file:
            if (size := os.fstat(file.fileno()).st_size) > LARGEST:
                raise ValueError(f"{path} has {size:,} bytes: expected words that fit in memory, at most {LARGEST:,}")
            content = file.read(LARGEST)
    except FileNotFoundError:
        raise FileNotFoundError(f"words not found: expected {EXPECTED} at {path}") from None
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
    fields = [unicodedata.normalize("NFC", SURROUNDING.sub("", field)) for field in line.split("\t")]
    if control := CONTROL.search("".join(fields)):
        raise ValueError(
            f"{place}: expected text, got the control character U+{ord(control[0]):04X}; save the file as UTF-8"
        )
    if not fields[0] and any(fields):
        raise ValueError(f"{place}: expected a word before the first tab, got none")
    return fields
