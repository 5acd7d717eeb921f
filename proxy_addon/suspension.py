"""A time in which nothing could be recorded, and so nothing left: why, since when, and what the log says of it."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

from crawl_audit.records import Incident, Instant
from crawl_audit.text import storable

DISK_RESERVE = "audit_disk_reserve"
UNAVAILABLE = "audit_log_unavailable"
COMMIT_TIMEOUT = "audit_commit_timeout"
BACKPRESSURE = "audit_backpressure"
CLOSED = "audit_log_closed"


@dataclass(slots=True)
class Tally:
    """Requests refused because they could not be recorded: how many for each reason, and from when to when."""

    counts: Counter[str] = field(default_factory=Counter)
    first_at: Instant | None = None
    last_at: Instant | None = None

    def add(self, reason: str, at: Instant) -> None:
        """One more."""
        self.counts[reason] += 1
        self.first_at = at if self.first_at is None else self.first_at
        self.last_at = at

    def before(self, later: Tally) -> Tally:
        """This one and a later one together."""
        return Tally(
            self.counts + later.counts,
            later.first_at if self.first_at is None else self.first_at,
            self.last_at if later.last_at is None else later.last_at,
        )

    def sentence(self) -> str | None:
        """What the log says of them; None where there are none."""
        if self.first_at is None or self.last_at is None:
            return None
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(self.counts.items()))
        total = sum(self.counts.values())
        return (
            f"{total} request{'s' if total != 1 else ''} refused from {_iso(self.first_at)} to {_iso(self.last_at)}"
            f" ({reasons})"
        )


class Refusals:
    """The tally that the log does not have yet; added to by the event loop, taken by whoever writes it down."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tally = Tally()

    def add(self, reason: str, at: Instant) -> None:
        """One request was refused."""
        with self._lock:
            self._tally.add(reason, at)

    def take(self) -> Tally:
        """All there are; from now on it is the caller's to write them down, or to :meth:`give_back`."""
        with self._lock:
            taken, self._tally = self._tally, Tally()
            return taken

    def give_back(self, taken: Tally) -> None:
        """They could not be written down."""
        with self._lock:
            self._tally = taken.before(self._tally)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspension:
    """Why nothing is accepted, since when, and whether the log already says so."""

    reason: str
    sentence: str
    since: Instant
    recorded: bool = False

    def incidents(self, now: Instant, *, over: bool, refused: Tally | None = None) -> list[Incident]:
        """What the log does not say yet: that it began, and where it is over that it ended and what was refused."""
        found = [] if self.recorded else [_incident("log_suspended", self.since, self.sentence)]
        if over:
            seconds = max(0, now - self.since) // 1_000_000
            counted = (refused.sentence() if refused else None) or "no request refused"
            found.append(
                _incident(
                    "log_resumed", now, f"No request could be recorded for {seconds} s, {counted}: {self.sentence}"
                )
            )
        return found


def refused_incident(taken: Tally, now: Instant) -> Incident | None:
    """Refusals outside a suspension, for example for a commit that took too long; None where there are none."""
    sentence = taken.sentence()
    return None if sentence is None else _incident("requests_refused", now, f"{sentence}: none of them left.")


def _incident(word: str, at: Instant, detail: str) -> Incident:
    return Incident(
        recorded_at=at, incident=word, exchange_id=None, crawler=None, client=None, detail=storable(detail, 1000)
    )


def _iso(at: Instant) -> str:
    return datetime.fromtimestamp(at / 1_000_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
