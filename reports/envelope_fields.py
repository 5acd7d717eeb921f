"""What every record carries besides its own fields, field by field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reports import coverage as coverage_of
from reports.fields import Field, Form, Show, Source

_SIDECARS = "names of sidecars; given to regulators"
_DECLARED = Source.DECLARED
_TOOL = Source.TOOL
_EEA = frozenset(
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK".split()
)  # fmt: skip
"""ISO 3166-1 codes of the states of the European Economic Area; AI Act, Article 54: who is seated elsewhere appoints a
representative."""


def needs_representative(operator: Mapping[str, Any]) -> bool:
    """Whether an operator is known to be seated outside the European Economic Area."""
    return operator["country"] is not None and operator["country"] not in _EEA


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
            meaning="authorised representative; asked of operators seated outside the EU and the EEA",
            asked_by="EU 1.1",
            source=_DECLARED,
            label="EU representative",
            asked_of=needs_representative,
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
