"""What a dead process left behind is finished: its exchanges get an outcome, its log a last seal, its files a place.

Runs before a new log is begun, while this process holds the log directory.  Nothing is deleted that was not read back
out of a published segment, and what cannot be opened is kept in quarantine/.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb

from crawl_audit import schema
from crawl_audit.errors import ConfigurationError, LogFormatError, RecordError
from crawl_audit.records import Completion, Incident, Instant, Outcome, Record
from crawl_audit.seal import parse_checkpoint, parse_note
from crawl_audit.segment_sql import entry_select, exact_glob
from crawl_audit.text import storable
from proxy_addon.chain import Chain, is_forwarded
from proxy_addon.exchanges import unanswered
from proxy_addon.journal import encode
from proxy_addon.live import InDoubtError, LiveFile, RefusedError, RolledBackError, remove
from proxy_addon.log_directory import LogDirectory, fsync_path
from proxy_addon.segments import publish

logger = logging.getLogger("crawl_audit.recovery")

# Reasons of a last seal: after one of these nothing more belongs to the log.
_CLOSED = ("shutdown", "recovered")
# A helper process of the dead writer ends with it, but not in the same instant.
_LOCK_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What recovery found: the log written before, what the new log must say, heads this process must sign."""

    previous_log: str | None = None
    incidents: list[Incident] = field(default_factory=list)
    chains: list[Chain] = field(default_factory=list)


def recover(directory: LogDirectory) -> Recovered:
    """Finish every log that has a live file; raises ConfigurationError where the disk or another process forbids it."""
    found = Recovered()
    try:
        _remove_half_made(directory, found)
        for log, group in groupby(directory.live_files(), key=lambda item: item[0]):
            _recover_log(directory, log, [path for _, _, path in group], found)
    except (OSError, duckdb.Error) as error:
        raise ConfigurationError(
            f"The log directory {directory.path} holds records of an earlier run that cannot be finished now:"
            f" {_line(error)}; mend that and start again, nothing is lost."
        ) from error
    logs = directory.logs()
    previous = logs[-1] if logs else None
    if previous is not None and previous not in [chain.log for chain in found.chains]:
        _check_head(directory, previous, found)
    return Recovered(previous_log=previous, incidents=found.incidents, chains=found.chains)


def _remove_half_made(directory: LogDirectory, found: Recovered) -> None:
    for path in sorted(directory.live.iterdir()):
        if path.name.endswith((".duckdb.new", ".duckdb.new.wal")):
            path.unlink()  # never held a record: live files are renamed before the first one
        elif path.name.endswith(".duckdb.wal") and not path.with_suffix("").exists():
            _quarantine(directory, path.with_suffix(""), "its database file is missing", found)
    fsync_path(directory.live)


def _recover_log(directory: LogDirectory, log: str, paths: list[Path], found: Recovered) -> None:
    paths = _without_unused(directory, paths, found)
    rows = 0
    for path in paths:
        try:
            if path is paths[-1]:
                _finish_log(directory, log, path)
            segment = _patiently(partial(publish, path, directory))
        except (LogFormatError, RecordError, duckdb.Error) as error:
            if _is_passing(error):
                raise
            _quarantine(directory, path, _line(error), found)
            continue
        rows += segment.rows
        remove(path)
    if not rows:
        return
    _check_head(directory, log, found)
    known = [chain for chain in found.chains if chain.log == log]
    head = known[0].head() if known else None
    root = f"the root of its {head.size} seals is {head.root.hex()}" if head else "its checkpoint stands as it was"
    found.incidents.append(
        _incident("recovered_log", f"The log {log} had not been published whole; {rows} records were, {root}.")
    )


def _without_unused(directory: LogDirectory, paths: list[Path], found: Recovered) -> list[Path]:
    """Drop live files at the end that were opened ahead and never written, and those that cannot be opened at all."""
    kept = list(paths)
    for path in reversed(paths):
        try:
            live = _patiently(partial(LiveFile.open, path, directory.spill(path.name)))
        except duckdb.Error as error:
            if _is_passing(error):
                raise
            _quarantine(directory, path, _line(error), found)
            kept.remove(path)
            continue
        used = live.extent().rows > 0
        live.close()
        if used:
            break
        if len(kept) > 1:
            remove(path)
            kept.remove(path)
    return kept


def _finish_log(directory: LogDirectory, log: str, path: Path) -> None:
    """Give the last live file of a log what its process did not write any more, unless it was closed properly."""
    live = LiveFile.open(path, directory.spill(log))
    try:
        extent = live.extent()
        seals = _published_seals(directory, log)
        after, last_seal = (seals[-1][0] + 1, seals[-1][1]) if seals else (0, None)
        if not extent.rows and last_seal is None:
            return  # begun and never written
        first = after if extent.first is None else extent.first
        if first < after:
            return  # published already, the process died before deleting it
        end = _End(Chain(log, next_seq=first, last_seal=last_seal), last_seal)
        for body in live.entries():
            end.add(schema.parse_entry(body))
        if extent.last is not None and extent.last + 1 != end.chain.next_seq:
            raise LogFormatError(f"The live file {path.name} has a gap in its records.")
        if not end.closed:
            _append_end(directory, live, end)
    finally:
        live.close()


class _End:
    """What is known of a dead log from its last seals and records: its chain, and what was still open."""

    def __init__(self, chain: Chain, last_seal: dict[str, Any] | None) -> None:
        self.chain = chain
        self.last: dict[str, Any] | None = last_seal
        self.last_at = 0
        self.settings_sha256 = last_seal["settings_sha256"] if last_seal else ""
        self.monotonic_ms = last_seal["monotonic_ms"] if last_seal else 0
        self.open: dict[int, Instant] = {}
        self.ended: set[int] = set()

    @property
    def closed(self) -> bool:
        """Whether the last record is a seal after which nothing more belongs to the log."""
        return self.last is not None and self.last["k"] == "seal" and self.last["reason"] in _CLOSED

    def add(self, entry: dict[str, Any]) -> None:
        if is_forwarded(entry):
            self.open[self.chain.next_seq] = entry["recorded_at"]
        elif entry["k"] == "completion":
            if self.open.pop(entry["decision_seq"], None) is None:
                self.ended.add(entry["decision_seq"])
        elif entry["k"] in ("seal", "run"):
            self.settings_sha256 = entry["settings_sha256"]
            self.monotonic_ms = entry.get("monotonic_ms", self.monotonic_ms)
        self.last, self.last_at = entry, entry["recorded_at"]
        self.chain.add(entry)


def _append_end(directory: LogDirectory, live: LiveFile, end: _End) -> None:
    """Completions, an incident and a seal in one transaction: a crash in here leaves the log as it was found."""
    now, chain = _now(), end.chain
    first = chain.next_seq
    unfinished = dict(end.open)
    if chain.in_flight > len(unfinished):  # some were decided in segments published before
        unfinished |= {seq: at for seq, at in _open_in_segments(directory, chain.log) if seq not in end.ended}
    ending: list[Record] = [
        _unknown(seq, now, max(0, end.last_at - decided) // 1000) for seq, decided in sorted(unfinished.items())
    ]
    detail = f"The sidecar stopped without closing this log; {len(ending)} forwarded exchanges have no known outcome."
    ending.append(_incident("unclean_stop", detail))
    encoded = [encode(record) for record in ending]
    for _, entry in encoded:
        chain.add(entry)
    encoded.append(
        encode(chain.seal("recovered", now=now, monotonic_ms=end.monotonic_ms, settings_sha256=end.settings_sha256))
    )
    try:
        live.insert(first, [body for body, _ in encoded])
    except (RefusedError, RolledBackError, InDoubtError) as error:
        raise OSError(f"the end of the log {chain.log} could not be written: {error}") from error


def _open_in_segments(directory: LogDirectory, log: str) -> list[tuple[int, Instant]]:
    """(seq, recorded_at) of forwarded decisions in a log's published segments without completion in them."""
    decisions, completions = (_files(directory, log, kind) for kind in ("decision", "completion"))
    if not decisions:
        return []
    with duckdb.connect(":memory:") as connection:
        open_decisions = connection.execute(
            "SELECT seq, epoch_us(recorded_at) FROM read_parquet(?) WHERE action = 'forwarded'", [decisions]
        ).fetchall()
        ended: set[tuple[int]] = set()
        if completions:
            ended.update(connection.execute("SELECT decision_seq FROM read_parquet(?)", [completions]).fetchall())
    return [(seq, at) for seq, at in open_decisions if (seq,) not in ended]


def _published_seals(directory: LogDirectory, log: str) -> list[tuple[int, dict[str, Any]]]:
    """(seq, entry) of every seal in a log's published segments, in order."""
    files = _files(directory, log, "seal")
    if not files:
        return []
    names = [name for name, _ in schema.stored_columns("seal")]
    with duckdb.connect(":memory:") as connection:
        rows = connection.execute(f"{entry_select('seal', 'read_parquet(?)')} ORDER BY seq", [files]).fetchall()
    entries = [dict(zip(names, row, strict=True)) for row in rows]
    return [(row["seq"], schema.from_row("seal", row)) for row in entries]


def _files(directory: LogDirectory, log: str, kind: str) -> list[str]:
    """The files of one kind of one log, as DuckDB wants them named."""
    return [exact_glob(str(file)) for file in sorted((directory.segments / log).glob(f"*/{kind}.parquet"))]


def _check_head(directory: LogDirectory, log: str, found: Recovered) -> None:
    """Compare the tree of a log's published seals with its checkpoint; note it for signing where it has grown.

    A checkpoint that the seals do not bear out is evidence of a loss, and stays as it is.
    """
    seals = [entry for _, entry in _published_seals(directory, log)]
    path = directory.checkpoint(log)
    signed = None
    if path.exists():
        try:
            signed = parse_checkpoint(parse_note(path.read_text(encoding="utf-8")).text)
        except (LogFormatError, UnicodeDecodeError) as error:
            found.incidents.append(_incident("checkpoint_mismatch", f"The checkpoint of {log} is malformed: {error}"))
            return
    if [entry["seal_index"] for entry in seals] != list(range(len(seals))):
        found.incidents.append(_incident("checkpoint_mismatch", f"Seals of the log {log} are missing."))
        return
    chain, agreed = Chain(log), signed is None or signed.size == 0
    for entry in seals:
        chain.add(entry)
        head = chain.head()
        agreed = agreed or (signed is not None and (head.size, head.root) == (signed.size, signed.root))
    if signed is not None and not agreed:
        found.incidents.append(
            _incident(
                "checkpoint_mismatch",
                f"The checkpoint of {log} states {signed.size} seals with root {signed.root.hex()}, which its"
                f" {len(seals)} seals do not bear out: records are missing or were changed.",
            )
        )
    elif seals and (signed is None or signed.size < len(seals)):
        found.chains.append(chain)


def _patiently[T](action: Callable[[], T]) -> T:
    """The result of ``action``, tried again for a while where another process still holds the file."""
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        try:
            return action()
        except duckdb.IOException as error:
            if "conflicting lock" not in str(error).lower() or time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def _is_passing(error: Exception) -> bool:
    """Whether the trouble is with the disk or another process, and not with what the file holds."""
    text = str(error).lower()
    passing = ("conflicting lock", "no space left", "permission denied", "read-only file system", "too many open files")
    return isinstance(error, duckdb.OutOfMemoryException) or any(word in text for word in passing)


def _quarantine(directory: LogDirectory, path: Path, why: str, found: Recovered) -> None:
    """Move a live file and its WAL out of the way, together and unchanged."""
    place = directory.quarantine / path.name
    number = 0
    while place.exists() or _wal(place).exists():
        number += 1
        place = directory.quarantine / f"{path.name}.{number}"
    for source, target in ((path, place), (_wal(path), _wal(place))):
        if source.exists():
            os.rename(source, target)
    fsync_path(directory.quarantine)
    fsync_path(directory.live)
    logger.error("The live file %s was moved to %s: %s", path.name, place, why)
    found.incidents.append(
        _incident("quarantined_file", f"The live file {path.name} was moved to quarantine/{place.name}: {why}")
    )


def _wal(path: Path) -> Path:
    return path.with_name(path.name + ".wal")


def _incident(word: str, detail: str) -> Incident:
    return Incident(
        recorded_at=_now(), incident=word, exchange_id=None, crawler=None, client=None, detail=storable(detail, 1000)
    )


def _unknown(decision_seq: int, now: Instant, duration_ms: int) -> Completion:
    """The outcome of an exchange nobody saw the end of."""
    why = "the sidecar stopped before it could record how this exchange ended"
    return unanswered(decision_seq, now, Outcome.UNKNOWN_AFTER_CRASH, why, duration_ms=duration_ms)


def _now() -> Instant:
    return Instant(time.time_ns() // 1000)


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
