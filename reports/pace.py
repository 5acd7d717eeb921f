"""How the pace of requests compares with the pace that sites ask for, by Crawl-delay and Request-rate."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from crawl_audit.target import Scope
from reports import levels
from reports.levels import Level
from reports.log import Log, Row
from reports.period import Period

# What a person still reads; `crawl-audit query` has the rest.
AUTHORITIES_MAX = 20


def pace(row: Row, level: Level) -> dict[str, Any]:
    """The figures of one crawler or site.

    Of forwarded requests for which a pace was asked: how many, how many came faster than asked, and the shortest and
    the median interval since the previous request of the same crawler to the same scheme, host and port.  The first
    request to each has no interval; of two that may be the median, it is the shorter one.
    """
    return {
        "asked": levels.count(row["pace_asked"], level),
        "faster_than_asked": levels.count(row["faster_than_asked"], level),
        "shortest_interval_ms": row["shortest_interval_ms"],
        "median_interval_ms": row["median_interval_ms"],
        "held": levels.count(row["held"], level),
    }


def by_authority(log: Log, period: Period) -> dict[str, list[dict[str, Any]]]:
    """crawler → the authorities that asked for a pace, at most 20 each, those where it was kept least first."""
    made: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in log.rows("activity_pace", **period.parameters):
        if len(made[row["crawler"]]) < AUTHORITIES_MAX:
            authority = f"{row['scheme']}://{Scope(row['scheme'], row['host'], row['port']).authority}"
            asked = {"authority": authority, "asked_ms": row["asked_ms"]}
            made[row["crawler"]].append({**asked, **pace(row, Level.INTERNAL)})
    return dict(made)
