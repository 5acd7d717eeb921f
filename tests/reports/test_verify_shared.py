"""A robots.txt taken over from another sidecar is held against that one's log, where it is here."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from crawl_audit import records
from crawl_audit.records import SnapshotSource
from reports.findings import Severity
from reports.verify import verify
from tests import logs

HOST = "example.com"
BODY = b"User-agent: *\nDisallow: /private\n"
AT = logs.after(10)
ORIGIN, TAKER = "origin-20261118T110000Z-0000000a", "taker-20261118T110000Z-0000000b"


def log(root: Path, name: str) -> logs.LogBuilder:
    made = logs.LogBuilder(root, log=name, signing=True)
    made.start()
    return made


def fetched(made: logs.LogBuilder) -> None:
    made.add(logs.snapshot(HOST, BODY, AT))
    made.add(logs.robots_body(BODY, AT))


def shared() -> records.Snapshot:
    said: dict[str, Any] = {"source": SnapshotSource.SHARED, "fetched_at": AT, "origin_log": ORIGIN}
    return logs.snapshot(HOST, BODY, logs.after(20), valid_until=logs.after(3610), **said)


def taken_over(made: logs.LogBuilder) -> None:
    seq = made.add(shared())
    made.add(logs.robots_body(BODY, logs.after(20)))
    decided = made.add(logs.decision(HOST, "/a", logs.after(21), body=BODY, snapshot_seq=seq, robots_age_ms=11_000))
    made.add(logs.completion(decided, logs.after(22)))


def found(root: Path) -> list[tuple[str, str, str]]:
    """(severity, where, message) of each finding B6."""
    answer = verify(str(root))
    return [(one["severity"], one["where"], one["message"]) for one in answer["findings"] if one["check"] == "B6"]


def test_what_the_other_log_has_on_record_is_no_finding(root: Path) -> None:
    one, two = log(root, ORIGIN), log(root, TAKER)
    fetched(one)
    taken_over(two)
    one.close()
    two.close()
    answer = verify(str(root))
    assert [one for one in answer["findings"] if one["severity"] == Severity.ERROR] == []
    assert "B6" not in answer["checks"]


WRONG: dict[str, dict[str, Any]] = {
    "another time": {"fetched_at": AT + 1},
    "another port": {"port": 8080},
    "another scheme": {"scheme": "https"},
    "another host": {"host": "other.example"},
    "another file": {"robots_sha256": hashlib.sha256(b"another").hexdigest()},
    "another answer": {"status": 203},
    "only observed there": {"host": "observed.example"},
    "only taken over there": {"host": "shared.example"},
}


def test_a_fetch_that_the_other_log_does_not_have_is_an_error(root: Path) -> None:
    one, two = log(root, ORIGIN), log(root, TAKER)
    fetched(one)
    one.add(logs.snapshot("observed.example", BODY, AT, source=SnapshotSource.OBSERVED))
    third = {"source": SnapshotSource.SHARED, "fetched_at": AT, "origin_log": "third"}
    one.add(logs.snapshot("shared.example", BODY, AT, **third))
    taken_over(two)
    wrong = {two.add(replace(shared(), **changes)): name for name, changes in WRONG.items()}
    one.close()
    two.close()
    told = [(where, message) for severity, where, message in found(root) if severity == "error"]
    message = f"The snapshot is said to be shared by the log {ORIGIN}, which has no such fetch at that time."
    assert told == [(f"{TAKER} seq {seq}", message) for seq in wrong], list(wrong.values())


def test_a_log_that_is_not_here_leaves_it_open(root: Path) -> None:
    made = log(root, TAKER)
    taken_over(made)
    made.close()
    assert found(root) == [
        ("warning", TAKER, f"A snapshot is said to be shared by the log {ORIGIN}, which is not here.")
    ]
    assert verify(str(root))["result"] == "incomplete"


def test_a_log_that_is_not_sealed_up_to_that_time_leaves_it_open(root: Path) -> None:
    one, two = log(root, ORIGIN), log(root, TAKER)
    one.seal(logs.after(9))
    one.publish()
    taken_over(two)
    two.close()
    ((severity, where, message),) = found(root)
    assert (severity, where) == ("warning", TAKER) and "not sealed yet" in message


def test_a_log_still_written_but_sealed_well_beyond_that_time_does_not(root: Path) -> None:
    one, two = log(root, ORIGIN), log(root, TAKER)
    one.seal(logs.after(60))
    one.publish()
    taken_over(two)
    two.close()
    assert [severity for severity, _, _ in found(root)] == ["error"]


def test_a_snapshot_that_contradicts_itself_is_an_error(root: Path) -> None:
    one, two = log(root, ORIGIN), log(root, TAKER)
    fetched(one)
    contradictions: list[dict[str, Any]] = [
        {"fetched_at": None},
        {"origin_log": None},
        {"source": SnapshotSource.FETCHED},
        {"source": SnapshotSource.FETCHED, "fetched_at": None},
        {"fetched_at": logs.after(20) + 1},
    ]
    seqs = [two.add(replace(shared(), **changes)) for changes in contradictions]
    one.close()
    two.close()
    message = "The snapshot's source, fetched_at and origin_log contradict one another."
    assert [(where, said) for severity, where, said in found(root) if said == message] == [
        (f"{TAKER} seq {seq}", message) for seq in seqs
    ]


def test_its_age_counts_from_the_fetch(root: Path) -> None:
    made = log(root, TAKER)
    day = 86_400
    seq = made.add(
        logs.snapshot(
            HOST,
            BODY,
            logs.after(day - 10),
            source=SnapshotSource.SHARED,
            fetched_at=logs.after(0),
            origin_log=ORIGIN,
            valid_until=logs.after(2 * day),
        )
    )
    made.add(logs.robots_body(BODY, logs.after(day - 10)))
    decided = made.add(logs.decision(HOST, "/a", logs.after(day + 60), body=BODY, snapshot_seq=seq))
    made.add(logs.completion(decided, logs.after(day + 61)))
    made.close()
    said = [one["message"] for one in verify(str(root))["findings"] if one["check"] == "B5"]
    assert said == [
        "The snapshot claims to hold for 48.0 hours (RFC 9309 2.4: 24).",
        f"The snapshot {seq} was older than 24 hours (RFC 9309 2.4).",
    ]
