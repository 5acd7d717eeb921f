"""docs/auditing.md: every command in it runs, and every view is named."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from crawl_audit import views
from crawl_audit.records import Decision
from tests import logs
from tests.reports.command import crawl_audit

GUIDE = (Path(__file__).parents[2] / "docs" / "auditing.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^crawl-audit (.+)$", GUIDE, re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_guide_runs(
    mixed: logs.LogBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "audit-log").symlink_to(mixed.root)
    (tmp_path / "robots.txt").write_bytes(logs.ROBOTS)
    (tmp_path / "operator.toml").write_text(re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)[0])
    exchange = next(r.exchange_id for r in mixed.records if isinstance(r, Decision))
    words = shlex.split(
        re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", exchange, line).replace("example.com/private/page", "example.com/a?b=1")
    )
    words = [word.replace("https://example.com/a", "http://example.com/a") for word in words]
    ran = crawl_audit(*words)
    found_disallowed = 1  # in that log some pages were fetched that robots.txt disallows
    assert ran.code == (found_disallowed if words[:2] == ["judge", "--log"] else 0), ran


def test_the_guide_has_commands_and_names_every_view() -> None:
    assert len(COMMANDS) > 10
    assert all(f"`{view.name}`" in GUIDE for view in views.documentation())
