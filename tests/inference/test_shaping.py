from math import exp

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.enumeration import VOCABULARY, all_words, small_network, step_probabilities, word_probability
from wavenet.inference.excluded import Excluded
from wavenet.inference.shaping import Shaping, pick


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.text("ab", max_size=5), min_size=1, max_size=12, unique=True),
    st.sampled_from([{}, {"temperature": 0.3}, {"top_k": 2}, {"top_p": 0.8}]),
)
def test_what_is_left_is_the_probability_of_all_other_words(words: list[str], shaping: dict[str, float]) -> None:
    network = small_network()
    removed = Excluded(network, VOCABULARY, [(word, 0) for word in words], Shaping(**shaping))  # type: ignore[arg-type]
    expected = 1 - sum(word_probability(network, word, **shaping) for word in words)
    assert exp(removed.left([])) == pytest.approx(expected, abs=1e-6)
    beginning = words[-1][:2]
    inside = [word for word in words if word.startswith(beginning)]
    probability = 1.0
    for length, token in enumerate(VOCABULARY.encode(beginning)):
        probability *= step_probabilities(network, beginning[:length], **shaping)[token]  # type: ignore[arg-type]
    if probability > 1e-6:
        expected = 1 - sum(word_probability(network, word, **shaping) for word in inside) / probability
        assert exp(removed.left(VOCABULARY.encode(beginning))) == pytest.approx(expected, abs=1e-5)


def test_all_words_up_to_a_length_and_the_rest_add_up_to_one() -> None:
    network = small_network()
    words = all_words(6, min_length=0)
    removed = Excluded(network, VOCABULARY, [(word, 0) for word in words], Shaping())
    assert exp(removed.left([])) + sum(word_probability(network, word) for word in words) == pytest.approx(1, abs=1e-6)


def test_nothing_is_left_of_a_beginning_whose_every_continuation_is_removed() -> None:
    endings = [("a", 0), ("a", 1), ("aba", 0), ("aba", 1), ("aba", 2), ("ab", 0), ("ab", 2)]
    removed = Excluded(small_network(), VOCABULARY, endings, Shaping())
    assert removed.left(VOCABULARY.encode("a")) == -torch.inf
    assert removed.left([]) > -1
    assert removed.left(VOCABULARY.encode("bbb")) == 0


def test_little_is_left_exactly() -> None:
    """Where nearly everything is removed, the rest keeps its precision."""
    network = small_network()
    shaping = Shaping(temperature=0.02)
    words = all_words(5, min_length=0)
    probability = {word: word_probability(network, word, temperature=0.02) for word in words}
    likeliest = max(words, key=lambda word: probability[word])
    left = exp(Excluded(network, VOCABULARY, [(likeliest, 0)], shaping).left([]))
    rest = sum(p for word, p in probability.items() if word != likeliest)
    assert rest < 1e-3
    assert left == pytest.approx(rest, rel=1e-2)


def test_a_token_is_picked_by_its_share() -> None:
    weights = torch.tensor([[0.0, 2.0, 0.0, 6.0, 0.0]]).log().expand(5, 5)
    assert pick(weights, torch.tensor([0.0, 0.2499, 0.25, 0.5, 1 - 1e-7])).tolist() == [1, 1, 3, 3, 3]


@settings(deadline=None, max_examples=50)
@given(st.floats(0.2, 3), st.integers(1, 6), st.floats(0.05, 1), st.integers(0, 1000))
def test_shaped_probabilities_add_up_to_one_and_keep_the_likeliest(t: float, k: int, p: float, seed: int) -> None:
    torch.manual_seed(seed)
    logits = torch.randn(7, 5, dtype=torch.float64)
    probs = Shaping(t, k, p).log_probs(logits).exp()
    torch.testing.assert_close(probs.sum(-1), torch.ones(7, dtype=torch.float64))
    assert ((probs > 0).sum(-1) <= k).all()
    assert torch.equal(probs.argmax(-1), logits.argmax(-1))
    torch.testing.assert_close(Shaping().log_probs(logits), logits.log_softmax(-1))
    assert Shaping(temperature=1e-309).log_probs(logits).isfinite().any(-1).all()


def test_of_equally_likely_characters_the_lower_token_ids_are_kept() -> None:
    for size in (2, 10, 40, 300):  # sorting that is not stable keeps the order of a few
        alike = torch.zeros(3, size, dtype=torch.float64)
        for kept in range(1, size + 1):
            expected = (torch.arange(size) < kept).double().expand(3, size) / kept
            for shaping in (Shaping(top_k=kept), Shaping(top_p=kept / size)):
                torch.testing.assert_close(shaping.log_probs(alike).exp(), expected)
    probs = torch.tensor([[0.2, 0.3, 0.1, 0.3, 0.1]], dtype=torch.float64)
    for shaping, tokens in (
        (Shaping(top_k=1), [1]),
        (Shaping(top_k=4), [0, 1, 2, 3]),
        (Shaping(top_p=0.3), [1]),
        (Shaping(top_p=0.31), [1, 3]),
        (Shaping(top_p=0.9), [0, 1, 2, 3]),
        (Shaping(top_p=1e-9), [1]),
    ):
        assert shaping.log_probs(probs.log()).exp()[0].nonzero().flatten().tolist() == tokens
