"""What was asked of each site (registrable domain) in a period, what came back, and on what the verdicts rest."""

from __future__ import annotations

from typing import Any

from reports import pace, render
from reports.attestations import STATUSES, Attestations
from reports.crawler_declared import purpose
from reports.crawler_fields import CONTENT, MODALITIES
from reports.facts import table
from reports.fields import Field, Form, RecordType, Show, Source
from reports.kinds.activity import ranked_chart
from reports.log import Row
from reports.recorded_settings import configured_crawlers
from reports.report import Kind, Question
from reports.reservations import PREFERENCES_ONLY
from reports.words import Words

SITES_DRAWN = 20
RANK_BASIS = "octets of content as received, before content decoding; robots.txt and denied requests left out"
_D = Source.DECLARED

_SITE = (
    Field(
        name="rank",
        form=Form.COUNT,
        meaning=f"place by {RANK_BASIS}; ties by name; null: no content came",
        asked_by="EU 2.3 h",
        none=True,
    ),
    Field(name="site", form=Form.TEXT, meaning="registrable domain (Public Suffix List, ICANN part), or the address"),
    Field(name="hosts", form=Form.COUNT, meaning="hosts asked"),
    Field(name="crawlers", form=Form.TEXTS, meaning="configured ids of those that asked", asked_by="EU 2.3 c, JP P2"),
    Field(
        name="purposes",
        form=Form.TEXTS,
        meaning="declared purposes of these crawlers, in the operator file or else in recorded settings",
        asked_by="EU 2.3 c, JP P2",
        source=_D,
    ),
    Field(name="first_at", form=Form.INSTANT, meaning="first decision", asked_by="JP P2", label="First"),
    Field(name="last_at", form=Form.INSTANT, meaning="last decision", asked_by="JP P2", label="Last"),
    Field(name="requests", form=Form.COUNT, meaning="requests decided on, /robots.txt included"),
    Field(name="forwarded", form=Form.COUNT, meaning="of these, forwarded"),
    Field(name="denied", form=Form.COUNT, meaning="of these, denied"),
    Field(name="disallowed", form=Form.COUNT, meaning="requests the site disallows", asked_by="CoP 1.3"),
    Field(name="violations", form=Form.COUNT, meaning="disallowed and forwarded nevertheless", asked_by="CoP 1.3"),
    Field(name="successes", form=Form.COUNT, meaning="2xx answers, robots.txt included", label="Answers 2xx"),
    Field(name="content_responses", form=Form.COUNT, meaning=CONTENT, label="Answers with content"),
    Field(
        name="content_bytes",
        form=Form.COUNT,
        meaning="octets of their bodies as received, before content decoding",
        asked_by="EU 2.3 h",
        label="Octets of content",
    ),
    Field(
        name="unique_bodies",
        form=Form.COUNT,
        meaning="different bodies among them, by SHA-256; those cut short have none and do not count",
        label="Different bodies",
    ),
    Field(
        name="bytes",
        form=Form.COUNT,
        meaning="octets of all response bodies received, errors and robots.txt included, before content decoding",
        label="Octets received in all",
    ),
    Field(
        name="modalities",
        form=Form.TALLY,
        meaning="answers with content, by kind after Content-Type; unknown: none was sent",
        asked_by="EU 2.3 g",
        label="Content by kind",
        words=MODALITIES,
    ),
    Field(name="robots_basis", form=Form.TALLY, meaning="why verdicts were so", label="Basis of verdicts"),
    Field(
        name="robots_copies",
        form=Form.COUNT,
        meaning="different robots.txt that verdicts rest on",
        asked_by="CoP 1.3",
        label="Copies of robots.txt",
    ),
    Field(
        name="signals",
        form=Form.TEXTS,
        meaning="protocols of the usage preferences found, in robots.txt or in an answer; what they say is not told",
        asked_by="CoP 1.3, EU 3.1",
        label="Usage preferences found",
    ),
    pace.FIELD,
    Field(
        name="training_use_status",
        form=Form.TEXT,
        meaning="what the operator attests; never derived from the log",
        asked_by="EU 2.3, JP P2",
        source=_D,
        label="Training use",
        words=STATUSES,
        nullable=False,
    ),
    Field(name="attested_by", form=Form.TEXT, meaning="who attests it; null: nobody", source=_D, optional=True),
    Field(name="attested_at", form=Form.TEXT, meaning="day of the attestation; null: none", source=_D, optional=True),
    Field(
        name="attestation",
        form=Form.TEXT,
        meaning="its reference; null: none",
        source=_D,
        optional=True,
        label="Reference of the attestation",
    ),
)
RECORD = RecordType(
    name="domain_activity",
    version="1.0",
    meaning="what was asked of each site in a period",
    fields=(
        Field(
            name="rank_basis",
            form=Form.TEXT,
            meaning="what sites are ranked by",
            asked_by="EU 2.3 h",
            source=Source.TOOL,
            label="Ranked by",
            words=(RANK_BASIS,),
        ),
        Field(
            name="sites_with_content",
            form=Form.COUNT,
            meaning="sites that gave content, and so have a rank",
            asked_by="EU 2.3 h",
        ),
        Field(
            name="content_bytes", form=Form.COUNT, meaning="octets of content of all sites", label="Octets of content"
        ),
        Field(
            name="sites",
            form=Form.RECORDS,
            key="site",
            meaning="one object per registrable domain, by rank, those without one after them by name",
            asked_by="EU 2.3 h, JP P2",
            fields=_SITE,
            public=Show.WITHHELD,
            reason="trade_secret",
            note="names of sites and volumes; given to regulators",
        ),
    ),
)
_COUNTED = ("hosts", "requests", "forwarded", "denied", "disallowed", "violations", "robots_copies")
_CONTENT = ("successes", "content_responses", "content_bytes", "unique_bodies", "bytes")
_COLUMNS = (
    "rank",
    "site",
    "crawlers",
    "first_at",
    "last_at",
    "requests",
    "denied",
    "violations",
    "content_responses",
    "content_bytes",
    "bytes",
    "modalities",
    "signals",
    "training_use_status",
)


def make(question: Question) -> dict[str, Any]:
    """The record at the internal level."""
    log, parameters = question.log, question.period.parameters
    content = {row["site"]: row for row in log.rows("sites_content", **parameters)}
    signals = {row["site"]: row["protocols"] for row in log.rows("sites_signals", **PREFERENCES_ONLY, **parameters)}
    purposes, attested = _purposes(question), Attestations(question.declared)
    made = [
        _site(row, content.get(row["site"]), signals.get(row["site"], []), purposes, attested)
        for row in log.rows("sites", **parameters)
    ]
    made.sort(key=lambda one: (-one["content_bytes"], one["site"]))
    ranked = [one for one in made if one["content_bytes"]]
    for place, one in enumerate(ranked, start=1):
        one["rank"] = place
    return {
        "rank_basis": RANK_BASIS,
        "sites_with_content": len(ranked),
        "content_bytes": sum(one["content_bytes"] for one in ranked),
        "sites": made,
    }


def _purposes(question: Question) -> dict[str, str]:
    """crawler → what it is declared to be for, as far as anybody says."""
    configured = configured_crawlers(question.log)
    names = {*configured, *(one.id for one in question.declared.crawler)}
    codes = {name: purpose(question.declared.of_crawler(name), configured.get(name, {}))[0] for name in names}
    return {name: code for name, code in codes.items() if code is not None}


def _site(
    row: Row, content: Row | None, signals: list[str], purposes: dict[str, str], attested: Attestations
) -> dict[str, Any]:
    met = content or {}
    said = attested.of(row["site"])
    return {
        "rank": None,
        "site": row["site"],
        "crawlers": row["crawlers"],
        "purposes": sorted({purposes[name] for name in row["crawlers"] if name in purposes}),
        **{name: row[name] for name in _COUNTED},
        **{name: met.get(name, 0) for name in _CONTENT},
        "modalities": {name: met[f"of_{name}"] for name in MODALITIES if met.get(f"of_{name}")},
        "first_at": row["first_at"],
        "last_at": row["last_at"],
        "robots_basis": row["by_basis"],
        "signals": signals,
        "pace": pace.pace(row),
        "training_use_status": attested.status(row["site"]),
        "attested_by": None if said is None else said.attested_by,
        "attested_at": None if said is None else said.attested_at.isoformat(),
        "attestation": None if said is None else said.reference,
    }


def body(shown: dict[str, Any], words: Words) -> list[render.Section]:
    """How many, the sites with the most content, and one table of them all, or why there is none."""
    if not shown["row_count"]:
        return [render.Section(title="", blocks=(render.Paragraph(words("No request in this period.")),))]
    figures = render.Figures(
        (
            (words("Sites"), shown["row_count"], words("registrable domains asked")),
            (words("Sites with content"), shown["sites_with_content"], words("which therefore have a rank")),
            (words("Octets of content"), shown["content_bytes"], words("as received")),
        )
    )
    basis = render.Paragraph(words("Ranked by: {basis}.", basis=words(shown["rank_basis"])))
    first = render.Section(title="", blocks=(figures, basis, *_chart(shown, words)))
    if "sites" not in shown:
        said = words("The sites themselves are withheld at this level.")
        return [first, render.Section(title=words("Sites"), blocks=(render.Paragraph(said),))]
    listed = table(shown["sites"], _SITE, words, _COLUMNS)
    return [first, render.Section(title=words("Sites by content"), blocks=(listed,))]


def _chart(shown: dict[str, Any], words: Words) -> list[render.Block]:
    top = [(one["site"], one["content_bytes"]) for one in shown.get("sites", ())[:SITES_DRAWN] if one["rank"]]
    title = words("Sites with the most content, in octets")
    return [ranked_chart(tuple(top), title, words)] if top else []


def rows(shown: dict[str, Any]) -> render.Table:
    """The sites as CSV rows."""
    return render.table_of(shown.get("sites", []), [field.name for field in _SITE])


KIND = Kind(
    name="sites",
    title="Sites",
    record=RECORD,
    counted="sites",
    disclaimers=("D-COLLECT", "D-COVER", "D-ROBOTS", "D-DECL", "D-NOTCERT"),
    make=make,
    body=body,
    table=rows,
    help="""Per registrable domain: requests, denials, violations, content by size, first and last, training use.

    \b
    Example:
      crawl-audit report sites ./audit-log --from 2026-11-01 --level regulator --format csv -o sites.csv
    """,
)
