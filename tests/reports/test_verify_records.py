"""Records that were changed, removed, doubled, added or moved are found, each by its check."""

from __future__ import annotations

import pytest

from reports import verify_records
from reports.evidence import open_evidence
from reports.findings import Findings, Severity, Tally
from tests import logs
from tests.reports.tampering import checks, files, rewrite, verified

LOG = "node1-20261118T110640Z-00000001"


def changed(made: logs.LogBuilder, kind: str, select: str, *, segment: int = 1) -> set[str]:
    """The errors found after one file was rewritten."""
    rewrite(files(made.root, kind)[segment], select)
    return checks(verified(made.root))


def test_a_sound_log_has_no_error(sound: logs.LogBuilder) -> None:
    answer = verified(sound.root)
    assert checks(answer) == set()
    assert (answer["records"], answer["seals"]) == (len(sound.records), sound.seals)


@pytest.mark.parametrize(
    "kind,change",
    [
        ("decision", "target || 'x' AS target"),
        ("decision", "client || 'x' AS client"),
        ("decision", "'denied' AS action"),
        ("decision", "nullif(rule, rule) AS rule"),
        ("decision", "recorded_at + INTERVAL 1 MICROSECOND AS recorded_at"),
        ("decision", "upper(salt) AS salt, host || 'x' AS host"),
        ("completion", "status + 1 AS status"),
        ("completion", "'x' AS barrier"),
    ],
)
def test_a_changed_cell_is_found(sound: logs.LogBuilder, kind: str, change: str) -> None:
    assert "R4" in changed(sound, kind, f"SELECT * REPLACE ({change}) FROM t")


def test_a_salt_written_in_other_letters_is_found(sound: logs.LogBuilder) -> None:
    assert "F3" in changed(sound, "decision", "SELECT * REPLACE (upper(salt) AS salt) FROM t")


def test_a_changed_settings_text_is_found(sound: logs.LogBuilder) -> None:
    assert "R4" in changed(sound, "run", "SELECT * REPLACE (settings || ' ' AS settings) FROM t", segment=0)


def test_a_deleted_row_is_found(sound: logs.LogBuilder) -> None:
    assert "R3" in changed(sound, "decision", "SELECT * FROM t WHERE seq <> (SELECT min(seq) FROM t)")


def test_a_doubled_row_is_found(sound: logs.LogBuilder) -> None:
    assert "R1" in changed(sound, "completion", "SELECT * FROM t UNION ALL (SELECT * FROM t LIMIT 1)")


def test_an_inserted_row_is_found(sound: logs.LogBuilder) -> None:
    beyond = "SELECT * FROM t UNION ALL (SELECT * REPLACE (9999 AS seq) FROM t LIMIT 1)"
    assert "R2" in changed(sound, "completion", beyond)


def test_rows_that_changed_places_are_found(sound: logs.LogBuilder) -> None:
    swap = "SELECT * REPLACE (CASE seq WHEN 30 THEN 32 WHEN 32 THEN 30 ELSE seq END AS seq) FROM t"
    assert "R4" in changed(sound, "decision", swap)


def test_a_row_of_another_log_is_found(sound: logs.LogBuilder) -> None:
    other = "SELECT * REPLACE ('node2-20261118T110640Z-00000001' AS log) FROM t"
    assert "F3" in changed(sound, "decision", other)


def test_a_row_without_number_is_found(sound: logs.LogBuilder) -> None:
    assert {"F3", "R3"} <= changed(sound, "decision", "SELECT * REPLACE (nullif(seq, 30) AS seq) FROM t")


def test_a_removed_segment_is_found(sound: logs.LogBuilder) -> None:
    directory = files(sound.root, "decision")[1].parent
    for file in directory.iterdir():
        file.unlink()
    directory.rmdir()
    answer = verified(sound.root)
    assert {"R3", "S1", "S2"} <= checks(answer)
    assert any("30 to 51" in finding["where"] for finding in answer["findings"] if finding["check"] == "R3")


def test_a_removed_file_is_found(sound: logs.LogBuilder) -> None:
    files(sound.root, "completion")[0].unlink()
    assert "R3" in checks(verified(sound.root))


def test_records_behind_the_last_seal_are_found(sound: logs.LogBuilder) -> None:
    path = files(sound.root, "completion")[2]
    rewrite(path, "SELECT * FROM t UNION ALL (SELECT * REPLACE (75 AS seq) FROM t LIMIT 1)")
    path.parent.rename(path.parent.with_name("000000000052-000000000075"))
    answer = verified(sound.root)
    assert "R2" in checks(answer)
    assert any("no seal covers" in finding["message"] for finding in answer["findings"])


def test_a_segment_shown_twice_is_found(sound: logs.LogBuilder) -> None:
    directory = files(sound.root, "decision")[1].parent
    twin = directory.with_name("000000000030-000000000050")
    twin.mkdir()
    for file in directory.iterdir():
        (twin / file.name).write_bytes(file.read_bytes())
    assert "R1" in checks(verified(sound.root))


def test_a_seal_that_reaches_out_of_its_segment_is_found(sound: logs.LogBuilder) -> None:
    select = "SELECT * REPLACE (first_seq - 100 AS first_seq, rows + 100 AS rows) FROM t"
    assert {"R4", "S2"} <= changed(sound, "seal", select)


def test_pruned_ranges_are_no_missing_records_and_are_not_counted_as_held() -> None:
    findings, tally = Findings(), Tally(log=LOG)
    assert verify_records._missing(LOG, (10, 19), [(15, 30), (5, 14)], findings, tally)
    assert (findings.counts, tally.not_checked[0].count) == ({}, 10)
    assert not verify_records._missing(LOG, (10, 19), [(5, 18)], findings, tally)
    assert [(f.check, f.severity) for f in findings.listed()] == [("R3", Severity.ERROR)]


def test_a_large_segment_is_worked_off_in_parts(sound: logs.LogBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_records, "WINDOW_SPAN", 12)
    root = sound.root
    assert checks(verified(root)) == set()
    rewrite(files(root, "completion")[2], "SELECT * REPLACE (status + 1 AS status) FROM t")
    rewrite(files(root, "completion")[0], "SELECT * FROM t WHERE seq <> (SELECT min(seq) FROM t)")
    rewrite(
        files(root, "decision")[1], "SELECT * FROM t UNION ALL (SELECT * REPLACE (seq + 5000 AS seq) FROM t LIMIT 1)"
    )
    assert {"R2", "R3", "R4"} <= checks(verified(root))
    with open_evidence(str(root)) as evidence:
        tree = verify_records.read_tree(evidence, LOG)
        windows = list(verify_records._windows(evidence.segments(LOG), tree))
    assert tree.size == sound.seals
    assert all(window.part for window in windows)
    assert [window.low for window in windows[1:]] == [window.high + 1 for window in windows[:-1]]


def test_a_file_damaged_inside_is_named_and_the_rest_is_checked(sound: logs.LogBuilder) -> None:
    path = files(sound.root, "completion")[1]
    content = bytearray(path.read_bytes())
    content[40:400] = bytes(360)
    path.write_bytes(content)
    answer = verified(sound.root)
    assert "F5" in checks(answer)
    assert answer["records"] == len(sound.records) - 10
    assert any("completion" in one["what"] for one in answer["not_checked"])
