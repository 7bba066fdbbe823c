"""Words as numbers are the words, whatever is done with them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from wavenet.corpus import cache, encoding, index, reading, words
from wavenet.corpus.oddities import oddities
from wavenet.corpus.reading import Corpus, read_corpus
from wavenet.corpus.shuffling import Shuffle
from wavenet.corpus.splitting import Split, known_words, leaks, novelty, split_corpus
from wavenet.corpus.vocabulary import UnknownCharacterError, Vocabulary
from wavenet.corpus.words import Known, Words, characters, num_tokens, sizes, translation

MANY = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
FILES = settings(MANY, max_examples=20)
TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), min_size=1, max_size=20)
LINES = st.lists(st.one_of(st.text("ab ", max_size=4), st.text("aé\u0301가\u1100\u1161💡", max_size=4)), max_size=30)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Makes every file a large one, of many blocks and buckets; the folder of the cache."""
    monkeypatch.setattr(reading, "ENCODED_FROM", 1)
    monkeypatch.setattr(encoding, "BLOCK", 16)
    monkeypatch.setattr(index, "SORTED_AT_ONCE", 4)
    monkeypatch.setattr(index, "SCANNED_AT_ONCE", 3)
    monkeypatch.setattr(words, "KEPT", 0)
    monkeypatch.setattr(words, "READ", 3)
    for module in (words, index):
        monkeypatch.setattr(module, "AT_ONCE", 2)
    monkeypatch.setattr("os.fsync", lambda descriptor: None)  # which takes most of the time here
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def both(path: Path, content: bytes) -> tuple[Corpus, Corpus]:
    """A file as a list, and as numbers."""
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "ENCODED_FROM", 2**20)
        listed = read_corpus(path)
    found = read_corpus(path)
    assert isinstance(listed.words, list)
    assert isinstance(found.words, Words)
    return listed, found


@FILES
@given(LINES, st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from(["", "\ufeff"]), st.booleans())
def test_a_file_holds_the_same_words(
    encoded: Path, tmp_path: Path, lines: list[str], end: str, mark: str, ended: bool
) -> None:
    assume(any(line.strip() for line in lines))
    content = (mark + end.join(lines) + (end if ended else "")).encode()
    listed, found = both(tmp_path / "words.txt", content)
    assert list(found.words) == listed.words
    assert found.sha256 == listed.sha256
    assert characters(found.words) == characters(listed.words)
    assert found.words.num_distinct == len(set(listed.words))  # type: ignore[attr-defined]


@FILES
@given(st.binary(max_size=60) | st.text("a\n\t \x07\u2028\x85é", max_size=30).map(str.encode))
def test_a_file_is_refused_with_the_same_words(encoded: Path, tmp_path: Path, content: bytes) -> None:
    assume(content)
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    said = []
    for size in (1, 2**20):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reading, "ENCODED_FROM", size)
            try:
                said.append(list(read_corpus(path).words))
            except ValueError as error:
                said.append([str(error)])
    assert said[0] == said[1]


def test_an_alphabet_may_outgrow_a_byte(encoded: Path, tmp_path: Path) -> None:
    content = "".join(f"{chr(0x4E00 + i)}{chr(0x4E00 + 2 * i)}\n" for i in range(700)).encode()
    listed, found = both(tmp_path / "words.txt", content)
    assert list(found.words) == listed.words
    assert found.words.store.tokens.dtype == np.uint16  # type: ignore[attr-defined]


@MANY
@given(TEXTS, st.data())
def test_a_view_is_a_list(texts: list[str], data: st.DataObject) -> None:
    found = Words.of(texts)
    begin, end = data.draw(st.tuples(*[st.none() | st.integers(-9, 9)] * 2))
    cut = slice(begin, end, data.draw(st.sampled_from([None, 1, 3, -1])))
    assert list(found) == texts
    assert list(found[cut]) == texts[cut]
    assert list(found[cut][1:]) == texts[cut][1:]
    assert [found[i] for i in range(-len(texts), len(texts))] == [*texts, *texts]
    assert num_tokens(found[cut]) == num_tokens(texts[cut])
    assert sizes([found[:3], found[3:]]) == sizes([texts[:3], texts[3:]])
    rows = np.arange(len(texts))
    assert rows[found[cut].holds(rows)].tolist() == sorted(rows[cut].tolist())
    with pytest.raises(IndexError):
        _ = found[len(texts)]


@MANY
@given(TEXTS)
def test_tokens_are_those_of_the_vocabulary(texts: list[str]) -> None:
    vocabulary, found = Vocabulary(characters([*texts, "a"])), Words.of(texts)
    tokens, lengths = found.tokens(np.arange(len(texts)))
    expected = [token for text in texts for token in [*vocabulary.encode(text), 0]]
    assert translation(found, vocabulary)[tokens].tolist() == expected
    assert lengths.tolist() == [len(text) + 1 for text in texts]


def test_an_unknown_character_is_named_with_its_word() -> None:
    found = Words.of(["ab", "acb", "dd"])
    with pytest.raises(UnknownCharacterError, match=r"'c' \(U\+0063\) in 'acb'"):
        translation(found, Vocabulary("ab"))
    assert translation(found[:1], Vocabulary("ab")).tolist() == [0, 1, 2, 0, 0]  # others may have it


@FILES
@given(st.lists(st.text("abc", min_size=1, max_size=3), min_size=12, max_size=40), st.integers(0, 9), st.booleans())
def test_a_split_is_that_of_the_list(
    encoded: Path, tmp_path: Path, texts: list[str], seed: int, deduplicate: bool
) -> None:
    assume(len(set(texts)) > 5)
    listed, found = both(tmp_path / "words.txt", "\n".join(texts).encode())
    ours, theirs = (split_corpus(corpus, seed, deduplicate) for corpus in (found, listed))
    assert [list(part.words) for part in ours] == [part.words for part in theirs]
    check_facts(ours, theirs)


def check_facts(ours: Split, theirs: Split) -> None:
    """What is found out about a split is the same as of its lists."""
    assert leaks(ours) == leaks(theirs)
    kind, expected = novelty(ours), novelty(theirs)
    known = known_words(ours)
    for word in [*(word for part in theirs for word in part.words), "", "abcd", "ac?"]:
        assert kind(word) == expected(word)
        assert (word in known) == (expected(word) != "new")


@FILES
@given(st.lists(st.text("abc", min_size=1, max_size=3), min_size=12, max_size=40), st.integers(0, 9), st.booleans())
def test_a_long_list_is_split_by_its_seed_alone(
    encoded: Path, tmp_path: Path, texts: list[str], seed: int, deduplicate: bool
) -> None:
    assume(len(set(texts)) > 5)
    (tmp_path / "words.txt").write_text("\n".join(texts), encoding="utf-8")
    corpus = read_corpus(tmp_path / "words.txt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wavenet.corpus.splitting.LISTED", 1)
        split = split_corpus(corpus, seed, deduplicate)
        again = split_corpus(corpus, seed, deduplicate)
    parts = [list(part.words) for part in split]
    assert parts == [list(part.words) for part in again]
    expected = sorted(set(texts) if deduplicate else texts)
    assert sorted(word for part in parts for word in part) == expected
    assert [len(part) for part in parts] == [len(part.words) for part in split_corpus(corpus, seed, deduplicate)]
    check_facts(split, Split(*(part._replace(words=list(part.words)) for part in split)))


def test_words_that_share_a_hash_are_told_apart(encoded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = index.Hasher.of
    first = np.uint64(1) << np.uint64(32), np.uint64(2) << np.uint64(32)  # the salts of the first two seeds

    def few(self: index.Hasher, numbers: Any, lengths: Any) -> Any:
        return np.zeros(len(lengths), np.uint64) if self._salt in first else honest(self, numbers, lengths)

    monkeypatch.setattr(index.Hasher, "of", few)
    (tmp_path / "words.txt").write_text("emma\nava\nemma\n", encoding="utf-8")
    found = read_corpus(tmp_path / "words.txt").words
    assert found.store.index._hasher._salt == np.uint64(3) << np.uint64(32)  # type: ignore[attr-defined]
    assert "emma" in found
    assert "mia" not in found
    assert found.num_distinct == 2  # type: ignore[attr-defined]


def test_oddities_are_those_of_the_list(encoded: Path, tmp_path: Path) -> None:
    listed, found = both(tmp_path / "words.txt", b"name\n" + b"emma,1\n" * 20)
    assert len(oddities(listed, block_size=8)) == 3
    assert oddities(found, block_size=8) == oddities(listed, block_size=8)


@given(st.integers(1, 200), st.integers(0, 5))
def test_a_computed_order_has_every_number_once(size: int, seed: int) -> None:
    shuffle, positions = Shuffle(size, f"{seed}"), np.arange(size)
    order = shuffle(positions)
    assert sorted(order.tolist()) == positions.tolist()
    assert shuffle.place_of(order).tolist() == positions.tolist()


def test_computed_orders_are_as_random_as_shuffled_ones() -> None:
    """Pearson's chi-square test of all orders of four numbers, and of where the first of a thousand comes to stand."""
    orders = np.array([Shuffle(4, f"{seed}")(np.arange(4)) for seed in range(4_800)])
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 24
    assert ((counts - 200) ** 2 / 200).sum() < 23 + 4 * (2 * 23) ** 0.5
    first = [int(Shuffle(1000, f"{seed}")(np.arange(1))[0]) // 100 for seed in range(2_000)]
    counts = np.bincount(first, minlength=10)
    assert ((counts - 200) ** 2 / 200).sum() < 9 + 4 * (2 * 9) ** 0.5


def test_known_words_of_several_lists() -> None:
    known = Known(["a", "b"], Known(Words.of(["c"])))
    assert [word in known for word in ("a", "c", "d")] == [True, True, False]
    assert list(known) == ["a", "b", "c"]
    assert len(known) == 3
