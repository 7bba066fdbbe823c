"""Labels: which column has them, which files have any, and how a corpus with labels is cut."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from wavenet.corpus import reading
from wavenet.corpus.labels import Labels, UnknownLabelError
from wavenet.corpus.reading import Corpus, read_as_wanted, read_labelled
from wavenet.corpus.splitting import split_corpus
from wavenet.errors import ArgumentError

LINES = st.lists(st.tuples(st.text("abc", min_size=1, max_size=3), st.sampled_from(["", "X", "Y"])), min_size=10)


def write(folder: Path, content: str) -> Path:
    path = folder / "words.tsv"
    path.write_text(content, encoding="utf-8")
    return path


def labelled(lines: list[tuple[str, str]]) -> Corpus:
    labels = [(label,) if label else () for _, label in lines]
    return Corpus(Path("words.tsv"), "", [word for word, _ in lines], labels, label_column=2)


@given(LINES, st.integers(), st.booleans())
def test_all_lines_of_a_word_go_to_one_side(lines: list[tuple[str, str]], seed: int, deduplicate: bool) -> None:
    assume(len({word for word, _ in lines}) > 5)
    split = split_corpus(labelled(lines), seed, deduplicate)
    found = [(word, fields[0] if fields else "") for part in split for word, fields in zip(*part, strict=True)]
    assert Counter(found) == Counter(set(lines) if deduplicate else lines)
    sides = [set(part.words) for part in split]
    assert sum(map(len, sides)) == len(set().union(*sides))
    assert len(sides[0]) == int(0.8 * sum(map(len, sides)))
    assert split == split_corpus(labelled(lines), seed, deduplicate)


def test_a_corpus_with_labels_needs_six_different_words() -> None:
    with pytest.raises(ValueError, match=r"at least 6 different words.*got 5"):
        split_corpus(labelled([(word, "X") for word in "abcdeabcde"]), 42)


@pytest.mark.parametrize(
    ("content", "column", "expected"),
    [
        ("a\tX\nb\tX\nc\n", 2, ["X", "X", ""]),
        ("a\tX\nb\nc\n", 2, None),  # too few
        ("a\t3\nb\t14\nc\t15\n", 2, None),  # no kinds of words
        ("a\tX\tf\nb\tX\tf\n", 3, ["f", "f"]),
        ("a\tX\nb\tX\n", 3, None),
        ("a\t日本 語\nb\t日本 語\n", 2, ["日本 語", "日本 語"]),
    ],
)
@pytest.mark.parametrize("large", [False, True])
def test_auto_takes_labels_where_most_words_have_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, column: int, expected: list[str] | None, large: bool
) -> None:
    if large:
        monkeypatch.setattr(reading, "ENCODED_FROM", len(content.encode()))
        monkeypatch.setenv("WAVENET_CACHE", str(tmp_path))
    corpus = read_as_wanted(write(tmp_path, content), "auto", column)
    assert corpus.label_column == (column if expected else None)
    if expected:
        assert [corpus.label_of(row) for row in range(len(expected))] == expected
    assert list(corpus.words) == [line.split("\t")[0] for line in content.splitlines()]


def test_large_files_with_labels_are_kept_in_memory_up_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "a\tX\nb\tY\n" * 4)
    monkeypatch.setenv("WAVENET_CACHE", str(tmp_path))
    monkeypatch.setattr(reading, "ENCODED_FROM", 24)
    assert read_as_wanted(path, True, 2).words == ["a", "b"] * 4
    monkeypatch.setattr(reading, "LABELLED_UP_TO", 32)
    with pytest.raises(ValueError, match=r"too large for labels.*less than 32 bytes, got 32; --data.labels false"):
        read_labelled(path)
    corpus = read_as_wanted(path, "auto", 2)
    assert corpus.label_column is None
    assert corpus.note is not None
    assert "labels, which are not used" in corpus.note


def test_labels_that_are_asked_for_must_be_there(tmp_path: Path) -> None:
    path = write(tmp_path, "a\tX\nb\n")
    with pytest.raises(ArgumentError, match=r"must be a column with labels, got 3: no line of .*words.tsv"):
        read_labelled(path, column=3)
    with pytest.raises(ArgumentError, match=r"data.label_column must be at least 2, got 1"):
        read_as_wanted(path, "auto", 1)


def test_an_unknown_label_names_the_nearest() -> None:
    labels = Labels.of(["Finnish", "Danish", "New Zealand", "日本語"])
    for given_label, nearest in (("finnish", "Finnish"), ("new zeeland", "New Zealand"), ("日本", "日本語")):
        with pytest.raises(
            UnknownLabelError, match=f"must be one of 4 labels, got '{given_label}'; the nearest are .*{nearest}"
        ):
            labels.encode(given_label)
    with pytest.raises(UnknownLabelError, match="such as Danish, Finnish, New Zealand"):
        labels.encode("xyz")
    assert [labels.encode(name) for name in ("", *labels.names)] == [0, 1, 2, 3, 4]


def test_labels_keep_those_that_no_word_has() -> None:
    labels = Labels.of(["X", "X"], names=["Y"])
    assert labels.counts == {"X": 2, "Y": 0}
    assert labels.shares() == [1.0, 0.0]
    assert Labels({"X": 0, "Y": 0}).shares() == [0.5, 0.5]
    for counts in ({}, {"": 1}, {"X": -1}):
        with pytest.raises(ArgumentError, match="labels must be names"):
            Labels(counts)
