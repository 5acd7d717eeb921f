"""The exemptions that requests were made under: how often, and what the operator declared about each."""

from __future__ import annotations

import json
from typing import Any

from reports.fields import Field, Form, Show
from reports.log import Log
from reports.period import Period
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
        note="given to regulators; reason and end are shown",
    )


FIELD = Field(
    name="exemptions",
    form=Form.RECORDS,
    key="exemption",
    meaning="declared exemptions (a licence, an own site) that covered requests",
    label="Exemptions declared and used",
    fields=(
        Field(name="exemption", form=Form.TEXT, meaning="its id"),
        Field(name="covered", form=Form.COUNT, meaning="requests in its scope"),
        Field(name="applied", form=Form.COUNT, meaning="of these, those the site disallows"),
        Field(name="reason", form=Form.TEXT, meaning="ground declared in the settings"),
        _confidential("reference", Form.TEXT, "contract or file number"),
        _confidential("approver", Form.TEXT, "who approved it"),
        _confidential("not_before", Form.TEXT, "begin, as declared"),
        Field(name="until", form=Form.TEXT, meaning="end, as declared"),
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
        }
        one = rows.setdefault(row["crawler"], {}).setdefault(key, shown)
        one["covered"] += row["covered"]
        one["applied"] += row["applied"]
    return {crawler: list(found.values()) for crawler, found in rows.items()}
