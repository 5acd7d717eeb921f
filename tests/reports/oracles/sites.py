"""What the per-site record must say, computed from the records without a line of the reports' SQL."""

from __future__ import annotations

from typing import Any

from polars import DataFrame, col

from reports.period import Period
from tests.reports.oracles import activity


def expected(frames: dict[str, DataFrame], period: Period) -> dict[str, dict[str, Any]]:
    """site → the fields of its record that come from the log, in the order of the record, pace left out."""
    inside = activity.decisions(frames, period)
    met = activity.answers(frames, inside)
    asked = {row["site"]: row for row in _asked(inside)}
    came = {row["site"]: row for row in _came(met).to_dicts()}
    tallies = {name: _tally(frame, name) for frame, name in ((met.filter(col("content")), "kind"), (inside, "basis"))}
    signals = _signals(frames, inside)
    names = ("successes", "content_responses", "content_bytes", "unique_bodies", "bytes")
    made = {
        site: {
            **row,
            **{name: int(came[site][name]) if site in came else 0 for name in names},
            "modalities": activity.in_order(tallies["kind"].get(site, {})),
            "robots_basis": tallies["basis"][site],
            "signals": signals.get(site, []),
        }
        for site, row in asked.items()
    }
    order = sorted(made, key=lambda site: (-made[site]["content_bytes"], site.encode()))
    ranks = {site: rank for rank, site in enumerate(order, start=1) if made[site]["content_bytes"]}
    return {site: {"rank": ranks.get(site), **made[site]} for site in order}


def _asked(inside: DataFrame) -> list[dict[str, Any]]:
    rows = inside.group_by("site").agg(
        col("host").n_unique().alias("hosts"),
        col("crawler").unique().sort().alias("crawlers"),
        col("seq").len().alias("requests"),
        activity.FORWARDED.sum().alias("forwarded"),
        (~activity.FORWARDED).sum().alias("denied"),
        activity.DISALLOWED.sum().alias("disallowed"),
        (activity.DISALLOWED & activity.FORWARDED).sum().alias("violations"),
        col("robots_sha256").drop_nulls().n_unique().alias("robots_copies"),
        col("recorded_at").min().alias("first_at"),
        col("recorded_at").max().alias("last_at"),
    )
    return rows.to_dicts()


def _came(met: DataFrame) -> DataFrame:
    content = col("content")
    return met.group_by("site").agg(
        col("success").sum().alias("successes"),
        content.sum().alias("content_responses"),
        col("response_bytes").filter(content).sum().alias("content_bytes"),
        col("body_sha256").filter(content).drop_nulls().n_unique().alias("unique_bodies"),
        col("response_bytes").sum().alias("bytes"),
    )


def _tally(frame: DataFrame, name: str) -> dict[str, dict[str, int]]:
    made: dict[str, dict[str, int]] = {}
    for site, value, number in frame.group_by("site", name).len().iter_rows():
        made.setdefault(site, {})[value] = number
    return made


def _signals(frames: dict[str, DataFrame], inside: DataFrame) -> dict[str, list[str]]:
    found = activity.signal_sites(frames, inside).filter(~col("protocol").is_in(activity.NO_PREFERENCE))
    return dict(found.group_by("site").agg(col("protocol").sort()).iter_rows())
