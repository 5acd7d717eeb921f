"""The exemptions that requests were made under: how often, and what the operator declared about each."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from crawl_audit.exemptions import Reason
from reports.fields import Field, Form, Show
from reports.log import Log
from reports.period import Period, UsageError, parse_instant
from reports.recorded_settings import listed, settings_object

_SCOPE = ("sites", "hosts", "path_prefixes", "crawlers")
_GROUNDS = ("reason", "reference", "approver", "not_before", "until", *_SCOPE)


def _confidential(name: str, form: Form, meaning: str) -> Field:
    return Field(
        name=name,
        form=form,
        meaning=meaning,
        public=Show.WITHHELD,
        reason="trade_secret",
        note="given to regulators; the ground and the month it ends are shown",
        regulator=Show.AS_IS,
    )


FIELD = Field(
    name="exemptions",
    form=Form.RECORDS,
    key="exemption",
    meaning="declared exemptions (a licence, an own site) that covered requests",
    label="Exemptions declared and used",
    fields=(
        _confidential("exemption", Form.TEXT, "its id"),
        Field(name="covered", form=Form.COUNT, meaning="requests in its scope", label="Requests in its scope"),
        Field(
            name="applied",
            form=Form.COUNT,
            meaning="of these, those the site disallows",
            label="Of these, disallowed",
        ),
        Field(
            name="reason",
            form=Form.TEXT,
            meaning="ground declared in the settings",
            label="Ground",
            words=tuple(reason.value for reason in Reason),
            open=True,
        ),
        _confidential("reference", Form.TEXT, "contract or file number"),
        _confidential("approver", Form.TEXT, "who approved it"),
        _confidential("not_before", Form.INSTANT, "begin, as declared; null: none, or no instant"),
        Field(
            name="until",
            form=Form.INSTANT,
            meaning="end, as declared, not included; null: no instant",
            public=Show.LAST_MONTH,
            regulator=Show.AS_IS,
        ),
        _confidential("sites", Form.TEXTS, "sites it is for"),
        _confidential("hosts", Form.TEXTS, "hosts it is for"),
        _confidential("path_prefixes", Form.TEXTS, "paths it is for"),
        _confidential("crawlers", Form.TEXTS, "crawlers it is for"),
    ),
)


def declared(log: Log) -> dict[str, dict[str, dict[str, Any]]]:
    """Log id → exemption id → what the settings recorded at the start of that log declare about it."""
    found = {}
    for row in log.rows("settings"):
        said = listed(settings_object(row["settings"]), "exemptions")
        found[row["log"]] = {str(one.get("id")): {name: one.get(name) for name in _GROUNDS} for one in said}
    return found


def instant(declared: Any) -> datetime | None:
    """An end or begin as recorded settings have it, as naive UTC; None where it is no instant."""
    try:
        return parse_instant(declared, "until") if isinstance(declared, str) else None
    except UsageError:
        return None


def used(log: Log, period: Period) -> dict[str, list[dict[str, Any]]]:
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
            **{name: instant(said.get(name)) for name in ("not_before", "until")},
        }
        one = rows.setdefault(row["crawler"], {}).setdefault(key, shown)
        one["covered"] += row["covered"]
        one["applied"] += row["applied"]
    return {crawler: list(found.values()) for crawler, found in rows.items()}
