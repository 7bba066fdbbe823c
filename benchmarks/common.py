"""What the benchmarks share: options, the corpus, timing, and tables."""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table

from wavenet.training.data import WordsDataModule


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--accelerator", choices=("cpu", "gpu"), default="cpu")
    options.add_argument("--path", default=None, help="the corpus; by default names.txt as training finds it")
    options.add_argument("--repeats", type=int, default=5, help="timings of each row, of which the median counts")
    return options


def device_of(options: argparse.Namespace) -> torch.device:
    """The device to measure."""
    return torch.device("cuda" if options.accelerator == "gpu" else "cpu")


def words_data(options: argparse.Namespace, batching: str, batch_size: int, block_size: int = 8) -> WordsDataModule:
    """The corpus, split and ready for training."""
    data = WordsDataModule(options.path, block_size=block_size, batching=batching, batch_size=batch_size)  # type: ignore[arg-type]
    data.setup("fit")
    return data


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """How long the work takes, waiting for the device."""
    begin = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def median_seconds(work: Callable[[], object], repeats: int, device: torch.device) -> float:
    """The median of several timings, after one that warms up."""
    seconds(work, device)
    return statistics.median(seconds(work, device) for _ in range(repeats))


def fastest_on_threads(work: Callable[[], object]) -> tuple[float, int]:
    """The time of the work on the CPU with one thread or with all, whichever is less, and the number of threads."""
    threads, times = torch.get_num_threads(), {}
    for count in {1, threads}:
        torch.set_num_threads(count)
        times[count] = seconds(work, torch.device("cpu"))
    torch.set_num_threads(threads)
    best = min(times, key=lambda count: times[count])
    return times[best], best


def show(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Prints a table, with the number of threads."""
    table = Table(*columns, title=f"{title} ({torch.get_num_threads()} threads)", title_justify="left")
    for row in rows:
        table.add_row(*row)
    Console(width=110).print(table)
