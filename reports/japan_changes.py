"""What a statement under Japan's Principle Code changes against the one before it."""

from __future__ import annotations

from datetime import date
from typing import Any

from crawl_audit.errors import ConfigurationError
from reports.fields import Field, Form, Source

_TOOL, _GIVEN = Source.TOOL, Source.GIVEN
_WHOLE = ("acceptance", "role", "services", "models", "statement_date")
_IN_ITEM = ("status", "text", "reason_code", "reason", "title", "basis_mark")
_NAMED = ("status", "reason_code", "basis_mark")
"""Where the change is a word, that is shown; of texts only that they changed."""

PREVIOUS = Field(
    name="previous_statement",
    form=Form.RECORD,
    meaning="the statement this one follows; null: none was given",
    asked_by="JP comply or explain",
    source=_GIVEN,
    fields=(
        Field(name="record_id", form=Form.TEXT, meaning="its record_id", source=_GIVEN),
        Field(name="content_sha256", form=Form.TEXT, meaning="its digest", source=_GIVEN),
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
        Field(name="before", form=Form.TEXT, meaning="word before; null: none, or a longer text", source=_GIVEN),
        Field(name="after", form=Form.TEXT, meaning="word after; null: none, or a longer text", source=_TOOL),
    ),
)


def compared(previous: dict[str, Any] | None, statement: dict[str, Any]) -> dict[str, Any]:
    """The values of PREVIOUS and CHANGES for ``statement`` (its own values); None without a previous one.

    Raises ConfigurationError where the previous record has no list of items.
    """
    if previous is None:
        return {"previous_statement": None, "diff_since_previous": None}
    before, after = _items(previous.get("items")), _items(statement["items"])
    changes = [
        _change(None, "changed", name, previous, statement) for name in _WHOLE if _differ(name, previous, statement)
    ]
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old is None or new is None:
            changes.append(_change(name, "added" if old is None else "removed", None, {}, {}))
        else:
            changes += [_change(name, "changed", one, old, new) for one in _IN_ITEM if _differ(one, old, new)]
    return {"previous_statement": _previous(previous, statement), "diff_since_previous": changes}


def _items(found: Any) -> dict[str, dict[str, Any]]:
    """id → item; what was written by somebody else is looked at before it is used."""
    if not isinstance(found, list) or not all(
        isinstance(one, dict) and isinstance(one.get("item"), str) for one in found
    ):
        raise ConfigurationError(
            "The earlier record has no list of items: name what `report japan --format json -o FILE` wrote."
        )
    return {one["item"]: one for one in found}


def _differ(name: str, old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Nothing said, nothing given and nothing known are the same nothing."""
    return (old.get(name) or None) != (new.get(name) or None)


def _change(
    item: str | None, change: str, what: str | None, old: dict[str, Any], new: dict[str, Any]
) -> dict[str, Any]:
    named = what in _NAMED or (item is None and what is not None)
    return {
        "item": item,
        "change": change,
        "what": what,
        "before": _word(old.get(what)) if named and what else None,
        "after": _word(new.get(what)) if named and what else None,
    }


def _word(value: Any) -> str | None:
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    return None if value is None else str(value)


def _previous(previous: dict[str, Any], statement: dict[str, Any]) -> dict[str, Any]:
    names = ("record_id", "content_sha256", "statement_date", "next_due")
    made: dict[str, Any] = {name: _word(previous.get(name)) for name in names}
    due, now = made["next_due"], statement["statement_date"]
    return {**made, "late": _late(due, now)}


def _late(due: str | None, now: str | None) -> bool | None:
    if due is None or now is None:
        return None
    try:
        return date.fromisoformat(now) > date.fromisoformat(due)
    except ValueError:
        return None


def due_after(stated: date) -> date:
    """The last day of the twelve months after a statement: the same day of the next year, or 28 February."""
    leap = (stated.month, stated.day) == (2, 29)
    return date(stated.year + 1, stated.month, 28 if leap else stated.day)
