"""The baseline of the other kind: a causal Transformer of makemore's default size, from torch's own layers.

    python benchmarks/transformer.py --path data/names.txt [--trials 20]

Four layers of width 64 with four heads, 204,544 parameters for 27 tokens, trained on whole words drawn with replacement
and measured as every network here is: each validation word once, in nats per character, its end included. The weights
are those of the step with the best validation loss; test is measured with them, once. The default settings are
makemore's. `--trials N` searches for better ones as `wavenet sweep` does (Optuna's TPE; trials that do worse than half
of the others at the same point are given up); every trial sees as many words as the settings that were given, which are
the first trial.

Sources: Vaswani et al., "Attention Is All You Need" (2017), https://arxiv.org/abs/1706.03762; Karpathy, "makemore".
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import torch
from common import device_of, parser, show, words_data
from torch import Tensor, nn
from torch.nn import functional as F

from wavenet.network.packing import encode_words

LAYERS, HEADS, WIDTH = 4, 4, 64
LONGEST = 64  # tokens of a word
EVERY = 20  # validations of a training
IGNORED = -100  # target of what lies beyond a word's end
BATCH_SIZES = (32, 64, 128, 256)
SCHEDULES = ("constant", "one_cycle")


@dataclass(frozen=True)
class Settings:
    """How a Transformer is trained; the defaults are makemore's."""

    learning_rate: float = 5e-4
    weight_decay: float = 0.01
    dropout: float = 0.0
    batch: int = 32
    steps: int = 20_000
    schedule: str = "constant"


@dataclass(frozen=True)
class Result:
    """What a training has come to: the best validation loss, at which step, the test loss there, and its seconds."""

    val: float
    step: int
    test: float
    seconds: float


class Transformer(nn.Module):
    """A causal Transformer over characters.

    Shape:
        - Input: (B, T) token ids, the boundary first.
        - Output: (B, T, V) logits of the next token.
    """

    def __init__(self, vocab_size: int, dropout: float) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocab_size, WIDTH), nn.Embedding(LONGEST, WIDTH)
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 4 * WIDTH, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, LAYERS, nn.LayerNorm(WIDTH), enable_nested_tensor=False)
        self.last = nn.Linear(WIDTH, vocab_size, bias=False)
        for embedding in (self.tokens, self.places):
            nn.init.normal_(embedding.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        T = tokens.shape[1]
        x = self.tokens(tokens) + self.places.weight[:T]  # (B, T, C)
        mask = nn.Transformer.generate_square_subsequent_mask(T, tokens.device)
        return self.last(self.layers(x, mask=mask, is_causal=True))  # (B, T, V)


def padded(words, vocabulary, device: torch.device) -> Tensor:
    """The targets (W, T) of words, their ends included; what lies beyond them is IGNORED."""
    tokens, lengths = encode_words(words, vocabulary)
    if lengths.max() > LONGEST:
        raise ValueError(f"expected words of at most {LONGEST - 1} characters, got one of {int(lengths.max()) - 1}")
    inside = torch.arange(int(lengths.max())) < lengths[:, None]  # (W, T)
    return torch.full(inside.shape, IGNORED).masked_scatter(inside, tokens).to(device)


def losses(model: Transformer, targets: Tensor) -> Tensor:
    """The sum of the losses of a batch of words (B, T)."""
    targets = targets[:, : int((targets != IGNORED).any(dim=0).sum())]
    inputs = targets.clamp(min=0).roll(1, dims=1).index_fill(1, torch.tensor([0], device=targets.device), 0)
    return F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum")


@torch.no_grad()
def evaluate(model: Transformer, targets: Tensor) -> float:
    """The loss of all words in nats per character, in eval mode."""
    model.eval()
    total = sum(losses(model, chunk).item() for chunk in targets.split(1024))
    model.train()
    return total / int((targets != IGNORED).sum())


def train(data: dict[str, Tensor], vocab_size: int, settings: Settings, seed: int, report: Callable) -> Result:
    """Trains and measures; ``report(step, loss)`` is called after each validation, and may end it by an exception."""
    torch.manual_seed(seed)
    began, device = time.perf_counter(), data["train"].device
    model = Transformer(vocab_size, settings.dropout).to(device)
    rates = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    optimizer = torch.optim.AdamW(model.parameters(), **rates, betas=(0.9, 0.99), fused=True)
    schedule = None
    if settings.schedule == "one_cycle":
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, settings.steps)
    best, best_step, weights = float("inf"), 0, {}
    every = max(1, settings.steps // EVERY)
    for step in range(1, settings.steps + 1):
        drawn = data["train"][torch.randint(len(data["train"]), (settings.batch,), device=device)]
        loss = losses(model, drawn) / (drawn != IGNORED).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()
        if step % every == 0 or step == settings.steps:
            val = evaluate(model, data["val"])
            if val < best:
                best, best_step = val, step
                weights = {name: value.clone() for name, value in model.state_dict().items()}
            report(step, val)
    model.load_state_dict(weights)
    return Result(best, best_step, evaluate(model, data["test"]), time.perf_counter() - began)


def search(data: dict[str, Tensor], vocab_size: int, given: Settings, trials: int, seed: int) -> tuple[Settings, int]:
    """The best settings of so many trials, and how many of these were given up."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial: optuna.Trial) -> float:
        batch = trial.suggest_categorical("batch", BATCH_SIZES)
        settings = Settings(
            learning_rate=trial.suggest_float("learning_rate", 2e-4, 1e-2, log=True),
            weight_decay=trial.suggest_float("weight_decay", 1e-3, 1.0, log=True),
            dropout=trial.suggest_float("dropout", 0.0, 0.4),
            schedule=trial.suggest_categorical("schedule", SCHEDULES),
            batch=batch,
            steps=max(1, given.steps * given.batch // batch),
        )
        trial.set_user_attr("settings", asdict(settings))

        def report(step: int, val: float) -> None:
            trial.report(val, round(EVERY * step / settings.steps))
            if trial.should_prune():
                raise optuna.TrialPruned

        found = train(data, vocab_size, settings, seed, report)
        sys.stderr.write(f"trial {trial.number}: val {found.val:.4f} at step {found.step:,} of {settings}\n")
        return found.val

    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed), pruner=optuna.pruners.MedianPruner(5, 1), direction="minimize"
    )
    first = {name: value for name, value in asdict(given).items() if name != "steps"}
    study.enqueue_trial(first)
    study.optimize(objective, n_trials=trials)
    pruned = sum(trial.state == optuna.trial.TrialState.PRUNED for trial in study.trials)
    return Settings(**study.best_trial.user_attrs["settings"]), pruned


def settings_of(options: argparse.Namespace) -> Settings:
    """The settings that were given."""
    return Settings(**{name: getattr(options, name) for name in asdict(Settings())})


def main() -> None:
    """Trains with the given settings, or searches for better ones and trains with the best."""
    given = parser(__doc__)
    given.set_defaults(repeats=1)  # trainings, each with a seed of its own
    for name, default in asdict(Settings()).items():
        choices = SCHEDULES if name == "schedule" else None
        given.add_argument(f"--{name}", type=type(default), default=default, choices=choices)
    given.add_argument("--seed", type=int, default=1337, help="of the first training")
    given.add_argument("--trials", type=int, default=0, help="of a search for better settings")
    options = given.parse_args()
    settings = settings_of(options)
    words = words_data(options, "words", 32)
    data = {
        name: padded(part.words, words.vocabulary, device_of(options)) for name, part in words.split._asdict().items()
    }
    vocab_size, rows = len(words.vocabulary), []
    quiet = lambda step, val: None  # noqa: E731
    progress = lambda step, val: sys.stderr.write(f"step {step:,}: val {val:.4f}\n")  # noqa: E731
    kinds = {"given": settings}
    if options.trials:
        kinds[f"best of {options.trials} trials"], pruned = search(
            data, vocab_size, replace(settings), options.trials, options.seed
        )
    for kind, settings in kinds.items():
        for seed in range(options.seed, options.seed + options.repeats):
            found = train(data, vocab_size, settings, seed, progress if len(kinds) == 1 else quiet)
            cells = [f"{settings.learning_rate:.2g}, {settings.schedule}", f"{settings.weight_decay:.2g}"]
            cells += [f"{settings.dropout:.2f}", str(settings.batch), f"{found.step:,} of {settings.steps:,}"]
            rows.append([kind, *cells, f"{found.val:.4f}", f"{found.test:.4f}", f"{found.seconds:.0f}"])
    parameters = sum(parameter.numel() for parameter in Transformer(vocab_size, 0).parameters())
    columns = ["settings", "learning rate", "decay", "dropout", "batch", "best step", "val", "test", "seconds"]
    show(f"A Transformer of {parameters:,} parameters", columns, rows)
    if options.trials:
        print(f"{options.trials} trials, {pruned} of which were given up early")


if __name__ == "__main__":
    main()
