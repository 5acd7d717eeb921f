"""Custodian logs: what was done to logs after they were written, itself written, sealed, signed and published whole.

Such a log has the form of any other: its first record is a ``run`` with event ``custody`` that names the key, its
last one the closing seal.  It covers no crawling.  The checkpoint goes first, the segment's rename is what counts:
before it nothing was done, after it the deed is on record.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from crawl_audit import schema
from crawl_audit.records import Custody, Instant, Record, Run, Seal
from crawl_audit.seal import Signer, checkpoint_text, merkle_root, origin
from reports import own_log
from reports.rewriting import Bench, fsync
from reports.segments_lock import segments_lock

PREFIX = "custodian-"
_SETTINGS = "{}"


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
    return Instant(max(own_log.now_us(), entries[-1].record.recorded_at + 1 if entries else 0))


def publish(bench: Bench, made: Sequence[Custody]) -> Published:
    """Write, seal, sign and publish a custodian log of ``made``; when this returns it is durable."""
    at = made[0].recorded_at
    log = own_log.new_name(PREFIX, at)
    signer = Signer.generate(origin(log))
    body: list[Record] = [_first(bench, at, signer.verifier.vkey), *made]
    entries = [own_log.entry_of(record) for record in body]
    entries.append(own_log.entry_of(_seal(at, [own_log.leaf_of(entry) for entry in entries])))
    head = own_log.leaf_of(entries[-1])
    note = signer.sign_note(checkpoint_text(origin(log), 1, merkle_root([head])))
    directory = own_log.write_segment(bench.connection, bench.work / log, log, 0, entries).parent
    with segments_lock(bench.root):
        _put_checkpoint(bench, log, note)
        os.rename(directory, bench.root / "segments" / log)
        fsync(bench.root / "segments")
    bench.refresh()
    return Published(log=log, vkey=signer.verifier.vkey, checkpoint=note)


def _first(bench: Bench, at: Instant, vkey: str) -> Run:
    before = bench.rows("SELECT log FROM run WHERE event = 'custody' ORDER BY recorded_at DESC, log DESC LIMIT 1")
    return own_log.first_record(
        bench.connection,
        at,
        event="custody",
        node="custodian",
        settings=_SETTINGS,
        vkey=vkey,
        previous_log=before[0][0] if before else None,
    )


def _seal(at: Instant, leaves: list[bytes]) -> Seal:
    return Seal(
        recorded_at=at,
        seal_index=0,
        first_seq=0,
        rows=len(leaves),
        root=merkle_root(leaves).hex(),
        reason="shutdown",
        monotonic_ms=0,
        settings_sha256=own_log.settings_sha256(_SETTINGS),
        **own_log.NO_COUNTS,
    )


def _put_checkpoint(bench: Bench, log: str, note: str) -> None:
    checkpoints = bench.root / "checkpoints"
    checkpoints.mkdir(exist_ok=True)
    made = bench.work / f"{log}.checkpoint"
    made.write_text(note, encoding="utf-8")
    fsync(made)
    os.rename(made, checkpoints / made.name)
    fsync(checkpoints)
