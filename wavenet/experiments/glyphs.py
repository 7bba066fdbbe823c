"""Characters as labels of figures: each in a font that has it, or by its code point where none does."""

import unicodedata
from collections.abc import Collection
from contextlib import suppress
from functools import cache

import matplotlib
from matplotlib import font_manager

FIRST = "DejaVu Sans"  # which comes with matplotlib
CIRCLE = "◌"  # what a combining mark is shown on
SPACE = "␣"
END = "end"


def spelled(character: str | None) -> str:
    """How a character is shown, if there is a font for it; ``None`` is the end of a word.

    Examples:
        >>> spelled("a"), spelled(" "), spelled(None), spelled("\\u0301") == "◌\\u0301"
        ('a', '␣', 'end', True)
        >>> spelled("\\u200d")
        'U+200D'
    """
    if character is None:
        return END
    if character == " ":
        return SPACE
    kind = unicodedata.category(character)
    if kind[0] in "CZ":  # controls, format characters, private ones, other spaces
        return code_point(character)
    return CIRCLE + character if kind[0] == "M" else character


def code_point(character: str) -> str:
    """The number of a character, as Unicode writes it."""
    return f"U+{ord(character):04X}"


class Glyphs:
    """The labels of characters, and the fonts that they are drawn in.

    Args:
        characters: The characters; ``None`` is the end of a word.

    Examples:
        >>> glyphs = Glyphs(["a", None])
        >>> glyphs.families, glyphs.label("a"), glyphs.label(None), glyphs.label("\\U000f0000")
        (['DejaVu Sans'], 'a', 'end', 'U+F0000')
    """

    def __init__(self, characters: Collection[str | None]) -> None:
        wanted = set().union(*(spelled(character) for character in characters))
        self.families: list[str] = []
        self._drawn: set[str] = set()
        for family, path in fonts():
            if (found := wanted & glyphs_of(path)) or family == FIRST:
                self.families.append(family)
                self._drawn |= found
                wanted -= found
            if not wanted:
                break

    def label(self, character: str | None) -> str:
        """How a character is shown."""
        shown = spelled(character)
        if character is None or self._drawn >= set(shown):
            return r"\$" if shown == "$" else shown  # which begins a formula
        return code_point(character)


@cache
def fonts() -> list[tuple[str, str]]:
    """The families of the fonts that are installed, upright and of usual weight, with a file of each.

    Of those that come with matplotlib only the first is for text: others are for formulas, or show boxes.
    """
    own = matplotlib.get_data_path()
    upright = [
        font
        for font in font_manager.fontManager.ttflist
        if font.style == "normal" and font.weight == 400 and (font.name == FIRST or not font.fname.startswith(own))
    ]
    found = {font.name: font.fname for font in sorted(upright, key=lambda font: font.name, reverse=True)}
    return sorted(found.items(), key=lambda font: (font[0] != FIRST, font[0]))


@cache
def glyphs_of(path: str) -> frozenset[str]:
    """The characters that a font has; none of one that cannot be read."""
    with suppress(OSError, RuntimeError, ValueError):
        return frozenset(map(chr, font_manager.get_font(path).get_charmap()))
    return frozenset()
