"""The checks on decisions: that each rests on the robots.txt in force, is decided so again, and came to its end.

This module reads what all of them need of a log and cuts the log into windows, so that memory stays bounded; the
checks themselves are in verify_snapshots.py (B), verify_replay.py (D) and verify_exchanges.py (C, G).
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from reports.declared import Declared
from reports.evidence import Evidence
from reports.evidence_form import WITHHELD, SegmentFiles
from reports.findings import Findings, Severity, Tally
from reports.in_force import Allowances, allowances
from reports.recorded_settings import settings_object

_WINDOW_RECORDS = 400_000

Progress = Callable[[int], None]
"""Told how many more records were worked on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A part of a log: some segments of it, or in a bundle a range of ``seq``."""

    evidence: Evidence
    segments: Sequence[SegmentFiles]
    between: tuple[int, int] | None  # first and last seq; None: all of the segments
    records: int

    def relation(self, kind: str) -> str:
        """SQL of the rows of ``kind`` in this part."""
        all_rows = self.evidence.relation(kind, segments=self.segments)
        if self.between is None:
            return all_rows
        first, last = self.between
        return f"(SELECT * FROM {all_rows} WHERE seq BETWEEN {first} AND {last})"  # noqa: S608 - numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One log under check, with what is known of it beforehand."""

    evidence: Evidence
    log: str
    findings: Findings
    tally: Tally
    settings: dict[str, Any] | None  # None: the log has no record of its start
    declared: Declared | None  # by the settings
    granted: Allowances  # by the settings
    parser: str | None  # what judged, as the start says
    seals: tuple[tuple[int, int], ...]  # (seq, when), in order
    gaps: tuple[tuple[int, int], ...]  # (from, to): when records could not be made durable in time
    partial: bool  # whether rows are withheld or pruned, so that what is missing may be among them

    def error(self, check: str, seq: int | None, message: str) -> None:
        """An error at a record."""
        self.add(check, Severity.ERROR, seq, message)

    def add(self, check: str, severity: Severity, seq: int | None, message: str) -> None:
        """A finding at a record, or about the whole log."""
        self.findings.add(check, severity, self.log if seq is None else f"{self.log} seq {seq}", message)

    def run(self, sql: str, parameters: Sequence[Any] | None = None) -> None:
        """Run a statement of ours on tables of ours; raises DamagedError where the evidence cannot be read."""
        for _ in self.evidence.select(sql, parameters):
            pass

    def in_gap(self, at: int) -> bool:
        """Whether a record of that time may have been entered late, so that its place says nothing about its time."""
        lag = self.granted.lag_us
        return any(first - lag <= at <= last + lag for first, last in self.gaps)

    def sealed_by(self, after: int, before: int) -> int | None:
        """When the last seal between two records was made; None where there is none."""
        index = bisect_left(self.seals, (before,)) - 1
        return self.seals[index][1] if index >= 0 and self.seals[index][0] > after else None


def check(
    evidence: Evidence,
    log: str,
    findings: Findings,
    tally: Tally,
    progress: Progress | None = None,
    *,
    replay: bool = True,
) -> None:
    """All checks B, D, C1, C2 and G2 on one log; without ``replay`` the decisions count as not checked."""
    from reports import verify_exchanges, verify_replay, verify_snapshots

    subject = subject_of(evidence, log, findings, tally)
    snapshots = verify_snapshots.read(subject)
    bodies = verify_replay.read_bodies(subject, snapshots)
    exchanges = verify_exchanges.Exchanges(subject)
    replays = verify_replay.Replays(subject, bodies, replay=replay)
    for window in windows(evidence, log):
        snapshots.check(window)
        exchanges.check(window)
        replays.check(window)
        if progress is not None:
            progress(window.records)
    replays.finish()
    exchanges.finish()
    verify_exchanges.check_gaps(subject)


def windows(evidence: Evidence, log: str) -> Iterator[Window]:
    """The parts of a log in order, each small enough to be sorted in memory."""
    chosen: list[SegmentFiles] = []
    records = 0
    for segment in evidence.segments(log):
        rows = evidence.stated_rows(segment)
        if segment.last - segment.first >= 2 * _WINDOW_RECORDS and len(evidence.segments(log)) == 1:
            for first in range(segment.first, segment.last + 1, _WINDOW_RECORDS):
                between = (first, min(first + _WINDOW_RECORDS - 1, segment.last))
                yield Window(evidence=evidence, segments=[segment], between=between, records=_WINDOW_RECORDS)
            return
        if chosen and records + rows > _WINDOW_RECORDS:
            yield Window(evidence=evidence, segments=chosen, between=None, records=records)
            chosen, records = [], 0
        chosen.append(segment)
        records += rows
    if chosen:
        yield Window(evidence=evidence, segments=chosen, between=None, records=records)


def subject_of(evidence: Evidence, log: str, findings: Findings, tally: Tally) -> Subject:
    """What the checks need to know of a log before they look at its decisions."""
    starts = evidence.rows("run", log, ("seq", "settings", "software"), "event = 'start'", "seq")
    start = next(starts, None)
    seals = tuple(evidence.rows("seal", log, ("seq", "recorded_at"), order="seq"))
    gaps = evidence.rows("gap", log, ("first_at", "last_at"))
    settings = None if start is None else settings_object(start[1])
    present, withheld = _counts(evidence, log)
    return Subject(
        evidence=evidence,
        log=log,
        findings=findings,
        tally=tally,
        settings=settings,
        declared=None if settings is None else Declared.by(settings),
        granted=allowances(settings or {}),
        parser=None if start is None else _parser(start[2]),
        seals=tuple((seq, at) for seq, at in seals if seq is not None and at is not None),
        gaps=tuple((first, last) for first, last in gaps),
        partial=withheld > 0 or (bool(seals) and present < seals[-1][0] + 1),
    )


def _counts(evidence: Evidence, log: str) -> tuple[int, int]:
    """How many records of a log are given, and of how many of these only the leaf."""
    kinds = evidence.kinds(log)
    if not kinds:
        return 0, 0
    counts = ", ".join(f"(SELECT count(*) FROM {evidence.relation(kind, log)})" for kind in kinds)  # noqa: S608 - ours
    (row,) = evidence.select(f"SELECT {counts}")
    return sum(row), row[kinds.index(WITHHELD)] if WITHHELD in kinds else 0


def _parser(software: str) -> str | None:
    try:
        said = json.loads(software)
    except (ValueError, RecursionError, TypeError):
        return None
    parser = said.get("parser") if isinstance(said, dict) else None
    return parser if isinstance(parser, str) else None
