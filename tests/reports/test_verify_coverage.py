"""Coverage: which time the logs speak for, and every way in which they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawl_audit import records
from reports.verify_coverage import node_of
from tests import logs
from tests.reports.tampering import checks, verified


def messages(answer: dict[str, object], check: str) -> str:
    found = answer["findings"]
    assert isinstance(found, list)
    return " ".join(finding["message"] for finding in found if finding["check"] == check)


def test_minutes_are_counted_by_the_weakest_that_vouches(sound: logs.LogBuilder) -> None:
    coverage = verified(sound.root)["coverage"]
    assert (coverage["minutes"], coverage["by_state"]["sealed"]) == (2, 2)
    pinned = verified(sound.root, notes=[sound.note()])["coverage"]
    assert pinned["by_state"] == {"not covered": 0, "sealed": 0, "timestamped": 0, "pinned or witnessed": 2}


def test_time_between_two_logs_of_a_node_is_a_gap(root: Path) -> None:
    first = logs.sound(root)
    logs.sound(root, "node1-20261118T120000Z-00000002", at=600, previous_log=first.log)
    logs.sound(root, "node2-20261118T120000Z-00000003", at=300)
    answer = verified(root)
    (gap,) = answer["coverage"]["gaps"]
    assert (gap["node"], gap["seconds"], gap["why"]) == ("node1", 568.0, "stopped in order")
    assert "C3" in checks(answer, "info")
    states = answer["coverage"]["by_state"]
    assert states["not covered"] > 5
    assert sum(states.values()) == answer["coverage"]["minutes"]


def test_a_log_that_was_not_closed_is_an_unclean_gap(root: Path) -> None:
    dead = logs.LogBuilder(root, signing=True)
    dead.start()
    dead.publish(logs.after(10))
    dead.seal(logs.after(600), reason="recovered")
    dead.publish()
    answer = verified(root)
    assert answer["coverage"]["unclean_stops"] == 1
    assert answer["coverage"]["to"] == "2026-11-18T11:06:50Z"
    assert "unclean gap" in messages(answer, "C3")


def test_a_log_named_before_that_is_not_here_is_missed(root: Path) -> None:
    logs.sound(root, previous_log="node1-20261118T000000Z-0000000a")
    answer = verified(root)
    assert "C3" in checks(answer, "warning")
    assert "0000000a" in messages(answer, "C3")


def test_dropped_records_and_requests_left_unrecorded_are_told(root: Path) -> None:
    made = logs.LogBuilder(root, signing=True)
    made.start()
    gap = records.Gap(
        recorded_at=logs.after(2),
        cause="audit_log_unavailable",
        first_at=logs.after(1),
        last_at=logs.after(2),
        requests=5,
        kept=0,
        first_seq=None,
        last_seq=None,
        file_sha256=None,
        detail="The disk was full.",
    )
    made.add(gap)
    made.seal(dropped=7)
    made.seal(reason="shutdown", dropped=7)
    made.publish()
    answer = verified(root)
    assert (answer["coverage"]["left_unrecorded"], answer["coverage"]["dropped"]) == (5, 7)
    assert "G1" in checks(answer, "warning")
    assert "C4" in checks(answer, "info")


@pytest.mark.parametrize("directory,name", [("live", "x.000001.duckdb"), ("quarantine", "x.000001.duckdb")])
def test_files_that_cannot_be_read_are_told(sound: logs.LogBuilder, directory: str, name: str) -> None:
    (sound.root / directory).mkdir()
    (sound.root / directory / name).write_bytes(b"")
    assert "C3" in checks(verified(sound.root), "warning")


def test_the_node_is_in_the_name_of_a_log() -> None:
    assert node_of("my-node-20261118T110640Z-00000001") == "my-node"
