"""The answer to an inquiry: its numbers, what it leaves open, and what each level may see of it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from crawl_audit import schema
from crawl_audit.records import Decision, Signal, Tunnel
from reports import cannot_be_known, matched_leaves
from reports.kinds import inquiry, inquiry_record, inquiry_text
from reports.levels import Level
from reports.log import open_log
from reports.matching import parse_subject
from reports.period import Period, iso, parse_period
from reports.render import Chart, ChartKind
from reports.words import ENGLISH
from tests import logs
from tests.frames import frames
from tests.reports.command import crawl_audit, refused
from tests.reports.oracles.inquiry import expected

PERIODS = ((None, None), ("2026-11-18T11:08:00", "2026-11-18T11:11:00"))


def asked(root: Path, subject: str, *more: object) -> dict[str, Any]:
    """The answer as JSON."""
    found: dict[str, Any] = crawl_audit("inquiry", root, subject, *more, "--format", "json").json
    return found


@pytest.mark.parametrize("limits", PERIODS)
@pytest.mark.parametrize("site", ["example.com", "example.co.uk", "no-robots.example", "nobody.example"])
def test_every_number_is_that_of_the_records(
    mixed: logs.LogBuilder, site: str, limits: tuple[str | None, str | None]
) -> None:
    period = parse_period(*limits)
    want = expected(frames(mixed.root), period, site)
    with open_log(str(mixed.root)) as log:
        found = inquiry.inquiry(log, parse_subject(site), period)
    same = ("row_count", *(field.name for field in inquiry_record.NUMBERS if not field.name.endswith("_at")))
    assert {name: found[name] for name in same} == {name: want[name] for name in same}
    assert [found[name] for name in ("first_at", "last_at")] == [iso(want[name]) for name in ("first_at", "last_at")]
    assert {(one["crawler"], one["product_token"]): one["requests"] for one in found["crawlers"]} == want["crawlers"]
    assert {(one["day"], one["verdict"], one["action"]): one["requests"] for one in found["days"]} == want["days"]
    assert {(one["log"], one["seq"]): Counter(one["verdicts"]) for one in found["robots"]} == want["robots"]
    assert found["robots_count"] == len(want["robots"])
    shown = {
        (one["protocol"], one["host"], one["raw"], one["scope"]): (one["count"], one["requests_after"])
        for one in found["signals"]
    }
    assert shown == want["signals"]
    assert found["signals_count"] == len(want["signals"])


def wish(at: float, raw: str, **changes: Any) -> Signal:
    made = Signal(
        recorded_at=logs.after(at), exchange_id=None, snapshot_seq=None, protocol="x", raw=raw, value=None, scope=None
    )
    return replace(made, **changes)


def test_requests_after_a_wish_are_those_to_its_host_that_left_later(root: Path) -> None:
    made = logs.LogBuilder(root)
    copy = made.add(logs.snapshot("a.example.com", logs.ROBOTS))
    for number in range(6):
        host = ("a.example.com", "b.example.com")[number % 2]
        one = logs.decision(host, f"/{number}", logs.after(number), body=logs.ROBOTS, snapshot_seq=copy)
        made.add(one)
        if number == 2:
            made.add(wish(2, "header", exchange_id=one.exchange_id))
        if number == 4:
            made.add(wish(4, "header", exchange_id=one.exchange_id))
    made.add(wish(-1, "line", snapshot_seq=copy))
    made.publish()
    found = asked(root, "example.com")["signals"]
    assert [(one["raw"], one["host"], one["count"], one["requests_after"]) for one in found] == [
        ("line", "a.example.com", 1, 3),
        ("header", "a.example.com", 2, 1),
    ]
    want = expected(frames(root), Period(), "example.com")["signals"]
    assert sorted(want.values()) == [(1, 3), (2, 1)]


def test_the_evidence_is_the_leaf_of_every_matched_decision(mixed: logs.LogBuilder, tmp_path: Path) -> None:
    leaves = [
        f"{mixed.log},{seq},{schema.leaf(schema.parse_entry(logs.entry(record))).hex()}\r\n"
        for seq, record in enumerate(mixed.records)
        if isinstance(record, Decision) and record.site == "example.com"
    ]
    content = matched_leaves.HEADER + "".join(leaves)
    list_file = tmp_path / "evidence.csv"
    found = asked(mixed.root, "example.com", "--evidence", list_file)
    assert list_file.read_bytes().decode() == content
    assert found["evidence_manifest_sha256"] == hashlib.sha256(content.encode()).hexdigest()
    assert asked(mixed.root, "example.com")["evidence_manifest_sha256"] == found["evidence_manifest_sha256"]
    said = refused("inquiry", mixed.root, "example.com", "--evidence", tmp_path / "no" / "list.csv", code=78)
    assert "The list of evidence cannot be written" in said


def test_the_evidence_of_many_records_is_made_only_where_it_is_asked_for(
    mixed: logs.LogBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = asked(mixed.root, "example.com")["evidence_manifest_sha256"]
    monkeypatch.setattr(inquiry, "PINNED_MAX", 129)  # one fewer than match
    assert asked(mixed.root, "example.com")["evidence_manifest_sha256"] is None
    more = ("--evidence", tmp_path / "list.csv")
    assert asked(mixed.root, "example.com", *more)["evidence_manifest_sha256"] == small


def test_in_public_there_are_months_and_powers_of_ten_and_no_places_in_a_log(mixed: logs.LogBuilder) -> None:
    ran = crawl_audit("inquiry", mixed.root, "example.com", "--level", "public", "--format", "json")
    found = ran.json
    assert (found["forwarded"], found["first_at"], found["result"]) == ("100-999", "11/2026", "requests_found")
    assert mixed.log not in ran.out
    assert {"days", "evidence_manifest_sha256", "legal_hold", "log_range"}.isdisjoint(found)
    assert not {"log", "seq"} & set(found["robots"][0])
    assert {"days", "robots[].log", "evidence_manifest_sha256"} <= {one["field"] for one in found["withheld"]}
    text = crawl_audit("inquiry", mixed.root, "example.com", "--level", "public").out
    assert mixed.log not in text
    assert "2026-11-18" not in text.partition("About this report")[0]


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ("included", "operator_attested_included"),
        ("excluded", "operator_attested_excluded"),
        ("partial", "operator_attested_partial"),
    ],
)
def test_training_use_is_what_the_operator_attests(
    mixed: logs.LogBuilder, tmp_path: Path, status: str, shown: str
) -> None:
    operator = tmp_path / "operator.toml"
    operator.write_text(
        f'[[training_use]]\nsites = ["example.com"]\nstatus = "{status}"\n'
        'attested_by = "Data"\nattested_at = 2026-11-02\n'
    )
    found = asked(mixed.root, "http://www.example.com/", "--operator", operator)
    assert found["training_use_status"] == shown
    assert found["attestation"] == {"attested_by": "Data", "attested_at": "2026-11-02", "reference": None}
    other = asked(mixed.root, "example.co.uk", "--operator", operator)
    assert (other["training_use_status"], other["attestation"]) == ("unknown", None)
    assert "attestation" in {one["field"] for one in other["withheld"]}


def ids(found: dict[str, Any]) -> set[str]:
    return {one["id"] for one in found["cannot_be_known"]}


def test_what_cannot_be_known_is_said_where_it_applies(root: Path) -> None:
    always = {*cannot_be_known.ALWAYS, "U-USE"}
    made = logs.sound(root)
    assert ids(asked(root, "example.com")) == always
    assert ids(asked(root, "example.com", "--from", "2026-11-01")) == always | {"U-GAPS"}
    (root / "live").mkdir()
    (root / "live" / "x.duckdb").touch()
    second = logs.LogBuilder(root, "node2-20261118T110640Z-00000002")
    second.add(logs.run(at=logs.after(5)))
    second.add(
        Tunnel(
            recorded_at=logs.after(6),
            exchange_id=None,
            crawler=None,
            client=None,
            protocol="tls",
            host="example.com",
            port=443,
            outcome="failed",
            detail=None,
        )
    )
    second.publish()
    (made.root / "segments" / made.log).joinpath(sorted((root / "segments" / made.log).iterdir())[1]).rename(
        root / "elsewhere"
    )
    assert ids(asked(root, "example.com")) == always | {"U-LIVE", "U-TUNNELS", "U-MISSING"}


def test_an_erased_target_may_have_been_the_one_asked_for(root: Path) -> None:
    logs.sound(root)
    ran = crawl_audit(
        "redact", root, "--domain", "example.com", "--field", "target", "--reason", "r", "--by", "b", "--yes"
    )
    assert ran.code == 0
    url = asked(root, "http://example.com/never-asked-for")
    assert (url["result"], "U-ERASED" in ids(url)) == ("cannot_determine", True)
    assert asked(root, "example.com")["result"] == "requests_found"


def test_every_fixed_sentence_has_a_case_in_which_it_is_said() -> None:
    trouble = {
        "gap_count": 1,
        "periods": [],
        "fail_open": {"requests": 2, "kept": 1},
        "tunnels": {"x": 1},
        **dict.fromkeys(("pruned_records", "missing_records", "quarantined_files", "live_files"), 1),
    }
    assert {one["id"] for one in cannot_be_known.chosen(trouble, without_target=1)} == set(cannot_be_known.TEXTS)


def charts(found: dict[str, Any]) -> dict[ChartKind, Chart]:
    blocks = [block for section in inquiry_text.body(found, ENGLISH) for block in section.blocks]
    return {block.kind: block for block in blocks if isinstance(block, Chart)}


def test_charts_show_requests_by_day_and_each_copy_until_the_next(root: Path) -> None:
    made = logs.LogBuilder(root)
    for number, outcome in enumerate(("successful", "unavailable", "unreachable")):
        at = logs.after(3600 * number)
        copy = made.add(replace(logs.snapshot("example.com", None, at), outcome=outcome))
        made.add(logs.decision("example.com", f"/{number}", at, snapshot_seq=copy))
    made.publish()
    found = charts(asked(root, "example.com"))
    assert sum(row[2] for row in found[ChartKind.DAYS].table.rows) == 3
    spans = found[ChartKind.SPANS].table.rows
    assert [row[1] for row in spans] == ["rules served", "no robots.txt", "not reachable"]
    assert [row[3] for row in spans[:2]] == [row[2] for row in spans[1:]]
    assert charts(asked(root, "example.com", "--level", "public")) == {}


def test_a_log_without_segments_gives_an_answer_of_the_same_shape(root: Path, mixed: logs.LogBuilder) -> None:
    logs.LogBuilder(root)
    empty = asked(root, "example.com")
    assert empty["result"] == "cannot_determine"
    assert set(empty) == set(asked(mixed.root, "example.com"))
    assert "U-GAPS" in ids(empty)


def test_who_answers_says_what_is_on_file(mixed: logs.LogBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reports.envelope.now", lambda: datetime.fromisoformat("2026-11-30T09:00:00"))
    options = ("--reference", "2026-17", "--received", "2026-11-20", "--channel", "form", "--basis", "jp_p2")
    more = ("--requester", "R-4", "--by", "legal", "--eligibility", "asserts infringement=yes:letter 3")
    found = asked(mixed.root, "example.com", *options, *more)
    assert found["inquiry"] == {
        "reference": "2026-17",
        "received_at": "2026-11-20T00:00:00Z",
        "elapsed_days": 10,
        "channel": "form",
        "basis": "jp_p2",
        "requester_ref": "R-4",
        "answered_by": "legal",
        "eligibility_checks": [{"condition": "asserts infringement", "met": "yes", "evidence_ref": "letter 3"}],
    }
    assert "infeasibility_explanation" in {one["field"] for one in found["withheld"]}
    public = asked(mixed.root, "example.com", *options, *more, "--level", "public")
    assert set(public["inquiry"]) == {"reference", "received_at", "elapsed_days", "channel", "basis"}
    assert public["inquiry"]["received_at"] == "2026-11-20"
    regulator = json.dumps(asked(mixed.root, "example.com", *options, *more, "--level", "regulator"))
    assert "R-4" in regulator
    assert "letter 3" not in regulator
    text = crawl_audit("inquiry", mixed.root, "example.com", *options, *more).out
    assert "asserts infringement: yes (letter 3)" in text


def test_long_lists_are_cut_and_the_total_said(mixed: logs.LogBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inquiry, "LISTED_MAX", 1)
    found = asked(mixed.root, "example.com")
    assert (len(found["robots"]), found["robots_count"]) == (1, 2)
    assert "Listed: 1 of 2." in crawl_audit("inquiry", mixed.root, "example.com").out


def test_the_record_at_a_level_is_what_its_declaration_allows(mixed: logs.LogBuilder) -> None:
    with open_log(str(mixed.root)) as log:
        for level in Level:
            found = inquiry.inquiry(log, parse_subject("example.com"), Period(), level=level)
            assert found["disclosure_level"] == level.value
            assert (
                set(found["tied"])
                == {
                    Level.PUBLIC: {"regulator", "internal"},
                    Level.REGULATOR: {"internal"},
                    Level.INTERNAL: set(),
                }[level]
            )
