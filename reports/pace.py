"""How the pace of requests compares with the pace that sites ask for, by Crawl-delay and Request-rate."""

from __future__ import annotations

from typing import Any

from reports import levels
from reports.levels import Level
from reports.log import Row


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
