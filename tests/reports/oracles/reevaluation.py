"""What a re-evaluation must show of a log: every URL fetched is judged again, none is left to its digest."""

from __future__ import annotations

import functools
from collections import Counter
from datetime import datetime
from typing import Any

from polars import DataFrame, col

from crawl_audit.records import RobotsOutcome, Verdict
from crawl_audit.robots import Judgement, Rules, compile_rules, evaluate
from reports.period import Period

Scope = tuple[str, str, int]
Copy = tuple[datetime, str, str | None]


def expected(frames: dict[str, DataFrame], period: Period, as_of: datetime | None = None) -> dict[str, Any]:
    """``fetched``, ``fetches``, ``sites`` (site → counts) and ``rows`` ((site, url parts, token) → what is said)."""
    decisions = frames["decision"].filter((col("action") == "forwarded") & (col("basis") != "robots_txt"))
    if period.start is not None:
        decisions = decisions.filter(col("recorded_at") >= period.start)
    if period.end is not None:
        decisions = decisions.filter(col("recorded_at") < period.end)
    copies, rules = _copies(frames["snapshot"], as_of), _compiler(frames["robots_body"])
    totals: Counter[str] = Counter()
    sites: dict[str, Counter[str]] = {}
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    names = ("site", "scheme", "host", "port", "target", "product_token")
    judged: dict[tuple[Any, ...], Judgement | None] = {}
    for one in decisions.select(*names, "recorded_at", "verdict", "basis", "robots_sha256").iter_rows(named=True):
        key = tuple(one[name] for name in names)
        scope, token, target = (one["scheme"], one["host"], one["port"]), one["product_token"], one["target"]
        mine = copies.get(scope, [])
        if key not in judged:
            judged[key] = _now(mine[-1] if mine else None, token, target, rules)
        what = _what(one, judged[key], mine)
        site = sites.setdefault(one["site"], Counter())
        site.update(("fetched", what))
        totals.update(("fetched", what))
        if what == "newly_disallowed":
            first = {"requests": 0, "first_at": one["recorded_at"], "last_at": one["recorded_at"]}
            row = rows.setdefault(key, {**first, "since": _since(mine, token, target, rules)})
            row["requests"] += 1
            row["first_at"] = min(row["first_at"], one["recorded_at"])
            row["last_at"] = max(row["last_at"], one["recorded_at"])
    return {"fetched": totals.pop("fetched", 0), "fetches": dict(totals), "sites": sites, "rows": rows}


def _copies(snapshots: DataFrame, as_of: datetime | None) -> dict[Scope, list[Copy]]:
    told = snapshots.filter(~((col("source") == "observed") & (col("outcome") == "unreachable")))
    if as_of is not None:
        told = told.filter(col("recorded_at") < as_of)
    made: dict[Scope, list[Copy]] = {}
    for one in told.sort("recorded_at", "log", "seq").iter_rows(named=True):
        copy = (one["recorded_at"], one["outcome"], one["robots_sha256"])
        made.setdefault((one["scheme"], one["host"], one["port"]), []).append(copy)
    return made


def _compiler(bodies: DataFrame) -> Any:
    octets = dict(zip(bodies["robots_sha256"].to_list(), bodies["body"].to_list(), strict=True))

    @functools.lru_cache(maxsize=4096)
    def rules(copy: str, token: str) -> Rules | None:
        return compile_rules(octets[copy], tuple(token.split(", "))) if copy in octets else None

    return rules


def _now(copy: Copy | None, token: str, target: str | None, rules: Any) -> Judgement | None:
    """The judgement of a copy; None where nothing can be said."""
    if copy is None or target is None:
        return None
    outcome = RobotsOutcome(copy[1])
    if outcome is RobotsOutcome.UNREACHABLE:
        return None
    made = rules(copy[2], token) if outcome is RobotsOutcome.SUCCESSFUL else None
    if outcome is RobotsOutcome.SUCCESSFUL and made is None:
        return None
    return evaluate(outcome, made, target)


def _what(one: dict[str, Any], now: Judgement | None, copies: list[Copy]) -> str:
    then = one["verdict"]
    if one["basis"] in ("signal", "crawl_delay"):
        then = "allowed"  # robots.txt did allow it
    elif one["basis"] == "exemption":
        then = "disallowed"
    if then == "disallowed":
        return "disallowed_then"
    if copies and copies[-1][1] == "unavailable":
        return "allowed_now"
    if now is None:
        return "not_known_now"
    return "newly_disallowed" if now.verdict is Verdict.DISALLOWED else "allowed_now"


def _since(copies: list[Copy], token: str, target: str, rules: Any) -> datetime | None:
    since = None
    for copy in copies:
        judged = _now(copy, token, target, rules)
        if copy[1] == "unreachable":
            continue
        if judged is None or judged.verdict is Verdict.ALLOWED:
            since = None
        elif since is None:
            since = copy[0]
    return since
