"""What Trainer.fit costs over a bare loop on the same batches, with the default configuration.

    python benchmarks/overhead.py

All train the default network for the same epochs with the same optimizer, schedule and validation. Fit also logs to
TensorBoard and writes checkpoints; it runs without monitoring, with the default callbacks (scalars, samples, record),
and with those for the network's health too.
"""

import statistics
import tempfile
import warnings
from pathlib import Path

import torch
from common import device_of, parser, seconds, show, words_data
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import Callback, Timer
from lightning.pytorch.loggers import TensorBoardLogger
from torch.nn import functional as F

from wavenet.network.sliding import run
from wavenet.runs import RunFolder
from wavenet.training.callbacks.checkpoints import WholeCheckpointIO, checkpoints
from wavenet.training.callbacks.final_validation import FinalValidation
from wavenet.training.callbacks.health import NetworkHealth
from wavenet.training.callbacks.progress import StepProgress
from wavenet.training.callbacks.record import RunRecord
from wavenet.training.callbacks.samples import WordSamples
from wavenet.training.callbacks.scalars import TrainingScalars
from wavenet.training.cli import NOT_APPLICABLE
from wavenet.training.data import WordsDataModule
from wavenet.training.loss import mean_loss
from wavenet.training.module import LanguageModel
from wavenet.training.optimization import SCHEDULES, OptimizationConfig, make_optimizer


def bare(model: LanguageModel, data: WordsDataModule, epochs: int, device: torch.device) -> None:
    """The loop that one would write by hand."""
    model.to(device).train()
    batches = data.train_dataloader()
    config = OptimizationConfig()
    optimizer = make_optimizer(config, model.network)
    schedule = SCHEDULES[config.schedule](optimizer, epochs * len(batches))
    for epoch in range(epochs):
        batches.sampler.set_epoch(epoch)
        for batch in batches:
            here = batch.to(device)
            loss = F.cross_entropy(run(model.network, here), here.targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        mean_loss(model.network, data.val_dataloader(), device)


def fit(model: LanguageModel, data: WordsDataModule, epochs: int, accelerator: str, monitors: list[Callback]) -> None:
    """Trainer.fit with the callbacks that the command line gives it, and these."""
    with tempfile.TemporaryDirectory() as runs:
        trainer = Trainer(
            accelerator=accelerator,
            devices=1,
            max_epochs=epochs,
            num_sanity_val_steps=0,
            log_every_n_steps=50,
            logger=TensorBoardLogger(runs, default_hp_metric=False),
            callbacks=[StepProgress(), Timer(), FinalValidation(), *monitors, *checkpoints(RunFolder(Path(runs)))],
            enable_model_summary=False,
            plugins=[WholeCheckpointIO()],
        )
        trainer.fit(model, data)
        trainer.save_checkpoint(f"{runs}/last.ckpt")


def main() -> None:
    """Times both in turn."""
    given = parser(__doc__)
    given.add_argument("--epochs", type=int, default=2)
    options = given.parse_args()
    for message in NOT_APPLICABLE:
        warnings.filterwarnings("ignore", message=message)
    device = device_of(options)
    data = words_data(options, "words", batch_size=256)
    default = (TrainingScalars, WordSamples, RunRecord)
    kinds: dict[str, tuple[type[Callback], ...] | None] = {
        "bare loop": None,
        "Trainer.fit without monitoring": (),
        "Trainer.fit, default": default,
        "Trainer.fit with health": (*default, NetworkHealth),
    }
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for repeat in range(options.repeats + 1):
        for name, monitors in kinds.items():
            seed_everything(1337, verbose=False)
            model = LanguageModel(data.alphabet)
            if monitors is None:
                work = lambda model=model: bare(model, data, options.epochs, device)  # noqa: E731
            else:
                callbacks = [monitor() for monitor in monitors]
                work = lambda model=model, callbacks=callbacks: fit(  # noqa: E731
                    model, data, options.epochs, options.accelerator, callbacks
                )
            measured = seconds(work, device)
            if repeat:  # the first ones warm up
                times[name].append(measured)
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    plain = medians["Trainer.fit without monitoring"]
    rows = [
        [name, f"{taken:.2f}", f"{taken / medians['bare loop']:.3f}", f"{taken / plain - 1:+.1%}"]
        for name, taken in medians.items()
    ]
    columns = ["", "seconds", "times the bare loop", "over fit without monitoring"]
    show(f"{options.epochs} epochs of training", columns, rows)


if __name__ == "__main__":
    main()
