from collections import Counter, defaultdict
from itertools import pairwise
from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import ROOT
from wavenet.corpus.ngram import TABLE, best_ngram, log_probs, numbered
from wavenet.corpus.reading import read_corpus
from wavenet.corpus.splitting import Part, Split, split_corpus

WORDS = st.lists(st.text("abc", min_size=1, max_size=6), min_size=1, max_size=8)


def slow(train: list[str], word: str, vocab_size: int, order: int) -> list[float]:
    """Witten-Bell as the formula has it, token by token."""
    tables = []
    for length in range(order):
        followers: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for seen in train:
            padded = "." * length + seen + "."
            for i in range(length, len(padded)):
                followers[padded[i - length : i]][padded[i]] += 1
        tables.append(followers)
    padded = "." * order + word + "."
    result = []
    for i in range(order, len(padded)):
        p = 1 / vocab_size
        for length, followers in enumerate(tables):
            counts = followers.get(padded[i - length : i])
            if counts:
                p = (counts[padded[i]] + len(counts) * p) / (counts.total() + len(counts))
        result.append(log(p))
    return result


@given(WORDS, WORDS, st.integers(1, 5))
def test_it_is_the_formula(train: list[str], held_out: list[str], order: int) -> None:
    found = log_probs(train, held_out, vocab_size=5, max_order=order)
    expected = [p for word in held_out for p in slow(train, word, 5, order)]
    np.testing.assert_allclose(found[order - 1], expected, rtol=1e-9)


@given(WORDS, st.text("abc", max_size=4))
def test_the_next_tokens_add_up_to_one(train: list[str], beginning: str) -> None:
    ends = log_probs(train, [beginning], vocab_size=4, max_order=4)[:, -1]
    others = [log_probs(train, [beginning + c], vocab_size=4, max_order=4)[:, -2] for c in "abc"]
    np.testing.assert_allclose(np.exp([ends, *others]).sum(axis=0), 1)


@given(st.lists(st.integers(0, 300), min_size=1, max_size=30))
def test_a_table_and_sorting_number_alike(keys: list[int]) -> None:
    array = np.array(keys)
    expected = {key: number for number, key in enumerate(sorted(set(keys)))}
    for scale in (1, TABLE * len(keys) + 1):  # the second needs sorting
        assert numbered(array * scale).tolist() == [expected[key] for key in keys]


def test_the_order_is_the_best_on_validation() -> None:
    split = split_corpus(read_corpus(ROOT / "data" / "world_names.tsv"), seed=42)
    vocab_size = len(set().union(*(word for part in split for word in part.words))) + 1
    best = best_ngram(split, vocab_size)
    losses = [-row.mean() for row in log_probs(split.train.words, split.val.words, vocab_size)]
    assert best.losses["val"] == pytest.approx(min(losses))
    assert best.order == 1 + losses.index(min(losses)) == 4
    assert all(later < earlier for earlier, later in pairwise(losses[: best.order]))
    assert 2.3 < best.losses["test"] < 2.5


def test_surrogates_and_astral_characters_count_once() -> None:
    part = Part(["🎈a", "🎈"], [(), ()])
    best = best_ngram(Split(part, part, part), vocab_size=3)
    assert exp(-best.losses["val"]) > 1 / 3


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 1 different characters, got 2"):
        log_probs(["ab"], ["ab"], vocab_size=2)
    with pytest.raises(ValueError, match="max_order must be at least 1, got 0"):
        log_probs(["ab"], ["ab"], vocab_size=3, max_order=0)
    with pytest.raises(ValueError, match="got 0 and 1"):
        log_probs([], ["ab"], vocab_size=3)
