"""Large files of words, encoded once: their numbers are kept in a folder, from which every later run maps them.

The folder of a file is named by its SHA-256 and by what its numbers depend on, so that it is found again wherever the
file lies, and another one is made when the file changes. It is written beside its place and renamed when it is whole:
two processes that encode one file at once do not disturb each other, and one of their folders stays. A folder whose
files have other sizes than they should is made anew. Any of them may be deleted at any time.
"""

import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
import unicodedata
from atexit import register
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, get_type_hints

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import Progress

from wavenet.corpus.encoding import BLOCK, Encoder, blocks
from wavenet.corpus.index import WordIndex, build
from wavenet.corpus.mapping import Mapped
from wavenet.corpus.parsing import EXPECTED
from wavenet.corpus.words import Store, Words, smallest_type
from wavenet.runs import locked, open_regular

VERSION = 1
"""Raised when what is written changes."""

VARIABLE = "WAVENET_CACHE"
CONTENT = "content.json"
ABANDONED = 24 * 3600  # seconds after which a folder that is still being written has lost its process
PATIENCE = 2.0  # seconds after which progress is shown

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Content:
    """What a folder holds: the number of words and of their tokens, and what it takes to read the arrays."""

    num_words: int
    num_tokens: int
    longest: int
    alphabet: str
    seed: int
    num_distinct: int

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(Content).items():
            if type(getattr(self, name)) is not kind:
                raise TypeError(f"{name} must be of type {kind.__name__}, got {getattr(self, name)!r}")

    @property
    def arrays(self) -> dict[str, tuple[npt.DTypeLike, int]]:
        """The type and the length of the array in each file."""
        rows = smallest_type(self.num_words)
        return {
            "tokens": (smallest_type(len(self.alphabet)), self.num_tokens),
            "starts": (smallest_type(self.num_tokens), self.num_words + 1),
            "hashes": (np.uint64, self.num_words),
            "order": (rows, self.num_words),
            "distinct": (rows, self.num_distinct),
        }


def cache_folder() -> Path:
    """Where encoded files are kept: ``$WAVENET_CACHE``, or ``wavenet`` in the user's folder of caches."""
    if given := os.environ.get(VARIABLE):
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wavenet"


def cached_words(path: Path) -> tuple[str, Words]:
    """The SHA-256 and the words of a file, which are encoded if they have not been yet.

    Raises:
        OSError: The file is missing, unreadable or no regular file, or the cache cannot be written.
        ValueError: See :func:`wavenet.corpus.reading.read_corpus`.
    """
    with open_regular(path, EXPECTED) as file:
        found = os.fstat(file.fileno())
    return _cached_words(path.absolute(), (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns))


@lru_cache(maxsize=4)
def _cached_words(path: Path, state: tuple[int, ...]) -> tuple[str, Words]:
    """The same, once in a process for each state of the file."""
    sha256 = sha256_of(path)
    name = f"{sha256}-{VERSION}-{unicodedata.unidata_version}"
    root = cache_folder()
    words = opened(root / name)
    if words is None:
        root = writable(root)
        encode(path, sha256, root / name)
        words = opened(root / name)
    if words is None:
        raise OSError(f"the cache {root} cannot be read after it was written; {VARIABLE} names another folder")
    return sha256, words


def sha256_of(path: Path) -> str:
    """The SHA-256 of a regular file, read bit by bit.

    Raises:
        OSError: See :func:`wavenet.runs.open_regular`.
    """
    digest = hashlib.sha256()
    with open_regular(path, EXPECTED) as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def writable(root: Path) -> Path:
    """The folder of caches, or, with a note, one for this process alone where nothing can be written there."""
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            return root
    except OSError as error:
        print(
            f"note: {root} cannot be written ({error.strerror}), so the words are encoded for this process alone; "
            f"{VARIABLE} names another folder",
            file=sys.stderr,
        )
        folder = Path(tempfile.mkdtemp(prefix="wavenet-"))
        register(shutil.rmtree, folder, ignore_errors=True)
        return folder


def opened(folder: Path) -> Words | None:
    """The words in a folder, if it is there and whole."""
    try:
        content = Content(**json.loads((folder / CONTENT).read_text(encoding="utf-8")))
        files = {name: Mapped(folder / name, kind) for name, (kind, _) in content.arrays.items()}
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    arrays = {name: file.array for name, file in files.items()}
    if any(len(arrays[name]) != length for name, (_, length) in content.arrays.items()):
        return None
    store = Store(
        arrays["tokens"], arrays["starts"], content.alphabet, release=[file.release for file in files.values()]
    )
    distinct = arrays["distinct"] if content.num_distinct < content.num_words else None
    store.index = WordIndex(store, arrays["hashes"], arrays["order"], distinct, content.seed, content.longest)
    return Words(store)


def encode(path: Path, sha256: str, folder: Path) -> None:
    """Encodes a file into a folder, which appears once it is whole.

    Raises:
        OSError: The folder cannot be written.
        ValueError: The file is refused, or has changed meanwhile.
    """
    for left in folder.parent.glob(f".{folder.name}.*"):
        with suppress(FileNotFoundError):  # another process has just finished it
            if time.time() - left.lstat().st_mtime > ABANDONED:
                remove(left)
    part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        with progress(f"encoding {path.name} into {folder.parent}, once", 4 * path.stat().st_size) as said:
            content = write_arrays(path, sha256, part, said)
        (part / CONTENT).write_text(json.dumps(asdict(content)), encoding="utf-8")
        for written in part.iterdir():
            with written.open("rb+") as file:
                os.fsync(file.fileno())
        publish(part, folder)
    except OSError as error:
        if error.filename is not None and Path(error.filename) == path:
            raise
        raise OSError(
            f"cannot write the cache {folder.parent}: {error.strerror or error}; {VARIABLE} names another folder"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def publish(part: Path, folder: Path) -> None:
    """Gives a whole folder its name, in place of what is damaged there, unless another process has done so.

    Processes do so one after another: no folder is taken away that has come since it was looked for.
    """
    damaged = part.with_name(f"{part.name}.damaged")
    with locked(folder.parent):
        if opened(folder) is None:
            with suppress(FileNotFoundError):
                folder.rename(damaged)
            part.rename(folder)
    remove(damaged)


def remove(path: Path) -> None:
    """Removes a folder, or whatever is there in its place."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_arrays(path: Path, sha256: str, folder: Path, said: Callable[[float], None]) -> Content:
    """Writes the arrays of a file's words; ``said`` is told how many bytes' work is done, four for each of the file."""
    size = path.stat().st_size
    with open_regular(path, EXPECTED) as file:
        alphabet, longest, found = write_tokens(file, path, folder, lambda count: said(2 * count))
    if found != sha256:
        raise ValueError(f"{path} has changed while it was read: expected SHA-256 {sha256}, got {found}")
    if not longest:
        raise ValueError(f"{path} holds no words: expected one word per line, got {size} bytes without any")
    tokens = Mapped(folder / "tokens", smallest_type(len(alphabet)))
    num_tokens = len(tokens.array)
    write_starts(folder, num_tokens)
    starts = Mapped(folder / "starts", smallest_type(num_tokens))
    store = Store(tokens.array, starts.array, alphabet, release=[tokens.release, starts.release])
    seed, num_distinct = build(store, longest, folder, lambda rows: said(rows * size / len(store)))
    return Content(len(store), num_tokens, longest, alphabet, seed, num_distinct)


def write_tokens(file: BinaryIO, path: Path, folder: Path, said: Callable[[int], None]) -> tuple[str, int, str]:
    """Writes the tokens of a file's words, and how many each has to ``lengths``.

    Returns:
        Its alphabet, how many tokens the longest word has, and the SHA-256 of the file.
    """
    encoder, digest, longest = Encoder(path), hashlib.sha256(), 0
    kind: Any = np.uint8
    tokens_path = folder / "tokens"
    tokens_path.touch()
    with (folder / "lengths").open("wb") as lengths:
        for block in blocks(file):
            digest.update(block)
            encoded = encoder.encode(block)
            if encoded.tokens.dtype != kind:
                widen(tokens_path, kind, encoded.tokens.dtype)
                kind = encoded.tokens.dtype
            with tokens_path.open("ab") as tokens:
                encoded.tokens.tofile(tokens)
            encoded.lengths.astype(np.uint32).tofile(lengths)
            longest = max(longest, int(encoded.lengths.max(initial=0)))
            said(len(block))
    return encoder.alphabet, longest, digest.hexdigest()


def widen(path: Path, kind: npt.DTypeLike, wider: npt.DTypeLike) -> None:
    """Rewrites a file of numbers in another type."""
    narrow = path.rename(path.with_name("narrow"))
    with narrow.open("rb") as source, path.open("wb") as file:
        while content := source.read(BLOCK):
            np.frombuffer(content, kind).astype(wider).tofile(file)
    narrow.unlink()


def write_starts(folder: Path, num_tokens: int) -> None:
    """Writes where words start, from how many tokens they have."""
    kind = smallest_type(num_tokens)
    with (folder / "lengths").open("rb") as lengths, (folder / "starts").open("wb") as file:
        end = 0
        np.zeros(1, kind).tofile(file)
        while content := lengths.read(BLOCK):
            ends = end + np.frombuffer(content, np.uint32).cumsum(dtype=np.int64)
            ends.astype(kind).tofile(file)
            end = int(ends[-1])
    (folder / "lengths").unlink()


@contextmanager
def progress(what: str, total: float) -> Iterator[Callable[[float], None]]:
    """What is told how much more is done: a bar on stderr in a terminal, elsewhere one line where it takes long."""
    console = Console(stderr=True)
    begin, told = time.monotonic(), False
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total, visible=False)

        def said(count: float) -> None:
            nonlocal told
            bar.advance(task, count)
            if not told and time.monotonic() - begin > PATIENCE:
                told = True
                bar.update(task, visible=True)
                if not console.is_terminal:
                    console.print(what, highlight=False, soft_wrap=True, markup=False)

        yield said
