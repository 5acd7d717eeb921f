"""What the record of activity must say of each crawler, computed without a line of the reports' SQL."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from polars import DataFrame, Expr, col, lit, when

from reports.period import Period

AGENTS_MAX, SITES_MAX = 50, 20
KINDS = ("text", "image", "video", "audio", "other", "unknown")
NO_PREFERENCE = ("crawl-delay", "request-rate", "visit-time", "retry-after", "web-bot-auth")
DISALLOWED, FORWARDED = col("verdict") == "disallowed", col("action") == "forwarded"
ROBOTS_TXT = col("basis") == "robots_txt"


def expected(frames: dict[str, DataFrame], period: Period) -> dict[str, dict[str, Any]]:
    """crawler → the fields of its record that come from the log, exemptions and pace at each authority left out."""
    inside = decisions(frames, period)
    met = answers(frames, inside)
    names = inside["crawler"].unique().sort().to_list()
    return {name: of_crawler(name, frames, inside, met, period) for name in names}


def decisions(frames: dict[str, DataFrame], period: Period) -> DataFrame:
    """The decisions of the period."""
    found = frames["decision"]
    if period.start is not None:
        found = found.filter(col("recorded_at") >= period.start)
    return found if period.end is None else found.filter(col("recorded_at") < period.end)


def answers(frames: dict[str, DataFrame], inside: DataFrame) -> DataFrame:
    """The completions of these decisions, with what of a decision is needed, and whether there was content."""
    asked = inside.select(
        "log", col("seq").alias("decision_seq"), "crawler", "site", "basis", "action", col("recorded_at").alias("asked")
    )
    success = col("status").is_between(200, 299).fill_null(value=False)
    return (
        frames["completion"]
        .join(asked, on=["log", "decision_seq"], how="inner")
        .with_columns(
            success.alias("success"),
            (success & (col("response_bytes") > 0) & ~ROBOTS_TXT).alias("content"),
            col("modality").fill_null("unknown").alias("kind"),
        )
    )


def of_crawler(
    name: str, frames: dict[str, DataFrame], inside: DataFrame, met: DataFrame, period: Period
) -> dict[str, Any]:
    """The fields of one crawler."""
    mine, ends = inside.filter(col("crawler") == name), met.filter(col("crawler") == name)
    left, content = mine.filter(FORWARDED), ends.filter(col("content"))
    ended = ends.filter(FORWARDED).height
    return {
        "product_tokens": sorted(mine["product_token"].unique().to_list()),
        "requests": mine.height,
        "forwarded": left.height,
        "denied": mine.filter(~FORWARDED).height,
        "disallowed": mine.filter(DISALLOWED).height,
        "violations": left.filter(DISALLOWED).height,
        "sites": mine["site"].n_unique(),
        "hosts": mine["host"].n_unique(),
        "modes": sorted(mine["mode"].unique().to_list()),
        "collection_from": left["recorded_at"].min(),
        "collection_to": left["recorded_at"].max(),
        "collection_ongoing": ongoing(name, frames, period),
        "token_in_user_agent": mine.filter(col("token_in_user_agent")).height,
        "token_in_user_agent_ratio": ratio(mine.filter(col("token_in_user_agent")).height, mine.height),
        "user_agents_seen": mine["user_agent"].drop_nulls().n_unique(),
        "observed_user_agents": [
            {"user_agent": agent, "requests": number}
            for agent, number in ranked(mine.group_by("user_agent").len(), "user_agent", "len")[:AGENTS_MAX]
        ],
        "robots_basis": tally(mine, "basis"),
        "robots": judged(mine),
        "content_responses": content.height,
        "content_bytes": int(content["response_bytes"].sum()),
        "bytes": int(ends["response_bytes"].sum()),
        "without_completion": left.height - ended,
        "outcomes": {
            **tally(ends, "outcome"),
            **({"not on record": left.height - ended} if left.height > ended else {}),
        },
        "statuses": statuses(ends),
        "barriers": ends["barrier"].drop_nulls().len(),
        "barriers_by_kind": tally(ends.filter(col("barrier").is_not_null()), "barrier"),
        "modalities": in_order(tally(content, "kind")),
        "modality_bytes": in_order(dict(content.group_by("kind").agg(col("response_bytes").sum()).iter_rows())),
        "signals": signals(frames, mine),
        "pace": pace(left, mine),
        "load": load(left, ends),
        "by_day": by_day(mine),
        "top_sites": [
            {"site": site, "content_responses": number, "content_bytes": octets}
            for site, octets, number in by_content(content)[:SITES_MAX]
        ],
    }


def ratio(part: int, whole: int) -> str | None:
    if whole < 100:
        return "suppressed" if whole else None
    rounded = f"{Decimal(part) / Decimal(whole):.2f}"  # half to even, as Decimal does it
    return "<0.01" if part and rounded == "0.00" else ">0.99" if part < whole and rounded == "1.00" else rounded


def tally(frame: DataFrame, name: str) -> dict[str, int]:
    return dict(ranked(frame.group_by(name).len(), name, "len"))


def ranked(frame: DataFrame, name: str, number: str) -> list[tuple[Any, int]]:
    """The most first, ties by name, nothing last."""
    pairs = [(row[name], row[number]) for row in frame.to_dicts()]
    return sorted(pairs, key=lambda pair: (-pair[1], pair[0] is None, pair[0] or ""))


def in_order(counts: dict[str, int]) -> dict[str, int]:
    return {kind: int(counts[kind]) for kind in KINDS if kind in counts}


def statuses(ends: DataFrame) -> dict[str, int]:
    named = when(col("status").is_null()).then(lit("no answer")).otherwise((col("status") // 100).cast(str) + "xx")
    return tally(ends.select(named.alias("class")), "class")


def judged(mine: DataFrame) -> dict[str, Any]:
    errors = mine.filter(col("basis") == "error").height
    good = mine.filter(~ROBOTS_TXT).height - errors
    return {
        "evaluated": good,
        "not_evaluated": errors,
        "evaluated_ratio": ratio(good, good + errors),
        "age_max_ms": mine["robots_age_ms"].max(),
        "older_than_24_h": mine.filter(col("robots_age_ms") > 24 * 60 * 60 * 1000).height,
        "divergent": mine.filter(col("divergent")).height,
    }


def pace(left: DataFrame, mine: DataFrame) -> dict[str, Any]:
    asked = left.with_columns(wished().alias("asked")).filter(col("asked") > 0)
    known = asked["since_previous_ms"].drop_nulls().sort().to_list()
    return {
        "asked": asked.height,
        "faster_than_asked": asked.filter(col("since_previous_ms") < col("asked")).height,
        "shortest_interval_ms": known[0] if known else None,
        "median_interval_ms": known[(len(known) - 1) // 2] if known else None,
        "held": mine.filter(col("held_ms") > 0).height,
    }


def wished() -> Expr:
    delay, rate = col("crawl_delay_ms").fill_null(0), col("request_interval_ms").fill_null(0)
    return when(delay > rate).then(delay).otherwise(rate)


def load(left: DataFrame, ends: DataFrame) -> dict[str, Any]:
    asked = left.filter(~ROBOTS_TXT).group_by("host", col("recorded_at").dt.truncate("1s")).len()
    intervals = left["since_previous_ms"].drop_nulls().sort().to_list()
    paced = left.with_columns(wished().alias("asked")).filter(
        (col("asked") > 0) & col("since_previous_ms").is_not_null()
    )
    kept = paced.filter(col("since_previous_ms") >= col("asked")).height
    return {
        "requests_per_second_max": asked["len"].max() or 0,
        **{
            name: intervals[(len(intervals) * percent + 99) // 100 - 1] if intervals else None
            for name, percent in (("interval_p05_ms", 5), ("interval_median_ms", 50), ("interval_p95_ms", 95))
        },
        "answers_429": ends.filter(col("status") == 429).height,
        "answers_503": ends.filter(col("status") == 503).height,
        "pace_kept_ratio": ratio(kept, paced.height),
    }


def by_day(mine: DataFrame) -> list[dict[str, Any]]:
    days = mine.group_by(col("recorded_at").dt.date().alias("day")).agg(
        (~DISALLOWED & FORWARDED).sum().alias("allowed"),
        (DISALLOWED & ~FORWARDED).sum().alias("denied"),
        (DISALLOWED & FORWARDED).sum().alias("violations"),
        (~DISALLOWED & ~FORWARDED).sum().alias("allowed_and_denied"),
    )
    return [{**row, "day": row["day"].isoformat()} for row in days.sort("day").to_dicts()]


def by_content(content: DataFrame) -> list[tuple[str, int, int]]:
    """(site, octets, answers), the most octets first, ties by name."""
    sites = content.group_by("site").agg(col("response_bytes").sum().alias("octets"), col("seq").len().alias("answers"))
    found = [(row["site"], row["octets"], row["answers"]) for row in sites.to_dicts()]
    return sorted(found, key=lambda one: (-one[1], one[0].encode()))


def signals(frames: dict[str, DataFrame], mine: DataFrame) -> dict[str, int]:
    """protocol → sites, of usage preferences in an answer or in the robots.txt of these decisions."""
    found = signal_sites(frames, mine).filter(~col("protocol").is_in(NO_PREFERENCE))
    return dict(found.group_by("protocol").agg(col("site").n_unique()).sort("protocol").iter_rows())


def signal_sites(frames: dict[str, DataFrame], mine: DataFrame) -> DataFrame:
    """(protocol, site) of the signals found with these decisions."""
    of_answers = frames["signal"].filter(col("exchange_id").is_not_null())
    of_copies = frames["signal"].filter(col("snapshot_seq").is_not_null())
    first = of_answers.join(mine.select("log", "exchange_id", "site"), on=["log", "exchange_id"])
    asked = mine.filter(col("snapshot_seq").is_not_null()).select("log", "snapshot_seq", "site").unique()
    second = of_copies.join(asked, on=["log", "snapshot_seq"])
    return first.select("protocol", "site").vstack(second.select("protocol", "site")).unique()


def ongoing(name: str, frames: dict[str, DataFrame], period: Period) -> bool:
    """Whether it asked after the period, or the log of its last request has no stop."""
    last = frames["decision"].filter(col("crawler") == name).sort("recorded_at", "log").row(-1, named=True)
    stops = frames["run"].filter((col("event") == "stop") & (col("log") == last["log"])).height
    return not stops or (period.end is not None and last["recorded_at"] >= period.end)
