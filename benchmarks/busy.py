"""How fast training is on an idle machine, and while another program keeps one core busy.

    python benchmarks/busy.py

Each row trains a network for some steps, as ``python train.py fit`` does, on the list or, where it says so, on as many
phrases of several names each. "chosen" leaves threads and their waiting to the program; "torch's own" is what torch
does by itself: a thread for each core, which spins while it waits. It is given up after ``--limit`` seconds.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import cpu_count, environ
from pathlib import Path

from common import parser, show
from list_sizes import lists

ROOT = Path(__file__).resolve().parent.parent
TRAINED = {
    "default": ("names", ["--trainer.max_steps=202"]),
    "width 384": ("names", ["--trainer.max_steps=60", "--model.network.hidden_dim=384"]),
    "phrases": ("phrases", ["--trainer.max_steps=100"]),
}
THREADS: dict[str, tuple[list[str], dict[str, str]]] = {
    "chosen": ([], {}),
    "torch's own": ([f"--threads={cpu_count()}"], {"GOMP_SPINCOUNT": "300000"}),
}


@contextmanager
def busy(whether: bool) -> Iterator[None]:
    """One core that another program needs, if it is so."""
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if whether else None
    try:
        yield
    finally:
        if other is not None:
            other.kill()
            other.wait()


def train(words: Sequence[str], options: list[str], env: dict[str, str], limit: float) -> float:
    """Seconds of training, or infinity if it took longer than the limit."""
    with tempfile.TemporaryDirectory() as runs:
        path = Path(runs) / "words.txt"
        path.write_text("\n".join(words) + "\n", encoding="utf-8")
        where = ["--data.path", str(path), "--trainer.default_root_dir", runs]
        command = [sys.executable, "train.py", "fit", "--quiet", *where, *options]
        try:
            subprocess.run(command, cwd=ROOT, env=environ | env, check=True, capture_output=True, timeout=limit)
        except subprocess.TimeoutExpired:
            return float("inf")
        (metrics,) = Path(runs).rglob("metrics.json")
        return float(json.loads(metrics.read_text(encoding="utf-8"))["seconds"])


def main() -> None:
    """Trains each network either way, in turn."""
    given = parser(__doc__)
    given.add_argument("--limit", type=float, default=60.0)
    options = given.parse_args()
    words = lists(options.path)
    rows = []
    for name, (kind, settings) in TRAINED.items():
        for threads, (more, env) in THREADS.items():
            taken = {}
            for whether in (False, True):
                with busy(whether):
                    taken[whether] = statistics.median(
                        train(words[kind], [*settings, *more], env, options.limit) for _ in range(options.repeats)
                    )
            ratio = f"{taken[True] / taken[False]:.1f}" if taken[True] < options.limit else ""
            busily = f"{taken[True]:.1f}" if ratio else f"over {options.limit:.0f}"
            rows.append([name, threads, f"{taken[False]:.1f}", busily, ratio])
            print(*rows[-1], flush=True)
    show("Seconds of training", ["network", "threads", "idle", "one core busy", "ratio"], rows)


if __name__ == "__main__":
    main()
