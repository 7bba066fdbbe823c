"""How to train on a list of words, chosen from the list: the rule behind ``python train.py fit``."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import ceil, exp, log, log2
from statistics import quantiles
from typing import Any

from wavenet.corpus.shuffling import LISTED

NAMES_WORDS, NAMES_TOKENS = 25_626, 182_625
"""The training split of names.txt, the list that the defaults of the classes are made for."""

RICH_ALPHABET = 20
"""The perplexity of characters from which on an alphabet is rich: those of names.txt have 16.6."""

FEWEST_STEPS = 120
"""The steps that a rich alphabet leaves a small list."""

AFFORDABLE, MANY_WORDS = 1.9e12, 24_000
"""Operations of a training (about a minute at most on two cores), and the words beyond which it takes more."""

FEWEST_EPOCHS = 3
"""The epochs for which a network is made narrower, if fewer of a wider one could be afforded."""

SAMPLED = 100_000
"""Words that stand for all, where there are very many."""

MOST_LOGITS = 2**24
"""Logits in a table of n-grams: 524,288 rows for the letters of English."""

LARGE = 1.3
"""The product of two ratios to names.txt, each at least 1, beyond which the table of n-grams is learned row by row: the
number of tokens, and the fourth root of the mean length of the words."""

NUM_POINTS = 10
"""How many points a training curve has at least."""


@dataclass(frozen=True)
class Recipe:
    """The settings that a list of words is trained with.

    Args:
        batch_size: Words, or windows, in a batch.
        steps_per_epoch: How many batches they make.
        max_steps: Training steps.
        num_validations: How often the network is validated on the way.
        learning_rate, weight_decay, ngram_learning_rate: See
            :class:`wavenet.training.optimization.OptimizationConfig`.
        dropout, hidden_dim, block_size, ngram_rows, ngram_gain: See :class:`wavenet.network.config.NetworkConfig`.
    """

    batch_size: int
    steps_per_epoch: int
    max_steps: int
    num_validations: int
    learning_rate: float
    weight_decay: float
    dropout: float
    hidden_dim: int
    block_size: int
    ngram_rows: int
    ngram_gain: float
    ngram_learning_rate: float


def recipe_for(words: Sequence[str], windows: bool = False, batch_size: int | None = None) -> Recipe:
    """The recipe for the words of a training split.

    It depends on r, the tokens of the words (characters and ends) divided by those of names.txt, for which it is what
    the classes have as defaults; on how much longer than names the words are; and on how many more characters they
    choose from (as the perplexity of single characters has it). The fewer tokens, the more often each is seen and the
    harder the network is kept from learning them by heart:

    - batches of 1,825 tokens times the root of r and the power 1.5 of how much longer the words are, rounded to a power
      of two of words, at most a third of the words;
    - below r = 1 epochs so that as many tokens are seen as in five of names.txt, but no more than 50, nor than 120
      times the fourth root of r (a rich alphabet, whose characters are soon known by heart, takes fewer); above it so
      that the tokens seen grow with the root of r, up to 18 times those of names.txt, but at least one epoch. Long
      words, which hardly ever begin alike, get more of them: the root of how much longer they are;
    - a learning rate that falls with the sixth root of r and rises with the power 0.75 of how much longer the words
      are, up to 0.05; a width that falls with the fourth root of r, and rises with it for longer words or more of them,
      up to 160;
    - dropout that rises with the logarithm of the epochs, by less where words are long, up to 0.5;
    - weight decay that rises with the power -3/4 of r.

    A training takes ``AFFORDABLE`` operations at most. Where words are both many and long, the network is narrower, so
    that it has the three epochs which a wider one could not have in that time; and no list has more epochs than fit
    into it. From ``MANY_WORDS`` words on the time grows with them.

    Beside the network stands a table of n-grams, of 16,384 rows. It is learned at 0.3 of the network's rate, or less
    where its rate times the epochs would be above 0.1, since a row that is seen once in an epoch must not come too far.
    A list that is ``LARGE``, by its tokens and the length of its words, has n-grams that come too seldom for that: its
    table has as many rows as it has tokens (a power of two, and ``MOST_LOGITS`` logits at most), and is learned row by
    row, at a rate (times the gain) that falls with the epochs. The context is 8 characters, since longer ones did not
    pay, or 4 where nearly all words are shorter than that.

    ``benchmarks/list_sizes.py`` compares the rule with the best of a search, and docs/list_sizes.md has its figures.

    Args:
        words: The words of the training split; of more than a million the first 100,000 stand for all.
        windows: Whether a batch consists of windows instead of words.
        batch_size: Examples in a batch, if it is not for the rule to say.

    Examples:
        >>> recipe = recipe_for(["emma", "olivia", "ava", "isabella"] * 20)
        >>> recipe.batch_size, recipe.max_steps, recipe.dropout
        (16, 137, 0.5)
    """
    num_words, words = len(words), words[:SAMPLED] if len(words) > LISTED else words
    num_tokens = round((sum(map(len, words)) + len(words)) * num_words / len(words))
    num_examples = num_tokens if windows else num_words
    r = num_tokens / NAMES_TOKENS
    small, large = min(1.0, r), max(1.0, r)
    longer = max(1.0, num_tokens / num_words / (NAMES_TOKENS / NAMES_WORDS)) ** 0.25
    richer = max(1.0, character_perplexity(words) / RICH_ALPHABET)
    if batch_size is None:
        batch_size = 2 ** round(log2(1825 * small**0.5 * longer**1.5 * num_examples / num_tokens))
        batch_size = max(4, min(batch_size, 2 ** int(log2(max(4, num_examples / 3)))))
    steps_per_epoch = ceil(num_examples / batch_size)
    wanted = 5 / small * longer**2 / large**0.5
    if r < 1:
        most = 120 * r**0.25
        epochs = min(50, wanted, most, max(most / richer**0.6, FEWEST_STEPS / steps_per_epoch))
    else:
        epochs = max(1.0, min(wanted, 18 / r))
    hidden_dim = 8 * round(min(28 * r**0.25, 16 * longer * large**0.25, 20))
    num_characters = len(set().union(*words))
    operations = AFFORDABLE * max(1.0, num_words / MANY_WORDS) / (6 * num_tokens)  # in an epoch, for each weight
    while hidden_dim > 64 and operations / num_weights(hidden_dim, num_characters) < min(epochs, FEWEST_EPOCHS):
        hidden_dim -= 8
    affordable = operations / num_weights(hidden_dim, num_characters)
    epochs = min(epochs, affordable)
    more = max(1.0, min(wanted, affordable) / 5)  # times the epochs of names.txt, if the list were not small
    max_steps = max(1, round(epochs * steps_per_epoch))
    learning_rate = min(0.05, 0.025 * small ** (1 / 6) * longer**0.75 / richer**0.1)
    gain = round(min(0.3, 0.1 / (epochs * learning_rate)), 3)
    by_row = large * longer > LARGE
    rows = max(14, ceil(log2(num_tokens))) if by_row else 14
    return Recipe(
        batch_size=batch_size,
        steps_per_epoch=steps_per_epoch,
        max_steps=max_steps,
        num_validations=min(20, max_steps, round(5 * small**-0.25)),
        learning_rate=round(learning_rate, 5),
        weight_decay=round(min(1.0, 0.01 * small**-0.75), 4),
        dropout=round(min(0.5, max(0.15, 0.2 / longer) * log(more)), 3),
        hidden_dim=hidden_dim,
        block_size=4 if quantiles(map(len, words), n=20)[-1] < 4 else 8,
        ngram_rows=2 ** min(rows, int(log2(MOST_LOGITS / (num_characters + 1)))),
        ngram_gain=gain,
        ngram_learning_rate=round(min(0.2, 0.6 / epochs) / gain, 3) if by_row else 0.0,
    )


def num_weights(hidden_dim: int, num_characters: int) -> int:
    """About how many weights each position is multiplied with in a network of context 8.

    The logits of a rich alphabet, of which each costs more than its products, count for twice as many.

    Examples:
        >>> num_weights(hidden_dim=128, num_characters=26)
        78336
    """
    return 2 * hidden_dim * (24 + 2 * hidden_dim + num_characters)


def character_perplexity(words: Sequence[str]) -> float:
    """From how many characters, if all were alike, each of the words' is chosen: the exponential of their entropy.

    Examples:
        >>> round(character_perplexity(["ab", "ba", "cd", "dc"]), 1)
        4.0
    """
    counts = Counter(chain.from_iterable(words))
    total = counts.total()
    return exp(-sum(count / total * log(count / total) for count in counts.values()))


FINE_TUNING = 0.3
"""How much of its learning rate a network gets that begins with another's weights."""


def chosen_for(words: Sequence[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """What the command line chooses for the words of a training split: values of options that are not ``given``.

    Whoever gives a number of steps or epochs decides how
    long training takes, and is validated after each epoch. A network that begins with another's weights has a lower
    learning rate.

    Examples:
        >>> chosen = chosen_for(["emma", "ava"] * 100, {"trainer.max_epochs": 3, "model.network.dropout": 0.1})
        >>> list(chosen)  # doctest: +NORMALIZE_WHITESPACE
        ['data.batch_size', 'model.optimization.learning_rate', 'model.optimization.weight_decay',
        'model.network.hidden_dim', 'model.network.block_size', 'model.network.ngram_rows', 'model.network.ngram_gain',
        'trainer.log_every_n_steps']
    """
    batch_size = given.get("data.batch_size") or 0
    recipe = recipe_for(words, given.get("data.batching") == "windows", batch_size if batch_size > 0 else None)
    fine_tuned = given.get("init_from") is not None
    share = FINE_TUNING if fine_tuned else 1.0
    settings: dict[str, Any] = {
        "data.batch_size": recipe.batch_size,
        "model.optimization.learning_rate": round(recipe.learning_rate * share, 5),
        "model.optimization.weight_decay": recipe.weight_decay,
        "model.network.dropout": recipe.dropout,
        "model.network.hidden_dim": recipe.hidden_dim,
        "model.network.block_size": recipe.block_size,
        "model.network.ngram_rows": recipe.ngram_rows,
        "model.network.ngram_gain": recipe.ngram_gain,
    }
    bounds = [given.get("trainer.max_steps"), (given.get("trainer.max_epochs") or 0) * recipe.steps_per_epoch]
    steps = min((bound for bound in bounds if bound and bound > 0), default=recipe.max_steps)
    if not {"trainer.max_steps", "trainer.max_epochs"} & set(given):
        settings["trainer.max_steps"] = steps
        if not {"trainer.val_check_interval", "trainer.check_val_every_n_epoch"} & set(given):
            settings["trainer.val_check_interval"] = ceil(steps / recipe.num_validations)
            settings["trainer.check_val_every_n_epoch"] = None
    if type(given.get("trainer.val_check_interval")) is int:  # steps are counted, as the rule does, not within an epoch
        settings["trainer.check_val_every_n_epoch"] = None
    if "model.network.group_size" in given:
        del settings["model.network.block_size"]  # the groups of one context make no other
    if given.get("model.network.ngram_rows") == 0:
        del settings["model.network.ngram_gain"]  # without a table nothing is learned at its share
    elif recipe.ngram_learning_rate > 0 and (fine_tuned or "model.network.ngram_gain" not in given):
        # a gain that somebody chooses is a share of the network's rate
        settings["model.optimization.ngram_learning_rate"] = round(recipe.ngram_learning_rate * share, 3)
    settings["trainer.log_every_n_steps"] = max(1, min(50, steps // NUM_POINTS))
    return {option: value for option, value in settings.items() if option not in given}


PHRASES = {
    "data.batch_size": "batches of {:,}",
    "trainer.max_steps": "{:,} steps",
    "model.optimization.learning_rate": "learning rate {:g}",
    "model.optimization.weight_decay": "weight decay {:g}",
    "model.network.dropout": "dropout {:g}",
    "model.network.hidden_dim": "width {}",
    "model.network.block_size": "context {}",
    "model.network.ngram_rows": "{:,} rows of n-grams",
    "model.optimization.ngram_learning_rate": "learned row by row at {:g}",
}


def describe(chosen: Mapping[str, Any], num_words: int) -> str:
    """One line that says what was chosen.

    Examples:
        >>> describe({"data.batch_size": 16, "trainer.max_steps": 1540, "model.network.dropout": 0.3}, 1228)
        'chosen for 1,228 words: batches of 16, 1,540 steps, dropout 0.3; set any of them to choose yourself'
    """
    parts = (text.format(chosen[option]) for option, text in PHRASES.items() if option in chosen)
    return f"chosen for {num_words:,} words: {', '.join(parts)}; set any of them to choose yourself"
