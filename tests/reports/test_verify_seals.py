"""Seals that are missing, in another order, or say something else than the records are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawl_audit.seal import EMPTY_ROOT, merkle_root
from reports.verify_seals import SealTree, idle_interval_s
from tests import logs
from tests.reports.tampering import checks, files, rewrite, verified


def changed(made: logs.LogBuilder, select: str, severity: str = "error") -> set[str]:
    rewrite(files(made.root, "seal")[1], select)
    return checks(verified(made.root), severity)


def test_a_deleted_seal_is_found(sound: logs.LogBuilder) -> None:
    deleted = "SELECT * FROM t WHERE seq <> (SELECT min(seq) FROM t)"
    assert {"S1", "S2", "R3"} <= changed(sound, deleted)


def test_seals_in_another_order_are_found(sound: logs.LogBuilder) -> None:
    swap = "SELECT * REPLACE (CASE seq WHEN 40 THEN 51 ELSE 40 END AS seq) FROM t"
    assert {"S1", "S2"} <= changed(sound, swap)


@pytest.mark.parametrize("name", ["decisions", "forwarded", "completions"])
def test_counters_that_contradict_the_records_are_found(sound: logs.LogBuilder, name: str) -> None:
    assert {"S3", "H2"} <= changed(sound, f"SELECT * REPLACE ({name} + 1 AS {name}) FROM t")


def test_a_count_in_flight_that_does_not_add_up_is_found(sound: logs.LogBuilder) -> None:
    assert "S3" in changed(sound, "SELECT * REPLACE (3 AS in_flight) FROM t")


def test_fewer_dropped_records_than_before_are_found(sound: logs.LogBuilder) -> None:
    more = "SELECT * REPLACE (CASE seq WHEN 40 THEN 3 ELSE 2 END AS dropped) FROM t"
    assert "S3" in changed(sound, more)


def test_other_settings_are_found(sound: logs.LogBuilder) -> None:
    assert "S4" in changed(sound, f"SELECT * REPLACE ('{'ab' * 32}' AS settings_sha256) FROM t")


def test_settings_that_were_written_beside_the_digest_of_others_are_found(root: Path) -> None:
    made = logs.LogBuilder(root, signing=True)
    made.start(settings="{}")  # under the digest of the settings it stands for
    made.close(logs.after(3))
    assert "S4" in checks(verified(root), "error")


def test_a_clock_that_goes_back_is_found(sound: logs.LogBuilder) -> None:
    back = "SELECT * REPLACE (recorded_at - INTERVAL 1 HOUR AS recorded_at) FROM t"
    assert "T1" in changed(sound, back, "warning")


def test_a_clock_that_leaves_the_monotonic_one_is_found(root: Path) -> None:
    made = logs.LogBuilder(root, signing=True)
    made.start()
    made.publish(logs.after(1))
    made.seal(logs.after(31), monotonic_ms=4_000)
    made.close(logs.after(33))
    assert "T1" in checks(verified(root), "warning")


def test_time_without_seals_is_found(root: Path) -> None:
    made = logs.LogBuilder(root, signing=True)
    made.start()
    made.publish(logs.after(1))
    made.seal(logs.after(60))
    assert "T2" not in checks(verified(made.close(logs.after(62)).parents[2]), "warning")


def test_a_heartbeat_left_out_is_found(root: Path) -> None:
    made = logs.LogBuilder(root, signing=True)
    made.start()
    made.publish(logs.after(1))
    made.close(logs.after(100))
    answer = verified(root)
    assert "T2" in checks(answer, "warning")
    assert any("No seal for 99 s" in finding["message"] for finding in answer["findings"])


def test_a_log_without_closing_seal_is_never_ok(root: Path) -> None:
    made = logs.LogBuilder(root, signing=True)
    made.start()
    made.publish(logs.after(1))
    answer = verified(root, notes=[made.note()], trust=[made.signer.verifier])
    assert answer["result"] == "incomplete"
    assert checks(answer, "warning") == {"S6"}


def test_seals_behind_a_closing_one_are_found(root: Path) -> None:
    made = logs.LogBuilder(root, signing=True)
    made.start()
    made.seal(reason="shutdown")
    made.publish()
    made.close()
    assert "S1" in checks(verified(root))


def test_a_log_without_seal_is_found(root: Path) -> None:
    made = logs.LogBuilder(root)
    made.start()
    directory = root / "segments" / made.log / "000000000000-000000000000"
    directory.mkdir(parents=True)
    logs.write_segment(directory, made.log, list(enumerate(made.records)))
    answer = verified(root)
    assert "R2" in checks(answer)
    assert "S6" in checks(answer, "warning")


@pytest.mark.parametrize(
    "settings,seconds",
    [
        ('{"logging":{"idle_seal_interval_s":30.5}}', 30.5),
        ('{"logging":{"idle_seal_interval_s":true}}', 60),
        ('{"logging":{"idle_seal_interval_s":1e999}}', 60),
        ('{"logging":[]}', 60),
        ("{" * 100_000, 60),
        ("", 60),
    ],
)
def test_the_interval_is_read_from_settings_that_may_say_anything(settings: str, seconds: float) -> None:
    assert idle_interval_s(settings) == seconds


def test_the_tree_has_a_root_at_every_size(sound: logs.LogBuilder) -> None:
    from reports.evidence import open_evidence
    from reports.verify_records import read_tree

    with open_evidence(str(sound.root)) as evidence:
        tree = read_tree(evidence, sound.log)
    made = sound.seal_leaves()
    assert [tree.root(size) for size in range(tree.size + 1)] == [merkle_root(made[:size]) for size in range(7)]
    assert tree.range_of(1, 3) == (tree.seals[1].first_seq, tree.seals[2].seq)
    assert SealTree("x", []).root() == EMPTY_ROOT
