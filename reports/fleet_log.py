"""The fleet log: one log of the same form as any sidecar's that grows by a sealed, signed segment with every round.

A segment is made beside, with the signed head that will cover it; the rename of the segment is what counts.  Where
the job is killed before it nothing has happened, where it is killed after it the next one puts the head in its place.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from crawl_audit import schema
from crawl_audit.errors import ConfigurationError, LogFormatError
from crawl_audit.records import Instant, Record, Seal
from crawl_audit.seal import Checkpoint, Signer, checkpoint_text, merkle_root, origin, parse_checkpoint, verify_note
from reports import own_log, rewriting
from reports.empty_kinds import write_empty_kinds
from reports.evidence import Evidence, open_evidence
from reports.fleet_source import heads_only
from reports.rewriting import Connection, fsync, plainly
from reports.segments_lock import segments_lock
from reports.verify_seals import CLOSING

PREFIX = "fleet-"
EVENT = "fleet"
NODE = "fleet"
ROUND_S = 3600
"""How often a round is due, in seconds; the settings on record say so, and a longer silence is a finding."""
_SETTINGS = json.dumps({"logging": {"idle_seal_interval_s": ROUND_S}}, sort_keys=True, separators=(",", ":"))


@dataclass(slots=True, kw_only=True)
class Tail:
    """Where the fleet log ends: its name, what it was begun with, the leaves of its seals, the next ``seq``."""

    log: str
    began: Instant
    last_at: Instant
    vkey: str
    settings_sha256: str
    seals: list[bytes]
    next_seq: int


def name_in(root: Path) -> str | None:
    """The fleet log that lies in ``root``, None where there is none yet; raises LogFormatError where there are two."""
    segments = root / "segments"
    found = sorted(path.name for path in segments.glob(f"{PREFIX}*")) if segments.is_dir() else []
    if len(found) > 1:
        raise LogFormatError(f"{root} holds {len(found)} fleet logs: keep each in a directory of its own.")
    return found[0] if found else None


class FleetLog:
    """A fleet log open for writing by one job; :func:`open_fleet` makes it."""

    def __init__(self, root: Path, signer: Signer, connection: Connection, work: Path, tail: Tail | None) -> None:
        self.root = root
        self.tail = tail
        self._signer = signer
        self._connection = connection
        self._work = work

    @property
    def log(self) -> str:
        """The log's name; there is one once anything was written."""
        assert self.tail is not None, "a fleet log without records has no name"
        return self.tail.log

    def next_instant(self) -> Instant:
        """Now, and in any case after everything on record: a round that goes back in time would be a fault."""
        return Instant(max(own_log.now_us(), 0 if self.tail is None else self.tail.last_at + 1))

    def append(self, records: Sequence[Record], at: Instant) -> str:
        """Write, seal, sign and publish ``records``; the signed head, which covers them and is durable."""
        body: list[Record] = []
        if self.tail is None:
            self.tail = _begin(at, self._signer)
            body.append(
                own_log.first_record(
                    self._connection, at, event=EVENT, node=NODE, settings=_SETTINGS, vkey=self.tail.vkey
                )
            )
        tail = self.tail
        body += records
        entries = [own_log.entry_of(record) for record in body]
        entries.append(own_log.entry_of(_seal(tail, at, [own_log.leaf_of(entry) for entry in entries])))
        seals = [*tail.seals, own_log.leaf_of(entries[-1])]
        note = self._signer.sign_note(checkpoint_text(origin(tail.log), len(seals), merkle_root(seals)))
        made = own_log.write_segment(self._connection, self._work, tail.log, tail.next_seq, entries)
        waiting = _waiting(self.root, tail.log)
        _put(waiting, note)
        with segments_lock(self.root):
            target = self.root / "segments" / tail.log / made.name
            target.parent.mkdir(exist_ok=True)
            made.rename(target)
            fsync(target.parent)
            fsync(target.parent.parent)
        _show(self.root, tail.log)
        tail.seals, tail.last_at, tail.next_seq = seals, at, tail.next_seq + len(entries)
        return note


def _begin(at: Instant, signer: Signer) -> Tail:
    return Tail(
        log=own_log.new_name(PREFIX, at),
        began=at,
        last_at=at,
        vkey=signer.verifier.vkey,
        settings_sha256=own_log.settings_sha256(_SETTINGS),
        seals=[],
        next_seq=0,
    )


def _seal(tail: Tail, at: Instant, leaves: list[bytes]) -> Seal:
    return Seal(
        recorded_at=at,
        seal_index=len(tail.seals),
        first_seq=tail.next_seq,
        rows=len(leaves),
        root=merkle_root(leaves).hex(),
        reason="interval",
        # No clock runs from one round to the next but the one on the wall, and that may not go back.
        monotonic_ms=(at - tail.began) // 1000,
        settings_sha256=tail.settings_sha256,
        **own_log.NO_COUNTS,
    )


@contextmanager
def open_fleet(path: str, signer: Signer) -> Iterator[FleetLog]:
    """The fleet log in the directory ``path``, for one job at a time; made where there is none.

    Raises ConfigurationError where another job is at work, LogFormatError where what is there is not what ``signer``
    signed: nothing is added to a log that was tampered with.
    """
    root = Path(path).absolute()
    with plainly(f"The fleet log {root} cannot be written"), _alone(root):
        work = root / "tmp" / f"round-{os.getpid()}"
        for left in (root / "tmp").glob("round-*"):
            shutil.rmtree(left)
        work.mkdir(mode=0o700)
        try:
            with rewriting.connect(work / "spill") as connection:
                _lay_out(root)
                yield FleetLog(root, signer, connection, work, _tail(root, signer))
        finally:
            shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    (root / "segments").mkdir(parents=True, exist_ok=True)
    (root / "checkpoints").mkdir(exist_ok=True)
    (root / "tmp").mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(root / "segments", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(f"Another job is at work in {root}: wait until it has ended.") from error
        yield
    finally:
        os.close(descriptor)


def _lay_out(root: Path) -> None:
    """The empty files of every kind, without which no reader takes a directory for a log."""
    empty = root / "segments" / "schema" / f"v{schema.VERSION}"
    if not empty.is_dir():
        write_empty_kinds(root)
        for path in (*empty.iterdir(), empty, empty.parent):
            fsync(path)


def _tail(root: Path, signer: Signer) -> Tail | None:
    """Where the log in ``root`` ends, its head checked against its seals."""
    log = name_in(root)
    if log is None:
        return None
    with open_evidence(str(root), only=heads_only) as evidence:
        tail = _read_tail(evidence, log)
    if tail.vkey != signer.verifier.vkey:
        raise ConfigurationError(f"The key {signer.verifier.vkey} is not that of the fleet log {log}: use {tail.vkey}.")
    current = (len(tail.seals), merkle_root(tail.seals))
    if _head(root / "checkpoints" / f"{log}.checkpoint", signer) != current:
        if _head(_waiting(root, log), signer) != current:
            raise LogFormatError(
                f"The head of the fleet log {log} is not that of its seals, so it was changed: run `crawl-audit verify"
                f" {root}`, and restore it from a copy."
            )
        _show(root, log)
    return tail


def _read_tail(evidence: Evidence, log: str) -> Tail:
    names = [name for name, _ in schema.stored_columns("seal")]
    rows = [dict(zip(names, row, strict=True)) for row in evidence.rows("seal", log, names, order="seq")]
    columns = ("recorded_at", "checkpoint_key", "settings_sha256")
    runs = list(evidence.rows("run", log, columns, order="seq"))
    if not rows or not runs or any(row["reason"] in CLOSING for row in rows):
        raise LogFormatError(f"The fleet log {log} has no beginning or is closed: begin another in a new directory.")
    return Tail(
        log=log,
        began=runs[0][0],
        last_at=rows[-1]["recorded_at"],
        vkey=runs[0][1],
        settings_sha256=runs[0][2],
        seals=[schema.leaf(schema.from_row("seal", row)) for row in rows],
        next_seq=rows[-1]["seq"] + 1,
    )


def _head(path: Path, signer: Signer) -> tuple[int, bytes] | None:
    """(size, root) of the head in a file that ``signer`` has signed; None where there is none."""
    try:
        note = path.read_text(encoding="utf-8")
        if not verify_note(note, [signer.verifier]):
            return None
        head: Checkpoint = parse_checkpoint(note.rpartition("\n\n")[0] + "\n")
    except (OSError, UnicodeDecodeError, LogFormatError):
        return None
    return head.size, head.root


def _waiting(root: Path, log: str) -> Path:
    """Where the next head waits until its segment is published."""
    return root / "tmp" / f"{log}.checkpoint"


def _put(path: Path, note: str) -> None:
    path.write_text(note, encoding="utf-8")
    fsync(path)
    fsync(path.parent)


def _show(root: Path, log: str) -> None:
    """Let the head that waited take the place of the last one."""
    os.replace(_waiting(root, log), root / "checkpoints" / f"{log}.checkpoint")
    fsync(root / "checkpoints")
