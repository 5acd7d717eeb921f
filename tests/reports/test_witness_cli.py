"""The witness as a program: it says where it listens and under which key, signs, and ends on SIGTERM."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from crawl_audit import witness
from crawl_audit.errors import ConfigurationError
from crawl_audit.seal import Signer, checkpoint_text, leaf_hash
from reports import witness_cli

LOG_KEY = Signer.generate("crawl-audit/x")
LEAF = leaf_hash(b"a")
REQUEST = witness.submission(0, [], LOG_KEY.sign_note(checkpoint_text("crawl-audit/x", 1, LEAF)))


def started(path: Path) -> tuple[subprocess.Popen[str], dict[str, str]]:
    command = [sys.executable, "-m", "reports", "witness", "--state", str(path / "state"), "--key", str(path / "w.key")]
    command += ["--name", "witness.example/w1", "--listen", "127.0.0.1:0", "--log-key", LOG_KEY.verifier.vkey]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def test_a_witness_runs_until_it_is_told_to_end_and_keeps_its_key(tmp_path: Path) -> None:
    keys = []
    for _ in range(2):
        process, said = started(tmp_path)
        keys.append(said["vkey"])
        with urllib.request.urlopen(said["url"] + "/", timeout=10) as answer:
            assert answer.read().decode().strip() == said["vkey"]
        if len(keys) == 1:
            with urllib.request.urlopen(said["url"] + "/add-checkpoint", REQUEST, timeout=10) as answer:
                assert answer.read().decode().startswith("— witness.example/w1 ")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stdout is not None
        process.stdout.close()
    assert keys[0] == keys[1]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"name": "w"}, "--log-key or --fleet-key"),
        ({"log_key": [LOG_KEY.verifier.vkey]}, "--name"),
        ({"name": "w", "log_key": ["no key"]}, "crawl-audit-proxy key"),
        ({"name": "w", "log_key": [LOG_KEY.verifier.vkey], "listen": "x"}, "HOST:PORT"),
        ({"name": "w", "log_key": [LOG_KEY.verifier.vkey], "listen": "192.0.2.1:1"}, "cannot listen"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(tmp_path: Path, given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        witness_cli.witness_command(
            **{"state": tmp_path / "s", "key": tmp_path / "k", "listen": "127.0.0.1:0", "name": "", **given}
        )


def test_addresses_are_read() -> None:
    assert witness_cli._address("[::1]:90") == ("::1", 90)
