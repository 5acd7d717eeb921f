"""What a statement under Japan's Principle Code holds, field by field (record `jp_statement`)."""

from __future__ import annotations

from reports import japan_changes, japan_facts
from reports.fields import Field, Form, RecordType, Source

_TOOL, _DECLARED = Source.TOOL, Source.DECLARED
TO_WEIGH = ("violations", "without_token", "faster_than_asked", "slow_down_answers", "barriers")
"""What of the log is named beside a status: fields of the crawlers."""


def _word(name: str, meaning: str, words: tuple[str, ...] = (), *, label: str = "", optional: bool = False) -> Field:
    return Field(
        name=name, form=Form.TEXT, meaning=meaning, label=label, source=_DECLARED, words=words, optional=optional
    )


ITEM = (
    Field(name="item", form=Form.TEXT, meaning="principle and key, for example `2.conditions`", source=_TOOL),
    Field(name="principle", form=Form.TEXT, meaning="principle", source=_TOOL, words=("1", "2", "3")),
    Field(name="key", form=Form.TEXT, meaning="key of the item under its principle", source=_TOOL),
    Field(name="title", form=Form.LOCALISED, meaning="heading; a summary, not text of the code", source=_TOOL),
    Field(name="basis_mark", form=Form.TEXT, meaning="how its wording is known", source=_TOOL, words=("F", "D", "U")),
    Field(
        name="basis_by",
        form=Form.TEXT,
        meaning="whose word the basis mark is",
        source=_TOOL,
        words=("crawl-audit", "operator"),
    ),
    Field(name="outside_tool", form=Form.FLAG, meaning="no log can answer it: the operator's words only", source=_TOOL),
    _word("status", "what the operator states", ("comply", "partial", "explain", "not_applicable")),
    Field(
        name="support",
        form=Form.TEXT,
        meaning="what the status rests on; null: there is no status",
        source=_TOOL,
        words=("log and operator", "operator assertion"),
    ),
    Field(
        name="text", form=Form.LOCALISED, meaning="what the operator says of it", source=_DECLARED, label="Statement"
    ),
    _word("reason_code", "kind of reason, where it is not (wholly) implemented", optional=True, label="Kind of reason"),
    Field(
        name="reason",
        form=Form.LOCALISED,
        meaning="the explanation; asked of `partial` and `explain`, else empty where there is none",
        source=_DECLARED,
        label="Explanation",
    ),
    Field(name="shows", form=Form.TEXTS, meaning="fields of this record in which the log shows something of it"),
    Field(
        name="declares", form=Form.TEXTS, meaning="fields in which the operator declares something of it", source=_TOOL
    ),
    Field(
        name="to_weigh",
        form=Form.TEXTS,
        meaning="counts above zero in the log that a reader has to weigh against the status",
        label="To be weighed",
    ),
    Field(name="evidence", form=Form.TEXTS, meaning="types of the attached records about it", source=_TOOL),
    Field(
        name="references",
        form=Form.TEXTS,
        meaning="other evidence the operator refers to; not looked at",
        source=_DECLARED,
    ),
)
CODE = (
    Field(name="title", form=Form.LOCALISED, meaning="title of the code", source=_DECLARED),
    _word("version", "date of publication", label="Published"),
    Field(
        name="text_sha256",
        form=Form.TEXT,
        meaning="SHA-256 of the text the operator works by",
        source=_DECLARED,
        label="Digest of its text",
        optional=True,
    ),
)
NOTIFICATION = (
    _word("form_version", "date of the notification form", label="Form of"),
    _word("filed_at", "when it was filed; null: not stated", label="Filed", optional=True),
    _word("receipt", "receipt", optional=True),
    _word("registry_url", "entry in the public list", label="Entry in the list", optional=True),
)
FORM = (
    Field(name="field", form=Form.TEXT, meaning="field of the form, as the operator file names it", source=_DECLARED),
    _word("value", "its value; null: an item answers it", optional=True),
    _word("item", "item that answers it; null: the value does", optional=True),
)
EVIDENCE = (
    Field(name="record_type", form=Form.TEXT, meaning="type of record", source=_TOOL),
    Field(name="kind", form=Form.TEXT, meaning="`report` command that makes it", source=_TOOL),
    Field(name="public_sha256", form=Form.TEXT, meaning="its content_sha256 at level public", source=_TOOL),
    Field(
        name="internal_sha256",
        form=Form.TEXT,
        meaning="its content_sha256 at level internal; null: the log holds no salt",
        source=_TOOL,
    ),
)
RECORD = RecordType(
    name="jp_statement",
    version="1.0",
    meaning="the annual statement under Japan's Principle Code: what is implemented, what is not, and why",
    fields=(
        Field(name="code", form=Form.RECORD, meaning="the code", source=_DECLARED, fields=CODE),
        _word("acceptance", "whether the operator accepts the code", ("accepts", "partially", "not")),
        _word("accepted_at", "since when", label="Accepted on", optional=True),
        _word("signatory", "who signs"),
        _word("role", "in the words of the code", ("developer", "provider", "both")),
        Field(name="services", form=Form.TEXTS, meaning="services it is about", source=_DECLARED),
        Field(name="models", form=Form.TEXTS, meaning="models it is about", source=_DECLARED),
        _word("statement_date", "date of the statement", label="Date of the statement"),
        Field(
            name="next_due",
            form=Form.TEXT,
            meaning="twelve months after it, when the next one is due; null: no date is stated",
            asked_by="JP comply or explain",
            source=_TOOL,
            label="Next statement due by",
        ),
        Field(
            name="principles",
            form=Form.RECORDS,
            key="principle",
            meaning="headings of the principles; summaries, not text of the code",
            source=_TOOL,
            fields=(ITEM[1], ITEM[3]),
        ),
        Field(
            name="items",
            form=Form.RECORDS,
            key="item",
            meaning="one object per item of the code",
            asked_by="JP P1, JP P2, JP P3",
            source=_DECLARED,
            fields=ITEM,
        ),
        japan_facts.CRAWLERS,
        japan_facts.SIGNALS,
        japan_facts.LOG_SPAN,
        japan_facts.RETENTION,
        Field(
            name="evidence", form=Form.RECORDS, key="kind", meaning="attached records", source=_TOOL, fields=EVIDENCE
        ),
        Field(
            name="notification",
            form=Form.RECORD,
            meaning="the notification to the Cabinet Office, as the operator states it",
            source=_DECLARED,
            fields=NOTIFICATION,
        ),
        Field(
            name="form",
            form=Form.RECORDS,
            key="field",
            meaning="fields of the notification form, in the order of the operator file",
            source=_DECLARED,
            fields=FORM,
        ),
        japan_changes.PREVIOUS,
        japan_changes.CHANGES,
    ),
)
