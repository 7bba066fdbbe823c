import hashlib
import http.server
import threading
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavenet.corpus import reading
from wavenet.corpus.reading import Split, default_corpus, download, leaks, read_corpus, split_words

CONTENT = "\n".join(f"name{number}" for number in range(100)).encode()


def write(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_words_are_read_as_people_write_them(tmp_path: Path) -> None:
    path = write(tmp_path / "words.txt", "\ufeff emma \r\n\r\nZoe\u0308\n\t \n.dot.\nann mary\n")
    assert read_corpus(path).words == ["emma", "Zoë", ".dot.", "ann mary"]
    assert read_corpus(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_other_fields_are_labels(tmp_path: Path) -> None:
    found = read_corpus(write(tmp_path / "words.tsv", "Emma\tEnglish\tf\nOtto \t German\nAva\n"))
    assert found.words == ["Emma", "Otto", "Ava"]
    assert found.labels == [("English", "f"), ("German",), ()]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no words.*got 0 bytes"),
        (b"\n  \n\r\n", "holds no words"),
        (b"abc\nd\xe9f\n", "line 2, byte 2 is 0xe9"),
        (b"\xef\xbb\xbfabc\nd\xe9f\n", "line 2, byte 2 is 0xe9"),
        (b"\xef\xbb\xbfa\xe9\n", "line 1, byte 5 is 0xe9"),
        (b"abc\nd\0f\n", "line 2: expected text, got the control character U.0000; save the file as UTF-8"),
        (b"abc\n\tlabel\n", "line 2: expected a word before the first tab"),
    ],
)
def test_files_that_are_no_corpus(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_corpus(write(tmp_path / "words.txt", content))


def test_missing_files_and_directories(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="words not found"):
        read_corpus(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError, match="got the directory"):
        read_corpus(tmp_path)


@given(st.lists(st.text(min_size=1), min_size=10), st.integers())
def test_a_split_keeps_every_word_once_and_depends_on_its_seed_alone(words: list[str], seed: int) -> None:
    split = split_words(words, seed)
    assert Counter([*split.train, *split.val, *split.test]) == Counter(words)
    assert [len(part) for part in split] == [
        int(0.8 * len(words)),
        int(0.9 * len(words)) - int(0.8 * len(words)),
        len(words) - int(0.9 * len(words)),
    ]
    assert split == split_words(words, seed)


def test_the_shuffle_is_that_of_the_lecture() -> None:
    # random.seed(42); random.shuffle(words), on the ten digits
    assert "".join(w for part in split_words(list("0123456789"), 42) for w in part) == "7328569401"


@pytest.mark.parametrize("count", range(6))
def test_too_few_words_for_three_splits(count: int) -> None:
    with pytest.raises(ValueError, match=f"at least 6 words.*got {count}"):
        split_words(["a"] * count, 42)
    assert all(split_words(["a"] * 6, 42))


def test_leaks_count_the_words_that_stand_in_train_too() -> None:
    assert leaks(Split(["a", "b", "b"], ["a", "c"], ["b", "b", "a"])) == {"val": 1, "test": 3}


def test_deduplicated_keeps_the_first_place(tmp_path: Path) -> None:
    assert read_corpus(write(tmp_path / "w", "b\na\nb\nc\na\n")).deduplicated() == ["b", "a", "c"]


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves the names; ``/truncated`` promises more than it sends, ``/missing`` is not there."""

    def do_GET(self) -> None:
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Length", str(len(CONTENT) + (100 if self.path == "/truncated" else 0)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(tmp_path / reading.BUNDLED, "Ava\tEnglish\n")
    monkeypatch.setattr(reading, "DATA_DIR", tmp_path)
    monkeypatch.setattr(reading, "NAMES_SHA256", hashlib.sha256(CONTENT).hexdigest())
    return tmp_path


def test_the_default_corpus_is_downloaded_once(server: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "NAMES_URL", f"{server}/names.txt")
    first = default_corpus()
    assert (first.path, first.note, len(first.words)) == (data_dir / "names.txt", None, 100)
    monkeypatch.setattr(reading, "NAMES_URL", f"{server}/missing")
    assert default_corpus() == first
    assert sorted(path.name for path in data_dir.iterdir()) == ["names.txt", reading.BUNDLED]


@pytest.mark.parametrize(
    ("page", "reason"), [("missing", "Not Found"), ("truncated", "connection ended"), (None, "refused")]
)
def test_without_the_network_the_bundled_corpus_is_used_and_says_so(
    server: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch, page: str | None, reason: str
) -> None:
    if page is not None:
        monkeypatch.setattr(reading, "NAMES_URL", f"{server}/{page}")
    found = default_corpus()
    assert found.words == ["Ava"]
    assert found.note is not None
    assert reason in found.note
    assert [path.name for path in data_dir.iterdir()] == [reading.BUNDLED]


def test_a_download_of_something_else_leaves_nothing(server: str, data_dir: Path) -> None:
    with pytest.raises(ValueError, match="expected 0000; nothing was kept"):
        download(f"{server}/names.txt", data_dir / "names.txt", "0000")
    with pytest.raises(ConnectionError, match=f"ended after {len(CONTENT)} of {len(CONTENT) + 100} bytes"):
        download(f"{server}/truncated", data_dir / "names.txt", reading.NAMES_SHA256)
    assert [path.name for path in data_dir.iterdir()] == [reading.BUNDLED]


def test_the_bundled_names() -> None:
    bundled = read_corpus(reading.DATA_DIR / reading.BUNDLED)
    languages = Counter(label for (label,) in bundled.labels)
    assert len(set(bundled.words)) >= 4000
    assert len(languages) >= 24
    assert min(languages.values()) >= 120
    rows = [(word.casefold(), label) for word, label in zip(bundled.words, bundled.labels, strict=True)]
    assert [row for row, count in Counter(rows).items() if count > 1] == []
    for word in bundled.words:
        assert word[0].isupper(), word
        assert not any(character.isupper() for character in word[1:]), word
        assert {unicodedata.category(character) for character in word} <= {"Lu", "Ll", "Mn"}, word
        assert all("LATIN" in unicodedata.name(c) or "COMBINING" in unicodedata.name(c) for c in word), word
    text = bundled.path.read_text(encoding="utf-8")
    assert text == unicodedata.normalize("NFC", text)
    assert text == "".join(f"{word}\t{label}\n" for word, (label,) in zip(bundled.words, bundled.labels, strict=True))
