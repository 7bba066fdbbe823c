"""Reading a corpus: a UTF-8 file with one word per line."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wavenet.corpus.cache import cached_words
from wavenet.corpus.parsing import EXPECTED, not_utf8, parse_line
from wavenet.runs import open_regular

ENCODED_FROM = 2**20
"""Bytes from which on a file is encoded once and kept (:mod:`wavenet.corpus.cache`), and its words are no list."""


@dataclass(frozen=True)
class Corpus:
    """The words of a file, in its order, with what identifies the file.

    ``labels[i]`` holds the fields that follow word i on its line; those of a file that is encoded are not kept.
    ``note`` says why this is not the corpus that was asked for, if it is not.
    """

    path: Path
    sha256: str
    words: Sequence[str]
    labels: Sequence[tuple[str, ...]]
    note: str | None = None


def read_corpus(path: Path, note: str | None = None) -> Corpus:
    """Reads a UTF-8 file with one word per line, or with tab-separated fields of which the first is the word.

    Words are brought to Unicode's NFC form and stripped of surrounding white space; blank lines are skipped, a byte
    order mark is dropped, also where files were joined, and all kinds of line ends are read. The words of a large file
    are a list in all that is done with them, but take no memory: see :class:`wavenet.corpus.words.Words`.

    Raises:
        OSError: The file is missing, unreadable, a directory, a device or a pipe; or a large one cannot be encoded.
        ValueError: The file is not UTF-8, holds no words, or has a line with labels but no word.
    """
    try:
        with open_regular(path, EXPECTED) as file:
            content = file.read(ENCODED_FROM)
        if len(content) == ENCODED_FROM:
            sha256, encoded = cached_words(path)
            return Corpus(path.absolute(), sha256, encoded, (), note)
    except FileNotFoundError:
        raise FileNotFoundError(f"words not found: expected {EXPECTED} at {path}") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        start = error.start + (3 if content.startswith(b"\xef\xbb\xbf") else 0)  # utf-8-sig counts from after the BOM
        raise not_utf8(path, content, start) from None
    words, labels = [], []
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1):
        word, *fields = parse_line(line, f"{path}, line {number}")
        if word:
            words.append(word)
            labels.append(tuple(fields))
    if not words:
        raise ValueError(f"{path} holds no words: expected one word per line, got {len(content)} bytes without any")
    return Corpus(path.absolute(), hashlib.sha256(content).hexdigest(), words, labels, note)
