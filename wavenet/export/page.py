"""One HTML page that makes words, shows the network at work and scores words, with nothing but a browser.

The page is written in ``wavenet/export/web`` as plain HTML, CSS and JavaScript modules. Here they become one file with
the network in it, which loads nothing and, by its content security policy, could not.
"""

import json
import re
import unicodedata
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from itertools import chain
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

from torch import nn

from wavenet.corpus.labels import label_in
from wavenet.errors import ArgumentError
from wavenet.export.facts import Facts
from wavenet.export.folding import folded
from wavenet.export.known import bloom_filter
from wavenet.export.packing import pack, rounded
from wavenet.inference.model import TrainedModel
from wavenet.inference.scoring import score
from wavenet.inference.trained_on import TrainedOn
from wavenet.network.layers import position_wise
from wavenet.runs import whole_file

SOURCES = Path(__file__).parent / "web"
MAIN = "main.js"
MOST_WORDS = 2_000_000  # that a page keeps as known ones, in 3.6 MB
MEASURED = 10_000  # validation words at most, of which the loss is measured before and after packing
NUM_EXAMPLES = 8
LONGEST = 64  # characters of a word, where the training words' length is not known
IMPORT = re.compile(r'^import \{[^}]*\} from "\./(.+)";\n', re.MULTILINE)
ICON = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><path fill='none' stroke='#245e9e' stroke-width='2' "
    "d='M8 2v4M4 10V6h8v4M2 14v-4h4v4M10 14v-4h4v4'/></svg>"
)


@dataclass(frozen=True)
class Written:
    """What was written: bytes, and the loss in nats per character before and after packing, if it was measured."""

    size: int
    loss: float | None
    packed_loss: float | None


def write_page(model: TrainedModel, facts: Facts, path: Path, with_corpus: bool = True) -> Written:
    """Writes the page.

    Args:
        model: The model.
        facts: What the page says of it.
        path: Where.
        with_corpus: Whether it knows the words of the corpus, to leave them out; no word can be read from it.

    Raises:
        ArgumentError: The network cannot slide, or has a layer that the page does not know; or the corpus is too large.
        OSError: The file cannot be written; or ``with_corpus``, and the corpus is not where it was.
        ValueError: ``with_corpus``, and the corpus has changed.
    """
    if not position_wise(model.network):
        raise ArgumentError("format", "html needs a network that can slide; a layer of this one is not position-wise")
    network = folded(model.network)
    described, weights = pack(network)
    loss, packed_loss = (measure(model, other) for other in (network, rounded(network)))
    content = {
        "name": corpus_name(facts),
        "alphabet": facts.alphabet,
        "direction": direction(facts.alphabet),
        "maxLength": longest(facts),
        "examples": model.sample(NUM_EXAMPLES, unique=True, seed=0),
        "labels": [{"name": name, "count": count} for name, count in facts.labels.items()],
        "network": described,
        "weights": weights,
        "known": known(model) if with_corpus else None,
    }
    texts = {"title": title(facts), "purpose": purpose(facts), "origin": origin(facts, packed_loss)}
    page = assemble(content, texts)
    with whole_file(path) as file:
        file.write(page)
    return Written(len(page.encode()), loss, packed_loss)


def known(model: TrainedModel) -> dict[str, Any]:
    """The filter of the words of all splits."""
    split = model.split
    if (count := sum(len(part.words) for part in split)) > MOST_WORDS:
        raise ArgumentError(
            "without_corpus", f"must be given: a page knows at most {MOST_WORDS:,} words, got {count:,}"
        )
    return bloom_filter(set(chain.from_iterable(part.words for part in split)))


def measure(model: TrainedModel, network: nn.Sequential) -> float | None:
    """The loss of a network, in nats per character, on validation words of the model, if these are at hand.

    The network is told the labels of the words, if it knows any.
    """
    try:
        val = model.split.val
    except (OSError, ValueError):
        return None
    words, source, labels = val.words[:MEASURED], model.trained_on, None
    if model.labels is not None and isinstance(source, TrainedOn) and source.label_column is not None:
        labels = [model.labels.encode(label_in(fields, source.label_column)) for fields in val.labels[:MEASURED]]
    scores = score(network, model.vocabulary, words, labels)
    return -sum(scored.log_prob for scored in scores) / sum(len(word) + 1 for word in words)


def corpus_name(facts: Facts) -> str:
    """The name of the corpus's file, without its ending, or ``words``."""
    return "words" if facts.trained_on is None else Path(facts.trained_on.path).stem


def longest(facts: Facts) -> int:
    """How many characters a word may have, which may be changed on the page; see ``TrainedModel``."""
    known = None if facts.trained_on is None else facts.trained_on.longest_word
    return LONGEST if known is None else known + max(4, known // 4)


def direction(alphabet: str) -> str:
    """Whether most letters of an alphabet are written from left to right or from right to left.

    Examples:
        >>> direction("abc"), direction("אבג-")
        ('ltr', 'rtl')
    """
    kinds = [unicodedata.bidirectional(character) for character in alphabet]
    return "rtl" if sum(kind in ("R", "AL") for kind in kinds) > kinds.count("L") else "ltr"


def title(facts: Facts) -> str:
    """The heading of the page."""
    return f"Words like {corpus_name(facts).replace('_', ' ')}" if facts.trained_on else "New words"


def purpose(facts: Facts) -> str:
    """What the page is, in a sentence."""
    source = facts.trained_on
    spelled = "those that it learned from"
    if source is not None:
        spelled = f"the {sum(source.words.values()):,} of {Path(source.path).name}"
    kinds = f", of any of {len(facts.labels):,} kinds" if facts.labels else ""
    return f"A small neural network, running here in your browser, makes words that are spelled like {spelled}{kinds}."


def origin(facts: Facts, packed_loss: float | None) -> str:
    """How the network was made, in a sentence."""
    source, losses = facts.trained_on, facts.losses
    read = "character" if facts.block_size == 1 else f"{facts.block_size} characters"
    table = f", {facts.table:,} of them in a table of n-grams" if facts.table else ""
    said = (
        f"It reads the last {read}, has {facts.parameters:,} weights{table}, and was trained by wavenet {facts.version}"
    )
    if source is not None:
        said += f" on {source.words['train']:,} of the words"
    if losses:
        said += (
            f" to a loss of {losses['train']:.3f} nats per character, with {losses['val']:.3f} on validation words and "
            f"{losses['test']:.3f} on test words"
        )
    if packed_loss is not None:
        said += f"; with its weights packed into this page, the loss on validation words is {packed_loss:.3f}"
    return f"{said}."


def assemble(content: dict[str, Any], texts: dict[str, str]) -> str:
    """The page as one text; what comes from words cannot leave the place that it is put in."""
    style, script = (SOURCES / "style.css").read_text(encoding="utf-8"), bundled()
    model = json.dumps(content, separators=(",", ":")).replace("<", r"\u003c")  # no tag ends or begins in it
    return Template((SOURCES / "page.html").read_text(encoding="utf-8")).substitute(
        policy=policy(style, script),
        icon=f"data:image/svg+xml,{quote(ICON)}",
        **{name: escape(text) for name, text in texts.items()},
        style=style,
        script=script,
        model=model,
    )


def policy(style: str, script: str) -> str:
    """The content security policy: this style and this script, the icon, and nothing else at all."""
    hashes = (f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in (script, style))
    return "default-src 'none'; script-src {}; style-src {}; img-src data:; base-uri 'none'; form-action 'none'".format(
        *hashes
    )


def bundled() -> str:
    """All modules as one: each once, after those that it imports. Their names differ, so that none hides another."""
    return "\n".join(
        IMPORT.sub("", module).replace("\nexport ", "\n").strip() + "\n" for module in modules(MAIN, set())
    )


def modules(name: str, seen: set[str]) -> Iterator[str]:
    """The texts of a module and of all that it imports, which come first; ``seen`` are those that came already."""
    if name in seen:
        return
    seen.add(name)
    text = (SOURCES / name).read_text(encoding="utf-8")
    for imported in IMPORT.findall(text):
        yield from modules(imported, seen)
    yield text
