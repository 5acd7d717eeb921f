"""What a dead process left behind is finished: its exchanges get an outcome, its log a last seal, its files a place.

Runs before a new log is begun, while this process holds the log directory or, where several write there, the locks of
the logs.  Finishing is quick; turning the finished live files into segments is not, and is left to the new log's
publisher.  Nothing is deleted that was not read back out of a published segment, and what cannot be opened is kept in
quarantine/.
"""

from __future__ import annotations

import logging
import re
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
from crawl_audit.records import Gap, Incident
from crawl_audit.text import first_line, storable
from proxy_addon import emergency, torn_tail
from proxy_addon.chain import Chain
from proxy_addon.clock import now_us
from proxy_addon.live import LiveFile, remove
from proxy_addon.log_directory import LogDirectory, fsync_path, started_key
from proxy_addon.log_end import End, Known, append_end
from proxy_addon.published_log import grown, published_seals, recorded_in_segments
from proxy_addon.quarantine import condemned, free_place, incident, is_damage, put_away

logger = logging.getLogger("crawl_audit.recovery")

_HALF_MADE = re.compile(r"\.[0-9]{6}\.duckdb.*")
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
    orphans: list[int] = field(default_factory=list)  # of each log: exchanges that got `unknown_after_crash`


def finish(
    directory: LogDirectory,
    *,
    ours: Callable[[str], bool] = bool,
    previous_of: Callable[[Sequence[str]], str | None] = lambda logs: logs[-1] if logs else None,
) -> Recovered:
    """Finish every log that has a live file; raises ConfigurationError where the disk or another process forbids it.

    ``ours``: which of them, where other processes write there too; ``previous_of`` chooses, of all logs in their order,
    the one that the new log comes after.
    """
    found = Recovered()
    try:
        _remove_half_made(directory, ours, found)
        for log, group in groupby(directory.live_files(), key=lambda item: item[0]):
            if ours(log):
                _recover_log(directory, log, [path for _, _, path in group], found)
        for path in sorted(directory.path.glob(emergency.PATTERN)):
            if ours(path.name.removesuffix(emergency.SUFFIX)):
                _take_emergency(directory, path, found)
        previous = previous_of(_in_order(directory, found))
        if previous is not None and previous not in [_log_of(path) for path in found.leftovers] and ours(previous):
            _check_previous(directory, previous, found)
    except (OSError, duckdb.Error, LogFormatError) as error:
        raise _unfinished(directory, error) from error
    return replace(found, previous_log=previous)


def give_up(directory: LogDirectory, path: Path, why: str, tell: Callable[[Sequence[Incident]], object]) -> None:
    """Put away a finished live file that turned out not to hold what it must, once the new log has been told of it."""
    log = _log_of(path)
    place, told = condemned(directory, path, why)
    incidents = [told]
    grown(directory, log, published_seals(directory, log), incidents)
    tell(incidents)
    put_away(path, place)


def _unfinished(directory: LogDirectory, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"The log directory {directory.path} holds records of an earlier run that cannot be finished now:"
        f" {first_line(error)}; mend that and start again, nothing is lost."
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


def _remove_half_made(directory: LogDirectory, ours: Callable[[str], bool], found: Recovered) -> None:
    for path in sorted(directory.live.glob("*.duckdb.*")):
        log = _HALF_MADE.sub("", path.name)
        if path.name.endswith((".duckdb.new", ".duckdb.new.wal")) and ours(log):
            path.unlink()  # never held a record: live files are renamed before the first one
        elif path.name.endswith((".duckdb.wal", ".duckdb.front")) and not path.with_suffix("").exists() and ours(log):
            missing = path.with_suffix("")
            if missing not in [source for source, _ in found.told]:
                _condemn(directory, missing, "its database file is missing", found)
    fsync_path(directory.live)


def _condemn(directory: LogDirectory, path: Path, why: str, found: Recovered) -> None:
    place, told = condemned(directory, path, why)
    found.told.append((path, place))
    found.incidents.append(told)


def _recover_log(directory: LogDirectory, log: str, paths: list[Path], found: Recovered) -> None:
    known = Known(directory, log)
    paths = _without_unused(directory, paths, known, found)
    rows = 0
    for path in paths:
        try:
            count = _finish_file(directory, path, known, found, last=path is paths[-1])
        except (LogFormatError, RecordError, duckdb.Error) as error:
            if not is_damage(error):
                raise
            _condemn(directory, path, first_line(error), found)
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


def _check_previous(directory: LogDirectory, log: str, found: Recovered) -> None:
    """Compare the last log with its checkpoint; damage to what is published for good does not forbid a start."""
    try:
        _check_head(directory, log, published_seals(directory, log), found)
    except (LogFormatError, duckdb.Error) as error:
        if not is_damage(error):
            raise
        why = f"The seals of {log} cannot be read from its segments: {first_line(error)}"
        logger.error("%s", why)
        found.incidents.append(incident("checkpoint_mismatch", why))


def _check_head(
    directory: LogDirectory, log: str, sealed: Sequence[tuple[int, dict[str, Any]]], found: Recovered
) -> Chain | None:
    chain = grown(directory, log, sealed, found.incidents)
    if chain is not None:
        found.chains.append(chain)
    return chain


def _without_unused(directory: LogDirectory, paths: list[Path], known: Known, found: Recovered) -> list[Path]:
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
        except (duckdb.Error, LogFormatError) as error:
            if not is_damage(error):
                raise
            _condemn(directory, path, first_line(error), found)
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
        logger.warning("The end of the live file %s is torn and is cut off: %s", path.name, first_line(error))
        found.incidents.append(torn_tail.cut(directory, path, at))
    return opening()


def _finish_file(directory: LogDirectory, path: Path, known: Known, found: Recovered, *, last: bool) -> int:
    """How many records a live file holds; the last one of a log gets what its process did not write any more."""
    live = _open(directory, path, found)
    try:
        extent = live.extent()
        known.take(live)
        if extent.first is not None and extent.last is not None and extent.rows != extent.last - extent.first + 1:
            raise LogFormatError(f"The live file {path.name} has a gap in its records")
        published = extent.last is not None and extent.last <= known.published
        if last and not published and (extent.rows or known.seals):
            end = End(
                known, max(known.seals, default=-1), known.published + 1 if extent.first is None else extent.first
            )
            for body in live.entries(after=end.chain.next_seq - 1):
                end.add(schema.parse_entry(body))
            if not end.closed:
                found.orphans.append(append_end(directory, live, end, known, now_us()))
        return live.extent().rows
    finally:
        live.close()


def _take_emergency(directory: LogDirectory, path: Path, found: Recovered) -> None:
    """Requests that left unrecorded (`fail_open`) and were not entered before the process died: told, and kept."""
    left = emergency.read(path)
    if left is None:
        path.unlink()
        return
    names = [name for name, _ in left.decisions]
    recorded = _recorded(directory, left.log, names, found.leftovers)
    times = [at for name, at in left.decisions if name not in recorded]
    place = free_place(directory, path)
    found.told.append((path, place))
    requests, at = len(times) + left.not_kept, now_us()
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


def put_all_away(found: Recovered) -> None:
    """Move what the new log has told of to quarantine/; raises OSError.

    Only once it is told: a crash before that has it told at the next start, and at worst one in between twice.
    """
    for path, place in found.told:
        put_away(path, place)


def _recorded(directory: LogDirectory, log: str, exchange_ids: list[str], leftovers: Sequence[Path]) -> set[str]:
    """Which of some exchanges have a decision in a log's published segments or its live files."""
    found: set[str] = set()
    for path in leftovers if exchange_ids else ():
        if _log_of(path) == log:
            live = _patiently(partial(LiveFile.open, path, directory.spill(log)))
            try:
                found |= live.recorded(exchange_ids)
            finally:
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
