"""`key`, `enrol` and `anchor` on the command line, against directories and against an admin port."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crawl_audit.errors import ConfigurationError, CrawlAuditError
from crawl_audit.seal import Verifier
from proxy_addon.cli import app
from tests.proxy_addon import anchored
from tests.proxy_addon.anchored import LOG


def ran(*arguments: str | Path) -> tuple[int, str]:
    """Exit code and output; errors of ours are raised as such."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, CrawlAuditError):
        raise result.exception
    return result.exit_code, result.stdout


def configured(path: Path, mount: Path) -> Path:
    file = path / "crawl-audit.toml"
    file.write_text(f'[[anchors.pushes]]\nname = "bucket"\ndirectory = "{mount}"\n')
    return file


def test_a_key_is_made_and_its_public_part_shown_again(tmp_path: Path) -> None:
    code, vkey = ran("key", tmp_path / "fleet.key", "--name", "crawl.example/fleet")
    assert (code, Verifier.parse(vkey).name) == (0, "crawl.example/fleet")
    assert ran("key", tmp_path / "fleet.key") == (0, vkey)
    assert "PRIVATE" not in vkey


def test_a_key_needs_a_name_and_is_not_made_twice(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--name"):
        ran("key", tmp_path / "fleet.key")
    ran("key", tmp_path / "fleet.key", "--name", "f")
    with pytest.raises(ConfigurationError, match="not overwritten"):
        ran("key", tmp_path / "fleet.key", "--name", "f")


def test_logs_are_enrolled_from_the_command_line(tmp_path: Path) -> None:
    anchored.make(tmp_path / "log")
    ran("key", tmp_path / "fleet.key", "--name", "f")
    code, said = ran("enrol", tmp_path / "log", "--key", tmp_path / "fleet.key")
    assert (code, json.loads(said)["enrolled"]) == (0, [LOG])


def test_a_stopped_log_is_anchored_and_a_failure_is_exit_code_1(tmp_path: Path) -> None:
    anchored.make(tmp_path / "log")
    config = configured(tmp_path, tmp_path / "mount")
    code, said = ran("anchor", tmp_path / "log", "--config", config)
    assert code == 1
    assert "cannot be put into" in json.loads(said)[0]["failures"]["bucket"]
    (tmp_path / "mount").mkdir()
    code, said = ran("anchor", tmp_path / "log", "--config", config)
    assert (code, json.loads(said)[0]["receipts"][0]["authority"]) == (0, "bucket")
    assert ran("anchor", tmp_path / "log", "--config", config) == (0, "[]\n")


def test_what_cannot_be_anchored_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Nobody is configured"):
        ran("anchor", tmp_path)
    with pytest.raises(ConfigurationError, match="not a log directory"):
        ran("anchor", tmp_path, "--config", configured(tmp_path, tmp_path))
    with pytest.raises(ConfigurationError, match="not both"):
        ran("anchor", tmp_path, "--admin", "127.0.0.1:1")
    with pytest.raises(CrawlAuditError, match="No sidecar answers"):
        ran("anchor", "--admin", "127.0.0.1:1")


@pytest.mark.parametrize(
    "content,mode,sentence",
    [(None, 0o600, "cannot be read"), ("no key", 0o600, "holds no usable key"), ("no key", 0o644, "chmod 600")],
)
def test_a_key_file_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, content: str | None, mode: int, sentence: str
) -> None:
    anchored.make(tmp_path / "log")
    file = tmp_path / "fleet.key"
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        ran("enrol", tmp_path / "log", "--key", file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["absent", "file"])
def test_what_is_no_log_directory_is_not_enrolled(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    ran("key", tmp_path / "fleet.key", "--name", "f")
    with pytest.raises(ConfigurationError, match="is not a log directory"):
        ran("enrol", tmp_path / name, "--key", tmp_path / "fleet.key")


def test_a_key_in_a_directory_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be made: No such file or directory"):
        ran("key", tmp_path / "absent" / "fleet.key", "--name", "f")


class Admin(BaseHTTPRequestHandler):
    status, answer = 200, b"{}"

    def do_POST(self) -> None:
        self.send_response(self.status if self.path == "/anchor" else 404)
        self.send_header("Content-Length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *arguments: object) -> None:
        """Tests are silent."""


@pytest.fixture
def admin(request: pytest.FixtureRequest) -> Iterator[str]:
    status, answer = request.param
    kind = type("Fresh", (Admin,), {"status": status, "answer": json.dumps(answer).encode()})
    server = HTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("admin", [(200, {"log": "x", "failures": {}, "others": [{"failures": {}}]})], indirect=True)
def test_a_running_sidecar_is_asked(admin: str) -> None:
    code, said = ran("anchor", "--admin", admin)
    assert (code, json.loads(said)) == (0, [{"log": "x", "failures": {}}, {"failures": {}}])


@pytest.mark.parametrize("admin", [(503, {"error": "Nobody is configured."})], indirect=True)
def test_a_running_sidecar_that_cannot_is_quoted(admin: str) -> None:
    with pytest.raises(CrawlAuditError, match="could not anchor: Nobody is configured"):
        ran("anchor", "--admin", admin)
