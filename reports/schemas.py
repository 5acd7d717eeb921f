"""JSON Schemas of the records, made from their declarations: what a level is not shown, its schema does not allow."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from reports import envelope_fields, judged_again, lineage
from reports.canonical import canonical
from reports.fields import OTHER_WORDS, Field, Form, RecordType, Show, Source
from reports.kinds import inquiry_record
from reports.kinds.registry import KINDS
from reports.levels import Level
from reports.report import LAST

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_DAY = r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_DIGEST: dict[str, Any] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_BAND: dict[str, Any] = {"anyOf": [{"const": 0}, {"type": "string", "pattern": "^10*-9+$"}]}
_SHARE: dict[str, Any] = {"type": "string", "pattern": r"^(<0\.01|0\.[0-9]{2}|>0\.99|1\.00|suppressed)$"}
_KEYED: dict[str, Any] = {"type": "string", "pattern": "^hmac-sha256:[0-9a-f]{64}$"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_MONTH = r"^(0[1-9]|1[0-2])/[0-9]{4}$"
_INSTANTS = {
    Show.AS_IS: f"^{_DAY}" + r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{6})?Z$",
    Show.DAY: f"^{_DAY}$",
    Show.MONTH: _MONTH,
    Show.LAST_MONTH: _MONTH,
}
_ANNOTATIONS = ("$comment", "description", "title")


def record_types() -> tuple[RecordType, ...]:
    """Every type of record that has a schema, in the order of the reports."""
    return (*(kind.record for kind in KINDS), inquiry_record.RECORD, lineage.RECORD, judged_again.RECORD)


def file_name(record: RecordType) -> str:
    """The name of its schema's file in docs/schemas."""
    return f"{record.name}-{record.version}.schema.json"


def schema(record: RecordType) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a type of record: one variant for each level, told apart by the level."""
    return {
        "$schema": DIALECT,
        "$id": f"urn:crawl-audit:schema:{record.name}:{record.version}",
        "title": f"{record.name} {record.version}",
        "description": f"{record.meaning[0].upper()}{record.meaning[1:]}.",
        "oneOf": [{"$ref": f"#/$defs/{level}"} for level in Level],
        "$defs": {level.value: _variant(record, level) for level in Level},
    }


def schema_text(record: RecordType) -> str:
    """The schema as its file holds it."""
    return json.dumps(schema(record), indent=1, ensure_ascii=False) + "\n"


def structure_sha256(record: RecordType) -> str:
    """Digest of what a schema demands, its explanations left out: a change of it needs a new version."""
    return hashlib.sha256(canonical(bare(schema(record)))).hexdigest()


def bare(node: Any, names: bool = False) -> Any:
    """A schema without annotations; under ``properties`` the same words are names of fields."""
    if isinstance(node, dict):
        return {
            key: bare(value, key in ("properties", "$defs") and not names)
            for key, value in node.items()
            if names or key not in _ANNOTATIONS
        }
    return [bare(one) for one in node] if isinstance(node, list) else node


def _variant(record: RecordType, level: Level) -> dict[str, Any]:
    made = _object((*envelope_fields.FIELDS, *record.fields, *LAST), level)
    own: dict[str, Any] = made["properties"]
    fixed = {"record_type": record.name, "schema_version": record.version, "disclosure_level": level.value}
    for name, value in fixed.items():
        own[name] = {"const": value, **{key: own[name][key] for key in _ANNOTATIONS if key in own[name]}}
    own["content_sha256"] |= _DIGEST
    own["blind"] = {**_described(LAST, "blind"), **({"type": "null"} if level is Level.PUBLIC else _or_null(_DIGEST))}
    above = list(Level)[list(Level).index(level) + 1 :]
    own["tied"] = {
        **_described(LAST, "tied"),
        "type": "object",
        "properties": {other.value: _or_null(_DIGEST) for other in above},
        "required": [other.value for other in above],
        "additionalProperties": False,
    }
    return made


def _described(fields: tuple[Field, ...], name: str) -> dict[str, Any]:
    return {"description": next(field.meaning for field in fields if field.name == name)}


def _object(fields: tuple[Field, ...], level: Level) -> dict[str, Any]:
    """An object with the fields that ``level`` is shown, and no other; those shown under a key may be missing."""
    shown = [field for field in fields if field.show(level) is not Show.WITHHELD]
    return {
        "type": "object",
        "properties": {field.name: _field(field, level) for field in shown},
        "required": [field.name for field in shown if field.show(level) is not Show.KEYED],
        "additionalProperties": False,
    }


def _field(field: Field, level: Level) -> dict[str, Any]:
    show = field.show(level)
    value = _value(field, show, level)
    made = {"description": field.meaning, **(_or_null(value) if field.nullable else value)}
    if level is Level.INTERNAL:  # said once
        asked = f"; asked by: {field.asked_by}" if field.asked_by else ""
        made["$comment"] = f"source: {field.source}{asked}"
    return made


def _or_null(value: dict[str, Any]) -> dict[str, Any]:
    if isinstance(value.get("type"), str) and "enum" not in value:
        return {**value, "type": [value["type"], "null"]}
    return {"anyOf": [value, {"type": "null"}]}


def _value(field: Field, show: Show, level: Level) -> dict[str, Any]:
    if field.form is Form.RECORD:
        return _object(field.fields, level)
    if field.form is Form.RECORDS:
        return {"type": "array", "items": _object(field.fields, level)}
    if field.form is Form.FLAG:
        return {"type": "boolean"}
    if field.form is Form.COUNT:
        return _BAND if show is Show.BAND else _COUNT
    if field.form is Form.INSTANT:
        return {"type": "string", "pattern": _INSTANTS[show]}
    if field.form is Form.TALLY:
        each = {Show.BAND: _BAND, Show.SHARE: _SHARE}.get(show, _COUNT)
        if field.words:
            return {"type": "object", "properties": dict.fromkeys(field.words, each), "additionalProperties": False}
        return {"type": "object", "additionalProperties": each}
    if field.form is Form.LOCALISED:
        text = {"type": "string", "minLength": 1}
        return {"type": "object", "properties": {"en": text, "ja": text}, "additionalProperties": False}
    if field.words and show is Show.FIXED:
        enum = {"type": "string", "enum": [*field.words, OTHER_WORDS]}
        return {"type": "array", "items": enum} if field.form is Form.TEXTS else enum
    text = _KEYED if show is Show.KEYED else {"type": "string"}
    if field.form is Form.TEXTS:
        return {"type": "array", "items": text}
    return {"type": "string", "enum": list(field.words)} if field.words and not field.open else text


def rows(record: RecordType) -> list[tuple[str, ...]]:
    """Its own fields for a table: path, meaning, who asks, source, what public and regulators are shown."""
    return list(_rows(record.fields, "", dict.fromkeys(Level, False)))


def envelope_rows() -> list[tuple[str, ...]]:
    """The same for what every record carries."""
    return list(_rows((*envelope_fields.FIELDS, *LAST), "", dict.fromkeys(Level, False)))


def _rows(fields: tuple[Field, ...], place: str, hidden: dict[Level, bool]) -> list[tuple[str, ...]]:
    made: list[tuple[str, ...]] = []
    for field in fields:
        gone = {level: hidden[level] or field.show(level) is Show.WITHHELD for level in Level}
        shown = (_shown(field, level, gone[level]) for level in (Level.PUBLIC, Level.REGULATOR))
        made.append((place + field.name, field.meaning, field.asked_by, _SOURCES[field.source], *shown))
        inner = place + field.name + ("[]." if field.form is Form.RECORDS else ".")
        made += _rows(field.fields, inner, gone)
    return made


_SOURCES = {Source.LOG: "log", Source.DECLARED: "operator", Source.GIVEN: "asker", Source.TOOL: "tool"}


def _shown(field: Field, level: Level, gone: bool) -> str:
    if not gone:
        return "yes" if field.show(level) is Show.AS_IS else field.show(level).value
    return f"withheld ({field.reason or 'trade_secret'})" if field.show(level) is Show.WITHHELD else "withheld"
