from collections import Counter
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from wavenet.corpus.reading import Corpus
from wavenet.corpus.splitting import Part, Split, leaks, split_corpus


def corpus(words: list[str]) -> Corpus:
    return Corpus(Path("words.txt"), "", words, [()] * len(words))


@given(st.lists(st.text(min_size=1), min_size=10), st.integers())
def test_a_split_keeps_every_word_once_and_depends_on_its_seed_alone(words: list[str], seed: int) -> None:
    split = split_corpus(corpus(words), seed)
    assert Counter(word for part in split for word in part.words) == Counter(words)
    assert [len(part.words) for part in split] == [
        int(0.8 * len(words)),
        int(0.9 * len(words)) - int(0.8 * len(words)),
        len(words) - int(0.9 * len(words)),
    ]
    assert split == split_corpus(corpus(words), seed)


def test_the_shuffle_is_that_of_the_lecture() -> None:
    # random.seed(42); random.shuffle(words), on the ten digits
    assert "".join(w for part in split_corpus(corpus(list("0123456789")), 42) for w in part.words) == "7328569401"


@pytest.mark.parametrize("count", range(6))
def test_too_few_words_for_three_splits(count: int) -> None:
    with pytest.raises(ValueError, match=f"at least 6 words.*got {count}"):
        split_corpus(corpus(["a"] * count), 42)
    assert all(part.words for part in split_corpus(corpus(["a"] * 6), 42))


def test_leaks_count_the_words_that_stand_in_train_too() -> None:
    parts = (["a", "b", "b"], ["a", "c"], ["b", "b", "a"])
    assert leaks(Split(*(Part(words, [()] * len(words)) for words in parts))) == {"val": 1, "test": 3}


@given(st.lists(st.tuples(st.text("abc", min_size=1), st.text("xyz")), min_size=10), st.integers(), st.booleans())
def test_labels_go_with_their_words(lines: list[tuple[str, str]], seed: int, deduplicate: bool) -> None:
    words, labels = [word for word, _ in lines], [(label,) for _, label in lines]
    assume(len(set(words)) > 5)
    split = split_corpus(Corpus(Path("w"), "", words, labels), seed, deduplicate)
    found = Counter(pair for part in split for pair in zip(part.words, part.labels, strict=True))
    assert not found - Counter(zip(words, labels, strict=True))
    if deduplicate:
        first = dict(reversed(list(zip(words, labels, strict=True))))
        assert dict(found.keys()) == first
        assert found.total() == len(first)


def test_deduplicated_words_keep_the_first_place() -> None:
    words = list("bcbacdefghd")
    once = split_corpus(corpus(list("bcadefgh")), 42)
    assert split_corpus(corpus(words), 42, deduplicate=True) == once
