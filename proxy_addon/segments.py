"""From a closed live file to a published segment: typed, sorted, compared row by row, and there whole or not at all.

Runs in a process of its own (``python -m proxy_addon.segments LIVE_FILE LOG_DIR``) so that a large conversion takes
neither the writer's memory nor its interpreter.  Nothing is published that was not read back and found to have the
leaf of every entry, and nothing is deleted here.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb

from crawl_audit import schema
from crawl_audit.errors import CrawlAuditError, LogFormatError
from crawl_audit.seal import merkle_root
from crawl_audit.segment_sql import sql_quote, typed_select
from crawl_audit.text import first_line
from proxy_addon.log_directory import LogDirectory, fsync_path
from proxy_addon.quarantine import is_damage
from proxy_addon.segments_lock import changing_segments
from proxy_addon.stored_rows import leaves, rows, source

# Bodies being inflated, and one row group of them: by octets, and by number because each row costs something too.
_BODY_BYTES_AT_ONCE = 8 * 2**20
_BODIES_AT_ONCE = 512
# Beside what the live file's own rows take in memory: sorting, one row group, bodies being inflated.
_MEMORY_BASE_MIB = 512
_MEMORY_PER_LIVE = 3
NICENESS = 10
_LEAF_BYTES = 32


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
    rows: int
    leaves: bytes  # of all rows by seq, 32 octets each: a list of them would take three times the memory
    kinds: tuple[str, ...]
    bodies: list[Path]  # the robots_body rows, typed, some in each file

    @property
    def last(self) -> int:
        return self.first + self.rows - 1

    def leaf(self, seq: int) -> bytes:
        place = (seq - self.first) * _LEAF_BYTES
        return self.leaves[place : place + _LEAF_BYTES]


def publish(live: Path, directory: LogDirectory, *, last_seq: int | None = None) -> Segment:
    """Publish a closed live file as a segment; the live file stays.  Safe to repeat after a crash at any moment.

    ``last_seq`` is what the file must end with, where the caller knows it.  Where the records are published already,
    as a segment of their own or merged into a larger one, they are only compared.  Raises LogFormatError where the
    file does not hold what a live file must, or what was written does not compare equal; duckdb.Error and OSError
    otherwise.
    """
    log = live.name.rsplit(".", 2)[0]
    # The process id: a helper whose parent died may live on for a moment beside the one that takes over.
    work = directory.tmp / f"{live.name}.{os.getpid()}.segment"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        with _connect(work / "spill", live) as connection:
            connection.execute(f"ATTACH {sql_quote(str(live))} AS live (READ_ONLY)")
            contents = _examine(connection, live.name, log, work)
            if last_seq is not None and contents.last != last_seq:
                raise LogFormatError(
                    f"The live file {live.name} ends with record {contents.last}, but {last_seq} was durable."
                )
            if not contents.rows:
                return Segment(log=log, first=0, last=-1, rows=0, path="")
            made = work / "segment"
            holder = _holder(directory, log, contents)
            if holder is None:
                _write(connection, made, log, contents)
                _compare(connection, made, log, contents)
                holder = _move(made, directory, log, contents)
            if holder is not None:  # a crash came between publishing and deleting the live file
                _compare(connection, holder, log, contents)
        path = holder or directory.segment(log, contents.first, contents.last)
        return Segment(log=log, first=contents.first, last=contents.last, rows=contents.rows, path=str(path))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _examine(connection: duckdb.DuckDBPyConnection, name: str, log: str, work: Path) -> _Contents:
    """Check that the rows are gap-free entries and every seal's root is theirs; put bodies into files of their own."""
    bodies = _Bodies(connection, log, work)
    first = next_seq = sealed = -1
    leaves, unsealed = bytearray(), list[bytes]()
    kinds: set[str] = set()
    for seq, body in rows(connection, "SELECT seq, body FROM live.entry ORDER BY seq"):
        if first < 0:
            first = next_seq = sealed = seq
        if seq != next_seq:
            raise LogFormatError(f"The live file {name} has record {seq} where {next_seq} should be.")
        entry = schema.parse_entry(body)
        leaf = schema.leaf(entry)
        unsealed.append(leaf)
        leaves += leaf
        if entry["k"] == "seal":
            root = merkle_root(unsealed[:-1]).hex()
            if (entry["first_seq"], entry["rows"], entry["root"]) != (sealed, seq - sealed, root):
                raise LogFormatError(f"Seal {seq} of the live file {name} does not cover the records before it.")
            sealed = seq + 1
            unsealed.clear()
        elif entry["k"] == "robots_body":
            bodies.add(seq, body, schema.inflate(entry["body"]))
        kinds.add(entry["k"])
        next_seq += 1
    bodies.flush()
    if sealed != next_seq:
        raise LogFormatError(f"The live file {name} does not end with a seal.")
    count = len(leaves) // _LEAF_BYTES
    return _Contents(
        first=max(first, 0), rows=count, leaves=bytes(leaves), kinds=tuple(sorted(kinds)), bodies=bodies.files
    )


class _Bodies:
    """The robots.txt bodies on their way into Parquet, some at a time: SQL cannot inflate, and memory is finite.

    A few kilobytes of an entry can be a megabyte of robots.txt, so a live file may inflate to a thousand times its
    size.  DuckDB works on 2,048 rows at once unless the row groups it reads are smaller, hence a file for each part.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, log: str, work: Path) -> None:
        self.files: list[Path] = []
        self._connection = connection
        self._log = log
        self._place = work / "bodies"
        self._part: list[tuple[int, str, bytes]] = []
        self._octets = 0

    def add(self, seq: int, body: str, octets: bytes) -> None:
        """Take the next body."""
        self._part.append((seq, body, octets))
        self._octets += len(octets) + len(body)
        if self._octets >= _BODY_BYTES_AT_ONCE or len(self._part) == _BODIES_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what was taken."""
        if not self._part:
            return
        self._place.mkdir(exist_ok=True)
        self._connection.execute("CREATE OR REPLACE TEMP TABLE inflated (seq BIGINT, body VARCHAR, octets BLOB)")
        columns = [list(column) for column in zip(*self._part, strict=True)]
        self._connection.execute(
            "INSERT INTO inflated SELECT unnest(?::BIGINT[]), unnest(?::VARCHAR[]), unnest(?::BLOB[])", columns
        )
        self.files.append(self._place / f"{len(self.files):06d}.parquet")
        _copy(self._connection, typed_select("robots_body", self._log, "inflated"), self.files[-1])
        self._part, self._octets = [], 0


def _copy(connection: duckdb.DuckDBPyConnection, select: str, file: Path) -> None:
    connection.execute(f"COPY ({select}) TO {sql_quote(str(file))} (FORMAT parquet, COMPRESSION zstd)")


def _write(connection: duckdb.DuckDBPyConnection, made: Path, log: str, contents: _Contents) -> None:
    made.mkdir()
    for kind in contents.kinds:
        file = made / f"{kind}.parquet"
        if kind == "robots_body":
            copy_bodies(connection, f"FROM {source(contents.bodies)}", file)
        else:
            _copy(connection, typed_select(kind, log, "live.entry"), file)
    make_durable(made)


def copy_bodies(connection: duckdb.DuckDBPyConnection, select: str, file: Path) -> None:
    """Write bodies that come in the order of ``seq`` as Parquet with row groups that are small by octets too."""
    # The bound on octets needs this; with one thread the order stays nevertheless.
    connection.execute("SET preserve_insertion_order = false")
    connection.execute(
        f"COPY ({select}) TO {sql_quote(str(file))}"
        f" (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE_BYTES {_BODY_BYTES_AT_ONCE})"
    )
    connection.execute("SET preserve_insertion_order = true")


def make_durable(made: Path) -> None:
    """Make the files of a new segment read-only and durable, and the list of their names too; COPY does neither."""
    for file in made.iterdir():
        fsync_path(file)
        file.chmod(0o444)
    fsync_path(made)


def _compare(connection: duckdb.DuckDBPyConnection, made: Path, log: str, contents: _Contents) -> None:
    """Read the segment back: every row has the leaf of its entry, every entry its row, every body its digest."""
    seen = bytearray(contents.rows)
    for file in sorted(made.iterdir()):
        for seq, leaf in leaves(connection, file.stem, log, [file], within=(contents.first, contents.last)):
            place = seq - contents.first
            # Of a record withheld since, the leaf is what there is to compare; its kind comes after it.
            if seen[place] or contents.leaf(seq) != leaf[:_LEAF_BYTES]:
                raise LogFormatError(f"Record {seq} of {made} does not read back as it was written.")
            seen[place] = 1
    missing = seen.count(0)
    if missing:
        raise LogFormatError(f"{missing} records are not in {made}, the first is {contents.first + seen.index(0)}.")


def _holder(directory: LogDirectory, log: str, contents: _Contents) -> Path | None:
    """The published segment that holds these records already, its own or one merged of several."""
    for first, last, path in directory.segments_of(log):
        if first <= contents.first and contents.last <= last:
            return path
        if first <= contents.last and contents.first <= last:
            raise LogFormatError(f"Some of the records {contents.first} to {contents.last} of {log} are in {path}.")
    return None


def _move(made: Path, directory: LogDirectory, log: str, contents: _Contents) -> Path | None:
    """Publish what was made, unless these records were published meanwhile: then where they are."""
    target = directory.segment(log, contents.first, contents.last)
    with changing_segments(directory.path):
        holder = _holder(directory, log, contents)
        if holder is not None:
            return holder
        # Whoever starts after a crash clears tmp/ under this lock: what was made is there whole or not at all.
        if not target.parent.exists():
            target.parent.mkdir()
            fsync_path(target.parent.parent)
        made.rename(target)
        fsync_path(target.parent)
    return None


def _connect(spill: Path, live: Path) -> duckdb.DuckDBPyConnection:
    files = [path for path in (live, live.with_name(live.name + ".wal")) if path.exists()]
    live_mib = sum(path.stat().st_size for path in files) // 2**20
    return connect(spill, _MEMORY_BASE_MIB + _MEMORY_PER_LIVE * live_mib)


def connect(spill: Path, memory_mib: int) -> duckdb.DuckDBPyConnection:
    """A DuckDB of one thread and so much memory for the making of segments; it may spill to the directory given."""
    return duckdb.connect(
        ":memory:",
        config={
            "threads": 1,
            "memory_limit": f"{memory_mib}MiB",
            "temp_directory": str(spill),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )


def end_with_parent() -> None:
    """Leave at once when standard input closes: an orphan must not hold the live file that recovery is to open."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        os._exit(3)

    threading.Thread(target=wait, daemon=True).start()


def run_when_idle(*, never_hurry: bool = False) -> None:
    """Leave the processor to requests; with ``never_hurry`` to everything else that wants it, however long."""
    os.nice(NICENESS)
    with contextlib.suppress(OSError, AttributeError):  # Linux only, and a container may forbid it
        os.sched_setscheduler(0, os.SCHED_IDLE if never_hurry else os.SCHED_BATCH, os.sched_param(0))


def main(arguments: list[str] | None = None) -> int:
    """Publish one live file and print one JSON line; 0 done, 1 not, with the reason under ``error``."""
    parser = argparse.ArgumentParser(prog="python -m proxy_addon.segments", description=main.__doc__)
    parser.add_argument("live_file", type=Path)
    parser.add_argument("log_directory", type=Path)
    parser.add_argument("--last-seq", type=int, help="the record the live file must end with")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input closes")
    given = parser.parse_args(arguments)
    if given.with_parent:
        end_with_parent()
    run_when_idle()
    try:
        segment = publish(given.live_file, LogDirectory(given.log_directory), last_seq=given.last_seq)
    except (CrawlAuditError, duckdb.Error, OSError) as error:
        sys.stdout.write(json.dumps({"error": first_line(error), "damaged": is_damage(error)}) + "\n")
        return 1
    sys.stdout.write(json.dumps(asdict(segment)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
