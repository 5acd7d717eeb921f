"""Exemptions are counted with the grounds declared for the log they were used in, as far as the reader may see them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crawl_audit.records import Basis, Decision, Verdict
from tests import logs
from tests.reports.command import crawl_audit

DEAL = {
    "id": "deal-7",
    "sites": ["example.com"],
    "hosts": [],
    "path_prefixes": [],
    "crawlers": [],
    "reason": "licence",
    "reference": "contract 2026-7",
    "approver": "legal@example.org",
    "not_before": None,
    "until": "2027-07-01T00:00:00Z",
}


def settings(*declared: dict[str, Any], **more: Any) -> str:
    crawlers = [{"id": "alpha", "product_tokens": ["AlphaBot"], "purpose": "training"}]
    return json.dumps({"crawlers": crawlers, "exemptions": list(declared), **more})


def exempted(target: str, at: float, **changes: Any) -> Decision:
    return replace(
        logs.decision("example.com", target, logs.after(at), body=logs.ROBOTS), exemption="deal-7", **changes
    )


def log_of(root: Path, name: str, said: str, *decisions: Decision) -> None:
    made = logs.LogBuilder(root, log=name)
    made.add(logs.run(settings=said))
    made.add(logs.robots_body(logs.ROBOTS))
    seq = made.add(logs.snapshot("example.com", logs.ROBOTS))
    for one in decisions:
        made.add(replace(one, snapshot_seq=seq))
    made.publish()


ALLOWED = {"verdict": Verdict.ALLOWED, "basis": Basis.EXEMPTION}


@pytest.fixture
def used(root: Path) -> Path:
    """Two logs, in the second of which the exemption had been declared anew."""
    first = (exempted("/private/x", 1, **ALLOWED), exempted("/", 2), logs.decision("example.com", "/", logs.after(3)))
    log_of(root, "node1-20261118T000000Z-00000001", settings(DEAL), *first)
    again = settings({**DEAL, "until": "2028-07-01T00:00:00Z"})
    log_of(root, "node1-20261119T000000Z-00000002", again, exempted("/private/x", 90_000, **ALLOWED))
    return root


def shown(root: Path, *options: str) -> list[dict[str, Any]]:
    (crawler,) = crawl_audit("report", "activity", root, "--format", "json", *options).json["crawlers"]
    found = crawler["exemptions"]
    assert isinstance(found, list)
    return found


def test_each_declaration_is_counted_with_its_grounds(used: Path) -> None:
    first, second = shown(used)
    grounds = {name: value for name, value in DEAL.items() if name != "id"}
    assert first == {"exemption": "deal-7", "covered": 2, "applied": 1, **grounds}
    assert second == {"exemption": "deal-7", "covered": 1, "applied": 1, **grounds, "until": "2028-07-01T00:00:00Z"}


def test_an_exemption_is_part_of_the_report_for_people(used: Path) -> None:
    for form in ("text", "md"):
        out = crawl_audit("report", "activity", used, "--format", form).out
        for word in ("deal-7", "licence", "contract 2026-7", "legal@example.org", "2028-07-01"):
            assert word in out


def test_in_public_only_reason_end_and_a_rough_count_are_said(used: Path) -> None:
    first, _ = shown(used, "--level", "public")
    assert first == {"covered": "1-9", "applied": "1-9", "reason": "licence", "until": "06/2027"}
    assert "deal-7" not in crawl_audit("report", "opt-out", used, "--level", "public", "--format", "json").out
    answer = crawl_audit("report", "activity", used, "--level", "public", "--format", "json").json
    left_out = {one["field"] for one in answer["withheld"]}
    names = ("exemption", "reference", "approver", "not_before", "sites", "hosts", "path_prefixes", "crawlers")
    assert {f"crawlers[].exemptions[].{name}" for name in names} <= left_out


@pytest.mark.parametrize("kind", ["activity", "opt-out"])
def test_a_ground_in_words_of_the_operators_own_is_named_and_not_shown_in_public(root: Path, kind: str) -> None:
    deal = {**DEAL, "reason": "handshake with Jane Roe about /srv/private", "until": "when she says so"}
    log_of(root, "node1-20261118T000000Z-00000001", settings(deal), exempted("/private/x", 1, **ALLOWED))
    for form in ("json", "text", "html"):
        out = crawl_audit("report", kind, root, "--level", "public", "--format", form).out
        assert "Jane" not in out
        assert "she says" not in out
        assert "in other words" in out
    answer = crawl_audit("report", kind, root, "--level", "public", "--format", "json").json
    assert any(one["field"].endswith("exemptions[].reason") for one in answer["withheld"])
    assert "Jane Roe" in crawl_audit("report", kind, root, "--level", "regulator").out


def test_only_the_period_counts(used: Path) -> None:
    day = logs.after(80_000)
    start = datetime.fromtimestamp(day // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert [one["covered"] for one in shown(used, "--from", start)] == [1]


def test_without_exemptions_the_report_says_none(mixed: logs.LogBuilder) -> None:
    answer = crawl_audit("report", "activity", mixed.root, "--format", "json").json
    assert all(crawler["exemptions"] == [] for crawler in answer["crawlers"])
    lines = [line.split() for line in crawl_audit("report", "activity", mixed.root).out.splitlines()]
    assert "Exemptions declared and used none".split() in lines


@pytest.mark.parametrize(
    "said", ["", "[]", "{", '{"exemptions": 3}', '{"exemptions": [1, {"id": ["x"]}]}', '{"exemptions": {}}']
)
def test_settings_that_declare_nothing_leave_the_grounds_open(root: Path, said: str) -> None:
    log_of(root, "node1-20261118T000000Z-00000001", said, exempted("/", 1))
    (one,) = shown(root)
    assert (one["exemption"], one["covered"], one["reason"], one["approver"]) == ("deal-7", 1, None, None)
