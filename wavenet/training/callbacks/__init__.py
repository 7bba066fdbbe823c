"""What happens beside the training steps: one file for each callback."""

from wavenet.training.callbacks.baseline import NgramBaseline
from wavenet.training.callbacks.guesses import LabelGuesses
from wavenet.training.callbacks.health import NetworkHealth
from wavenet.training.callbacks.record import RunRecord
from wavenet.training.callbacks.samples import WordSamples
from wavenet.training.callbacks.scalars import TrainingScalars

MONITORS = {
    "scalars": TrainingScalars,
    "samples": WordSamples,
    "record": RunRecord,
    "ngram": NgramBaseline,
    "guesses": LabelGuesses,
    "health": NetworkHealth,
}
"""The callbacks that watch a run, by the name of their options: ``--samples.num_words``."""
