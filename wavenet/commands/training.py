"""``wavenet fit``, ``validate``, ``test`` and ``predict``: Lightning's command line, the same as ``train.py``."""

from wavenet.commands.score import write_scores
from wavenet.commands.streams import outlive_readers
from wavenet.training.cli import run


def main(name: str, arguments: list[str]) -> None:
    """Runs the command; ``predict`` writes what ``wavenet score`` writes."""
    if name == "fit":
        outlive_readers()
    cli = run([name, *arguments])
    if name == "predict":
        write_scores(cli.scores, cli.trained_model.ranks(seed=0), total=len(cli.scores))
