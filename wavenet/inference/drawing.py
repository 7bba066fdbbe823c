"""One batch of draws: the network runs one step at a time, for all words of the batch at once."""

from collections.abc import Container
from itertools import compress, pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wavenet.corpus.vocabulary import BOUNDARY, Vocabulary
from wavenet.inference.excluded import Excluded
from wavenet.inference.patterns import Wanted
from wavenet.inference.shaping import Shaping, pick
from wavenet.network.sliding import eval_mode
from wavenet.network.stepping import State, select, start, step


class Opening(NamedTuple):
    """What all draws start from: logits (1, V) and step state after what every wanted word begins with, the
    log-probability of that, and the tree of the words that must not come, if there are any."""

    logits: Tensor
    state: State
    log_prob: float
    removed: Excluded | None


class Drawn(NamedTuple):
    """The wanted words among a batch's draws, in their order, and the endings at which the others were abandoned.

    ``log_weights`` say how much more probable each word is than it was to be drawn (p / q), if a guide directed it.
    """

    words: list[str]
    log_probs: list[float]
    log_weights: Tensor
    abandoned: list[tuple[str, int]]


def open_draws(network: nn.Sequential, wanted: Wanted, removed: Excluded | None) -> Opening:
    """What all draws start from, by the network's present weights."""
    device = next(network.parameters()).device
    with eval_mode(network):
        state, log_prob = start(network, 1), 0.0
        logits = step(network, torch.tensor([BOUNDARY], device=device), state).cpu().double()  # (1, V)
        for token in wanted.forced:
            log_prob += logits.log_softmax(dim=1)[0, token].item()
            logits = step(network, torch.tensor([token], device=device), state).cpu().double()  # (1, V)
    return Opening(logits, state, log_prob, removed)


def draw_batch(
    network: nn.Sequential,
    wanted: Wanted,
    shaping: Shaping,
    opening: Opening,
    removed: Excluded | None,
    table: Tensor | None,
    size: int,
    generator: torch.Generator,
) -> Drawn:
    """Makes as many independent draws.

    Args:
        network: The network.
        wanted: The words that are wanted.
        shaping: How the probabilities are shaped.
        opening: What all draws start from.
        removed: The tree of what must not come, which may be more than that of the opening.
        table: The guide that directs draws (:func:`wavenet.inference.directed.guide`), or ``None``.
        size: How many draws.
        generator: What they are made with; a draw takes as many numbers as a word may have tokens.
    """
    device = next(network.parameters()).device
    uniform = torch.rand(size, wanted.max_length + 1, dtype=torch.float64, generator=generator)
    rows = torch.arange(size)  # (B,), the draws that go on
    states = torch.full_like(rows, wanted.first)  # (B,), where they stand in the automaton of wanted words,
    nodes = torch.full_like(rows, removed.find(wanted.forced) if removed else -1)  # (B,), and in the tree
    logits = opening.logits.expand(size, -1)  # (B, V)
    state = select(opening.state, torch.zeros_like(rows, device=device))
    steps: list[tuple[Tensor, ...]] = []
    with eval_mode(network):
        for length in range(len(wanted.forced), wanted.max_length + 1):
            log_probs = logits.log_softmax(dim=1)  # (B, V)
            shaped = shaping.log_probs(log_probs)  # (B, V)
            log_weights = removed.apply(shaped, nodes) if removed else shaped  # (B, V)
            if table is not None:
                log_weights = (log_weights + table[length][states]).log_softmax(dim=1)
            tokens = pick(log_weights, uniform[rows, length])  # (B,)
            states = wanted.next_state[states, tokens]
            live, ended = wanted.live[length + 1, states], tokens == BOUNDARY
            chosen = tokens[:, None]  # (B, 1)
            steps.append(
                (rows, tokens, log_probs.gather(1, chosen), (shaped - log_weights).gather(1, chosen), live & ended)
            )
            going = (live & ~ended).nonzero().squeeze(1)
            if len(going) == 0:
                break
            if len(going) < len(rows):
                rows, tokens, states, nodes = rows[going], tokens[going], states[going], nodes[going]
                state = select(state, going.to(device))
            if removed:
                nodes = removed.child(nodes, tokens)
            logits = step(network, tokens.to(device), state).cpu().double()  # (B, V)
    return collect(size, wanted, opening, steps)


def without_known(drawn: Drawn, known: Container[str]) -> Drawn:
    """The draws without known words, which count as abandoned at their ends."""
    is_new = [word not in known for word in drawn.words]
    if all(is_new):
        return drawn
    endings = [(word, BOUNDARY) for word, new in zip(drawn.words, is_new, strict=True) if not new]
    words, log_probs = list(compress(drawn.words, is_new)), list(compress(drawn.log_probs, is_new))
    return Drawn(words, log_probs, drawn.log_weights[torch.tensor(is_new)], drawn.abandoned + endings)


def collect(size: int, wanted: Wanted, opening: Opening, steps: list[tuple[Tensor, ...]]) -> Drawn:
    """What draws have come to, from the rows, tokens, log-probabilities, log-weights and completions of each step."""
    rows, tokens, log_probs, log_weights, completed = (torch.cat(parts) for parts in zip(*steps, strict=True))
    forced = torch.tensor(wanted.forced, dtype=torch.long)
    at = torch.arange(len(steps)).repeat_interleave(torch.tensor([len(step[0]) for step in steps]))  # (N,)
    spelled = torch.full((size, len(forced) + len(steps)), BOUNDARY)
    spelled[:, : len(forced)] = forced
    spelled[rows, len(forced) + at] = tokens
    lengths = len(forced) + torch.bincount(rows, minlength=size) - 1  # (size,), without the last token
    complete = torch.zeros(size, dtype=torch.bool)
    complete[rows[completed]] = True
    sums = torch.zeros(size, 2, dtype=torch.float64).index_add_(0, rows, torch.cat([log_probs, log_weights], dim=1))
    words = decode(spelled[complete], lengths[complete], wanted.vocabulary)
    abandoned: list[tuple[str, int]] = []
    if len(words) < size:
        beginnings = decode(spelled[~complete], lengths[~complete], wanted.vocabulary)
        last = spelled[~complete].gather(1, lengths[~complete, None]).squeeze(1).tolist()
        abandoned = list(zip(beginnings, last, strict=True))
    return Drawn(words, (opening.log_prob + sums[complete, 0]).tolist(), sums[complete, 1], abandoned)


def decode(rows: Tensor, lengths: Tensor, vocabulary: Vocabulary) -> list[str]:
    """The characters of rows of tokens (B, L), of each as many as its length (B,)."""
    inside = torch.arange(rows.shape[1]) < lengths[:, None]  # (B, L)
    text = vocabulary.decode(rows[inside].tolist())  # all at once, and then cut
    return [text[begin:end] for begin, end in pairwise([0, *lengths.cumsum(0).tolist()])]
