import ctypes
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml

from tests.conftest import TINY, WORDS, run_cli
from tests.copies import Copy
from wavenet.inference.checkpoint import read_checkpoint
from wavenet.runs import command as called
from wavenet.training.planning import plan

CliError = Callable[..., str]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "words not found"),
        (b"", "holds no words"),
        (b"\n \n", "holds no words"),
        (b"ab\nc\xe9\n", "line 2, byte 2 is 0xe9"),
        (b"a\nb\nc\n", "at least 6 words, enough for train, validation and test splits, got 3"),
    ],
)
def test_files_that_cannot_be_trained_on(
    cli_error: CliError, tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "words.txt"
    if content is not None:
        path.write_bytes(content)
    assert message in cli_error("fit", "--data.path", path, "--trainer.default_root_dir", tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_directory_is_no_corpus(cli_error: CliError, tmp_path: Path) -> None:
    assert "got the directory" in cli_error("fit", "--data.path", tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model.network.block_size=12"], "--model.network.group_size 2 does not make block_size 12"),
        (["--model.network.group_size=[2, 3]"], "--model.network.group_size (2, 3) does not make block_size 8"),
        (["--model.network.hidden_dim=0"], "--model.network.hidden_dim must be at least 1, got 0"),
        (
            [f"--model.network.hidden_dim={2**64}"],
            "--model.network.hidden_dim must be at most 1,048,576, got 184467440",
        ),
        (["--model.optimization.learning_rate=0"], "--model.optimization.learning_rate must be above 0, got 0"),
        (["--model.optimization.weight_decay=-1"], "--model.optimization.weight_decay must be at least 0, got -1"),
        (["--data.batch_size=1"], "--data.batch_size must be at least 2, for batch norm to have a variance, got 1"),
        (["--trainer.max_steps=0"], "--trainer.max_steps 0 trains nothing"),
        (["--trainer.max_epochs=0"], "--trainer.max_epochs 0 trains nothing"),
        (["--trainer.accumulate_grad_batches=0"], "--trainer.accumulate_grad_batches must be above 0, got 0"),
        (["--trainer.log_every_n_steps=0"], "--trainer.log_every_n_steps must be above 0, got 0"),
        (["--trainer.val_check_interval=0"], "--trainer.val_check_interval must be above 0, got 0"),
        (["--trainer.overfit_batches=2"], "--trainer.overfit_batches is not supported"),
        (["--trainer.logger=false"], "--trainer.logger false is not supported"),
        (["--experiment=../x"], "--experiment must be a name without slashes, got '../x'"),
        (["--model.network.norm=batch_per_position"], "--data.batching must be windows for a norm"),
        (["--samples.num_words=0"], "--samples.num_words must be at least 1, got 0"),
        (
            ["--model.hiden_dim=8"],
            "unrecognized arguments: --model.hiden_dim=8; did you mean --model.network.hidden_dim?",
        ),
        (["--data.pth", "x"], "unrecognized arguments: --data.pth x; did you mean --data.path?"),
        (
            ["--trainer.max_epoch=3"],
            "unrecognized arguments: --trainer.max_epoch=3; did you mean --trainer.max_epochs?",
        ),
        (
            ["--trainer.callbacks+=Timer", "--trainer.callbacks.interval=step", "--samples.enabeld=true"],
            "--samples.enabled?",
        ),
        (
            ["--trainer.callbacks+=Timer", "--trainer.callbacks.interval=step", "--trainer.max_steps=x"],
            "Got value: x\n",
        ),
        (["--model.optimization.optimizer=adam"], "model.optimization.optimizer"),
        (["--trainer.max_steps=many"], "trainer.max_steps"),
        (["--config=nowhere.yaml"], "nowhere.yaml"),
        (["--ckpt_path=last"], "--ckpt_path last means a checkpoint of this process, which has none"),
        (["--ckpt_path=best"], "--ckpt_path best means a checkpoint of this process, which has none"),
    ],
)
def test_wrong_options(cli_error: CliError, words_file: Path, tmp_path: Path, options: list[str], message: str) -> None:
    arguments = ["fit", "--data.path", words_file, "--trainer.default_root_dir", tmp_path / "runs", *TINY[:4], *options]
    assert message in cli_error(*arguments, code=2)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("model: {network: {hiden_dim: 8}}", "model.network.hiden_dim; did you mean model.network.hidden_dim?"),
        ("{model: {network: {hidden_dim: 8}}, modle: {x: 1}}", "modle.x; did you mean model?"),
        ("{seed_everything: 1, trainer: {max_stepz: 8}}", "trainer.max_stepz; did you mean trainer.max_steps?"),
        ("qqq: 1", "qqq"),
    ],
)
def test_an_unknown_key_of_a_configuration_gets_a_hint(
    cli_error: CliError, tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(content, encoding="utf-8")
    error = cli_error("fit", "--trainer.max_steps=3", "--config", path, code=2)
    assert error.endswith(f"; {path} has an unknown {message}\n")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_where_there_is_none(cli_error: CliError, words_file: Path) -> None:
    error = cli_error("fit", "--data.path", words_file, "--trainer.accelerator=gpu", code=2)
    assert "--trainer.accelerator is refused: No supported gpu backend found" in error


def test_what_goes_wrong_while_running(cli_error: CliError, words_file: Path, tmp_path: Path) -> None:
    arguments = ["fit", "--data.path", words_file, "--trainer.default_root_dir", tmp_path / "runs", *TINY]
    assert "one of the 2 characters of the alphabet 'ab'" in cli_error(*arguments, "--data.alphabet=ab", code=1)


@pytest.mark.parametrize(
    ("content", "message", "code"),
    [
        ("model: {network: {hidden_dim: null}}", "--model.network.hidden_dim must be of type int, got None", 2),
        ("model: {network: {residual: null}}", "--model.network.residual must be of type bool, got None", 2),
        ("data: {batch_size: null}", "--data.batch_size must be of type int, got None", 2),
        ("trainer: {accumulate_grad_batches: null}", "--trainer.accumulate_grad_batches must be of type int", 2),
        ("experiment: null", "--experiment must be of type str, got None", 2),
        ("samples: null", "--samples must be options and their values, got something else in ", 2),
        ("samples: false", "--samples must be options and their values, got something else in ", 2),
        ("trainer: 100", "--trainer must be options and their values, got something else in ", 2),
        ("model: {network: [5]}", "--model.network must be options and their values, got something else in ", 2),
        ("trainer: {check_val_every_n_epoch: 0}", "--trainer.check_val_every_n_epoch must be above 0, got 0", 2),
        ("experiment: '..'", "--experiment must be a name without slashes, got '..'", 2),
    ],
)
def test_values_of_a_config_that_are_wrong(
    cli_error: CliError, words_file: Path, tmp_path: Path, content: str, message: str, code: int
) -> None:
    config = tmp_path / "wrong.yaml"
    config.write_text(content + "\n", encoding="utf-8")
    options = ["--data.path", words_file, "--trainer.default_root_dir", tmp_path / "runs", "--quiet"]
    assert message in cli_error("fit", "--config", config, *options, code=code)


def test_a_divergence_without_validation_says_what_to_do(cli_error: CliError, words_file: Path, tmp_path: Path) -> None:
    options = ["--trainer.limit_val_batches=0", "--model.optimization.learning_rate=1e30", "--quiet"]
    arguments = ["fit", "--data.path", words_file, "--trainer.default_root_dir", tmp_path, *TINY, *options]
    assert "training has diverged; lower --model.optimization.learning_rate" in cli_error(*arguments, code=1)


def test_an_option_wins_over_a_config_wherever_it_stands(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("trainer: {max_epochs: 7, log_every_n_steps: 3}\nexperiment: first\n", encoding="utf-8")
    second.write_text("experiment: second\n", encoding="utf-8")
    options = ["--trainer.max_epochs", "60", "--config", first, f"-c{second}"]
    for arguments in (options, options[2:] + options[:2]):
        assert run_cli("fit", *arguments, "--print_config") == 0
        config = yaml.safe_load(capsys.readouterr().out)
        assert (config["trainer"]["max_epochs"], config["trainer"]["log_every_n_steps"]) == (60, 3)
        assert config["experiment"] == "second"  # several configs keep their order


def test_a_config_without_a_name(cli_error: CliError) -> None:
    assert "--config: expected one argument" in cli_error("fit", "--config", code=2)


def test_an_unknown_key_in_a_config(cli_error: CliError, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("model:\n  hiden_dim: 8\n", encoding="utf-8")
    assert "model.hiden_dim" in cli_error("fit", "--config", config, code=2)


def test_a_run_folder_that_is_a_file(cli_error: CliError, words_file: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("mine", encoding="utf-8")
    error = cli_error("fit", "--data.path", words_file, "--trainer.default_root_dir", tmp_path / "runs", *TINY)
    assert "runs" in error
    assert (tmp_path / "runs").read_text(encoding="utf-8") == "mine"


def give_up_roots_privilege() -> None:
    """Makes a read-only folder read-only to root as well: gives up CAP_DAC_OVERRIDE."""
    libc, header = ctypes.CDLL(None, use_errno=True), (ctypes.c_uint32 * 2)(0x20080522, 0)  # of capabilities, version 3
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable, of 32 capabilities each, twice
    assert libc.capget(header, sets) == 0
    sets[0] &= ~(1 << 1)
    assert libc.capset(header, sets) == 0


def limit_file_sizes() -> None:
    """Leaves room for a configuration, not for a checkpoint."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))


@pytest.mark.skipif(sys.platform != "linux", reason="limits a process as Linux does")
@pytest.mark.parametrize(
    ("limit", "reason"), [(give_up_roots_privilege, "Permission denied"), (limit_file_sizes, "File too large")]
)
def test_a_read_only_or_full_run_folder(
    words_file: Path, tmp_path: Path, limit: Callable[[], None], reason: str
) -> None:
    runs = tmp_path / "runs"
    runs.mkdir(mode=0o555 if limit is give_up_roots_privilege else 0o755)

    def fit() -> int:
        limit()
        return run_cli("fit", "--data.path", words_file, *TINY, "--trainer.default_root_dir", runs)

    ended = Copy(fit, tmp_path / "streams").ended()
    assert ended.code == 1
    errors = [line for line in ended.err.splitlines() if not line.startswith("step ")]
    assert errors == [f"error: cannot write to the run folder {runs}/default/version_0: {reason}"]
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_says_how_to_go_on(words_file: Path, tmp_path: Path, sent: int, code: int) -> None:
    options = ["--data.path", words_file, *TINY, "--trainer.default_root_dir", tmp_path]
    options += ["--trainer.max_steps=-1", "--model.optimization.schedule=constant", "--trainer.val_check_interval=50"]
    run = Copy(partial(run_cli, "fit", *options), tmp_path / "streams")
    while not run.err.startswith("step 50 "):
        assert run.code is None, run.ended()
        time.sleep(0.02)
    os.kill(run.pid, sent)
    *_, line = run.ended().err.splitlines()
    assert run.code == code
    last = tmp_path / "default" / "version_0" / "checkpoints" / "last.ckpt"
    assert line.startswith("interrupted at step ")
    assert line.endswith(f"continue with {called('wavenet')} fit --ckpt_path {last}")
    assert last.is_file()


@pytest.mark.parametrize("subcommand", ["validate", "test", "predict"])
def test_weights_are_never_random(cli_error: CliError, subcommand: str, tmp_path: Path) -> None:
    assert f"--ckpt_path must name a file: {subcommand} needs trained weights" in cli_error(subcommand, code=2)
    assert "which has none" in cli_error(subcommand, "--ckpt_path=best", code=2)
    assert "which has none" in cli_error(subcommand, "--ckpt_path=last", code=2)
    assert "checkpoint not found" in cli_error(subcommand, "--ckpt_path", tmp_path / "best.ckpt")


def test_files_that_are_no_checkpoint(cli_error: CliError, tiny_run: Path, tmp_path: Path) -> None:
    whole, cut = tiny_run / "checkpoints" / "best.ckpt", tmp_path / "cut.ckpt"
    cut.write_bytes(whole.read_bytes()[:5000])
    assert "cut.ckpt is truncated or not a checkpoint" in cli_error("test", "--ckpt_path", cut)
    content = torch.load(whole, weights_only=True)
    del content["WordsDataModule"]
    torch.save(content, cut)
    assert "was not written by train.py: expected the entries WordsDataModule" in cli_error("test", "--ckpt_path", cut)


@pytest.mark.parametrize(
    ("entry", "key", "value"),
    [
        ("hyper_parameters", "alphabet", "abeilmorsvx"),
        ("hyper_parameters", "alphabet", 5),
        ("hyper_parameters", "network", {"hidden_dim": "many"}),
        ("hyper_parameters", "network", {"hidden_dim": 16}),
        ("hyper_parameters", "network", "eval"),
        ("hyper_parameters", "optimization", {"optimizer": "eval"}),
        ("hyper_parameters", "network", {"nonsense": 1}),
        ("state_dict", "nonsense", torch.zeros(1)),
        ("WordsDataModule", "sha256", None),
    ],
)
def test_a_checkpoint_that_was_tampered_with(
    cli_error: CliError, tiny_run: Path, tmp_path: Path, entry: str, key: str, value: object
) -> None:
    content = torch.load(tiny_run / "checkpoints" / "best.ckpt", weights_only=True)
    content[entry][key] = value
    if value is None:
        del content[entry][key]
    torch.save(content, tmp_path / "x.ckpt")
    assert "does not hold a whole model of this version" in cli_error("test", "--ckpt_path", tmp_path / "x.ckpt")


def test_a_training_that_cannot_go_on(cli_error: CliError, tiny_run: Path, tmp_path: Path) -> None:
    ckpt_path = tiny_run / "checkpoints" / "last.ckpt"
    options = ["--trainer.default_root_dir", tmp_path, *TINY[:2]]
    assert "is at step 12, which leaves nothing to do" in cli_error("fit", "--ckpt_path", ckpt_path, *options)


def test_max_time_ends_a_run(words_file: Path, tmp_path: Path) -> None:
    options = ["--trainer.max_steps=-1", "--trainer.max_time=00:00:00:01", "--model.optimization.schedule=constant"]
    arguments = ["fit", "--data.path", words_file, "--trainer.default_root_dir", tmp_path, *TINY[1:], *options]
    assert run_cli(*arguments) == 0


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            "--model.network.hidden_dim=128",
            "--model.network.hidden_dim contradicts the checkpoint: expected 8, got 128",
        ),
        ("--model.network.block_size=16", "--model.network.block_size contradicts the checkpoint: expected 8, got 16"),
        ("--data.split_seed=7", "--data.split_seed contradicts the checkpoint: expected 42, got 7"),
        ("--data.deduplicate=true", "--data.deduplicate contradicts the checkpoint: expected False, got True"),
        ("--data.alphabet=abc", "--data.alphabet contradicts the checkpoint"),
    ],
)
@pytest.mark.parametrize("subcommand", ["fit", "validate"])
def test_options_that_contradict_the_checkpoint(
    cli_error: CliError, tiny_run: Path, tmp_path: Path, subcommand: str, option: str, message: str
) -> None:
    ckpt_path = tiny_run / "checkpoints" / "best.ckpt"
    options = [option, "--trainer.default_root_dir", tmp_path, "--trainer.max_steps=20"]
    assert message in cli_error(subcommand, "--ckpt_path", ckpt_path, *options, code=2)


def test_a_character_outside_the_alphabet_at_test_time(cli_error: CliError, tiny_run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("\n".join(["zoë"] * 20), encoding="utf-8")
    ckpt_path = tiny_run / "checkpoints" / "best.ckpt"
    assert "'z' (U+007A) in 'zoë'" in cli_error("test", "--ckpt_path", ckpt_path, "--data.path", other)
    assert "'z' (U+007A) in 'zoë'" in cli_error("predict", "--ckpt_path", ckpt_path, "--data.predict_path", other)


def test_a_corpus_that_changed_since(cli_error: CliError, words_file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "words.txt"
    copy.write_bytes(words_file.read_bytes())
    assert run_cli("fit", "--data.path", copy, "--trainer.default_root_dir", tmp_path, *TINY) == 0
    ckpt_path = tmp_path / "default" / "version_0" / "checkpoints" / "best.ckpt"
    copy.write_bytes(words_file.read_bytes() + b"ava\n")
    assert "has changed since the model was trained" in cli_error("test", "--ckpt_path", ckpt_path)
    copy.unlink()
    assert "words not found" in cli_error("test", "--ckpt_path", ckpt_path)
    assert run_cli("test", "--ckpt_path", ckpt_path, "--data.path", words_file) == 0


def test_the_configuration_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("fit", "--print_config") == 0
    assert "schedule: one_cycle" in capsys.readouterr().out


def test_an_evaluation_takes_the_checkpoints_settings_and_leaves_nothing(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ckpt_path = tiny_run / "checkpoints" / "best.ckpt"
    for subcommand in ("validate", "test"):
        assert run_cli(subcommand, "--ckpt_path", ckpt_path, "--model.network.hidden_dim=8") == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        assert "loss" in captured.out
    assert list(tmp_path.iterdir()) == []


def test_a_run_folder_is_taken_for_its_checkpoint(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = tiny_run / "checkpoints"
    for subcommand in ("validate", "test", "predict"):
        assert run_cli(subcommand, "--ckpt_path", checkpoints / "best.ckpt") == 0
        by_file = capsys.readouterr().out
        assert run_cli(subcommand, "--ckpt_path", tiny_run) == 0
        assert capsys.readouterr() == (by_file, f"using {checkpoints / 'best.ckpt'}\n")
    options = ["--trainer.default_root_dir", tmp_path, "--trainer.max_steps=12"]
    assert run_cli("fit", "--ckpt_path", tiny_run.parent, *options) == 1  # there is nothing left to do
    assert capsys.readouterr().err.startswith(
        f"using {checkpoints / 'last.ckpt'}\nerror: the checkpoint's training is at "
    )


def test_the_settings_of_a_checkpoint_do_not_outlive_its_command(tiny_run: Path, words_file: Path) -> None:
    options = [f"--data.path={words_file}", "--trainer.max_steps=20"]
    before = plan(options).configuration
    going_on = plan([*options, f"--ckpt_path={tiny_run / 'checkpoints' / 'last.ckpt'}"]).configuration
    assert going_on["model"] != before["model"]
    assert plan(options).configuration == before


def test_characters_of_every_plane_go_on(tmp_path: Path) -> None:
    words = tmp_path / "😀.tsv"
    words.write_text("".join(f"{word}😀\t{'😁' if word < 'f' else 'x'}\n" for word in WORDS), encoding="utf-8")
    root = tmp_path / "𝄞"
    place = ["--data.path", words, "--data.labels=true", "--trainer.default_root_dir", root, "--quiet"]
    assert run_cli("fit", *place, *TINY) == 0
    last = root / "default" / "version_0" / "checkpoints" / "last.ckpt"
    assert run_cli("validate", "--ckpt_path", last) == 0
    assert run_cli("fit", "--ckpt_path", last, "--trainer.max_steps=14", "--quiet") == 0
    assert read_checkpoint(last)["global_step"] == 14


def test_null_in_the_configuration_of_a_run_names_the_option(
    tiny_run: Path, tmp_path: Path, cli_error: CliError
) -> None:
    run = tmp_path / "runs" / "default" / "version_0"
    shutil.copytree(tiny_run, run)
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    config["data"]["batch_size"] = None
    (run / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    error = cli_error("fit", "--ckpt_path", run / "checkpoints" / "last.ckpt", "--trainer.max_steps=14", code=2)
    assert "--data.batch_size must be of type int, got None" in error


def test_a_configuration_that_was_not_printed_is_not_printed_later(words_file: Path, cli_error: CliError) -> None:
    options = [f"--data.path={words_file}", "--trainer.max_steps=20"]
    cli_error("fit", "--print_config", "--wrong=1", code=2)
    assert plan(options).steps == 20


def test_predict_writes_what_score_writes(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ckpt_path = tiny_run / "checkpoints" / "best.ckpt"
    capsys.readouterr()
    assert run_cli("predict", "--ckpt_path", ckpt_path) == 0
    from_split = capsys.readouterr()
    assert from_split.err == ""
    assert len(from_split.out.splitlines()) == 6
    chosen = tmp_path / "chosen.txt"
    chosen.write_text("".join(line.split()[0] + "\n" for line in from_split.out.splitlines()), encoding="utf-8")
    assert run_cli("predict", "--ckpt_path", ckpt_path, "--data.predict_path", chosen) == 0
    assert capsys.readouterr().out == from_split.out
    assert run_cli("score", "--ckpt_path", ckpt_path, "--file", chosen) == 0
    assert capsys.readouterr().out == from_split.out
