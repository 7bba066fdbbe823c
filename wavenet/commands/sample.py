"""``wavenet sample``: draws words from a trained model."""

from __future__ import annotations

import sys
import time
from argparse import BooleanOptionalAction
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from wavenet.commands.main import Parser
from wavenet.commands.options import add_label, add_wanted, label_of, model_of, novelty_of, parse, tabbed, wanted
from wavenet.commands.output import Row, write
from wavenet.errors import check_at_least

if TYPE_CHECKING:
    from wavenet.inference.model import Label, TrainedModel
    from wavenet.inference.sampling import Sampler, Words

SAMPLER_OPTIONS = ("temperature", "top_k", "top_p", "unique", "max_draws", "directed")
EACH = "each"
PATIENCE = 5.0  # seconds after which it is said how rare the words are


def add_arguments(parser: Parser) -> None:
    """The options of the command."""
    parser.add_argument("--num_words", "-n", type=int, default=20, help="how many words (default: 20)")
    parser.add_argument("--temperature", type=float, default=1.0, help="below 1 for likelier, above 1 for odder words")
    parser.add_argument("--top_k", type=int, help="only the k likeliest characters at each step after the prefix")
    parser.add_argument("--top_p", type=float, help="only the likeliest ones that add up to p at each step after it")
    add_wanted(parser)
    add_label(parser, more=f"; {EACH} gives so many words of every label")
    parser.add_argument("--unique", action="store_true", help="no word twice: drawn without replacement")
    parser.add_argument(
        "--max_draws", type=int, help="draws after which a search ends (default: 1,000,000, or 100 for each word)"
    )
    parser.add_argument(
        "--directed",
        action=BooleanOptionalAction,
        help="let the pattern direct draws, approximately (default: only where wanted words hardly ever come)",
    )
    parser.add_argument("--seed", type=int, help="the same seed gives the same words")
    parser.add_argument("--log_prob", action="store_true", help="add log-probabilities (nats, at temperature 1)")
    parser.add_argument("--novelty", action="store_true", help="say whether a word is in train, validation or test")


def main(name: str, arguments: list[str]) -> None:
    """Runs the command."""
    options = parse(name, add_arguments, "wavenet sample --prefix ma --unique --novel", arguments)
    check_at_least(1, num_words=options.num_words)
    model = model_of(options)
    given = {option: getattr(options, option) for option in SAMPLER_OPTIONS} | wanted(model, options)
    kind = novelty_of(model) if options.novelty else None
    labels, columns = labels_of(model, options.label), ["word"]
    if options.label == EACH:
        columns.append("label")
    if options.log_prob:
        columns.append("log_prob")
    if options.novelty:
        columns.append("novelty")
    short: list[str] = []

    def rows() -> Iterator[Row]:
        for label in labels:
            sampler, count = model.sampler(label=label, **given), 0
            for words, log_probs in watched(sampler, sampler.draw(options.num_words, options.seed)):
                count += len(words)
                for word, log_prob in zip(words, log_probs, strict=True):
                    row = {"word": word, "label": label, "log_prob": round(log_prob, 4)}
                    row["novelty"] = kind(word) if kind else None
                    yield {column: row[column] for column in columns}
            if count < options.num_words:
                reason = "there are no more" if sampler.exhausted else f"{sampler.num_draws:,} draws gave no more"
                of_label = f"{label}: " if options.label == EACH else ""
                short.append(f"{of_label}{count:,} of {options.num_words:,} words: {reason}\n")

    total = options.num_words * len(labels)
    write(rows(), options.format, options.output, columns, total, text=tabbed(columns))
    sys.stderr.writelines(short)


def labels_of(model: TrainedModel, text: str | None) -> Sequence[Label]:
    """The kinds of words that are asked for: one, or every label."""
    return model.known_labels.names if text == EACH else [label_of(model, text)]


def watched(sampler: Sampler, batches: Iterable[Words]) -> Iterator[Words]:
    """The batches as they come; stderr is told once if words are rare, and once if draws are directed."""
    begin, count, slow, directed = time.monotonic(), 0, False, False
    for batch in batches:
        yield batch
        count += len(batch.words)
        passed = time.monotonic() - begin
        if sampler.is_directed and not directed:
            directed = True
            sys.stderr.write("draws are directed by the pattern now: approximately from the model's distribution\n")
        elif not slow and passed > PATIENCE and sampler.num_draws > 10 * count:
            slow = True
            sys.stderr.write(
                f"{count:,} words in {sampler.num_draws:,} draws after {passed:.0f} s; the search goes on, up to "
                f"{sampler.limit:,} draws (--max_draws)\n"
            )
