"""The exemptions that requests were made under: how often, and what the operator declared about each."""

from __future__ import annotations

import json
from typing import Any

from reports import levels
from reports.declarations import listed, settings_object
from reports.levels import Level, withheld
from reports.log import Log
from reports.period import Period

_SCOPE = ("sites", "hosts", "path_prefixes", "crawlers")
_GROUNDS = ("reason", "reference", "approver", "not_before", "until", *_SCOPE)
_PUBLIC = ("reason", "until")
PUBLIC_WITHHELD = withheld(
    "exemptions", "trade_secret", "reference, approver and scope; given to regulators, reason and end are shown"
)


def declared(log: Log) -> dict[str, dict[str, dict[str, Any]]]:
    """Log id → exemption id → what the settings recorded at the start of that log declare about it."""
    found = {}
    for row in log.rows("settings"):
        said = listed(settings_object(row["settings"]), "exemptions")
        found[row["log"]] = {str(one.get("id")): {name: one.get(name) for name in _GROUNDS} for one in said}
    return found


def used(log: Log, period: Period, level: Level) -> dict[str, list[dict[str, Any]]]:
    """Crawler → the exemptions that covered requests of it in the period; one row for each declaration.

    ``covered`` counts the requests in its scope, ``applied`` those that the site disallowed and that were allowed by
    it.  A declaration that is not in the log's settings is shown without grounds: None.
    """
    grounds = declared(log)
    rows: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
    for row in log.rows("activity_exemptions", **period.parameters):
        said = grounds.get(row["log"], {}).get(row["exemption"], {})
        key = (row["exemption"], json.dumps(said, sort_keys=True))
        shown = {
            "exemption": row["exemption"],
            "covered": 0,
            "applied": 0,
            **{name: said.get(name) for name in _GROUNDS},
        }
        one = rows.setdefault(row["crawler"], {}).setdefault(key, shown)
        one["covered"] += row["covered"]
        one["applied"] += row["applied"]
    return {crawler: [_at(level, one) for one in found.values()] for crawler, found in rows.items()}


def _at(level: Level, one: dict[str, Any]) -> dict[str, Any]:
    counts = {name: levels.count(one[name], level) for name in ("covered", "applied")}
    names = _PUBLIC if level is Level.PUBLIC else _GROUNDS
    return {"exemption": one["exemption"], **counts, **{name: one[name] for name in names}}
