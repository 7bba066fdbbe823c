"""A file of words as numbers, block by block: a few megabytes of it are in memory at a time, and at least a line."""

import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from wavenet.corpus.parsing import CONTROL, SURROUNDING, not_utf8, parse_line
from wavenet.corpus.words import smallest_type

BLOCK = 2**22  # bytes that are read together, up to the end of their last line
NUM_CHARACTERS = 0x110000  # of Unicode
ORDINARY, SPACE, UNWANTED = 0, 1, 2
LINE_END = ord("\n")

Array = npt.NDArray[Any]


class Block(NamedTuple):
    """The tokens (N,) of the words of some lines, each word ended by the boundary, and how many each has (W,)."""

    tokens: Array
    lengths: npt.NDArray[np.int64]


def blocks(file: BinaryIO) -> Iterator[bytes]:
    """The content of a file in blocks of whole lines."""
    while block := file.read(BLOCK):
        yield block if block.endswith(b"\n") else block + file.readline()


def code_points(text: str) -> Array:
    """The code points (N,) of lines, the last of which is ended too."""
    if not text.endswith("\n"):
        text += "\n"
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), np.uint8)
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


@cache
def kinds_of_characters() -> npt.NDArray[np.uint8]:
    """Whether each character of Unicode is ordinary, white space, or unwanted; the end of a line is ordinary."""
    kinds = np.full(NUM_CHARACTERS, ORDINARY, np.uint8)
    for code in range(0x10000):  # beyond which there are ordinary ones only
        if CONTROL.match(chr(code)):
            kinds[code] = UNWANTED
        elif SURROUNDING.match(chr(code)):
            kinds[code] = SPACE
    kinds[LINE_END] = ORDINARY
    return kinds


class Encoder:
    """Makes numbers of the blocks of a file, which it numbers its characters and lines for, as they come.

    What :func:`wavenet.corpus.parsing.parse_line` would change or refuse is left to it, line by line. All other blocks
    are encoded as a whole: those in NFC form, without tabs, without control characters, and without white space at the
    ends of lines.

    Args:
        path: The file, for messages.

    Attributes:
        alphabet: The characters so far, those of the tokens 1, 2, ...

    Examples:
        >>> encoder = Encoder(Path("words.txt"))
        >>> encoder.encode(b"ab\\n\\n b\\n")
        Block(tokens=array([1, 2, 0, 2, 0], dtype=uint8), lengths=array([3, 2]))
        >>> encoder.alphabet
        'ab'
    """

    def __init__(self, path: Path) -> None:
        self.path, self.alphabet = path, ""
        self._num_breaks, self._num_lines = 0, 0  # line feeds and lines before the block
        self._tokens: Array = np.zeros(NUM_CHARACTERS, np.uint8)  # of characters; 0 for one that has none yet
        self._kinds = kinds_of_characters()

    def encode(self, block: bytes) -> Block:
        """The words of a block of whole lines.

        Raises:
            ValueError: It is not UTF-8, or has a line that is refused.
        """
        try:
            text = block.decode("utf-8")
        except UnicodeDecodeError as error:
            raise not_utf8(self.path, block, error.start, self._num_breaks) from None
        self._num_breaks += block.count(b"\n")
        if self._num_lines == 0:
            text = text.removeprefix("\ufeff")
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        codes = code_points(text)
        if not (text.isascii() or unicodedata.is_normalized("NFC", text)) or self._needs_parsing(codes):
            codes = code_points(self._parsed(text))
        self._num_lines += text.count("\n")
        return self._numbered(codes)

    def _needs_parsing(self, codes: Array) -> bool:
        """Whether there are tabs or control characters (N,), or white space where a line begins or ends."""
        kinds = self._kinds[codes]
        space, end = kinds == SPACE, codes == LINE_END
        at_ends = space[0] | (space[1:] & end[:-1]).any() | (space[:-1] & end[1:]).any()
        return bool(at_ends | (kinds == UNWANTED).any())

    def _parsed(self, text: str) -> str:
        """The words of lines that need to be looked at, one a line."""
        numbered = enumerate(text.split("\n"), start=self._num_lines + 1)
        words = (parse_line(line, f"{self.path}, line {number}")[0] for number, line in numbered)
        return "\n".join(word for word in words if word)

    def _numbered(self, codes: Array) -> Block:
        """The tokens of code points, without blank lines."""
        ends = np.flatnonzero(codes == LINE_END)
        lengths = np.diff(ends, prepend=-1)
        if (lengths == 1).any():
            codes = np.delete(codes, ends[lengths == 1])
            lengths = lengths[lengths > 1]
        tokens = self._tokens[codes]
        new = np.unique(codes[(tokens == 0) & (codes != LINE_END)])
        if len(new):
            self.alphabet += "".join(map(chr, new.tolist()))
            self._tokens = self._tokens.astype(smallest_type(len(self.alphabet)))
            self._tokens[new] = np.arange(len(self.alphabet) - len(new), len(self.alphabet)) + 1
            tokens = self._tokens[codes]
        return Block(tokens, lengths)
