"""Training positions per second: the lecture's loop, windows and packed words, all on the lecture's network.

    python benchmarks/throughput.py

A position is one prediction that is trained on. The lecture's loop draws its batches as it goes, on the CPU, with the
number of threads that suits it best; the others train on batches that are ready. The last column is the share of the
rate that the device reaches in large matrix products, counting the multiplications and additions that the linear layers
carry out, forward and backward; packed words need fewer of them for a position.
"""

import itertools
import statistics

import torch
from common import device_of, fastest_on_threads, median_seconds, parser, show, words_data
from lecture import LectureLoop
from torch import nn
from torch.nn import functional as F

from wavenet.network.build import build
from wavenet.network.config import lecture_hierarchical
from wavenet.network.packing import Batch
from wavenet.network.sliding import run

BATCHES = 50


def matrix_rate(device: torch.device, repeats: int) -> float:
    """Floating point operations per second in a product of 2048 by 2048 matrices."""
    a = torch.randn(2048, 2048, device=device)
    return 2 * 2048**3 / median_seconds(lambda: a @ a, repeats, device)


def flops_per_window(network: nn.Sequential, block_size: int) -> float:
    """Of one context, forward and backward (twice the forward)."""
    steps, total = block_size, 0
    for layer in network:
        steps = steps // getattr(layer, "group_size", 1)
        total += 3 * 2 * steps * layer.weight.numel() if isinstance(layer, nn.Linear) else 0
    return total


def flops_per_row(network: nn.Sequential) -> float:
    """Of one row of packed words, forward and backward."""
    return sum(3 * 2 * layer.weight.numel() for layer in network if isinstance(layer, nn.Linear))


def trainer(network: nn.Sequential, batches: list[Batch]):
    """Trains on the batches."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)

    def work() -> None:
        for batch in batches:
            loss = F.cross_entropy(run(network, batch), batch.targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return work


def main() -> None:
    """Measures each form on batches like those it is used with, and words and windows of like size."""
    options = parser(__doc__).parse_args()
    device = device_of(options)
    torch.manual_seed(1337)
    peak, cpu_peak = matrix_rate(device, options.repeats), matrix_rate(torch.device("cpu"), options.repeats)
    windows = words_data(options, "windows", 32)
    everything, vocab_size = windows.dataset("train"), len(windows.vocabulary)
    loop = LectureLoop(*everything[torch.arange(len(everything))], vocab_size=vocab_size)
    taken = statistics.median(fastest_on_threads(lambda: loop.train(BATCHES * 10))[0] for _ in range(options.repeats))
    baseline, per_window = 32 * BATCHES * 10 / taken, flops_per_window(build(lecture_hierarchical(), vocab_size), 8)
    rows = [["the lecture's loop", "32 windows", f"{baseline:,.0f}", "1", f"{baseline * per_window / cpu_peak:.0%}"]]
    for batching, size in (("windows", 32), ("windows", 1024), ("words", 32), ("words", 256)):
        data = words_data(options, batching, size)
        batches = [batch.to(device) for batch in itertools.islice(data.train_dataloader(), BATCHES)]
        network = build(lecture_hierarchical(), vocab_size).to(device)
        taken = median_seconds(trainer(network, batches), options.repeats, device)
        positions = sum(len(batch.targets) for batch in batches)
        if batching == "words":
            flops = flops_per_row(network) * sum(len(batch.tokens) for batch in batches)
        else:
            flops = per_window * positions
        rate = positions / taken
        rows.append(
            [batching, f"{size} {batching}", f"{rate:,.0f}", f"{rate / baseline:.1f}", f"{flops / taken / peak:.0%}"]
        )
    show("Training throughput", ["form", "batch", "positions/s", "times faster", "of matrix rate"], rows)


if __name__ == "__main__":
    main()
