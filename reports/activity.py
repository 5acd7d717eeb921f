"""What each crawler did in a period: the per-crawler record that regulators ask for."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from reports import envelope, exemptions, levels, render
from reports.declarations import Declarations, configured_crawlers
from reports.levels import Level, withheld
from reports.log import Log, Row
from reports.pace import by_authority, pace
from reports.period import Period

DISCLAIMERS = ("D-COLLECT", "D-COVER", "D-ROBOTS", "D-DECL", "D-BARRIER", "D-NOTCERT")
NAMES = (
    "crawler",
    "product_tokens",
    "purpose",
    "collection_from",
    "collection_to",
    "requests",
    "forwarded",
    "denied",
    "violations",
    "sites",
    "bytes",
    "modes",
    "pace",
    "exemptions",
)
_COUNTED = (
    "requests",
    "forwarded",
    "denied",
    "disallowed",
    "violations",
    "sites",
    "hosts",
    "bytes",
    "without_completion",
    "barriers",
)
_TABLES = ("observed_user_agents", "exemptions", "pace_by_authority")
_PUBLIC_WITHHELD = (
    *levels.PUBLIC_WITHHELD,
    exemptions.PUBLIC_WITHHELD,
    withheld("observed_user_agents", "security", "the expected User-Agent is given; those seen go to regulators"),
    withheld(
        "pace_by_authority", "trade_secret", "names hosts; the pace in all is given, that at each goes to regulators"
    ),
)


def activity(log: Log, period: Period, level: Level, declared: Declarations) -> dict[str, Any]:
    """The report as data."""
    rows = log.rows("activity", **period.parameters)
    counts = _counts(log.rows("activity_counts", **period.parameters))
    configured = configured_crawlers(log)
    exempted = exemptions.used(log, period, level)
    paces = {} if level is Level.PUBLIC else by_authority(log, period)
    about = envelope.envelope(log, period, len(rows), *DISCLAIMERS)
    return {
        "report": "activity",
        "disclosure_level": level.value,
        "operator": declared["operator"],
        **levels.reduced(about, level),
        "crawlers": [
            {
                **_crawler(row, level, counts[row["crawler"]], configured, declared),
                "exemptions": exempted.get(row["crawler"], []),
                **({} if level is Level.PUBLIC else {"pace_by_authority": paces.get(row["crawler"], [])}),
            }
            for row in rows
        ],
        "withheld": list(_PUBLIC_WITHHELD) if level is Level.PUBLIC else [],
    }


def _counts(rows: list[Row]) -> defaultdict[str, dict[str, dict[str, int]]]:
    """crawler → what is counted → value → count."""
    made: defaultdict[str, dict[str, dict[str, int]]] = defaultdict(
        lambda: {"user_agent": {}, "basis": {}, "modality": {}}
    )
    for row in rows:
        made[row["crawler"]][row["what"]]["(not sent)" if row["value"] is None else row["value"]] = row["count"]
    return made


def _crawler(
    row: Row,
    level: Level,
    counts: dict[str, dict[str, int]],
    configured: dict[str, dict[str, Any]],
    declared: Declarations,
) -> dict[str, Any]:
    settings = configured.get(row["crawler"], {})
    said = declared["crawlers"].get(row["crawler"], {})
    made: dict[str, Any] = {
        "crawler": row["crawler"],
        "product_tokens": row["product_tokens"],
        "expected_user_agent": settings.get("user_agent"),
        "purpose": said.get("purpose", settings.get("purpose")),
        "contact": said.get("contact", settings.get("contact")),
        **{name: said[name] for name in said if name not in ("purpose", "contact")},
        "collection_from": levels.moment(row["collection_from"], level),
        "collection_to": levels.moment(row["collection_to"], level),
        "period_source": "log",
        **{name: levels.count(row[name], level) for name in _COUNTED},
        "modes": row["modes"],
        "robots_basis": levels.shares(counts["basis"], level),
        "modalities": levels.shares(counts["modality"], level),
        "pace": pace(row, level),
    }
    if level is not Level.PUBLIC:
        made["observed_user_agents"] = [
            {"user_agent": agent, "requests": number} for agent, number in counts["user_agent"].items()
        ]
    return made


def document(answer: dict[str, Any]) -> render.Document:
    """The report for people: one section per crawler."""
    sections = []
    for crawler in answer["crawlers"]:
        facts = [
            (name, value) for name, value in crawler.items() if name != "crawler" and not (value and name in _TABLES)
        ]
        blocks: list[render.Block] = [render.Facts(tuple((n.replace("_", " "), _known(v)) for n, v in facts))]
        blocks += [render.table_of(crawler[name]) for name in _TABLES if crawler.get(name)]
        sections.append(render.Section(title=f"Crawler {crawler['crawler']}", blocks=tuple(blocks)))
    if not sections:
        sections.append(render.Section(title="", blocks=(render.Paragraph("No request in this period."),)))
    return envelope.report_document("Crawler activity", sections, answer)


def _known(value: Any) -> Any:
    """An empty value in words: nothing is left blank in a statement to a regulator."""
    return "not known" if value is None else "none" if value in ([], {}) else value


def table(answer: dict[str, Any]) -> render.Table:
    """The crawlers as CSV rows."""
    rows = [{name: crawler.get(name) for name in NAMES} for crawler in answer["crawlers"]]
    return render.table_of(rows, NAMES)
