"""Small segments of a log become larger ones, so that a year of five-minute segments stays quick to query.

Runs in a process of its own (``python -m proxy_addon.merging LOG_DIR …``).  A complete replacement of the directory
``segments/<log>`` is built beside it, read back leaf by leaf, made durable, and then changes places with it in one
step; seals bind records and not files, so every proof stays what it was.  A crash leaves the old or the new whole.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import itertools
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb

from crawl_audit import schema
from crawl_audit.errors import CrawlAuditError, LogFormatError
from crawl_audit.segment_sql import sql_quote
from crawl_audit.shipped_ranges import Coverage
from crawl_audit.text import first_line
from proxy_addon.log_directory import LogDirectory, fsync_path
from proxy_addon.segments import connect, copy_bodies, end_with_parent, make_durable, run_when_idle
from proxy_addon.segments_lock import changing_segments
from proxy_addon.shipped_log import is_active, shipped_ranges
from proxy_addon.stored_rows import WITHHELD, columns, leaves, source

ROWS_MAX = 1_000_000
BYTES_MAX = 256 * 2**20
"""What a merged segment may come to: enough for quick queries, little enough to be copied and read back at once."""
SMALL_SEGMENTS_MIN = 8
"""So many are worth merging at any time; a log that has ended is merged from two on, once it has rested."""
_MEMORY_MIB = 768
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


class MergingRefusedError(CrawlAuditError):
    """The file system cannot exchange two directories in one step, so nothing can be merged there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A published segment: the range of ``seq`` it holds and how many octets its files have."""

    first: int
    last: int
    octets: int

    @property
    def rows(self) -> int:
        """How many records its range has."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What became of one log: how many segments it had and has."""

    log: str
    before: int
    after: int


def plan(sizes: Sequence[Size], *, least: int = SMALL_SEGMENTS_MIN) -> list[list[Size]]:
    """Which neighbours to merge: groups of at least ``least`` that together stay within the bounds.

    A segment more than twice as large as all that follow it in its group is left out, so a record is written again
    only when what holds it grows by half at least.
    """
    groups: list[list[Size]] = [[]]
    for size in sorted(sizes, key=lambda size: size.first):
        group = groups[-1]
        full = (
            sum(s.rows for s in group) + size.rows > ROWS_MAX or sum(s.octets for s in group) + size.octets > BYTES_MAX
        )
        if group and (full or group[-1].last + 1 != size.first):
            groups.append([])
        groups[-1].append(size)
    for group in groups:
        while group and group[0].rows > 2 * sum(size.rows for size in group[1:]):
            del group[0]
    return [group for group in groups if len(group) >= max(least, 2)]


def merge(directory: LogDirectory, log: str, *, least: int = SMALL_SEGMENTS_MIN) -> Merged:
    """Merge what is small and adjacent in one log.  Safe to repeat after a crash at any moment.

    Raises LogFormatError where the segments are not what they should be or do not read back, MergingRefusedError where
    the file system cannot do it, duckdb.Error and OSError otherwise; the log is then as it was.
    """
    place = directory.segments / log
    with changing_segments(directory.path):
        before = _files(place)
    found = [_size(first, last, path) for first, last, path in directory.segments_of(log)]
    groups = _groups(directory, log, found, least)
    if not groups:
        return Merged(log=log, before=len(found), after=len(found))
    work = directory.tmp / f"merge.{log}.{os.getpid()}"
    shutil.rmtree(work, ignore_errors=True)
    tree = work / log
    tree.mkdir(parents=True)
    try:
        for group in groups:
            _merge_group(directory, log, group, tree, work)
        replaced = {directory.segment(log, size.first, size.last).name for group in groups for size in group}
        _link_others(place, tree, replaced)
        _exchange(directory, place, tree, replaced, before)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Merged(log=log, before=len(found), after=len(found) - len(replaced) + len(groups))


def _groups(directory: LogDirectory, log: str, found: Sequence[Size], least: int) -> list[list[Size]]:
    """What to merge where segments are shipped as well: shipped ones with each other, and others not before they are.

    What was merged of both could not be shipped: the store has some of its records already.
    """
    shipped = Coverage(shipped_ranges(directory, log))
    here = [size for size in found if not shipped.covers(size.first, size.last)]
    groups = plan([size for size in found if size not in here], least=least)
    return groups if is_active(directory) else groups + plan(here, least=least)


def _files(place: Path) -> dict[str, tuple[int, int, int]]:
    """Every file of a log's segments, and by what a change to it would show: a redaction writes a new one."""
    found = {}
    for file in place.glob("*/*"):
        status = file.stat()
        found[str(file.relative_to(place))] = (status.st_ino, status.st_mtime_ns, status.st_size)
    return found


def _size(first: int, last: int, segment: Path) -> Size:
    return Size(first=first, last=last, octets=sum(file.stat().st_size for file in segment.iterdir()))


def _merge_group(directory: LogDirectory, log: str, group: Sequence[Size], tree: Path, work: Path) -> None:
    old = [directory.segment(log, size.first, size.last) for size in group]
    made = tree / directory.segment(log, group[0].first, group[-1].last).name
    made.mkdir()
    with connect(work / "spill", _MEMORY_MIB) as connection:
        for kind in _kinds(old):
            files = [path / f"{kind}.parquet" for path in old if (path / f"{kind}.parquet").exists()]
            _write(connection, kind, files, made / f"{kind}.parquet")
            _compare(connection, kind, log, files, made / f"{kind}.parquet")
    make_durable(made)


def _kinds(segments: Sequence[Path]) -> list[str]:
    found = {file.name for segment in segments for file in segment.iterdir()}
    strange = found - {f"{kind}.parquet" for kind in (*schema.KINDS, WITHHELD)}
    if strange:
        raise LogFormatError(f"There is a file {min(strange)} in a segment of {segments[0].parent}, which has no kind.")
    return sorted(name.removesuffix(".parquet") for name in found)


def _write(connection: duckdb.DuckDBPyConnection, kind: str, files: Sequence[Path], made: Path) -> None:
    wanted = ", ".join(name for name, _ in columns(connection, kind, files))
    select = f"SELECT {wanted} FROM {source(files)}"  # noqa: S608 - quoted there
    if kind == "robots_body":  # one segment after the other is the order of seq, and sorting would need all in memory
        copy_bodies(connection, select, made)
        return
    order = "site, recorded_at, seq" if kind == "decision" else "seq"
    connection.execute(f"COPY ({select} ORDER BY {order}) TO {sql_quote(str(made))} (FORMAT parquet, COMPRESSION zstd)")


def _compare(connection: duckdb.DuckDBPyConnection, kind: str, log: str, files: Sequence[Path], made: Path) -> None:
    """Read back: row by row, the merged file has the columns and the leaves of the files it replaces."""
    if columns(connection, kind, files) != columns(connection, kind, [made]):
        raise LogFormatError(f"The merged file {made} has not the columns of those it replaces.")
    old, new = (leaves(connection, kind, log, given, ordered=True) for given in (files, [made]))
    for before, after in itertools.zip_longest(old, new):
        if before != after:
            seq = (before or after)[0]
            raise LogFormatError(f"Record {seq} of {log} does not read back from {made} as it was.")


def _link_others(place: Path, tree: Path, replaced: set[str]) -> None:
    """The segments that stay as they are, under their names in the new directory: the same files, nothing copied."""
    for segment in sorted(place.iterdir()):
        if segment.name in replaced or (tree / segment.name).exists():
            continue
        linked = tree / segment.name
        linked.mkdir()
        for file in segment.iterdir():
            os.link(file, linked / file.name)
        fsync_path(linked)


def _exchange(
    directory: LogDirectory, place: Path, tree: Path, replaced: set[str], before: dict[str, tuple[int, int, int]]
) -> None:
    """Let the new directory and the old one change places, unless somebody changed the old one meanwhile."""
    with changing_segments(directory.path):
        now = _files(place)
        if any(now.get(name) != file for name, file in before.items()):
            raise LogFormatError(f"The segments in {place} were changed while they were merged: left as they are.")
        _link_others(place, tree, replaced)  # what was published since
        # Logs that started in the same second are ordered by when their directory last changed.
        status = place.stat()
        os.utime(tree, ns=(status.st_atime_ns, status.st_mtime_ns))
        fsync_path(tree)
        fsync_path(tree.parent)
        exchange(tree, place)
        fsync_path(place.parent)
        fsync_path(tree.parent)  # only now may what was replaced go


def exchange(one: Path, other: Path) -> None:
    """Let two directories change places in one step (Linux ``renameat2``); MergingRefusedError where that cannot be."""
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "renameat2"):
        raise MergingRefusedError("This system has no renameat2, so segments are not merged.")
    if library.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) != 0:
        code = ctypes.get_errno()
        if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise MergingRefusedError(
                f"The file system of {other.parent} cannot exchange two directories, so segments are not merged."
            )
        raise OSError(code, os.strerror(code), str(other))


def main(arguments: list[str] | None = None) -> int:
    """Merge the logs named and print one JSON line for each; 0 done, 1 one could not be, with the reason in it."""
    parser = argparse.ArgumentParser(prog="python -m proxy_addon.merging", description=main.__doc__)
    parser.add_argument("log_directory", type=Path)
    parser.add_argument("logs", nargs="+")
    parser.add_argument("--least", type=int, default=SMALL_SEGMENTS_MIN, help="merge from so many segments on")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input closes")
    given = parser.parse_args(arguments)
    if given.with_parent:
        end_with_parent()
    run_when_idle(never_hurry=True)
    results = list(_merge_all(LogDirectory(given.log_directory), given.logs, given.least))
    for result in results:
        sys.stdout.write(json.dumps(result) + "\n")
    return int(any("error" in result for result in results))


def _merge_all(directory: LogDirectory, logs: Sequence[str], least: int) -> Iterator[dict[str, object]]:
    for log in logs:
        try:
            yield asdict(merge(directory, log, least=least))
        except (CrawlAuditError, duckdb.Error, OSError) as error:
            yield {"log": log, "error": first_line(error)}


if __name__ == "__main__":
    sys.exit(main())
