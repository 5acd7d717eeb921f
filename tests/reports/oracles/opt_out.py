"""What the account of opt-outs must say, computed from the records without a line of the reports' SQL."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import Any

from polars import DataFrame

from crawl_audit.site import site_of
from reports.period import Period
from tests.reports.oracles.violations import inside

PACE_OR_OWN = {"crawl-delay", "request-rate", "visit-time", "retry-after", "web-bot-auth"}
BLANKET = re.compile(r"[Dd][A-Za-z]*[ \t]*[: \t][ \t]*(/|/?\*+)")
SINCE = ("first_seen", "last_seen", "forwarded_before", "forwarded_after", "denied_after", "exempt_after")


def expected(frames: dict[str, DataFrame], period: Period, rows_max: int = 10_000) -> dict[str, Any]:
    """The fields of the record that come from the log, settings left out, at the internal level."""
    decisions = inside(frames["decision"], period).to_dicts()
    refusals, wishes = _refusals(frames, period)
    by_site = _by_site(decisions, refusals)
    listed = sorted(by_site, key=lambda one: (-one["forwarded_after"], one["site"], one["protocol"], one["use"]))
    return {
        **_counts(frames, decisions),
        "authorities": _authorities(frames, period, decisions),
        "signals_matrix": _matrix(decisions, wishes, by_site),
        "refused_uses": _summed(by_site),
        "barriers": _barriers(frames, period),
        "opt_outs_total": len(by_site),
        "opt_outs_not_listed": max(0, len(by_site) - rows_max),
        "opt_outs": listed[:rows_max],
    }


def _counts(frames: dict[str, DataFrame], decisions: list[dict[str, Any]]) -> dict[str, Any]:
    bases = Counter(row["basis"] for row in decisions)
    disallowed = [row for row in decisions if row["verdict"] == "disallowed"]
    judged = [row for row in decisions if row["basis"] != "robots_txt"]
    until = {(row["log"], row["seq"]): row["valid_until"] for row in frames["snapshot"].to_dicts()}
    divergent = Counter(row["protego_verdict"] for row in decisions if row["divergent"])
    names = {"allowed": "disallowed_here", "disallowed": "allowed_here", None: "protego_gave_no_answer"}
    unreachable = [row for row in decisions if row["basis"] == "unreachable"]
    return {
        "requests": len(decisions),
        "evaluated": len(decisions) - bases["robots_txt"] - bases["error"],
        "not_evaluated": {name: bases[name] for name in ("error", "robots_txt") if bases[name]},
        "disallowed": len(disallowed),
        "disallowed_blocked": sum(row["action"] == "denied" for row in disallowed),
        "disallowed_forwarded": sum(row["action"] == "forwarded" for row in disallowed),
        "bases": dict(bases),
        "unreachable_treated_as_disallow": (
            None if not unreachable else all(row["verdict"] == "disallowed" for row in unreachable)
        ),
        "unreachable_requests": len(unreachable),
        "decided_after_validity": sum(
            row["recorded_at"] >= until[row["log"], row["snapshot_seq"]]
            for row in judged
            if (row["log"], row["snapshot_seq"]) in until
        ),
        "robots_cache_over_24h": sum((row["robots_age_ms"] or 0) > 24 * 3600 * 1000 for row in judged),
        "parser_disagreements": sum(divergent.values()),
        "disagreements_resolved": {names[said]: number for said, number in divergent.items()},
    }


def _authorities(frames: dict[str, DataFrame], period: Period, decisions: list[dict[str, Any]]) -> dict[str, int]:
    last: dict[Any, dict[str, Any]] = {}
    for row in inside(frames["snapshot"], period).sort("recorded_at", "log", "seq").to_dicts():
        if row["source"] == "fetched" or row["outcome"] != "unreachable":
            last[_authority(row)] = row
    states = Counter(dict.fromkeys(("with_robots", "unavailable", "unreachable_status", "unreachable_network"), 0))
    states["never_fetched"] = 0
    for authority in {_authority(row) for row in decisions}:
        row = last.get(authority)
        if row is None:
            states["never_fetched"] += 1
        elif row["outcome"] == "unreachable":
            states["unreachable_network" if row["error"] else "unreachable_status"] += 1
        else:
            states["with_robots" if row["outcome"] == "successful" else "unavailable"] += 1
    return dict(states)


def _authority(row: dict[str, Any]) -> tuple[str, str, int]:
    return (row["scheme"], row["host"], row["port"])


def uses(protocol: str, value: str | None) -> set[str]:
    """The uses that a reading refuses, said once more and otherwise than the reports say it."""
    text = f", {value or ''};".replace(";", ",")
    said = {
        "content-signal": [(" ai-train=no,", "training"), (" search=no,", "search"), (" ai-input=no,", "input")],
        "content-usage": [(" train-ai=n,", "training"), (" search=n,", "search")],
        "tdmrep": [(", reserved,", "any")],
        "x-robots-tag": [
            (" noai,", "training"),
            (" noimageai,", "training"),
            (" noindex,", "search"),
            (" none,", "search"),
        ],
    }
    said["meta-robots"] = said["x-robots-tag"]
    return {use for word, use in said.get(protocol, []) if word in text}


def _addressed(signal: dict[str, Any], tokens: set[str]) -> bool:
    scope = signal["scope"] or ""
    if signal["protocol"] == "tdmrep" or scope in ("", "*") or scope.startswith("/"):
        return True
    agents = scope.split(" /")[0].lower().split(", ")
    return any(agent.split("/")[0].split(" ")[0] in {"*", *tokens} for agent in agents)


def _refusals(frames: dict[str, DataFrame], period: Period) -> tuple[list[Any], list[Any]]:
    """((protocol, use, authority, when) of every refusal, (protocol, place, authority, when) of every signal)."""
    shots = {(row["log"], row["seq"]): row for row in frames["snapshot"].to_dicts()}
    exchanges = {(row["log"], row["exchange_id"]): row for row in frames["decision"].to_dicts()}
    tokens = {token.lower() for row in exchanges.values() for token in row["product_token"].split(", ")}
    asked = {_authority(row) for row in exchanges.values()}
    refusals, wishes = [], []
    for signal in frames["signal"].to_dicts():
        if signal["protocol"] in PACE_OR_OWN or (period.end is not None and signal["recorded_at"] >= period.end):
            continue
        in_file = signal["exchange_id"] is None
        row = (
            shots[signal["log"], signal["snapshot_seq"]] if in_file else exchanges[signal["log"], signal["exchange_id"]]
        )
        if _authority(row) not in asked:
            continue
        wishes.append((signal["protocol"], in_file, _authority(row), signal["recorded_at"]))
        if _addressed(signal, tokens):
            found = uses(signal["protocol"], signal["value"])
            refusals += [(signal["protocol"], use, _authority(row), signal["recorded_at"]) for use in found]
    for row in exchanges.values():
        decided = (row["basis"], row["verdict"]) == ("rule", "disallowed") or row["basis"] == "exemption"
        before = period.end is None or row["recorded_at"] < period.end
        if decided and before and row["rule"] is not None and BLANKET.fullmatch(row["rule"]):
            refusals.append(("robots.txt", "any", _authority(row), row["recorded_at"]))
    return refusals, wishes


def _by_site(decisions: list[dict[str, Any]], refusals: list[Any]) -> list[dict[str, Any]]:
    times: defaultdict[Any, list[Any]] = defaultdict(list)
    for protocol, use, authority, at in refusals:
        times[protocol, use, authority].append(at)
    asked = defaultdict(list)
    for row in decisions:
        if row["basis"] != "robots_txt":
            asked[_authority(row)].append(row)
    made: dict[Any, dict[str, Any]] = {}
    for (protocol, use, authority), found in times.items():
        site = site_of(authority[1])
        one = made.setdefault((site, protocol, use), {"authorities": 0, **dict.fromkeys(SINCE[2:], 0)})
        one |= {"site": site, "protocol": protocol, "use": use, "authorities": one["authorities"] + 1}
        one["first_seen"] = min(one.get("first_seen", min(found)), *found)
        one["last_seen"] = max(one.get("last_seen", max(found)), *found)
        for row in asked[authority]:
            since, left = row["recorded_at"] >= min(found), row["action"] == "forwarded"
            one["forwarded_before"] += left and not since
            one["forwarded_after"] += left and since
            one["denied_after"] += since and not left
            one["exempt_after"] += left and since and row["exemption"] is not None
    return list(made.values())


def _summed(by_site: list[dict[str, Any]]) -> list[dict[str, Any]]:
    made = []
    for protocol, use in sorted({(one["protocol"], one["use"]) for one in by_site}):
        ours = [one for one in by_site if (one["protocol"], one["use"]) == (protocol, use)]
        names = ("authorities", *SINCE[2:])
        made.append(
            {
                "protocol": protocol,
                "use": use,
                "sites": len(ours),
                "first_seen": min(one["first_seen"] for one in ours),
                "last_seen": max(one["last_seen"] for one in ours),
                **{name: sum(one[name] for one in ours) for name in names},
            }
        )
    return made


def _matrix(decisions: list[dict[str, Any]], wishes: list[Any], by_site: list[dict[str, Any]]) -> list[dict[str, Any]]:
    refused = [row for row in decisions if row["basis"] == "signal"]
    made = []
    for protocol in sorted({wish[0] for wish in wishes}):
        ours = [wish for wish in wishes if wish[0] == protocol]
        against = [row for row in refused if row["detail"].startswith(protocol + " ")]
        made.append(
            {
                "protocol": protocol,
                "sites_seen": len({site_of(wish[2][1]) for wish in ours}),
                "authorities_seen": len({wish[2] for wish in ours}),
                "sites_in_robots": len({site_of(wish[2][1]) for wish in ours if wish[1]}),
                "sites_in_answers": len({site_of(wish[2][1]) for wish in ours if not wish[1]}),
                "seen_from": min(wish[3] for wish in ours),
                "seen_to": max(wish[3] for wish in ours),
                "forwarded_against_it": sum(row["action"] == "forwarded" for row in against),
                "denied_by_it": sum(row["action"] == "denied" for row in against),
            }
        )
    closed = [one for one in by_site if one["protocol"] == "robots.txt"]
    if closed:
        made.append(
            {
                "protocol": "robots.txt",
                "sites_seen": len(closed),
                "authorities_seen": sum(one["authorities"] for one in closed),
                "sites_in_robots": len(closed),
                "sites_in_answers": 0,
                "seen_from": min(one["first_seen"] for one in closed),
                "seen_to": max(one["last_seen"] for one in closed),
                "forwarded_against_it": 0,
                "denied_by_it": 0,
            }
        )
    return sorted(made, key=lambda one: one["protocol"])


def _barriers(frames: dict[str, DataFrame], period: Period) -> list[dict[str, Any]]:
    endings = {(row["log"], row["decision_seq"]): row for row in frames["completion"].to_dicts()}
    inner = {(row["log"], row["seq"]) for row in inside(frames["decision"], period).to_dicts()}
    rows = [row for row in frames["decision"].to_dicts() if period.end is None or row["recorded_at"] < period.end]
    barred: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    first: dict[str, dict[Any, Any]] = defaultdict(dict)
    for row in sorted(rows, key=lambda one: one["recorded_at"]):
        found = endings.get((row["log"], row["seq"]), {}).get("barrier")
        if found is not None and (row["log"], row["seq"]) in inner:
            barred[found].append(row)
            first[found].setdefault((_authority(row), row["target"]), row["recorded_at"])
    made = []
    for barrier in sorted(barred):
        later = [
            (_authority(row), row["target"])
            for row in rows
            if first[barrier].get((_authority(row), row["target"]), row["recorded_at"]) < row["recorded_at"]
            and 200 <= (endings.get((row["log"], row["seq"]), {}).get("status") or 0) <= 299
        ]
        made.append(
            {
                "barrier": barrier,
                "answers": len(barred[barrier]),
                "sites": len({row["site"] for row in barred[barrier]}),
                "later_2xx_urls": len(set(later)),
                "later_2xx": len(later),
            }
        )
    return made
