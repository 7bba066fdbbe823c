"""The default corpus: where it is kept, and how it gets there."""

import hashlib
import os
import urllib.request
from functools import cache
from http.client import HTTPException
from pathlib import Path, PureWindowsPath

from rich.console import Console
from rich.progress import wrap_file

from wavenet.corpus.cache import sha256_of
from wavenet.corpus.reading import Corpus, read_corpus
from wavenet.runs import IN_CLONE, shipped, whole_file

NAMES_URL = "https://raw.githubusercontent.com/karpathy/makemore/988aa59e4d8fefa526d06f3b453ad116258398d4/names.txt"
NAMES_SHA256 = "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d"
DATA_DIR = shipped("data") if IN_CLONE else Path("data")  # where the corpus is kept
BUNDLED = shipped("data") / "world_names.tsv"
TIMEOUT = 20  # seconds without an answer after which the network counts as absent


def default_corpus() -> Corpus:
    """``data/names.txt``, downloaded when it is missing, or the bundled corpus when there is no network.

    Raises:
        ValueError: What was downloaded is not the expected file.
    """
    names = DATA_DIR / "names.txt"
    reason = None if names.exists() else why_missing(NAMES_URL, names, NAMES_SHA256)
    if reason is None:
        return read_corpus(names)
    note = f"names.txt could not be downloaded ({reason}), so this run uses the bundled corpus {BUNDLED}"
    return read_corpus(BUNDLED, note)


@cache
def why_missing(url: str, path: Path, sha256: str) -> str | None:
    """Downloads a file and says why it could not, or nothing; a process waits for an absent network only once."""
    try:
        download(url, path, sha256)
    except (OSError, HTTPException) as error:
        return str(getattr(error, "reason", None) or error)
    return None


def path_to_record(path: Path) -> str:
    """What a checkpoint says of where a corpus is: relative to the working directory if it lies inside, else absolute.

    So a folder with a corpus and its runs can be moved, to another machine too.
    """
    path, here = Path(os.path.abspath(path)), Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else str(path)


def find_corpus(recorded: str, sha256: str, checkpoint: Path) -> Path:
    """The file that a checkpoint was trained on, where it was or where it has moved to.

    The recorded path, or as much of its end as there is, is looked for in the working directory, in the folders that
    the checkpoint is in, and in data/. The SHA-256 says which file is the right one; if none is, the recorded path
    is returned, so that the error names it.
    """
    parts = PureWindowsPath(recorded).parts  # reads both kinds of slashes
    ends = [Path(*parts[i:]) for i in range(len(parts))]
    folders = [Path(), *checkpoint.absolute().parents, DATA_DIR]
    candidates = [Path(recorded), *(folder / end for folder in folders for end in ends)]
    found = (path.absolute() for path in candidates if has_sha256(path, sha256))
    return next(found, Path(recorded))


def has_sha256(path: Path, sha256: str) -> bool:
    """Whether a path is a file that can be read, and that has this SHA-256."""
    try:
        return path.is_file() and sha256_of(path) == sha256
    except OSError:
        return False


def download(url: str, path: Path, sha256: str) -> None:
    """Fetches a file to ``path``, which appears only once it is complete and its SHA-256 is the expected one.

    Raises:
        OSError, HTTPException: There is no network, the server refuses or stops, or the file cannot be written.
        ValueError: The SHA-256 is another one.
    """
    with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, "wb") as file:
            size = int(response.headers.get("Content-Length", 0))
            console = Console(stderr=True)
            shown = console.is_terminal
            name = f"Downloading {path.name}"
            with wrap_file(response, size, description=name, console=console, disable=not shown) as source:
                content = source.read()
            if len(content) < size:
                raise ConnectionError(f"the connection ended after {len(content):,} of {size:,} bytes")
            if (got := hashlib.sha256(content).hexdigest()) != sha256:
                raise ValueError(
                    f"{url} gave a file with SHA-256 {got}, expected {sha256}; nothing was kept: "
                    f"try again, or put the file at {path} yourself"
                )
            file.write(content)
