from collections import Counter
from math import log
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.conftest import ROOT, TINY, run_cli
from tests.enumeration import MAX_LENGTH, VOCABULARY, all_words, normalised, small_network, step_probabilities
from tests.inference.test_sampling import assert_frequencies
from wavenet.inference.checkpoint import CheckpointError, load, read_checkpoint, write_checkpoint
from wavenet.inference.ensemble import ensemble
from wavenet.inference.forms import largest_difference
from wavenet.inference.model import TrainedModel
from wavenet.network.layers import Ensemble

MEMBERS = [small_network(seed) for seed in (0, 1, 2)]


def mean_step(beginning: str) -> list[float]:
    """The mean of the members' probabilities of each token after a beginning."""
    steps = [step_probabilities(member, beginning) for member in MEMBERS]
    return [sum(of_token) / len(of_token) for of_token in zip(*steps, strict=True)]


def mean_probability(word: str) -> float:
    """The probability of a word and its end, made by hand."""
    probability = 1.0
    for length, token in enumerate([*VOCABULARY.encode(word), 0]):
        probability *= mean_step(word[:length])[token]
    return probability


@pytest.fixture
def model() -> TrainedModel:
    return TrainedModel(Ensemble(*MEMBERS), VOCABULARY)


def test_scores_and_explanations_are_the_hand_made_mean(model: TrainedModel) -> None:
    words = all_words()
    for scored in model.score(words):
        assert scored.log_prob == pytest.approx(log(mean_probability(scored.word)), abs=1e-4)
    for length, character in enumerate(model.explain("abb")):
        token = VOCABULARY.encode(character.character)[0] if character.character else 0
        assert character.probability == pytest.approx(mean_step("abb"[:length])[token], abs=1e-5)


def test_the_most_probable_words_are_those_of_the_mean(model: TrainedModel) -> None:
    expected = sorted(all_words(), key=mean_probability, reverse=True)
    ranking = model.top(5, max_length=MAX_LENGTH)
    assert ranking.complete
    assert ranking.words == expected[:5]


@pytest.mark.parametrize("options", [{}, {"pattern": "*b[!b]"}, {"without": ["a", "b", "ab"]}], ids=str)
def test_frequencies_are_the_mean_probabilities(model: TrainedModel, options: dict[str, Any]) -> None:
    wanted = [word for word in all_words() if word not in options.get("without", ())]
    if "pattern" in options:
        wanted = [word for word in wanted if word[-2:-1] == "b" and word[-1] != "b"]
    words = model.sample(6_000, seed=3, max_length=MAX_LENGTH, **options)
    assert_frequencies(Counter(words), normalised({word: mean_probability(word) for word in wanted}))


def test_directed_draws_are_of_the_ensemble(model: TrainedModel) -> None:
    words = model.sample(2_000, seed=1, pattern="?b*", directed=True, max_length=MAX_LENGTH)
    expected = normalised({word: mean_probability(word) for word in all_words() if word[1:2] == "b"})
    counts = Counter(words)
    assert set(counts) <= set(expected)
    for word, probability in expected.items():
        assert counts[word] / 2_000 == pytest.approx(probability, abs=0.05)


@pytest.fixture(scope="module")
def wide_run(tmp_path_factory: pytest.TempPathFactory, words_file: Path) -> Path:
    """A run of another size, context and split of dropout than the tiny one."""
    root = tmp_path_factory.mktemp("wide")
    sizes = ["--model.network.block_size=4", "--model.network.activation=gate", "--model.network.dropout=0.2"]
    where = ["--data.path", words_file, "--trainer.default_root_dir", root]
    assert run_cli("fit", *where, *TINY, *sizes, "--seed_everything=3") == 0
    return root / "default" / "version_0"


def test_a_file_of_members_is_a_model_like_any_other(tiny_run: Path, wide_run: Path, tmp_path: Path) -> None:
    paths = [run / "checkpoints" / "best.ckpt" for run in (tiny_run, wide_run)]
    write_checkpoint(ensemble(paths), tmp_path / "both.ckpt")
    model, members = load(tmp_path / "both.ckpt"), [load(path) for path in paths]
    assert isinstance(model.network, Ensemble)
    assert not model.network.training
    assert model.split == members[0].split
    assert largest_difference(model.network, model.vocabulary, ["emilia", "", "sobeavella"]) < 1e-4
    expected = sum(explained[0].probability for explained in (member.explain("sobe") for member in members)) / 2
    assert model.explain("sobe")[0].probability == pytest.approx(expected, abs=1e-6)
    assert len(model.sample(5, novel=True, unique=True, seed=1)) == 5
    loaded = read_checkpoint(tmp_path / "both.ckpt")
    assert set(loaded) == {"state_dict", "hyper_parameters", "WordsDataModule", "format", "wavenet_version"}


def changed(tiny_run: Path, path: Path, **corpus: Any) -> Path:
    """A copy of the tiny run's checkpoint that says something else of its corpus."""
    content = read_checkpoint(tiny_run / "checkpoints" / "best.ckpt")
    content["WordsDataModule"] = {**content["WordsDataModule"], **corpus}
    torch.save(content, path)
    return path


def test_members_must_be_of_one_corpus_split_and_alphabet(tiny_run: Path, tmp_path: Path) -> None:
    first = tiny_run / "checkpoints" / "best.ckpt"
    for corpus in ({"sha256": "0" * 64}, {"split_seed": 7}, {"deduplicate": True}):
        other = changed(tiny_run, tmp_path / "other.ckpt", **corpus)
        with pytest.raises(ValueError, match=r"other\.ckpt and .* were trained on different words: expected .*, got"):
            ensemble([first, other])
    content = read_checkpoint(first)
    content["hyper_parameters"]["alphabet"] = "abeilmorsé"
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match=r"know different characters: .* \(abeilmorsé\) and .* \(abeilmorsv\)"):
        ensemble([first, tmp_path / "other.ckpt"])


def test_what_cannot_be_a_member(tiny_run: Path, tmp_path: Path) -> None:
    first = tiny_run / "checkpoints" / "best.ckpt"
    write_checkpoint(ensemble([first, first]), tmp_path / "both.ckpt")
    with pytest.raises(ValueError, match="holds an ensemble itself"):
        ensemble([first, tmp_path / "both.ckpt"])
    content = read_checkpoint(first)
    content["hyper_parameters"]["network"] = None
    torch.save(content, tmp_path / "own.ckpt")
    with pytest.raises(ValueError, match="holds a network of the user's own"):
        ensemble([first, tmp_path / "own.ckpt"])
    for paths in ([first], [first] * 65):
        with pytest.raises(ValueError, match=f"from 2 to 64 members, got {len(paths)}"):
            ensemble(paths)


@pytest.mark.parametrize(
    "crafted",
    [
        lambda members: [],
        lambda members: members[:1],
        lambda members: members * 40,
        lambda members: members * 50_000,
        lambda members: [members, members],
        lambda members: [members[0], None],
        lambda members: [members[0], {**members[1], "hidden_dim": 2**20}],
        lambda members: members[::-1],
        lambda members: tuple(members),
    ],
)
def test_crafted_files_end_in_one_line(tiny_run: Path, wide_run: Path, tmp_path: Path, crafted: Any) -> None:
    content = ensemble([run / "checkpoints" / "best.ckpt" for run in (tiny_run, wide_run)])
    content["hyper_parameters"]["network"] = crafted(content["hyper_parameters"]["network"])
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match=r"x\.ckpt does not hold a whole model") as caught:
        load(tmp_path / "x.ckpt")
    assert len(str(caught.value)) < 600


def test_weights_that_are_too_large_for_a_member_are_refused(tiny_run: Path, tmp_path: Path) -> None:
    first = tiny_run / "checkpoints" / "best.ckpt"
    content = ensemble([first, first])
    weight = content["state_dict"]["network.1.0.0.weight"]
    weight.copy_(torch.full_like(weight, 3e38))
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match="so large that nothing can be computed"):
        load(tmp_path / "x.ckpt")


@pytest.mark.parametrize("command", [["validate", "--ckpt_path"], ["fit", "--ckpt_path"], ["fit", "--init_from"]])
def test_training_refuses_an_ensemble(tiny_run: Path, tmp_path: Path, cli_error: Any, command: list[str]) -> None:
    first = tiny_run / "checkpoints" / "best.ckpt"
    write_checkpoint(ensemble([first, first]), tmp_path / "both.ckpt")
    assert "is an ensemble, which does not train" in cli_error(*command, tmp_path / "both.ckpt")


def test_a_frozen_ensemble_still_loads() -> None:
    model = load(ROOT / "tests" / "data" / "format_3_ensemble.ckpt")
    members = [load(ROOT / "tests" / "data" / name) for name in ("format_1.ckpt", "format_2.ckpt")]
    for word in ("emilia", "sobe"):
        characters = zip(*(one.explain(word) for one in (model, *members)), strict=True)
        for whole, *parts in characters:
            assert whole.probability == pytest.approx(sum(part.probability for part in parts) / 2, abs=1e-6)
    assert isinstance(model.network, nn.Sequential)
