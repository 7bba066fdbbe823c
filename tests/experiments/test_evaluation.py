from typing import Any

import numpy as np
import pytest

from wavenet.corpus.ngram import best_ngram
from wavenet.corpus.splitting import Part, Split
from wavenet.experiments.comparison import Loss, Over, Row, by_chance, differences
from wavenet.experiments.evaluation import NUM_RESAMPLES, HeldOut, interval, resampled_means

SPLIT = Split(Part(["emma", "ava", "mia"], [()] * 3), Part(["ava", "emilia", "amma"], [()] * 3), Part(["mila"], [()]))


def row(label: str, losses: list[float], low: float = 1.0, high: float = 3.0) -> Row:
    over = Over.seeds(losses)
    loss = Loss(over.mean, over.deviation, low, high)
    runs: list[Any] = [None] * len(losses)
    return Row(label, runs, 10, 10, over, over, {"val": loss})


def test_the_interval_is_that_of_the_normal_distribution_where_words_are_many() -> None:
    generator = np.random.default_rng(1)
    losses, tokens = generator.normal(2.0, 0.5, size=2000), np.ones(2000)
    low, high = interval(resampled_means([losses], tokens)[:, 0])
    half = 1.96 * losses.std() / np.sqrt(2000)
    assert (low, high) == pytest.approx((losses.mean() - half, losses.mean() + half), abs=0.1 * half)


def test_words_weigh_by_their_tokens_and_are_drawn_alike_for_all_rows() -> None:
    losses, tokens = np.array([3.0, 10.0, 4.0]), np.array([1.0, 5.0, 2.0])
    means = resampled_means([losses, losses + tokens], tokens)
    assert means.shape == (NUM_RESAMPLES, 2)
    np.testing.assert_allclose(means[:, 1] - means[:, 0], 1.0)
    assert means.mean(axis=0)[0] == pytest.approx(losses.sum() / tokens.sum(), abs=0.1)


def test_unseen_words_are_those_of_validation_that_train_does_not_have() -> None:
    held_out = HeldOut(SPLIT)
    assert held_out.sets["val_unseen"].words == ["emilia", "amma"]
    assert list(held_out.sets["val"].tokens) == [4, 7, 5]
    losses = held_out.losses_of_ngram(order=2, vocab_size=7)
    assert {name: len(found) for name, found in losses.items()} == {"val": 3, "val_unseen": 2, "test": 1}
    assert list(losses["val_unseen"]) == list(losses["val"][1:])


def test_the_ngrams_losses_of_words_add_up_to_its_own() -> None:
    best = best_ngram(SPLIT, vocab_size=7)
    held_out = HeldOut(SPLIT)
    losses = held_out.losses_of_ngram(best.order, vocab_size=7)
    for name, loss in best.losses.items():
        assert losses[name].sum() / held_out.sets[name].tokens.sum() == pytest.approx(loss)


def test_a_set_without_words_is_left_out() -> None:
    held_out = HeldOut(SPLIT._replace(val=Part(["ava"], [()])))
    assert list(held_out.sets) == ["val", "test"]


@pytest.mark.parametrize(
    ("first", "second", "spread", "better"),
    [
        ([2.0, 2.02], [2.2, 2.22], 0.01, "a"),
        ([2.2, 2.22], [2.0, 2.02], 0.01, "b"),
        ([2.0, 2.2], [2.2, 2.4], 0.01, None),  # seeds differ as much
        ([2.0, 2.02], [2.2, 2.22], 0.3, None),  # words do
        ([2.0], [2.2], 0.01, "a"),
    ],
)
def test_better_means_beyond_words_and_seeds(
    first: list[float], second: list[float], spread: float, better: str | None
) -> None:
    rows = [row("a", first), row("b", second)]
    shifts = np.linspace(-spread, spread, 100)
    means = np.stack([rows[0].losses["val"].mean + shifts, np.full(100, rows[1].losses["val"].mean)], axis=1)
    (found,) = differences(rows, {"val": means})
    assert found.better == better
    assert found.losses["val"].mean == pytest.approx(np.mean(first) - np.mean(second))


def test_what_seeds_make_by_chance_is_students() -> None:
    rows = [row("a", [1.0, 1.2, 1.4]), row("b", [2.0, 2.2, 2.4])]
    assert by_chance(rows[0], rows[1], rows) == pytest.approx(2.78 * 0.2 * np.sqrt(2 / 3))  # four degrees of freedom
    assert by_chance(row("a", [1.0]), row("b", [2.0]), []) is None
