import re
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavenet.corpus.vocabulary import Vocabulary
from wavenet.errors import ArgumentError
from wavenet.inference.patterns import Wanted

VOCABULARY = Vocabulary("ab-c")
WORDS = ["".join(word) for length in range(6) for word in product("ab-c", repeat=length)]
PARTS = {
    "*": ".*", "?": ".", "a": "a", "b": "b", "[ab]": "[ab]", "[!ab]": "[^ab]", "[^c]": "[^c]", "[a-c]": "[a-c]",
    "[-a]": "[-a]", "\\-": "-", "[]a]": "[]a]",
}  # fmt: skip


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.sampled_from(sorted(PARTS)), max_size=6),
    st.text("ab", max_size=2),
    st.integers(0, 4),
    st.integers(0, 5),
)
def test_wanted_words_are_those_that_the_regular_expression_matches(
    parts: list[str], prefix: str, min_length: int, more: int
) -> None:
    expression = re.compile("".join(PARTS[part] for part in parts))
    max_length = min(5, min_length + more)
    expected = [
        word
        for word in WORDS
        if min_length <= len(word) <= max_length and word.startswith(prefix) and expression.fullmatch(word)
    ]
    try:
        wanted = Wanted(VOCABULARY, prefix, "".join(parts), min_length, max_length)
    except ValueError as error:
        assert "pattern matches no word" in str(error) or len(prefix) > max_length
        assert not expected
        return
    assert [word for word in WORDS if wanted.accepts(word)] == expected
    forced = VOCABULARY.decode(wanted.forced)
    assert all(word.startswith(forced) for word in expected)
    assert len(forced) == max_length or len({word[len(forced) :][:1] for word in expected}) > 1 or forced in expected


def test_what_every_word_begins_with_is_forced() -> None:
    assert Wanted(VOCABULARY, prefix="ab", pattern="?[b]a*c").forced == VOCABULARY.encode("aba")
    assert Wanted(VOCABULARY).forced == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pattern": "[ab"}, r"pattern must have a \] for its \["),
        ({"pattern": "a[xyz]"}, r"in its sets, got \[xyz\]"),
        ({"pattern": "a\\"}, "must have a character after its last backslash"),
        ({"pattern": "??", "min_length": 3}, "pattern matches no word: expected a word of 3 to 64 characters"),
        ({"pattern": "b*", "prefix": "a"}, "got prefix 'a' and pattern 'b\\*'"),
        ({"prefix": "aaa", "max_length": 2}, "prefix must be no longer than max_length 2, got 'aaa'"),
        ({"max_length": -1}, "max_length must be at least 1, got -1"),
        ({"max_length": 0}, "max_length must be at least 1, got 0"),
        ({"max_length": -1, "min_length": 0}, "max_length must be at least 0, got -1"),
        ({"min_length": 5, "max_length": 4}, "min_length must be at most max_length 4, got 5"),
        ({"max_length": 10**12}, "max_length must be at most 10000, got 1000000000000"),
        ({"min_length": -1}, "min_length must be at least 0, got -1"),
        ({"pattern": "*a" + "?" * 14}, "pattern must be simpler"),
    ],
)
def test_what_cannot_be_wanted(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Wanted(VOCABULARY, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"prefix": "ax"}, {"pattern": "ax*"}])
def test_a_character_outside_the_alphabet(options: dict[str, str]) -> None:
    with pytest.raises(ArgumentError, match="unknown character 'x'"):
        Wanted(VOCABULARY, **options)  # type: ignore[arg-type]


def test_prefix_and_pattern_are_composed_as_a_corpus_is() -> None:
    vocabulary = Vocabulary("ozë")
    assert Wanted(vocabulary, prefix="zoe\u0308", pattern="*e\u0308").accepts("zoë")
