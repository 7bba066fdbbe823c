import pickle
import shutil
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT, TINY, run_cli
from wavenet.inference.checkpoint import FORMAT, CheckpointError, load, read_checkpoint
from wavenet.inference.trained_on import TrainedOn
from wavenet.network.layers import Residual
from wavenet.training.module import LanguageModel


class Trap:
    """Unpickling this creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]


def test_a_checkpoint_is_plain_data(tiny_run: Path) -> None:
    checkpoint = read_checkpoint(tiny_run / "checkpoints" / "best.ckpt")
    assert checkpoint["hyper_parameters"]["alphabet"] == "abeilmorsv"
    assert checkpoint["WordsDataModule"]["split_seed"] == 42
    assert len(checkpoint["WordsDataModule"]["sha256"]) == 64
    assert all(value.device.type == "cpu" for value in checkpoint["state_dict"].values())


def test_missing_files_and_directories(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="checkpoint not found"):
        read_checkpoint(tmp_path / "best.ckpt")
    with pytest.raises(IsADirectoryError, match="got the directory"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.9, 0.999])
def test_a_truncated_checkpoint(tiny_run: Path, tmp_path: Path, keep: float) -> None:
    content = (tiny_run / "checkpoints" / "best.ckpt").read_bytes()
    path = tmp_path / "cut.ckpt"
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(CheckpointError, match=r"cut\.ckpt"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [b"hello\n", b"\x80\x04}.", pickle.dumps([1, 2]), bytes(range(256))])
def test_what_is_not_a_checkpoint(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"other\.ckpt"):
        read_checkpoint(path)


def test_a_pickled_object_is_refused_and_not_executed(tmp_path: Path) -> None:
    path, sprung = tmp_path / "evil.ckpt", tmp_path / "sprung"
    torch.save({"state_dict": {}, "hyper_parameters": {"x": Trap(sprung)}}, path)
    with pytest.raises(CheckpointError, match=r"not plain data .*; nothing in it was executed"):
        read_checkpoint(path)
    assert not sprung.exists()
    torch.load(path, weights_only=False)
    assert sprung.exists()  # the trap works


def test_the_entries_it_must_have(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match="expected the entries hyper_parameters"):
        read_checkpoint(tmp_path / "x.ckpt")


def test_a_loaded_model_is_the_one_that_was_trained(tiny_run: Path) -> None:
    path = tiny_run / "checkpoints" / "best.ckpt"
    trained, model = LanguageModel.load_from_checkpoint(path).eval(), load(path)
    contexts = torch.randint(len(model.vocabulary), (20, 8))
    assert not model.network.training
    assert torch.equal(model.network(contexts), trained(contexts))
    assert model.vocabulary == trained.vocabulary
    assert [len(part.words) for part in model.split] == [48, 6, 6]


def test_weights_that_do_not_fit_the_settings(tiny_run: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(tiny_run / "checkpoints" / "best.ckpt")
    checkpoint["hyper_parameters"]["network"]["hidden_dim"] += 1
    torch.save(checkpoint, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match="does not hold a whole model"):
        load(tmp_path / "other.ckpt")


def test_a_corpus_that_has_moved_or_changed(tiny_run: Path, words_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    checkpoint = read_checkpoint(tiny_run / "checkpoints" / "best.ckpt")
    copy = tmp_path / "copy.txt"
    shutil.copy(words_file, copy)
    checkpoint["WordsDataModule"]["path"] = str(copy)
    torch.save(checkpoint, path)
    assert len(load(path).sample(3, novel=True, seed=1)) == 3
    copy.write_text("emma\n", encoding="utf-8")
    with pytest.raises(ValueError, match="has changed since the model was trained"):
        load(path).sample(3, novel=True)
    copy.unlink()
    with pytest.raises(FileNotFoundError, match="words not found"):
        load(path).sample(3, novel=True)
    del checkpoint["WordsDataModule"]
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match="does not say which words"):
        load(path).top(3, novel=True)


def test_a_project_that_moves_keeps_its_corpus(
    words_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, moved = tmp_path / "project", tmp_path / "elsewhere" / "renamed"
    (project / "lists").mkdir(parents=True)
    moved.parent.mkdir()
    shutil.copy(words_file, project / "lists" / "words.txt")
    monkeypatch.chdir(project)
    assert run_cli("fit", "--data.path", project / "lists" / "words.txt", *TINY) == 0
    name = Path("runs", "default", "version_0", "checkpoints", "best.ckpt")
    checkpoint = read_checkpoint(name)
    assert checkpoint["WordsDataModule"]["path"] == "lists/words.txt"
    model = load(name)
    monkeypatch.chdir(tmp_path)
    assert len(model.split.train.words) == 48
    project.rename(moved)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "words.txt").write_text("another\n", encoding="utf-8")
    old = [str(project / "lists" / "words.txt"), r"C:\me\project\lists\words.txt"]
    for recorded in ["lists/words.txt", *old]:  # and what older versions and other systems recorded
        checkpoint["WordsDataModule"]["path"] = recorded
        torch.save(checkpoint, moved / name)
        assert len(load(moved / name).split.train.words) == 48
        assert run_cli("test", "--ckpt_path", moved / name) == 0
    (moved / "lists" / "words.txt").unlink()
    with pytest.raises(FileNotFoundError, match="words not found"):
        _ = load(moved / name).split


FROZEN = {  # log-probabilities of emilia, sobe and ava, from the version that wrote the file
    "format_1.ckpt": [-13.8513, -11.874, -8.6569],
    "format_2.ckpt": [-13.8327, -11.8323, -8.5522],
}


@pytest.mark.parametrize("name", FROZEN)
def test_files_of_every_format_still_load(name: str) -> None:
    model = load(ROOT / "tests" / "data" / name)
    log_probs = [score.log_prob for score in model.score(["emilia", "sobe", "ava"])]
    assert log_probs == pytest.approx(FROZEN[name], abs=1e-4)
    assert isinstance(model.trained_on, TrainedOn)
    assert model.trained_on.words == {"train": 48, "val": 6, "test": 6}
    assert model.trained_on.longest_word is model.trained_on.batch_size is None
    assert model.sampler().wanted.max_length == 64
    assert len(model.sample(3, seed=1)) == 3


def test_words_may_be_a_little_longer_than_those_of_train(tiny_run: Path, tmp_path: Path) -> None:
    content = read_checkpoint(tiny_run / "checkpoints" / "best.ckpt")
    model = load(tiny_run / "checkpoints" / "best.ckpt")
    longest = max(map(len, model.split.train.words))
    assert content["WordsDataModule"]["longest_word"] == longest == 8
    for options, expected in (({}, 12), ({"max_length": 9}, 9), ({"min_length": 20}, 25), ({"prefix": "a" * 40}, 50)):
        assert model.sampler(**options).wanted.max_length == expected  # type: ignore[arg-type]
    assert max(map(len, model.sample(200, seed=1, temperature=5.0))) <= 12
    assert max(map(len, model.top(2_000).words)) <= 12
    for known, expected in ((120, 150), (9_000, 10_000)):
        content["WordsDataModule"]["longest_word"] = known
        torch.save(content, tmp_path / "x.ckpt")
        assert load(tmp_path / "x.ckpt").sampler().wanted.max_length == expected
    content["WordsDataModule"]["longest_word"] = "long"
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match="longest_word of the corpus is recorded as 'long'"):
        load(tmp_path / "x.ckpt")


def test_a_file_of_format_1_trains_on_and_is_measured(words_file: Path, tmp_path: Path) -> None:
    frozen = ["--ckpt_path", ROOT / "tests" / "data" / "format_1.ckpt", "--data.path", words_file]
    assert run_cli("validate", *frozen) == 0
    content = read_checkpoint(frozen[1])
    model = LanguageModel(**content["hyper_parameters"])
    model.load_state_dict(content["state_dict"])


@pytest.mark.parametrize("found", [0, FORMAT + 1, "two", None, -1])
def test_a_file_of_another_format_says_who_wrote_it(tiny_run: Path, tmp_path: Path, found: object) -> None:
    content = read_checkpoint(tiny_run / "checkpoints" / "best.ckpt")
    torch.save({**content, "format": found, "wavenet_version": "9.9"}, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match=rf"has format {found}, .* 9\.9: .*reads formats 1 to {FORMAT}"):
        load(tmp_path / "x.ckpt")


def test_weights_that_a_network_shares_are_shared_in_its_checkpoint(words_file: Path, tmp_path: Path) -> None:
    shared = ["--model.network.share_weights=true", "--trainer.default_root_dir", tmp_path]
    assert run_cli("fit", "--data.path", words_file, *TINY, *shared) == 0
    path = tmp_path / "default" / "version_0" / "checkpoints" / "last.ckpt"
    model, trained = load(path), LanguageModel.load_from_checkpoint(path)
    second, third = (layer[0] for layer in model.network.modules() if isinstance(layer, Residual))
    assert second is third
    contexts = torch.randint(len(model.vocabulary), (20, 8))
    assert torch.allclose(model.network(contexts), trained.network.eval()(contexts), atol=1e-6)
    assert run_cli("fit", "--ckpt_path", path, "--trainer.max_steps=14", "--quiet") == 0
    content = read_checkpoint(path)
    weights = content["state_dict"]
    mean = next(name for name in weights if name.endswith("running_mean"))
    one, other = (f"{layer}.0.weight" for layer in ("network.0.6", "network.0.8"))
    copied = {**weights, one: weights[one].clone()}
    torch.save({**content, "state_dict": {**copied, mean: weights[mean.replace("running_mean", "bias")]}}, path)
    with pytest.raises(CheckpointError, match="share their memory"):
        load(path)
    torch.save({**content, "state_dict": copied}, path)
    load(path)
    torch.save({**content, "state_dict": {**copied, one: weights[one] + 1}}, path)
    with pytest.raises(CheckpointError, match=f"{other} is not what the layer that shares it has"):
        load(path)


def test_a_frozen_checkpoint_with_shared_weights_still_loads() -> None:
    model = load(ROOT / "tests" / "data" / "format_4_shared.ckpt")
    assert model.score(["emila"])[0].log_prob == pytest.approx(-11.883899, abs=1e-5)
