"""What the Japanese statement must show of a log, computed from its records without a line of the reports' SQL."""

from __future__ import annotations

from datetime import datetime
from statistics import median_low
from typing import Any

import polars
from polars import DataFrame, col

from reports.period import Period

NO_PREFERENCE = ("crawl-delay", "request-rate", "visit-time", "retry-after", "web-bot-auth")


def expected(frames: dict[str, DataFrame], period: Period) -> dict[str, Any]:
    """``crawlers`` by id, ``signals`` by protocol and ``log_span``."""
    decisions = inside(frames["decision"], period)
    ended = frames["completion"].select("log", col("decision_seq").alias("seq"), "status", "barrier")
    joined = decisions.join(ended, on=["log", "seq"], how="left")
    ids = sorted(decisions["crawler"].unique().to_list())
    return {
        "crawlers": {name: crawler(joined.filter(col("crawler") == name)) for name in ids},
        "signals": signals(inside(frames["signal"], period)),
        "log_span": span(frames),
    }


def inside(frame: DataFrame, period: Period) -> DataFrame:
    """The records of the period: its end is not included."""
    if period.start is not None:
        frame = frame.filter(col("recorded_at") >= period.start)
    return frame if period.end is None else frame.filter(col("recorded_at") < period.end)


def crawler(rows: DataFrame) -> dict[str, Any]:
    """One crawler's numbers."""
    sent = rows.filter(col("action") == "forwarded")
    refused = rows.filter(col("verdict") == "disallowed")
    intervals = sent["since_previous_ms"].drop_nulls().to_list()
    asked = sent.with_columns(polars.max_horizontal("crawl_delay_ms", "request_interval_ms").alias("asked_ms"))
    barriers = rows["barrier"].drop_nulls().to_list()
    return {
        "product_tokens": sorted(set(rows["product_token"].to_list())),
        "requests": rows.height,
        "without_token": rows["token_in_user_agent"].to_list().count(False),
        "evaluated": sum(basis not in ("robots_txt", "error") for basis in rows["basis"].to_list()),
        "disallowed": refused.height,
        "denied": refused["action"].to_list().count("denied"),
        "violations": refused["action"].to_list().count("forwarded"),
        "forwarded": sent.height,
        "collection_from": sent["recorded_at"].min(),
        "collection_to": sent["recorded_at"].max(),
        "shortest_interval_ms": min(intervals, default=None),
        "median_interval_ms": median_low(intervals) if intervals else None,
        "pace_asked": asked.filter(col("asked_ms") > 0).height,
        "faster_than_asked": asked.filter(col("since_previous_ms") < col("asked_ms")).height,
        "slow_down_answers": sum(status in (429, 503) for status in rows["status"].to_list()),
        "barriers": {name: barriers.count(name) for name in sorted(set(barriers))},
    }


def signals(rows: DataFrame) -> dict[str, Any]:
    """How often, from when and until when each protocol's preferences were recorded."""
    kept = rows.filter(~col("protocol").is_in(NO_PREFERENCE))
    return {
        name: {"found": group.height, "first_at": group["recorded_at"].min(), "last_at": group["recorded_at"].max()}
        for (name,), group in kept.group_by("protocol")
    }


def span(frames: dict[str, DataFrame]) -> dict[str, datetime | None]:
    """First and last record of all, logs of custodians left out."""
    custodians = set(frames["run"].filter(col("event") == "custody")["log"].to_list())
    times = [
        at for frame in frames.values() for at in frame.filter(~col("log").is_in(custodians))["recorded_at"].to_list()
    ]
    return {"first_at": min(times, default=None), "last_at": max(times, default=None)}
