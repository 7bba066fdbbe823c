"""Lists of many sizes and kinds: the default against an n-gram, fixed settings, and the best of a search.

    python benchmarks/list_sizes.py
    python benchmarks/list_sizes.py --lists phrases --sizes 200 1000 --trials 30
    python benchmarks/list_sizes.py --lists names --sizes 50 200 1000 --init_from runs/default/version_0

Each list is drawn at random from a larger one, several times where it is small, and the validation losses are pooled,
weighted by tokens. The default is ``python train.py fit`` on the list; "fixed" has the settings that suit names.txt and
five epochs. The search draws ``--trials`` settings around the default's, chooses among them and the default on as many
other draws, and is then judged on the draws of the rest of its row. Draws have words in common by chance alone, a whole
list has all of them.
With ``--init_from`` the default is trained once more, from the weights of another run.
``--path`` is the list that names, phrases and syllables are made of. Seconds are those of one default training.
"""

import json
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from math import exp, log
from pathlib import Path
from typing import Any

from common import parser, show

from wavenet.corpus.download import BUNDLED, default_corpus
from wavenet.corpus.reading import read_corpus
from wavenet.training.cli import run
from wavenet.training.recipe import recipe_for

SIZES = (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
POOLED = 1_600  # words, or eight lists if that is less, are drawn of each size
SEED = 1337  # of configs/default.yaml
HOPELESS = 0.05  # nats, by which a setting that is given up is worse than the best so far
FIXED = {
    "data.batch_size": 256,
    "trainer.max_epochs": 5,
    "model.network.hidden_dim": 128,
    "model.network.dropout": 0.0,
    "model.network.block_size": 8,
    "model.network.ngram_rows": 0,
    "model.optimization.learning_rate": 0.025,
    "model.optimization.weight_decay": 0.01,
}
UNWATCHED = {f"{reporter}.enabled": False for reporter in ("ngram", "scalars", "samples", "record")}


def phrases(names: Sequence[str], rng: random.Random) -> list[str]:
    """Several names each, 30 to 60 characters."""
    made = []
    for _ in names:
        length, phrase = rng.randint(30, 50), rng.choice(names)
        while len(phrase) < length:
            phrase += " " + rng.choice(names)
        made.append(phrase[:60].rstrip())
    return made


def syllables(names: Sequence[str], rng: random.Random) -> list[str]:
    """Names with one character for each consonant with the vowel after it: an alphabet of hundreds."""
    consonants, vowels = "bcdfghjklmnpqrstvwxz", "aeiouy"

    def written(name: str) -> str:
        text, rest = "", name
        while rest:
            consonant = consonants.find(rest[0])
            rest = rest[1:] if consonant >= 0 else rest
            vowel = vowels.find(rest[0]) if rest else -1
            rest = rest[1:] if vowel >= 0 or consonant < 0 else rest
            text += chr(0xAC00 + 8 * consonant + vowel + 9)
        return text

    return rng.sample([written(name) for name in names], len(names))


def lists(path: str | None) -> dict[str, list[str]]:
    """The lists that others are drawn from, by their kinds."""
    names = (default_corpus() if path is None else read_corpus(Path(path))).words
    kinds: dict[str, Callable[[Sequence[str], random.Random], list[str]]] = {"phrases": phrases, "syllables": syllables}
    made = {kind: make(names, random.Random(kind)) for kind, make in kinds.items()}
    return {"names": list(names), "world": list(read_corpus(BUNDLED).words), **made}


@contextmanager
def quiet_folder() -> Iterator[str]:
    """A temporary folder for a run that says nothing; TensorBoard's writer may still be at work when it goes."""
    folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    with folder, redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        yield folder.name


def fit(words: Sequence[str], settings: dict[str, Any]) -> dict[str, Any]:
    """What a run of the command line records of these words."""
    with quiet_folder() as folder:
        path = Path(folder) / "words.txt"
        path.write_text("\n".join(words) + "\n", encoding="utf-8")
        options = [f"--{name}={value}" for name, value in settings.items()]
        run(["fit", "--quiet", "--data.path", str(path), "--trainer.default_root_dir", folder, *options])
        (metrics,) = Path(folder).rglob("metrics.json")
        return dict(json.loads(metrics.read_text(encoding="utf-8")))


def pooled(runs: Sequence[dict[str, Any]], loss: Callable[[dict[str, Any]], float]) -> float:
    """The mean of the runs' validation losses, weighted by tokens."""
    tokens = [run["corpus"]["examples"]["val"] for run in runs]
    return float(sum(loss(run) * count for run, count in zip(runs, tokens, strict=True)) / sum(tokens))


def drawn_settings(words: Sequence[str], rng: random.Random) -> dict[str, Any]:
    """Settings around those of the default."""
    recipe = recipe_for(words)
    batch_size = max(2, round(recipe.batch_size * rng.choice([0.5, 1, 1, 2])))
    steps = round(recipe.max_steps * recipe.batch_size / batch_size * rng.choice([0.5, 1, 1, 2]))
    return {
        "data.batch_size": batch_size,
        "trainer.max_steps": max(2, steps),
        "trainer.val_check_interval": max(1, steps // 12),
        "trainer.check_val_every_n_epoch": "null",
        "model.network.hidden_dim": 8 * round(recipe.hidden_dim * rng.choice([0.5, 0.75, 1, 1.5, 2]) / 8),
        "model.network.dropout": round(rng.uniform(0, 0.6), 2),
        "model.network.block_size": rng.choice([8, 8, 16]),
        "model.network.ngram_gain": round(min(1.0, recipe.ngram_gain * exp(rng.uniform(-1, 1))), 3),
        "model.optimization.ngram_learning_rate": recipe.ngram_learning_rate,
        "model.optimization.learning_rate": round(recipe.learning_rate * exp(rng.uniform(-1, 1)), 4),
        "model.optimization.weight_decay": round(exp(rng.uniform(log(0.003), log(1.0))), 4),
    }


def fits(samples: Sequence[Sequence[str]], settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Runs of a row's samples, each with a seed of its own.

    With one seed for all a setting is better or worse by chance: it makes a difference of 0.02 on eight lists of 50.
    """
    for seed, sample in enumerate(samples, SEED):
        yield fit(sample, {"seed_everything": seed, **settings})


def loss_with(samples: Sequence[Sequence[str]], settings: dict[str, Any]) -> float:
    """The pooled validation loss of samples that are trained on with these settings."""
    return pooled(list(fits(samples, UNWATCHED | settings)), lambda run: run["val/loss"])


def best_of_search(samples: Sequence[Sequence[str]], trials: int) -> dict[str, Any]:
    """The settings of so many drawn ones, and of the default's (none), that have the lowest loss on these samples.

    Those that are worse than the best so far by more than ``HOPELESS``, on the first two samples or more, are not tried
    on the rest.
    """
    rng, best, least = random.Random(0), {}, [float("inf")] * len(samples)
    for settings in [{}, *(drawn_settings(samples[0], rng) for _ in range(trials))]:
        runs: list[dict[str, Any]] = []
        losses: list[float] = []  # of the first sample, of the first two, ...
        for fitted in fits(samples, UNWATCHED | settings):
            runs.append(fitted)
            losses.append(pooled(runs, lambda run: run["val/loss"]))
            if 1 < len(runs) < len(samples) and losses[-1] > least[len(runs) - 1] + HOPELESS:
                break
        else:
            if losses[-1] < least[-1]:
                best, least = settings, losses
    return best


def measured(words: Sequence[str], size: int, name: str, trials: int, init_from: str | None) -> list[str]:
    """A row of the table."""
    draws = max(1, min(8, POOLED // size)) if size < len(words) else 1
    samples, others = (
        [random.Random(f"{name}/{size}/{draw}").sample(words, size) for draw in range(first, first + draws)]
        for first in (0, draws)
    )
    default = list(fits(samples, {}))
    loss = pooled(default, lambda run: run["val/loss"])
    ngram = pooled(default, lambda run: run["ngram"]["val/loss"])
    searched = tuned = ""
    if trials:
        best = best_of_search(others, trials)
        searched = f"{loss_with(samples, best) if best else loss:.3f}"
        print(f"chosen: {best or 'the default'}", flush=True)
    if init_from is not None:
        tuned = f"{loss_with(samples, {'init_from': init_from}):.3f}"
    columns = [name, f"{size:,}", str(draws), f"{ngram:.3f}", f"{loss_with(samples, FIXED):.3f}"]
    return [*columns, f"{loss:.3f}", f"{ngram - loss:+.3f}", searched, tuned, f"{default[0]['seconds']:.1f}"]


def main() -> None:
    """Measures each list in each size."""
    given = parser(__doc__)
    given.add_argument("--lists", nargs="+", choices=("names", "world", "phrases", "syllables"))
    given.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    given.add_argument("--trials", type=int, default=0)
    given.add_argument("--init_from", help="a checkpoint, or the folder of a run")
    options = given.parse_args()
    rows = []
    for name, words in lists(options.path).items():
        if options.lists and name not in options.lists:
            continue
        whole = [len(words)] if options.sizes is SIZES and name in ("names", "world") else []
        for size in [*(size for size in options.sizes if size <= len(words)), *whole]:
            rows.append(measured(words, size, name, options.trials, options.init_from))
            print(*rows[-1], flush=True)
    losses = ["n-gram", "fixed", "default", "below the n-gram", "best of search", "fine-tuned"]
    show("Validation losses, nats per character", ["list", "words", "draws", *losses, "seconds"], rows)


if __name__ == "__main__":
    main()
