"""Corpora of many sizes: seconds to the first training step, peak memory, and words trained on a second.

    python benchmarks/corpus.py
    python benchmarks/corpus.py --characters 100000 1000000000

Each corpus is made of syllables, about ten characters a word with its end, and trained on for some steps by the command
line, twice: "cold" has never seen the file, "warm" has it encoded. Each training is a process of its own, whose times
include its imports; the CPU's time counts, which other programs change least. Memory is the most that the process had
at once, libraries included, which take about 350 MB. ``--path`` is not used.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import parser, show

SIZES = (100_000, 1_000_000, 10_000_000, 100_000_000)
STEPS = 100
OPTIONS = (  # the same network for all
    "--model.network.hidden_dim=128", "--model.network.ngram_rows=16384", "--data.batch_size=256",
    "--trainer.limit_val_batches=0", "--quiet",
)  # fmt: skip
AT_ONCE = 2**18  # words that are made together
SYLLABLES = [consonant + vowel for consonant in "bcdfghjklmnprstvwz" for vowel in "aeiou"]


def write_corpus(path: Path, characters: int) -> None:
    """Writes words of two to seven syllables, the first ones of which are the most frequent."""
    rng = np.random.default_rng(0)
    letters = np.frombuffer("".join(SYLLABLES).encode(), np.uint8).reshape(-1, 2)
    shares = 1 / np.arange(1, len(SYLLABLES) + 1)
    with path.open("wb") as file:
        while file.tell() < characters:
            count = min(AT_ONCE, (characters - file.tell()) // 10 + 1)
            sizes = rng.integers(2, 8, count)
            drawn = rng.choice(len(SYLLABLES), sizes.sum(), p=shares / shares.sum())
            text = np.full(len(drawn) * 2 + count, ord("\n"), np.uint8)
            inside = np.ones(len(text), bool)
            inside[(2 * sizes + 1).cumsum() - 1] = False
            text[inside] = letters[drawn].ravel()
            text.tofile(file)


def train(path: str, root: str, steps: str) -> None:
    """Trains for so many steps in this process, and prints what was measured as JSON."""
    from wavenet.training.cli import run
    from wavenet.training.module import LanguageModel

    times: list[float] = []
    step = LanguageModel.training_step

    def timed(self: LanguageModel, *arguments: Any) -> Any:
        times.append(time.process_time())
        return step(self, *arguments)

    LanguageModel.training_step = timed  # type: ignore[method-assign, assignment]
    options = [f"--data.path={path}", f"--trainer.default_root_dir={root}", f"--trainer.max_steps={steps}", *OPTIONS]
    run(["fit", *options])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    print(json.dumps({"first": times[0], "rate": 256 * (len(times) - 1) / (times[-1] - times[0]), "peak": peak}))


def measured(path: Path, folder: str) -> dict[str, float]:
    """What a training in a process of its own measures."""
    environment = {**os.environ, "WAVENET_CACHE": f"{folder}/cache", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--child", str(path), folder, str(STEPS)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measures each size."""
    if sys.argv[1:2] == ["--child"]:
        train(*sys.argv[2:])
        return
    given = parser(__doc__)
    given.add_argument("--characters", nargs="+", type=int, default=SIZES)
    options = given.parse_args()
    rows = []
    for size in options.characters:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "words.txt"
            write_corpus(path, size)
            cold, warm = measured(path, folder), measured(path, folder)
        columns = [f"{size:,}", f"{cold['first']:.1f}", f"{warm['first']:.1f}"]
        rows.append([*columns, f"{cold['peak']:,.0f}", f"{warm['peak']:,.0f}", f"{warm['rate']:,.0f}"])
        print(*rows[-1], flush=True)
    seconds, memory = ["cold, seconds", "warm, seconds"], ["cold, MB", "warm, MB"]
    show("Corpora, up to the first step", ["characters", *seconds, *memory, "words/s"], rows)


if __name__ == "__main__":
    main()
