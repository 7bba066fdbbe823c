"""How much faster training is in several processes, each on one thread or one GPU, and what the loss is then.

    python benchmarks/processes.py

Each row trains a network for the same steps and batches, as ``python train.py fit --trainer.devices N`` does. The cores
or GPUs must be idle: processes wait for the slowest of them after each step.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from os import environ
from pathlib import Path
from typing import Any

import torch
from common import parser, show

ROOT = Path(__file__).resolve().parent.parent
TRAINED = {
    "default": ["--trainer.max_steps=505"],
    "width 384, batches of 1,024": [
        "--trainer.max_steps=60", "--model.network.hidden_dim=384", "--data.batch_size=1024",
    ],
}  # fmt: skip
NUMBERS = (1, 2)


def train(number: int, more: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """The ``metrics.json`` of a training in so many processes."""
    corpus = [] if options.path is None else ["--data.path", str(Path(options.path).absolute())]
    with tempfile.TemporaryDirectory() as runs:
        settings = [f"--trainer.devices={number}", "--trainer.accelerator", options.accelerator, *more, *corpus]
        command = [sys.executable, "train.py", "fit", "--quiet", "--trainer.default_root_dir", runs, *settings]
        subprocess.run(command, cwd=ROOT, env=environ | {"OMP_NUM_THREADS": "1"}, check=True, capture_output=True)
        (metrics,) = Path(runs).rglob("metrics.json")
        content: dict[str, Any] = json.loads(metrics.read_text(encoding="utf-8"))
        return content


def main() -> None:
    """Trains each network in one process and in more, in turn."""
    options = parser(__doc__).parse_args()
    torch.set_num_threads(1)  # as each of the processes has
    gpus = torch.cuda.device_count()
    numbers = [n for n in (1, 2, 4, 8, gpus) if n <= gpus] if options.accelerator == "gpu" else NUMBERS
    rows = []
    for name, more in TRAINED.items():
        results: dict[int, list[dict[str, Any]]] = {number: [] for number in numbers}
        for _ in range(options.repeats):
            for number in results:
                results[number].append(train(number, more, options))
        taken = {n: statistics.median(result["seconds"] for result in found) for n, found in results.items()}
        for number, (result, *_) in results.items():
            rate = result["steps"] * result["corpus"]["batch_size"] / taken[number]
            ratio, loss = f"{taken[1] / taken[number]:.2f}", f"{result['val/loss']:.4f}"
            rows.append([name, str(number), f"{taken[number]:.1f}", f"{rate:,.0f}", ratio, loss])
    columns = ["network", "processes", "seconds", "words/s", "times faster", "val loss"]
    show("Training in several processes", columns, rows)


if __name__ == "__main__":
    main()
