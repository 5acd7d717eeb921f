"""What was asked of each site (registrable domain) in a period, and on what the verdicts about it rest."""

from __future__ import annotations

from typing import Any

from crawl_audit.site import list_version
from reports import envelope, levels, render
from reports.declarations import Declarations
from reports.levels import Level, withheld
from reports.log import Log, Row
from reports.pace import pace
from reports.period import Period

DISCLAIMERS = ("D-COLLECT", "D-COVER", "D-ROBOTS", "D-DECL", "D-NOTCERT")
NAMES = (
    "site",
    "hosts",
    "crawlers",
    "requests",
    "forwarded",
    "denied",
    "violations",
    "content_responses",
    "bytes",
    "first_at",
    "last_at",
    "robots_basis",
    "pace",
)
_COUNTED = ("hosts", "requests", "forwarded", "denied", "violations", "content_responses", "bytes")
_BASES = (
    "rule",
    "no_rule",
    "no_group",
    "unavailable",
    "unreachable",
    "robots_txt",
    "signal",
    "crawl_delay",
    "exemption",
    "other",
)


def sites(log: Log, period: Period, level: Level, declared: Declarations) -> dict[str, Any]:
    """The report as data; in public the sites themselves are withheld and only their number is banded."""
    rows = log.rows("sites", **period.parameters)
    about = envelope.envelope(log, period, len(rows), *DISCLAIMERS)
    hidden = level is Level.PUBLIC
    note = "names of sites and volumes; given to regulators"
    return {
        "report": "sites",
        "disclosure_level": level.value,
        "operator": declared["operator"],
        "psl_version": list_version(),
        **levels.reduced(about, level),
        "sites": [] if hidden else [_site(row, level) for row in rows],
        "withheld": [*levels.PUBLIC_WITHHELD, withheld("sites", "trade_secret", note)] if hidden else [],
    }


def _site(row: Row, level: Level) -> dict[str, Any]:
    return {
        "site": row["site"],
        "crawlers": row["crawlers"],
        **{name: levels.count(row[name], level) for name in _COUNTED},
        "first_at": levels.moment(row["first_at"], level),
        "last_at": levels.moment(row["last_at"], level),
        "robots_basis": {basis: row[f"by_{basis}"] for basis in _BASES if row[f"by_{basis}"]},
        "pace": pace(row, level),
    }


def document(answer: dict[str, Any]) -> render.Document:
    """The report for people."""
    block: render.Block = table(answer)
    if not answer["sites"]:
        said = "withheld at this level" if answer["withheld"] else "none"
        block = render.Paragraph(f"Sites: {said}; number of sites: {answer['row_count']}.")
    section = render.Section(title="", blocks=(block,))
    return envelope.report_document("Sites", [section], answer)


def table(answer: dict[str, Any]) -> render.Table:
    """The sites as rows."""
    return render.table_of(answer["sites"], NAMES)
