"""``crawl-audit-proxy`` on the command line: one sentence and exit 78 for what is wrong, and help with an example."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from proxy_addon.cli import app

COMMANDS = ("run", "check-config", "ca", "seal", "demo", "probe", "key", "enrol", "anchor")


def call(*arguments: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).resolve().parents[2]
    return subprocess.run(
        [sys.executable, "-m", "proxy_addon", *map(str, arguments)],
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def refusal(result: subprocess.CompletedProcess[str]) -> str:
    """The one sentence of a refusal with exit 78."""
    assert result.returncode == 78, result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, result.stderr
    return lines[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert "Example: " in result.stdout


def test_the_certificate_authority_is_made_once_and_its_file_printed(tmp_path: Path) -> None:
    first, second = call("ca", cwd=tmp_path), call("ca", cwd=tmp_path)
    printed = Path(first.stdout.strip())
    assert printed.read_text().startswith("-----BEGIN CERTIFICATE-----")
    assert second.stdout == first.stdout


def test_a_bundle_for_clients_that_know_one_file_is_printed_in_its_place(tmp_path: Path) -> None:
    printed = Path(call("ca", "--bundle", "bundle.pem", cwd=tmp_path).stdout.strip())
    assert printed == tmp_path / "bundle.pem"
    own = (tmp_path / "audit-ca" / "ca.pem").read_text()
    assert printed.read_text().endswith(own)


def test_run_without_a_certificate_authority_says_how_to_make_one(tmp_path: Path) -> None:
    sentence = refusal(call("run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", cwd=tmp_path))
    assert "crawl-audit-proxy ca" in sentence
    assert not (tmp_path / "audit-log").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("run", "--mode", "strict"), "mode"),
        (("run", "--listen", "8080"), "HOST:PORT"),
        (("run", "--crawler", "news"), "--product-token"),
        (("run", "--product-token", "News/1.0"), "RFC 9309"),
        (("run", "--config", "absent.toml"), "absent.toml"),
        (("check-config", "absent.toml"), "absent.toml"),
    ],
)
def test_a_bad_argument_ends_with_one_sentence(tmp_path: Path, arguments: tuple[str, ...], expected: str) -> None:
    assert expected in refusal(call(*arguments, cwd=tmp_path))


def test_an_unknown_variable_of_ours_ends_with_one_sentence(tmp_path: Path) -> None:
    assert "CRAWL_AUDIT_MODE" in refusal(call("run", cwd=tmp_path, CRAWL_AUDIT_MOD="enforce"))


def test_the_checked_configuration_is_printed_without_secrets(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hunter2\n")
    (tmp_path / "c.toml").write_text(
        f'mode = "enforce"\n[[crawlers]]\nid = "news"\nproduct_tokens = ["News"]\ntoken_file = "{tmp_path}/token"\n'
    )
    result = call("check-config", "c.toml", cwd=tmp_path)
    shown = json.loads(result.stdout)
    assert shown["mode"] == "enforce"
    assert shown["crawlers"][0]["authenticated"] is True
    assert "hunter2" not in result.stdout
    assert "token_file" not in result.stdout


def test_a_token_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('[[crawlers]]\nid = "n"\nproduct_tokens = ["N"]\ntoken_file = "absent"\n')
    assert "token file" in refusal(call("check-config", "c.toml", cwd=tmp_path))


def test_sealing_where_nobody_listens_says_so(tmp_path: Path) -> None:
    result = call("seal", "--admin", "127.0.0.1:1", cwd=tmp_path)
    assert result.returncode == 1
    assert "No sidecar answers at 127.0.0.1:1" in result.stderr
    assert "Traceback" not in result.stderr


def test_without_the_extra_it_names_what_to_install(tmp_path: Path) -> None:
    program = "import sys; sys.modules['mitmproxy'] = None\nfrom proxy_addon.__main__ import main\nmain()"
    root = Path(__file__).resolve().parents[2]
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "pip install 'crawl-audit[proxy]'" in refusal(result)
