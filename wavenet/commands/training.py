"""``wavenet fit``, ``validate``, ``test`` and ``predict``: Lightning's command line, the same as ``train.py``."""

from collections.abc import Callable
from functools import cache

from wavenet.commands.score import write_scores
from wavenet.commands.streams import outlive_readers
from wavenet.inference.scoring import Ranks
from wavenet.training.cli import WaveNetCLI, run

RANKED = 10_000  # draws that ranks are estimated from, under each label
DRAWS, FEWEST = 400_000, 100  # under all labels; and under each, where there are many


def main(name: str, arguments: list[str]) -> None:
    """Runs the command; ``predict`` writes what ``wavenet score`` writes, of each word under its own label."""
    if name == "fit":
        outlive_readers()
    cli = run([name, *arguments])
    if name == "predict":
        write_scores(cli.scores, ranks_of(cli), total=len(cli.scores), labels=cli.labels)


def ranks_of(cli: WaveNetCLI) -> Callable[[str | None], Ranks]:
    """What estimates ranks among the words of a label, or among all where a word has none; made when first asked."""
    model, num_labels = cli.trained_model, len(set(cli.labels or [""]))
    num_samples = max(FEWEST, min(RANKED, DRAWS // num_labels))

    @cache
    def ranks(label: str | None) -> Ranks:
        return model.ranks(num_samples, seed=0, label=label or None)

    return ranks
