"""How what sites opted out of was heeded: what was judged, what was refused, and what was requested since."""

from __future__ import annotations

from collections import Counter
from typing import Any

from reports import exemptions, render, reservations
from reports.kinds.opt_out_record import AUTHORITIES, BARRIER, OPT_OUT, PROTOCOL, RECORD, REFUSED, SINCE
from reports.kinds.opt_out_text import body
from reports.log import Log, Row
from reports.opt_out_policy import Runs
from reports.period import Period
from reports.report import Kind, Question

_NOT_EVALUATED = ("robots_txt", "error")


def make(question: Question) -> dict[str, Any]:
    """The record at the internal level."""
    log, period = question.log, question.period
    totals, runs = log.rows("opt_out_totals", **period.parameters), Runs(log, period)
    asked = {**reservations.parameters(), **period.parameters}
    found = log.rows("opt_out_refusals", **asked, rows_max=question.rows_max)
    sites = [row for row in found if row["what"] == "site"]
    protocols = sorted(
        (row for row in found if row["what"] == "protocol"), key=lambda row: (row["protocol"], row["use"] or "")
    )
    listed_of = sites[0]["listed_of"] if sites else 0
    states = {row["state"]: row["authorities"] for row in log.rows("opt_out_authorities", **period.parameters)}
    return {
        **_counts(totals, runs),
        "authorities": {field.name: states.get(field.name, 0) for field in AUTHORITIES},
        **_robots(totals, runs),
        "signals_matrix": _matrix(log, period, protocols),
        "refused_uses": [
            {
                **_since(row),
                **{name: row[name] for name in ("protocol", "use", "sites", "authorities")},
                "policy": runs.policy(row["protocol"], row["use"]),
            }
            for row in protocols
            if row["use"] is not None
        ],
        "barriers": [
            {field.name: row[field.name] for field in BARRIER}
            for row in log.rows("opt_out_barriers", **period.parameters)
        ],
        "exemptions": _exemptions(log, period),
        "by_day": _days(totals),
        "opt_outs_total": listed_of,
        "opt_outs_not_listed": listed_of - len(sites),
        "opt_outs": [{field.name: row[field.name] for field in OPT_OUT} for row in sites],
    }


def _sum(rows: list[Row], name: str = "requests", **equal: str) -> int:
    return sum(row[name] for row in rows if all(row[key] == value for key, value in equal.items()))


def _tally(rows: list[Row], name: str) -> dict[str, int]:
    found: Counter[str] = Counter()
    for row in rows:
        found[row[name]] += row["requests"]
    return dict(sorted(found.items()))


def _counts(totals: list[Row], runs: Runs) -> dict[str, Any]:
    bases = _tally(totals, "basis")
    blocked = _sum(totals, verdict="disallowed", action="denied")
    forwarded = _sum(totals, verdict="disallowed", action="forwarded")
    return {
        "requests": _sum(totals),
        "evaluated": sum(number for basis, number in bases.items() if basis not in _NOT_EVALUATED),
        "not_evaluated": {basis: number for basis, number in bases.items() if basis in _NOT_EVALUATED},
        "disallowed": blocked + forwarded,
        "disallowed_blocked": blocked,
        "disallowed_forwarded": forwarded,
        "bases": bases,
        "modes": runs.modes(),
    }


def _robots(totals: list[Row], runs: Runs) -> dict[str, Any]:
    unreachable = _sum(totals, basis="unreachable")
    allows, disallows, silent = (_sum(totals, f"protego_{what}") for what in ("allows", "disallows", "silent"))
    resolved = {"disallowed_here": allows, "allowed_here": disallows, "protego_gave_no_answer": silent}
    return {
        "unreachable_treated_as_disallow": (
            None if not unreachable else _sum(totals, basis="unreachable", verdict="disallowed") == unreachable
        ),
        "unreachable_requests": unreachable,
        "treat_429_as_unreachable": runs.treat_429_as_unreachable(),
        "last_good_copy_s": runs.last_good_copy_s(),
        "decided_after_validity": _sum(totals, "after_validity"),
        "robots_cache_over_24h": _sum(totals, "over_24h"),
        "parser_disagreements": allows + disallows + silent,
        "disagreements_resolved": {name: number for name, number in resolved.items() if number},
    }


def _since(row: Row) -> dict[str, Any]:
    return {field.name: row[field.name] for field in SINCE}


def _matrix(log: Log, period: Period, protocols: list[Row]) -> list[dict[str, Any]]:
    refused = {row["protocol"]: row for row in log.rows("opt_out_refused", **period.parameters)}
    none = {"forwarded": 0, "denied": 0}
    made = {}
    for row in protocols:
        by_policy = refused.get(row["protocol"], none)
        made[row["protocol"]] = {
            **{field.name: row[field.name] for field in PROTOCOL if field.name in row},
            "forwarded_against_it": by_policy["forwarded"],
            "denied_by_it": by_policy["denied"],
        }
    return list(made.values())


def _exemptions(log: Log, period: Period) -> list[dict[str, Any]]:
    """Those of all crawlers, one row for each declaration."""
    counts = ("covered", "applied")
    found: dict[str, dict[str, Any]] = {}
    for rows in exemptions.used(log, period).values():
        for row in rows:
            key = repr(sorted((name, value) for name, value in row.items() if name not in counts))
            one = found.setdefault(key, {**row, **dict.fromkeys(counts, 0)})
            for name in counts:
                one[name] += row[name]
    return sorted(found.values(), key=lambda one: str(one["exemption"]))


def _days(totals: list[Row]) -> list[dict[str, Any]]:
    return [
        {
            "day": day,
            "allowed": _sum(totals, day=day, verdict="allowed"),
            "denied": _sum(totals, day=day, verdict="disallowed", action="denied"),
            "forwarded": _sum(totals, day=day, verdict="disallowed", action="forwarded"),
        }
        for day in sorted({row["day"] for row in totals})
    ]


def rows(shown: dict[str, Any]) -> render.Table:
    """The opt-outs as CSV rows, or where they are withheld the uses refused by protocol."""
    if "opt_outs" in shown:
        return render.table_of(shown["opt_outs"], [field.name for field in OPT_OUT])
    return render.table_of(shown["refused_uses"], [field.name for field in REFUSED])


KIND = Kind(
    name="opt-out",
    title="Opt-outs and how they were heeded",
    record=RECORD,
    counted="opt_outs",
    disclaimers=("D-COLLECT", "D-COVER", "D-ROBOTS", "D-BARRIER", "D-NOTCERT"),
    make=make,
    body=body,
    table=rows,
    takes=frozenset({"limit"}),
    help="""What sites opt out of, by robots.txt and other protocols, and what was requested of them since.

    \b
    Example:
      crawl-audit report opt-out ./audit-log --level regulator --format html -o opt-out.html
    """,
)
