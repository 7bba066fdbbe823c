"""Encoded files are found again, whole, whatever happens to them."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, WORDS
from wavenet.corpus import cache, reading
from wavenet.corpus.reading import read_corpus
from wavenet.corpus.words import Words


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of the cache, which every file goes to."""
    monkeypatch.setattr(reading, "ENCODED_FROM", 1)
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def words_path(tmp_path: Path) -> Path:
    path = tmp_path / "words.txt"
    path.write_text("\n".join(WORDS), encoding="utf-8")
    return path


def read_again(path: Path) -> list[str]:
    """What another process would read."""
    cache._cached_words.cache_clear()
    found = read_corpus(path).words
    assert isinstance(found, Words)
    return list(found)


def no_encoding(*args: object) -> None:
    raise AssertionError("encoded again")


def test_a_file_is_encoded_once_and_found_wherever_it_lies(
    folder: Path, words_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_again(words_path) == WORDS
    (entry,) = folder.iterdir()
    assert entry.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(cache, "encode", no_encoding)
    assert read_again(words_path.rename(words_path.with_name("other.txt"))) == WORDS


def test_a_changed_file_is_another_one_though_size_and_time_are_the_same(folder: Path, words_path: Path) -> None:
    read_again(words_path)
    before = words_path.stat()
    words_path.write_text("\n".join(reversed(WORDS)), encoding="utf-8")
    os.utime(words_path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert read_again(words_path) == WORDS[::-1]
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("name", ["tokens", "starts", "hashes", "order", "distinct", cache.CONTENT])
@pytest.mark.parametrize("damage", ["missing", "cut", "empty"])
def test_a_torn_folder_is_made_anew(folder: Path, words_path: Path, name: str, damage: str) -> None:
    read_again(words_path)
    (entry,) = folder.iterdir()
    path = entry / name
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[:-1] if damage == "cut" else b"")
    assert read_again(words_path) == WORDS
    assert path.read_bytes() == content


def test_a_file_in_the_folders_place_goes(folder: Path, words_path: Path) -> None:
    read_again(words_path)
    (entry,) = folder.iterdir()
    shutil.rmtree(entry)
    entry.write_text("stray", encoding="utf-8")
    assert read_again(words_path) == WORDS
    assert [path for path in folder.iterdir()] == [entry]


def test_content_of_another_kind_is_made_anew(folder: Path, words_path: Path) -> None:
    read_again(words_path)
    (entry,) = folder.iterdir()
    (entry / cache.CONTENT).write_text(json.dumps({"num_words": 3}), encoding="utf-8")
    assert read_again(words_path) == WORDS


def test_processes_that_encode_one_file_at_once_end_with_one_folder(folder: Path, words_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from wavenet.corpus import reading; reading.ENCODED_FROM = 1;"
        "print(len(reading.read_corpus(Path(sys.argv[1])).words))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, words_path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [process.communicate()[0].strip() for process in started] == [str(len(WORDS))] * 3
    assert len(list(folder.iterdir())) == 1


def test_another_process_that_was_faster_is_believed(
    folder: Path, words_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = cache.write_arrays

    def slow(path: Path, sha256: str, part: Path, said: object) -> cache.Content:
        content = honest(path, sha256, part, said)  # type: ignore[arg-type]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cache, "write_arrays", honest)
            cache.encode(path, sha256, part.parent / part.name[1:].rpartition(".")[0])
        return content

    monkeypatch.setattr(cache, "write_arrays", slow)
    assert read_again(words_path) == WORDS
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("damaged", [False, True])
def test_no_process_takes_away_what_another_has_put_there(folder: Path, words_path: Path, damaged: bool) -> None:
    read_again(words_path)
    (entry,) = folder.iterdir()
    parts = [shutil.copytree(entry, folder / f".part.{number}") for number in range(3)]
    if damaged:
        (entry / "tokens").unlink()
    else:
        shutil.rmtree(entry)
    slowly = (
        "import sys, time; from pathlib import Path; from wavenet.corpus import cache; look = cache.opened;"
        "cache.opened = lambda folder: (look(folder), time.sleep(0.3))[0]; cache.publish(*map(Path, sys.argv[1:]))"
    )
    started = [subprocess.Popen([sys.executable, "-c", slowly, part, entry], cwd=ROOT) for part in parts]
    seen = []
    while any(process.poll() is None for process in started):
        seen.append(entry.stat().st_ino if cache.opened(entry) is not None else None)
        time.sleep(0.01)
    assert [process.returncode for process in started] == [0] * 3
    came = [inode for inode in seen if inode is not None]
    assert len(set(came)) == 1
    assert seen[-len(came) :] == came
    assert len([part for part in parts if part.exists()]) == 2
    assert not list(folder.glob("*.damaged"))


@pytest.mark.parametrize("target", ["there", "nowhere"])
def test_a_link_in_its_place_goes_and_what_it_leads_to_stays(folder: Path, words_path: Path, target: str) -> None:
    read_again(words_path)
    (entry,) = folder.iterdir()
    shutil.rmtree(entry)
    kept = words_path.parent / "there"
    kept.mkdir()
    entry.symlink_to(words_path.parent / target)
    assert read_again(words_path) == WORDS
    assert list(folder.iterdir()) == [entry]
    assert not entry.is_symlink()
    assert kept.is_dir()


@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, {"seed": "x"}, {"longest": None}, {"num_words": 10**30}, {"alphabet": 3}, {"more": 1}],
    ids=lambda content: str(content)[:20],
)
def test_damaged_content_is_made_anew(folder: Path, words_path: Path, content: str | dict[str, object]) -> None:
    read_again(words_path)
    (entry,) = folder.iterdir()
    path = entry / cache.CONTENT
    honest = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(content if isinstance(content, str) else json.dumps({**honest, **content}), encoding="utf-8")
    assert read_again(words_path) == WORDS
    assert json.loads(path.read_text(encoding="utf-8")) == honest


def test_a_folder_that_cannot_be_written_is_done_without(
    folder: Path, words_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.write_text("in the way", encoding="utf-8")
    assert read_again(words_path) == WORDS
    assert "cannot be written" in capsys.readouterr().err
    assert folder.read_text(encoding="utf-8") == "in the way"


def test_a_full_disk_ends_in_one_line(folder: Path, words_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "write_starts", full)
    with pytest.raises(OSError, match=r"cannot write the cache .*: No space left on device; WAVENET_CACHE names"):
        read_again(words_path)
    assert list(folder.iterdir()) == []


def test_a_file_that_changes_while_it_is_read_is_refused(
    folder: Path, words_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "sha256_of", lambda path: "0" * 64)
    with pytest.raises(ValueError, match="has changed while it was read: expected SHA-256 0000"):
        read_again(words_path)
    assert list(folder.iterdir()) == []


def test_what_a_killed_process_left_goes_after_a_day(folder: Path, words_path: Path) -> None:
    read_again(words_path)
    (entry,) = folder.iterdir()
    (entry / "tokens").unlink()
    for name, age in (("old", cache.ABANDONED + 60), ("young", 0)):
        left = folder / f".{entry.name}.{name}"
        left.mkdir()
        os.utime(left, (time.time() - age,) * 2)
    (folder / f".{entry.name}.link").symlink_to(words_path)
    os.utime(folder / f".{entry.name}.link", (time.time() - cache.ABANDONED - 60,) * 2, follow_symlinks=False)
    assert read_again(words_path) == WORDS
    assert {path.name.rpartition(".")[2] for path in folder.iterdir() if path != entry} == {"young"}


def test_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cache.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache.cache_folder() == Path("/somewhere/wavenet")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.cache_folder() == Path.home() / ".cache" / "wavenet"
    monkeypatch.setenv(cache.VARIABLE, "~/words")
    assert cache.cache_folder() == Path.home() / "words"
