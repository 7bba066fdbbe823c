"""A character n-gram with Witten-Bell smoothing: the baseline that a network must beat. Needs NumPy alone.

The n-gram of order n predicts a token (a character, or the end of a word) from the n - 1 tokens before it in its word.
Before the first character stands the boundary, as often as a context asks for it. Each order is mixed with the next
lower one, down to order 1, the frequencies of single tokens, and below it order 0, where all V tokens are alike::

    p(c | h) = (count(h c) + kinds(h) * p(c | h')) / (count(h) + kinds(h))

``count`` is how often something occurs in the training words, ``kinds(h)`` how many different tokens follow h there,
and h' is h without its oldest token. A context that was never seen leaves the lower order's probability as it is.

Sources: Witten and Bell, "The zero-frequency problem" (1991); Chen and Goodman, "An empirical study of smoothing
techniques for language modeling" (1999), section 2.6, whose interpolated form this is.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from wavenet.corpus.splitting import Split
from wavenet.corpus.vocabulary import BOUNDARY

MAX_ORDER = 6
COUNTED, PREDICTED = 200_000, 100_000  # words, of more
TABLE = 8  # how many times as large as the keys a table may be

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Baseline(NamedTuple):
    """The n-gram that predicts the validation words best, its losses in nats per token by split (val and test), and how
    many words it was counted on."""

    order: int
    losses: dict[str, float]
    num_words: int


def best_ngram(split: Split, vocab_size: int, max_order: int = MAX_ORDER) -> Baseline:
    """Counts the training words and chooses the order on the validation words, as far as they are not too many.

    At most 200,000 words of train are counted, and 100,000 of each other split predicted: the first ones, since a split
    has shuffled them.

    Args:
        split: The words.
        vocab_size: Number of tokens V, the boundary included.
        max_order: The highest order that is tried.

    Raises:
        ValueError: See :func:`log_probs`.

    Examples:
        >>> from wavenet.corpus.splitting import Part
        >>> split = Split(Part(["ab", "ab", "ac"], []), Part(["ab"], []), Part(["ac"], []))
        >>> best = best_ngram(split, vocab_size=4)
        >>> best.order, round(best.losses["val"], 3)
        (6, 0.139)

        On the lecture's split of names.txt it is order 5, with 2.042 nats.
    """
    train = list(split.train.words[:COUNTED])
    val, test = (list(part.words[:PREDICTED]) for part in (split.val, split.test))
    tried = log_probs(train, [*val, *test], vocab_size, max_order)
    num_val = sum(map(len, val)) + len(val)
    order = int(np.argmax(tried[:, :num_val].mean(axis=1)))
    losses = {"val": -float(tried[order, :num_val].mean()), "test": -float(tried[order, num_val:].mean())}
    return Baseline(order + 1, losses, len(train))


def log_probs(train: Sequence[str], held_out: Sequence[str], vocab_size: int, max_order: int = MAX_ORDER) -> Floats:
    """The log-probabilities of the tokens of held-out words under the n-grams of orders 1, 2, ..., ``max_order``.

    Args:
        train: The words that are counted.
        held_out: The words that are predicted.
        vocab_size: Number of tokens V, the boundary included; no token's probability is 0.
        max_order: The highest order.

    Returns:
        (max_order, H) log-probabilities in nats of the H tokens, word after word, each word's end included.

    Raises:
        ValueError: There is no word to count or to predict, ``max_order`` is below 1, or the words hold more different
            characters than ``vocab_size`` allows.

    Examples:
        >>> -log_probs(["ab", "ab", "ac"], ["ab"], vocab_size=4, max_order=2).mean(axis=1).round(3)
        array([1.275, 0.387])
    """
    if not train or not held_out:
        raise ValueError(f"expected words to count and to predict, got {len(train)} and {len(held_out)}")
    if max_order < 1:
        raise ValueError(f"max_order must be at least 1, got {max_order}")
    tokens, starts = encode([*train, *held_out])
    num_tokens = int(tokens.max()) + 1
    if vocab_size < num_tokens:
        raise ValueError(f"expected at most {vocab_size - 1} different characters, got {num_tokens - 1}")
    counted = sum(map(len, train)) + len(train)  # tokens of train, which come first
    probability = np.full(len(tokens) - counted, 1 / vocab_size)  # (H,), at order 0
    context = np.zeros(len(tokens), dtype=np.int64)  # (N,), ids of the contexts of this order: at first all are empty
    found = np.empty((max_order, len(probability)))
    for order in range(max_order):
        event = numbered(context * num_tokens + tokens)  # (N,), ids of each context together with the token after it
        probability = mixed(probability, context, event, counted)
        found[order] = np.log(probability)
        context = np.roll(event, 1) + 1  # what was read before a token is the context of the next order
        context[starts] = 0
    return found


def encode(words: Sequence[str]) -> tuple[Ints, Ints]:
    """Tokens (N,) of word after word, each ended by the boundary, and where the words (W,) start."""
    lengths = np.fromiter(map(len, words), np.int64, len(words)) + 1  # (W,)
    starts = lengths.cumsum() - lengths  # (W,)
    text = ("\n".join(words) + "\n").encode("utf-32-le", "surrogatepass")  # no word holds a line's end
    tokens = numbered(np.frombuffer(text, dtype=np.uint32)) + 1
    tokens[starts + lengths - 1] = BOUNDARY
    return numbered(tokens), starts


def numbered(keys: npt.NDArray[np.integer]) -> Ints:
    """Numbers equal keys alike, from 0 on in ascending order."""
    if keys.max() > TABLE * len(keys):
        ids: Ints = np.unique(keys, return_inverse=True)[1]
        return ids
    seen = np.zeros(int(keys.max()) + 1, dtype=bool)  # a table of all keys, which is faster than sorting them
    seen[keys] = True
    ids = (seen.cumsum() - 1)[keys]
    return ids


def mixed(lower: Floats, context: Ints, event: Ints, counted: int) -> Floats:
    """Probabilities (H,) of one order's held-out events, given those of the next lower order.

    Args:
        lower: (H,) the probabilities of the lower order.
        context: (N,) ids of the contexts, those of the counted tokens first.
        event: (N,) ids of each context together with the token after it.
        counted: How many of the N tokens are counted.
    """
    count = np.bincount(context[:counted], minlength=int(context.max()) + 1)
    event_count = np.bincount(event[:counted], minlength=int(event.max()) + 1)
    context_of = np.zeros(len(event_count), dtype=np.int64)
    context_of[event] = context
    kinds = np.bincount(context_of[event_count > 0], minlength=len(count))
    held_out = context[counted:]
    total = count[held_out] + kinds[held_out]  # (H,), 0 where the context was never seen
    mixture = (event_count[event[counted:]] + kinds[held_out] * lower) / np.maximum(total, 1)
    return np.where(total > 0, mixture, lower)
