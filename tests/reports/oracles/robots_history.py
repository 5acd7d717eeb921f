"""What the history of robots.txt must say, computed from the records without a line of the reports' own code.

Only for logs whose settings let no old copy stand in for an unreachable one.
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from datetime import timedelta
from typing import Any

from polars import DataFrame

from reports.period import Period
from tests.oracle import allowed
from tests.reports.oracles.violations import inside

LAG = timedelta(seconds=9)  # deciding and two commits: how long after its term a copy may still count
DIFF_COUNTED = 40


def expected(
    frames: dict[str, DataFrame], period: Period, tokens: tuple[str, ...], *, every: bool
) -> dict[str, dict[str, Any]]:
    """authority → its versions; without ``every`` only authorities with more than one robots.txt."""
    rows = [
        row
        for row in frames["snapshot"].sort("log", "seq").to_dicts()
        if period.end is None or row["recorded_at"] < period.end
    ]
    bodies = {row["robots_sha256"]: bytes(row["body"]) for row in frames["robots_body"].to_dicts()}
    decided = inside(frames["decision"], period).to_dicts()
    signals = frames["signal"].to_dicts()
    made = {}
    for authority in sorted({(row["scheme"], row["host"], row["port"]) for row in rows}):
        ours = [row for row in rows if (row["scheme"], row["host"], row["port"]) == authority]
        listed = [row for row in ours if _concerns(row, period)]
        different = {row["robots_sha256"] for row in listed if row["outcome"] != "unreachable"}
        if not listed or (len(different) < 2 and not every):
            continue
        versions = _versions(_in_force(ours), period)
        _differences(versions, bodies)
        for version in versions:
            _evaluate(version, bodies, tokens)
            _count(version, decided, signals)
        if versions:
            made[_named(*authority)] = versions
    return made


def _named(scheme: str, host: str, port: int) -> str:
    standard = (scheme, port) in (("http", 80), ("https", 443))
    return f"{scheme}://{f'[{host}]' if ':' in host else host}{'' if standard else f':{port}'}"


def _concerns(row: dict[str, Any], period: Period) -> bool:
    return period.start is None or row["recorded_at"] >= period.start or row["valid_until"] > period.start


def _in_force(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each snapshot with until when it was in force; nothing where it never was."""
    held: dict[str, dict[str, Any]] = {}
    made = []
    for row in rows:
        one = {**row, "until": row["valid_until"], "ruled": True}
        before = held.get(row["log"])
        if row["source"] == "observed" and row["outcome"] == "unreachable":
            one["ruled"] = False
        elif row["source"] == "observed" and before is not None and before["source"] == "fetched":
            valid = before["outcome"] != "unreachable" and row["recorded_at"] <= before["valid_until"] + LAG
            one["ruled"] = not valid
        if one["ruled"]:
            if before is not None:
                before["until"] = row["recorded_at"]
            held[row["log"]] = one
        made.append(one)
    return made


def _versions(rows: list[dict[str, Any]], period: Period) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for ruled in (True, False):
        track: list[dict[str, Any]] = []
        for row in sorted(rows, key=lambda one: (one["recorded_at"], one["log"], one["seq"])):
            if row["ruled"] is not ruled:
                continue
            answer = (row["outcome"], row["robots_sha256"])
            if row["outcome"] != "successful":
                answer = (row["outcome"], row["status"], (row["error"] or "").split(":")[0])
            if not track or track[-1]["answer"] != answer:
                if track:
                    track[-1]["to"] = row["recorded_at"]
                fresh = {"answer": answer, "first": row, "copies": [], "to": None, "in_force": ruled}
                track.append({**fresh, "from": row["recorded_at"]})
            track[-1]["copies"].append(row)
        made += track
    for one in made:
        one["last_fetched_at"] = one["copies"][-1]["recorded_at"]
        one["fetches"] = len(one["copies"])
        one["in_force_until"] = max(row["until"] for row in one["copies"]) if one["in_force"] else None
    made.sort(key=lambda one: (one["from"], one["first"]["log"], one["first"]["seq"]))
    if period.start is None:
        return made
    held = [one for one in made if one["in_force_until"] is not None and one["in_force_until"] > period.start]
    return [one for one in made if one in held or one["last_fetched_at"] >= period.start]


def _differences(versions: list[dict[str, Any]], bodies: dict[str, bytes]) -> None:
    before = None
    for version in versions:
        digest = version["first"]["robots_sha256"]
        version |= {"lines_added": None, "lines_removed": None}
        if digest is not None and before is not None:
            old, new = (bodies[one].decode().split("\n") for one in (before, digest))
            lines = list(difflib.unified_diff(old, new, n=0, lineterm=""))[2:]
            version["lines_added"] = sum(line.startswith("+") for line in lines)
            version["lines_removed"] = sum(line.startswith("-") for line in lines)
            version["diff"] = [line for line in lines if not line.startswith("@@")][:DIFF_COUNTED]
        before = digest or before


def _evaluate(version: dict[str, Any], bodies: dict[str, bytes], tokens: tuple[str, ...]) -> None:
    row = version["first"]
    if row["outcome"] == "successful":
        text = bodies[row["robots_sha256"]].decode()
        version["root"] = ["allowed" if allowed(text, token, "/") else "disallowed" for token in tokens]
    else:
        version["root"] = ["allowed" if row["outcome"] == "unavailable" else "disallowed" for _ in tokens]


def _count(version: dict[str, Any], decided: list[dict[str, Any]], signals: list[dict[str, Any]]) -> None:
    copies = {(row["log"], row["seq"]) for row in version["copies"]}
    counts: defaultdict[str, int] = defaultdict(int)
    for row in decided:
        if (row["log"], row["snapshot_seq"]) in copies and row["basis"] != "robots_txt":
            counts[row["verdict"]] += 1
            counts["violations"] += (row["verdict"], row["action"]) == ("disallowed", "forwarded")
    version |= {name: counts[name] for name in ("allowed", "disallowed", "violations")}
    found = {
        f"{one['protocol']}: {one['value'] or one['raw']}" + ("" if one["scope"] is None else f" ({one['scope']})")
        for one in signals
        if (one["log"], one["snapshot_seq"]) in copies
    }
    version["signals"] = sorted(found)
