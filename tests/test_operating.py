"""docs/operating.md and docs/metrics.md say what the code says: every setting, every metric, every reason."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from docs import operations
from proxy_addon import free_space, readiness, settings
from proxy_addon.free_space import FreeSpace
from tests.proxy_addon.test_metrics import _used

ROOT = Path(__file__).resolve().parent.parent
OPERATING = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
METRICS = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")


def rows(table: str) -> list[list[str]]:
    """The cells of every row of the tables in a text."""
    lines = [line for line in table.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_every_setting_is_in_the_table_with_what_it_means() -> None:
    found = rows(operations.every_setting())
    assert [row for row in found if not row[4]] == []
    variables = {row[3].strip("`") for row in found} - {"–"}
    known = {
        settings.ENV_PREFIX + settings.ENV_NESTED.join(path).upper()
        for path in settings._known_paths(settings.Settings)
    }
    sections = {
        name for name in known if any(other.startswith(name + settings.ENV_NESTED) for other in known)
    }  # a section as a whole, as JSON
    assert known - sections == variables


def test_every_metric_that_is_exposed_is_in_the_table_and_no_other() -> None:
    named = {row[0].strip("`") for row in rows(METRICS) if row[0].startswith("`crawl_audit_")}
    samples = {
        re.sub(r"_(?:bucket|count|sum)$", "", line.partition("{")[0].partition(" ")[0])
        for line in _used().exposition()[0].decode().splitlines()
        if line.startswith("crawl_audit_")
    }
    assert named == samples


@pytest.mark.parametrize("document", [OPERATING, METRICS], ids=["operating", "metrics"])
def test_a_document_names_only_metrics_that_exist(document: str) -> None:
    named = set(re.findall(r"\bcrawl_audit_[a-z_]+[a-z]", document))
    known = {row[0].strip("`") for row in rows(METRICS)}
    assert named - known == set()


def test_the_labels_of_the_table_are_explained() -> None:
    table, _, words = METRICS.partition("## The words of the labels")
    used = {label for row in rows(table) for label in re.findall(r"`(\w+)`", row[2])}
    explained = set(re.findall(r"`(\w+)`", " ".join(row[0] for row in rows(words))))
    assert used - explained == {"version", "schema", "config_hash"}


def _reasons(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Each reason of not being ready that the sidecar itself words."""
    good: Any = SimpleNamespace(available=True, fault=None, ended=False, heartbeat_monotonic=time.monotonic())
    hanging: Any = SimpleNamespace(available=True, fault=None, ended=False, heartbeat_monotonic=time.monotonic() - 60)
    failed: Any = SimpleNamespace(available=False, fault="why", ended=False, heartbeat_monotonic=time.monotonic())
    space = FreeSpace(place, 2**60)
    found = [
        readiness.not_ready(SimpleNamespace(accepting=False), good),
        readiness.not_ready(SimpleNamespace(accepting=True), hanging),
        readiness.not_ready(SimpleNamespace(accepting=True), failed),
        space.lack(),
    ]
    status = SimpleNamespace(f_bavail=2**40, f_frsize=2**20, f_flag=os.ST_RDONLY)
    monkeypatch.setattr(free_space.os, "statvfs", lambda _: status)
    return [*found, space.lack()]


def test_every_reason_of_not_being_ready_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = OPERATING.partition("`reason` of `/readyz`")[2].partition("**It is ready")[0]
    shown = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")]
    patterns = [re.compile(".*".join(map(re.escape, text.split("…")))) for text in shown[1:]]
    for reason in _reasons(tmp_path, monkeypatch):
        assert reason is not None
        assert any(pattern.match(reason) for pattern in patterns), reason
