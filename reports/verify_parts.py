"""The checks that a log needs no other log for, most of the work of a verification: here, or in several processes.

Every process opens the evidence for itself and sees the logs of its share, with the custody records of all others.
What it found comes back whole, so the answer is the same in however many processes it was worked out.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any

from crawl_audit.errors import CrawlAuditError
from reports import verify_decisions, verify_records
from reports.evidence import DamagedError, Evidence, open_evidence
from reports.evidence_form import SegmentFiles
from reports.findings import Findings, Noted, Severity, Tally
from reports.steadiness import ChangedError
from reports.verify_seals import SealTree

JOBS_MAX = 8
"""More processes than that are only started where somebody asks for them."""
WORTH_IT_ROWS = 200_000
"""Below so many records starting processes takes longer than they save."""
_TELL_S = 0.2

Worked = Callable[[int], None]
"""Told how many more records were worked on."""


class LostError(CrawlAuditError):
    """A process of the verification ended before it had told what it found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What the checks on the records and decisions of one log came to."""

    tree: SealTree
    tally: Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a process tells of one log: its part, the findings, and the files that were proved unreadable."""

    part: Part
    noted: Noted
    refused: tuple[tuple[str, str], ...]


def part_of(evidence: Evidence, log: str, *, replay: bool, worked: Worked) -> Part:
    """Check the records of one log, then its decisions."""
    tally, tree = Tally(log=log), SealTree(log, [])
    with going_on(evidence.findings, "records", log, tally):
        tree = verify_records.check(evidence, log, evidence.findings, tally, worked)
    with going_on(evidence.findings, "decisions", log, tally):
        if evidence.findings.has_error("F3", log):  # nothing can be said of values that no record may have
            tally.skip("decisions", tally.decisions, "the log holds values that the schema forbids (F3)")
        else:
            verify_decisions.check(evidence, log, evidence.findings, tally, worked, replay=replay)
    return Part(tree=tree, tally=tally)


@contextmanager
def going_on(findings: Findings, name: str, log: str, tally: Tally) -> Iterator[None]:
    """A check that cannot read what it needs is not made: a finding, and the rest goes on."""
    try:
        yield
    except DamagedError as error:
        where = f"{log} {name}".strip()
        findings.add("F5", Severity.ERROR, where, f"This could not be checked to the end: {error}")
        tally.skip(f"checks on {name}", 1, "the evidence could not be read")


def parts(evidence: Evidence, *, jobs: int | None, replay: bool, worked: Worked) -> Mapping[str, Part]:
    """The part of every log, by name; ``evidence`` knows afterwards what they found.

    ``jobs``: how many processes, None: as many as are worth it.  Raises ChangedError where a log changed meanwhile.
    """
    rows = {log: sum(map(evidence.stated_rows, evidence.segments(log))) for log in evidence.logs}
    count = min(processes(jobs, sum(rows.values())), len(rows))
    if count < 2 or evidence.is_bundle:
        return {log: part_of(evidence, log, replay=replay, worked=worked) for log in evidence.logs}
    found = _together(str(evidence.root), shares(rows, count), replay, worked)
    for log in evidence.logs:
        evidence.findings.extend(found[log].noted)
        evidence.forget(found[log].refused)
    return {log: found[log].part for log in evidence.logs}


def processes(jobs: int | None, rows: int) -> int:
    """How many processes to work in."""
    if jobs is not None:
        return jobs
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(available, JOBS_MAX) if rows >= WORTH_IT_ROWS else 1


def shares(rows: Mapping[str, int], count: int) -> list[list[str]]:
    """The logs divided into so many shares of about as many records, each in order; the largest are dealt first."""
    dealt: list[list[str]] = [[] for _ in range(count)]
    weights = [0] * count
    for log in sorted(rows, key=lambda log: (-rows[log], log)):
        least = weights.index(min(weights))
        dealt[least].append(log)
        weights[least] += rows[log] + 1
    return [sorted(share) for share in dealt if share]


@dataclass(frozen=True, slots=True)
class Narrowed:
    """Of the segments of a directory those of some logs, and of the others their custody records."""

    logs: frozenset[str]

    def __call__(self, found: Sequence[SegmentFiles]) -> list[SegmentFiles]:
        """The segments to look at."""
        kept = [segment for segment in found if segment.log in self.logs or "custody" in segment.files]
        for segment in kept:
            if segment.log not in self.logs:
                for kind in [kind for kind in segment.files if kind != "custody"]:
                    del segment.files[kind]
        return kept


def _together(path: str, dealt: Sequence[Sequence[str]], replay: bool, worked: Worked) -> dict[str, Message]:
    spawning = multiprocessing.get_context("spawn")
    running: dict[Connection, Any] = {}
    found: dict[str, Message] = {}
    try:
        for share in dealt:
            ours, theirs = spawning.Pipe(duplex=False)
            process = spawning.Process(target=_work, args=(theirs, path, tuple(share), replay), daemon=True)
            with _uninterrupted():
                process.start()
                running[ours] = process
            theirs.close()
        while running:
            for ready in wait(list(running)):
                assert isinstance(ready, Connection)
                told = _told(ready, running[ready], path)
                if isinstance(told, int):
                    worked(told)
                else:
                    found |= told
                    running.pop(ready).join()
                    ready.close()
    finally:
        for connection, process in running.items():
            process.kill()
            process.join()
            connection.close()
    return found


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """What is started here takes no notice of Ctrl-C: that is for this process, once it has started it whole."""
    resource_tracker.ensure_running()  # it would unblock the signal when it starts
    noted: list[int] = []
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, lambda number, _: noted.append(number)) if is_main else None
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # what is started inherits it
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if is_main:
            signal.signal(signal.SIGINT, handler)
    if noted:
        raise KeyboardInterrupt


def _told(connection: Connection, process: Any, path: str) -> int | dict[str, Message]:
    """How many more records a process worked on, or at its end what it found."""
    try:
        told: int | dict[str, Message] | None = connection.recv()
    except EOFError:
        process.join()
        raise LostError(
            f"A process of the verification ended with {process.exitcode}, perhaps for want of memory:"
            " run it with `--jobs 1`."
        ) from None
    if told is None:
        raise ChangedError(path)
    return told


class _Telling:
    """Tells the parent how many records were worked on, a few times a second at most."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._untold = 0
        self._told_at = time.monotonic()

    def __call__(self, rows: int) -> None:
        self._untold += rows
        if time.monotonic() - self._told_at >= _TELL_S:
            self.tell()

    def tell(self) -> None:
        """Tell what is not told yet."""
        self._connection.send(self._untold)
        self._untold, self._told_at = 0, time.monotonic()


def _message(evidence: Evidence, log: str, replay: bool, worked: Worked) -> Message:
    before, refused = evidence.findings.mark(), len(evidence.refused)
    part = part_of(evidence, log, replay=replay, worked=worked)
    return Message(part=part, noted=evidence.findings.since(before), refused=tuple(evidence.refused[refused:]))


def _work(connection: Connection, path: str, logs: Sequence[str], replay: bool) -> None:
    """What a process does: the parts of its share, sent as its last message; None where a log changed."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    worked = _Telling(connection)
    try:
        with open_evidence(path, only=Narrowed(frozenset(logs)), threads=1) as evidence:
            found = {log: _message(evidence, log, replay, worked) for log in logs}
    except ChangedError:
        connection.send(None)
    else:
        worked.tell()
        connection.send(found)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
