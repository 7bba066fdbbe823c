"""The baseline of the other kind: a causal Transformer of makemore's default size, from torch's own layers.

    python benchmarks/transformer.py --path data/names.txt [--trials 20]

Four layers of width 64 with four heads, 207,616 parameters for 27 tokens, trained on whole words drawn with replacement
and measured as every network here is: each validation word once, in nats per character, its end included. The weights
are those of the step with the best validation loss; test is measured with them, once. The default settings are
makemore's. `--trials N` searches for better ones as `wavenet sweep` does (Optuna's TPE; trials that do worse than half
of the others at the same point are given up, but not in their first half, in which schedules cannot be compared); every
trial sees as many words as the settings that were given, which are the first trial. With `--journal FILE` a search goes
on where it was, and several processes share it.

Sources: Vaswani et al., "Attention Is All You Need" (2017), https://arxiv.org/abs/1706.03762; Karpathy, "makemore".
"""

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


def settings_of(params: dict, given: Settings) -> Settings:
    """The settings of a trial, in which as many words are seen as with the settings that were given."""
    return replace(given, **params, steps=max(1, given.steps * given.batch // params["batch"]))


def search(
    data: dict[str, Tensor], vocab_size: int, given: Settings, trials: int, seed: int, journal: str | None
) -> dict:
    """The results of a search, by what they are of: the given settings, and the best of all trials."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    def objective(trial: optuna.Trial) -> float:
        trial.study.sampler = optuna.samplers.TPESampler(seed=seed + trial.number)
        params = {
            "batch": trial.suggest_categorical("batch", BATCH_SIZES),
            "learning_rate": trial.suggest_float("learning_rate", 2e-4, 1e-2, log=True),
            "weight_decay": trial.suggest_float("weight_decay", 1e-3, 1.0, log=True),
            "dropout": trial.suggest_float("dropout", 0.0, 0.4),
            "schedule": trial.suggest_categorical("schedule", SCHEDULES),
        }
        settings = settings_of(params, given)

        def report(step: int, val: float) -> None:
            trial.report(val, round(EVERY * step / settings.steps))
            if trial.should_prune():
                sys.stderr.write(f"trial {trial.number}: given up at val {val:.4f}, {settings}\n")
                raise optuna.TrialPruned

        result = train(data, vocab_size, settings, seed, report)
        sys.stderr.write(f"trial {trial.number}: val {result.val:.4f} at step {result.step:,}, {settings}\n")
        trial.set_user_attr("result", asdict(result))
        return result.val

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = None if journal is None else optuna.storages.JournalStorage(JournalFileBackend(journal))
    pruner = optuna.pruners.MedianPruner(5, EVERY // 2)
    study = optuna.create_study(storage=storage, study_name="transformer", pruner=pruner, load_if_exists=True)
    first = {name: value for name, value in asdict(given).items() if name != "steps"}
    if not any(trial.params == first and trial.state.is_finished() for trial in study.trials):
        study.enqueue_trial(first)
    while (ended := sum(trial.state.is_finished() for trial in study.trials)) < trials:
        study.optimize(objective, n_trials=1)
    given_up = sum(trial.state == optuna.trial.TrialState.PRUNED for trial in study.trials)
    chosen = [("given", trial) for trial in study.trials if trial.params == first and trial.user_attrs]
    chosen += [(f"best of {ended} trials, {given_up} given up", study.best_trial)]
    return {what: (settings_of(trial.params, given), Result(**trial.user_attrs["result"])) for what, trial in chosen}


def main() -> None:
    """Trains with the given settings, with one seed or several, or searches for better ones."""
    given = parser(__doc__)
    given.set_defaults(repeats=1)  # trainings, each with a seed of its own
    for name, default in asdict(Settings()).items():
        choices = SCHEDULES if name == "schedule" else None
        given.add_argument(f"--{name}", type=type(default), default=default, choices=choices)
    given.add_argument("--seed", type=int, default=1337, help="of the first training, or of a search")
    given.add_argument("--trials", type=int, default=0, help="of a search for better settings")
    given.add_argument("--journal", help="file that keeps a search, so that it can go on, and processes share it")
    options = given.parse_args()
    settings = Settings(**{name: getattr(options, name) for name in asdict(Settings())})
    words, device = words_data(options, "words", settings.batch), device_of(options)
    parts = words.split._asdict()
    data = {name: padded(part.words, words.vocabulary, device) for name, part in parts.items()}
    vocab_size = len(words.vocabulary)
    if options.trials:
        results = search(data, vocab_size, settings, options.trials, options.seed, options.journal)
    else:
        progress = lambda step, val: sys.stderr.write(f"step {step:,}: val {val:.4f}\n")  # noqa: E731
        seeds = range(options.seed, options.seed + options.repeats)
        results = {f"seed {seed}": (settings, train(data, vocab_size, settings, seed, progress)) for seed in seeds}
    rows = []
    for what, (used, found) in results.items():
        cells = [f"{used.learning_rate:.2g}, {used.schedule}", f"{used.weight_decay:.2g}", f"{used.dropout:.2f}"]
        cells += [str(used.batch), f"{found.step:,} of {used.steps:,}"]
        rows.append([what, *cells, f"{found.val:.4f}", f"{found.test:.4f}", f"{found.seconds:.0f}"])
    parameters = sum(parameter.numel() for parameter in Transformer(vocab_size, 0).parameters())
    columns = ["", "learning rate", "decay", "dropout", "batch", "best step", "val", "test", "seconds"]
    show(f"A Transformer of {parameters:,} parameters", columns, rows)


if __name__ == "__main__":
    main()
