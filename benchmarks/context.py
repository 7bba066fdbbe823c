"""What a longer context costs per position: windowed, sliding and stepping, for block sizes 8, 16, ... 1024.

    python benchmarks/context.py

Forward passes in eval mode of the lecture's network with a group size of 2. The windowed form grows with the block
size, the time of the others with its logarithm. Memory is the peak above what is in use before; stepping keeps a queue
as long as the context for each word, whose making is counted here over 16 steps.
"""

import itertools
import os
from collections.abc import Callable

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler says when it starts and stops

import torch
from common import device_of, median_seconds, parser, show, words_data

from wavenet.network.build import build
from wavenet.network.config import NetworkConfig
from wavenet.network.sliding import run, slide
from wavenet.network.stepping import start, step

WORDS, STEPS, BATCH = 256, 16, 64
BLOCK_SIZES = (8, 16, 32, 64, 128, 256, 512, 1024)


def peak_bytes(work: Callable[[], object]) -> int:
    """How much memory of tensors the work holds at its peak, above what was in use before it."""
    with torch.profiler.profile(profile_memory=True) as profile:
        work()
    records = (event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]")
    changes = [event.nbytes() for event in sorted(records, key=lambda event: event.start_ns())]
    return max(itertools.accumulate(changes), default=0)


def forms(block_size: int, path: str | None = None, device: torch.device | None = None) -> dict:
    """The work of each form, and the positions that it computes."""
    device = device or torch.device("cpu")
    options = parser(None).parse_args([] if path is None else ["--path", path])
    words, windows = words_data(options, "words", WORDS), words_data(options, "windows", WORDS, block_size)
    config = NetworkConfig(block_size, activation="tanh", residual=False)
    network = build(config, len(words.vocabulary)).eval().to(device)
    packed = words.dataset("train")[torch.arange(WORDS)].to(device)
    some = windows.dataset("train")[torch.arange(min(len(packed.targets), max(64, 2**17 // block_size)))]
    some = some.to(device)
    tokens = torch.zeros(BATCH, dtype=torch.long, device=device)

    def stepping() -> None:
        state = start(network, BATCH)
        for _ in range(STEPS):
            step(network, tokens, state)

    return {
        "windowed": (lambda: run(network, some), len(some.targets)),
        "sliding": (lambda: slide(network, packed.tokens, packed.previous), len(packed.targets)),
        "stepping": (stepping, BATCH * STEPS),
    }


@torch.no_grad()
def main() -> None:
    """Times the three forms at each block size."""
    options = parser(__doc__).parse_args()
    device = device_of(options)
    tables: dict[str, list[list[str]]] = {}
    first: dict[str, float] = {}
    for block_size in BLOCK_SIZES:
        for form, (work, positions) in forms(block_size, options.path, device).items():
            each = median_seconds(work, options.repeats, device) / positions * 1e6
            first.setdefault(form, each)
            memory = peak_bytes(work) / positions / 1024
            row = [str(block_size), f"{each:.2f}", f"{each / first[form]:.1f}", f"{memory:.1f}"]
            tables.setdefault(form, []).append(row)
    for form, rows in tables.items():
        show(f"Cost per position, {form}", ["block size", "µs", "times block 8", "peak KiB"], rows)


if __name__ == "__main__":
    main()
