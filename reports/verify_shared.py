"""The check B6: a robots.txt that a sidecar took over from another was fetched by that one as it says, on its record.

The log of who fetched it must hold the same answer of the same scope, complete at the same microsecond.  Where that log
is not here, or not here as a whole, the finding says so: then it cannot be known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from crawl_audit.records import SnapshotSource
from reports.evidence import Evidence
from reports.evidence_form import WITHHELD
from reports.findings import Findings, Severity, Tally
from reports.in_force import allowances

_OF_ITSELF = """
SELECT log, seq FROM {snapshots}
WHERE (source = $1) IS DISTINCT FROM (fetched_at IS NOT NULL AND origin_log IS NOT NULL)
   OR (fetched_at IS NULL) IS DISTINCT FROM (origin_log IS NULL) OR fetched_at > recorded_at
ORDER BY log, seq
"""
_NOT_FOUND = """
SELECT s.log, s.seq, s.origin_log, epoch_us(s.fetched_at)
FROM (SELECT * FROM {snapshots} WHERE source = $1 AND fetched_at IS NOT NULL AND origin_log IS NOT NULL) AS s
WHERE NOT EXISTS (
    SELECT 1 FROM (SELECT * FROM {snapshots} WHERE source = $2) AS o
    WHERE o.log = s.origin_log AND o.recorded_at = s.fetched_at AND o.scheme = s.scheme AND o.host = s.host
      AND o.port = s.port AND o.status IS NOT DISTINCT FROM s.status
      AND o.robots_sha256 IS NOT DISTINCT FROM s.robots_sha256
)
ORDER BY s.log, s.seq
"""


def check(evidence: Evidence, findings: Findings, tallies: Mapping[str, Tally]) -> None:
    """B6 over all logs; ``tallies`` as the other checks have filled them."""
    snapshots = evidence.relation("snapshot")
    shared = SnapshotSource.SHARED.value
    for log, seq in evidence.select(_OF_ITSELF.format(snapshots=snapshots), [shared]):
        message = "The snapshot's source, fetched_at and origin_log contradict one another."
        findings.add("B6", Severity.ERROR, f"{log} seq {seq}", message)
    origins = _Origins(evidence, tallies)
    unknown: Counter[tuple[str, str, str]] = Counter()
    not_found = _NOT_FOUND.format(snapshots=snapshots)
    for log, seq, origin, at in evidence.select(not_found, [shared, SnapshotSource.FETCHED.value]):
        if (why := origins.why_unknown(origin, at)) is not None:
            unknown[log, origin, why] += 1
            continue
        message = f"The snapshot is said to be shared by the log {origin}, which has no such fetch at that time."
        findings.add("B6", Severity.ERROR, f"{log} seq {seq}", message)
    for (log, origin, why), count in sorted(unknown.items()):
        many = f"{count:,} snapshots are" if count > 1 else "A snapshot is"
        findings.add("B6", Severity.WARNING, log, f"{many} said to be shared by the log {origin}, {why}.")


class _Origins:
    """What is known of the logs that are named as those of who fetched."""

    def __init__(self, evidence: Evidence, tallies: Mapping[str, Tally]) -> None:
        self._evidence = evidence
        self._tallies = tallies
        self._states: dict[str, tuple[str | None, int]] = {}

    def why_unknown(self, log: str, at: int) -> str | None:
        """Why it cannot be known whether ``log`` fetched something at that time; None: it can."""
        if log not in self._states:
            self._states[log] = self._state(log)
        why, known_until = self._states[log]
        if why is None and at > known_until:
            return "of which the records of that time are not sealed yet"
        return why

    def _state(self, log: str) -> tuple[str | None, int]:
        """(why nothing can be known of it, until when its records are here)."""
        tally = self._tallies.get(log)
        if tally is None or log not in self._evidence.logs:
            return "which is not here", 0
        refused = any(name == log for name, _ in self._evidence.refused)
        missing = tally.last_seq is None or tally.first_seq != 0 or tally.records < tally.last_seq + 1
        if refused or missing or WITHHELD in self._evidence.kinds(log):
            return "of which not all records are here", 0
        if tally.closed:
            return None, 2**63
        (last,) = self._evidence.select(
            f"SELECT max(epoch_us(recorded_at)) FROM {self._evidence.relation('seal', log)}"  # noqa: S608 - ours
        )
        # A snapshot is dated before its commit, so it may come after a seal that is dated a little later.
        return None, (last[0] or 0) - allowances({}).lag_us
