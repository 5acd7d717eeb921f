"""One decision explained: the marked line, the replay, and what happens when the log does not bear it out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crawl_audit.records import Action, Basis, Decision, Gap, Mode, RobotsOutcome, SnapshotSource, Verdict
from reports import explain
from tests import logs
from tests.reports.command import crawl_audit, refused

HOST = "example.com"


def log_of(root: Path, judged: Decision, body: bytes | None = logs.ROBOTS, **snapshot: Any) -> Decision:
    """A log with one decision on a robots.txt, and the decision as it stands there."""
    made = logs.LogBuilder(root)
    made.add(logs.run())
    if body is not None:
        made.add(logs.robots_body(body))
    judged = replace(judged, snapshot_seq=made.add(logs.snapshot(HOST, body, **snapshot)))
    made.add(judged)
    made.publish()
    return judged


def test_the_deciding_line_is_marked_and_the_governing_group_barred(root: Path) -> None:
    judged = log_of(root, logs.decision(HOST, "/private/x", body=logs.ROBOTS))
    ran = crawl_audit("explain", root, judged.exchange_id)
    marked = [line for line in ran.out.splitlines() if line.startswith("→ ") and "Disallow" in line]
    assert marked == ["→     8  │ Disallow: /private"]
    assert "      1    User-agent: *" in ran.out
    assert "      5  │ User-agent: AlphaBot" in ran.out
    assert ran.code == 0
    answer = crawl_audit("explain", root, judged.exchange_id, "--format", "json").json
    assert [line["line"] for line in answer["robots_txt"] if line["governing"]] == [5, 6, 7, 8]
    assert [line["line"] for line in answer["robots_txt"] if line["deciding"]] == [8]
    assert answer["replay"]["result"] == "same"
    assert answer["decision"]["url"] == "http://example.com/private/x"
    assert answer["seal"]["seal_index"] == 0
    assert "disallowed, forwarded" in crawl_audit("explain", root, judged.exchange_id, "--format", "md").out


def test_the_crawler_s_own_trace_is_named_where_it_sent_one(root: Path) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    judged = log_of(root, replace(logs.decision(HOST, "/public", body=logs.ROBOTS), trace_id=trace))
    assert trace in crawl_audit("explain", root, judged.exchange_id).out
    assert crawl_audit("explain", root, judged.exchange_id, "--format", "json").json["decision"]["trace_id"] == trace


def test_a_robots_txt_taken_over_from_another_sidecar_names_who_fetched_it_and_when(root: Path) -> None:
    shared = {"source": SnapshotSource.SHARED, "fetched_at": logs.after(-60), "origin_log": "other-log"}
    judged = log_of(root, logs.decision(HOST, "/private/x", body=logs.ROBOTS), **shared)
    ran = crawl_audit("explain", root, judged.exchange_id)
    assert "(shared, fetched by other-log at 2026-11-18T11:05:40" in " ".join(ran.out.split())
    snapshot = crawl_audit("explain", root, judged.exchange_id, "--format", "json").json["snapshot"]
    assert (snapshot["source"], snapshot["origin_log"]) == ("shared", "other-log")
    assert snapshot["fetched_at"].startswith("2026-11-18T11:05:40")


def test_of_a_url_the_latest_decision_is_explained_and_the_others_counted(mixed: logs.LogBuilder) -> None:
    ours = [r for r in mixed.records if isinstance(r, Decision) and (r.host, r.target) == (HOST, "/private/x")]
    answer = crawl_audit("explain", mixed.root, "http://example.com/private/x", "--format", "json").json
    assert answer["other_decisions"] == len(ours) - 1 > 0
    assert answer["decision"]["exchange_id"] == max(ours, key=lambda d: d.recorded_at).exchange_id


def test_every_decision_of_a_log_replays_to_itself(mixed: logs.LogBuilder) -> None:
    seen = {}
    for record in mixed.records:
        if isinstance(record, Decision):
            seen[(record.host, record.target, record.crawler)] = record.exchange_id
    for exchange_id in list(seen.values())[:10]:
        assert crawl_audit("explain", mixed.root, exchange_id, "--format", "json").json["replay"]["result"] == "same"


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": Verdict.ALLOWED},
        {"rule_line": 7},
        {"rule": "Disallow: /"},
        {"basis": Basis.NO_RULE},
        {"robots_sha256": "00" * 32},
        {"product_token": "OtherBot"},
    ],
)
def test_a_decision_that_its_robots_txt_does_not_bear_out_differs(root: Path, changes: dict[str, Any]) -> None:
    true = logs.decision(HOST, "/private/x", body=logs.ROBOTS)
    judged = log_of(root, replace(true, **changes))
    ran = crawl_audit("explain", root, judged.exchange_id)
    assert ran.code == 1
    assert "differs" in ran.out


def test_a_decision_by_unavailable_robots_txt_replays_without_octets(root: Path) -> None:
    judged = log_of(root, logs.decision(HOST, "/x"), None)
    ran = crawl_audit("explain", root, judged.exchange_id, "--format", "json")
    assert (ran.code, ran.json["replay"]["result"], ran.json["robots_txt"]) == (0, "same", None)


def test_an_unreachable_robots_txt_disallows_in_the_replay_too(root: Path) -> None:
    word = {"verdict": Verdict.DISALLOWED, "basis": Basis.UNREACHABLE, "action": Action.DENIED, "mode": Mode.ENFORCE}
    judged = replace(logs.decision(HOST, "/x"), **word)  # type: ignore[arg-type]
    judged = log_of(root, judged, None, outcome=RobotsOutcome.UNREACHABLE, status=503)
    ran = crawl_audit("explain", root, judged.exchange_id)
    assert ran.code == 0
    assert "did not leave" in ran.out


def test_missing_octets_make_the_replay_not_possible(root: Path) -> None:
    judged = logs.decision(HOST, "/private/x", body=logs.ROBOTS)
    made = logs.LogBuilder(root)
    made.add(replace(judged, snapshot_seq=1))
    made.add(logs.snapshot(HOST, logs.ROBOTS))
    made.publish()
    ran = crawl_audit("explain", root, judged.exchange_id)
    assert ran.code == 3
    assert "not_possible" in ran.out


def test_an_error_rests_on_no_robots_txt(root: Path) -> None:
    made = logs.LogBuilder(root)
    refusal = {"basis": Basis.ERROR, "verdict": Verdict.DISALLOWED, "action": Action.DENIED, "detail": "Two Hosts."}
    judged = replace(logs.decision(HOST, "/x"), **refusal)  # type: ignore[arg-type]
    made.add(judged)
    made.publish()
    ran = crawl_audit("explain", root, judged.exchange_id)
    assert ran.code == 0
    assert "not_applicable" in ran.out
    assert "Two Hosts." in ran.out


def test_of_a_long_robots_txt_the_lines_around_the_decision_are_shown(root: Path) -> None:
    body = b"".join(b"User-agent: bot%d\nDisallow: /\n" % n for n in range(500)) + logs.ROBOTS
    judged = log_of(root, logs.decision(HOST, "/private/x", body=body), body)
    ran = crawl_audit("explain", root, judged.exchange_id)
    assert "→  1008  │ Disallow: /private" in ran.out
    assert "lines left out" in ran.out
    assert ran.out.count("\n") < 120
    answer = crawl_audit("explain", root, judged.exchange_id, "--format", "json").json
    assert len(answer["robots_txt"]) == 1008


def test_nothing_found_ends_with_one_and_a_sentence(mixed: logs.LogBuilder) -> None:
    for wanted in ("no-such-id", "http://example.com/never", "'; DROP VIEW decision; --"):
        assert "no decision" in refused("explain", mixed.root, wanted, code=1)
    assert "no path" in refused("explain", mixed.root, "http://example.com", code=2)


def test_random_octets_as_robots_txt_are_shown_harmlessly(root: Path) -> None:
    body = bytes(range(256)) * 3 + b"\nUser-agent: AlphaBot\nDisallow: /private \x1b[31m\xe2\x80\xae\n"
    judged = log_of(root, logs.decision(HOST, "/private", body=body), body)
    out = crawl_audit("explain", root, judged.exchange_id).out
    assert not any(ord(c) < 32 and c != "\n" for c in out)
    assert "\u202e" not in out


def test_the_exit_code_of_nothing_is_one() -> None:
    assert explain.exit_code(None) == 1


@pytest.mark.parametrize(("by_number", "words"), [(True, "the request left"), (False, "the request may have left")])
def test_a_decision_that_was_entered_late_says_so(root: Path, by_number: bool, words: str) -> None:
    made = logs.LogBuilder(root)
    made.add(logs.run())
    made.add(logs.robots_body(logs.ROBOTS))
    asked = made.add(logs.snapshot(HOST, logs.ROBOTS))
    late = replace(logs.decision(HOST, "/a", logs.after(5), body=logs.ROBOTS), snapshot_seq=asked)
    gap = Gap(
        recorded_at=logs.after(9),
        cause="disk_full",
        first_at=logs.after(4),
        last_at=logs.after(6),
        requests=1,
        kept=1,
        first_seq=4 if by_number else None,
        last_seq=4 if by_number else None,
        file_sha256=None,
        detail="x",
    )
    made.add(gap)
    made.add(late)
    other = replace(logs.decision(HOST, "/b", logs.after(20), body=logs.ROBOTS), snapshot_seq=asked)
    made.add(other)
    made.publish()
    shown = crawl_audit("explain", root, late.exchange_id).out
    assert f"Entered late           {words} before this record was durable (disk_full; gap record 3" in shown
    assert "Entered late" not in crawl_audit("explain", root, other.exchange_id).out
