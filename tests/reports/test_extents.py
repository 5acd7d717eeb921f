"""What a few octets can claim is refused before anything goes through it."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb

from reports.export import Selection, export
from reports.levels import Level
from tests.logs import LogBuilder
from tests.reports.tampering import checks, files, verified


def bundle(root: Path, *statements: str) -> Path:
    """An export of a log as one file, tampered with."""
    made = root.with_name("bundle.duckdb")
    export(str(root), made, Level.INTERNAL, Selection())
    made.chmod(0o644)
    with duckdb.connect(str(made)) as connection:
        for statement in statements:
            connection.execute(statement)
    return made


def failed(path: Path, check: str) -> bool:
    answer = verified(path)
    return answer["result"] == "failed" and check in checks(answer)


def test_a_segment_that_claims_a_million_million_records_is_refused_at_once(sound: LogBuilder) -> None:
    last = max((sound.root / "segments" / sound.log).iterdir())
    last.rename(last.with_name(f"{last.name[:12]}-{10**12 - 1}"))
    assert failed(sound.root, "F4")


def test_a_record_of_a_bundle_with_an_absurd_number_is_refused_at_once(sound: LogBuilder) -> None:
    row = f"('{sound.log}', {2**63 - 1}, 'decision', repeat('a', 64))"
    assert failed(bundle(sound.root, f"INSERT INTO withheld VALUES {row}"), "F4")


def test_a_bundle_with_far_more_rows_than_numbers_is_refused_at_once(sound: LogBuilder) -> None:
    rows = f"SELECT '{sound.log}', 7, 'decision', repeat('a', 64) FROM range(100000)"
    assert failed(bundle(sound.root, f"INSERT INTO withheld {rows}"), "F4")


def test_receipts_that_would_not_fit_into_memory_are_not_read(sound: LogBuilder) -> None:
    directory = sound.root / "checkpoints" / f"{sound.log}.anchors"
    directory.mkdir()
    for number in range(260):
        with (directory / f"{number:012d}.a.tsr").open("wb") as stream:
            stream.truncate(1024 * 1024)
    assert failed(sound.root, "F4")


def test_a_manifest_without_end_is_not_read(sound: LogBuilder) -> None:
    with (sound.root / "manifest.json").open("wb") as stream:
        stream.truncate(2**40)
    assert failed(sound.root, "F4")


def test_records_among_the_files_without_rows_are_found(sound: LogBuilder) -> None:
    """Other readers take every file of a kind, so that a record there would count in their answers."""
    empty = sound.root / "segments" / "schema" / "v1" / "decision.parquet"
    assert not failed(sound.root, "F1")
    empty.unlink()
    shutil.copy(files(sound.root, "decision")[0], empty)
    assert failed(sound.root, "F1")


def test_a_column_that_compares_otherwise_is_refused(sound: LogBuilder) -> None:
    assert failed(bundle(sound.root, "ALTER TABLE decision ALTER action TYPE VARCHAR COLLATE NOCASE"), "F1")
