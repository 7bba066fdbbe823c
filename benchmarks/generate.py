"""Names per second: the lecture's one at a time, against ``model.sample(1)`` in a loop and batched stepping.

python benchmarks/generate.py
"""

from collections.abc import Callable

import torch
from common import device_of, median_seconds, parser, show, words_data
from lecture import LectureLoop

from wavenet.inference.model import TrainedModel
from wavenet.inference.sampling import sample
from wavenet.network.build import build
from wavenet.network.config import lecture_hierarchical

STEPS = 3000
CALLS = 500
SIZES = (1, 32, 256, 2048, 8192)


def main() -> None:
    """Trains the lecture's network a little, so that names have the usual length, and gives both its weights."""
    options = parser(__doc__).parse_args()
    device = device_of(options)
    torch.manual_seed(1337)
    data = words_data(options, "windows", 32)
    everything, vocabulary = data.dataset("train"), data.vocabulary
    loop = LectureLoop(*everything[torch.arange(len(everything))], vocab_size=len(vocabulary))
    loop.train(STEPS)
    loop.eval()
    network = build(lecture_hierarchical(), len(vocabulary)).eval()
    loop.copy_to(network)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # fastest for one context at a time
    baseline = 100 / median_seconds(lambda: [loop.sample() for _ in range(100)], options.repeats, torch.device("cpu"))
    torch.set_num_threads(threads)
    rows = [["the lecture's loop", "1", f"{baseline:,.0f}", "1"]]
    network = network.to(device)
    model = TrainedModel(network, vocabulary)
    loops: dict[str, Callable[[], object]] = {
        "one word at a time, model.sample(1)": lambda: [model.sample(1) for _ in range(CALLS)],
        "the same, each with its seed": lambda: [model.sample(1, seed=seed) for seed in range(CALLS)],
    }
    for name, loop_of_calls in loops.items():
        rate = CALLS / median_seconds(loop_of_calls, options.repeats, device)
        rows.append([name, "1", f"{rate:,.0f}", f"{rate / baseline:.1f}"])
    for size in SIZES:
        rate = size / median_seconds(lambda size=size: sample(network, vocabulary, size), options.repeats, device)
        rows.append(["stepping", str(size), f"{rate:,.0f}", f"{rate / baseline:.1f}"])
    show("Generation", ["", "words a call", "names/s", "times faster"], rows)


if __name__ == "__main__":
    main()
