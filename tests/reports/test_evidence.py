"""Evidence from strangers: what has another form than a log's is refused by its check, and nobody reads it."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
import pytest

from crawl_audit.errors import LogFormatError
from reports import evidence_form
from reports.evidence import DamagedError, open_evidence
from reports.findings import Findings, Result
from reports.log import NotALogError
from tests import logs
from tests.reports.tampering import checks, files, rewrite, verified


def found(root: Path) -> dict[str, int]:
    """The form findings, by check."""
    with open_evidence(str(root)) as evidence:
        return evidence.findings.counts


def test_a_sound_log_has_no_finding_and_shows_its_rows(sound: logs.LogBuilder) -> None:
    with open_evidence(str(sound.root)) as evidence:
        assert evidence.findings.result is Result.OK
        assert evidence.logs == [sound.log]
        assert [(s.first, s.last) for s in evidence.segments(sound.log)] == [(0, 29), (30, 51), (52, 74)]
        assert len(list(evidence.rows("decision", sound.log))) == 30
        assert next(evidence.rows("seal", None, ("seq",), "rows > 0", "seq DESC")) == (74,)
        assert list(evidence.rows("gap")) == []
        assert evidence.checkpoint(sound.log) == sound.note()
        assert (evidence.enrolment(sound.log), evidence.anchors(sound.log)) == (None, [])
        assert (evidence.live_files(), evidence.quarantined_files(), evidence.manifest) == ([], [], None)


def test_nothing_outside_the_segments_can_be_read(sound: logs.LogBuilder, tmp_path: Path) -> None:
    outside = tmp_path / "secret.csv"
    outside.write_text("a\n1\n")
    with open_evidence(str(sound.root)) as evidence:
        for sql in (f"FROM read_csv('{outside}')", "SET enable_external_access = true", f"ATTACH '{outside}' AS x"):
            with pytest.raises(DamagedError):
                list(evidence.select(sql))


@pytest.mark.parametrize(
    "name",
    ["segments/a=b/x", "segments/{log}/kind=decision/x", "segments/{log}/000000000000-000000000029/evil.parquet"],
)
def test_what_no_log_has_is_refused(sound: logs.LogBuilder, name: str) -> None:
    path = sound.root / name.format(log=sound.log)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    answer = verified(sound.root)
    assert checks(answer) == {"F1"}


def test_links_and_devices_are_not_followed(sound: logs.LogBuilder, tmp_path: Path) -> None:
    path = files(sound.root, "decision")[0]
    path.rename(tmp_path / "elsewhere.parquet")
    path.symlink_to(tmp_path / "elsewhere.parquet")
    os.mkfifo(sound.root / "segments" / "pipe")
    answer = verified(sound.root)
    assert {"F1", "R3"} <= checks(answer)
    assert sum(finding["check"] == "F1" for finding in answer["findings"]) == 2


def test_another_thing_beside_the_segments_is_only_mentioned(sound: logs.LogBuilder) -> None:
    (sound.root / "notes.txt").write_text("hello")
    assert checks(verified(sound.root), "info") == {"F1"}


@pytest.mark.parametrize(
    "select",
    [
        "SELECT * EXCLUDE (salt) FROM t",
        "SELECT *, 1 AS extra FROM t",
        "SELECT * REPLACE (seq::INTEGER AS seq) FROM t",
        "SELECT * REPLACE (rule_line::DOUBLE AS rule_line) FROM t",
        "SELECT * REPLACE (NULL AS host) FROM t",
        'SELECT *, host AS "HOST_C" FROM t',
        "SELECT *, NULL::VARCHAR AS target_c FROM t",
        "SELECT * REPLACE ([seq] AS group_tokens) FROM t",
    ],
)
def test_other_columns_or_types_are_refused(sound: logs.LogBuilder, select: str) -> None:
    rewrite(files(sound.root, "decision")[1], select)
    answer = verified(sound.root)
    assert {"F2", "R3"} <= checks(answer)
    assert any("decision" in one["what"] for one in answer["not_checked"])


def test_a_file_that_is_no_parquet_is_named_and_the_rest_is_checked(sound: logs.LogBuilder) -> None:
    files(sound.root, "completion")[1].write_bytes(b"PAR1 no more")
    answer = verified(sound.root)
    assert "F5" in checks(answer)
    assert answer["records"] > 50


def test_a_decompression_bomb_is_refused(sound: logs.LogBuilder) -> None:
    rewrite(files(sound.root, "decision")[1], "SELECT t.* FROM t, range(20_000)")
    answer = verified(sound.root)
    assert "F4" in checks(answer)
    assert answer["records"] < 75


@pytest.mark.parametrize(
    "groups,large",
    [
        ([(10, 1000)], False),
        ([(2_000_000, 1000)], True),
        ([(10, 5 * 1024**3)], True),
        ([(10, 10**8)], True),
        ([], False),
    ],
)
def test_a_footer_that_promises_too_much_is_refused(groups: list[tuple[int, int]], large: bool) -> None:
    assert (evidence_form.size_fault(file_bytes=1000, groups=groups) is not None) is large


def test_columns_are_told_by_their_names_and_not_by_their_place(sound: logs.LogBuilder) -> None:
    """Files that are all alike are read by the columns of the first."""
    path = files(sound.root, "seal")[1]
    with duckdb.connect() as connection:
        names = [row[0] for row in connection.execute(f"DESCRIBE FROM read_parquet('{path}')").fetchall()]
    rewrite(path, f"SELECT {', '.join(reversed(names))} FROM t")
    answer = verified(sound.root)
    assert answer["seals"] == 6
    assert [one for one in answer["findings"] if one["severity"] == "error"] == []


def test_lies_in_statistics_hide_nothing(root: Path) -> None:
    made = logs.sound(root, count=12)
    path = files(root, "decision")[0]
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE t AS FROM read_parquet('{path}')")
        path.unlink()
        connection.execute(f"COPY t TO '{path}' (FORMAT parquet, COMPRESSION uncompressed)")
    content = path.read_bytes()
    at = content.rindex(b"forwarded", 0, len(content) - 8)
    footer = len(content) - int.from_bytes(content[-8:-4], "little") - 8
    assert at > footer, "the statistics of `action` lie in the footer"
    path.write_bytes(content[:footer] + content[footer:].replace(b"forwarded", b"aaaaaaaaa"))
    with open_evidence(str(root)) as evidence:
        shown = list(evidence.rows("decision", made.log, ("seq",), "action = 'forwarded'"))
    assert len(shown) == 12


def test_checkpoints_that_are_none_are_refused(sound: logs.LogBuilder) -> None:
    directory = sound.root / "checkpoints"
    (directory / "odd.txt").write_text("x")
    (directory / f"{sound.log}.anchors").mkdir()
    (directory / f"{sound.log}.anchors" / "x.exe").write_text("x")
    (directory / f"{sound.log}.anchors" / "000000000004.checkpoint").write_text(sound.note(4), encoding="utf-8")
    (directory / f"{sound.log}.enrolment").write_bytes(b"x" * 100_000)
    with open_evidence(str(sound.root)) as evidence:
        assert evidence.findings.counts == {"F1": 2, "F4": 1}
        assert [file.name for file in evidence.anchors(sound.log)] == ["000000000004.checkpoint"]
        assert evidence.anchors(sound.log)[0].read_text() == sound.note(4)
        assert evidence.checkpointed() == [sound.log]


def test_a_checkpoint_that_is_no_text_is_refused(sound: logs.LogBuilder) -> None:
    (sound.root / "checkpoints" / f"{sound.log}.checkpoint").write_bytes(b"\xff\xfe")
    assert "H1" in checks(verified(sound.root))


@pytest.mark.parametrize("text", ['{"a":1,"a":2}', '{"a":{"b":1,"b":1}}', '{"a":NaN}', "[]", "{", "[" * 100_000])
def test_a_manifest_that_says_two_things_is_refused(sound: logs.LogBuilder, text: str) -> None:
    (sound.root / "manifest.json").write_text(text)
    with pytest.raises(LogFormatError):
        evidence_form.strict_json(text, "It")
    assert found(sound.root) == {"F3": 1}


@pytest.mark.parametrize("path", ["https://example.com/log", "/nonexistent/log"])
def test_what_is_no_evidence_is_refused(path: str) -> None:
    with pytest.raises(NotALogError), open_evidence(path):
        pass


def test_a_directory_without_segments_and_a_file_that_is_no_bundle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("hello")
    for path in (tmp_path, tmp_path / "x"):
        with pytest.raises(NotALogError), open_evidence(str(path), Findings()):
            pass
