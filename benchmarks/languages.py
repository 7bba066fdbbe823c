"""How well a network with labels guesses them, beside what guesses do that read n-grams; and what labels cost.

    python train.py fit --config configs/languages.yaml
    python benchmarks/languages.py --ckpt_path runs/languages --figure docs/languages.png

The network and the two baselines of scikit-learn see the same training words, and guess the labels of the same
validation and test words: multinomial naive Bayes and logistic regression, both on counts of the 1- to 4-grams of
characters with the ends of a word marked. Of a few strengths of smoothing each baseline has the one that guesses the
validation words best.

The expected calibration error (ECE) is the mean distance, over words, between how sure a guess is and how often guesses
that are as sure (tenths) are right. What labels cost is the time of a training step for each row of its batches, and
names a second, with and without labels, measured in turn: names are made by the network under a label, and by one
without labels that makes the same names. Mixtures of two labels are made as
the package makes them, from the mean of two embeddings, and from the mean of two networks' probabilities; it is shown
how often the guess for such words is one of the two, and how probable each of them is on average.

Sources: Guo et al., "On calibration of modern neural networks" (2017), https://arxiv.org/abs/1706.04599.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from common import parser, show
from torch import nn
from torch.nn import functional as F

from wavenet.corpus.labels import label_in
from wavenet.corpus.splitting import Part
from wavenet.corpus.vocabulary import BOUNDARY, Vocabulary
from wavenet.inference.checkpoint import load
from wavenet.inference.model import TrainedModel
from wavenet.network.labels import Conditioned
from wavenet.network.layers import Parallel
from wavenet.network.sliding import run
from wavenet.network.stepping import start, step
from wavenet.runs import find_checkpoint
from wavenet.training.data import WordsDataModule
from wavenet.training.module import LanguageModel

BINS = 10
SMOOTHING = (1.0, 0.3, 0.1, 0.03)  # of naive Bayes
STRENGTHS = (0.1, 0.3, 1.0)  # of logistic regression: the inverse of its regularisation
STEPS, NAMES = 30, 2_000  # of the measurement of speed
PAIRS = [("Finnish", "Japanese"), ("Irish", "Yoruba"), ("Italian", "Polish")]  # that are mixed half and half
MIXED, LONGEST = 500, 40  # words of each mixture, and their longest

Floats = npt.NDArray[np.float64]


class Words(NamedTuple):
    """Words that have labels, and the places (W,) of these among all."""

    words: list[str]
    targets: npt.NDArray[np.int64]


def known(part: Part, column: int, names: list[str]) -> Words:
    """The words of a part that have a label."""
    place = {name: number for number, name in enumerate(names)}
    pairs = [(word, label_in(fields, column)) for word, fields in zip(*part, strict=True)]
    return Words([word for word, label in pairs if label], np.array([place[label] for _, label in pairs if label]))


def of_network(model: TrainedModel, words: Words, uniform: bool = False) -> Floats:
    """The probabilities (W, L) that a network gives labels."""
    guesses = model.guess(words.words, uniform=uniform)
    return np.array([[guess.probabilities[name] for name in model.known_labels.names] for guess in guesses])


def baselines() -> Iterator[tuple[str, list[Callable[[], Any]]]]:
    """The classifiers of scikit-learn, each with the strengths that are tried."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import MultinomialNB

    yield "naive Bayes, 1- to 4-grams", [lambda a=a: MultinomialNB(alpha=a) for a in SMOOTHING]
    yield "logistic regression, 1- to 4-grams", [lambda c=c: LogisticRegression(C=c, max_iter=300) for c in STRENGTHS]


def of_baseline(kinds: list[Callable[[], Any]], train: Words, val: Words, test: Words) -> tuple[Floats, Floats]:
    """The probabilities (W, L) of validation and test by the kind that guesses validation best."""
    from sklearn.feature_extraction.text import CountVectorizer

    counts = CountVectorizer(analyzer="char", ngram_range=(1, 4), lowercase=False)
    seen = counts.fit_transform([f".{word}." for word in train.words])
    others = [counts.transform([f".{word}." for word in part.words]) for part in (val, test)]
    found = []
    for make in kinds:
        fitted = make().fit(seen, train.targets)
        full = [np.zeros((other.shape[0], train.targets.max() + 1)) for other in others]
        for probabilities, other in zip(full, others, strict=True):
            probabilities[:, fitted.classes_] = fitted.predict_proba(other)
        found.append((float((full[0].argmax(1) == val.targets).mean()), full[0], full[1]))
    _, *best = max(found, key=lambda one: one[0])
    return best[0], best[1]


def reliability(probabilities: Floats, targets: npt.NDArray[np.int64]) -> list[tuple[float, float, int]]:
    """How sure the guesses of each tenth are on average, how often they are right, and how many there are."""
    sure, right = probabilities.max(1), probabilities.argmax(1) == targets
    tenth = np.minimum((sure * BINS).astype(int), BINS - 1)
    return [
        (float(sure[tenth == b].mean()), float(right[tenth == b].mean()), int((tenth == b).sum()))
        for b in range(BINS)
        if (tenth == b).any()
    ]


def calibration_error(probabilities: Floats, targets: npt.NDArray[np.int64]) -> float:
    """The expected calibration error."""
    return sum(abs(sure - right) * count for sure, right, count in reliability(probabilities, targets)) / len(targets)


def cells(probabilities: Floats, targets: npt.NDArray[np.int64]) -> list[str]:
    """The shares of words that are guessed, and among three; nats of the right label; the calibration error."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    right = order == targets[:, None]
    nats = -np.log(np.maximum(probabilities[np.arange(len(targets)), targets], 1e-300)).mean()
    shares = (right[:, 0].mean(), right[:, :3].any(1).mean())
    return [*(f"{share:.1%}" for share in shares), f"{nats:.3f}", f"{calibration_error(probabilities, targets):.3f}"]


def draw(path: Path, curves: dict[str, list[tuple[float, float, int]]]) -> None:
    """Writes the reliability diagram: how often guesses are right, by how sure they are."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 5.2))
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="as sure as right")
    for name, curve in curves.items():
        sure, right, _ = zip(*curve, strict=True)
        axes.plot(sure, right, marker="o", label=name)
    axes.set(xlabel="how sure the guess is", ylabel="how often it is right", xlim=(0, 1), ylim=(0, 1))
    axes.legend()
    figure.savefig(path, dpi=110, bbox_inches="tight")


def mixed_words(networks: list[nn.Sequential], vocabulary: Vocabulary, seed: int = 0) -> list[str]:
    """Words whose characters are drawn from the mean of the probabilities of several networks."""
    generator = torch.Generator().manual_seed(seed)
    tokens, rows = torch.zeros(MIXED, dtype=torch.long), []
    with torch.no_grad():
        states = [start(network, MIXED) for network in networks]
        for _ in range(LONGEST):
            probs = [step(network, tokens, state).softmax(1) for network, state in zip(networks, states, strict=True)]
            tokens = torch.multinomial(torch.stack(probs).mean(0), 1, generator=generator).squeeze(1)
            rows.append(tokens)
    spelled = (row[: row.index(BOUNDARY)] for row in torch.stack(rows, dim=1).tolist() if BOUNDARY in row)
    return [vocabulary.decode(row) for row in spelled if row]


def mixtures(model: TrainedModel) -> list[list[str]]:
    """How words of a mixture are guessed, if embeddings are mixed and if probabilities are: rows of a table."""
    table, names = [], model.known_labels.names
    for one, other in PAIRS if {name for pair in PAIRS for name in pair} <= set(names) else [(names[0], names[-1])]:
        by_way = {
            "of embeddings": model.sample(MIXED, label={one: 1, other: 1}, seed=0),
            "of probabilities": mixed_words([model.network_for(one), model.network_for(other)], model.vocabulary),
        }
        for way, words in by_way.items():
            guesses = model.guess(words)
            either = statistics.mean(guess.label in (one, other) for guess in guesses)
            shares = [statistics.mean(guess.probabilities[name] for guess in guesses) for name in (one, other)]
            cells_of = [f"{one}, {other}", way, f"{either:.1%}", *(f"{share:.1%}" for share in shares)]
            table.append([*cells_of, ", ".join(words[:4])])
    return table


def step_seconds(model: LanguageModel, data: WordsDataModule) -> float:
    """Seconds of the processor for a row of training, that of making the batch included: the median over steps."""
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    times, batches = [], iter(data.train_dataloader())
    for _ in range(min(STEPS, len(data.train_dataloader()))):
        begin = time.process_time()
        batch: Any = next(batches)
        F.cross_entropy(run(model.network, batch), batch.targets).backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append((time.process_time() - begin) / len(batch.tokens))
    return statistics.median(times)


def names_a_second(model: TrainedModel, label: str | None) -> float:
    """Words a second of the processor."""
    begin = time.process_time()
    model.sample(NAMES, label=label, seed=0)
    return NAMES / (time.process_time() - begin)


def without_labels(network: nn.Sequential) -> nn.Sequential:
    """A network of one label as one that knows none: the label's embedding is added to that of each token once."""
    if isinstance(network, Parallel):
        return type(network)(*map(without_labels, network.members))
    first, *others = network
    if not isinstance(first, Conditioned):
        return network
    with torch.no_grad():
        embedded = first(torch.arange(first.embedding.num_embeddings))
    return nn.Sequential(nn.Embedding.from_pretrained(embedded), *others)


def speed(path: str, trained: TrainedModel, repeats: int) -> list[list[str]]:
    """What labels cost: rows of a table."""
    data = [WordsDataModule(path, labels=labels) for labels in (False, True)]
    models = [LanguageModel(one.alphabet, labels=one.label_counts) for one in data]
    name = trained.known_labels.names[0]
    without = TrainedModel(without_labels(trained.network_for(name)), trained.vocabulary, trained.trained_on)
    steps, names = [], []
    for _ in range(repeats):
        steps.append([step_seconds(model, own) for model, own in zip(models, data, strict=True)])
        names.append([names_a_second(without, None), names_a_second(trained, name)])
    (plain_row, row), (plain_names, own_names) = (np.median(np.array(part), axis=0) for part in (steps, names))
    return [
        ["microseconds of training for a row", f"{1e6 * plain_row:.2f}", f"{1e6 * row:.2f}", f"{row / plain_row:.2f}"],
        ["names a second", f"{plain_names:,.0f}", f"{own_names:,.0f}", f"{own_names / plain_names:.2f}"],
    ]


def main() -> None:
    """Measures and prints."""
    arguments = parser(__doc__)
    arguments.add_argument("--ckpt_path", default="runs/languages", help="a checkpoint, or the folder of a run")
    arguments.add_argument("--figure", type=Path, help="where the reliability diagram is written; needs matplotlib")
    options = arguments.parse_args()
    model = load(find_checkpoint(Path(options.ckpt_path)))
    column, split, names = model.trained_on.label_column, model.split, model.known_labels.names
    train, val, test = (known(part, column, names) for part in split)
    found = {
        "network": (of_network(model, val), of_network(model, test)),
        "network, all labels alike beforehand": tuple(of_network(model, part, uniform=True) for part in (val, test)),
        **{name: of_baseline(kinds, train, val, test) for name, kinds in baselines()},
    }
    columns = ["guess", "first", "in three", "nats", "ECE"]
    for place, (name, part) in enumerate((("validation", val), ("test", test))):
        rows = [[who, *cells(pair[place], part.targets)] for who, pair in found.items()]
        show(f"labels of {len(part.words):,} {name} words", columns, rows)
    curve = reliability(*(np.concatenate(pair) for pair in (found["network"], (val.targets, test.targets))))
    tenths = [[f"{sure:.3f}", f"{right:.3f}", f"{count:,}"] for sure, right, count in curve]
    show("the network's guesses of both, by tenths of how sure they are", ["sure", "right", "words"], tenths)
    if options.figure:
        both = np.concatenate([val.targets, test.targets])
        draw(options.figure, {who: reliability(np.concatenate(pair), both) for who, pair in found.items()})
    columns = ["half and half", "mean", "either guessed", "one", "other", "such as"]
    show("mixtures of two labels", columns, mixtures(model))
    path = options.path or model.trained_on.path
    rows = speed(path, model, options.repeats)
    show("what labels cost, in time of the processor", ["what", "without labels", "with labels", "ratio"], rows)


if __name__ == "__main__":
    main()
