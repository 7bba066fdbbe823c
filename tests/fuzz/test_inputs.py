"""Random inputs: whatever comes, it is read, or ends in one line that says what is wrong; nothing else is raised."""

import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import BytesIO, TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.enumeration import VOCABULARY, small_network
from wavenet.commands import options, sample, score, top
from wavenet.commands.main import main, one_line_errors
from wavenet.corpus.parsing import CONTROL
from wavenet.corpus.reading import read_corpus
from wavenet.errors import ArgumentError
from wavenet.inference import checkpoint, model
from wavenet.inference.model import TrainedModel
from wavenet.inference.patterns import Wanted
from wavenet.inference.search import top as top_words
from wavenet.training.cli import WaveNetCLI

SHARES = [pytest.param(100, id="some"), pytest.param(10_000, id="all", marks=pytest.mark.campaign)]


def fuzz(count: int, strategy: st.SearchStrategy[Any], check: Callable[[Any], None]) -> None:
    """Checks so many inputs: always the same ones where they are few, so that what a change breaks is its own."""

    @settings(
        max_examples=count,
        derandomize=count < 10_000,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(value: Any) -> None:
        check(value)

    run()


def outcome(call: Callable[[], object]) -> tuple[int, str]:
    """The exit code of what the frame of the commands runs, and what it leaves on stderr."""
    code, stderr = 0, TextIOWrapper(BytesIO(), "utf-8", errors="backslashreplace")
    with redirect_stderr(stderr), redirect_stdout(TextIOWrapper(BytesIO(), "utf-8", errors="backslashreplace")):
        try:
            call()
        except SystemExit as stop:
            code = int(stop.code or 0)
        stderr.flush()
        assert isinstance(stderr.buffer, BytesIO)
        return code, stderr.buffer.getvalue().decode()


def assert_right_or_one_line(code: int, err: str, codes: tuple[int, ...]) -> None:
    if code == 0:
        assert not err.startswith("error: ")
        return
    assert code in codes
    line = err.splitlines()[-1]
    assert line.startswith("error: ") or " words could not be scored, such as " in line
    assert err.count("\n") == 1
    assert not CONTROL.search(line)
    assert "WAVENET_TRACEBACK" not in err, err
    assert len(line) < 2_100 or not line.startswith("error: ")


# Corpora

PIECES = [
    *(b"\n", b"\r\n", b"\r", b"\n\r", b"\v", b"\f", b"\x1c", b"\x85", b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xa9"),
    *(
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\xfe\xff",
        b"\0",
        b"\t",
        b" ",
        b"\xc2\xa0",
        b"\xe3\x80\x80",
        b"\x1b[31m",
        b"\x7f",
    ),
    *(b"\xff", b"\xc3", b"\xed\xb3\xbf", b"\xf4\x90\x80\x80", "é".encode(), b"e\xcc\x81", "한".encode(), b"a" * 70_000),
]
CORPORA = st.one_of(
    st.binary(max_size=60),
    st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=3)), max_size=12).map(b"".join),
    st.text(max_size=30).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.tuples(st.text(max_size=20), st.sampled_from(["utf-16", "utf-32", "utf-8-sig"])).map(
        lambda pair: pair[0].encode(pair[1], "ignore")
    ),
)


@pytest.mark.parametrize("count", SHARES)
def test_corpora(count: int, tmp_path: Path) -> None:
    path = tmp_path / "words.txt"

    def check(content: bytes) -> None:
        path.write_bytes(content)
        try:
            corpus = read_corpus(path)
        except ValueError as error:
            assert type(error) is ValueError
            message = str(error)
            assert message.startswith(str(path))
            assert not CONTROL.search(message)
            message.encode("utf-8")
            return
        assert corpus.words
        assert len(corpus.words) == len(corpus.labels)
        for word in corpus.words:
            assert word
            assert word == word.strip() == unicodedata.normalize("NFC", word)
            assert not CONTROL.search(word)
            assert not word.startswith("\ufeff")
            word.encode("utf-8")

    fuzz(count, CORPORA, check)


# Patterns

SYNTAX = st.lists(
    st.sampled_from([*"*?[]!^-\\ab.", "[a", "[!", "[]", "[a-b]", "é", "e\u0301", "\udcff", "\0"]), max_size=12
)


@pytest.mark.parametrize("count", SHARES)
def test_patterns(count: int) -> None:
    lengths = st.one_of(st.integers(-3, 40), st.sampled_from([2**31, 2**64, -(2**64), 10**30, 10_000]))

    def check(given: tuple[list[str], list[str], int, int]) -> None:
        pattern, prefix, min_length, max_length = given
        try:
            wanted = Wanted(VOCABULARY, "".join(prefix), "".join(pattern), min_length, max_length)
        except ArgumentError as error:
            assert error.name in ("prefix", "pattern", "min_length", "max_length")
            return
        assert wanted.live[0, 0]
        assert len(wanted.forced) <= wanted.max_length

    fuzz(count, st.tuples(st.one_of(SYNTAX, st.lists(st.characters())), SYNTAX, lengths, lengths), check)


# Configurations

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from(
        [2**64, -(2**64), 1e308, 5e-324, float("nan"), float("inf"), "", "null", "~", "a: b", "1e3", "\udc80"]
    ),
    st.floats(),
    st.text(max_size=6),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=5,
)


class ParsedError(Exception):
    """Ends what the command line does once its parser is made."""


class ParserOnly(WaveNetCLI):
    """A command line that is made, and then only parses."""

    def parse_arguments(self, parser: Any, args: Any) -> None:
        self.made = parser
        raise ParsedError


def parser_only() -> ParserOnly:
    cli = ParserOnly.__new__(ParserOnly)
    with pytest.raises(ParsedError):
        cli.__init__(["fit"])
    return cli


@pytest.mark.parametrize("count", SHARES)
def test_configurations(count: int, tmp_path: Path) -> None:
    cli, path = parser_only(), tmp_path / "config.yaml"
    known = [name[2:] for name in cli._subcommand_parsers["fit"]._option_string_actions if name.startswith("--")]
    keys = sorted(name for name in known if not name.endswith("help") and name not in ("config", "print_config"))
    names = st.one_of(st.sampled_from(keys), st.sampled_from(keys).map(lambda key: key[:-1]), st.text(max_size=5))
    content = st.one_of(
        st.dictionaries(names, VALUES, min_size=1, max_size=3).map(nested).map(yaml.safe_dump),
        st.dictionaries(names, VALUES, max_size=3).map(json.dumps),
        VALUES.map(yaml.safe_dump),
        st.text(max_size=20),
    )

    def check(text: str) -> None:
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        arguments = ["fit", f"--config={path}"]

        def parse() -> None:
            with one_line_errors():
                WaveNetCLI.parse_arguments(cli, cli.made, arguments)

        assert_right_or_one_line(*outcome(parse), codes=(2,))

    fuzz(count, content, check)


def nested(options: dict[str, Any]) -> dict[str, Any]:
    """The options as a configuration has them: a mapping for each part of their names."""
    result: dict[str, Any] = {}
    for name, value in options.items():
        *groups, last = name.split(".")
        place = result
        for group in groups:
            inner = place.get(group)
            place[group] = place = inner if isinstance(inner, dict) else {}  # type: ignore[assignment]
        place[last] = value
    return result


# Arguments

NUMBERS = [
    "0",
    "-1",
    "1",
    "7",
    "2147483648",
    str(2**63),
    str(2**64),
    str(-(2**64)),
    "1" * 40,
    "1e3",
    "nan",
    "inf",
    "-inf",
]
TEXTS = [
    "",
    "--",
    "-",
    "a",
    "ab",
    "b*",
    "[",
    "é",
    "\udcff",
    "a\u0301",
    " ",
    "\n",
    "*",
    "??",
    "=",
    "1" * 5_000,
    "x" * 300,
]
WANTED = "-n --num_words --prefix --pattern --min_length --max_length --novel --novel_to --format --output"
OPTIONS = {
    "sample": f"{WANTED} --temperature --top_k --top_p --unique --max_draws --directed --no-directed --seed --log_prob "
    "--novelty --ckpt_path --experiment --threads --tempreature --",
    "top": f"{WANTED} --max_beginnings",
    "score": "--file --explain --novelty --num_samples --seed --format --output --threads --experiment ab b",
}


def arguments_of(command: str) -> st.SearchStrategy[list[str]]:
    names = st.sampled_from(OPTIONS[command].split())
    values = st.one_of(st.sampled_from(NUMBERS + TEXTS), st.text(max_size=4))
    values = values.map(lambda value: value.replace("\0", "").replace("/", ""))
    pieces = st.one_of(
        names.map(lambda name: [name]),
        values.map(lambda value: [value]),
        st.tuples(names, values).map(list),
        st.tuples(names, values).map(lambda pair: ["=".join(pair)]),
    )
    return st.lists(pieces, max_size=4).map(lambda lists: [command, *(part for piece in lists for part in piece)])


@pytest.fixture
def small_searches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A small model in place of any checkpoint, of which the first words will do, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    trained = TrainedModel(small_network(), VOCABULARY)
    monkeypatch.setattr(checkpoint, "load", lambda path: trained)
    monkeypatch.setattr(options, "newest_checkpoint", lambda *_: Path("runs/best.ckpt"))
    monkeypatch.setattr(options, "find_checkpoint", lambda path: path)
    monkeypatch.setattr("torch.set_num_threads", lambda number: None)
    search = top_words
    monkeypatch.setattr(
        model,
        "top",
        lambda *args, **given: search(*args, **{**given, "max_beginnings": min(given["max_beginnings"], 50)}),
    )
    stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115
    monkeypatch.setattr(sys, "stdin", stdin)
    for module in (sample, score, top):
        write = module.write
        monkeypatch.setattr(
            module, "write", lambda rows, *args, write=write, **given: write(islice(rows, 5), *args, **given)
        )
    yield
    stdin.close()


@pytest.mark.parametrize("count", SHARES)
def test_arguments(count: int, small_searches: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(arguments: list[str]) -> None:
        monkeypatch.setattr(sys, "argv", ["wavenet", *arguments])
        code, err = outcome(main)
        lines = [
            line for line in err.splitlines(keepends=True) if not line.startswith(("using ", "draws are ", "note: "))
        ]
        if code:
            assert_right_or_one_line(code, "".join(lines), codes=(1, 2))

    fuzz(count, st.sampled_from(sorted(OPTIONS)).flatmap(arguments_of), check)
