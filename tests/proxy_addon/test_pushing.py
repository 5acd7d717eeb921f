"""Checkpoints are put into directories and posted, and nothing that lies there is overwritten."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from crawl_audit.errors import ConfigurationError
from proxy_addon.anchor_settings import PushSettings
from proxy_addon.posting import AnchorError
from proxy_addon.pushing import Keeper
from tests.proxy_addon import anchored
from tests.proxy_addon.anchored import LOG


class Inbox(BaseHTTPRequestHandler):
    """Keeps what is posted, and answers 500 to whom does not bring the token."""

    got: list[bytes]

    def do_POST(self) -> None:
        self.got.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(201 if self.headers.get("Authorization") == "Bearer s3cret" else 500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Tests are silent."""


@pytest.fixture
def inbox() -> Iterator[tuple[str, list[bytes]]]:
    got: list[bytes] = []
    server = HTTPServer(("127.0.0.1", 0), type("Fresh", (Inbox,), {"got": got}))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/in", got
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_checkpoint_is_put_into_a_directory(tmp_path: Path) -> None:
    shown = anchored.shown(anchored.make(tmp_path / "log"))
    (tmp_path / "mount").mkdir()
    keeper = Keeper(PushSettings(name="bucket", directory=tmp_path / "mount"), 10)
    receipts = [keeper.ask(shown) for _ in range(2)]
    (path,) = (tmp_path / "mount").iterdir()
    assert (path.name, path.read_bytes()) == (f"{LOG}.000000000003.checkpoint", shown.octets)
    assert json.loads(receipts[1].octets)["to"] == str(path)
    assert receipts[0].stated_at is None, "our own word is no outside time"


def test_another_checkpoint_that_lies_there_stays(tmp_path: Path) -> None:
    shown = anchored.shown(anchored.make(tmp_path / "log"))
    path = tmp_path / f"{LOG}.000000000003.checkpoint"
    path.write_text("another")
    with pytest.raises(AnchorError, match="left as it is"):
        Keeper(PushSettings(name="bucket", directory=tmp_path), 10).ask(shown)
    assert path.read_text() == "another"


def test_a_directory_that_is_gone_is_said(tmp_path: Path) -> None:
    shown = anchored.shown(anchored.make(tmp_path / "log"))
    with pytest.raises(AnchorError, match="cannot be put into"):
        Keeper(PushSettings(name="bucket", directory=tmp_path / "none"), 10).ask(shown)


def test_a_checkpoint_is_posted_with_its_token(tmp_path: Path, inbox: tuple[str, list[bytes]]) -> None:
    url, got = inbox
    shown = anchored.shown(anchored.make(tmp_path / "log"))
    (tmp_path / "token").write_text("s3cret\n")
    receipt = Keeper(PushSettings(name="auditor", url=url, token_file=tmp_path / "token"), 10).ask(shown)
    assert got == [shown.octets]
    said = json.loads(receipt.octets)
    assert (said["http_status"], said["checkpoint_size"], said["log"]) == (201, 3, LOG)
    assert "s3cret" not in receipt.octets.decode()


def test_a_keeper_that_does_not_take_it_is_named(tmp_path: Path, inbox: tuple[str, list[bytes]]) -> None:
    shown = anchored.shown(anchored.make(tmp_path / "log"))
    with pytest.raises(AnchorError, match="auditor answered with HTTP status 500"):
        Keeper(PushSettings(name="auditor", url=inbox[0]), 10).ask(shown)


@pytest.mark.parametrize("octets", [None, b"", b"\xff", b"a\nb"])
def test_a_token_that_cannot_be_used_is_found_at_the_start(tmp_path: Path, octets: bytes | None) -> None:
    if octets is not None:
        (tmp_path / "token").write_bytes(octets)
    with pytest.raises(ConfigurationError, match="token file"):
        Keeper(PushSettings(name="auditor", url="https://a.example", token_file=tmp_path / "token"), 10)
