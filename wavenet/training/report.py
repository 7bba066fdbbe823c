"""What a run leaves and says at its end: ``metrics.json``, the losses, a table of samples, and what to type next."""

import json
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from shlex import quote
from typing import Any

from rich.console import Console
from rich.table import Table

import wavenet
from wavenet.corpus.splitting import Split, novelty
from wavenet.inference.checkpoint import read_checkpoint
from wavenet.inference.sampling import sample
from wavenet.runs import RunFolder, command, whole_file
from wavenet.training.data import WordsDataModule
from wavenet.training.loss import check_finite, mean_loss
from wavenet.training.module import LanguageModel

NUM_SAMPLES = 20


def measure(model: LanguageModel, data: WordsDataModule, steps: int) -> dict[str, float]:
    """The losses of the three splits, in nats per token, in eval mode over the whole of each."""
    losses = {
        f"{split}/loss": mean_loss(model.network, data.eval_dataloader(split), model.device) for split in Split._fields
    }
    for name, loss in losses.items():
        check_finite(name, loss, steps)
    return losses


def collect_metrics(
    model: LanguageModel,
    data: WordsDataModule,
    checkpoint_path: Path | None,
    steps: int,
    seconds: float,
    seed: int | None,
) -> dict[str, Any]:
    """The record of a run, and leaves the weights of ``checkpoint_path`` in the model.

    ``<split>/loss`` are those of the best checkpoint, which every later command uses; ``last`` holds those of the
    weights after the last step.
    """
    last = measure(model, data, steps)
    best, best_step = last, steps
    if checkpoint_path is not None:
        checkpoint = read_checkpoint(checkpoint_path)
        best_step = checkpoint["global_step"]
        if best_step != steps:
            model.load_state_dict(checkpoint["state_dict"])
            best = measure(model, data, steps)
    return {
        **best,
        "step": best_step,
        "last": {**last, "step": steps},
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "steps": steps,
        "seconds": round(seconds, 2),
        "seed": seed,
        "corpus": asdict(data.trained_on),
        "versions": {
            "wavenet": wavenet.__version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "lightning", "torchmetrics", "tensorboard")},
        },
    }


def write_metrics(metrics: dict[str, Any], path: Path) -> None:
    """Writes ``metrics.json`` whole or not at all."""
    with whole_file(path) as file:
        file.write(json.dumps(metrics, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sort_samples(words: list[str], split: Split) -> dict[str, list[str]]:
    """The words by whether they stand in train, only in validation or test, or in none of them."""
    kind = novelty(split)
    names = {"train": "in train", "validation": "in validation or test", "test": "in validation or test", "new": "new"}
    kinds: dict[str, list[str]] = {name: [] for name in names.values()}
    for word in words:
        kinds[names[kind(word)]].append(word)
    return kinds


def print_report(
    metrics: dict[str, Any], samples: dict[str, list[str]], run: RunFolder, watch_dir: Path | None, console: Console
) -> None:
    """Shows the losses, the samples, where the run lies, and the commands that come next."""
    losses = Table("loss (nats per character)", "train", "validation", "test", title_justify="left")
    rows = {"best checkpoint": metrics, "last step": metrics["last"]}
    if metrics["step"] == metrics["steps"]:
        del rows["last step"]
    for name, row in rows.items():
        losses.add_row(f"{name}, step {row['step']:,}", *(f"{row[f'{split}/loss']:.4f}" for split in Split._fields))
    console.print(losses)
    table = Table(f"{sum(map(len, samples.values()))} samples", "")
    for kind, words in samples.items():
        table.add_row(kind, ", ".join(words) or "none")
    console.print(table)
    corpus = metrics["corpus"]
    sizes = " / ".join(f"{count:,}" for count in corpus["examples"].values())
    console.print(
        f"{metrics['steps']:,} steps in {metrics['seconds']:.1f} s; {metrics['parameters']:,} parameters; "
        f"{corpus['words']['train']:,} training words; {sizes} examples in train / validation / test",
    )
    lines = {"Run": str(run.path)}
    if watch_dir is not None:
        lines["Watch"] = f"{command('tensorboard')} --logdir {quote(str(watch_dir))}"
    if (best := run.best_checkpoint) is not None:
        ckpt_path = f"--ckpt_path {quote(str(best))}"
        lines["Sample"] = f"{command('wavenet')} sample --unique --novel {ckpt_path}"
        lines["Test"] = f"{command('wavenet')} test {ckpt_path}"
        lines["Score"] = f"{command('wavenet')} predict {ckpt_path} > scores.txt"
    for name, line in lines.items():
        console.print(f"{name + ':':8}{line}", soft_wrap=True)


def finish_run(
    model: LanguageModel,
    data: WordsDataModule,
    run: RunFolder,
    watch_dir: Path | None,
    steps: int,
    seconds: float,
    seed: int | None,
) -> dict[str, Any]:
    """Measures, records and shows a finished run.

    Args:
        model: The model with the weights of the last step.
        data: What it was trained on.
        run: Where the run's files are.
        watch_dir: What to show to TensorBoard, if the run has written for it.
        steps: How many steps the training took.
        seconds: How long it took, validation included.
        seed: The seed of the training, also used to draw the samples.

    Returns:
        What ``metrics.json`` holds.
    """
    metrics = collect_metrics(model, data, run.best_checkpoint, steps, seconds, seed)
    write_metrics(metrics, run.metrics)
    words = sample(model.network, model.vocabulary, NUM_SAMPLES, seed=seed, max_draws=100 * NUM_SAMPLES)
    print_report(
        metrics,
        sort_samples(words, data.split),
        run,
        watch_dir,
        Console(markup=False, emoji=False, highlight=False),
    )
    return metrics
