"""The page as a file: what stands in it, what cannot, and what packing costs. Browsers open it in other tests."""

import json
import random
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from hashlib import sha256
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.conftest import LABELS, WORDS, run_cli
from tests.export.in_browser import CLOSE
from tests.networks import VARIED, batch_norm_bug, lively
from wavenet import NetworkConfig, TrainedModel, Vocabulary, build
from wavenet.corpus.labels import Labels
from wavenet.corpus.reading import read_corpus
from wavenet.corpus.splitting import split_corpus
from wavenet.errors import ArgumentError
from wavenet.export.facts import Facts
from wavenet.export.folding import folded
from wavenet.export.known import bloom_filter, hash_pair
from wavenet.export.packing import BITS, TABLE_BITS, bit_string, pack, rounded
from wavenet.export.page import SOURCES, bundled, write_page
from wavenet.inference.trained_on import TrainedOn
from wavenet.network.layers import Sum, receptive_field

HOSTILE = [
    "</script>", "<!--<script>", "a\"b'c", "🦊🦊", "e\u0301\u0323", "$style", "\\u003c", "&amp;", "<b>x</b>", "a,b"
]  # fmt: skip


def model_of(
    config: NetworkConfig | Sequence[NetworkConfig],
    words: list[str],
    path: Path,
    more: str = "",
    labels: Labels | None = None,
) -> TrainedModel:
    """A model that says that it was trained on these words, which are written to a file; it knows more characters."""
    path.write_text("\n".join(words) + "\n", encoding="utf-8")
    corpus = read_corpus(path)
    vocabulary = Vocabulary.from_words([*corpus.words, more])
    trained_on = TrainedOn.describe(corpus, split_corpus(corpus, 42), 42, False, "words", 32)
    network = lively(build(config, len(vocabulary), len(labels or ())))
    return TrainedModel(network, vocabulary, trained_on, labels)


def content_of(page: str) -> Any:
    """What the page knows of the model."""
    (content,) = re.findall(r'<script type="application/json" id="model">(.*?)</script>', page, flags=re.DOTALL)
    return json.loads(content)


@pytest.mark.parametrize("config", VARIED.values(), ids=list(VARIED))
def test_packing_hardly_changes_a_network(config: NetworkConfig | Sequence[NetworkConfig]) -> None:
    network = lively(build(config, 27, num_labels=2))
    ids = torch.randint(3 * 27, (200, receptive_field(network)), generator=torch.Generator().manual_seed(0))
    packed = rounded(folded(network))
    torch.testing.assert_close(packed(ids), network(ids), atol=CLOSE, rtol=0)
    assert pack(packed) == pack(folded(network))


def test_the_default_page_is_small_and_its_loss_as_before(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "words.html"
    assert run_cli("export", "--format", "html", "--output", path, "--ckpt_path", tiny_run) == 0
    size, losses = capsys.readouterr().out.splitlines()
    assert size == f"{path}: {path.stat().st_size / 1e6:.2f} MB; open it in a browser"
    before, after = map(float, re.findall(r"\d\.\d+", losses))
    metrics = json.loads((tiny_run / "metrics.json").read_text(encoding="utf-8"))
    assert before == pytest.approx(metrics["val/loss"], abs=1e-4)
    assert after == pytest.approx(before, abs=2e-3)
    page = path.read_text(encoding="utf-8")
    assert f"{metrics['train/loss']:.3f} nats per character" in page
    assert "the 60 of words.txt" in page
    default = lively(build(NetworkConfig(ngram_rows=16_384), 27))
    write_page(
        TrainedModel(default, Vocabulary("abcdefghijklmnopqrstuvwxyz")),
        facts := Facts("a", 8, 1, None, {}),
        path,
        False,
    )
    assert facts.losses == {}
    assert path.stat().st_size + 4 / 3 * 1.8 * 29_494 < 1_500_000


def test_nothing_is_loaded_and_only_this_style_and_script_may_run(tmp_path: Path) -> None:
    model = model_of(NetworkConfig(4, 2, 4, 8), WORDS, tmp_path / "words.txt")
    write_page(model, Facts.of(model), tmp_path / "words.html")
    page = (tmp_path / "words.html").read_text(encoding="utf-8")
    (policy,) = re.findall(r'Content-Security-Policy" content="(.*?)"', page)
    (style,) = re.findall(r"<style>(.*?)</style>", page, flags=re.DOTALL)
    (script,) = re.findall(r'<script type="module">(.*?)</script>', page, flags=re.DOTALL)
    digests = (b64encode(sha256(text.encode()).digest()).decode() for text in (script, style))
    assert policy == (
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; base-uri 'none'; "
        "form-action 'none'".format(*digests)
    )
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert not re.findall(r'\son\w+="|\sstyle="|\burl\(|@import|\bfetch\(|XMLHttpRequest|innerHTML', page)


def test_every_module_is_in_the_script_once() -> None:
    script = bundled()
    assert "import {" not in script
    assert "\nexport " not in script
    for path in SOURCES.glob("*.js"):
        assert script.count(path.read_text(encoding="utf-8").splitlines()[0]) == 1, path
    names = re.findall(r"^(?:async )?(?:const|let|class|function\*?) (\w+)", script, flags=re.MULTILINE)
    assert len(names) == len(set(names))


def test_words_of_any_kind_cannot_leave_their_place(tmp_path: Path) -> None:
    model = model_of(NetworkConfig(4, 2, 4, 8), HOSTILE, tmp_path / "<b>$title\"'&.txt", more="\u2028")
    write_page(model, Facts.of(model), tmp_path / "words.html")
    page = (tmp_path / "words.html").read_text(encoding="utf-8")
    assert content_of(page)["alphabet"] == model.vocabulary.alphabet
    (heading,) = re.findall(r"<h1>(.*?)</h1>", page)
    assert unescape(heading) == "Words like <b>$title\"'&"
    assert page.count("</script>") == page.count("<script ") == 2
    assert "\u2028" not in page
    assert "<b>" not in page


def test_every_known_word_is_known_and_few_others() -> None:
    letters = random.Random(0)
    words = list(dict.fromkeys("".join(letters.choices("abcdé🦊", k=8)) for _ in range(12_000)))
    known, others = words[:2000], words[2000:]
    made = bloom_filter(known)
    bits = b64decode(made["bits"])

    def has(word: str) -> bool:
        first, step = hash_pair(word)
        places = [(first + number * (step | 1)) % made["size"] for number in range(made["hashes"])]
        return all(bits[place // 8] >> place % 8 & 1 for place in places)

    assert all(map(has, known))
    assert 0 < sum(map(has, others)) / len(others) < 2 / 1000
    assert len(bits) / len(known) == pytest.approx(1.8, abs=0.01)


def test_the_corpus_can_be_left_out(tiny_run: Path, tmp_path: Path, words_file: Path) -> None:
    path = tmp_path / "words.html"
    options = ("export", "--output", path, "--ckpt_path", tiny_run)
    assert run_cli(*options) == 0
    assert content_of(path.read_text(encoding="utf-8"))["known"] == bloom_filter(set(WORDS))
    assert run_cli(*options, "--without_corpus") == 0
    assert content_of(path.read_text(encoding="utf-8"))["known"] is None


def test_rows_of_zeros_take_no_room(tmp_path: Path) -> None:
    network = folded(build(NetworkConfig(4, 2, 4, 8, ngram_rows=100), 6))
    _, empty = pack(network)
    with torch.no_grad():
        network[1][-1].weight[[3, 7]] = 1.0
    _, weights = pack(network)
    ones = bit_string(torch.full((2, 6), 2 ** (TABLE_BITS - 1) - 1), TABLE_BITS)
    assert b64decode(weights["integers"]) == b64decode(empty["integers"]) + ones


@pytest.mark.parametrize("bits", [TABLE_BITS, BITS])
@given(integers=st.lists(st.integers(-4095, 4095), max_size=20))
def test_integers_are_packed_without_loss(bits: int, integers: list[int]) -> None:
    number = int.from_bytes(bit_string(torch.tensor(integers, dtype=torch.long), bits), "little")
    read = [number >> place * bits & 2**bits - 1 for place in range(len(integers))]
    assert [each - 2**bits if each >= 2 ** (bits - 1) else each for each in read] == integers
    assert number >> len(integers) * bits == 0


def test_a_page_of_words_with_labels(labelled_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "words.html"
    assert run_cli("export", "--output", path, "--ckpt_path", labelled_run) == 0
    metrics = json.loads((labelled_run / "metrics.json").read_text(encoding="utf-8"))
    before = float(re.findall(r"validation loss (\d\.\d+)", capsys.readouterr().out)[0])
    assert before == pytest.approx(metrics["val/loss"], abs=1e-4)  # which is told the labels
    page = path.read_text(encoding="utf-8")
    assert [each["name"] for each in content_of(page)["labels"]] == LABELS
    assert "of any of 3 kinds" in page


def test_a_page_without_its_corpus_says_so(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(path: Path) -> None:
        raise FileNotFoundError(f"words not found: {path.name}")

    monkeypatch.setattr("wavenet.inference.trained_on.read_corpus", gone)
    path = tmp_path / "words.html"
    assert run_cli("export", "--output", path, "--ckpt_path", tiny_run) == 0
    out, err = capsys.readouterr()
    assert err.endswith("note: the page will not know the words of the corpus; words not found: words.txt\n")
    assert "validation loss" not in out
    assert content_of(path.read_text(encoding="utf-8"))["known"] is None


class Odd(nn.Module):
    """A layer that no page knows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sin()


def test_what_a_page_cannot_hold_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary, path = Vocabulary("abcde"), tmp_path / "words.html"

    def refused(network: nn.Sequential) -> str:
        model = TrainedModel(network, vocabulary)
        with pytest.raises(ArgumentError) as error:
            write_page(model, Facts.of(model), path, with_corpus=False)
        assert not path.exists()
        return str(error.value)

    assert refused(batch_norm_bug(6)) == (
        "format html needs a network that can slide; a layer of this one is not position-wise"
    )
    own = build(NetworkConfig(4, 2, 4, 8), 6)
    assert refused(own.insert(4, Odd())) == "format html knows no layer like Odd()"
    without_levels = nn.Sequential(nn.Embedding(6, 6), nn.Linear(6, 6))
    for other in (without_levels, Sum(build(NetworkConfig(4, 2, 4, 8), 6), without_levels)):
        assert "html needs an embedding" in refused(other)
    monkeypatch.setattr("wavenet.export.page.MOST_WORDS", 59)
    model = model_of(NetworkConfig(4, 2, 4, 8), WORDS, tmp_path / "words.txt")
    with pytest.raises(ArgumentError, match="without_corpus must be given: a page knows at most 59 words, got 60"):
        write_page(model, Facts.of(model), path)


def test_a_checkpoint_that_is_not_there(cli_error: Callable[..., str], tmp_path: Path) -> None:
    missing = tmp_path / "no.ckpt"
    error = cli_error("export", "--format", "html", "--ckpt_path", missing, "--output", tmp_path / "words.html")
    assert f"checkpoint not found: {missing}" in error
