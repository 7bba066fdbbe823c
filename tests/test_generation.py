import pytest
import torch

from wavenet.exhibits import wavenet_batch_norm_bug
from wavenet.generation import sample, windowed_start, windowed_step
from wavenet.networks import wavenet
from wavenet.sliding import start, step
from wavenet.vocabulary import Vocabulary

VOCABULARY = Vocabulary("ab.")


def test_the_same_seed_draws_the_same_words() -> None:
    network = wavenet(4)
    words = sample(network, VOCABULARY, 30, seed=1)
    assert words == sample(network, VOCABULARY, 30, seed=1) != sample(network, VOCABULARY, 30, seed=2)
    assert len(words) == 30
    assert set("".join(words)) <= set("ab.")


@pytest.mark.parametrize("num_words", [0, 1])
def test_few_words(num_words: int) -> None:
    network = wavenet(4)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert len(sample(network, VOCABULARY, num_words, seed=1)) == num_words
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_frequencies_are_the_models_probabilities() -> None:
    torch.manual_seed(0)
    network = wavenet(4)
    torch.nn.init.normal_(network[-1].bias, std=1.0)
    words = sample(network, VOCABULARY, 20_000, seed=0)
    with torch.no_grad():
        first = network.eval()(torch.zeros(1, 8, dtype=torch.long)).softmax(-1)[0]
    observed = torch.tensor([sum(word[:1] == character for word in words) / len(words) for character in ("", *"ab.")])
    torch.testing.assert_close(observed, first, atol=0.015, rtol=0)


def test_a_word_that_does_not_end_is_cut() -> None:
    network = wavenet(4)
    network[-1].bias.data[0] = -1e9
    assert {len(word) for word in sample(network, VOCABULARY, 5, seed=1, max_length=12)} == {12}


def test_the_exhibit_samples_too() -> None:
    assert len(sample(wavenet_batch_norm_bug(4), VOCABULARY, 5, seed=1)) == 5


def test_stepping_and_windowed_logits_agree() -> None:
    torch.manual_seed(0)
    network = wavenet(4).eval()
    stepped, windowed = start(network, 7), windowed_start(network, 7)
    tokens = torch.zeros(7, dtype=torch.long)
    with torch.no_grad():
        for _ in range(12):
            expected = windowed_step(network, tokens, windowed)
            torch.testing.assert_close(step(network, tokens, stepped), expected, rtol=1e-4, atol=1e-5)
            tokens = torch.randint(4, (7,))
