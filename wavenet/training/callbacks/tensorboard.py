"""TensorBoard's files, and text for its pages."""

import lightning as L
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.tensorboard import SummaryWriter


def writers(trainer: L.Trainer) -> list[SummaryWriter]:
    """The TensorBoard files that a run writes to; none without TensorBoard, and in all processes but the first."""
    loggers = trainer.loggers if trainer.is_global_zero else []
    return [logger.experiment for logger in loggers if isinstance(logger, TensorBoardLogger)]


def escaped(text: str) -> str:
    """Text as it is, in Markdown."""
    escapes = {"&": "&amp;", "<": "&lt;", ">": "&gt;"} | {
        character: f"\\{character}" for character in "\\`*_{}[]()#+-.!|"
    }
    return "".join(escapes.get(character, character) for character in text)


def indented(text: str) -> str:
    """Text as it is, in Markdown, line by line."""
    return "\n".join(f"    {line}" for line in text.splitlines())
