"""``wavenet lecture``: the lecture's experiments, measured beside what it published."""

from wavenet.experiments.compare import compare_configs
from wavenet.experiments.comparison import Comparison, Published
from wavenet.experiments.finished import LAST
from wavenet.experiments.how import HowToRun
from wavenet.runs import shipped

PUBLISHED = {
    "context3": Published("context 3, flat", 2.058, 2.105),
    "context8": Published("context 8, flat", 1.918, 2.027),
    "hierarchical_bug": Published("hierarchical,\nwith the batch-norm bug", 1.941, 2.029),
    "hierarchical": Published("hierarchical,\nbug fixed", 1.912, 2.022),
    "scaled": Published("embedding 24,\nhidden 128", 1.769, 1.993),
}
"""By configuration, in the lecture's order: what was new, and the losses of train and validation.

Source: Andrej Karpathy, "Building makemore Part 5: Building a WaveNet", and its notebook.
"""

UNPUBLISHED = ("logits_norm",)
"""The second set of notes, which gives a network and no losses."""


def lecture(how: HowToRun, command: str) -> Comparison:
    """Trains the lecture's configurations and reports the losses after the last step, as the lecture does.

    Raises:
        UsageError, ArgumentError, OSError, ValueError: See :func:`wavenet.experiments.compare.compare_configs`.
    """
    configs = [shipped("configs") / "lecture" / f"{name}.yaml" for name in (*PUBLISHED, *UNPUBLISHED)]
    return compare_configs(configs, how, command, LAST, PUBLISHED)
