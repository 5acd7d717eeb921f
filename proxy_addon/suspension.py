"""A time in which nothing could be recorded, and so nothing left: why, since when, and what the log says of it."""

from __future__ import annotations

from dataclasses import dataclass

from crawl_audit.records import Incident, Instant
from crawl_audit.text import storable

DISK_RESERVE = "audit_disk_reserve"
UNAVAILABLE = "audit_log_unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspension:
    """Why nothing is accepted, since when, and whether the log already says so."""

    reason: str
    sentence: str
    since: Instant
    recorded: bool = False

    def incidents(self, now: Instant, *, over: bool) -> list[Incident]:
        """What the log does not say yet: that it began, and where it is over that it ended."""
        found = [] if self.recorded else [_incident("log_suspended", self.since, self.sentence)]
        if over:
            seconds = max(0, now - self.since) // 1_000_000
            found.append(_incident("log_resumed", now, f"Nothing was accepted for {seconds} s: {self.sentence}"))
        return found


def _incident(word: str, at: Instant, detail: str) -> Incident:
    return Incident(
        recorded_at=at, incident=word, exchange_id=None, crawler=None, client=None, detail=storable(detail, 1000)
    )
