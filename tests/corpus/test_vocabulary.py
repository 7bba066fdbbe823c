import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavenet.corpus.vocabulary import BOUNDARY, UnknownCharacterError, Vocabulary


@given(st.lists(st.text(min_size=1), min_size=1))
def test_decode_undoes_encode(words: list[str]) -> None:
    vocabulary = Vocabulary.from_words(words)
    assert list(vocabulary.alphabet) == sorted(set("".join(words)))
    for word in words:
        tokens = vocabulary.encode(word)
        assert BOUNDARY not in tokens
        assert max(tokens) < len(vocabulary)
        assert vocabulary.decode(tokens) == word


def test_a_full_stop_is_a_character_like_any_other() -> None:
    vocabulary = Vocabulary.from_words(["a.b"])
    assert vocabulary.alphabet == ".ab"
    assert vocabulary.encode("a.b") == [2, 1, 3]


def test_an_unknown_character_is_named_with_its_code_point_and_word() -> None:
    with pytest.raises(UnknownCharacterError, match=r"'é' \(U\+00E9\) in 'zoé'"):
        Vocabulary("zo").encode("zoé")


@pytest.mark.parametrize("tokens", [[0], [4], [-1]])
def test_token_ids_outside_the_alphabet_are_refused(tokens: list[int]) -> None:
    with pytest.raises(ValueError, match=f"from 1 to 3, got {tokens[0]}"):
        Vocabulary("abc").decode(tokens)


def test_alphabets_that_are_none() -> None:
    with pytest.raises(ValueError, match="at least one character"):
        Vocabulary("")
    with pytest.raises(ValueError, match="'a' 2 times"):
        Vocabulary("aba")


def test_equality_is_that_of_the_alphabets() -> None:
    assert Vocabulary("ab") == Vocabulary.from_words(["b", "a"])
    assert Vocabulary("ab") != Vocabulary("ba")
    assert len({Vocabulary("ab"), Vocabulary("ab")}) == 1
    assert repr(Vocabulary("ab")) == "Vocabulary('ab')"
