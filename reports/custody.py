"""Custodian logs: what was done to logs after they were written, itself written, sealed, signed and published whole.

Such a log has the form of any other: its first record is a ``run`` with event ``custody`` that names the key, its
last one the closing seal.  It covers no crawling.  The checkpoint goes first, the segment's rename is what counts:
before it nothing was done, after it the deed is on record.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import crawl_audit
from crawl_audit import schema
from crawl_audit.records import Custody, Instant, Mode, Record, Run, Seal
from crawl_audit.seal import Signer, checkpoint_text, merkle_root, origin
from crawl_audit.segment_sql import typed_select
from reports.rewriting import Bench, fsync, leaves_of, relation, write_parquet
from reports.segments_lock import segments_lock

PREFIX = "custodian-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One custody record and where it stands."""

    log: str
    seq: int
    record: Custody


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A custodian log that is there now: its name, its key, its head.  The key itself is gone."""

    log: str
    vkey: str
    checkpoint: str


def now_us() -> Instant:
    """The current instant."""
    return Instant(int(datetime.now(UTC).timestamp() * 1_000_000))


def instant_of(moment: datetime) -> Instant:
    """A naive UTC time as an instant."""
    return Instant(int(moment.replace(tzinfo=UTC).timestamp() * 1_000_000))


def moment_of(instant: Instant) -> datetime:
    """An instant as a naive UTC time."""
    return datetime.fromtimestamp(instant / 1_000_000, UTC).replace(tzinfo=None)


def history(bench: Bench) -> list[Entry]:
    """Every custody record, in the order things were done."""
    names = [column.name for column in schema.columns("custody")]
    wanted = ", ".join("epoch_us(recorded_at)" if name == "recorded_at" else name for name in names)
    rows = bench.rows(f"SELECT log, seq, {wanted} FROM custody ORDER BY recorded_at, log, seq")  # noqa: S608
    return [_entry(log, seq, dict(zip(names, values, strict=True))) for log, seq, *values in rows]


def _entry(log: str, seq: int, values: dict[str, object]) -> Entry:
    values["fields"] = tuple(values["fields"])  # type: ignore[arg-type]
    return Entry(log=log, seq=seq, record=Custody(**values))  # type: ignore[arg-type]


def next_instant(bench: Bench) -> Instant:
    """Now, and in any case after everything custodians did before: their order is told by the time they state."""
    entries = history(bench)
    return Instant(max(now_us(), entries[-1].record.recorded_at + 1 if entries else 0))


def publish(bench: Bench, made: Sequence[Custody]) -> Published:
    """Write, seal, sign and publish a custodian log of ``made``; when this returns it is durable."""
    at = made[0].recorded_at
    log = f"{PREFIX}{datetime.fromtimestamp(at // 1_000_000, UTC):%Y%m%dT%H%M%SZ}-{os.urandom(4).hex()}"
    signer = Signer.generate(origin(log))
    body: list[Record] = [_run(bench, at, signer.verifier.vkey), *made]
    entries = [schema.to_entry(r, os.urandom(schema.SALT_BYTES) if schema.has_salt(r.KIND) else None) for r in body]
    leaves = [schema.leaf(schema.parse_entry(entry)) for entry in entries]
    seal = schema.to_entry(_seal(at, leaves))
    head = schema.leaf(schema.parse_entry(seal))
    note = signer.sign_note(checkpoint_text(origin(log), 1, merkle_root([head])))
    directory = _write(bench, log, [*entries, seal], [*leaves, head])
    with segments_lock(bench.root):
        _put_checkpoint(bench, log, note)
        os.rename(directory, bench.root / "segments" / log)
        fsync(bench.root / "segments")
    bench.refresh()
    return Published(log=log, vkey=signer.verifier.vkey, checkpoint=note)


def _run(bench: Bench, at: Instant, vkey: str) -> Run:
    before = bench.rows("SELECT log FROM run WHERE event = 'custody' ORDER BY recorded_at DESC, log DESC LIMIT 1")
    software = {"crawl-audit": crawl_audit.__version__, "duckdb": bench.rows("SELECT version()")[0][0]}
    return Run(
        recorded_at=at,
        event="custody",
        node="custodian",
        reason=None,
        mode=Mode.AUDIT,
        settings="{}",
        settings_sha256=hashlib.sha256(b"{}").hexdigest(),
        software=json.dumps(software, sort_keys=True, separators=(",", ":")),
        checkpoint_key=vkey,
        trust_sha256=None,
        previous_log=before[0][0] if before else None,
    )


def _seal(at: Instant, leaves: list[bytes]) -> Seal:
    counters = dict.fromkeys(("decisions", "forwarded", "completions", "dropped", "in_flight", "monotonic_ms"), 0)
    return Seal(
        recorded_at=at,
        seal_index=0,
        first_seq=0,
        rows=len(leaves),
        root=merkle_root(leaves).hex(),
        reason="shutdown",
        settings_sha256=hashlib.sha256(b"{}").hexdigest(),
        **counters,
    )


def _write(bench: Bench, log: str, entries: list[str], leaves: list[bytes]) -> Path:
    """The segment of a log under the bench's work directory, read back and durable; the directory of the log."""
    directory = bench.work / log / f"{0:012d}-{len(entries) - 1:012d}"
    directory.mkdir(parents=True)
    connection = bench.connection
    connection.execute("CREATE OR REPLACE TEMP TABLE custodian_entry (seq BIGINT, body VARCHAR)")
    connection.execute(
        "INSERT INTO custodian_entry SELECT unnest($1::BIGINT[]), unnest($2::VARCHAR[])",
        [list(range(len(entries))), entries],
    )
    found: dict[int, str] = {}
    for kind in ("run", "custody", "seal"):
        file = directory / f"{kind}.parquet"
        write_parquet(connection, typed_select(kind, log, "custodian_entry"), file)
        found |= {seq: leaf for _, seq, leaf in bench.rows(leaves_of(kind, f"({relation(kind, [file])})"))}
    assert found == dict(enumerate(leaf.hex() for leaf in leaves)), "a custodian log reads back as it was written"
    fsync(directory)
    fsync(directory.parent)
    return directory.parent


def _put_checkpoint(bench: Bench, log: str, note: str) -> None:
    checkpoints = bench.root / "checkpoints"
    checkpoints.mkdir(exist_ok=True)
    made = bench.work / f"{log}.checkpoint"
    made.write_text(note, encoding="utf-8")
    fsync(made)
    os.rename(made, checkpoints / made.name)
    fsync(checkpoints)
