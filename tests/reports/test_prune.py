"""Pruning: old records go, seals and what later decisions need stay, a hold wins, a crash at any step is finished."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from crawl_audit.records import Instant
from reports import holds, prune, rewriting
from reports.custody import moment_of
from reports.findings import Severity
from reports.log import open_log
from reports.period import Period
from tests import custody, logs
from tests.custody import SECRETS, check_roots, errors, findings, leaves, octets, relations
from tests.reports.command import crawl_audit, refused

LIMIT = logs.after(20)  # the last of the segments of `handled` ends later


@pytest.fixture
def log(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return custody.copied(root, tmp_path_factory.getbasetemp() / "handled")


def run(root: Path, before: Instant = LIMIT) -> prune.Plan:
    with rewriting.open_bench(str(root)) as bench:
        prune.finish(bench)
        planned = prune.plan(bench, before)
        if planned.removals:
            prune.apply(bench, planned, "retention", "dpo")
        return planned


def test_old_records_go_and_every_root_that_keeps_a_record_holds(log: Path) -> None:
    whole, before = leaves(log), relations(log)
    planned = run(log)
    assert [segment.last < 60 for segment in planned.segments] == [True, True]
    after = relations(log)
    limit = max(segment.last for segment in planned.segments)
    assert all(seal in after["seal"] for seal in before["seal"])
    assert {row["seq"] for row in after["decision"]} == {s["seq"] for s in before["decision"] if s["seq"] > limit}
    assert [row["seq"] for row in after["incident"]] == [row["seq"] for row in before["incident"]]
    assert len(after["snapshot"]) == 2 and len(after["robots_body"]) == 1
    computed = check_roots(log, whole, pruned=True)
    assert computed < len(after["seal"])
    assert errors(log) == set()
    told = [f for f in findings(log) if f.check == "P1"]
    assert {f.severity for f in told} == {Severity.INFO, Severity.WARNING}


def test_a_snapshot_that_nothing_later_needs_goes_too(root: Path) -> None:
    made = custody.handled(root)
    whole = leaves(root)
    run(root, logs.after(1_000))
    after = relations(root)
    assert {kind for kind, rows in after.items() if any(row["log"] == made.log for row in rows)} == {
        "run", "seal", "incident", "withheld"
    }  # fmt: skip
    check_roots(root, whole, pruned=True)
    assert errors(root) == set()


def test_a_log_that_is_still_written_keeps_what_it_may_still_use(root: Path) -> None:
    made = logs.LogBuilder(root, signing=True)
    made.start()
    made.add(logs.robots_body(logs.ROBOTS))
    seq = made.add(logs.snapshot("example.com", logs.ROBOTS))
    old = made.add(logs.snapshot("old.example", logs.ROBOTS, valid_until=Instant(logs.START + 1)))
    made.add(logs.decision("example.com", body=logs.ROBOTS, snapshot_seq=seq))
    made.publish()
    made.add(logs.decision("other.example", at=logs.after(90)))
    made.publish()
    run(root, logs.after(60))
    after = relations(root)
    assert [row["seq"] for row in after["snapshot"]] == [seq]
    assert len(after["robots_body"]) == 1
    assert old in [row["seq"] for row in after["withheld"]]
    assert errors(root) == set()


def test_pruned_octets_are_gone(log: Path) -> None:
    run(log, logs.after(1_000))
    assert SECRETS["target"].encode() not in octets(log)
    assert SECRETS["user_agent"].encode() not in octets(log)


def test_holds_win_over_everything(log: Path) -> None:
    whole = leaves(log)
    with rewriting.open_bench(str(log)) as bench:
        name, _ = holds.place(bench, "http://www.example.com" + SECRETS["target"], Period(), "case 7", "legal")
    kept = run(log)
    assert kept.removals == ()
    assert {hold for _, hold in kept.held} == {name}
    assert {key: leaf for key, leaf in leaves(log).items() if key in whole} == whole
    ran = crawl_audit("prune", log, "--before", "2026-11-19", "--reason", "r", "--by", "b", "--yes")
    assert f"Kept whole by {name}" in ran.out
    with rewriting.open_bench(str(log)) as bench:
        holds.release(bench, name, "closed", "legal")
    assert run(log).removals


def test_a_hold_of_a_period_keeps_only_segments_with_records_in_it(log: Path) -> None:
    start, end = moment_of(logs.after(2)), moment_of(logs.after(3))
    with rewriting.open_bench(str(log)) as bench:
        holds.place(bench, "all", Period(start=start, end=end + timedelta(microseconds=1)), "case 9", "legal")
    planned = run(log)
    assert [segment.first for segment, _ in planned.held] == [0]
    assert [segment.first for segment in planned.segments] != [0]


def test_what_is_pruned_is_never_pruned_again(log: Path) -> None:
    assert run(log).rows > 0
    count = len(relations(log)["custody"])
    assert run(log).rows == 0
    assert run(log, logs.after(1_000)).rows > 0
    assert errors(log) == set()
    assert len(relations(log)["custody"]) > count


@pytest.mark.parametrize("step", range(14))
def test_after_a_crash_at_any_step_the_next_prune_finishes(
    log: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    whole = leaves(log)
    try:
        with custody.crash_at(monkeypatch, step) as done:
            run(log)
        assert len(done) <= step
    except custody.Crashed:
        assert errors(log) <= {"P2"}  # on record and not all carried out
    run(log)
    check_roots(log, whole, pruned=True)
    assert errors(log) == set()
    assert len(relations(log)["custody"]) == len({row["first_seq"] for row in relations(log)["custody"]})
    assert not [row for row in relations(log)["decision"] if row["seq"] < 30]


def test_redacted_then_pruned_is_no_contradiction(log: Path) -> None:
    custody.erase(log, "www.example.com", "target,client")
    run(log)
    assert errors(log) == set()
    assert custody.erase(log, "www.example.com", "user_agent").values
    assert errors(log) == set()


def test_a_dry_run_lists_and_changes_nothing(log: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in log.rglob("*")}
    ran = crawl_audit(
        "prune", log, "--before", "2026-11-20", "--reason", "r", "--by", "b", "--dry-run", "--format", "json"
    )
    assert ran.json["dry_run"] is True
    assert len(ran.json["segments"]) >= 3
    assert ran.json["custodian_log"] is None
    assert {path: path.stat().st_mtime_ns for path in log.rglob("*")} == before


def test_limits_are_asked_for(log: Path) -> None:
    assert "--older-than" in refused("prune", log, "--reason", "r", "--by", "b", code=2)
    assert "--yes" in refused("prune", log, "--before", "2026-11-20", "--reason", "r", "--by", "b", code=2)
    ran = crawl_audit("prune", log, "--older-than", "36500", "--reason", "r", "--by", "b", "--format", "json")
    assert (ran.code, ran.json["records"]) == (0, 0)


def test_pruned_time_is_not_covered_and_not_missing(log: Path) -> None:
    run(log)
    with open_log(str(log)) as opened:
        from reports.coverage import coverage

        covered = coverage(opened, Period())
    assert covered["missing_records"] == 0
    assert covered["pruned_records"] > 0
    assert covered["logs"] and len(covered["logs"]) == 1
    assert crawl_audit("inquiry", log, "nobody.example", "--to", "2026-11-18T11:06:45Z").code == 3
    late = crawl_audit(
        "inquiry", log, "nobody.example", "--from", "2026-11-18T11:07:05Z", "--to", "2026-11-18T11:07:06Z"
    )
    assert late.code == 1, late.out
