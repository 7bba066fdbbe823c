from pathlib import Path

import pytest

from tests.conftest import ROOT
from wavenet.corpus.oddities import oddities
from wavenet.corpus.reading import Corpus, read_corpus


def said(words: list[str], block_size: int = 8) -> str:
    return "; ".join(oddities(Corpus(Path("list.txt"), "", words, [()] * len(words)), block_size))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["emma,1", "ava,2", "mia,3"], "list.txt looks like a table with commas"),
        (["emma;f;1", "ava;f;2", "mia;f;3"], "looks like a table with semicolons"),
        (["Name", "emma", "ava"], "'Name', the first word of list.txt, looks like a header"),
        (["product_name", "emma", "ava"], "'product_name', the first word of list.txt, looks like a header"),
        (["{name}|x", "emma|y"], "table with vertical bars"),
        (["emma", "emma", "emma", "ava", "ava"], "3 of the 5 words of list.txt are repetitions"),
        (["emma sophia " * 4, "ava mia olivia " * 4], "54 characters on average, of which the network sees the last 8"),
    ],
)
def test_what_looks_wrong_is_said(words: list[str], expected: str) -> None:
    assert expected in said(words)


@pytest.mark.parametrize(
    "words",
    [["emma", "ava"], ["Paris, Texas", "oslo", "rome"], ["{", "}"], ["emma"], ["ava", "name"], ["name", "name", "ava"]],
)
def test_usual_words_are_taken_as_they_are(words: list[str]) -> None:
    assert not said(words)


def test_repetitions_that_count_once_are_none() -> None:
    corpus = Corpus(Path("list.txt"), "", ["emma"] * 9 + ["ava"], [()] * 10)
    assert oddities(corpus, block_size=8)
    assert not oddities(corpus, block_size=8, deduplicate=True)


def test_a_longer_context_is_long_enough() -> None:
    assert not said(["emma sophia " * 4], block_size=16)


def test_the_bundled_corpus_has_no_oddities() -> None:
    assert not oddities(read_corpus(ROOT / "data" / "world_names.tsv"), block_size=8)
