"""What a line of a corpus means, and what is refused."""

import re
import unicodedata
from pathlib import Path

EXPECTED = "a text file with one word per line"
CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")  # what could garble a terminal or break a line
SURROUNDING = re.compile(r"^[\s\ufeff]+|[\s\ufeff]+$")  # of a field: white space, and byte order marks of joined files


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


def not_utf8(path: Path, content: bytes, start: int, num_lines: int = 0) -> ValueError:
    """The error for a byte that is not UTF-8: the one at ``start`` of what follows the first lines of a file."""
    number = num_lines + content.count(b"\n", 0, start) + 1
    byte = start - content.rfind(b"\n", 0, start)
    return ValueError(
        f"{path} is not UTF-8: line {number}, byte {byte} is 0x{content[start]:02x}; save the file as UTF-8"
    )
