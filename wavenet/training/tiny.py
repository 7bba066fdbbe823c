"""A training of a moment on the bundled words, whose loss is known: whether training works as it should here."""

import logging
import warnings

import lightning as L
import torch

from wavenet.corpus.download import BUNDLED
from wavenet.network.config import NetworkConfig
from wavenet.training.data import WordsDataModule
from wavenet.training.loss import mean_loss
from wavenet.training.module import LanguageModel

NUM_STEPS = 20

RECORDED_LOSS = 3.0277809
"""The validation loss of :func:`tiny_loss` in nats per character, to be recorded anew when defaults change."""

TOLERANCE = 1e-4
"""By how much it may differ: it is computed in double precision, where processors and threads differ by much less."""


def tiny_loss() -> float:
    """Trains a small network for some steps, with seeds of its own, and returns its validation loss.

    The random numbers of the process are as before afterwards. Nothing is written.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(1337)
        data = WordsDataModule(str(BUNDLED))
        model = LanguageModel(data.alphabet, NetworkConfig(embedding_dim=8, hidden_dim=16))
        trainer = L.Trainer(
            max_steps=NUM_STEPS,
            accelerator="cpu",
            devices=1,
            precision="64-true",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_val_batches=0,
        )
        trainer.fit(model, data)
        return mean_loss(model.network.double(), data.val_dataloader(), torch.device("cpu"))
