"""``wavenet report``: what a trained model has learned, as figures and one HTML page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from wavenet.commands.main import parser_of
from wavenet.commands.options import checkpoint_named
from wavenet.errors import ArgumentError, check_at_least
from wavenet.runs import RUNS, RunFolder, newest_checkpoint

if TYPE_CHECKING:
    from wavenet.experiments.learned_report import Learned

FOLDER = "report"


def main(name: str, arguments: list[str]) -> None:
    """Runs the command."""
    parser = parser_of(name, "Example: wavenet report default")
    parser.add_argument(
        "run", nargs="?", metavar="RUN", help="a checkpoint, the folder of a run, or an experiment (default: newest)"
    )
    parser.add_argument("--output", metavar="FOLDER", help="where the report goes (default: report/ in the run)")
    parser.add_argument("--num_samples", type=int, default=10_000, help="words that it draws (default: 10,000)")
    parser.add_argument("--seed", type=int, default=0, help="of these draws (default: 0)")
    parser.add_argument("--threads", type=int, help="threads to run on; by default as many as pay")
    options = parser.parse_args(arguments)
    check_at_least(1, num_samples=options.num_samples)
    path = newest_checkpoint(RUNS) if options.run is None else checkpoint_named(options.run)
    if options.run is None or path != Path(options.run):
        sys.stderr.write(f"using {path}\n")
    folder = folder_of(path) if options.output is None else Path(options.output)
    if folder.exists() and not folder.is_dir():
        raise ArgumentError("output", f"must be a folder, got the file {folder}")
    from wavenet.extras import require

    require("report")
    from wavenet.experiments.learned_report import learn_about, write_report
    from wavenet.inference.checkpoint import load
    from wavenet.inference.model import MAX_SAMPLES
    from wavenet.network.threads import set_threads

    if options.num_samples > MAX_SAMPLES:
        raise ArgumentError("num_samples", f"must be at most {MAX_SAMPLES}, got {options.num_samples}")
    model = load(path)
    set_threads(model.network, options.threads)
    with Console(stderr=True).status("reading the words") as status:
        found = learn_about(model, options.num_samples, options.seed, status.update)
        status.update("drawing figures")
        facts = {"checkpoint": str(path), "num_samples": options.num_samples, "seed": options.seed}
        page = write_report(found, model.vocabulary.alphabet, f"What {path} has learned", facts, folder)
    for line in last_lines(found, page):
        print(line)


def folder_of(checkpoint: Path) -> Path:
    """Where the report of a checkpoint goes: into its run, or beside it if it lies in none."""
    run = RunFolder.of_checkpoint(checkpoint)
    return checkpoint.with_name(f"{checkpoint.stem}_{FOLDER}") if run is None else run.path / FOLDER


def last_lines(found: Learned, page: Path) -> list[str]:
    """The main results, and where all of them are."""
    measured, shares = found.measured, found.shares["samples"]
    losses = [f"{mean:.4f} ({low:.3f} to {high:.3f})" for mean, low, high in measured.losses.values()]
    unseen = f"; words that are not in train {losses[1]}" if len(losses) > 1 else ""
    return [
        f"Loss:        validation {losses[0]}{unseen}",
        f"Calibration: error {measured.likeliest.error:.4f} for the likeliest character, {measured.every.error:.4f} "
        "for every one",
        f"Samples:     {shares['train']:.1%} in train, {shares['held out']:.1%} in validation or test, "
        f"{shares['near']:.1%} one edit from train, {shares['new']:.1%} farther",
        f"Page:        {page}",
    ]
