"""What looks wrong with a list of words, though it can be read: said before training, in one line each."""

from collections import Counter
from collections.abc import Sequence
from statistics import mean

from wavenet.corpus.reading import Corpus
from wavenet.corpus.words import Words

HEADERS = {"name", "names", "word", "words", "title", "text", "label", "id", "city", "company", "product", "place"}
SEPARATORS = {",": "commas", ";": "semicolons", "|": "vertical bars"}
LOOKED_AT = 100_000  # words
MOST = 0.8  # of the lines
MUCH_LONGER = 4  # times as long as the context


def oddities(corpus: Corpus, block_size: int, deduplicate: bool = False) -> list[str]:
    """What looks wrong with a corpus, for a network that sees ``block_size`` characters.

    Of very many words the first 100,000 are looked at, save for repetitions, which are counted among all. Where words
    are counted once (``deduplicate``), repetitions are not.

    Examples:
        >>> from pathlib import Path
        >>> words = ["name,city", "emma,rome", "ava,oslo"]
        >>> oddities(Corpus(Path("list.csv"), "", words, [()] * 3), block_size=8)  # doctest: +NORMALIZE_WHITESPACE
        ['list.csv looks like a table with commas: each line is one word here; keep one column, or use tabs',
        "'name,city', the first word of list.csv, looks like a header: take its line out if it is no word"]
    """
    name, words = corpus.path.name, corpus.words
    repeated = None if deduplicate else duplicates(name, words)
    first = list(words[:LOOKED_AT])
    found = (table(name, first), header(name, first), repeated, long_words(name, first, block_size))
    return [line for line in found if line]


def table(file: str, words: Sequence[str]) -> str | None:
    """Whether most lines have the same number of separators."""
    for separator, name in SEPARATORS.items():
        counts = [word.count(separator) for word in words]
        ((usual, often),) = Counter(counts).most_common(1)
        if usual and often >= MOST * len(words):
            return f"{file} looks like a table with {name}: each line is one word here; keep one column, or use tabs"
    return None


def header(file: str, words: Sequence[str]) -> str | None:
    """Whether the first line names a column."""
    first = words[0]
    for separator in SEPARATORS:
        first = first.replace(separator, " ")
    if HEADERS & set(first.casefold().replace("_", " ").split()) and words.count(words[0]) == 1:
        return f"{words[0]!r}, the first word of {file}, looks like a header: take its line out if it is no word"
    return None


def duplicates(file: str, words: Sequence[str]) -> str | None:
    """Whether most words have come before."""
    distinct = words.num_distinct if isinstance(words, Words) else len(set(words))
    if 2 * distinct >= len(words):
        return None
    return (
        f"{len(words) - distinct:,} of the {len(words):,} words of {file} are repetitions, so that many words of "
        f"validation also stand in train: --data.deduplicate true counts each once"
    )


def long_words(file: str, words: Sequence[str], block_size: int) -> str | None:
    """Whether words are much longer than the context."""
    length = mean(map(len, words))
    if length <= MUCH_LONGER * block_size:
        return None
    return (
        f"the words of {file} have {length:.0f} characters on average, of which the network sees the last "
        f"{block_size}: --model.network.block_size {4 * block_size} sees more, and takes longer"
    )
