import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.network.test_sliding import ALPHABET, WORDS, batches, networks, stepped
from tests.networks import batch_norm_bug, lecture
from wavenet.network.layers import Ensemble, receptive_field
from wavenet.network.sliding import run
from wavenet.network.stepping import select, start, step


@settings(deadline=None, max_examples=30)
@given(st.lists(networks().map(lambda network: network.float()), min_size=1, max_size=3), WORDS)
def test_the_three_ways_give_the_mean_of_the_members(networks: list[nn.Sequential], words: list[str]) -> None:
    whole = Ensemble(*networks).eval()
    assert receptive_field(whole) == max(map(receptive_field, networks))
    windows, packed = batches(words, whole)
    with torch.no_grad():
        of_members = [run(member, packed).double().softmax(dim=1) for member in networks]
        expected = torch.stack(of_members).mean(dim=0).log().float()
        for logits in (run(whole, windows), run(whole, packed), stepped(whole, packed)):
            torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-4)


def test_a_state_is_picked_from_along_the_batch() -> None:
    torch.manual_seed(0)
    whole = Ensemble(lecture(6, 8), lecture(6, 27, 3)).eval()
    tokens, rows = torch.randint(6, (3, 9)), torch.tensor([2, 0, 2])
    with torch.no_grad():
        state = start(whole, 3)
        for t in range(8):
            step(whole, tokens[:, t], state)
        picked = select(state, rows)
        expected = step(whole, tokens[:, 8], state)[rows]
        torch.testing.assert_close(step(whole, tokens[rows, 8], picked), expected)


def test_a_member_that_cannot_slide_makes_all_run_windowed() -> None:
    torch.manual_seed(0)
    whole = Ensemble(batch_norm_bug(len(ALPHABET) + 1), lecture(len(ALPHABET) + 1, 4)).eval()
    windows, packed = batches(["abc", "abb", "bbbbbbbbbbbb"], whole)
    with torch.no_grad():
        torch.testing.assert_close(run(whole, packed), run(whole, windows))
        torch.testing.assert_close(stepped(whole, packed), run(whole, windows))
