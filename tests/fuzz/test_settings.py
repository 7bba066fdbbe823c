"""Every option with values of every type, all the way through a training: it trains, or ends in one line."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import run_cli
from tests.fuzz.test_inputs import SHARES, assert_right_or_one_line, nested, outcome, parser_only
from wavenet.training.cli import WaveNetCLI

VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 3, 2**64, 0.5, -0.5, 1e300, float("nan"), float("inf"), "", "x", "1", "..", "a/b", "\0",
    [], [1], ["x"], [None], {}, {"x": 1}, {"class_path": "x"}, {"class_path": 5}, [{"class_path": "Timer"}], [[]],
]  # fmt: skip
LEFT_OUT = ("config", "help", "print_config")
OF_THE_MACHINE = ("trainer.accelerator", "trainer.strategy", "trainer.devices", "trainer.num_nodes", "trainer.plugins")
SHORT = {"trainer": {"max_steps": 1, "max_epochs": 1}, "model": {"network": {"hidden_dim": 8, "embedding_dim": 4}}}


def options() -> list[str]:
    """The names of the options that a configuration may set."""
    names = (name.removeprefix("--") for name in parser_only()._subcommand_parsers["fit"]._option_string_actions)
    return [name for name in names if not name.startswith("-") and name.rpartition(".")[2] not in LEFT_OUT]


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Two configurations, of which the second wins."""
    both = {
        key: merged(one[key], x) for key, x in other.items() if isinstance(x, dict) and isinstance(one.get(key), dict)
    }
    return {**one, **other, **both}


@pytest.mark.parametrize("count", SHARES)
def test_every_option_with_values_of_every_type(
    count: int, words_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    train = WaveNetCLI._run_subcommand
    pairs = [(name, value) for name in options() for value in VALUES]
    wrong = []
    for name, value in pairs[:: max(1, len(pairs) * 5 // count)]:
        options_ = merged({**SHORT, "data": {"path": str(words_file)}}, nested({name: value}))
        Path("config.yaml").write_text(json.dumps(options_), encoding="utf-8")
        monkeypatch.setattr(WaveNetCLI, "_run_subcommand", (lambda *_: None) if name in OF_THE_MACHINE else train)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code, err = outcome(lambda: run_cli_or_exit("fit", "--config=config.yaml", "--quiet"))
        lines = [x for x in err.splitlines(keepends=True) if not x.startswith(("note: ", "using "))]
        try:
            if code:
                assert_right_or_one_line(code, "".join(lines), codes=(1, 2))
        except AssertionError as error:
            print("WRONG", name, repr(value), code, "".join(lines)[:400], flush=True)
            wrong.append((name, value, code, "".join(lines)))
    assert not wrong


def run_cli_or_exit(*arguments: str) -> None:
    raise SystemExit(run_cli(*arguments))
