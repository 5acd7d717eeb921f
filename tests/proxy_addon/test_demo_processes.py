"""The demo's child processes: what they inherit, and how their failures are told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from crawl_audit.errors import CrawlAuditError
from proxy_addon import demo_processes


def test_a_child_inherits_no_setting_of_a_sidecar_and_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CRAWL_AUDIT_MODE", "crawl_audit_log", "http_proxy", "HTTPS_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    given = demo_processes.environment(http_proxy="http://127.0.0.1:1")
    assert [name for name in given if "crawl_audit" in name.lower()] == []
    assert {name: value for name, value in given.items() if "proxy" in name.lower()} == {
        "http_proxy": "http://127.0.0.1:1"
    }
    assert given["PYTHONPATH"].endswith(os.pathsep + "elsewhere")
    assert given["HOME" if "HOME" in os.environ else "PATH"]


def test_our_packages_are_found_from_any_directory_and_not_those_that_lie_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "__main__.py").write_text("print('not ours')")
    monkeypatch.chdir(tmp_path)
    assert "crawl-audit" in demo_processes.run(demo_processes.module("reports", "--version"), "the version")


def test_a_command_that_fails_ends_the_demo_with_its_last_words() -> None:
    program = [sys.executable, "-c", "import sys; print('noise', file=sys.stderr); sys.exit('The disk is full.')"]
    with pytest.raises(CrawlAuditError, match=r"^The demo stopped: writing ended with code 1: The disk is full\.$"):
        demo_processes.run(program, "writing")
    assert demo_processes.run(program, "writing", good=(0, 1)) == ""


def test_a_command_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_processes, "_COMMAND_S", 0.2)
    with pytest.raises(CrawlAuditError, match=r"waiting took longer than 0\.2 s"):
        demo_processes.run([sys.executable, "-c", "import time; time.sleep(60)"], "waiting")


def test_a_process_that_said_nothing_has_words_too() -> None:
    assert demo_processes.last_words(b"\n") == "it said nothing"
    assert demo_processes.last_words(b"one\ntwo \xff\n") == "two \ufffd"


FAKE = """
import json, signal, sys, time
sys.stdout.write(json.dumps({"ready": True, "proxy": "127.0.0.1:1", "admin": "127.0.0.1:2"}) + "\\n")
sys.stdout.flush()
signal.signal(signal.SIGTERM, signal.SIG_IGN if "deaf" in sys.argv else lambda *_: sys.exit("Nothing was sealed."))
while True: time.sleep(0.05)
"""


def fake(tmp_path: Path, *arguments: str) -> subprocess.Popen[bytes]:
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        return subprocess.Popen([sys.executable, "-c", FAKE, *arguments], stdout=out, stderr=err)


def started(tmp_path: Path, process: subprocess.Popen[bytes]) -> demo_processes.Sidecar:
    ready = demo_processes._ready(process, tmp_path / "out", tmp_path / "err")
    assert json.dumps(ready)
    return demo_processes.Sidecar(proxy=ready["proxy"], admin=ready["admin"], process=process, stderr=tmp_path / "err")


def test_a_sidecar_that_ends_badly_is_a_sentence(tmp_path: Path) -> None:
    process = fake(tmp_path)
    sidecar = started(tmp_path, process)
    with pytest.raises(CrawlAuditError, match="did not seal its log"):
        sidecar.seal()
    with pytest.raises(CrawlAuditError, match=r"ended with code 1: Nothing was sealed\."):
        sidecar.stop()
    demo_processes._end(process)


def test_a_sidecar_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_processes, "_STOP_S", 0.3)
    process = fake(tmp_path, "deaf")
    with pytest.raises(CrawlAuditError, match=r"did not end within 0\.3 s"):
        started(tmp_path, process).stop()
    demo_processes._end(process)
    assert process.returncode == -9


def test_a_sidecar_that_never_gets_ready_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_processes, "_START_S", 0.2)
    (tmp_path / "out").touch()
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        with pytest.raises(CrawlAuditError, match=r"was not ready within 0\.2 s"):
            demo_processes._ready(process, tmp_path / "out", tmp_path / "err")
    finally:
        demo_processes._end(process)
