"""A network with labels runs three ways too, and under one label it is a network without."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.network.test_sliding import ALPHABET, stepped
from wavenet.corpus.vocabulary import ANY, Vocabulary
from wavenet.errors import ArgumentError
from wavenet.network.build import build
from wavenet.network.config import NetworkConfig
from wavenet.network.labels import LabelledEmbedding, num_labels, pairs, under
from wavenet.network.layers import receptive_field
from wavenet.network.packing import PackedWords, Windows, encode_words, pack, pack_labelled
from wavenet.network.sliding import run, slide

NUM_LABELS = 3
VOCABULARY = Vocabulary(ALPHABET)
V = len(VOCABULARY)
LABELLED = st.tuples(st.text(ALPHABET, min_size=1, max_size=12), st.integers(0, NUM_LABELS))
WORDS = st.lists(LABELLED, min_size=1, max_size=6)


@st.composite
def networks(draw: st.DrawFn, ngram_rows: int = 0) -> nn.Sequential:
    """A network with labels and random weights, in float64."""
    torch.manual_seed(draw(st.integers(0, 10_000)))
    config = NetworkConfig(
        *draw(st.sampled_from([(8, 2), (9, 3), (8, (2, 4)), (4, 4)])),
        embedding_dim=draw(st.integers(1, 6)),
        hidden_dim=draw(st.integers(1, 8)),
        activation=draw(st.sampled_from(["tanh", "gelu", "gate"])),
        residual=draw(st.booleans()),
        share_weights=draw(st.booleans()),
        ngram_rows=ngram_rows,
    )
    network = build(config, V, NUM_LABELS)
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    return network.double().eval()


def windows_of(words: list[tuple[str, int]], size: int) -> Windows:
    """Every context with the ids of its word's label, one at a time."""
    contexts, targets = [], []
    for word, label in words:
        tokens = [*VOCABULARY.encode(word), 0]
        for at in range(len(tokens)):
            context = ([0] * size + tokens[:at])[-size:]
            contexts.append([token + V * label for token in context])
            targets.append(tokens[at])
    return Windows(torch.tensor(contexts), torch.tensor(targets))


def packed_of(words: list[tuple[str, int]]) -> PackedWords:
    return pack_labelled(*encode_words([word for word, _ in words], VOCABULARY), torch.tensor([x for _, x in words]), V)


@settings(deadline=None, max_examples=40)
@given(networks() | networks(ngram_rows=11), WORDS)
def test_the_three_ways_give_the_same_logits(network: nn.Sequential, words: list[tuple[str, int]]) -> None:
    windows, packed = windows_of(words, receptive_field(network)), packed_of(words)
    with torch.no_grad():
        expected = run(network, windows)
        torch.testing.assert_close(run(network, packed), expected, rtol=1e-10, atol=1e-10)
        ways = [
            stepped(under(network, {label: 1.0}) if label else network, pack([word], VOCABULARY))
            for word, label in words
        ]
        torch.testing.assert_close(torch.cat(ways), expected, rtol=1e-10, atol=1e-10)
    assert torch.equal(packed.targets, windows.targets)


@given(WORDS)
def test_words_share_rows_within_one_label_only(words: list[tuple[str, int]]) -> None:
    packed = packed_of(words)
    beginnings = {(word[:length], label) for word, label in words for length in range(len(word) + 1)}
    assert len(packed.tokens) == len(beginnings)
    labels = packed.tokens // V
    assert torch.equal(labels, labels[packed.previous])
    roots = packed.previous == torch.arange(len(packed.tokens))
    assert torch.equal(packed.tokens[roots], V * labels[roots])
    assert labels[packed.rows].tolist() == [label for word, label in words for _ in range(len(word) + 1)]


@given(WORDS)
def test_without_labels_a_batch_is_as_ever(words: list[tuple[str, int]]) -> None:
    plain = pack([word for word, _ in words], VOCABULARY)
    for ours, theirs in zip(packed_of([(word, ANY) for word, _ in words]), plain, strict=True):
        assert torch.equal(ours, theirs)


@settings(deadline=None, max_examples=20)
@given(networks(), st.integers(0, 12), st.data())
def test_no_prediction_sees_what_comes_later_and_all_see_their_label(
    network: nn.Sequential, length: int, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, length))
    ids = pairs(torch.randint(1, V, (length + 1,)), torch.tensor(2), V)
    embedded = network[0](ids).detach().requires_grad_()
    chain = torch.tensor([0, *range(length)])
    slide(nn.Sequential(nn.Identity(), *network[1:]), embedded, chain)[at].abs().sum().backward()
    assert embedded.grad is not None
    assert not (embedded.grad.abs().sum(1) > 0)[at + 1 :].any()
    slide(network, ids, chain)[at].square().sum().backward()
    seen = network[0].label_weight.grad.abs().sum(1) > 0
    assert not seen[[0, 1, 3]].any()


def test_a_label_changes_every_prediction() -> None:
    torch.manual_seed(0)
    network = build(NetworkConfig(), V, NUM_LABELS).eval()
    nn.init.normal_(network[0].label_weight)
    word = [("abc.éabc.éabc", label) for label in (0, 1)]
    logits = run(network, packed_of(word)).view(2, -1, V)
    assert ((logits[0] - logits[1]).abs().sum(1) > 1e-4).all()


def test_labels_are_alike_at_first_and_cost_nothing_where_there_are_none() -> None:
    torch.manual_seed(1)
    plain = build(NetworkConfig(), V).eval()
    torch.manual_seed(1)
    labelled = build(NetworkConfig(), V, NUM_LABELS).eval()
    contexts = torch.randint(V, (5, 8))
    for label in range(NUM_LABELS + 1):
        assert torch.equal(labelled(pairs(contexts, torch.tensor(label), V)), plain(contexts))
    assert (num_labels(plain), num_labels(labelled)) == (0, NUM_LABELS)
    assert not isinstance(plain[0], LabelledEmbedding)
    with pytest.raises(ArgumentError, match="num_labels must be at least 0"):
        build(NetworkConfig(), V, -1)


def test_a_mixture_is_that_of_the_embeddings() -> None:
    torch.manual_seed(0)
    network = build(NetworkConfig(), V, NUM_LABELS).double().eval()
    nn.init.normal_(network[0].label_weight)
    mixed = under(network, {1: 0.7, 3: 0.3})
    rows = network[0].label_weight
    tokens = torch.arange(V)
    torch.testing.assert_close(mixed[0](tokens), network[0].weight + 0.7 * rows[1] + 0.3 * rows[3])
    assert "weights={1: 0.7, 3: 0.3}" in repr(mixed)
    assert {id(x) for x in mixed.parameters()} == {id(x) for x in network.parameters()}
