"""What every record carries besides its own fields as people read it: first what must be known first, then the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reports import coverage as coverage_of
from reports.envelope_fields import OPERATOR
from reports.fields import Field
from reports.render import Document, Facts, Paragraph, Section
from reports.words import ENGLISH, Words


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
        covered = shown["coverage"]["periods"]
        if not covered:
            return words("the whole log")
        first, last = covered[0]["from"], covered[-1]["to"]
        span = words.value(first) if first == last else words("{start} to {end}", start=first, end=last)
        return words("the whole log ({span})", span=span)
    return words(
        "{start} to {end}",
        start=start or words("the first record"),
        end=end or words("the last record"),
    )


def sections(shown: dict[str, Any], words: Words = ENGLISH) -> tuple[Section, ...]:
    """The envelope as the last sections of a document."""
    operator = [(words(field.shown_name), _operator(shown["operator"], field, words)) for field in OPERATOR.fields]
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


def _operator(operator: dict[str, Any], field: Field, words: Words) -> str:
    """What the operator says of itself; what nobody asks of it is not missing."""
    if operator[field.name] is not None:
        return str(operator[field.name])
    if field.asked_of is None or field.asked_of(operator):
        return words("withheld: not supplied")
    return words("not stated") if operator["country"] is None else words("not applicable")


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
