"""What a run leaves and says at its end: ``metrics.json``, the losses, a table of samples, and what to type next."""

import json
import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from shlex import quote
from typing import Any

from rich.console import Console
from rich.table import Table

import wavenet
from wavenet.corpus.ngram import Baseline
from wavenet.corpus.splitting import Split, novelty
from wavenet.inference.checkpoint import read_checkpoint, renamed
from wavenet.inference.model import TrainedModel
from wavenet.inference.scoring import score
from wavenet.runs import RunFolder, command, whole_file
from wavenet.training.callbacks.guesses import accuracies, guessed_words
from wavenet.training.data import MEASURED, WordsDataModule
from wavenet.training.loss import check_finite, mean_loss, standard_error
from wavenet.training.module import LanguageModel

NUM_SAMPLES = 20
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")  # how OpenMP's threads wait, in the environment
GUESSED_PAIRS = 200_000  # words times labels of validation that are guessed at the end
UNCERTAIN = 0.05  # nats of standard error from which on a loss says little


def measure(model: LanguageModel, data: WordsDataModule, steps: int) -> dict[str, float]:
    """The losses of the three splits, in nats per token, in eval mode: each over at most ``MEASURED`` words."""
    losses = {
        f"{split}/loss": mean_loss(model.network, data.eval_dataloader(split, MEASURED), model.device)
        for split in Split._fields
    }
    for name, loss in losses.items():
        check_finite(name, loss, steps, model.optimization)
    return losses


def standard_errors(model: LanguageModel, data: WordsDataModule) -> dict[str, float | None]:
    """The standard errors over words of the losses of validation and test."""
    errors = {}
    for split in ("val", "test"):
        words, labels = getattr(data.split, split).words[:MEASURED], data.label_ids(split)
        scores = score(model.network, model.vocabulary, words, labels and labels[:MEASURED])
        log_probs = [scored.log_prob for scored in scores]
        errors[f"{split}/standard_error"] = standard_error(log_probs, [len(word) + 1 for word in words])
    return errors


def of_labels(model: LanguageModel, data: WordsDataModule) -> dict[str, float]:
    """How well the labels of validation words are guessed, and the loss of words whose label is not told."""
    if model.labels is None:
        return {}
    words = data.split.val.words[:MEASURED]
    untold = score(model.network, model.vocabulary, words)
    found = {"val/loss_without_labels": -sum(one.log_prob for one in untold) / (sum(map(len, words)) + len(words))}
    guessed = guessed_words(model, data, GUESSED_PAIRS)
    return found if guessed is None else found | {f"val/{k}": x for k, x in accuracies(*guessed).items()}


@dataclass(frozen=True)
class Training:
    """How a training went.

    Args:
        steps: How many steps it took.
        seconds: How long it took, validation included.
        seed: Its seed, also used to draw the samples.
        threads: How many threads it ran on.
        baseline: The n-gram to compare with, if it was counted.
        init_from: The checkpoint whose weights it began with, if it did not begin with fresh ones.
    """

    steps: int
    seconds: float
    seed: int | None
    threads: int
    baseline: Baseline | None = None
    init_from: str | None = None


def collect_metrics(
    model: LanguageModel, data: WordsDataModule, checkpoint_path: Path | None, training: Training
) -> dict[str, Any]:
    """The record of a run, and leaves the weights of ``checkpoint_path`` in the model.

    ``<split>/loss`` are those of the best checkpoint, which every later command uses, and ``<split>/standard_error``
    say how exact they are; ``<split>/words`` is how many of its words were measured; ``last`` holds the losses of the
    weights after the last step, ``ngram`` those of the n-gram; :func:`of_labels` says what there is of labels.
    """
    steps, baseline = training.steps, training.baseline
    waiting = {name: os.environ[name] for name in WAITING if name in os.environ}
    last = measure(model, data, steps)
    best, best_step = last, steps
    if checkpoint_path is not None:
        checkpoint = read_checkpoint(checkpoint_path)
        best_step = checkpoint["global_step"]
        if best_step != steps:
            model.load_state_dict(renamed(checkpoint["state_dict"], model))
            best = measure(model, data, steps)
    return {
        **best,
        **standard_errors(model, data),
        **of_labels(model, data),
        **{f"{split}/words": min(MEASURED, len(part.words)) for split, part in data.split._asdict().items()},
        "step": best_step,
        "last": {**last, "step": steps},
        "ngram": baseline
        and {
            "order": baseline.order,
            "words": baseline.num_words,
            **{f"{name}/loss": x for name, x in baseline.losses.items()},
        },
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "steps": steps,
        "seconds": round(training.seconds, 2),
        "seed": training.seed,
        "threads": {"number": training.threads, "waiting": waiting},
        "init_from": training.init_from,
        "corpus": data.trained_on.plain(),
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


def loss_table(metrics: dict[str, Any]) -> Table:
    """The losses of the best checkpoint with their standard errors, of the last step, and of the n-gram."""
    corpus, names = metrics["corpus"]["words"], {"train": "train", "val": "validation", "test": "test"}

    def part(measured: int, split: str) -> str:
        return f" ({measured:,} words)" if measured < corpus[split] else ""

    columns = (f"{name}{part(metrics[f'{split}/words'], split)}" for split, name in names.items())
    table = Table("loss (nats per character)", *columns, title_justify="left")

    def cell(row: dict[str, Any], split: str) -> str:
        error = row.get(f"{split}/standard_error")
        return f"{row[f'{split}/loss']:.4f}" + (f" ± {error:.4f}" if error is not None else "")

    table.add_row(f"best checkpoint, step {metrics['step']:,}", *(cell(metrics, split) for split in Split._fields))
    if metrics["step"] != metrics["steps"]:
        last = metrics["last"]
        table.add_row(f"last step, step {last['step']:,}", *(cell(last, split) for split in Split._fields))
    if (ngram := metrics["ngram"]) is not None:
        counted = part(ngram["words"], "train").replace(" (", " of ").removesuffix(")")
        table.add_row(f"{ngram['order']}-gram{counted}, to compare", "", cell(ngram, "val"), cell(ngram, "test"))
    return table


def doubts(metrics: dict[str, Any]) -> list[str]:
    """What a reader of the losses should know."""
    lines, ngram = [], metrics["ngram"]
    if ngram is not None and metrics["val/loss"] > ngram["val/loss"]:
        lines.append(
            f"the {ngram['order']}-gram predicts the validation words better than the network: train for longer, or "
            f"look at the training loss for what went wrong"
        )
    error, num_words = metrics["val/standard_error"], metrics["corpus"]["words"]["val"]
    if error is None or error > UNCERTAIN:
        kind = "word" if num_words == 1 else "words"
        known = "" if error is None else f", which tell the loss to ± {error:.2f} only"
        lines.append(f"validation has {num_words:,} {kind}{known}: small differences mean nothing")
    return lines


def labels_line(metrics: dict[str, Any]) -> str:
    """What the labels are worth, and how well they are guessed."""
    line = f"validation words whose label is not told: {metrics['val/loss_without_labels']:.4f}"
    if "val/guess_accuracy" in metrics:
        line += (
            f"; their label is guessed in {metrics['val/guess_accuracy']:.1%} of cases, "
            f"and among three in {metrics['val/guess_top3_accuracy']:.1%}"
        )
    return line


def print_report(
    metrics: dict[str, Any], samples: dict[str, list[str]], run: RunFolder, watch_dir: Path | None, console: Console
) -> None:
    """Shows the losses, the samples, where the run lies, and the commands that come next."""
    console.print(loss_table(metrics))
    for line in doubts(metrics):
        console.print(f"note: {line}", soft_wrap=True)
    if "val/loss_without_labels" in metrics:
        console.print(labels_line(metrics), soft_wrap=True)
    table = Table(f"{sum(map(len, samples.values()))} samples", "")
    for kind, words in samples.items():
        table.add_row(kind, "\n".join(words) or "none")
    console.print(table)
    corpus = metrics["corpus"]
    sizes = " / ".join(f"{count:,}" for count in corpus["examples"].values())
    steps = "1 step" if metrics["steps"] == 1 else f"{metrics['steps']:,} steps"
    console.print(
        f"{steps} in {metrics['seconds']:.1f} s; {metrics['parameters']:,} parameters; "
        f"{corpus['words']['train']:,} training words; {sizes} examples in train / validation / test",
        soft_wrap=True,
    )
    lines = {"Run": str(run.path)}
    if watch_dir is not None:
        lines["Watch"] = f"{command('tensorboard')} --logdir {quote(str(watch_dir))}"
    if (best := run.best_checkpoint) is not None:
        ckpt_path = f"--ckpt_path {quote(str(best))}"
        lines["Sample"] = f"{command('wavenet')} sample --unique --novel {ckpt_path}"
        lines["Test"] = f"{command('wavenet')} test {ckpt_path}"
        if "val/loss_without_labels" in metrics:
            lines["Labels"] = f"{command('wavenet')} sample --label each -n 3 {ckpt_path}"
        lines["Score"] = f"{command('wavenet')} predict {ckpt_path} > scores.txt"
    for name, line in lines.items():
        console.print(f"{name + ':':8}{line}", soft_wrap=True)


def finish_run(
    model: LanguageModel, data: WordsDataModule, run: RunFolder, watch_dir: Path | None, training: Training
) -> dict[str, Any]:
    """Measures, records and shows a finished run.

    Args:
        model: The model with the weights of the last step.
        data: What it was trained on.
        run: Where the run's files are.
        watch_dir: What to show to TensorBoard, if the run has written for it.
        training: How the training went.

    Returns:
        What ``metrics.json`` holds.
    """
    metrics = collect_metrics(model, data, run.best_checkpoint, training)
    write_metrics(metrics, run.metrics)
    trained = TrainedModel(model.network, model.vocabulary, data.trained_on, model.labels)
    words = trained.sample(NUM_SAMPLES, seed=training.seed, max_draws=100 * NUM_SAMPLES)
    print_report(
        metrics,
        sort_samples(words, data.split),
        run,
        watch_dir,
        Console(markup=False, emoji=False, highlight=False),
    )
    return metrics
