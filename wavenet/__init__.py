"""wavenet: the hierarchical WaveNet of "makemore, part 5". It learns how words are spelled and makes more of them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from wavenet.vocabulary import Vocabulary

if TYPE_CHECKING:
    from wavenet.checkpoint import load
    from wavenet.data import WordsDataModule
    from wavenet.layers import BatchNorm1d, FlattenConsecutive
    from wavenet.model import Model
    from wavenet.module import LanguageModel
    from wavenet.networks import mlp, receptive_field, wavenet

__version__ = "0.1.0"
_HOMES = {
    "BatchNorm1d": "layers",
    "FlattenConsecutive": "layers",
    "LanguageModel": "module",
    "Model": "model",
    "WordsDataModule": "data",
    "load": "checkpoint",
    "mlp": "networks",
    "receptive_field": "networks",
    "wavenet": "networks",
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
