"""Footers of many files are read together, and one that cannot be read hides none of the others."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from reports import evidence_footers
from reports.evidence_footers import Footer, footers


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Three files of three, four and five rows; the last has another column."""
    paths = [str(tmp_path / f"{name}.parquet") for name in ("a [1]", "b", "c")]
    for number, path in enumerate(paths):
        more = ", 'x' AS b" if number == 2 else ""
        duckdb.sql(f"SELECT range AS a{more} FROM range({3 + number})").write_parquet(path)
    return paths


@pytest.mark.parametrize("at_once", [1, 2, 500])
def test_footers_come_in_the_order_of_the_files(
    files: list[str], monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(evidence_footers, "FILES_AT_ONCE", at_once)
    with duckdb.connect() as connection:
        found = list(footers(connection, [*reversed(files), files[0]]))
    assert [footer and sum(rows for rows, _ in footer.groups) for footer in found] == [5, 4, 3, 3]
    assert [footer and footer.columns for footer in found] == [
        [("a", "BIGINT"), ("b", "VARCHAR")],
        *[[("a", "BIGINT")]] * 3,
    ]
    assert all(footer and octets > 0 for footer in found for _, octets in footer.groups)


@pytest.mark.parametrize("spoiled", [b"", b"PAR1 no footer PAR1", b"\0" * 100])
def test_a_file_that_cannot_be_read_hides_no_other(files: list[str], spoiled: bytes) -> None:
    Path(files[1]).write_bytes(spoiled)
    with duckdb.connect() as connection:
        first, second, third = footers(connection, files)
    assert second is None and isinstance(first, Footer) and isinstance(third, Footer)


def test_no_files_have_no_footers() -> None:
    with duckdb.connect() as connection:
        assert list(footers(connection, [])) == []
