import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from wavenet.corpus import download
from wavenet.corpus.download import default_corpus, path_to_record

CONTENT = "\n".join(f"name{number}" for number in range(100)).encode()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves the names; ``/truncated`` promises more than it sends, ``/missing`` is not there."""

    def do_GET(self) -> None:
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Length", str(len(CONTENT) + (100 if self.path == "/truncated" else 0)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *args: object) -> None:
        pass


def test_a_corpus_is_recorded_as_the_way_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert path_to_record(Path("data", "names.txt")) == path_to_record(tmp_path / "data" / "names.txt")
    assert path_to_record(Path("data", "names.txt")) == "data/names.txt"
    assert path_to_record(Path("..", "names.txt")) == str(tmp_path.parent / "names.txt")


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "world_names.tsv").write_text("Ava\tEnglish\n", encoding="utf-8")
    monkeypatch.setattr(download, "BUNDLED", tmp_path / "world_names.tsv")
    monkeypatch.setattr(download, "DATA_DIR", tmp_path)
    monkeypatch.setattr(download, "NAMES_SHA256", hashlib.sha256(CONTENT).hexdigest())
    return tmp_path


def test_the_default_corpus_is_downloaded_once(server: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "NAMES_URL", f"{server}/names.txt")
    first = default_corpus()
    assert (first.path, first.note, len(first.words)) == (data_dir / "names.txt", None, 100)
    monkeypatch.setattr(download, "NAMES_URL", f"{server}/missing")
    assert default_corpus() == first
    assert sorted(path.name for path in data_dir.iterdir()) == ["names.txt", "world_names.tsv"]


@pytest.mark.parametrize(
    ("page", "reason"), [("missing", "Not Found"), ("truncated", "connection ended"), (None, "refused")]
)
def test_without_the_network_the_bundled_corpus_is_used_and_says_so(
    server: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch, page: str | None, reason: str
) -> None:
    if page is not None:
        monkeypatch.setattr(download, "NAMES_URL", f"{server}/{page}")
    found = default_corpus()
    assert found.words == ["Ava"]
    assert found.note is not None
    assert reason in found.note
    assert [path.name for path in data_dir.iterdir()] == ["world_names.tsv"]


def test_a_download_of_something_else_leaves_nothing(server: str, data_dir: Path) -> None:
    with pytest.raises(ValueError, match="expected 0000; nothing was kept"):
        download.download(f"{server}/names.txt", data_dir / "names.txt", "0000")
    with pytest.raises(ConnectionError, match=f"ended after {len(CONTENT)} of {len(CONTENT) + 100} bytes"):
        download.download(f"{server}/truncated", data_dir / "names.txt", download.NAMES_SHA256)
    assert [path.name for path in data_dir.iterdir()] == ["world_names.tsv"]
