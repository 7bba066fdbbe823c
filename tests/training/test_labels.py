"""Training on words with labels: batches, the loss, what a run leaves, going on, and beginning with other weights."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.nn import functional as F

from tests.conftest import LABELS, ROOT, TINY, run_cli
from tests.training.crafted import put
from wavenet.corpus.vocabulary import ANY, Vocabulary
from wavenet.errors import ArgumentError
from wavenet.inference.checkpoint import FORMAT, CheckpointError, load, read_checkpoint, write_checkpoint
from wavenet.network.config import NetworkConfig
from wavenet.network.labels import LabelledEmbedding
from wavenet.network.sliding import eval_mode, run
from wavenet.training.callbacks.guesses import accuracies, confusion_table
from wavenet.training.data import WordsDataModule
from wavenet.training.datasets import LabelIds
from wavenet.training.fine_tuning import transferred
from wavenet.training.module import LanguageModel


def data_of(path: Path, **options: Any) -> WordsDataModule:
    return WordsDataModule(str(path), labels=True, **options)


def test_the_labels_of_a_corpus_are_numbered_with_their_training_words(labelled_file: Path) -> None:
    data = data_of(labelled_file)
    assert data.labels is not None
    assert data.labels.names == LABELS
    ids = data.label_ids("train")
    assert ids is not None
    assert list(data.labels.counts.values()) == [ids.count(number) for number in (1, 2, 3)]
    assert WordsDataModule(str(labelled_file)).labels is None


@pytest.mark.parametrize("batching", ["words", "windows"])
def test_batches_tell_each_word_its_label(labelled_file: Path, batching: str) -> None:
    data = data_of(labelled_file, batching=batching)
    vocab_size, ids = len(data.vocabulary), data.label_ids("val")
    for batch in data.eval_dataloader("val"):
        seen = batch.contexts if batching == "windows" else batch.tokens[batch.rows]
        labels = seen.reshape(len(batch.targets), -1) // vocab_size
        ends = batch.targets == 0
        assert (labels == labels[:, :1]).all()
        assert labels[ends, 0].tolist() == ids


def test_both_kinds_of_batches_have_the_same_loss(labelled_file: Path) -> None:
    losses = []
    for batching in ("words", "windows"):
        data = data_of(labelled_file, batching=batching)
        torch.manual_seed(0)
        model = LanguageModel(data.alphabet, NetworkConfig(hidden_dim=8), labels=data.label_counts).double()
        torch.nn.init.normal_(model.network[0].label_weight)
        with eval_mode(model.network):
            batches = [*data.eval_dataloader("val")]
            total = sum(F.cross_entropy(run(model.network, b), b.targets, reduction="sum") for b in batches)
        losses.append(float(total))
    assert losses[0] == pytest.approx(losses[1])


def test_about_a_share_of_the_labels_is_hidden_and_others_in_each_batch() -> None:
    labels = LabelIds(torch.randint(1, 9, (2000,)), hidden=0.25)
    one, other = torch.randperm(2000), torch.randperm(2000)
    told, again = labels.told(one), labels.told(one)
    assert torch.equal(told, again)
    assert 0.2 < (told == ANY).double().mean() < 0.3
    assert torch.equal(told[told != ANY], labels.ids[one][told != ANY])
    hidden = [set(index[labels.told(index) == ANY].tolist()) for index in (one, other)]
    assert len(hidden[0] & hidden[1]) < 0.5 * len(hidden[0])


@pytest.mark.parametrize("batching", ["words", "windows"])
def test_labels_are_hidden_in_training_alone(labelled_file: Path, batching: str) -> None:
    data = data_of(labelled_file, batching=batching, hidden_labels=0.9, batch_size=512)
    (batch,) = data.train_dataloader()
    seen = batch.contexts[:, -1] if batching == "windows" else batch.tokens[batch.rows]
    assert (seen // len(data.vocabulary) == ANY).double().mean() > 0.7
    data.hidden_labels = 0.0
    (batch,) = data.train_dataloader()
    ids = data.label_ids("train")
    assert ids is not None
    if batching == "words":
        labels = batch.tokens[batch.rows] // len(data.vocabulary)
        assert sorted(labels[batch.targets == 0].tolist()) == sorted(ids)


def test_a_run_with_labels(labelled_run: Path) -> None:
    metrics = json.loads((labelled_run / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["corpus"]["label_column"] == 2
    assert 0 <= metrics["val/guess_accuracy"] <= metrics["val/guess_top3_accuracy"] == 1
    model = load(labelled_run / "checkpoints" / "best.ckpt")
    assert model.known_labels.names == LABELS
    words = model.split.val.words
    total = sum(map(len, words)) + len(words)
    untold = -sum(one.log_prob for one in model.score(words)) / total
    assert metrics["val/loss_without_labels"] == pytest.approx(untold, abs=1e-6)
    labels = [fields[0] if fields else None for fields in model.split.val.labels]
    told = -sum(model.score([word], label=label)[0].log_prob for word, label in zip(words, labels, strict=True))
    assert metrics["val/loss"] == pytest.approx(told / total, abs=1e-5)
    together = -sum(one.log_prob for one in model.score(words, labels=[label or "" for label in labels]))
    assert together == pytest.approx(told, abs=1e-4)
    assert read_checkpoint(labelled_run / "checkpoints" / "best.ckpt")["format"] == FORMAT


def test_what_tensorboard_shows_of_labels(labelled_run: Path) -> None:
    events = EventAccumulator(str(labelled_run), size_guidance={"images": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    assert "labels/confusions" in tags["images"]
    assert {"val/guess_accuracy", "val/guess_top3_accuracy", "label_loss/Finnish"} <= set(tags["scalars"])
    texts = {
        tag: events.Tensors(tag)[-1].tensor_proto.string_val[0].decode()
        for tag in tags["tensors"]
        if tag.startswith("labels/")
    }
    assert set(texts) == {f"labels/{name}/text_summary" for name in ("loss", "confusions", "samples")}
    assert all(label in texts["labels/samples/text_summary"] for label in LABELS)
    (metadata,) = (labelled_run / "00012" / "labels").glob("metadata.tsv")
    assert metadata.read_text(encoding="utf-8").split("\n")[:4] == ["any", *LABELS]


def test_a_run_without_labels_says_nothing_of_them(tiny_run: Path) -> None:
    content = read_checkpoint(tiny_run / "checkpoints" / "best.ckpt")
    assert set(content["hyper_parameters"]) >= {"alphabet", "network", "optimization"}
    assert "labels" not in content["hyper_parameters"]
    assert "label_column" not in content["WordsDataModule"]
    metrics = json.loads((tiny_run / "metrics.json").read_text(encoding="utf-8"))
    assert not [name for name in metrics if "label" in name or "guess" in name]
    assert "label_column" not in metrics["corpus"]


def test_evaluating_and_going_on_know_the_labels(
    labelled_run: Path, labelled_file: Path, tmp_path: Path, cli_error: Callable[..., str]
) -> None:
    checkpoint = labelled_run / "checkpoints" / "last.ckpt"
    assert run_cli("validate", "--ckpt_path", checkpoint) == 0
    error = cli_error("validate", "--ckpt_path", checkpoint, "--data.labels", "false", code=2)
    assert "--data.labels contradict the checkpoint: expected those of column 2, got those of column None" in error
    longer = ("--trainer.max_steps", 20, "--experiment", "longer", "--trainer.default_root_dir", tmp_path)
    assert run_cli("fit", "--ckpt_path", checkpoint, *longer) == 0
    again = read_checkpoint(tmp_path / "longer" / "version_0" / "checkpoints" / "last.ckpt")
    assert list(again["hyper_parameters"]["labels"]) == LABELS
    assert again["global_step"] == 20
    other = tmp_path / "other.tsv"
    other.write_text(labelled_file.read_text(encoding="utf-8").replace("Finnish", "Fynnish"), encoding="utf-8")
    error = cli_error("test", "--ckpt_path", checkpoint, "--data.path", other)
    assert "label must be one of 3 labels, got 'Fynnish'; the nearest are Finnish" in error


@pytest.mark.parametrize("case", ["labels of labels", "labels of none", "none of labels"])
def test_a_training_begins_with_other_weights(
    case: str,
    labelled_run: Path,
    tiny_run: Path,
    words_file: Path,
    labelled_file: Path,
    tmp_path: Path,
    capsys: Any,
) -> None:
    source = tiny_run if case == "labels of none" else labelled_run
    labels = "false" if case == "none of labels" else "true"
    words = words_file if case == "none of labels" else labelled_file  # one corpus is not cut in another way
    options = ["--data.labels", labels, "--trainer.default_root_dir", tmp_path, *TINY[:5], "--model.network.dropout=0"]
    assert run_cli("fit", "--data.path", words, "--init_from", source, *options) == 0
    said = capsys.readouterr().err
    assert ("3 of 3 labels" in said) == (case == "labels of labels")
    assert ("0 of 3 labels" in said) == (case == "labels of none")


def test_shared_labels_keep_their_embeddings() -> None:
    from wavenet.training.fine_tuning import labels_transferred

    fresh, old = torch.zeros(4, 2), torch.arange(6.0).view(3, 2)
    found = labels_transferred({"0.label_weight": old}, ["Y", "X"], fresh, ["A", "X", "B"])
    assert found.tolist() == [[0, 1], [0, 0], [4, 5], [0, 0]]
    assert torch.equal(labels_transferred({}, [], fresh, ["A", "X", "B"]), fresh)


def test_the_frozen_checkpoint_with_labels_still_loads() -> None:
    model = load(ROOT / "tests" / "data" / "format_3_labels.ckpt")
    assert model.known_labels.counts == {"Finnish": 17, "New Zealand": 31, "日本語": 16}
    assert model.score(["emil"], label="Finnish")[0].log_prob == pytest.approx(-12.1053, abs=1e-3)


CRAFTED = {
    "a list": ["Finnish"],
    "none": {},
    "a count that is text": {"Finnish": "3", "New Zealand": 1, "日本語": 1},
    "a name that is a number": {1: 3, "New Zealand": 1, "日本語": 1},
    "a name that steers terminals": {"\x1b[31m": 3, "New Zealand": 1, "日本語": 1},
    "an empty name": {"": 3, "New Zealand": 1, "日本語": 1},
    "a count below zero": {"Finnish": -3, "New Zealand": 1, "日本語": 1},
    "one too few": {"Finnish": 3, "New Zealand": 1},
    "one too many": {"Finnish": 3, "New Zealand": 1, "日本語": 1, "X": 1},
}


@pytest.mark.parametrize("what", CRAFTED)
def test_crafted_labels_end_in_one_line(what: str, labelled_run: Path, tmp_path: Path) -> None:
    content = read_checkpoint(labelled_run / "checkpoints" / "best.ckpt")
    put("hyper_parameters", "labels", value=CRAFTED[what])(content)
    write_checkpoint(content, tmp_path / "crafted.ckpt")
    with pytest.raises(CheckpointError, match="does not hold a whole model") as error:
        load(tmp_path / "crafted.ckpt")
    assert "\n" not in str(error.value)


def test_labels_that_are_passed_over_are_said(
    labelled_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--data.path", labelled_file, "--trainer.default_root_dir", tmp_path, *TINY, "--trainer.max_steps=1"]
    for given, said in (([], True), (["--data.labels=false"], False)):
        assert run_cli("fit", *options, *given) == 0
        assert ("most words have a label, which is passed over" in capsys.readouterr().err) == said


@pytest.mark.parametrize("column", ["2", -1, True])
def test_crafted_columns_end_in_one_line(column: object, labelled_run: Path, tmp_path: Path) -> None:
    content = read_checkpoint(labelled_run / "checkpoints" / "best.ckpt")
    put("WordsDataModule", "label_column", value=column)(content)
    write_checkpoint(content, tmp_path / "crafted.ckpt")
    with pytest.raises(CheckpointError, match="does not hold a whole model"):
        load(tmp_path / "crafted.ckpt")


def test_a_network_of_ones_own_must_know_the_labels() -> None:
    from wavenet.network.layers import FlattenConsecutive

    own = torch.nn.Sequential(LabelledEmbedding(4, 2, 8), FlattenConsecutive(4), torch.nn.Linear(32, 4))
    assert LanguageModel("abc", own, labels={"X": 1, "Y": 1}).labels is not None
    for labels in (None, {"X": 1}):
        with pytest.raises(ArgumentError, match="network must begin with an embedding of"):
            LanguageModel("abc", own, labels=labels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data.hidden_labels", "1.5"], "--data.hidden_labels must be from 0 to 1, got 1.5"),
        (["--data.label_column", "1"], "--data.label_column must be at least 2, got 1"),
        (["--data.label_column", "3"], "--data.label_column must be a column with labels, got 3"),
    ],
)
def test_wrong_options(labelled_file: Path, cli_error: Callable[..., str], options: list[str], message: str) -> None:
    assert message in cli_error("fit", "--data.path", labelled_file, "--data.labels", "true", *options, code=2)


def test_one_label_and_many_labels_train(tmp_path: Path) -> None:
    words = ["".join(chr(97 + (number // 7**k) % 7) for k in range(5)) for number in range(200)]
    for name, labels in (("one", ["X"] * 200), ("many", [f"label {number // 2}" for number in range(200)])):
        path = tmp_path / f"{name}.tsv"
        path.write_text("".join(f"{w}\t{x}\n" for w, x in zip(words, labels, strict=True)), encoding="utf-8")
        options = ["--data.labels=true", "--trainer.default_root_dir", tmp_path, "--experiment", name]
        assert run_cli("fit", "--data.path", path, *options, *TINY, "--guesses.pairs=100") == 0
        events = EventAccumulator(str(tmp_path / name / "version_0"), size_guidance={"images": 0})
        events.Reload()
        assert not events.Tags()["images"]  # of one label, or of hundreds


def test_accuracies_and_confusions() -> None:
    log_probs = torch.tensor([[0.0, -1, -2, -3], [0.0, -1, -2, -3], [-3, -2, -1, 0.0]])
    targets = torch.tensor([0, 2, 0])
    assert accuracies(log_probs, targets) == pytest.approx({"guess_accuracy": 1 / 3, "guess_top3_accuracy": 2 / 3})
    rows = confusion_table(log_probs, targets, ["A", "B", "C", "D"]).splitlines()[2:]
    assert sorted(rows) == ["| A | D | 1 of 2 |", "| C | A | 1 of 1 |"]


def test_a_vocabulary_shared_with_labels_transfers() -> None:
    old, new = Vocabulary("ab"), Vocabulary("abc")
    trained = LanguageModel("ab", NetworkConfig(hidden_dim=8), labels={"X": 1}).network
    network = LanguageModel("abc", NetworkConfig(hidden_dim=8)).network
    network.load_state_dict(transferred(trained.state_dict(), old, network, new))
    assert torch.equal(network[0].weight[:3], trained[0].weight)
