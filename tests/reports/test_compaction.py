"""A compacted day holds every record of its segments, column for column, in the order that is read quickly."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from crawl_audit import schema
from crawl_audit.errors import LogFormatError
from crawl_audit.leaf_sql import leaf_select
from reports import compaction, gathering
from tests import logs
from tests.reports import shipped
from tests.reports.command import crawl_audit


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shipped.two_logs(tmp_path_factory.mktemp("local") / "audit-log")


def _segments(root: Path) -> list[Path]:
    return sorted(path for path in (root / "segments").glob("*/*") if path.parent.name != "schema")


def _rows(kind: str, files: list[Path]) -> list[tuple[object, ...]]:
    with duckdb.connect() as connection:
        named = ", ".join(f"'{file}'" for file in files)
        order = "log, seq"
        return connection.execute(f"FROM read_parquet([{named}], union_by_name = true) ORDER BY {order}").fetchall()


def _leaves(kind: str, files: list[Path]) -> list[tuple[object, ...]]:
    held = "".join(f", NULL::VARCHAR AS {name}" for name, _ in schema.withheld_columns(kind))
    named = ", ".join(f"'{file}'" for file in files)
    source = f"(SELECT *{held} FROM read_parquet([{named}], union_by_name = true))"
    with duckdb.connect() as connection:
        return connection.execute(f"SELECT * FROM ({leaf_select(kind, source)}) ORDER BY ALL").fetchall()


def test_every_record_is_there_once_with_its_leaf(local: Path, tmp_path: Path) -> None:
    made = compaction.compact(_segments(local), tmp_path / "work")
    kinds = [one.kind for one in made]
    assert kinds == ["run", "snapshot", "robots_body", "decision", "completion", "seal", "extent"]
    for one in made[:-1]:
        originals = [path for segment in _segments(local) if (path := segment / f"{one.kind}.parquet").exists()]
        assert sorted(map(repr, _rows(one.kind, [one.path]))) == sorted(map(repr, _rows(one.kind, originals)))
        assert _leaves(one.kind, [one.path]) == _leaves(one.kind, originals)
        assert one.rows == len(_leaves(one.kind, originals))


def test_decisions_lie_by_site_and_what_ends_them_by_their_place(local: Path, tmp_path: Path) -> None:
    made = {one.kind: one.path for one in compaction.compact(_segments(local), tmp_path / "work")}
    with duckdb.connect() as connection:
        sites = connection.execute(f"SELECT site, recorded_at, log, seq FROM '{made['decision']}'").fetchall()
        places = connection.execute(f"SELECT decision_seq, log FROM '{made['completion']}'").fetchall()
    assert len(sites) == len(places) == 60
    assert sites == sorted(sites)
    assert places == sorted(places)


def test_extents_say_what_there_is_of_each_log_and_kind(local: Path, tmp_path: Path) -> None:
    *_, extents = compaction.compact(_segments(local), tmp_path / "work")
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT log, sum(records)::BIGINT, min(first_seq), max(last_seq)"
            f" FROM '{extents.path}' GROUP BY 1 ORDER BY 1"
        )
        assert found.fetchall() == [(shipped.LOGS[0], 75, 0, 74), (shipped.LOGS[1], 75, 0, 74)]


def test_many_records_become_several_files_that_share_no_site(
    local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "ROWS_OF_A_FILE", 25)
    made = [one for one in compaction.compact(_segments(local), tmp_path / "work") if one.kind == "decision"]
    assert [one.number for one in made] == [1, 2, 3]
    assert sum(one.rows for one in made) == 60
    sites = [{row[0] for row in duckdb.sql(f"SELECT DISTINCT site FROM '{one.path}'").fetchall()} for one in made]
    assert not sites[0] & sites[1]
    assert not sites[1] & sites[2]


def test_values_that_are_withheld_stay_withheld(tmp_path: Path) -> None:
    root = shipped.two_logs(tmp_path / "audit-log")
    ((seq,),) = duckdb.sql(f"SELECT min(seq) FROM '{root}/segments/{shipped.LOGS[0]}/*/decision.parquet'").fetchall()
    place = f"{shipped.LOGS[0]}:{seq}"
    given = ("--field", "client", "--reason", "request", "--by", "officer", "--yes", "--seq", place)
    assert crawl_audit("redact", root, *given).code == 0
    made = {one.kind: one.path for one in compaction.compact(_segments(root), tmp_path / "work")}
    found = duckdb.sql(f"SELECT count(*), count(client), count(client_c) FROM '{made['decision']}'").fetchall()
    assert found == [(60, 59, 1)]
    assert made["custody"].exists()


@pytest.mark.parametrize("within", [["seq <> 9"], ["true", "seq = 9"]], ids=["lost", "twice"])
def test_a_file_that_does_not_read_back_is_never_published(
    local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, within: list[str]
) -> None:
    monkeypatch.setattr(compaction, "_ranges", lambda *_: within)
    with pytest.raises(LogFormatError, match="do not read back"):
        compaction.compact(_segments(local), tmp_path / "work")


def test_a_value_that_changed_does_not_read_back(local: Path, tmp_path: Path) -> None:
    files = [segment / "seal.parquet" for segment in _segments(local)]
    with duckdb.connect() as connection:
        row, source = gathering.row_hash("seal"), gathering.read(files)
        whole = compaction._fingerprint(connection, source, row)
        for change in (
            "dropped + (seal_index = 1)::BIGINT AS dropped",
            "CASE WHEN seal_index = 1 THEN NULL ELSE root END AS root",
        ):
            changed = f"(SELECT * REPLACE ({change}) FROM {source})"
            assert compaction._fingerprint(connection, changed, row) != whole


def test_a_damaged_original_ends_it_in_one_sentence(tmp_path: Path) -> None:
    root = logs.sound(tmp_path / "audit-log").root
    victim = next(root.glob("segments/node1*/*/completion.parquet"))
    victim.write_bytes(victim.read_bytes()[:100])
    with pytest.raises(LogFormatError, match="cannot be compacted"):
        compaction.compact(_segments(root), tmp_path / "work")
    with pytest.raises(LogFormatError, match="cannot be read"):
        compaction.days_of(_segments(root))


def test_a_file_of_other_columns_is_refused(tmp_path: Path) -> None:
    root = logs.sound(tmp_path / "audit-log").root
    victim = next(root.glob("segments/node1*/*/completion.parquet"))
    duckdb.sql("SELECT 1 AS log, 2 AS seq").write_parquet(str(victim))
    with pytest.raises(LogFormatError, match="nothing was compacted"):
        compaction.compact([victim.parent], tmp_path / "work")


def test_a_segment_is_of_the_day_of_its_earliest_record(tmp_path: Path) -> None:
    made = logs.LogBuilder(tmp_path / "audit-log", signing=True)
    midnight = (24 * 3600 - (11 * 3600 + 6 * 60 + 40)) * 1.0
    made.start(logs.after(midnight - 5))
    made.add(logs.decision("example.com", at=logs.after(midnight + 5)))
    over = made.publish()
    made.add(logs.decision("example.com", at=logs.after(midnight + 60)))
    later = made.publish()
    assert compaction.days_of([over, later]) == {over: "2026-11-18", later: "2026-11-19"}
