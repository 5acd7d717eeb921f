"""Small files of a kind become few, with every row, every column that there can be, and a hash of what was read."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from crawl_audit.errors import LogFormatError
from reports import gathering
from tests import logs
from tests.reports import shipped
from tests.reports.command import crawl_audit


def _files(root: Path, kind: str) -> list[Path]:
    return sorted(root.glob(f"segments/node1*/*/{kind}.parquet"))


def _rows(select: str) -> list[tuple[object, ...]]:
    return sorted(duckdb.sql(select).fetchall(), key=repr)


@pytest.mark.parametrize("at_once", [1, 2, 500])
def test_every_row_of_every_file_is_there_once_with_the_hash_of_its_original(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(gathering, "FILES_AT_ONCE", at_once)
    files = _files(logs.sound(tmp_path / "audit-log").root, "decision")
    made = list(gathering.gathered(duckdb.connect, "decision", files, tmp_path))
    assert len(files) > 1 and len(made) == -(-len(files) // at_once)
    stored = [name for name, _ in gathering.possible_columns("decision")]
    with duckdb.connect() as connection:
        there = gathering.columns_of(connection, "decision", files)
    wanted = ", ".join(name if name in there else f"NULL AS {name}" for name in stored)
    row = gathering.row_hash("decision", there)
    assert _rows(f"SELECT {', '.join(stored)}, row_hash FROM {gathering.read(made)}") == _rows(
        f"SELECT {wanted}, {row} FROM {gathering.read(files)}"
    )


def test_files_with_and_without_columns_of_withheld_values_gather_into_one_form(tmp_path: Path) -> None:
    root = shipped.two_logs(tmp_path / "audit-log")
    files = _files(root, "decision")
    ((seq,),) = duckdb.sql(f"SELECT min(seq) FROM {gathering.read(files)}").fetchall()
    given = (
        "--field",
        "client",
        "--reason",
        "request",
        "--by",
        "officer",
        "--yes",
        "--seq",
        f"{shipped.LOGS[0]}:{seq}",
    )
    assert crawl_audit("redact", root, *given).code == 0
    files = _files(root, "decision")
    made = list(gathering.gathered(duckdb.connect, "decision", files, tmp_path))
    with duckdb.connect() as connection:
        described = [name for name, *_ in connection.execute(f"DESCRIBE FROM {gathering.read(made)}").fetchall()]
    assert described == [*(name for name, _ in gathering.possible_columns("decision")), gathering.ROW_HASH]


def test_a_column_that_is_not_there_counts_as_null(tmp_path: Path) -> None:
    whole = gathering.row_hash("seal")
    without = gathering.row_hash("seal", [name for name, _ in gathering.possible_columns("seal") if name != "root"])
    rows = gathering.read(_files(logs.sound(tmp_path / "audit-log").root, "seal"))
    emptied = f"(SELECT * REPLACE (NULL::VARCHAR AS root) FROM {rows})"
    assert _rows(f"SELECT {without} FROM {rows}") == _rows(f"SELECT {whole} FROM {emptied}")
    assert _rows(f"SELECT {without} FROM {rows}") != _rows(f"SELECT {whole} FROM {rows}")


def test_a_file_of_other_columns_is_named_and_nothing_is_gathered_of_it(tmp_path: Path) -> None:
    victim = _files(logs.sound(tmp_path / "audit-log").root, "completion")[0]
    duckdb.sql("SELECT 1 AS log, 2 AS seq").write_parquet(str(victim))
    with pytest.raises(LogFormatError, match="nothing was compacted"):
        list(gathering.gathered(duckdb.connect, "completion", [victim], tmp_path))
    assert not list(tmp_path.glob("gathered-*"))
