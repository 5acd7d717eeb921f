"""From a closed live file to a published segment: typed, sorted, compared row by row, and there whole or not at all.

Runs in a process of its own (``python -m proxy_addon.segments LIVE_FILE LOG_DIR``) so that a large conversion takes
neither the writer's memory nor its interpreter.  Nothing is published that was not read back and found to have the
leaf of every entry, and nothing is deleted here.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb

from crawl_audit import schema
from crawl_audit.errors import CrawlAuditError, LogFormatError
from crawl_audit.seal import merkle_root
from crawl_audit.segment_sql import entry_select, exact_glob, sql_quote, typed_select
from proxy_addon.log_directory import LogDirectory, fsync_path

_ROWS_AT_ONCE = 2000
_BODIES_AT_ONCE = 16
# Beside what the live file's own rows take in memory: sorting, one row group, bodies being inflated.
_MEMORY_BASE_MIB = 512
_MEMORY_PER_LIVE = 3
NICENESS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A published segment: the range of ``seq`` it holds and its directory; ``rows`` 0: the live file was empty."""

    log: str
    first: int
    last: int
    rows: int
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Contents:
    first: int
    leaves: list[bytes]
    kinds: tuple[str, ...]


def publish(live: Path, directory: LogDirectory, *, last_seq: int | None = None) -> Segment:
    """Publish a closed live file as a segment; the live file stays.  Safe to repeat after a crash at any moment.

    ``last_seq`` is what the file must end with, where the caller knows it.  Raises LogFormatError where the file does
    not hold what a live file must, or what was written does not compare equal; duckdb.Error and OSError otherwise.
    """
    log = live.name.rsplit(".", 2)[0]
    work = directory.tmp / f"{live.name}.segment"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        with _connect(work / "spill", live) as connection:
            connection.execute(f"ATTACH {sql_quote(str(live))} AS live (READ_ONLY)")
            contents = _examine(connection, live.name)
            last = contents.first + len(contents.leaves) - 1
            if last_seq is not None and last != last_seq:
                raise LogFormatError(f"The live file {live.name} ends with record {last}, but {last_seq} was durable.")
            if not contents.leaves:
                return Segment(log=log, first=0, last=-1, rows=0, path="")
            target = directory.segment(log, contents.first, last)
            if target.exists():  # a crash came between publishing and deleting the live file
                _compare(connection, target, log, contents)
            else:
                made = work / "segment"
                _write(connection, made, log, contents.kinds)
                _compare(connection, made, log, contents)
                _move(made, target)
        return Segment(log=log, first=contents.first, last=last, rows=len(contents.leaves), path=str(target))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _examine(connection: duckdb.DuckDBPyConnection, name: str) -> _Contents:
    """Check that the rows are gap-free entries and every seal's root is theirs; inflate bodies into a table."""
    connection.execute("CREATE TEMP TABLE inflated (seq BIGINT, body VARCHAR, octets BLOB)")
    first = next_seq = sealed = -1
    leaves: list[bytes] = []
    kinds: set[str] = set()
    bodies: list[tuple[int, str, bytes]] = []
    for seq, body in _rows(connection, "SELECT seq, body FROM live.entry ORDER BY seq"):
        if first < 0:
            first = next_seq = sealed = seq
        if seq != next_seq:
            raise LogFormatError(f"The live file {name} has record {seq} where {next_seq} should be.")
        entry = schema.parse_entry(body)
        if entry["k"] == "seal":
            root = merkle_root(leaves[sealed - first :]).hex()
            if (entry["first_seq"], entry["rows"], entry["root"]) != (sealed, seq - sealed, root):
                raise LogFormatError(f"Seal {seq} of the live file {name} does not cover the records before it.")
            sealed = seq + 1
        elif entry["k"] == "robots_body":
            bodies.append((seq, body, schema.inflate(entry["body"])))
            if len(bodies) == _BODIES_AT_ONCE:
                _insert_bodies(connection, bodies)
        kinds.add(entry["k"])
        leaves.append(schema.leaf(entry))
        next_seq += 1
    _insert_bodies(connection, bodies)
    if sealed != next_seq:
        raise LogFormatError(f"The live file {name} does not end with a seal.")
    return _Contents(first=max(first, 0), leaves=leaves, kinds=tuple(sorted(kinds)))


def _insert_bodies(connection: duckdb.DuckDBPyConnection, bodies: list[tuple[int, str, bytes]]) -> None:
    if bodies:
        columns = [list(column) for column in zip(*bodies, strict=True)]
        connection.execute(
            "INSERT INTO inflated SELECT unnest(?::BIGINT[]), unnest(?::VARCHAR[]), unnest(?::BLOB[])", columns
        )
        bodies.clear()


def _write(connection: duckdb.DuckDBPyConnection, made: Path, log: str, kinds: tuple[str, ...]) -> None:
    made.mkdir()
    for kind in kinds:
        file = made / f"{kind}.parquet"
        source = "inflated" if kind == "robots_body" else "live.entry"
        select = typed_select(kind, log, source)
        connection.execute(f"COPY ({select}) TO {sql_quote(str(file))} (FORMAT parquet, COMPRESSION zstd)")
        fsync_path(file)  # COPY does not
        file.chmod(0o444)
    fsync_path(made)


def _compare(connection: duckdb.DuckDBPyConnection, made: Path, log: str, contents: _Contents) -> None:
    """Read the segment back: every row has the leaf of its entry, every entry its row, every body its digest."""
    wanted = dict(enumerate(contents.leaves, contents.first))
    for file in sorted(made.iterdir()):
        kind = file.stem
        names = [name for name, _ in schema.stored_columns(kind)]
        for values in _rows(connection, entry_select(kind, f"read_parquet({sql_quote(exact_glob(str(file)))})")):
            row = dict(zip(names, values, strict=True))
            if row["log"] != log or wanted.pop(row["seq"], None) != schema.leaf(schema.from_row(kind, row)):
                raise LogFormatError(f"Record {row['seq']} of {made} does not read back as it was written.")
            if kind == "robots_body" and hashlib.sha256(row["body"]).hexdigest() != row["robots_sha256"]:
                raise LogFormatError(f"The robots.txt of record {row['seq']} in {made} does not have its digest.")
    if wanted:
        raise LogFormatError(f"{len(wanted)} records are not in {made}, the first is {min(wanted)}.")


def _move(made: Path, target: Path) -> None:
    log = target.parent
    if not log.exists():
        log.mkdir()
        fsync_path(log.parent)
    made.rename(target)
    fsync_path(log)


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[tuple[Any, ...]]:
    cursor = connection.cursor()  # a cursor of its own: statements run while its result is being read
    cursor.execute(query)
    while rows := cursor.fetchmany(_ROWS_AT_ONCE):
        yield from rows
    cursor.close()


def _connect(spill: Path, live: Path) -> duckdb.DuckDBPyConnection:
    files = [path for path in (live, live.with_name(live.name + ".wal")) if path.exists()]
    live_mib = sum(path.stat().st_size for path in files) // 2**20
    return duckdb.connect(
        ":memory:",
        config={
            "threads": 1,
            "memory_limit": f"{_MEMORY_BASE_MIB + _MEMORY_PER_LIVE * live_mib}MiB",
            "temp_directory": str(spill),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )


def _end_with_parent() -> None:
    """Leave at once when standard input closes: an orphan must not hold the live file that recovery is to open."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        os._exit(3)

    threading.Thread(target=wait, daemon=True).start()


def main(arguments: list[str] | None = None) -> int:
    """Publish one live file and print one JSON line; 0 done, 1 not, with the reason under ``error``."""
    parser = argparse.ArgumentParser(prog="python -m proxy_addon.segments", description=main.__doc__)
    parser.add_argument("live_file", type=Path)
    parser.add_argument("log_directory", type=Path)
    parser.add_argument("--last-seq", type=int, help="the record the live file must end with")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input closes")
    given = parser.parse_args(arguments)
    if given.with_parent:
        _end_with_parent()
    os.nice(NICENESS)
    try:
        segment = publish(given.live_file, LogDirectory(given.log_directory), last_seq=given.last_seq)
    except (CrawlAuditError, duckdb.Error, OSError) as error:
        sys.stdout.write(json.dumps({"error": (str(error).splitlines() or [type(error).__name__])[0]}) + "\n")
        return 1
    sys.stdout.write(json.dumps(asdict(segment)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
