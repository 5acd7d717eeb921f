"""Every number in a report equals a computation over the records that shares no code with the SQL."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crawl_audit.records import Action, Basis, Completion, Decision, Verdict
from reports.kinds import activity, sites
from tests import logs
from tests.reports.command import crawl_audit

Pairs = list[tuple[Decision, Completion | None]]


def pairs(made: logs.LogBuilder, keep: Callable[[Decision], bool] = lambda d: True) -> Pairs:
    """Decisions with their completions, straight from the records."""
    ended = {r.decision_seq: r for r in made.records if isinstance(r, Completion)}
    return [(r, ended.get(seq)) for seq, r in enumerate(made.records) if isinstance(r, Decision) and keep(r)]


def content(found: Pairs) -> list[Completion]:
    """Successful answers with something in them, robots.txt left out."""
    return [c for d, c in found if c and c.status in (200, 206) and c.response_bytes and d.basis != Basis.ROBOTS_TXT]


def numbers(found: Pairs) -> dict[str, Any]:
    """What reports say of a set of exchanges."""
    return {
        "requests": len(found),
        "forwarded": sum(d.action is Action.FORWARDED for d, _ in found),
        "denied": sum(d.action is Action.DENIED for d, _ in found),
        "violations": sum(d.verdict is Verdict.DISALLOWED and d.action is Action.FORWARDED for d, _ in found),
        "bytes": sum(c.response_bytes for _, c in found if c),
        "content_responses": len(content(found)),
        "first_at": iso(min(d.recorded_at for d, _ in found)) if found else None,
        "last_at": iso(max(d.recorded_at for d, _ in found)) if found else None,
        "without_completion": sum(c is None and d.action is Action.FORWARDED for d, c in found),
    }


def iso(at: int) -> str:
    return datetime.fromtimestamp(at // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def same(shown: dict[str, Any], expected: dict[str, Any], *names: str) -> None:
    assert {name: shown[name] for name in names} == {name: expected[name] for name in names}


INQUIRY = (
    "forwarded",
    "denied",
    "violations",
    "bytes",
    "content_responses",
    "first_at",
    "last_at",
    "without_completion",
)


@pytest.mark.parametrize(
    ("asked", "scope", "keep"),
    [
        ("example.com", "registrable domain", lambda d: d.site == "example.com"),
        ("EXAMPLE.com.", "registrable domain", lambda d: d.site == "example.com"),
        ("www.example.com", "host and subdomains", lambda d: d.host == "www.example.com"),
        ("example.com:80", "host and port", lambda d: d.host == "example.com"),
        ("example.com:81", "host and port", lambda d: False),
        ("例え.jp", "registrable domain", lambda d: d.host == "xn--r8jz45g.jp"),
        ("127.0.0.1", "host", lambda d: d.host == "127.0.0.1"),
        ("127.0.0.1:80", "host and port", lambda d: d.host == "127.0.0.1"),
        ("http://example.com", "origin", lambda d: d.host == "example.com"),
        ("https://example.com", "origin", lambda d: False),
        ("http://example.com/", "exact URL", lambda d: d.host == "example.com" and d.target == "/"),
        ("http://example.com/café", "exact URL", lambda d: d.host == "example.com" and d.target == "/caf%C3%A9"),
        ("http://example.com/caf%c3%a9#x", "exact URL", lambda d: d.host == "example.com" and d.target == "/caf%C3%A9"),
        ("example.com/private/~user", "exact URL", lambda d: d.host == "example.com" and d.target.endswith("%7Euser")),
        ("http://example.com/private%2Fx", "exact URL", lambda d: False),
        ("nobody.example", "registrable domain", lambda d: False),
    ],
)
def test_an_inquiry_counts_what_its_scope_says(
    mixed: logs.LogBuilder, asked: str, scope: str, keep: Callable[[Decision], bool]
) -> None:
    ran = crawl_audit("inquiry", mixed.root, asked, "--format", "json")
    expected = numbers(pairs(mixed, keep))
    same(ran.json, expected, *INQUIRY)
    assert ran.json["match_scope"] == scope
    assert (ran.code, ran.json["result"]) == (
        (0, "requests_found") if expected["forwarded"] else (1, "no_record_in_covered_log")
    )
    assert ran.json["row_count"] == expected["requests"]


def test_an_inquiry_divides_into_crawlers_and_robots_txt_copies(mixed: logs.LogBuilder) -> None:
    answer = crawl_audit("inquiry", mixed.root, "example.com", "--format", "json").json
    found = pairs(mixed, lambda d: d.site == "example.com")
    assert {c["crawler"]: c["requests"] for c in answer["crawlers"]} == Counter(d.crawler for d, _ in found)
    by_copy = {copy["seq"]: copy["verdicts"] for copy in answer["robots"]}
    for seq, verdicts in by_copy.items():
        assert verdicts == Counter(d.verdict.value for d, _ in found if d.snapshot_seq == seq)
    assert set(by_copy) == {d.snapshot_seq for d, _ in found}
    assert {copy["sha256"] for copy in answer["robots"]} == {logs.robots_body(logs.ROBOTS).robots_sha256}
    assert [(s["protocol"], s["raw"]) for s in answer["signals"]] == [("content-signal", "Content-Signal: ai-train=no")]
    assert answer["training_use_status"] == "unknown"


def test_a_period_is_half_open(mixed: logs.LogBuilder) -> None:
    start, end = logs.after(50), logs.after(150)
    for command in (("inquiry", mixed.root, "example.com"), ("report", "sites", mixed.root)):
        answer = crawl_audit(*command, "--from", iso(start), "--to", iso(end), "--format", "json").json
        inside = pairs(mixed, lambda d: d.site == "example.com" and start <= d.recorded_at < end)
        shown = answer if "sites" not in answer else next(s for s in answer["sites"] if s["site"] == "example.com")
        same(shown, numbers(inside), "forwarded", "denied", "violations", "bytes", "first_at", "last_at")


def test_activity_says_of_each_crawler_what_the_records_say(mixed: logs.LogBuilder) -> None:
    answer = crawl_audit("report", "activity", mixed.root, "--format", "json").json
    assert [crawler["crawler"] for crawler in answer["crawlers"]] == ["alpha", "pair"]
    for shown in answer["crawlers"]:
        ours = pairs(mixed, lambda d, name=shown["crawler"]: d.crawler == name)  # type: ignore[misc]
        expected = numbers(ours)
        same(shown, expected, "requests", "forwarded", "denied", "violations", "bytes", "without_completion")
        left = [d.recorded_at for d, _ in ours if d.action is Action.FORWARDED]
        assert (shown["collection_from"], shown["collection_to"]) == (iso(min(left)), iso(max(left)))
        assert shown["sites"] == len({d.site for d, _ in ours})
        assert shown["hosts"] == len({d.host for d, _ in ours})
        assert shown["disallowed"] == sum(d.verdict is Verdict.DISALLOWED for d, _ in ours)
        assert shown["robots_basis"] == Counter(d.basis.value for d, _ in ours)
        assert shown["modalities"] == Counter(c.modality for c in content(ours))
        assert sum(shown["modality_bytes"].values()) == sum(c.response_bytes for c in content(ours))
        agents = {one["user_agent"]: one["requests"] for one in shown["observed_user_agents"]}
        assert agents == Counter(d.user_agent for d, _ in ours)
        assert shown["modes"] == sorted({d.mode.value for d, _ in ours})
        assert shown["product_tokens"] == sorted({d.product_token for d, _ in ours})


def test_sites_say_of_each_site_what_the_records_say(mixed: logs.LogBuilder) -> None:
    answer = crawl_audit("report", "sites", mixed.root, "--format", "json").json
    assert sorted(s["site"] for s in answer["sites"]) == sorted({d.site for d, _ in pairs(mixed)})
    sizes = [s["content_bytes"] for s in answer["sites"]]
    assert sizes == sorted(sizes, reverse=True)
    for shown in answer["sites"]:
        ours = pairs(mixed, lambda d, name=shown["site"]: d.site == name)  # type: ignore[misc]
        names = ("requests", "forwarded", "denied", "violations", "bytes", "content_responses", "first_at", "last_at")
        same(shown, numbers(ours), *names)
        assert shown["content_bytes"] == sum(c.response_bytes for c in content(ours))
        assert shown["hosts"] == len({d.host for d, _ in ours})
        assert shown["robots_basis"] == Counter(d.basis.value for d, _ in ours)


def test_every_form_of_a_report_has_the_same_rows(mixed: logs.LogBuilder, tmp_path: Path) -> None:
    for kind, made in (("activity", activity.KIND), ("sites", sites.KIND)):
        path = tmp_path / f"{kind}.csv"
        assert crawl_audit("report", kind, mixed.root, "--format", "csv", "-o", path).code == 0
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        answer = crawl_audit("report", kind, mixed.root, "--format", "json").json
        listed = answer["crawlers" if kind == "activity" else "sites"]
        assert tuple(rows[0]) == made.table(answer).header
        assert [row["bytes"] for row in rows] == [str(one["bytes"]) for one in listed]
        metadata = (tmp_path / f"{kind}.csv-metadata.json").read_text()
        assert '"generated_at"' in metadata
        assert '"D-COVER"' in metadata
        text = crawl_audit("report", kind, mixed.root).out
        markdown = crawl_audit("report", kind, mixed.root, "--format", "md").out
        assert all(str(one["bytes"]) in text and str(one["bytes"]) in markdown for one in listed)


def test_csv_on_standard_output_is_rows_only(mixed: logs.LogBuilder) -> None:
    ran = crawl_audit("report", "sites", mixed.root, "--format", "csv")
    assert len(list(csv.reader(io.StringIO(ran.out)))) == 1 + len({d.site for d, _ in pairs(mixed)})
    assert '"coverage"' in ran.err
