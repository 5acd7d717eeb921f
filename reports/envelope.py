"""What every record carries besides its own fields: who answers, when, by which tool, from what, over what coverage."""

from __future__ import annotations

import json
import re
import secrets
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import crawl_audit
from crawl_audit.errors import CrawlAuditError
from crawl_audit.seal import parse_checkpoint, parse_note
from crawl_audit.site import list_version
from reports import blinding, disclaimers
from reports import coverage as coverage_of
from reports.declarations import Declarations
from reports.fields import Field, Form, Show, Source
from reports.log import Log
from reports.period import Period, iso, now
from reports.render import Document, Facts, Paragraph, Section
from reports.words import ENGLISH, Words

_ASTRAL = re.compile("[\U00010000-\U0010ffff]")
_SIDECARS = "names of sidecars; given to regulators"
_DECLARED = Source.DECLARED
_TOOL = Source.TOOL

OPERATOR = Field(
    name="operator",
    form=Form.RECORD,
    meaning="who answers for the crawlers",
    source=_DECLARED,
    fields=(
        Field(name="legal_name", form=Form.TEXT, meaning="legal entity", asked_by="EU 1.1, JP", source=_DECLARED),
        Field(name="country", form=Form.TEXT, meaning="ISO 3166-1 code of its seat", source=_DECLARED),
        Field(name="contact", form=Form.TEXT, meaning="where to write", asked_by="CoP 1.5, JP P1", source=_DECLARED),
        Field(
            name="eu_representative",
            form=Form.TEXT,
            meaning="authorised representative",
            asked_by="EU 1.1",
            source=_DECLARED,
            label="EU representative",
        ),
    ),
)
EGRESS = Field(
    name="egress_control",
    form=Form.RECORD,
    meaning="whether the network leaves crawlers no way past the sidecar",
    source=_DECLARED,
    label="Egress control",
    fields=(
        Field(
            name="forced",
            form=Form.FLAG,
            meaning="no other way out, says the operator",
            source=_DECLARED,
            label="All egress goes through the sidecar",
        ),
        Field(name="statement", form=Form.LOCALISED, meaning="in its own words", source=_DECLARED),
    ),
)
FIELDS: tuple[Field, ...] = (
    Field(name="record_type", form=Form.TEXT, meaning="kind of record", source=_TOOL, nullable=False),
    Field(name="schema_version", form=Form.TEXT, meaning="version of the kind's schema", source=_TOOL, nullable=False),
    Field(name="record_id", form=Form.TEXT, meaning="UUIDv7 of this record", source=_TOOL, nullable=False),
    Field(
        name="generated_at",
        nullable=False,
        form=Form.INSTANT,
        meaning="when the report was made, UTC",
        source=_TOOL,
        public=Show.AS_IS,
        regulator=Show.AS_IS,
    ),
    Field(
        name="tool",
        nullable=False,
        form=Form.RECORD,
        meaning="what made the report",
        source=_TOOL,
        fields=(
            Field(name="name", form=Form.TEXT, meaning="always crawl-audit", source=_TOOL),
            Field(name="version", form=Form.TEXT, meaning="its version", source=_TOOL),
            Field(name="psl_version", form=Form.TEXT, meaning="version of the Public Suffix List", source=_TOOL),
        ),
    ),
    Field(
        name="period",
        nullable=False,
        form=Form.RECORD,
        meaning="the period asked for, `from` included, `to` not; null: no limit",
        asked_by="EU 2.3 e, JP P1",
        source=Source.GIVEN,
        fields=(
            Field(name="from", form=Form.INSTANT, meaning="begin", source=Source.GIVEN, regulator=Show.AS_IS),
            Field(
                name="to",
                form=Form.INSTANT,
                meaning="end, not included",
                source=Source.GIVEN,
                regulator=Show.AS_IS,
                public=Show.LAST_MONTH,
            ),
        ),
    ),
    OPERATOR,
    EGRESS,
    Field(
        name="log_range",
        nullable=False,
        form=Form.RECORDS,
        key="log",
        meaning="the logs the answer rests on, and which records",
        public=Show.WITHHELD,
        reason="security",
        note=_SIDECARS,
        fields=(
            Field(name="log", form=Form.TEXT, meaning="id of the log"),
            Field(name="first_seq", form=Form.COUNT, meaning="first record"),
            Field(name="last_seq", form=Form.COUNT, meaning="last record"),
        ),
    ),
    Field(
        name="checkpoints",
        nullable=False,
        form=Form.RECORDS,
        key="log",
        meaning="latest signed head of each log, as `verify` takes it",
        public=Show.WITHHELD,
        reason="security",
        note=_SIDECARS,
        fields=(
            Field(name="log", form=Form.TEXT, meaning="id of the log"),
            Field(name="size", form=Form.COUNT, meaning="seals in its tree"),
            Field(name="root", form=Form.TEXT, meaning="root of its tree, hex"),
        ),
    ),
    Field(
        name="software",
        nullable=False,
        form=Form.TEXTS,
        meaning="what decided, proxied and stored, as canonical JSON of each run",
        public=Show.WITHHELD,
        reason="security",
        note="versions in use; given to regulators",
    ),
    Field(
        name="settings_sha256",
        nullable=False,
        form=Form.TEXTS,
        meaning="digests of the settings in force in the period",
        public=Show.WITHHELD,
        reason="security",
        note="settings in use; given to regulators",
    ),
    Field(name="row_count", form=Form.COUNT, meaning="rows of the report's main list", nullable=False),
    coverage_of.FIELD,
    Field(
        name="disclaimers",
        nullable=False,
        form=Form.RECORDS,
        key="id",
        meaning="what the record does not say",
        source=_TOOL,
        fields=(
            Field(name="id", form=Form.TEXT, meaning="fixed id", source=_TOOL),
            Field(name="text", form=Form.TEXT, meaning="fixed sentence", source=_TOOL),
        ),
    ),
)


def envelope(
    log: Log, period: Period, declared: Declarations, record: tuple[str, str], row_count: int, *disclaimer_ids: str
) -> dict[str, Any]:
    """The envelope of a ``record`` (type, version) that has ``row_count`` rows, at the internal level."""
    covered = coverage_of.coverage(log, period)
    runs = log.rows("runs", **period.parameters)
    return {
        **_about(period, declared, record, row_count, *disclaimer_ids),
        "log_range": [{key: one[key] for key in ("log", "first_seq", "last_seq")} for one in covered["logs"]],
        "checkpoints": _heads(log, {one["log"] for one in covered["logs"]}),
        "software": sorted({row["software"] for row in runs}),
        "settings_sha256": sorted({row["settings_sha256"] for row in runs}),
        "coverage": covered,
        "blind": blinding.secret(log),
    }


def empty(
    period: Period, declared: Declarations, record: tuple[str, str], reason: str, *disclaimer_ids: str
) -> dict[str, Any]:
    """The envelope of an answer from a log in which nothing can be read, for ``reason``."""
    return {
        **_about(period, declared, record, 0, *disclaimer_ids),
        **{name: [] for name in ("log_range", "checkpoints", "software", "settings_sha256")},
        "coverage": coverage_of.nothing(reason),
        "blind": None,
    }


def _about(
    period: Period, declared: Declarations, record: tuple[str, str], row_count: int, *disclaimer_ids: str
) -> dict[str, Any]:
    operator = declared.operator
    return {
        "record_type": record[0],
        "schema_version": record[1],
        "record_id": _uuid7(),
        "generated_at": now(),
        "tool": {"name": "crawl-audit", "version": crawl_audit.__version__, "psl_version": list_version()},
        "period": {"from": period.start, "to": period.end},
        "operator": {
            name: getattr(operator, name) for name in ("legal_name", "country", "contact", "eu_representative")
        },
        "egress_control": {"forced": declared.egress_control.forced, "statement": declared.egress_control.statement},
        "row_count": row_count,
        "disclaimers": disclaimers.chosen(*disclaimer_ids),
    }


def _uuid7() -> str:
    """A UUIDv7 (RFC 9562 5.7), as Python 3.14 will have it."""
    value = (time.time_ns() // 1_000_000) << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62
    return str(uuid.UUID(int=value | secrets.randbits(62)))


def _heads(log: Log, names: set[str]) -> list[dict[str, Any]]:
    """The latest checkpoints that lie beside the log, as they say; whether they hold is for `verify` to tell."""
    found = []
    for path in log.files.checkpoints:
        if path.stem not in names:
            continue
        with suppress(OSError, UnicodeDecodeError, CrawlAuditError):  # `verify` says what is wrong with it
            head = parse_checkpoint(parse_note(path.read_text(encoding="utf-8")).text)
            found.append({"log": path.stem, "size": head.size, "root": head.root.hex()})
    return found


def notice(shown: dict[str, Any], words: Words = ENGLISH) -> str | None:
    """What a record must begin with, in the words its level allows."""
    return coverage_of.notice(shown["coverage"], words)


def document(title: str, body: Sequence[Section], shown: dict[str, Any], words: Words = ENGLISH) -> Document:
    """The record for people: what must be known first, its own sections, then the envelope's."""
    return Document(
        title=title,
        sections=(*body, *sections(shown, words)),
        notice=notice(shown, words) or "",
        subtitle=_subtitle(shown, words),
        language=words.language,
    )


def _subtitle(shown: dict[str, Any], words: Words) -> tuple[str, ...]:
    """Whose record it is, of which period, for whose eyes."""
    operator = shown["operator"]["legal_name"] or words("operator not supplied")
    level = {
        "public": words("for the public"),
        "regulator": words("for regulators, confidential"),
        "internal": words("internal"),
    }[shown["disclosure_level"]]
    return (operator, period_text(shown, words), level)


def period_text(shown: dict[str, Any], words: Words = ENGLISH) -> str:
    """The period asked for, in words."""
    start, end = shown["period"]["from"], shown["period"]["to"]
    if start is None and end is None:
        return words("the whole log")
    return words(
        "{start} to {end}",
        start=start or words("the first record"),
        end=end or words("the last record"),
    )


def sections(shown: dict[str, Any], words: Words = ENGLISH) -> tuple[Section, ...]:
    """The envelope as the last sections of a document."""
    operator = [
        (words(field.shown_name), shown["operator"][field.name] or words("withheld: not supplied"))
        for field in OPERATOR.fields
    ]
    egress = shown["egress_control"]
    operator += [
        (words("All egress goes through the sidecar"), _flag(egress["forced"], words)),
        (words("Egress control"), words.said(egress["statement"]) or words("withheld: not supplied")),
    ]
    made = [
        Section(title=words("Operator (as declared)"), blocks=(Facts(tuple(operator)),)),
        Section(
            title=words("Coverage"),
            blocks=(
                *coverage_of.charts(shown["coverage"], words),
                *_said(coverage_of.summary(shown["coverage"], words)),
            ),
        ),
    ]
    if shown["withheld"]:
        lines = [f"{one['field']}: {words(one['reason_code'])} ({words(one['note'])})" for one in shown["withheld"]]
        made.append(Section(title=words("Withheld, and why"), blocks=_said(lines)))
    texts = [words(one["text"]) for one in shown["disclaimers"]]
    return (
        *made,
        Section(title=words("What this does not say"), blocks=_said(texts)),
        Section(title=words("About this report"), blocks=(Facts(_facts(shown, words)),)),
    )


def _said(lines: Sequence[str]) -> tuple[Paragraph, ...]:
    return tuple(Paragraph(line) for line in lines)


def _flag(value: bool | None, words: Words) -> str:
    return words("withheld: not supplied") if value is None else words("yes") if value else words("no")


def _facts(shown: dict[str, Any], words: Words) -> tuple[tuple[str, Any], ...]:
    ranges = "; ".join(f"{one['log']} {one['first_seq']}–{one['last_seq']}" for one in shown.get("log_range", ()))
    tool = shown["tool"]
    facts = [
        (words("Generated"), shown["generated_at"]),
        (words("By"), f"{tool['name']} {tool['version']}, PSL {tool['psl_version']}"),
        (words("Period"), period_text(shown, words)),
        (words("Records"), ranges or words("none, or withheld")),
        (words("Rows"), shown["row_count"]),
        (words("Record"), f"{shown['record_type']} {shown['schema_version']} {shown['record_id']}"),
        (words("Digest of its content"), shown["content_sha256"]),
    ]
    facts += [(words("Digest of the {level} version", level=name), value) for name, value in shown["tied"].items()]
    return tuple(facts)


def canonical(value: Any) -> bytes:
    """Canonical JSON of a shown record (RFC 8785: keys by UTF-16 code units; there are no fractions)."""
    text = _json(value, sort_keys=True)
    if _ASTRAL.search(text):  # only there code points and UTF-16 code units can differ in their order
        text = _json(_ordered(value), sort_keys=False)
    return text.encode("utf-8", "surrogatepass")


def _json(value: Any, *, sort_keys: bool) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=sort_keys)


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _ordered(value[key])
            for key in sorted(value, key=lambda k: str(k).encode("utf-16-be", "surrogatepass"))
        }
    return [_ordered(one) for one in value] if isinstance(value, list | tuple) else value


def at(moment: datetime | None) -> str | None:
    """An instant as records show it at the internal level."""
    return iso(moment)
