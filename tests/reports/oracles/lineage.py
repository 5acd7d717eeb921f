"""What a manifest must show of a log, computed from the records without a line of the reports' SQL."""

from __future__ import annotations

from typing import Any

from polars import DataFrame, col

from reports.period import Period

_DEFAULT = {("http", 80), ("https", 443)}


def expected(frames: dict[str, DataFrame], period: Period, values: list[str], by: str) -> dict[str, Any]:
    """``sites`` and the rows of the manifest (``values``, as the log writes them) that the log has."""
    decisions = frames["decision"]
    if period.start is not None:
        decisions = decisions.filter(col("recorded_at") >= period.start)
    if period.end is not None:
        decisions = decisions.filter(col("recorded_at") < period.end)
    ended = frames["completion"].select(
        "log", col("decision_seq").alias("seq"), "status", "response_bytes", "body_sha256"
    )
    content = decisions.join(ended, on=["log", "seq"], how="inner").filter(
        (col("status") >= 200) & (col("status") < 300) & (col("response_bytes") > 0) & (col("basis") != "robots_txt")
    )
    wanted, sites, collected = set(values), {}, set()
    for row in content.to_dicts():
        value = row["body_sha256"] if by == "sha256" else address(row)
        one = sites.setdefault(row["site"], {"collected": 0, "kept": 0, "not_comparable": 0, "values": set()})
        one["collected"] += 1
        one["kept"] += value in wanted
        one["not_comparable"] += value is None
        one["values"] |= {value} - {None}
        collected |= {value}
    for one in sites.values():
        one["distinct_values"] = len(one["values"])
        one["distinct_kept"] = len(one.pop("values") & wanted)
        one["dropped"] = one["collected"] - one["kept"] - one["not_comparable"]
    return {"sites": sites, "rows_in_log": sum(value in collected for value in values)}


def address(row: dict[str, Any]) -> str | None:
    """The URL of a request."""
    if row["target"] is None:
        return None
    host = f"[{row['host']}]" if ":" in row["host"] else row["host"]
    port = "" if (row["scheme"], row["port"]) in _DEFAULT else f":{row['port']}"
    return f"{row['scheme']}://{host}{port}{row['target']}"
