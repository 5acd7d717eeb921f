"""A WAL whose end was torn by a power cut: what nobody was told of is cut off, and the file as found is kept.

DuckDB takes a WAL that ends too early, and refuses one whose last entry has octets missing in between, as a power cut
can leave it.  Nothing in that entry was acknowledged: its commit had not returned.  A damaged entry with a whole commit
behind it is another matter, which no power cut leaves; such a file is not touched here.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from crawl_audit.records import Incident
from proxy_addon.front import front_of
from proxy_addon.log_directory import LogDirectory, fsync_path
from proxy_addon.quarantine import free_place, incident, wal_of

_CORRUPT = re.compile(r"Corrupt WAL file: entry at byte position (\d+) ")
# The entry that ends a commit, in DuckDB 2.0.0: length, checksum, and field 100 with the value 100 (WAL_FLUSH).
_COMMIT_END = re.compile(rb"\x05\x00{7}.{8}\x64\x00\x64\xff\xff", re.DOTALL)


def torn_at(live: Path, error: Exception) -> int | None:
    """Where the WAL of a live file is torn, by what DuckDB said when it refused it; None where that is not it."""
    match = _CORRUPT.search(str(error))
    if match is None:
        return None
    at = int(match[1])
    wal = wal_of(live).read_bytes()
    ends = [found.end() for found in _COMMIT_END.finditer(wal, at)]
    return None if any(end < len(wal) for end in ends) else at


def cut(directory: LogDirectory, live: Path, at: int) -> Incident:
    """Keep a copy of a live file and its WAL in quarantine/, then cut the WAL; what the new log is to say of it."""
    place = free_place(directory, live)
    beside = ((front_of(live), front_of(place)),) if front_of(live).exists() else ()
    for source, target in (*beside, (wal_of(live), wal_of(place)), (live, place)):
        shutil.copyfile(source, target)
        fsync_path(target)
    fsync_path(directory.quarantine)
    octets = wal_of(live).stat().st_size - at
    os.truncate(wal_of(live), at)
    fsync_path(wal_of(live))
    return incident(
        "quarantined_file",
        f"The live file {live.name} ended in {octets} octets of a commit that was under way when the machine stopped;"
        f" they were cut off, and the file as it was found is quarantine/{place.name}.",
    )
