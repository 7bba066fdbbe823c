"""wavenet: the hierarchical WaveNet of "makemore, part 5". It learns how words are spelled and makes more of them."""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wavenet.corpus.vocabulary import Vocabulary
    from wavenet.inference.checkpoint import load
    from wavenet.inference.model import TrainedModel
    from wavenet.network.build import build
    from wavenet.network.config import NetworkConfig, lecture_flat, lecture_hierarchical, lecture_logits_norm
    from wavenet.network.layers import BatchNorm1d, FlattenConsecutive, Residual, receptive_field
    from wavenet.training.data import WordsDataModule
    from wavenet.training.module import LanguageModel
    from wavenet.training.optimization import OptimizationConfig

__version__ = "0.1.0"
__all__ = [
    "BatchNorm1d",
    "FlattenConsecutive",
    "LanguageModel",
    "NetworkConfig",
    "OptimizationConfig",
    "Residual",
    "TrainedModel",
    "Vocabulary",
    "WordsDataModule",
    "build",
    "lecture_flat",
    "lecture_hierarchical",
    "lecture_logits_norm",
    "load",
    "receptive_field",
]
_HOMES = {
    "BatchNorm1d": "network.layers",
    "FlattenConsecutive": "network.layers",
    "LanguageModel": "training.module",
    "NetworkConfig": "network.config",
    "OptimizationConfig": "training.optimization",
    "Residual": "network.layers",
    "TrainedModel": "inference.model",
    "Vocabulary": "corpus.vocabulary",
    "WordsDataModule": "training.data",
    "build": "network.build",
    "lecture_flat": "network.config",
    "lecture_hierarchical": "network.config",
    "lecture_logits_norm": "network.config",
    "load": "inference.checkpoint",
    "receptive_field": "network.layers",
}


def __getattr__(name: str) -> Any:
    """Imports torch and Lightning on first use, so that ``import wavenet`` stays light (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"wavenet.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """What the package exports, with the submodules that are loaded; not what this file needs itself."""
    own = {name for name in globals() if name.startswith("__") or f"{__name__}.{name}" in sys.modules}
    return sorted({*own, *__all__})
