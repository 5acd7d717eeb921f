"""Which robots.txt of a scope was in force until when: the sidecar's rules on its copies, told from snapshots alone.

A snapshot that the sidecar fetched replaces the one before.  One that a crawler fetched does so only where the sidecar
has no valid answer of its own.  While robots.txt is unreachable the last successful copy may stay in force, if the
settings say so.  Everything here is computed from one pass over the snapshots of a log, ordered by scope and ``seq``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from crawl_audit.records import RobotsOutcome, SnapshotSource

SECOND = 1_000_000
DAY_US = 86_400 * SECOND
# From looking a copy up to the date of the decision the rules may have to be compiled, a second for a file made to
# hurt, with others waiting for the same two threads.
_DECIDING_S = 5.0
# The longest waits that recorded settings may plead; larger ones are no excuse.
_COMMIT_MAX_S = 60.0
_HOLD_MAX_S = 60.0
_HOLD_DEFAULT_S = 10.0
_COMMIT_DEFAULT_S = 2.0
# How much later than its turn a held request may still be refused (the sidecar's own bound).
_DRIFT_S = 2.5


class Shot(NamedTuple):
    """What of a snapshot matters here; times in microseconds."""

    scheme: str
    host: str
    port: int
    seq: int
    recorded_at: int
    source: str
    outcome: str
    valid_until: int
    fetch_us: int  # how long before `recorded_at` it was asked for
    fetched_at: int | None = None  # of a shared one: when another sidecar had the answer

    @property
    def taken_at(self) -> int:
        """When the site gave this answer."""
        return self.recorded_at if self.fetched_at is None else self.fetched_at

    @property
    def reached(self) -> bool:
        """Whether the site answered."""
        return self.outcome != RobotsOutcome.UNREACHABLE


class Event(NamedTuple):
    """What the snapshot ``by_seq``, taken at ``by_at``, did to ``seq``: replaced it, or let it stand in."""

    seq: int
    by_seq: int
    by_at: int
    until: int | None  # it stands in for the unreachable ``by_seq``, which is to be asked for again then


class Allowances(NamedTuple):
    """What recorded settings grant: times in microseconds."""

    last_good_us: int  # how old a copy may be that stands in for an unreachable one; 0: none may
    lag_us: int  # how much later than a change a decision may be dated that was begun before it
    pace_lag_us: int  # the same for a request that was held for the pace and then refused


def allowances(settings: dict[str, Any]) -> Allowances:
    """What the settings of a run grant; defaults where a hostile log holds something else there."""
    commit_s = _number(settings, "logging", "commit_timeout_s", _COMMIT_DEFAULT_S, _COMMIT_MAX_S)
    hold_s = _number(settings, "pacing", "hold_max_s", _HOLD_DEFAULT_S, _HOLD_MAX_S)
    lag_s = _DECIDING_S + 2 * commit_s  # the commit of the snapshot, and that of the decision
    last_good_s = _number(settings, "robots", "last_good_copy_s", 0.0, 30 * 86_400.0)
    return Allowances(
        last_good_us=int(last_good_s * SECOND),
        lag_us=int(lag_s * SECOND),
        pace_lag_us=int((lag_s + hold_s + _DRIFT_S) * SECOND),
    )


def _number(settings: dict[str, Any], section: str, name: str, default: float, most: float) -> float:
    table = settings.get(section)
    value = table.get(name) if isinstance(table, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        return default
    return min(float(value), most)


def events(shots: Iterable[Shot], granted: Allowances) -> Iterator[Event]:
    """What became of each snapshot, in order; ``shots`` ordered by scheme, host, port and then ``seq``."""
    for _, _, caused in steps(shots, granted):
        yield from caused


def steps(shots: Iterable[Shot], granted: Allowances) -> Iterator[tuple[Shot, bool, list[Event]]]:
    """Each snapshot with whether it came into force and what it did to others; ``shots`` ordered as for events."""
    scope: _Scope | None = None
    for shot in shots:
        if scope is None or shot[:3] != scope.name:
            scope = _Scope(shot[:3], granted)
        caused = list(scope.add(shot))
        yield shot, scope.holds(shot), caused


class _Scope:
    """The snapshots of one scheme, host and port."""

    def __init__(self, name: tuple[str, str, int], granted: Allowances) -> None:
        self.name = name
        self._granted = granted
        self._held: Shot | None = None
        self._aside: Shot | None = None  # what a crawler fetched since: in force only if ``held`` had been forgotten
        self._good: tuple[Shot, ...] = ()  # may stand in for ``held``, which is unreachable
        self._recent: list[tuple[int, Shot]] = []  # (when replaced, what): in force when the next fetch was begun

    def add(self, shot: Shot) -> Iterator[Event]:
        """What a snapshot does to those before it."""
        if shot.source == SnapshotSource.OBSERVED and not shot.reached:
            return  # that a crawler could not reach it says nothing about us
        if not _comes_into_force(shot, self._held, self._granted):
            if self._aside is not None:
                yield self._replaced(self._aside, shot)
            self._aside = shot
            return
        before = [one for one in (self._held, self._aside, *self._good) if one is not None]
        good = self._standing_in(before, shot)
        for one in before:
            if one not in good:
                yield self._replaced(one, shot)
        yield from (Event(one.seq, shot.seq, shot.recorded_at, shot.valid_until) for one in good)
        self._held, self._aside, self._good = shot, None, good

    def holds(self, shot: Shot) -> bool:
        """Whether this snapshot is the one that came into force last."""
        return self._held is shot

    def _replaced(self, one: Shot, by: Shot) -> Event:
        self._recent.append((by.recorded_at, one))
        return Event(one.seq, by.seq, by.recorded_at, None)

    def _standing_in(self, before: list[Shot], shot: Shot) -> tuple[Shot, ...]:
        """The copies that may stay in force where ``shot`` is unreachable: those that were when it was asked for."""
        begun = shot.recorded_at - shot.fetch_us - self._granted.lag_us
        self._recent = [pair for pair in self._recent if pair[0] >= begun]
        if shot.reached or self._granted.last_good_us == 0:
            return ()
        candidates = dict.fromkeys((*before, *(one for _, one in self._recent)))
        return tuple(
            one
            for one in candidates
            if one.outcome == RobotsOutcome.SUCCESSFUL and shot.recorded_at - one.taken_at <= self._granted.last_good_us
        )


def _comes_into_force(shot: Shot, held: Shot | None, granted: Allowances) -> bool:
    """Whether a snapshot takes the place of ``held`` for certain."""
    if shot.source != SnapshotSource.OBSERVED:
        return True
    if held is None or not held.reached or held.source == SnapshotSource.OBSERVED:
        return True
    # Around the end of its term either may be in force: the answer is judged once its record is durable.
    return shot.recorded_at > held.valid_until + granted.lag_us or shot.recorded_at < held.recorded_at
