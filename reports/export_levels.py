"""What an export leaves out at each level, and why: values by field, records by kind.  The leaves stay for all of them.

Denied by default: at `public` and `regulator` a sensitive field is withheld unless it is named here as given.
"""

from __future__ import annotations

from dataclasses import dataclass

from crawl_audit import schema
from reports.levels import Level
from reports.withholding_sql import sensitive


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why something is withheld: a code as reports carry it, and a note for people."""

    code: str
    note: str


SALT = Reason(code="personal_data", note="with the salt of a record its withheld values could be guessed")
OUTSIDE = Reason(code="not_applicable", note="outside the period or site asked for")
ERASED = Reason(code="personal_data", note="erased before the export; the custody records say when, why and by whom")
PRUNED = Reason(code="not_applicable", note="pruned before the export; the custody records say when, why and by whom")

_FIELDS = {
    "client": Reason(code="security", note="addresses inside the operator's network"),
    "trace_id": Reason(code="security", note="key to the operator's own traces; regulators get it"),
    "user_agent": Reason(code="personal_data", note="as sent, it may name a person; the product token is given"),
    "target": Reason(code="trade_secret", note="paths and queries tell which pages were collected"),
    "target_b64": Reason(code="trade_secret", note="the same octets as `target`"),
    "scope": Reason(code="personal_data", note="whose records were held or erased; regulators get it"),
}
_GIVEN = {
    Level.REGULATOR: frozenset({"trace_id", "user_agent", "target", "target_b64", "scope"}),
    Level.PUBLIC: frozenset[str](),
}
# Whole records: the column that tells is not sensitive by itself, so only the row can be left out.
_ROWS = {
    "completion": (
        "true",
        Reason(code="trade_secret", note="volumes by site, and digests of bodies, by which a page can be recognised"),
    ),
    "signal": (
        "exchange_id IS NOT NULL",
        Reason(code="trade_secret", note="those of single answers name paths; those of robots.txt are given"),
    ),
    "tunnel": ("true", Reason(code="security", note="connections inside the operator's network")),
    "incident": ("true", Reason(code="security", note="operational trouble in its own words; regulators get it")),
}


def fields(kind: str, level: Level) -> dict[str, Reason]:
    """The sensitive fields of ``kind`` that are withheld at ``level``, and why."""
    if level is Level.INTERNAL:
        return {}
    return {name: _FIELDS[name] for name in sensitive(kind) if name not in _GIVEN[level]}


def rows(kind: str, level: Level) -> tuple[str, Reason] | None:
    """Which rows of ``kind`` are withheld at ``level`` (an SQL condition) and why, or None."""
    return _ROWS.get(kind) if level is Level.PUBLIC else None


def is_salt_withheld(kind: str, level: Level) -> bool:
    """Whether the salts of ``kind`` are withheld: they are wherever a value is."""
    return schema.has_salt(kind) and bool(fields(kind, level))
