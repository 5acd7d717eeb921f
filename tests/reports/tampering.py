"""What somebody with access to a log directory could do to it; each leaves the files readable."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb

from crawl_audit.seal import Verifier, parse_checkpoint, parse_note
from reports.brought import Brought, Pin
from reports.verify import verify


def files(root: Path, kind: str) -> list[Path]:
    """The files of a kind, by segment."""
    return sorted(path for path in root.glob(f"segments/*/*/{kind}.parquet") if "/schema/" not in str(path))


def rewrite(path: Path, select: str) -> None:
    """Replace a Parquet file by what ``select`` makes of the table ``t``, its rows."""
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT * FROM read_parquet(?)", [str(path)])
        connection.execute(f"CREATE TABLE made AS {select}")
        path.unlink()
        connection.execute(f"COPY made TO '{path}' (FORMAT parquet, COMPRESSION zstd)")


def copied(root: Path, target: Path) -> Path:
    """A copy of a log directory, to be tampered with."""
    shutil.copytree(root, target)
    return target


def pin(note: str, name: str = "pin.txt") -> Pin:
    """A note as an auditor keeps it."""
    return Pin(name=name, note=note, head=parse_checkpoint(parse_note(note).text))


def verified(
    root: Path, *, notes: Iterable[str] = (), trust: Iterable[Verifier] = (), **options: Any
) -> dict[str, Any]:
    """The answer of a verification with these pins and keys, without replay."""
    brought = Brought(pins=tuple(pin(note) for note in notes), trust=tuple(trust))
    return verify(str(root), brought=brought, replay=False, **options)


def checks(answer: dict[str, Any], severity: str = "error") -> set[str]:
    """The ids of the checks with findings of a severity."""
    return {finding["check"] for finding in answer["findings"] if finding["severity"] == severity}
