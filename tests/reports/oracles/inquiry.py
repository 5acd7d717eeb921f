"""What an inquiry about a site must find, computed from the records without a line of the reports' SQL."""

from __future__ import annotations

from collections import Counter
from typing import Any

from polars import DataFrame, col, lit

from reports.period import Period


def expected(frames: dict[str, DataFrame], period: Period, site: str) -> dict[str, Any]:
    """The numbers, crawlers, days, copies of robots.txt and signals of the answer about the registrable domain."""
    decisions = frames["decision"].filter(col("site") == site)
    if period.start is not None:
        decisions = decisions.filter(col("recorded_at") >= period.start)
    if period.end is not None:
        decisions = decisions.filter(col("recorded_at") < period.end)
    ended = frames["completion"].select(
        "log", col("decision_seq").alias("seq"), "status", "response_bytes", lit(True).alias("ended")
    )
    rows = decisions.join(ended, on=["log", "seq"], how="left").to_dicts()
    sent = [row for row in rows if row["action"] == "forwarded"]
    return {
        "row_count": len(rows),
        "forwarded": len(sent),
        "denied": sum(row["action"] == "denied" for row in rows),
        "disallowed": sum(row["verdict"] == "disallowed" for row in rows),
        "violations": sum(row["verdict"] == "disallowed" for row in sent),
        "robots_txt_requests": sum(row["basis"] == "robots_txt" for row in sent),
        "content_responses": sum(map(is_content, rows)),
        "bytes": sum(row["response_bytes"] or 0 for row in rows),
        "without_completion": sum(not row["ended"] for row in sent),
        "first_at": min((row["recorded_at"] for row in rows), default=None),
        "last_at": max((row["recorded_at"] for row in rows), default=None),
        "crawlers": Counter((row["crawler"], row["product_token"]) for row in rows),
        "days": Counter((row["recorded_at"].date().isoformat(), row["verdict"], row["action"]) for row in rows),
        "robots": copies(frames, rows),
        "signals": signals(frames, rows),
    }


def is_content(row: dict[str, Any]) -> bool:
    """A 2xx answer with at least one octet, /robots.txt itself not counted."""
    answered = row["status"] is not None and 200 <= row["status"] <= 299
    return answered and bool(row["response_bytes"]) and row["basis"] != "robots_txt"


def copies(frames: dict[str, DataFrame], rows: list[dict[str, Any]]) -> dict[tuple[str, int], Counter[str]]:
    """(log, seq) of a copy that is in the log → the decisions on it by verdict."""
    there = set(frames["snapshot"].select("log", "seq").iter_rows())
    found: dict[tuple[str, int], Counter[str]] = {}
    for row in rows:
        place = (row["log"], row["snapshot_seq"])
        if place in there:
            found.setdefault(place, Counter())[row["verdict"]] += 1
    return found


def signals(frames: dict[str, DataFrame], rows: list[dict[str, Any]]) -> dict[tuple[Any, ...], tuple[int, int]]:
    """(protocol, host, raw, scope) → how often it was found, requests to the host that left after the first time."""
    exchanges = {(row["log"], row["exchange_id"]): row["host"] for row in rows}
    used = {(row["log"], row["snapshot_seq"]) for row in rows}
    of_copy = {(row["log"], row["seq"]): row["host"] for row in frames["snapshot"].to_dicts()}
    seen: dict[tuple[Any, ...], list[Any]] = {}
    for one in frames["signal"].to_dicts():
        if one["snapshot_seq"] is None:
            host = exchanges.get((one["log"], one["exchange_id"]))
        else:
            place = (one["log"], one["snapshot_seq"])
            host = of_copy.get(place) if place in used else None
        if host is not None:
            seen.setdefault((one["protocol"], host, one["raw"], one["scope"]), []).append(one["recorded_at"])
    left = [(row["host"], row["recorded_at"]) for row in rows if row["action"] == "forwarded"]
    return {
        wish: (len(times), sum(host == wish[1] and at > min(times) for host, at in left))
        for wish, times in seen.items()
    }
