"""What Trainer.fit costs over a bare loop on the same batches, with the default configuration.

    python benchmarks/overhead.py

Both train the default network for the same epochs with the same optimizer, schedule and validation; fit also logs to
TensorBoard and writes checkpoints.
"""

import statistics
import tempfile
import warnings
from datetime import timedelta

import torch
from common import device_of, parser, seconds, show, words_data
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint, Timer
from lightning.pytorch.loggers import TensorBoardLogger
from torch.nn import functional as F

from wavenet.callbacks import FinalValidation, StepProgress
from wavenet.cli import DEFAULT_CONFIG, NOT_APPLICABLE
from wavenet.data import WordsDataModule
from wavenet.module import LanguageModel
from wavenet.scoring import mean_loss
from wavenet.sliding import run


def default_settings() -> dict:
    """configs/default.yaml."""
    import yaml

    return yaml.safe_load(DEFAULT_CONFIG.read_text(encoding="utf-8"))


def bare(model: LanguageModel, data: WordsDataModule, epochs: int, device: torch.device) -> None:
    """The loop that one would write by hand."""
    model.to(device).train()
    batches = data.train_dataloader()
    settings = model.hparams
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings["learning_rate"], weight_decay=settings["weight_decay"], fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings["learning_rate"], total_steps=epochs * len(batches), pct_start=0.15
    )
    for epoch in range(epochs):
        batches.sampler.set_epoch(epoch)
        for batch in batches:
            here = type(batch)(*(part.to(device) for part in batch))
            loss = F.cross_entropy(run(model.network, here), here.targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        mean_loss(model.network, data.val_dataloader(), device)


def fit(model: LanguageModel, data: WordsDataModule, epochs: int, accelerator: str) -> None:
    """Trainer.fit with the callbacks that the command line gives it."""
    with tempfile.TemporaryDirectory() as runs:
        trainer = Trainer(
            accelerator=accelerator,
            devices=1,
            max_epochs=epochs,
            num_sanity_val_steps=0,
            logger=TensorBoardLogger(runs, default_hp_metric=False),
            callbacks=[
                StepProgress(),
                Timer(),
                FinalValidation(),
                ModelCheckpoint(filename="best", monitor="val/loss", enable_version_counter=False),
                ModelCheckpoint(
                    filename="last", enable_version_counter=False, train_time_interval=timedelta(minutes=1)
                ),
            ],
            enable_model_summary=False,
        )
        trainer.fit(model, data)
        trainer.save_checkpoint(f"{runs}/last.ckpt")


def main() -> None:
    """Times both in turn."""
    options = parser(__doc__)
    options.add_argument("--epochs", type=int, default=2)
    options = options.parse_args()
    for message in NOT_APPLICABLE:
        warnings.filterwarnings("ignore", message=message)
    device, settings = device_of(options), default_settings()
    data = words_data(options, "words", settings["data"]["batch_size"])
    times: dict[str, list[float]] = {"bare loop": [], "Trainer.fit": []}
    for repeat in range(options.repeats + 1):
        for name, taken in times.items():
            seed_everything(settings["seed_everything"], verbose=False)
            model = LanguageModel(data.alphabet, **settings["model"])
            if name == "bare loop":
                work = lambda model=model: bare(model, data, options.epochs, device)  # noqa: E731
            else:
                work = lambda model=model: fit(model, data, options.epochs, options.accelerator)  # noqa: E731
            measured = seconds(work, device)
            if repeat:  # the first ones warm up
                taken.append(measured)
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    rows = [[name, f"{taken:.2f}", f"{taken / medians['bare loop']:.3f}"] for name, taken in medians.items()]
    show(f"{options.epochs} epochs of training", ["", "seconds", "times the bare loop"], rows)


if __name__ == "__main__":
    main()
