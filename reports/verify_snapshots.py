"""The checks B2, B4 and B5: every decision rests on a snapshot of its own scope that was in force at the time.

B4 is exact in what it allows: a decision that was begun before a new snapshot was durable may be recorded after it, so
one is dated within the time that deciding and two commits may take, or it did not use the latest snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from crawl_audit.records import Action, Basis, RobotsOutcome
from reports.findings import Severity
from reports.in_force import DAY_US, SECOND, Shot, events
from reports.verify_decisions import Subject, Window

_BATCH = 10_000

_SNAPSHOTS = """
CREATE OR REPLACE TABLE verify_snapshot AS
SELECT scheme, host, port, seq, epoch_us(recorded_at) AS recorded_at, source, outcome,
       epoch_us(valid_until) AS valid_until, robots_sha256, fetch_ms * 1000 AS fetch_us,
       epoch_us(fetched_at) AS fetched_at, epoch_us(coalesce(fetched_at, recorded_at)) AS taken_at
FROM {relation}
"""
_EVENTS = "CREATE OR REPLACE TABLE verify_event (seq BIGINT, by_seq BIGINT, by_at BIGINT, until BIGINT)"
_INSERT = """
INSERT INTO verify_event SELECT unnest($1::BIGINT[]), unnest($2::BIGINT[]), unnest($3::BIGINT[]), unnest($4::BIGINT[])
"""
# Decisions that may not rest on what they name, with everything needed to tell.
_SUSPECT = """
SELECT d.seq, epoch_us(d.recorded_at), d.basis, d.action, d.snapshot_seq, s.seq, s.recorded_at, s.taken_at, s.outcome,
       s.valid_until,
       (s.scheme, s.host, s.port) IS DISTINCT FROM (d.scheme, d.host, d.port),
       s.robots_sha256 IS DISTINCT FROM d.robots_sha256, e.by_seq, e.by_at, e.until
FROM {decisions} AS d
LEFT JOIN verify_snapshot AS s ON s.seq = d.snapshot_seq
ASOF LEFT JOIN verify_event AS e ON e.seq = d.snapshot_seq AND d.seq > e.by_seq
WHERE CASE WHEN d.snapshot_seq IS NULL THEN d.basis NOT IN ('robots_txt', 'error') OR d.robots_sha256 IS NOT NULL
      ELSE s.seq IS NULL OR s.seq >= d.seq OR e.by_seq IS NOT NULL
           OR (s.scheme, s.host, s.port) IS DISTINCT FROM (d.scheme, d.host, d.port)
           OR s.robots_sha256 IS DISTINCT FROM d.robots_sha256
           OR epoch_us(d.recorded_at) > s.valid_until OR epoch_us(d.recorded_at) > s.taken_at + 86400000000
           OR epoch_us(d.recorded_at) < s.recorded_at END
ORDER BY d.seq
"""


def read(subject: Subject) -> Snapshots:
    """The snapshots of a log, those of other scopes kept apart, and when each was replaced."""
    evidence, log = subject.evidence, subject.log
    subject.run(_SNAPSHOTS.format(relation=evidence.relation("snapshot", log)))
    subject.run(_EVENTS)
    shots = evidence.select(
        "SELECT scheme, host, port, seq, recorded_at, source, outcome, valid_until, fetch_us, fetched_at"
        " FROM verify_snapshot ORDER BY scheme, host, port, seq"
    )
    found = events(map(Shot._make, shots), subject.granted)
    while batch := list(islice(found, _BATCH)):
        subject.run(_INSERT, [list(column) for column in zip(*batch, strict=True)])
    return Snapshots(subject)


class Snapshots:
    """The snapshots of one log, against which its decisions are checked."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._check_terms()

    def successful_without_digest(self) -> Iterator[tuple[int, str | None]]:
        """(seq, digest) of every snapshot that must have octets; no digest where it names none."""
        rows = self._subject.evidence.select(
            "SELECT seq, robots_sha256 FROM verify_snapshot WHERE robots_sha256 IS NOT NULL OR outcome = $1",
            [RobotsOutcome.SUCCESSFUL.value],
        )
        yield from ((seq, digest) for seq, digest in rows)

    def check(self, window: Window) -> None:
        """B2, B4 and B5 for the decisions of one window."""
        for row in self._subject.evidence.select(_SUSPECT.format(decisions=window.relation("decision"))):
            self._check(*row)

    def _check_terms(self) -> None:
        """B5: no snapshot may claim to hold longer than RFC 9309 2.4 lets it."""
        for seq, at, until in self._subject.evidence.select(
            "SELECT seq, taken_at, valid_until FROM verify_snapshot WHERE valid_until - taken_at > $1 ORDER BY seq",
            [DAY_US + SECOND],
        ):
            hours = (until - at) / (3600 * SECOND)
            self._subject.error("B5", seq, f"The snapshot claims to hold for {hours:.1f} hours (RFC 9309 2.4: 24).")

    def _check(
        self,
        seq: int,
        at: int,
        basis: str,
        action: str,
        named: int | None,
        snapshot: int | None,
        *rest: Any,
    ) -> None:
        if named is None:
            self._subject.error("B2", seq, f"The decision ({basis}) names no snapshot of robots.txt.")
        elif snapshot is None:
            self._missing(seq, named)
        elif snapshot >= seq:
            self._subject.error("B2", seq, f"The decision rests on snapshot {named}, which comes after it.")
        else:
            self._check_named(seq, at, basis, action, snapshot, *rest)

    def _missing(self, seq: int, named: int) -> None:
        if self._subject.partial:
            why = f"The snapshot {named} is not here; rows of this log are withheld or pruned."
            self._subject.add("B2", Severity.WARNING, seq, why)
        else:
            self._subject.error("B2", seq, f"The decision rests on snapshot {named}, which is not in the log.")

    def _check_named(
        self,
        seq: int,
        at: int,
        basis: str,
        action: str,
        snapshot: int,
        recorded: int,
        taken: int,
        outcome: str,
        valid_until: int,
        other_scope: bool,
        other_digest: bool,
        by_seq: int | None,
        by_at: int | None,
        stood_in_until: int | None,
    ) -> None:
        subject, granted = self._subject, self._subject.granted
        lag = granted.pace_lag_us if basis == Basis.CRAWL_DELAY else granted.lag_us
        if other_scope:
            subject.error("B2", seq, f"The snapshot {snapshot} is of another scheme, host or port.")
        if other_digest:
            subject.error("B2", seq, f"The snapshot {snapshot} names another robots.txt than the decision.")
        if basis == Basis.ROBOTS_TXT:
            return
        if by_seq is not None and by_at is not None and stood_in_until is None:
            # A forwarded request was on record before it left, so a seal before its record bounds its date from below.
            sealed = None if subject.in_gap(at) or action != Action.FORWARDED else subject.sealed_by(by_seq, seq)
            if max(at, at if sealed is None else sealed) > by_at + lag:
                subject.error(
                    "B4", seq, f"The decision rests on snapshot {snapshot}; the later {by_seq} was in force by then."
                )
        if at < recorded - SECOND:
            subject.add("B5", Severity.WARNING, seq, f"The decision is dated before its snapshot {snapshot} was taken.")
        # Until when it stood in for an unreachable one, or was on the way to be replaced after that.
        until = stood_in_until if stood_in_until is not None else by_at
        stands_in = (
            outcome == RobotsOutcome.SUCCESSFUL
            and until is not None
            and at <= until + lag
            and granted.last_good_us > 0
            and at <= taken + granted.last_good_us + lag
        )
        if stands_in:
            return
        if at > valid_until + lag:
            late = (at - valid_until) / SECOND
            subject.error("B5", seq, f"The snapshot {snapshot} had been invalid for {late:.1f} s.")
        elif at > taken + DAY_US + lag:
            subject.error("B5", seq, f"The snapshot {snapshot} was older than 24 hours (RFC 9309 2.4).")
