"""What a statement under Japan's Principle Code changes against the one before it, told without its confidential words.

The one before may be of a higher level. So of it only fixed words and dates are repeated, and texts only where it was
public itself; and it must be as it was made, or nothing it says could be compared.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from crawl_audit.errors import ConfigurationError
from reports.fields import Field, Form, Source
from reports.levels import Level
from reports.report import digest

_TOOL, _GIVEN = Source.TOOL, Source.GIVEN
_WHOLE = ("acceptance", "role", "services", "models", "statement_date")
_IN_ITEM = ("status", "text", "reason_code", "reason", "title", "basis_mark")
_FIXED: dict[str, tuple[str, ...]] = {
    "acceptance": ("accepts", "partially", "not"),
    "role": ("developer", "provider", "both"),
    "status": ("comply", "partial", "explain", "not_applicable"),
    "reason_code": (
        "trade_secret",
        "security",
        "personal_data",
        "third_party",
        "not_collected",
        "not_applicable",
        "other",
    ),
    "basis_mark": ("F", "D", "U"),
}
"""Where the change is of one of these words, they are shown; of longer texts only that they changed."""
_LISTED = ("services", "models")
_ITEM_ID = re.compile(r"[1-9]\.[a-z][a-z0-9_]{0,60}", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)

PREVIOUS = Field(
    name="previous_statement",
    form=Form.RECORD,
    meaning="the statement this one follows; null: none was given",
    asked_by="JP comply or explain",
    source=_GIVEN,
    fields=(
        Field(name="record_id", form=Form.TEXT, meaning="its record_id", source=_GIVEN),
        Field(name="content_sha256", form=Form.TEXT, meaning="its digest", source=_GIVEN),
        Field(
            name="disclosure_level",
            form=Form.TEXT,
            meaning="for whose eyes it was: of one that was not public no text is repeated",
            source=_GIVEN,
            words=tuple(level.value for level in Level),
        ),
        Field(name="statement_date", form=Form.TEXT, meaning="its date", source=_GIVEN),
        Field(name="next_due", form=Form.TEXT, meaning="when this one was due by it", source=_GIVEN),
        Field(
            name="late", form=Form.FLAG, meaning="whether this one is later; null: a date is not known", source=_TOOL
        ),
    ),
)
CHANGES = Field(
    name="diff_since_previous",
    form=Form.RECORDS,
    meaning="what is different from the previous statement; null: none was given",
    asked_by="JP comply or explain",
    label="Changes since the previous statement",
    source=_TOOL,
    fields=(
        Field(name="item", form=Form.TEXT, meaning="id of the item; null: the statement as a whole", source=_TOOL),
        Field(
            name="change",
            form=Form.TEXT,
            meaning="what happened",
            source=_TOOL,
            words=("added", "removed", "changed"),
        ),
        Field(name="what", form=Form.TEXT, meaning="field that changed; null: the whole item", source=_TOOL),
        Field(
            name="before",
            form=Form.TEXT,
            meaning="word before; null: none, or a text that is not repeated",
            source=_GIVEN,
        ),
        Field(
            name="after",
            form=Form.TEXT,
            meaning="word after; null: none, or a text that is in the statement",
            source=_TOOL,
        ),
    ),
)


def compared(previous: dict[str, Any] | None, statement: dict[str, Any]) -> dict[str, Any]:
    """The values of PREVIOUS and CHANGES for ``statement`` (its own values); None without a previous one.

    Raises ConfigurationError where the previous record has no list of items, or is not as it was made.
    """
    if previous is None:
        return {"previous_statement": None, "diff_since_previous": None}
    public = _checked(previous)["disclosure_level"] == Level.PUBLIC
    before, after = _items(previous.get("items")), _items(statement["items"])
    changes = [
        _change(None, "changed", name, previous, statement, public=public)
        for name in _WHOLE
        if _differ(name, previous, statement)
    ]
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old is None or new is None:
            changes.append(_change(name, "added" if old is None else "removed", None, {}, {}, public=public))
        else:
            changes += [
                _change(name, "changed", one, old, new, public=public) for one in _IN_ITEM if _differ(one, old, new)
            ]
    return {"previous_statement": _previous(previous, statement), "diff_since_previous": changes}


def _checked(previous: dict[str, Any]) -> dict[str, Any]:
    """``previous``, which is as it was made; raises ConfigurationError where it is not."""
    known = previous.get("disclosure_level") in [level.value for level in Level]
    named = isinstance(previous.get("record_id"), str) and _UUID.fullmatch(previous["record_id"])
    if not (known and named and previous.get("content_sha256") == digest(previous)):
        raise ConfigurationError(
            "The earlier record is not as it was made (its content_sha256 does not fit): name the file that"
            " `report japan --format json -o FILE` wrote, unchanged."
        )
    return previous


def _items(found: Any) -> dict[str, dict[str, Any]]:
    """id → item; what was written by somebody else is looked at before it is used."""
    if not isinstance(found, list) or not all(
        isinstance(one, dict) and isinstance(one.get("item"), str) and _ITEM_ID.fullmatch(one["item"]) for one in found
    ):
        raise ConfigurationError(
            "The earlier record has no list of items: name what `report japan --format json -o FILE` wrote."
        )
    return {one["item"]: one for one in found}


def _differ(name: str, old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Nothing said, nothing given and nothing known are the same nothing."""
    return (old.get(name) or None) != (new.get(name) or None)


def _change(
    item: str | None, change: str, what: str | None, old: dict[str, Any], new: dict[str, Any], *, public: bool
) -> dict[str, Any]:
    listed = public and what in _LISTED
    return {
        "item": item,
        "change": change,
        "what": what,
        "before": None if what is None else _list(old.get(what)) if listed else _word(what, old.get(what)),
        "after": None if what is None else _list(new.get(what)) if listed else _word(what, new.get(what)),
    }


def _word(name: str, value: Any) -> str | None:
    """A fixed word or a date; nothing of what else a record may hold there."""
    if name in ("statement_date", "next_due"):
        return _date(value)
    return value if value in _FIXED.get(name, ()) else None


def _list(value: Any) -> str | None:
    return ", ".join(str(one) for one in value) if isinstance(value, list) and value else None


def _date(value: Any) -> str | None:
    try:
        return date.fromisoformat(value).isoformat() if isinstance(value, str) else None
    except ValueError:
        return None


def _previous(previous: dict[str, Any], statement: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {name: previous[name] for name in ("record_id", "content_sha256", "disclosure_level")}
    made |= {name: _date(previous.get(name)) for name in ("statement_date", "next_due")}
    due, now = made["next_due"], statement["statement_date"]
    return {**made, "late": _late(due, now)}


def _late(due: str | None, now: str | None) -> bool | None:
    if due is None or now is None:
        return None
    return date.fromisoformat(now) > date.fromisoformat(due)


def due_after(stated: date) -> date:
    """The last day of the twelve months after a statement: the same day of the next year, or 28 February."""
    leap = (stated.month, stated.day) == (2, 29)
    return date(stated.year + 1, stated.month, 28 if leap else stated.day)
