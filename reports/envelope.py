"""What every report carries besides its rows: when, by which tool, from which records, over what coverage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import crawl_audit
from reports import coverage as coverage_of
from reports import disclaimers
from reports.log import Log
from reports.period import Period, iso, now
from reports.render import Document, Facts, Paragraph, Section


def envelope(log: Log, period: Period, row_count: int, *disclaimer_ids: str) -> dict[str, Any]:
    """The envelope of an answer that has ``row_count`` rows."""
    covered = coverage_of.coverage(log, period)
    return {
        "notice": coverage_of.notice(covered),
        "generated_at": iso(now()),
        "tool": {"name": "crawl-audit", "version": crawl_audit.__version__},
        "period": {"from": iso(period.start), "to": iso(period.end)},
        "log_range": [{key: one[key] for key in ("log", "first_seq", "last_seq")} for one in covered["logs"]],
        "row_count": row_count,
        "coverage": covered,
        "disclaimers": disclaimers.chosen(*disclaimer_ids),
    }


def empty(period: Period, reason: str, *disclaimer_ids: str) -> dict[str, Any]:
    """The envelope of an answer from a log in which nothing can be read, for ``reason``."""
    return {
        "notice": None,
        "generated_at": iso(now()),
        "tool": {"name": "crawl-audit", "version": crawl_audit.__version__},
        "period": {"from": iso(period.start), "to": iso(period.end)},
        "log_range": [],
        "row_count": 0,
        "coverage": coverage_of.nothing(reason),
        "disclaimers": disclaimers.chosen(*disclaimer_ids),
    }


def document(title: str, body: Sequence[Section], answer: dict[str, Any]) -> Document:
    """The answer for people: what must be known first, its own sections, then the envelope's."""
    return Document(title=title, sections=(*body, *sections(answer)), notice=answer["notice"] or "")


def report_document(title: str, body: Sequence[Section], answer: dict[str, Any]) -> Document:
    """As :func:`document`, for a report with the operator's word and what is withheld."""
    return Document(title=title, sections=(*body, *report_sections(answer)), notice=answer["notice"] or "")


def period_text(answer: dict[str, Any]) -> str:
    """The period asked for, in words."""
    start, end = answer["period"]["from"], answer["period"]["to"]
    return f"{start or 'the first record'} to {end or 'the last record'} (end not included)"


def sections(answer: dict[str, Any]) -> tuple[Section, ...]:
    """The envelope as the last sections of a document."""
    lines = coverage_of.summary(answer["coverage"]) if "logs" in answer["coverage"] else [_public(answer["coverage"])]
    ranges = "; ".join(f"{one['log']} {one['first_seq']}–{one['last_seq']}" for one in answer["log_range"])
    about = (
        ("Generated", answer["generated_at"]),
        ("By", f"{answer['tool']['name']} {answer['tool']['version']}"),
        ("Period", period_text(answer)),
        ("Records", ranges or "none"),
        ("Rows", answer["row_count"]),
    )
    return (
        Section(title="Coverage", blocks=tuple(Paragraph(line) for line in lines)),
        Section(title="What this does not say", blocks=tuple(Paragraph(d["text"]) for d in answer["disclaimers"])),
        Section(title="About this report", blocks=(Facts(about),)),
    )


def _public(covered: dict[str, Any]) -> str:
    """Coverage at the public level, where logs and exact times are withheld."""
    spans = "; ".join(f"{span['from']} to {span['to']}" for span in covered["periods"]) or "nothing"
    said = coverage_of.notice(covered)
    counted = f"Covered: {spans}; {covered['gap_count']} gaps; {covered['dropped_records']} records dropped."
    return counted if said is None else f"{said} {counted}"


def report_sections(answer: dict[str, Any]) -> tuple[Section, ...]:
    """The envelope of a report, with the operator's word and what is withheld."""
    made = []
    if answer["operator"]:
        pairs = tuple((name.replace("_", " "), value) for name, value in answer["operator"].items())
        made.append(Section(title="Operator (as declared)", blocks=(Facts(pairs),)))
    if answer["withheld"]:
        lines = tuple(Paragraph(f"{one['field']}: {one['reason_code']} ({one['note']})") for one in answer["withheld"])
        made.append(Section(title=f"Withheld at level {answer['disclosure_level']}", blocks=lines))
    return (*made, *sections(answer))
