"""Training that begins with another network's weights: what is shared is kept, what is new starts fresh."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from tests.conftest import TINY, run_cli
from wavenet.corpus.vocabulary import Vocabulary
from wavenet.inference.checkpoint import read_checkpoint
from wavenet.network.build import build
from wavenet.network.config import NetworkConfig
from wavenet.network.packing import pack
from wavenet.network.sliding import eval_mode, run
from wavenet.training.fine_tuning import transferred

SMALL = NetworkConfig(embedding_dim=4, hidden_dim=8)
ARGUMENTS = [option for option in TINY if not option.startswith("--model")]


@pytest.fixture
def other_words(tmp_path: Path) -> Path:
    """A corpus with a character that the tiny run does not know, and without some that it knows."""
    path = tmp_path / "other.txt"
    path.write_text("\n".join(a + b + c for a in "zbe" for b in "aei" for c in ("la", "zo", "ri")), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "config", [SMALL, replace(SMALL, logits_norm=True), replace(SMALL, activation="gate", norm="layer")]
)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_words_of_shared_characters_keep_their_logits(config: NetworkConfig, dropout: float) -> None:
    old, new = Vocabulary("abcde"), Vocabulary("bxdea")
    trained = build(config, len(old))
    for value in trained.state_dict().values():
        value.add_(torch.rand(value.shape)) if value.is_floating_point() else value.add_(7)
    network = build(replace(config, dropout=dropout), len(new))
    fresh = {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(transferred(trained.state_dict(), old, network, new))
    words, shared = ["abed", "dab", "e"], "abde"
    with eval_mode(trained), eval_mode(network):
        before, after = run(trained, pack(words, old)), run(network, pack(words, new))
    tokens = [[0, *vocabulary.encode(shared)] for vocabulary in (old, new)]
    assert torch.equal(before[:, tokens[0]], after[:, tokens[1]])
    (new_token,) = new.encode("x")
    assert torch.equal(network[0].weight[new_token], fresh["0.weight"][new_token])
    with eval_mode(network):
        assert run(network, pack(["xax"], new)).isfinite().all()


def test_a_table_of_ngrams_is_kept_where_the_alphabets_are_alike() -> None:
    old, new = Vocabulary("abc"), Vocabulary("abd")
    trained = build(replace(SMALL, ngram_rows=16), len(old))
    torch.nn.init.normal_(trained[1][2].weight)
    for vocabulary, kept in ((old, trained[1][2].weight), (new, torch.zeros(16, 4))):
        taken = transferred(
            trained.state_dict(), old, build(replace(SMALL, ngram_rows=16), len(vocabulary)), vocabulary
        )
        assert torch.equal(taken["1.2.weight"], kept)


def test_networks_of_different_layers_share_no_weights() -> None:
    vocabulary = Vocabulary("ab")
    flat = build(NetworkConfig(group_size=8), len(vocabulary))
    with pytest.raises(ValueError, match="zip"):
        transferred(flat.state_dict(), vocabulary, build(SMALL, len(vocabulary)), vocabulary)


def test_a_run_begins_with_the_weights_and_the_shape_of_another(
    tiny_run: Path, other_words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    init_from = tiny_run / "checkpoints" / "best.ckpt"
    options = ["--data.path", other_words, "--trainer.default_root_dir", tmp_path, "--model.network.dropout=0.1"]
    capsys.readouterr()
    arguments = ["fit", "--init_from", init_from, *options, *ARGUMENTS]
    assert run_cli(*arguments, "--model.optimization.learning_rate=1e-9") == 0
    assert f"note: weights from {init_from}, 7 of 8 characters known" in capsys.readouterr().err.splitlines()
    run = tmp_path / "default" / "version_0"
    content, before = (read_checkpoint(path) for path in (run / "checkpoints" / "last.ckpt", init_from))
    network = content["hyper_parameters"]["network"]
    assert (network["hidden_dim"], network["embedding_dim"], network["dropout"]) == (8, 4, 0.1)
    assert content["hyper_parameters"]["alphabet"] == "abeilorz"
    assert content["global_step"] == 12  # it counts from the beginning
    for old, new in (("a", 1), ("b", 2), ("r", 7)):
        row = 1 + before["hyper_parameters"]["alphabet"].index(old)
        torch.testing.assert_close(
            content["state_dict"]["network.0.0.weight"][new],
            before["state_dict"]["network.0.0.weight"][row],
            rtol=1e-4, atol=1e-4,
        )  # fmt: skip
    assert json.loads((run / "metrics.json").read_text(encoding="utf-8"))["init_from"] == str(init_from)
    assert yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["init_from"] == str(init_from)
    more = ["--ckpt_path", run / "checkpoints" / "last.ckpt", "--trainer.max_steps=14", "--quiet"]
    assert run_cli("fit", *more) == 0  # which takes no weights again, and still says where they came from
    assert json.loads((run / "metrics.json").read_text(encoding="utf-8"))["init_from"] == str(init_from)


@pytest.mark.parametrize(
    ("options", "message", "code"),
    [
        (["--model.network.hidden_dim=16"], "--model.network.hidden_dim contradicts the checkpoint: expected 8", 2),
        (["--model.network.block_size=16"], "--model.network.block_size contradicts the checkpoint: expected 8", 2),
        (["--ckpt_path=x.ckpt"], "--init_from begins a training, and --ckpt_path goes on with one", 2),
        (["--init_from=nowhere.ckpt"], "checkpoint not found: nowhere.ckpt", 1),
    ],
)
def test_what_cannot_be_begun_with(
    cli_error: Callable[..., str], tiny_run: Path, other_words: Path, options: list[str], message: str, code: int
) -> None:
    arguments = ["fit", "--data.path", other_words, "--init_from", tiny_run / "checkpoints" / "best.ckpt", *options]
    assert message in cli_error(*arguments, code=code)


def test_words_that_the_weights_were_trained_on_are_no_validation_words(
    cli_error: Callable[..., str], tiny_run: Path, words_file: Path, tmp_path: Path
) -> None:
    arguments = ["fit", "--data.path", words_file, "--trainer.default_root_dir", tmp_path]
    message = "--data.split_seed contradicts the checkpoint: expected 42, got 7"
    best = tiny_run / "checkpoints" / "best.ckpt"
    assert message in cli_error(*arguments, "--init_from", best, "--data.split_seed=7", code=2)


def test_only_a_training_begins_with_weights(cli_error: Callable[..., str]) -> None:
    assert "unrecognized arguments: --init_from" in cli_error("test", "--init_from=x.ckpt", code=2)
