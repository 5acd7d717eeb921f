"""What a dead process left behind is finished: its exchanges get an outcome, its log a last seal, its files a place.

Runs before a new log is begun, while this process holds the log directory.  Finishing is quick; turning the finished
live files into segments is not, and is left to the new log's publisher.  Nothing is deleted that was not read back out
of a published segment, and what cannot be opened is kept in quarantine/.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb

from crawl_audit import schema
from crawl_audit.errors import ConfigurationError, LogFormatError, RecordError
from crawl_audit.records import Completion, Gap, Incident, Instant, Outcome, Record
from crawl_audit.text import storable
from proxy_addon import emergency, torn_tail
from proxy_addon.chain import Chain
from proxy_addon.exchanges import unanswered
from proxy_addon.journal import encode
from proxy_addon.live import InDoubtError, LiveFile, RefusedError, RolledBackError, remove
from proxy_addon.log_directory import LogDirectory, fsync_path, started_key
from proxy_addon.published_log import grown, open_in_segments, published_seals, recorded_in_segments
from proxy_addon.quarantine import free_place, incident, is_damage, quarantine
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
    gaps: list[Gap] = field(default_factory=list)
    told: list[tuple[Path, Path]] = field(default_factory=list)  # to be put away: from where, to where
    chains: list[Chain] = field(default_factory=list)
    leftovers: list[Path] = field(default_factory=list)  # finished live files that are not published yet, in order


def recover(directory: LogDirectory) -> Recovered:
    """Finish every log that has a live file and publish it, all at once; as :func:`finish` otherwise."""
    found = finish(directory)
    for path in found.leftovers:
        try:
            _patiently(partial(publish, path, directory))
        except (LogFormatError, RecordError, duckdb.Error, OSError) as error:
            if not is_damage(error):
                raise _unfinished(directory, error) from error
            found.incidents.extend(give_up(directory, path, _line(error)))
        else:
            remove(path)
    found.leftovers.clear()
    return found


def finish(directory: LogDirectory) -> Recovered:
    """Finish every log that has a live file; raises ConfigurationError where the disk or another process forbids it."""
    found = Recovered()
    try:
        _remove_half_made(directory, found)
        for log, group in groupby(directory.live_files(), key=lambda item: item[0]):
            _recover_log(directory, log, [path for _, _, path in group], found)
        for path in sorted(directory.path.glob(emergency.PATTERN)):
            _take_emergency(directory, path, found)
        logs = _in_order(directory, found)
        previous = logs[-1] if logs else None
        if previous is not None and previous not in [_log_of(path) for path in found.leftovers]:
            _check_head(directory, previous, published_seals(directory, previous), found)
    except (OSError, duckdb.Error) as error:
        raise _unfinished(directory, error) from error
    return replace(found, previous_log=previous)


def give_up(directory: LogDirectory, path: Path, why: str) -> list[Incident]:
    """Put away a finished live file that turned out not to hold what it must; what the new log is to say of it."""
    log, told = _log_of(path), [quarantine(directory, path, why)]
    grown(directory, log, published_seals(directory, log), told)
    return told


def _unfinished(directory: LogDirectory, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"The log directory {directory.path} holds records of an earlier run that cannot be finished now:"
        f" {_line(error)}; mend that and start again, nothing is lost."
    )


def _log_of(path: Path) -> str:
    """The log of a live file."""
    return path.name.rsplit(".", 2)[0]


def _in_order(directory: LogDirectory, found: Recovered) -> list[str]:
    """Every log of the directory in the order of their start, those included of which nothing is published yet."""
    known = directory.logs()
    for log in dict.fromkeys(map(_log_of, found.leftovers)):
        if log not in known:
            known = sorted(
                [*known, log], key=lambda name: (started_key(name), known.index(name) if name in known else len(known))
            )
    return known


def _remove_half_made(directory: LogDirectory, found: Recovered) -> None:
    for path in sorted(directory.live.iterdir()):
        if path.name.endswith((".duckdb.new", ".duckdb.new.wal")):
            path.unlink()  # never held a record: live files are renamed before the first one
        elif path.name.endswith(".duckdb.wal") and not path.with_suffix("").exists():
            found.incidents.append(quarantine(directory, path.with_suffix(""), "its database file is missing"))
    fsync_path(directory.live)


def _recover_log(directory: LogDirectory, log: str, paths: list[Path], found: Recovered) -> None:
    known = _Known(directory, log)
    paths = _without_unused(directory, paths, known, found)
    rows = 0
    for path in paths:
        try:
            count = _finish_file(directory, path, known, found, last=path is paths[-1])
        except (LogFormatError, RecordError, duckdb.Error) as error:
            if not is_damage(error):
                raise
            found.incidents.append(quarantine(directory, path, _line(error)))
            continue
        if count:
            rows += count
            found.leftovers.append(path)
        else:
            remove(path)
    if not rows:
        return
    chain = _check_head(directory, log, sorted(known.seals.items()), found)
    head = chain.head() if chain else None
    root = f"the root of its {head.size} seals is {head.root.hex()}" if head else "its checkpoint stands as it was"
    found.incidents.append(
        incident("recovered_log", f"The log {log} had not been published whole: {rows} records were not; {root}.")
    )


def _check_head(
    directory: LogDirectory, log: str, sealed: Sequence[tuple[int, dict[str, Any]]], found: Recovered
) -> Chain | None:
    chain = grown(directory, log, sealed, found.incidents)
    if chain is not None:
        found.chains.append(chain)
    return chain


class _Known:
    """What is known of a dead log: its seals and exchanges, from its segments and then from its live files."""

    def __init__(self, directory: LogDirectory, log: str) -> None:
        self.log = log
        self.published = max((last for _, last, _ in directory.segments_of(log)), default=-1)
        self.seals = dict(published_seals(directory, log))
        self.forwarded: dict[int, int] = {}
        self.ended: set[int] = set()

    def take(self, live: LiveFile) -> None:
        """Take note of what another live file holds."""
        for body in live.entries(kind="seal"):
            entry = schema.parse_entry(body)
            self.seals[entry["first_seq"] + entry["rows"]] = entry
        forwarded, ended = live.exchanges()
        self.forwarded |= forwarded
        self.ended |= ended


def _without_unused(directory: LogDirectory, paths: list[Path], known: _Known, found: Recovered) -> list[Path]:
    """Drop live files at the end that were opened ahead and never written, and those that cannot be opened at all.

    Where all before it is published already, one of them stays: it is where the end of the log goes.
    """
    kept = list(paths)
    unused: list[Path] = []
    for path in reversed(paths):
        try:
            live = _open(directory, path, found)
            extent = live.extent()
            live.close()
        except duckdb.Error as error:
            if not is_damage(error):
                raise
            found.incidents.append(quarantine(directory, path, _line(error)))
            kept.remove(path)
            continue
        if extent.last is not None:
            if extent.last <= known.published and unused:
                unused.pop()
            break
        unused.append(path)
    else:
        del unused[-1:]
    for path in unused:
        remove(path)
        kept.remove(path)
    return kept


def _open(directory: LogDirectory, path: Path, found: Recovered) -> LiveFile:
    """A dead log's live file; one whose end a power cut tore without that end."""
    opening = partial(LiveFile.open, path, directory.spill(_log_of(path)))
    try:
        return _patiently(opening)
    except duckdb.Error as error:
        at = torn_tail.torn_at(path, error)
        if at is None:
            raise
        logger.warning("The end of the live file %s is torn and is cut off: %s", path.name, _line(error))
        found.incidents.append(torn_tail.cut(directory, path, at))
    return opening()


def _finish_file(directory: LogDirectory, path: Path, known: _Known, found: Recovered, *, last: bool) -> int:
    """How many records a live file holds; the last one of a log gets what its process did not write any more."""
    live = _open(directory, path, found)
    try:
        extent = live.extent()
        known.take(live)
        if extent.first is not None and extent.last is not None and extent.rows != extent.last - extent.first + 1:
            raise LogFormatError(f"The live file {path.name} has a gap in its records")
        published = extent.last is not None and extent.last <= known.published
        if last and not published and (extent.rows or known.seals):
            end = _End(
                known, max(known.seals, default=-1), known.published + 1 if extent.first is None else extent.first
            )
            for body in live.entries(after=end.chain.next_seq - 1):
                end.add(schema.parse_entry(body))
            if not end.closed:
                _append_end(directory, live, end, known)
        return live.extent().rows
    finally:
        live.close()


class _End:
    """Where a dead log ends: the chain since its last seal, and what the end is to say."""

    def __init__(self, known: _Known, sealed: int, first: int) -> None:
        last_seal = known.seals.get(sealed)
        self.chain = Chain(known.log, next_seq=max(first, sealed + 1), last_seal=last_seal)
        self.last: dict[str, Any] | None = last_seal
        self.last_at = last_seal["recorded_at"] if last_seal else 0
        self.settings_sha256 = last_seal["settings_sha256"] if last_seal else ""
        self.monotonic_ms = last_seal["monotonic_ms"] if last_seal else 0

    @property
    def closed(self) -> bool:
        """Whether the last record is a seal after which nothing more belongs to the log."""
        return self.last is not None and self.last["k"] == "seal" and self.last["reason"] in _CLOSED

    def add(self, entry: dict[str, Any]) -> None:
        """Take note of the next entry."""
        if entry["k"] in ("seal", "run"):
            self.settings_sha256 = entry["settings_sha256"]
            self.monotonic_ms = entry.get("monotonic_ms", self.monotonic_ms)
        self.last, self.last_at = entry, entry["recorded_at"]
        self.chain.add(entry)


def _append_end(directory: LogDirectory, live: LiveFile, end: _End, known: _Known) -> None:
    """Completions, an incident and a seal in one transaction: a crash in here leaves the log as it was found."""
    now, chain = _now(), end.chain
    first = chain.next_seq
    unfinished = {seq: at for seq, at in known.forwarded.items() if seq not in known.ended}
    if chain.in_flight > len(unfinished):  # some were decided in segments published before
        unfinished |= {seq: at for seq, at in open_in_segments(directory, chain.log) if seq not in known.ended}
    ending: list[Record] = [
        _unknown(seq, now, max(0, end.last_at - decided) // 1000) for seq, decided in sorted(unfinished.items())
    ]
    detail = f"The sidecar stopped without closing this log; {len(ending)} forwarded exchanges have no known outcome."
    ending.append(incident("unclean_stop", detail))
    encoded = [encode(record) for record in ending]
    for _, entry in encoded:
        chain.add(entry)
    seal = chain.seal("recovered", now=now, monotonic_ms=end.monotonic_ms, settings_sha256=end.settings_sha256)
    encoded.append(encode(seal))
    known.seals[chain.next_seq] = encoded[-1][1]
    try:
        live.insert(first, [body for body, _ in encoded])
    except (RefusedError, RolledBackError, InDoubtError) as error:
        raise OSError(f"the end of the log {chain.log} could not be written: {error}") from error


def _take_emergency(directory: LogDirectory, path: Path, found: Recovered) -> None:
    """Requests that left unrecorded (`fail_open`) and were not entered before the process died: told, and kept."""
    left = emergency.read(path)
    if left is None:
        path.unlink()
        return
    names = [entry["exchange_id"] for entry in left.decisions]
    recorded = _recorded(directory, left.log, names, found.leftovers)
    times = [entry["recorded_at"] for entry in left.decisions if entry["exchange_id"] not in recorded]
    place = free_place(directory, path)
    found.told.append((path, place))
    requests, at = len(times) + left.not_kept, _now()
    detail = f"Every request in the emergency file quarantine/{place.name} is on record in the log {left.log}."
    if requests:
        detail = (
            f"{requests} requests of the log {left.log} left before their decisions were durable, and its sidecar"
            f" stopped before it could enter them; the emergency file is quarantine/{place.name}."
        )
    logger.warning("%s", detail)
    if not requests:
        found.incidents.append(incident("quarantined_file", detail))
        return
    found.gaps.append(
        Gap(
            recorded_at=at,
            cause="unclean_stop",
            first_at=min(times, default=at),
            last_at=max(times, default=at),
            requests=requests,
            kept=len(times),
            first_seq=None,
            last_seq=None,
            file_sha256=left.sha256,
            detail=storable(detail, 1000),
        )
    )


def put_away(found: Recovered) -> None:
    """Move what the new log has told of to quarantine/; raises OSError.

    Only once it is told: a crash before that has it told at the next start, and at worst one in between twice.
    """
    for path, place in found.told:
        os.rename(path, place)
        fsync_path(place.parent)
        fsync_path(path.parent)


def _recorded(directory: LogDirectory, log: str, exchange_ids: list[str], leftovers: Sequence[Path]) -> set[str]:
    """Which of some exchanges have a decision in a log's published segments or its live files."""
    found: set[str] = set()
    for path in leftovers if exchange_ids else ():
        if _log_of(path) == log:
            live = LiveFile.open(path, directory.spill(log))
            found |= live.recorded(exchange_ids)
            live.close()
    return found | recorded_in_segments(directory, log, exchange_ids)


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


def _unknown(decision_seq: int, now: Instant, duration_ms: int) -> Completion:
    """The outcome of an exchange nobody saw the end of."""
    why = "the sidecar stopped before it could record how this exchange ended"
    return unanswered(decision_seq, now, Outcome.UNKNOWN_AFTER_CRASH, why, duration_ms=duration_ms)


def _now() -> Instant:
    return Instant(time.time_ns() // 1000)


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
