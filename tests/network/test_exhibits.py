import torch
from torch import nn

from wavenet.network.build import wavenet
from wavenet.network.exhibits import PerPositionBatchNorm1d, wavenet_batch_norm_bug
from wavenet.network.layers import BatchNorm1d


def test_each_position_keeps_its_own_statistics() -> None:
    layer = PerPositionBatchNorm1d(5, num_steps=4, momentum=1.0)
    x = torch.randn(64, 4, 5) + torch.arange(4)[:, None]
    y = layer(x)
    torch.testing.assert_close(layer.running_mean, x.mean(0))
    torch.testing.assert_close(y.mean(0), torch.zeros(4, 5), atol=1e-5, rtol=0)
    torch.testing.assert_close(layer.eval()(x), y)


def test_the_bug_changes_statistics_but_no_parameter() -> None:
    torch.manual_seed(0)
    bug = wavenet_batch_norm_bug(27, embedding_dim=10, hidden_dim=68)
    torch.manual_seed(0)
    right = wavenet(27, embedding_dim=10, hidden_dim=68)
    assert sum(p.numel() for p in bug.parameters()) == 22_397
    steps = [layer.running_mean.shape for layer in bug if isinstance(layer, PerPositionBatchNorm1d)]
    assert steps == [(4, 68), (2, 68)]
    assert sum(isinstance(layer, BatchNorm1d) for layer in bug) == 1  # one step is left: nothing to get wrong
    assert repr(bug[3]) == "PerPositionBatchNorm1d(68, num_steps=4)"
    x = torch.randint(27, (64, 8))
    assert not torch.allclose(bug(x), right(x))
    assert all(torch.equal(a, b) for a, b in zip(bug.parameters(), right.parameters(), strict=True))
    assert isinstance(bug, nn.Sequential)
