"""How the pace of requests compares with the pace that sites ask for, by Crawl-delay and Request-rate."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from crawl_audit.target import Scope
from reports.fields import Field, Form, Show
from reports.log import Log, Row
from reports.period import Period

# What a person still reads; `crawl-audit query` has the rest.
AUTHORITIES_MAX = 20


_PACE = (
    Field(name="asked", form=Form.COUNT, meaning="forwarded requests for which a pace was asked"),
    Field(name="faster_than_asked", form=Form.COUNT, meaning="of these, those that came faster"),
    Field(
        name="shortest_interval_ms", form=Form.COUNT, meaning="shortest interval to the one before", public=Show.AS_IS
    ),
    Field(name="median_interval_ms", form=Form.COUNT, meaning="median of the intervals", public=Show.AS_IS),
    Field(name="held", form=Form.COUNT, meaning="requests held back for the pace"),
)
FIELD = Field(
    name="pace",
    form=Form.RECORD,
    meaning="pace asked by Crawl-delay or Request-rate, and kept",
    asked_by="CBCP 3",
    fields=_PACE,
)
BY_AUTHORITY = Field(
    name="pace_by_authority",
    form=Form.RECORDS,
    key="authority",
    meaning=f"where a pace was asked, kept least first, at most {AUTHORITIES_MAX}",
    label="Pace by authority",
    public=Show.WITHHELD,
    reason="trade_secret",
    note="names hosts; the pace in all is given, that at each goes to regulators",
    fields=(
        Field(name="authority", form=Form.TEXT, meaning="scheme, host and port"),
        Field(name="asked_ms", form=Form.COUNT, meaning="longest pace asked, in milliseconds"),
        *_PACE,
    ),
)


def pace(row: Row) -> dict[str, Any]:
    """The figures of one crawler or site.

    Of forwarded requests for which a pace was asked: how many, how many came faster than asked, and the shortest and
    the median interval since the previous request of the same crawler to the same scheme, host and port.  The first
    request to each has no interval; of two that may be the median, it is the shorter one.
    """
    return {
        "asked": row["pace_asked"],
        "faster_than_asked": row["faster_than_asked"],
        "shortest_interval_ms": row["shortest_interval_ms"],
        "median_interval_ms": row["median_interval_ms"],
        "held": row["held"],
    }


def by_authority(log: Log, period: Period) -> dict[str, list[dict[str, Any]]]:
    """crawler → the authorities that asked for a pace, at most 20 each, those where it was kept least first."""
    made: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in log.rows("activity_pace", **period.parameters):
        if len(made[row["crawler"]]) < AUTHORITIES_MAX:
            authority = f"{row['scheme']}://{Scope(row['scheme'], row['host'], row['port']).authority}"
            asked = {"authority": authority, "asked_ms": row["asked_ms"]}
            made[row["crawler"]].append({**asked, **pace(row)})
    return dict(made)
