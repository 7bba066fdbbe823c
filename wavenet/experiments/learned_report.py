"""``wavenet report``: what a network has learned, as figures, as one HTML page and as ``report.json``."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from wavenet.experiments import learned_figures as figures
from wavenet.experiments.evaluation import UNSEEN, VAL
from wavenet.experiments.learned import (
    LOOKED_AT,
    MEASURED,
    Measured,
    Point,
    Text,
    distance,
    in_two_dimensions,
    measure,
    shares_of,
    text_of,
)
from wavenet.experiments.page import Picture, Section, Table, Words, page
from wavenet.inference.model import TrainedModel
from wavenet.runs import whole_file

JSON, PAGE = "report.json", "index.html"
NUM_SHOWN = 40  # samples
LOSS_NAMES = {VAL: "validation", UNSEEN: "validation, words that are not in train"}


@dataclass(frozen=True)
class Learned:
    """What a network has learned.

    ``shares`` are of the samples and, to compare, of the validation words, by where they stand.
    """

    parameters: int
    num_words: dict[str, int]
    measured: Measured
    points: list[Point]
    variance: tuple[float, float]
    samples: list[str]
    of_samples: Text
    of_corpus: Text
    shares: dict[str, dict[str, float]]


def learn_about(model: TrainedModel, num_samples: int, seed: int, say: Callable[[str], object]) -> Learned:
    """Measures a model, and words that it makes.

    Args:
        model: The model.
        num_samples: How many words it makes.
        seed: Of these draws.
        say: Told what comes next.

    Raises:
        OSError, ValueError: The words that it was trained on are not there, or have changed; or it ends no word.
    """
    split, vocabulary = model.split, model.vocabulary
    say("measuring validation words")
    measured = measure(model.network, vocabulary, split)
    say(f"drawing {num_samples:,} words")
    samples = model.sample(num_samples, seed=seed)
    if not samples:
        raise ValueError(f"nothing can be said of the words that the model makes: it ended none of {num_samples:,}")
    say("comparing them with the corpus")
    validation = split.val.words[:MEASURED]
    shares = {
        "samples": shares_of(samples, split),
        "validation words": shares_of(validation, split, held_out=False),
    }
    of_corpus = text_of(islice(split.train.words, LOOKED_AT), vocabulary)
    points, variance = in_two_dimensions(model.network, of_corpus.tokens)
    return Learned(
        parameters=sum(parameter.numel() for parameter in model.network.parameters()),
        num_words={name: len(part.words) for name, part in split._asdict().items()},
        measured=measured,
        points=points,
        variance=variance,
        samples=samples,
        of_samples=text_of(samples, vocabulary),
        of_corpus=of_corpus,
        shares=shares,
    )


def write_report(found: Learned, alphabet: str, title: str, facts: dict[str, Any], folder: Path) -> Path:
    """Draws the figures, writes ``report.json`` and the page into a folder, and returns the page.

    Args:
        found: What is reported.
        alphabet: The characters of the tokens from 1 on.
        title: Of the page.
        facts: What was reported on and how, for ``report.json``.
        folder: Where everything goes; it is made if it is not there.

    Raises:
        OSError: It cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    characters = [None, *alphabet]
    draw(found, characters, folder)
    with whole_file(folder / JSON) as file:
        json.dump(as_json(found, characters, facts), file, indent=2, ensure_ascii=False, allow_nan=False)
    text = page(title, summary_of(found), [*of_network(found, folder), *of_samples(found, folder)])
    with whole_file(folder / PAGE) as file:
        file.write(text)
    return folder / PAGE


def draw(found: Learned, characters: Sequence[str | None], folder: Path) -> None:
    """All figures; of large alphabets they show the most frequent characters."""
    measured, corpus, samples = found.measured, found.of_corpus, found.of_samples
    frequent = sorted(range(len(characters)), key=lambda token: -corpus.tokens[token])
    bars, dots = frequent[: figures.NUM_BARS], frequent[: figures.NUM_POINTS]
    figures.draw_embedding(
        [found.points[token] for token in dots],
        found.variance,
        [characters[token] for token in dots],
        folder / "embedding.png",
    )
    figures.draw_positions(measured.by_position, folder / "positions.png")
    seen = [(characters[token], measured.by_character[token]) for token in bars if measured.by_character[token].tokens]
    figures.draw_characters(seen, folder / "characters.png")
    figures.draw_calibration(measured.likeliest, measured.every, folder / "calibration.png")
    figures.draw_lengths(samples.lengths, corpus.lengths, folder / "lengths.png")
    made, known = ([text.tokens[token] for token in bars] for text in (samples, corpus))
    figures.draw_frequencies(made, known, [characters[token] for token in bars], folder / "frequencies.png")
    figures.draw_kinds(found.shares, folder / "kinds.png")


def summary_of(found: Learned) -> str:
    """What the report is about, in a line; of large corpora also which part of them was looked at."""
    counts = found.num_words
    part = ""
    if counts["val"] > MEASURED or counts["train"] > LOOKED_AT:
        part = (
            f" At most {MEASURED:,} validation words are measured, and samples are compared with at most "
            f"{LOOKED_AT:,} training words."
        )
    return (
        f"{found.parameters:,} parameters; {counts['train']:,} training, {counts['val']:,} validation and "
        f"{counts['test']:,} test words. Losses are nats per character, the end of a word being one.{part}"
    )


def of_network(found: Learned, folder: Path) -> list[Section]:
    """The parts of the page that say how well the network knows words."""
    losses = [
        [LOSS_NAMES[name], f"{mean:.4f}", f"{low:.4f} to {high:.4f}"]
        for name, (mean, low, high) in found.measured.losses.items()
    ]
    return [
        Section(
            "Loss",
            [Table(["words", "loss", "95 % interval over words"], losses)],
            "How surprised the network is by words that it was not trained on. Some validation words also stand in "
            "the training list; the second row leaves them out.",
        ),
        Section(
            "Loss by position in the word",
            [Picture(folder / "positions.png", "loss by position in the word")],
            f"Each point is the mean over the validation words that are so long, where there are at least "
            f"{figures.FEWEST}; the end counts as the last position.",
        ),
        Section(
            "Loss by character",
            [Picture(folder / "characters.png", "loss of each character")],
            f"How surprising each character is where it comes, the hardest first; 'end' is the end of a word. Figures "
            f"show the {figures.NUM_BARS} most frequent characters at most, and the code points of those that no font "
            f"here has.",
        ),
        Section(
            "Calibration",
            [Picture(folder / "calibration.png", "predicted against observed probabilities")],
            "What the network calls 30 % probable should come in 30 of 100 cases: on the dotted line it does. The "
            "grey band holds 95 % of what chance would do to true probabilities. ECE, the expected calibration "
            "error, is the mean distance of predicted and observed, weighted by how often they are predicted.",
        ),
        Section(
            "Embedded characters",
            [Picture(folder / "embedding.png", "the embedded characters in two dimensions")],
            "The vectors that stand for characters, seen from where they differ most (principal components, each "
            "character counted as often as it comes). Those that are near each other play similar parts in words.",
        ),
    ]


def of_samples(found: Learned, folder: Path) -> list[Section]:
    """The parts of the page that say what words it makes."""
    samples, corpus = found.of_samples, found.of_corpus
    lengths, frequencies = distance(samples.lengths, corpus.lengths), distance(samples.tokens, corpus.tokens)
    made, real = found.shares["samples"], found.shares["validation words"]
    return [
        Section(
            "Lengths of samples",
            [Picture(folder / "lengths.png", "lengths of samples and training words")],
            f"Of {len(found.samples):,} samples, {lengths:.1%} would have to be of another length to have the lengths "
            f"of the training words.",
        ),
        Section(
            "Characters of samples",
            [Picture(folder / "frequencies.png", "shares of characters in samples and training words")],
            f"{frequencies:.1%} of the samples' characters would have to be others to come as often as in the "
            f"training words.",
        ),
        Section(
            "How new samples are",
            [Picture(folder / "kinds.png", "shares of words by where they stand"), Words(found.samples[:NUM_SHOWN])],
            f"{made['train']:.1%} of the samples stand in the training list, {made['held out']:.1%} in "
            f"validation or test, and {made['near']:.1%} are one edit away from a training word: a character "
            f"changed, added or left out. Of the validation words, which are real, {real['near']:.1%} are so near. "
            f"Some samples, as they were drawn:",
        ),
    ]


def as_json(found: Learned, characters: Sequence[str | None], facts: dict[str, Any]) -> dict[str, Any]:
    """The numbers as plain data; ``null`` is the end of a word, and in the embedding also its start."""
    measured, samples, corpus = found.measured, found.of_samples, found.of_corpus
    by_character = zip(characters, measured.by_character, strict=True)
    by_frequency = zip(characters, samples.tokens, corpus.tokens, strict=True)
    embedded = zip(characters, found.points, strict=True)
    losses = measured.losses.items()
    return {
        **facts,
        "parameters": found.parameters,
        "num_words": found.num_words,
        "losses": {name: {"mean": mean, "low": low, "high": high} for name, (mean, low, high) in losses},
        "by_position": [mean._asdict() for mean in measured.by_position],
        "by_character": [{"character": character, **mean._asdict()} for character, mean in by_character],
        "calibration": {
            name: {"ece": part.error, "bins": [one._asdict() for one in part.bins]}
            for name, part in (("likeliest", measured.likeliest), ("every", measured.every))
        },
        "embedding": {
            "variance": list(found.variance),
            "points": [{"character": character, **point._asdict()} for character, point in embedded],
        },
        "lengths": {
            "samples": samples.lengths,
            "train": corpus.lengths,
            "distance": distance(samples.lengths, corpus.lengths),
        },
        "characters": {
            "shares": [{"character": character, "samples": a, "train": b} for character, a, b in by_frequency],
            "distance": distance(samples.tokens, corpus.tokens),
        },
        "shares": found.shares,
        "samples": found.samples[:NUM_SHOWN],
    }
