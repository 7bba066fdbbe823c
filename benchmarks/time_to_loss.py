"""How soon the default configuration reaches the lecture's best validation loss (1.993 nats on names.txt).

    python benchmarks/time_to_loss.py [--full]

The lecture's loop (benchmarks/lecture.py) needs 200,000 steps for it; some of them are timed, with the number of
threads that suits it best, and extrapolated (--full takes them all and measures the loss). Against it stand
`python train.py fit --trainer.max_epochs 2`, whose two epochs are enough, as a whole process, imports and the closing
evaluation included, and its training time alone.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from common import fastest_on_threads, parser, seconds, show, words_data
from lecture import LectureLoop

STEPS = 1_000
GOAL = 1.993
EPOCHS = 2


def lecture_seconds(loop: LectureLoop, full: bool) -> float:
    """The time of all the lecture's steps, on one thread or on all, whichever is faster now."""
    steps = STEPS
    taken, best = fastest_on_threads(lambda: loop.train(steps))
    if full:
        threads = torch.get_num_threads()
        torch.set_num_threads(best)
        steps = loop.steps - len(loop.losses)
        taken = seconds(lambda: loop.train(steps), torch.device("cpu"))
        torch.set_num_threads(threads)
    return taken * loop.steps / steps


def train_process(arguments: list[str]) -> tuple[float, dict]:
    """`python train.py fit` in a process of its own: its whole time, and its metrics."""
    root = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory() as runs:
        command = [sys.executable, "train.py", "fit", "--trainer.default_root_dir", runs, *arguments]
        done = lambda: subprocess.run(command, cwd=root, check=True, capture_output=True)  # noqa: E731
        whole = seconds(done, torch.device("cpu"))
        (metrics,) = Path(runs).rglob("metrics.json")
        return whole, json.loads(metrics.read_text(encoding="utf-8"))


def main() -> None:
    """Times the lecture's loop and ours in turn, so that both meet the same machine."""
    given = parser(__doc__)
    given.add_argument("--full", action="store_true", help="take all of the lecture's steps")
    options = given.parse_args()
    torch.manual_seed(1337)
    data = words_data(options, "windows", 32)
    everything = data.dataset("train")
    loop = LectureLoop(*everything[torch.arange(len(everything))], vocab_size=len(data.vocabulary))
    loop.train(200)  # warms up
    arguments = [
        f"--trainer.accelerator={options.accelerator}",
        f"--trainer.max_epochs={EPOCHS}",
        *(["--data.path", options.path] if options.path else []),
    ]
    lecture, whole, training = [], [], []
    for _ in range(options.repeats):
        lecture.append(lecture_seconds(loop, full=False))
        taken, metrics = train_process(arguments)
        whole.append(taken)
        training.append(metrics["seconds"])
    baseline = lecture_seconds(loop, full=True) if options.full else statistics.median(lecture)
    val = data.dataset("val")
    reached = f"{loop.loss(*val[torch.arange(len(val))]):.4f}" if options.full else f"{GOAL} published"
    rows = [["the lecture's loop, 200,000 steps", reached, f"{baseline:.1f}", "1"]]
    for name, values in (("train.py fit, training", training), ("train.py fit, whole process", whole)):
        taken = statistics.median(values)
        rows.append([name, f"{metrics['val/loss']:.4f}", f"{taken:.1f}", f"{baseline / taken:.1f}"])
    show("Seconds to the lecture's best loss", ["", "val loss", "seconds", "times faster"], rows)
    if metrics["val/loss"] > GOAL:
        print(f"The goal of {GOAL} was missed.")


if __name__ == "__main__":
    main()
