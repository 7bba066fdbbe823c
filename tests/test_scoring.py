import pytest
import torch
from torch.nn import functional as F

from wavenet.datasets import WindowDataset
from wavenet.networks import eval_mode, wavenet
from wavenet.scoring import mean_loss, word_log_probs
from wavenet.sliding import Windows
from wavenet.vocabulary import Vocabulary

WORDS = ["ab", "ba", "a", "bbbb"]
VOCABULARY = Vocabulary("ab")


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_the_mean_is_over_tokens_whatever_the_batches(batch_size: int) -> None:
    torch.manual_seed(0)
    network, windows = wavenet(3), WindowDataset(WORDS, VOCABULARY, 8)
    contexts, targets = windows[torch.arange(len(windows))]
    batches = map(Windows, contexts.split(batch_size), targets.split(batch_size))
    loss = mean_loss(network, batches, torch.device("cpu"))
    assert network.training
    with eval_mode(network):
        assert loss == pytest.approx(F.cross_entropy(network(contexts), targets).item(), abs=1e-6)


def test_log_probabilities_add_up_over_a_word_and_its_end() -> None:
    torch.manual_seed(0)
    windows = WindowDataset(WORDS, VOCABULARY, 8)
    contexts, targets = windows[torch.arange(len(windows))]
    logits = wavenet(3).eval()(contexts)
    found = word_log_probs(logits, targets)
    each = logits.log_softmax(-1)[torch.arange(len(targets)), targets]
    expected = torch.stack([part.sum() for part in each.split([len(word) + 1 for word in WORDS])])
    torch.testing.assert_close(found, expected)
