"""How a report comes about: one internal record, what a level may see of it, and that in the form asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from reports import envelope, envelope_fields, envelope_text
from reports.blinding import blind
from reports.canonical import canonical
from reports.declarations import Declarations
from reports.fields import NOT_SUPPLIED, Field, Form, RecordType, Source
from reports.levels import Level, withheld
from reports.log import Log
from reports.matching import Subject
from reports.period import Period
from reports.projection import project
from reports.render import Document, Section, Table
from reports.words import Words

_OWN = ("record_id", "generated_at", "content_sha256", "tied")
"""What is left out of a record's digest: two records of the same log and period say the same otherwise."""
_ABOVE: dict[Level, tuple[Level, ...]] = {
    Level.PUBLIC: (Level.REGULATOR, Level.INTERNAL),
    Level.REGULATOR: (Level.INTERNAL,),
    Level.INTERNAL: (),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a report is asked: of which log and period, with what the operator declares."""

    log: Log
    period: Period
    declared: Declarations = field(default_factory=Declarations)
    subject: Subject | None = None
    """Limits the report to a site, host or URL, where its kind can be limited."""
    as_of: datetime | None = None
    """The date whose robots.txt is asked about."""
    rows_max: int = 10_000
    """How many rows a list of single requests may have; what is left out is counted."""
    previous: dict[str, Any] | None = None
    """An earlier record of the same kind, to say what changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of report.

    ``make`` gives the values of ``record.fields`` at the internal level, instants as datetimes; ``body`` makes the
    sections for people of what a level may see of them, ``table`` the rows for CSV. ``counted`` names the main list.
    """

    name: str
    title: str
    record: RecordType
    counted: str
    disclaimers: tuple[str, ...]
    make: Callable[[Question], dict[str, Any]]
    body: Callable[[dict[str, Any], Words], list[Section]]
    table: Callable[[dict[str, Any]], Table]
    help: str = ""
    """What `--help` says, an example included."""
    takes: frozenset[str] = frozenset()
    """Which of the options that not every kind has it understands: `site`, `as_of`, `limit`, `previous`, `publish`."""
    level: Level = Level.INTERNAL
    """For whose eyes it is made where nobody says."""


def fields_of(kind: Kind) -> tuple[Field, ...]:
    """Every field of a record of this kind, the envelope's first; :data:`LAST` follow them."""
    return (*envelope_fields.FIELDS, *kind.record.fields)


LAST: tuple[Field, ...] = (
    Field(
        name="notice",
        form=Form.TEXT,
        meaning="what must be read first: requests that left unrecorded; null: nothing",
        source=Source.TOOL,
    ),
    Field(
        name="disclosure_level",
        form=Form.TEXT,
        meaning="for whose eyes it is",
        source=Source.TOOL,
        nullable=False,
        words=tuple(level.value for level in Level),
    ),
    Field(
        name="withheld",
        form=Form.RECORDS,
        key="field",
        meaning="what is left out, and why",
        asked_by="JP comply or explain",
        source=Source.TOOL,
        nullable=False,
        fields=(
            Field(name="field", form=Form.TEXT, meaning="path of the field", source=Source.TOOL, nullable=False),
            Field(name="reason_code", form=Form.TEXT, meaning="fixed word", source=Source.TOOL, nullable=False),
            Field(name="note", form=Form.TEXT, meaning="a phrase for people", source=Source.TOOL, nullable=False),
        ),
    ),
    Field(
        name="blind",
        form=Form.TEXT,
        source=Source.TOOL,
        meaning="octets that nobody outside can guess, so that a digest of the record tells nothing of what is in it;"
        " null: the record is public, or the log holds no salt",
    ),
    Field(
        name="content_sha256",
        form=Form.TEXT,
        source=Source.TOOL,
        nullable=False,
        meaning="SHA-256 of this record as canonical JSON (RFC 8785), without itself, record_id, generated_at and tied",
    ),
    Field(
        name="tied",
        form=Form.RECORD,
        source=Source.TOOL,
        nullable=False,
        meaning="content_sha256 of the same record at the levels above, so that versions can be tied together; null:"
        " the log holds no salt to blind it",
        fields=(
            Field(name="regulator", form=Form.TEXT, meaning="in a public record", source=Source.TOOL),
            Field(name="internal", form=Form.TEXT, meaning="in a public or regulator's record", source=Source.TOOL),
        ),
    ),
)
"""What is added to a record at its level; `tied` holds only the levels above that of the record."""


def record(kind: Kind, question: Question) -> dict[str, Any]:
    """The internal record: everything, whoever may see it."""
    made = kind.make(question)
    rows = len(made[kind.counted])
    about = envelope.envelope(
        question.log,
        question.period,
        question.declared,
        (kind.record.name, kind.record.version),
        rows,
        *kind.disclaimers,
    )
    return {**about, **made}


def at_level(
    internal: dict[str, Any], fields: tuple[Field, ...], level: Level, key: bytes | None = None
) -> dict[str, Any]:
    """What ``level`` may see of a record, with what is withheld and the digests that tie the levels together."""
    known = internal.get("blind")
    shown = _blinded(internal, fields, level, key)
    tied = {
        other.value: None if known is None else digest(_blinded(internal, fields, other, key))
        for other in _ABOVE[level]
    }
    return {**shown, "content_sha256": digest(shown), "tied": tied}


def _blinded(internal: dict[str, Any], fields: tuple[Field, ...], level: Level, key: bytes | None) -> dict[str, Any]:
    """A record as far as its digest goes: it depends on log, question and level alone."""
    projected = project({name: value for name, value in internal.items() if name != "blind"}, fields, level, key)
    left = [*projected.withheld]
    if internal.get("blind") is None and _ABOVE[level]:
        left.append(withheld("tied", "not_applicable", "the log holds no salt: a digest could be guessed"))
    content = {
        "notice": envelope_text.notice(projected.shown),
        **projected.shown,
        "disclosure_level": level.value,
        "withheld": left,
    }
    return {**content, "blind": blind(internal.get("blind"), level, _canonical(content))}


def digest(shown: dict[str, Any]) -> str:
    """The `content_sha256` of a shown record: of everything but what names and ties it."""
    return hashlib.sha256(_canonical(shown)).hexdigest()


def _canonical(shown: dict[str, Any]) -> bytes:
    return canonical({name: value for name, value in shown.items() if name not in _OWN})


def supplied(shown: dict[str, Any]) -> bool:
    """Whether the operator file says everything the record asks of it."""
    return all(one["reason_code"] != NOT_SUPPLIED for one in shown["withheld"])


def document(kind: Kind, shown: dict[str, Any], words: Words) -> Document:
    """The record for people."""
    return envelope_text.document(words(kind.title), kind.body(shown, words), shown, words)
