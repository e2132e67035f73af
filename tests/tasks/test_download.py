"""Downloads from a server on this machine: whole, cut off, resumed, wrong, absent."""

import errno
import hashlib
import http.server
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from epochal.core.values.errors import UserError
from epochal.tasks.datasets import catalog
from epochal.tasks.datasets import download as module
from epochal.tasks.datasets.catalog import KnownSet, SourceFile
from epochal.tasks.datasets.download import download

CONTENT = np.random.default_rng(0).bytes(700_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves ``CONTENT`` as ``/file``; ``cuts`` holds after how many bytes the next answers break off."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.cuts: list[int] = []
        self.asked: list[str | None] = []
        self.knows_ranges = True

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/file"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.path != "/file":
            self.send_error(404)
            return
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted else 0  # type: ignore[index]
        if start >= len(CONTENT):
            self.send_error(416)
            return
        if start and self.server.knows_ranges:
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        else:
            start = 0
            self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        cut = self.server.cuts.pop(0) if self.server.cuts else len(CONTENT)
        self.wfile.write(CONTENT[start : start + cut])

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(module, "CHUNK_BYTES", 1 << 16)
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def refusal(server: Server, target: Path, **changes: Any) -> str:
    with pytest.raises(UserError) as caught:
        download(changes.pop("address", server.address), target, **({"md5": MD5} | changes))
    assert "\n" not in str(caught.value)
    assert not target.exists() or target.read_bytes() == b"mine"
    return str(caught.value)


def test_a_file_arrives_whole_with_progress_and_is_not_fetched_twice(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    target = tmp_path / "new" / "file.bin"
    download(server.address, target, md5=MD5, progress=lambda *now: seen.append(now))
    assert target.read_bytes() == CONTENT and [path.name for path in target.parent.iterdir()] == ["file.bin"]
    assert seen[0] == ("file.bin", 0, 700_000) and seen[-1] == ("file.bin", 700_000, 700_000)
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen) and len(seen) > 5
    download(server.address, target, md5=MD5)
    assert len(server.asked) == 1


def test_a_cut_connection_is_continued_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.cuts = [100_000, 250_000]
    download(server.address, tmp_path / "file", md5=MD5)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-", "bytes=350000-"]


def test_a_later_call_continues_too(server: Server, tmp_path: Path) -> None:
    server.cuts = [60_000] * module.ATTEMPTS
    assert "broke 5 times" in refusal(server, tmp_path / "file")
    assert (tmp_path / "file.part").stat().st_size == 300_000
    server.asked.clear()
    seen: list[int] = []
    download(server.address, tmp_path / "file", md5=MD5, progress=lambda name, done, total: seen.append(done))
    assert server.asked == ["bytes=300000-"] and (tmp_path / "file").read_bytes() == CONTENT
    assert seen[0] == 300_000


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    server.knows_ranges = False
    (tmp_path / "file.part").write_bytes(b"something else")
    download(server.address, tmp_path / "file", md5=MD5)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_part_that_is_whole_already_only_gets_its_name(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT)
    download(server.address, tmp_path / "file", md5=MD5)
    assert (tmp_path / "file").read_bytes() == CONTENT and not (tmp_path / "file.part").exists()


def test_a_wrong_checksum_is_refused_and_its_bytes_are_dropped(server: Server, tmp_path: Path) -> None:
    message = refusal(server, tmp_path / "file", md5="0" * 32)
    assert f"700000 bytes with md5 {MD5}" in message and "expected 000000" in message
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file.part").write_bytes(b"damaged" + CONTENT[7:100])
    assert "expected" in refusal(server, tmp_path / "file")
    download(server.address, tmp_path / "file", md5=MD5)


def test_a_file_of_that_name_is_never_overwritten(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    assert "there already" in refusal(server, tmp_path / "file") and server.asked == []


def test_no_network_and_no_such_file_are_said_in_one_line(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "file"
    free = "http://127.0.0.1:9/file"  # the discard port: nobody listens
    message = refusal(server, target, address=free)
    assert f"cannot fetch {free}" in message and "network, proxy" in message and str(target) in message
    assert "404" in refusal(server, target, address=server.address + "s")
    server.cuts = [0]
    assert "the connection ended early" in refusal(server, target)


def test_what_brings_nothing_leaves_no_folder(server: Server, tmp_path: Path) -> None:
    refusal(server, tmp_path / "new" / "file", address="http://127.0.0.1:9/file")
    assert not (tmp_path / "new").exists()
    (tmp_path / "mine").mkdir()
    refusal(server, tmp_path / "mine" / "file", address="http://127.0.0.1:9/file")
    assert (tmp_path / "mine").is_dir()


def test_a_full_or_closed_disk_is_said_in_one_line(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = refusal(server, tmp_path / "file", num_bytes=10**18)
    assert "MB free" in message and "make room" in message and server.asked == []

    def full(path: Path, mode: str) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", full)
        assert "the disk is full" in refusal(server, tmp_path / "file")
    (tmp_path / "blocked").write_bytes(b"a file, not a folder")
    assert "cannot write" in refusal(server, tmp_path / "blocked" / "file")


def test_disk_space_already_used_by_the_part_counts(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    (tmp_path / "file.part").write_bytes(CONTENT[:-500])
    download(server.address, tmp_path / "file", md5=MD5, num_bytes=len(CONTENT))
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_the_catalogue_fetches_what_is_missing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = SourceFile(name="file.npz", address=server.address, md5=MD5, num_bytes=len(CONTENT))
    known = KnownSet(
        name="mine", description="d", licence="l", source="s", files=(file,), load=catalog.find("digits").load
    )
    monkeypatch.setitem(catalog.CATALOG, "mine", known)
    assert catalog.verify("mine", tmp_path)[0].state == "missing"
    assert catalog.get("mine", tmp_path) == (tmp_path / "mine" / "file.npz",)
    assert catalog.verify("mine", tmp_path)[0].state == "verified"
    (tmp_path / "mine" / "file.npz").write_bytes(CONTENT[:-1])
    state = catalog.verify("mine", tmp_path)[0]
    assert state.state == "wrong checksum" and state.found_md5 == hashlib.md5(CONTENT[:-1]).hexdigest()
