"""One HTML page that needs no other file: headings, paragraphs, tables and figures; light or dark as the reader is."""

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

STYLE = """
:root { color-scheme: light dark; --ink: #1d2126; --paper: #ffffff; --faint: #5d656d; --line: #d9dde1; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7ea; --paper: #15181c; --faint: #a0a8b0; --line: #343a41; }
}
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 46rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .4rem; }
p { margin: .5rem 0; }
.faint { color: var(--faint); overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .8rem 0; }
th, td { padding: .3rem .9rem .3rem 0; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; }
figure { margin: .8rem 0; overflow-x: auto; }
img { width: 100%; max-width: 46rem; min-width: 28rem; height: auto; }
code { font-size: .92em; overflow-wrap: anywhere; }
"""


class Table(NamedTuple):
    """Rows below a heading of as many columns."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def html(self) -> str:
        """The table; a narrow window scrolls it."""
        head = "".join(f"<th>{escape(column)}</th>" for column in self.columns)
        body = "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in self.rows)
        return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


class Words(NamedTuple):
    """Words of any script, each in its own direction."""

    words: Sequence[str]

    def html(self) -> str:
        """The words, in a paragraph."""
        return f"<p>{'&nbsp;· '.join(f'<bdi>{escape(word)}</bdi>' for word in self.words)}</p>"


class Picture(NamedTuple):
    """A PNG file, and what it shows."""

    path: Path
    shows: str

    def html(self) -> str:
        """The picture, inside the page."""
        data = b64encode(self.path.read_bytes()).decode()
        return f'<figure><img alt="{escape(self.shows)}" src="data:image/png;base64,{data}"></figure>'


class Section(NamedTuple):
    """A heading, what is below it, and how that is to be read."""

    heading: str
    parts: Sequence[Table | Words | Picture]
    explanation: str

    def html(self) -> str:
        """The section."""
        parts = "".join(part.html() for part in self.parts)
        return f"<h2>{escape(self.heading)}</h2><p>{escape(self.explanation)}</p>{parts}"


def cell(text: str) -> str:
    """A cell of a table."""
    return f'<td dir="auto">{escape(text)}</td>'


def page(title: str, summary: str, sections: Sequence[Section]) -> str:
    """The whole page.

    Examples:
        >>> "<h1>a &lt; b</h1>" in page("a < b", "", [])
        True
    """
    body = "".join(section.html() for section in sections)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f'<body><h1>{escape(title)}</h1><p class="faint">{escape(summary)}</p>{body}</body></html>\n'
    )
