"""What logs have in common that readers write themselves: their name, their first record, a segment that reads back.

The fleet log and custodian logs have the form of any other log; neither covers crawling.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import crawl_audit
from crawl_audit import schema
from crawl_audit.errors import LogFormatError
from crawl_audit.records import Instant, Mode, Record, Run
from crawl_audit.segment_sql import typed_select
from reports.rewriting import Connection, fsync, leaves_of, relation, write_parquet

NO_COUNTS = dict.fromkeys(("decisions", "forwarded", "completions", "dropped", "in_flight"), 0)
"""What the seals of such a log count: nothing was crawled."""


def now_us() -> Instant:
    """The current instant."""
    return Instant(int(datetime.now(UTC).timestamp() * 1_000_000))


def new_name(prefix: str, at: Instant) -> str:
    """A name for a new log."""
    return f"{prefix}{datetime.fromtimestamp(at // 1_000_000, UTC):%Y%m%dT%H%M%SZ}-{os.urandom(4).hex()}"


def settings_sha256(settings: str) -> str:
    """The digest that a start and every seal have of the settings, lower-case hexadecimal."""
    return hashlib.sha256(settings.encode()).hexdigest()


def first_record(
    connection: Connection,
    at: Instant,
    *,
    event: str,
    node: str,
    settings: str,
    vkey: str,
    previous_log: str | None = None,
) -> Run:
    """What such a log begins with: whose key signs it and what wrote it."""
    version = str(connection.execute("SELECT version()").fetchall()[0][0])
    software = {"crawl-audit": crawl_audit.__version__, "duckdb": version}
    return Run(
        recorded_at=at,
        event=event,
        node=node,
        reason=None,
        mode=Mode.AUDIT,
        settings=settings,
        settings_sha256=settings_sha256(settings),
        software=json.dumps(software, sort_keys=True, separators=(",", ":")),
        checkpoint_key=vkey,
        trust_sha256=None,
        previous_log=previous_log,
    )


def entry_of(record: Record) -> str:
    """A record as it is stored, with a salt of its own where its kind has one."""
    return schema.to_entry(record, os.urandom(schema.SALT_BYTES) if schema.has_salt(record.KIND) else None)


def leaf_of(entry: str) -> bytes:
    """The leaf of a stored record, 32 bytes."""
    return schema.leaf(schema.parse_entry(entry))


def write_segment(connection: Connection, parent: Path, log: str, first: int, entries: Sequence[str]) -> Path:
    """Write a segment of ``entries`` numbered from ``first`` into ``parent``, which is made; it is durable.

    Raises LogFormatError where it does not read back as it was written.
    """
    directory = parent / f"{first:012d}-{first + len(entries) - 1:012d}"
    directory.mkdir(parents=True)
    connection.execute("CREATE OR REPLACE TEMP TABLE own_entry (seq BIGINT, body VARCHAR)")
    connection.execute(
        "INSERT INTO own_entry SELECT unnest($1::BIGINT[]), unnest($2::VARCHAR[])",
        [list(range(first, first + len(entries))), list(entries)],
    )
    found: dict[int, str] = {}
    for kind in sorted({json.loads(entry)["k"] for entry in entries}):
        file = directory / f"{kind}.parquet"
        write_parquet(connection, typed_select(kind, log, "own_entry"), file)
        rows = connection.execute(leaves_of(kind, f"({relation(kind, [file])})")).fetchall()
        found |= {seq: leaf for _, seq, leaf in rows}
    if found != {first + number: leaf_of(entry).hex() for number, entry in enumerate(entries)}:
        raise LogFormatError(f"{directory} does not read back as it was written: check this disk; nothing was added.")
    fsync(directory)
    fsync(parent)
    return directory
