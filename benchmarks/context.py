"""What a longer context costs per position: windowed, sliding and stepping, for block sizes 8, 16, ... 1024.

    python benchmarks/context.py

Forward passes in eval mode of the lecture's network with a group size of 2. The windowed form grows with the block
size, the others with its logarithm. Memory is what the largest of a form's tensors need: activations for the windowed
and sliding forms (the peak above the start, measured), the state of the queues for stepping.
"""

import resource
import subprocess
import sys

import torch
from common import device_of, median_seconds, parser, show, words_data

from wavenet.networks import wavenet
from wavenet.sliding import run, slide, start, step

WORDS, STEPS, BATCH = 256, 16, 64


def peak_memory(form: str, block_size: int) -> int:
    """MiB that a form needs at its peak, measured in a process of its own."""
    code = f"import context; print(context.measured_peak({form!r}, {block_size}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=sys.path[0], capture_output=True, text=True, check=True)
    return round(int(done.stdout))


def forms(block_size: int, path: str | None = None, device: torch.device | None = None) -> dict:
    """The work of each form, and the positions that it computes."""
    device = device or torch.device("cpu")
    options = parser(None).parse_args([] if path is None else ["--path", path])
    words, windows = words_data(options, "words", WORDS), words_data(options, "windows", WORDS, block_size)
    network = wavenet(len(words.vocabulary), block_size).eval().to(device)
    packed = words.dataset("train")[torch.arange(WORDS)]
    packed = type(packed)(*(part.to(device) for part in packed))
    some = windows.dataset("train")[torch.arange(min(len(packed.targets), max(64, 2**17 // block_size)))]
    some = type(some)(*(part.to(device) for part in some))
    tokens = torch.zeros(BATCH, dtype=torch.long, device=device)

    def stepping() -> None:
        state = start(network, BATCH)
        for _ in range(STEPS):
            step(network, tokens, state)

    return {
        "windowed": (lambda: run(network, some), len(some.targets)),
        "sliding": (lambda: slide(network, packed.tokens, packed.position), len(packed.targets)),
        "stepping": (stepping, BATCH * STEPS),
    }


@torch.no_grad()
def measured_peak(form: str, block_size: int) -> int:
    """MiB by which the form raises this process's peak."""
    work, _ = forms(block_size)[form]
    torch.set_num_threads(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024


@torch.no_grad()
def main() -> None:
    """Times the three forms at each block size."""
    options = parser(__doc__).parse_args()
    device = device_of(options)
    rows, first = [], {}
    for exponent in range(3, 11):
        row = [str(2**exponent)]
        for form, (work, positions) in forms(2**exponent, options.path, device).items():
            each = median_seconds(work, options.repeats, device) / positions * 1e6
            first.setdefault(form, each)
            row += [f"{each:.2f}", f"{each / first[form]:.1f}", str(peak_memory(form, 2**exponent))]
        rows.append(row)
    columns = ["block size"] + [f"{form}, {what}" for form in first for what in ("µs", "times block 8", "MiB")]
    show("Cost per position", columns, rows)


if __name__ == "__main__":
    main()
