import hashlib
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from wavenet.corpus.download import BUNDLED
from wavenet.corpus.reading import read_corpus


def write(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_words_are_read_as_people_write_them(tmp_path: Path) -> None:
    path = write(tmp_path / "words.txt", "\ufeff emma \r\n\r\nZoe\u0308\n\t \n.dot.\nann mary\n")
    assert read_corpus(path).words == ["emma", "Zoë", ".dot.", "ann mary"]
    assert read_corpus(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_byte_order_mark_is_dropped_where_files_were_joined(tmp_path: Path) -> None:
    assert read_corpus(write(tmp_path / "words.txt", "\ufeffava\n\ufeffemma\r\ufeff\nmia\n")).words == [
        "ava",
        "emma",
        "mia",
    ]


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


def test_the_bundled_names() -> None:
    bundled = read_corpus(BUNDLED)
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
