"""Every option with values of every type, all the way through a training: it trains, or ends in one line."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import run_cli
from tests.fuzz.test_inputs import assert_right_or_one_line, nested, outcome, parser_only
from wavenet.commands.main import one_line_errors
from wavenet.training.cli import WaveNetCLI

VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 3, 2**64, 0.5, -0.5, 1e300, float("nan"), float("inf"), "", "x", "1", "..", "a/b",
    "\0", [], [1], ["x"], [None], {}, {"x": 1}, {"class_path": "x"}, {"class_path": 5}, [[]],
]  # fmt: skip
LEFT_OUT = ("config", "help", "print_config")
OF_THE_MACHINE = ("trainer.accelerator", "trainer.strategy", "trainer.devices", "trainer.num_nodes", "trainer.plugins")
SHORT = {"trainer": {"max_steps": 1, "max_epochs": 1}, "model": {"network": {"hidden_dim": 8, "embedding_dim": 4}}}
SHARES = [pytest.param(199, id="some"), pytest.param(1, id="all", marks=pytest.mark.campaign)]


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Two configurations, of which the second wins."""
    both = [key for key in one.keys() & other.keys() if isinstance(one[key], dict) and isinstance(other[key], dict)]
    return {**one, **other, **{key: merged(one[key], other[key]) for key in both}}


@pytest.mark.parametrize("every", SHARES)
def test_every_option_with_values_of_every_type(
    every: int, words_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    warnings.simplefilter("ignore")
    cli, train = parser_only(), WaveNetCLI._run_subcommand
    names = [name.removeprefix("--") for name in cli._subcommand_parsers["fit"]._option_string_actions]
    names = [name for name in names if not name.startswith("-") and name.rpartition(".")[2] not in LEFT_OUT]

    def parse() -> None:
        with one_line_errors():
            WaveNetCLI.parse_arguments(cli, cli.made, ["fit", "--config=config.yaml"])

    def fit() -> None:
        raise SystemExit(run_cli("fit", "--config=config.yaml", "--quiet"))

    wrong: list[object] = []
    for name, value in [(name, value) for name in names for value in VALUES][::every]:
        settings = merged({**SHORT, "data": {"path": str(words_file)}}, nested({name: value}))
        Path("config.yaml").write_text(json.dumps(settings), encoding="utf-8")
        code, err = outcome(parse)  # the quick part, which refuses most
        if code == 0:
            only_made = name in OF_THE_MACHINE  # several processes are not what this is about
            monkeypatch.setattr(WaveNetCLI, "_run_subcommand", (lambda *_: None) if only_made else train)
            code, err = outcome(fit)
        line = "".join(x for x in err.splitlines(keepends=True) if not x.startswith(("note: ", "using ")))
        try:
            assert_right_or_one_line(code, line if code else "", codes=(1, 2))
        except AssertionError:
            wrong.append((name, value, code, line))
    assert not wrong, "\n".join(map(str, wrong))
