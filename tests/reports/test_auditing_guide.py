"""docs/auditing.md: the audit it tells of runs from the first step to the last, as does every other command in it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from datetime import datetime
from pathlib import Path

import pytest

from crawl_audit import views
from crawl_audit.records import Decision
from tests import logs
from tests.reports.command import crawl_audit

GUIDE = (Path(__file__).parents[2] / "docs" / "auditing.md").read_text(encoding="utf-8")
WALK = re.findall(r"^## One audit.*?(?=^## )", GUIDE, re.MULTILINE | re.DOTALL)[0]
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", WALK, re.MULTILINE | re.DOTALL)
STEPS = [line for language, block in BLOCKS if not language for line in block.splitlines()]
FINDING = next(block for language, block in BLOCKS if language == "markdown")
COMMANDS = re.findall(r"^crawl-audit (.+)$", GUIDE.replace(WALK, ""), re.MULTILINE)
EXCHANGE = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_guide_runs(
    mixed: logs.LogBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "audit-log").symlink_to(mixed.root)
    (tmp_path / "robots.txt").write_bytes(logs.ROBOTS)
    (tmp_path / "manifest.txt").write_text("ab" * 32 + "\n")
    (tmp_path / "operator.toml").write_text(re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)[0])
    exchange = next(r.exchange_id for r in mixed.records if isinstance(r, Decision))
    words = shlex.split(EXCHANGE.sub(exchange, line).replace("example.com/private/page", "example.com/a?b=1"))
    words = [word.replace("https://example.com/a", "http://example.com/a") for word in words]
    ran = crawl_audit(*words)
    found_disallowed = 1  # in that log some pages were fetched that robots.txt disallows
    assert ran.code == (found_disallowed if words[:2] == ["judge", "--log"] else 0), ran


@pytest.mark.timeout(600)  # some twenty commands one after the other
def test_the_audit_of_the_guide_runs_from_receipt_to_signed_finding(
    sound: logs.LogBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # The audit is made when its period is over: a gap that reaches to now would grow from one report to the next.
    monkeypatch.setattr("reports.coverage.now", lambda: datetime.fromisoformat("2026-12-03T09:00:00"))
    sound.root.rename(tmp_path / "evidence")
    (tmp_path / "fleet.vkey").write_text(sound.signer.verifier.vkey + "\n")
    (tmp_path / "head-you-kept.txt").write_text(sound.note())
    (tmp_path / "manifest.txt").write_text("ab" * 32 + "\n")
    (tmp_path / "finding.md").write_text(FINDING)
    exchange = next(r.exchange_id for r in sound.records if isinstance(r, Decision))
    for step in STEPS:
        run(EXCHANGE.sub(exchange, step))
    first, again = (json.loads((tmp_path / name).read_text()) for name in ("4-violations.json", "again.json"))
    assert first["content_sha256"] == again["content_sha256"]
    assert first["record_id"] != again["record_id"]
    assert json.loads((tmp_path / "1-verify.json").read_text())["result"] == "ok"
    listed = (tmp_path / "finding.sha256").read_text()
    assert all(name in listed for name in re.findall(r"[1-8]-[a-z-]+\.(?:json|csv)", WALK))
    (tmp_path / "4-violations.json").write_text("{}")
    with pytest.raises(subprocess.CalledProcessError):
        run("sha256sum --check --quiet finding.sha256")


def run(step: str) -> None:
    """One line of the guide; `crawl-audit` within this process."""
    command, _, target = step.partition(" > ")
    if not command.startswith("crawl-audit "):
        subprocess.run(["sh", "-c", step], check=True, capture_output=True, timeout=60)
        return
    ran = crawl_audit(*shlex.split(command)[1:])
    assert ran.code == 0, (step, ran)
    if target:
        Path(target).write_text(ran.out)


def test_the_finding_of_the_guide_names_every_file_that_the_steps_write() -> None:
    written = {name for step in STEPS for name in re.findall(r"\b[1-8]-[a-z-]+\.(?:json|csv)", step)}
    assert len(written) > 8
    assert sorted(name for name in written - {"3-decision.json"} if name not in FINDING) == []


def test_the_guide_has_commands_and_names_every_view() -> None:
    assert len(STEPS) > 15
    assert len(COMMANDS) > 10
    assert all(f"`{view.name}`" in GUIDE for view in views.documentation())
