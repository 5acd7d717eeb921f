"""What footers say is what the rows say, and where they say too little the rows are asked."""

from __future__ import annotations

from pathlib import Path

import duckdb
import polars
import pytest

from reports import footers
from reports.log import open_log
from tests import logs
from tests.reports.command import refused

_COUNTED = (
    "SELECT log, sum(records)::BIGINT, min(first_seq), max(last_seq), min(first_at), max(last_at) FROM {} GROUP BY 1"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in (1, 2):
        logs.mixed(tmp_path / str(number), count=60, seed=number)
    (tmp_path / "2" / "segments" / "node1-20261118T110640Z-00000001").rename(
        tmp_path / "1" / "segments" / "node1-20261118T110640Z-00000001-copy"
    )
    return tmp_path / "1"


def _extents(root: Path) -> tuple[bool, list[tuple[object, ...]]]:
    """Whether the footers say everything, and per log what is counted by them or by rows."""
    with open_log(str(root)) as opened, opened.guarded() as connection:
        rows = connection.execute(_COUNTED.format(footers.NAME) + " ORDER BY 1").fetchall()
        return footers.read(connection, opened.files.segments_root).complete, rows


def _counted(root: Path) -> list[tuple[object, ...]]:
    """The same from the rows, read by polars."""
    columns = ("log", "seq", "recorded_at")
    files = [file for file in (root / "segments").glob("*/*/*.parquet") if file.stem != "withheld"]
    frame = polars.concat(polars.read_parquet(file, columns=list(columns), glob=False) for file in files)
    seq, at = polars.col("seq"), polars.col("recorded_at")
    found = frame.group_by("log").agg(
        polars.len(), seq.min().alias("a"), seq.max().alias("b"), at.min().alias("c"), at.max().alias("d")
    )
    return found.sort("log").rows()


def _victim(root: Path) -> Path:
    return next((root / "segments").glob("node1*/*/decision.parquet"))


def test_the_footers_count_what_the_rows_count(root: Path) -> None:
    assert _extents(root) == (True, _counted(root))


def test_a_footer_without_bounds_is_not_relied_on(root: Path) -> None:
    victim = _victim(root)
    polars.read_parquet(victim, glob=False).write_parquet(victim, statistics=False)
    assert _extents(root) == (False, _counted(root))


def test_a_file_of_two_logs_is_counted_by_its_rows(root: Path) -> None:
    victim = _victim(root)
    with duckdb.connect() as connection:
        other = "CASE WHEN seq % 2 = 0 THEN 'another' ELSE log END"
        connection.execute(f"CREATE TABLE t AS SELECT * REPLACE ({other} AS log) FROM '{victim}'")
        connection.execute(f"COPY t TO '{victim}' (FORMAT parquet)")
    by_footers, rows = _extents(root)
    assert (by_footers, rows) == (False, _counted(root))
    assert "another" in {row[0] for row in rows}


@pytest.mark.parametrize("statistics", [True, False])
def test_another_version_is_refused_with_and_without_bounds(root: Path, *, statistics: bool) -> None:
    victim = _victim(root)
    frame = polars.read_parquet(victim, glob=False)
    newer = polars.when(polars.col("seq") == polars.col("seq").max()).then(3).otherwise(1).cast(polars.Int32)
    frame.with_columns(newer.alias("v")).write_parquet(victim, statistics=statistics)
    assert "decision records of schema version 3" in refused("report", "coverage", root, code=3)


def test_names_of_logs_that_share_a_hash_are_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footers, "_ALIKE", "SELECT count(*) FROM files.extent")
    assert "Two logs" in refused("report", "coverage", root, code=3)


def test_the_table_is_not_among_what_auditors_query(root: Path) -> None:
    with open_log(str(root)) as opened:
        assert "extent" not in {row["name"] for row in opened.select("SHOW TABLES")}
