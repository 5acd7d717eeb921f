"""`crawl-audit-proxy probe`: one JSON line, a record, and an exit code that a start-up check can use."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from crawl_audit.errors import ConfigurationError, CrawlAuditError
from proxy_addon import probe_cli, probing
from proxy_addon.cli import app
from proxy_addon.probe_report import Finding, Found, Through, Way

RUNNER = CliRunner()


def finding(way: Found, through: Through) -> Finding:
    return Finding(host="a.test", port=443, ways=dict.fromkeys(Way, way), through=through)


@pytest.fixture
def declarations(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What a probe declares, in place of a sidecar."""
    made: list[Finding] = []
    monkeypatch.setattr(probing.Probe, "declare", lambda _, found: made.append(found))
    return made


@pytest.mark.parametrize(
    "way,through,code,result",
    [
        (Found.REFUSED, Through.REACHED, 0, "closed"),
        (Found.OPEN, Through.REACHED, 1, "open"),
        (Found.REFUSED, Through.FAILED, 3, "inconclusive"),
    ],
)
def test_the_exit_code_says_what_was_found(
    monkeypatch: pytest.MonkeyPatch, declarations: list[Finding], way: Found, through: Through, code: int, result: str
) -> None:
    monkeypatch.setattr(probing.Probe, "try_all", lambda *_: finding(way, through))
    done = RUNNER.invoke(app, ["probe", "--target", "a.test", "--target", "b.test", "--proxy", "http://127.0.0.1:1"])
    said = json.loads(done.stdout)
    assert (done.exit_code, said["result"], len(said["targets"])) == (code, result, 2)
    assert said["targets"][0] == finding(way, through).document()
    assert len(declarations) == 2


def test_a_probe_may_leave_no_record(monkeypatch: pytest.MonkeyPatch, declarations: list[Finding]) -> None:
    monkeypatch.setattr(probing.Probe, "try_all", lambda *_: finding(Found.OPEN, Through.REACHED))
    done = RUNNER.invoke(app, ["probe", "--target", "a.test", "--proxy", "http://127.0.0.1:1", "--no-record"])
    assert (done.exit_code, declarations) == (1, [])


@pytest.mark.parametrize("way,code", [(Found.OPEN, 1), (Found.REFUSED, 3)])
def test_a_result_that_is_not_recorded_closes_nothing(monkeypatch: pytest.MonkeyPatch, way: Found, code: int) -> None:
    def refuse(*_: object) -> None:
        raise CrawlAuditError("No sidecar answers.")

    monkeypatch.setattr(probing.Probe, "try_all", lambda *_: finding(way, Through.REACHED))
    monkeypatch.setattr(probing.Probe, "declare", refuse)
    done = RUNNER.invoke(app, ["probe", "--target", "a.test", "--proxy", "http://127.0.0.1:1"])
    assert (done.exit_code, done.stderr) == (code, "No sidecar answers.\n")


def test_a_probe_can_be_repeated_without_end(monkeypatch: pytest.MonkeyPatch, declarations: list[Finding]) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(probe_cli, "time", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(probing.Probe, "try_all", lambda *_: finding(Found.OPEN, Through.REACHED))
    RUNNER.invoke(app, ["probe", "--target", "a.test", "--proxy", "http://127.0.0.1:1", "--every", "60"])
    assert (pauses, len(declarations)) == ([60.0] * 3, 3)
    assert time.sleep is not sleep


def test_a_file_that_holds_no_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    for file in (tmp_path / "ca.pem", tmp_path / "missing.pem"):
        with pytest.raises(ConfigurationError, match=r"is no file of certificates"):
            probe_cli._trusting(file)
