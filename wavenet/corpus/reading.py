"""Reading a corpus: a UTF-8 file with one word per line."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from wavenet.corpus.cache import cached_words
from wavenet.corpus.labels import COLUMN, Wanted, label_in, looks_labelled, most_have_one
from wavenet.corpus.parsing import EXPECTED, not_utf8, parse_line
from wavenet.errors import ArgumentError, check_at_least
from wavenet.runs import open_regular

ENCODED_FROM = 2**20
"""Bytes from which on a file is encoded once and kept (:mod:`wavenet.corpus.cache`), and its words are no list."""

LABELLED_UP_TO = 2**26
"""Bytes up to which the words of a file with labels are lists in memory, however large the file is."""


@dataclass(frozen=True)
class Corpus:
    """The words of a file, in its order, with what identifies the file.

    ``labels[i]`` holds the fields that follow word i on its line; those of a file that is encoded are not kept.
    ``note`` says why this is not the corpus that was asked for, if it is not. ``label_column`` is the field of a line
    (the word being the first) that holds its label, ``None`` where words have none.
    """

    path: Path
    sha256: str
    words: Sequence[str]
    labels: Sequence[tuple[str, ...]]
    note: str | None = None
    label_column: int | None = None

    def label_of(self, row: int) -> str:
        """The label of a word; empty if it has none."""
        return "" if self.label_column is None else label_in(self.labels[row], self.label_column)


def read_corpus(path: Path, note: str | None = None, encoded_from: int | None = None) -> Corpus:
    """Reads a UTF-8 file with one word per line, or with tab-separated fields of which the first is the word.

    Words are brought to Unicode's NFC form and stripped of surrounding white space; blank lines are skipped, a byte
    order mark is dropped, also where files were joined, and all kinds of line ends are read. The words of a large file
    are a list in all that is done with them, but take no memory: see :class:`wavenet.corpus.words.Words`.

    Args:
        path: The file.
        note: Why this is not the corpus that was asked for.
        encoded_from: Bytes from which on a file counts as large, by default ``ENCODED_FROM``.

    Raises:
        OSError: The file is missing, unreadable, a directory, a device or a pipe; or a large one cannot be encoded.
        ValueError: The file is not UTF-8, holds no words, or has a line with labels but no word.
    """
    size = ENCODED_FROM if encoded_from is None else encoded_from
    try:
        with open_regular(path, EXPECTED) as file:
            content = file.read(size)
        if len(content) == size:
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


def read_labelled(path: Path, column: int = COLUMN) -> Corpus:
    """Reads a file with labels, which it keeps in memory, up to ``LABELLED_UP_TO`` bytes.

    Args:
        path: The file.
        column: The field of a line that holds its word's label; the word is the first.

    Raises:
        ArgumentError: ``column`` is below 2, or no word has a label there.
        OSError, ValueError: See :func:`read_corpus`; or the file is too large.
    """
    check_at_least(2, **{"data.label_column": column})
    try:
        size = path.stat().st_size
    except OSError:
        size = 0  # which reading it explains
    if size >= LABELLED_UP_TO:
        raise ValueError(
            f"{path} is too large for labels, which are kept in memory: expected less than {LABELLED_UP_TO:,} bytes, "
            f"got {size:,}; --data.labels false reads its words alone"
        )
    return with_labels(read_corpus(path, encoded_from=LABELLED_UP_TO), column)


def with_labels(corpus: Corpus, column: int) -> Corpus:
    """A corpus whose words have the labels that stand in a column.

    Raises:
        ArgumentError: No word has one.
    """
    found = replace(corpus, label_column=column)
    if not any(map(found.label_of, range(len(found.labels)))):
        raise ArgumentError(
            "data.label_column", f"must be a column with labels, got {column}: no line of {corpus.path} has one"
        )
    return found


def read_as_wanted(path: Path, labels: Wanted, column: int) -> Corpus:
    """Reads a file with its labels if they are wanted, or (``auto``) if most of its words have one.

    A file of ``ENCODED_FROM`` bytes or more is judged by its beginning.

    Raises:
        ArgumentError, OSError, ValueError: See :func:`read_labelled`.
    """
    if labels is True:
        return read_labelled(path, column)
    check_at_least(2, **{"data.label_column": column})
    if labels is False:
        return read_corpus(path)
    with suppress(OSError), open_regular(path, EXPECTED) as file:
        content = file.read(ENCODED_FROM)
        if len(content) == ENCODED_FROM and looks_labelled(content, column):
            if path.stat().st_size < LABELLED_UP_TO:
                return read_labelled(path, column)
            why = f"{path} has labels, which are not used: they are kept in memory, and it has {LABELLED_UP_TO:,} bytes"
            return read_corpus(path, note=f"{why} or more")
    return as_it_looks(read_corpus(path), column)


def as_it_looks(corpus: Corpus, column: int) -> Corpus:
    """A corpus with the labels of a column if most of its words have one, or as it is."""
    labelled = most_have_one([label_in(fields, column) for fields in corpus.labels])
    return replace(corpus, label_column=column) if labelled else corpus
