"""Shown fields of a record in words: labels and values as people read them, nothing left blank."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reports.fields import OTHER_WORDS, Field, Form, Source
from reports.levels import Month
from reports.render import Facts, Table
from reports.shares import SUPPRESSED
from reports.words import Words


def facts(shown: dict[str, Any], fields: Iterable[Field], words: Words) -> Facts:
    """The fields that ``shown`` holds, one a line; lists of objects are left to tables."""
    pairs = []
    for field in fields:
        if field.name not in shown or field.form is Form.RECORDS:
            continue
        if field.form is Form.RECORD and shown[field.name] is not None:
            inner = facts(shown[field.name], field.fields, words).pairs
            pairs += [(f"{words(field.shown_name)}: {name}", value) for name, value in inner]
        else:
            pairs.append((words(field.shown_name), said(shown[field.name], field, words)))
    return Facts(tuple(pairs))


def table(rows: list[dict[str, Any]], fields: tuple[Field, ...], words: Words, names: Iterable[str] = ()) -> Table:
    """Rows of a list of objects under labels; ``names`` chooses and orders the columns (default: all shown)."""
    by_name = {field.name: field for field in fields}
    wanted = [name for name in (list(names) or list(by_name)) if not rows or name in rows[0]]
    header = tuple(words(by_name[name].shown_name) for name in wanted)
    return Table(header, tuple(tuple(said(row[name], by_name[name], words) for name in wanted) for row in rows))


def said(value: Any, field: Field, words: Words) -> Any:
    """A value for people: in words where there is none, translated where its words are fixed."""
    if value is None or (field.form is Form.LOCALISED and not value):
        if field.none or field.source is Source.GIVEN:
            return words("none")
        if field.source is not Source.DECLARED:
            return words("not known")
        return words("not stated") if field.optional else words("withheld: not supplied")
    if field.form is Form.LOCALISED:
        return words.said(value)
    if field.form is Form.FLAG:
        return words("yes") if value else words("no")
    if value in ([], {}):
        return words("none")
    if field.form is Form.TALLY and SUPPRESSED in value.values():
        return words("suppressed: fewer than 100 in all")
    if field.form is Form.TALLY and field.words:
        return {words(spelt(name)): number for name, number in value.items()}
    if isinstance(value, list) and field.words:
        return [_word(one, field, words) for one in value]
    if isinstance(value, Month):
        return words.value(value)
    return _word(value, field, words) if isinstance(value, str) else value


def _word(value: str, field: Field, words: Words) -> str:
    """A fixed word in the reader's language; what the operator writes instead stays as it is."""
    known = value in field.words or value == OTHER_WORDS
    if value == SUPPRESSED and field.name.endswith("_ratio"):
        return words("suppressed: fewer than 100 in all")
    return words(value) if field.words and known else value


def spelt(name: str) -> str:
    """The fixed name of a tally's part as people read it, in English."""
    return name.replace("_", " ")
