"""What the list of violations must say, computed from the records without a line of the reports' SQL."""

from __future__ import annotations

from typing import Any

import polars
from polars import DataFrame, col

from reports.period import Period

FORWARDED = col("action") == "forwarded"
DISALLOWED = col("verdict") == "disallowed"


def inside(frame: DataFrame, period: Period) -> DataFrame:
    """The rows recorded in the period."""
    made = frame
    if period.start is not None:
        made = made.filter(col("recorded_at") >= period.start)
    return made if period.end is None else made.filter(col("recorded_at") < period.end)


def expected(frames: dict[str, DataFrame], period: Period, rows_max: int = 10_000) -> dict[str, Any]:
    """The fields of the record that are counts or lists, at the internal level; the list as exchange ids."""
    made = inside(frames["decision"], period).with_columns(col("recorded_at").dt.strftime("%Y-%m-%d").alias("day"))
    found = made.filter(DISALLOWED & FORWARDED)
    listed = found.sort("recorded_at", "log", "seq").head(rows_max)
    endings = {
        (row["log"], row["decision_seq"]): row
        for row in frames["completion"]
        .join(listed, left_on=["log", "decision_seq"], right_on=["log", "seq"], how="semi")
        .to_dicts()
    }
    sites = _by(made, "site").filter(col("violation_count") > 0)
    return {
        "requests": made.height,
        "forwarded": made.filter(FORWARDED).height,
        "disallowed": made.filter(DISALLOWED).height,
        "violation_count": found.height,
        "blocked": made.filter(DISALLOWED & ~FORWARDED).height,
        "by_basis": _tally(found, "basis"),
        "by_mode": _tally(found, "mode"),
        "by_crawler": _by(made, "crawler").to_dicts(),
        "sites_with_violations": sites.height,
        "by_site": sites.sort(["violation_count", "site"], descending=[True, False])
        .head(rows_max)
        .drop("requests")
        .to_dicts(),
        "by_day": _by(made, "day").drop("requests").to_dicts(),
        "not_listed": found.height - listed.height,
        "violations": [
            {
                "exchange_id": row["exchange_id"],
                "seq": row["seq"],
                "rule": row["rule"],
                **{
                    name: endings.get((row["log"], row["seq"]), {}).get(there)
                    for name, there in (("outcome", "outcome"), ("status", "status"), ("bytes", "response_bytes"))
                },
            }
            for row in listed.to_dicts()
        ],
    }


def _tally(frame: DataFrame, name: str) -> dict[str, int]:
    return {row[name]: row["len"] for row in frame.group_by(name).len().sort(name).to_dicts()}


def _by(frame: DataFrame, name: str) -> DataFrame:
    return (
        frame.group_by(name)
        .agg(
            polars.len().cast(polars.Int64).alias("requests"),
            FORWARDED.sum().cast(polars.Int64).alias("forwarded"),
            DISALLOWED.sum().cast(polars.Int64).alias("disallowed"),
            (FORWARDED & DISALLOWED).sum().cast(polars.Int64).alias("violation_count"),
        )
        .sort(name)
    )
