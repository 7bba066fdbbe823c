"""wavenet: the hierarchical WaveNet of "makemore, part 5". It learns how words are spelled and makes more of them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from wavenet.corpus.vocabulary import Vocabulary

if TYPE_CHECKING:
    from wavenet.inference.checkpoint import load
    from wavenet.inference.model import Model
    from wavenet.network.build import mlp, receptive_field, wavenet
    from wavenet.network.layers import BatchNorm1d, FlattenConsecutive
    from wavenet.training.data import WordsDataModule
    from wavenet.training.module import LanguageModel

__version__ = "0.1.0"
_HOMES = {
    "BatchNorm1d": "network.layers",
    "FlattenConsecutive": "network.layers",
    "LanguageModel": "training.module",
    "Model": "inference.model",
    "WordsDataModule": "training.data",
    "load": "inference.checkpoint",
    "mlp": "network.build",
    "receptive_field": "network.build",
    "wavenet": "network.build",
}
__all__ = [
    "BatchNorm1d",
    "FlattenConsecutive",
    "LanguageModel",
    "Model",
    "Vocabulary",
    "WordsDataModule",
    "load",
    "mlp",
    "receptive_field",
    "wavenet",
]


def __getattr__(name: str) -> Any:
    """Imports torch and Lightning on first use, so that ``import wavenet`` stays light (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"wavenet.{_HOMES[name]}"), name)
