from collections.abc import Callable
from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.networks import batch_norm_bug, gated, lecture
from wavenet.corpus.vocabulary import Vocabulary
from wavenet.network.build import build
from wavenet.network.config import NetworkConfig
from wavenet.network.layers import BatchNorm1d, receptive_field
from wavenet.network.packing import PackedWords, Windows, pack
from wavenet.network.sliding import run, slide
from wavenet.network.stepping import select, start, step
from wavenet.training.datasets import WindowDataset

ALPHABET = "abc.é"
WORDS = st.lists(st.text(ALPHABET, min_size=1, max_size=20), min_size=1, max_size=5)


@st.composite
def networks(draw: st.DrawFn, ngrams: bool = True) -> nn.Sequential:
    """Any network of the builders, fresh or with the statistics of a trained one, in float32 or float64."""
    torch.manual_seed(draw(st.integers(0, 10_000)))
    groups = draw(st.lists(st.integers(2, 4), min_size=1, max_size=4) | st.just([1]))
    config = NetworkConfig(
        block_size=prod(groups),
        group_size=tuple(groups),
        embedding_dim=draw(st.integers(1, 6)),
        hidden_dim=draw(st.integers(1, 8)),
        activation=draw(st.sampled_from(["tanh", "gelu", "gate"])),
        norm=draw(st.sampled_from(["batch", "layer"])),
        residual=draw(st.booleans()),
        share_weights=draw(st.booleans()),
        dropout=draw(st.sampled_from([0.0, 0.3])),
        logits_norm=draw(st.booleans()),
        ngram_rows=draw(st.sampled_from([0, 3, 100])) if ngrams else 0,
    )
    network = build(config, len(ALPHABET) + 1)
    if draw(st.booleans()):  # trained
        for _ in range(3):
            network(torch.randint(len(ALPHABET) + 1, (16, prod(groups))))
        for parameter in network.parameters():
            nn.init.normal_(parameter)
    return network.to(draw(st.sampled_from([torch.float32, torch.float64])))


def batches(words: list[str], network: nn.Sequential) -> tuple[Windows, PackedWords]:
    vocabulary = Vocabulary(ALPHABET)
    windows = WindowDataset(words, vocabulary, receptive_field(network))
    return windows[torch.arange(len(windows))], pack(words, vocabulary)


def one_word(length: int) -> Tensor:
    """The row before each row of a single word."""
    return torch.tensor([0, *range(length)])


def stepped(network: nn.Sequential, packed: PackedWords) -> Tensor:
    """Logits of packed words, one word and one step at a time."""
    logits, state = [], start(network, 1)
    for row in packed.rows:
        if row == 0:
            state = start(network, 1)
        logits.append(step(network, packed.tokens[row, None], state))
    return torch.cat(logits)


@settings(deadline=None, max_examples=60)
@given(networks(), WORDS)
def test_windowed_sliding_and_stepping_give_the_same_logits(network: nn.Sequential, words: list[str]) -> None:
    network.eval()
    windows, packed = batches(words, network)
    assert torch.equal(windows.targets, packed.targets)
    exact = next(network.parameters()).dtype == torch.float64
    tolerance = {"rtol": 1e-10, "atol": 1e-10} if exact else {"rtol": 1e-4, "atol": 1e-5}
    with torch.no_grad():
        expected = run(network, windows)
        torch.testing.assert_close(run(network, packed), expected, **tolerance)
        torch.testing.assert_close(stepped(network, packed), expected, **tolerance)


@settings(deadline=None, max_examples=30)
@given(networks(), st.lists(st.text(ALPHABET, min_size=6, max_size=6), min_size=1, max_size=6), st.randoms())
def test_a_state_can_be_picked_from_along_the_batch(network: nn.Sequential, words: list[str], random: "object") -> None:
    network.eval()
    tokens = torch.tensor([[0, *Vocabulary(ALPHABET).encode(word)] for word in words])  # (B, 7)
    rows = torch.tensor([random.randrange(len(words)) for _ in range(4)])  # type: ignore[attr-defined]
    with torch.no_grad():
        state = start(network, len(words))
        for t in range(6):
            step(network, tokens[:, t], state)
        picked = select(state, rows)
        expected = step(network, tokens[:, 6], state)[rows]
        torch.testing.assert_close(step(network, tokens[rows, 6], picked), expected, rtol=1e-4, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(networks(ngrams=False), st.integers(1, 25), st.data())
def test_no_prediction_sees_what_comes_later_or_lies_beyond_the_receptive_field(
    network: nn.Sequential, length: int, data: st.DataObject
) -> None:
    network.eval().double()
    at = data.draw(st.integers(0, length))
    embedding, rest = network[0], network[1:]
    embedded = embedding(torch.randint(1, len(ALPHABET) + 1, (length + 1,))).detach().requires_grad_()
    slide(nn.Sequential(nn.Identity(), *rest), embedded, one_word(length))[at].abs().sum().backward()
    assert embedded.grad is not None
    seen = embedded.grad.abs().sum(1) > 0
    assert not seen[at + 1 :].any()
    assert not seen[1 : max(1, at - receptive_field(network) + 1)].any()  # row 0 stands for all that is before the word


@settings(deadline=None, max_examples=40)
@given(networks(), st.lists(st.integers(1, len(ALPHABET)), min_size=2, max_size=25), st.data())
def test_no_prediction_changes_with_tokens_that_come_later_or_lie_beyond_the_receptive_field(
    network: nn.Sequential, word: list[int], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(word)))
    first = max(1, at - receptive_field(network) + 1)
    tokens = torch.tensor([0, *word])
    others = torch.tensor([0, *data.draw(st.permutations(word))])
    others[first : at + 1] = tokens[first : at + 1]
    network.eval()
    with torch.no_grad():
        logits = [slide(network, given, one_word(len(word)))[at] for given in (tokens, others)]
    assert torch.equal(*logits)


@pytest.mark.parametrize("make", [lecture, gated])
def test_the_whole_receptive_field_is_seen(make: Callable[..., nn.Sequential]) -> None:
    torch.manual_seed(0)
    network = make(27, 12, group_size=(2, 3, 2)).eval()
    embedded = network[0](torch.randint(27, (20,))).detach().requires_grad_()
    slide(nn.Sequential(nn.Identity(), *network[1:]), embedded, one_word(19))[19].sum().backward()
    assert embedded.grad is not None
    assert (embedded.grad.abs().sum(1) > 0).tolist() == [False] * 8 + [True] * 12


def test_in_train_mode_batch_norm_counts_each_beginning_of_a_word_once() -> None:
    """The one difference: the windowed form counts a pair as often as contexts and words contain it."""
    torch.manual_seed(0)
    network = lecture(4, 4, 2, 2, 3).double()
    words = ["ab", "b", "b"]
    vocabulary = Vocabulary("abc")
    windows = WindowDataset(words, vocabulary, 4)
    embedding, linear = network[0], network[2]
    norms = [layer for layer in network if isinstance(layer, BatchNorm1d)]
    for norm in norms:
        norm.momentum = 1.0  # the running mean is that of the last batch

    def mean_of_pairs(pairs: list[tuple[int, int]]) -> Tensor:
        return linear(embedding(torch.tensor(pairs)).flatten(1)).mean(0)

    once = [(0, 0), (0, 1), (1, 2), (0, 2)]  # the boundary row, .a, ab and .b
    run(network, pack(words, vocabulary))
    torch.testing.assert_close(norms[0].running_mean, mean_of_pairs(once))
    repeated = [
        (0, 0),
        (0, 0),
        (0, 0),
        (0, 1),
        (0, 0),
        (1, 2),
        (0, 0),
        (0, 0),
        (0, 0),
        (0, 2),
        (0, 0),
        (0, 0),
        (0, 0),
        (0, 2),
    ]
    run(network, windows[torch.arange(7)])
    torch.testing.assert_close(norms[0].running_mean, mean_of_pairs(repeated))
    assert not torch.allclose(mean_of_pairs(once), mean_of_pairs(repeated))


def test_sliding_trains_the_same_weights() -> None:
    """In eval mode the gradients agree as well as the logits."""
    torch.manual_seed(0)
    network = lecture(len(ALPHABET) + 1).double().eval()
    gradients = []
    for batch in batches(["abc", "a.é", "bbbbbbbbbbbb"], network):
        network.zero_grad()
        nn.functional.cross_entropy(run(network, batch), batch.targets).backward()
        gradients.append([parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None])
    for windowed, sliding in zip(*gradients, strict=True):
        torch.testing.assert_close(sliding, windowed)


def test_the_batch_norm_bug_runs_each_context_on_its_own() -> None:
    torch.manual_seed(0)
    network = batch_norm_bug(len(ALPHABET) + 1).eval()
    windows, packed = batches(["abc", "ab", "bbbbbbbbbbbb"], network)
    torch.testing.assert_close(run(network, packed), run(network, windows))


def test_the_batch_norm_bug_steps_by_its_whole_context() -> None:
    torch.manual_seed(0)
    network = batch_norm_bug(len(ALPHABET) + 1).eval()
    windows, packed = batches(["abc", "abb", "bbbbbbbbbbbb"], network)
    torch.testing.assert_close(stepped(network, packed), run(network, windows))
    state = start(network, 2)
    step(network, torch.tensor([0, 0]), state)
    assert [x.shape[0] for queue in select(state, torch.tensor([1, 0, 1])).queues for x in queue] == [3]


def test_the_batch_norm_bug_cannot_slide() -> None:
    with pytest.raises(ValueError, match="not position-wise: it runs windowed only"):
        slide(batch_norm_bug(27), torch.zeros(3, dtype=torch.long), one_word(2))
