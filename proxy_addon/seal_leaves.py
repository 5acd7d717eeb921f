"""The leaves of a log's tree of seals, read from its published segments and kept while they are asked for.

A witness is shown by them that a head extends an older one.
"""

from __future__ import annotations

import threading

import duckdb

from crawl_audit import schema
from crawl_audit.errors import LogFormatError
from crawl_audit.records import Seal
from crawl_audit.segment_sql import entry_select, exact_glob
from crawl_audit.text import first_line
from proxy_addon.log_directory import LogDirectory
from proxy_addon.shipped_log import kept_files

_LEAF_BYTES = 32


class SealLeaves:
    """The leaves of every log of a directory that was asked about, 32 octets each."""

    def __init__(self, directory: LogDirectory) -> None:
        self._directory = directory
        self._lock = threading.Lock()  # several witnesses are asked at once
        self._leaves: dict[str, bytearray] = {}
        self._read_to: dict[str, int] = {}  # the last sequence number that was read

    def first(self, log: str, count: int) -> list[bytes]:
        """The leaves of the first ``count`` seals; raises LogFormatError where they are not all there."""
        with self._lock:
            known = self._leaves.setdefault(log, bytearray())
            if len(known) < count * _LEAF_BYTES:
                self._read_on(log, known)
        if len(known) < count * _LEAF_BYTES:
            raise LogFormatError(f"only {len(known) // _LEAF_BYTES} of {count} seals of {log} are published")
        return [bytes(known[at : at + _LEAF_BYTES]) for at in range(0, count * _LEAF_BYTES, _LEAF_BYTES)]

    def _read_on(self, log: str, known: bytearray) -> None:
        after = self._read_to.get(log, -1)
        found = {path.name[:25]: path for path in kept_files(self._directory, log, Seal.KIND)}
        for segment in (self._directory.segments / log).glob("[0-9]*-[0-9]*"):
            found[segment.name] = segment / f"{Seal.KIND}.parquet"
        files = [str(found[name]) for name in sorted(found) if int(name.partition("-")[2]) > after]
        columns = [name for name, _ in schema.stored_columns(Seal.KIND)]
        rows = []
        try:
            with duckdb.connect(":memory:") as connection:
                for file in files:
                    # One file after the other: a segment may be replaced by a larger one meanwhile.
                    rows += connection.execute(
                        f"{entry_select(Seal.KIND, 'read_parquet(?)')} WHERE seq > ? ORDER BY seq",
                        [exact_glob(file), after],
                    ).fetchall()
        except duckdb.Error as error:
            raise LogFormatError(first_line(error)) from error
        for row in rows:
            values = dict(zip(columns, row, strict=True))
            entry = schema.from_row(Seal.KIND, values)
            if entry["seal_index"] != len(known) // _LEAF_BYTES:
                raise LogFormatError(f"seal {len(known) // _LEAF_BYTES} of {log} is missing")
            known += schema.leaf(entry)
            self._read_to[log] = values["seq"]
