"""``wavenet top``: lists the most probable words."""

import sys

from wavenet.commands.main import Parser
from wavenet.commands.options import add_label, add_wanted, label_of, model_of, parse, tabbed, wanted
from wavenet.commands.output import write
from wavenet.errors import check_at_least


def add_arguments(parser: Parser) -> None:
    """The options of the command."""
    parser.add_argument("--num_words", "-n", type=int, default=10, help="how many words (default: 10)")
    add_wanted(parser)
    add_label(parser)
    parser.add_argument(
        "--max_beginnings", type=int, default=300_000, help="beginnings of words after which the search is cut short"
    )


def main(name: str, arguments: list[str]) -> None:
    """Runs the command."""
    options = parse(name, add_arguments, "wavenet top --pattern 'jo*n' -n 5", arguments)
    check_at_least(1, num_words=options.num_words)
    model = model_of(options)
    given = {**wanted(model, options), "label": label_of(model, options.label)}
    ranking = model.top(options.num_words, max_beginnings=options.max_beginnings, **given)
    rows = (
        {"rank": rank, "word": word, "log_prob": round(log_prob, 4), "certain": rank <= ranking.num_certain}
        for rank, (word, log_prob) in enumerate(zip(ranking.words, ranking.log_probs, strict=True), start=1)
    )
    columns = ["rank", "word", "log_prob", "certain"]
    write(rows, options.format, options.output, columns, options.num_words, text=tabbed(["word", "log_prob"]))
    if not ranking.complete:
        limit = "; --max_beginnings sets the limit"
        why = f"after {options.max_beginnings:,} beginnings of words"
        if ranking.memory:
            why, limit = "by memory, which does not hold all beginnings of words", ""
        sys.stderr.write(f"cut short {why}: the first {ranking.num_certain:,} words are certain{limit}\n")
    elif len(ranking.words) < options.num_words:
        sys.stderr.write(f"{len(ranking.words):,} of {options.num_words:,} words: there are no more\n")
