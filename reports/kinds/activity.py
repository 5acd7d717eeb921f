"""What each crawler did in a period: the per-crawler record that regulators ask for."""

from __future__ import annotations

from typing import Any

from reports import crawler_fields as of
from reports import crawler_figures, exemptions, pace, render
from reports.crawler_declared import declared
from reports.facts import facts, said, table
from reports.fields import Field
from reports.recorded_settings import configured_crawlers
from reports.render import Chart, ChartKind
from reports.report import Kind, Question
from reports.shares import SUPPRESSED, in_percent, percent, size
from reports.words import ENGLISH, Words

RECORD = of.RECORD
_CSV = (
    "crawler",
    "client_name",
    "product_tokens",
    "operated_by",
    "purpose_code",
    "purpose",
    "collection_from",
    "collection_to",
    "requests",
    "forwarded",
    "denied",
    "disallowed",
    "violations",
    "sites",
    "content_responses",
    "content_bytes",
    "bytes",
    "modalities",
    "modes",
    "signals",
    "barriers",
    "pace",
    "exemptions",
)


def make(question: Question) -> dict[str, Any]:
    """The record at the internal level."""
    log, period = question.log, question.period
    found, configured = crawler_figures.all_of(log, period), configured_crawlers(log)
    exempted, paces = exemptions.used(log, period), pace.by_authority(log, period)
    return {
        "training_use_statement": of.STATEMENT,
        "crawlers": [
            {
                "crawler": name,
                **declared(question.declared.of_crawler(name), configured.get(name, {})),
                **figures,
                "exemptions": exempted.get(name, []),
                "pace_by_authority": paces.get(name, []),
            }
            for name, figures in found.items()
        ],
    }


def body(shown: dict[str, Any], words: Words) -> list[render.Section]:
    """What matters of each crawler first, then group by group what the record holds."""
    made = []
    for crawler in shown["crawlers"]:
        made += _sections(crawler, words)
    if not made:
        return [render.Section(title="", blocks=(render.Paragraph(words("No request in this period.")),))]
    statement = render.Paragraph(words(shown["training_use_statement"]))
    return [*made, render.Section(title=words("Training use"), blocks=(statement,))]


def _sections(crawler: dict[str, Any], words: Words) -> list[render.Section]:
    name = crawler["crawler"]
    titles: tuple[tuple[str, list[render.Block]], ...] = (
        (words("Crawler {name}", name=name), _first(crawler, words)),
        (words("{name}: who and what for", name=name), [facts(crawler, of.WHO, words)]),
        (words("{name}: names it gives", name=name), [facts(crawler, of.AGENT, words)]),
        (words("{name}: period and volume", name=name), [facts(crawler, (*of.PERIOD, *of.VOLUME), words)]),
        (words("{name}: robots.txt", name=name), [facts(crawler, of.ROBOTS, words)]),
        (words("{name}: other opt-outs and barriers", name=name), [facts(crawler, of.OTHER, words)]),
        (words("{name}: pace and load", name=name), [facts(crawler, of.LOAD, words)]),
        (words("{name}: what came back", name=name), _content(crawler, words)),
    )
    lists = {
        1: (of.EXCLUSION_LISTS,),
        2: (of.AGENTS,),
        3: (of.BY_DAY,),
        4: (exemptions.FIELD,),
        6: (pace.BY_AUTHORITY,),
    }
    return [
        render.Section(title=title, blocks=(*blocks, *_tables(crawler, lists.get(index, ()), words)), under=index > 0)
        for index, (title, blocks) in enumerate(titles)
    ]


def _tables(crawler: dict[str, Any], fields: tuple[Field, ...], words: Words) -> list[render.Block]:
    """Lists of objects, each under its name; one line where there is nothing in them."""
    made: list[render.Block] = []
    for field in fields:
        if field.name not in crawler:
            continue
        rows, name = crawler[field.name], words(field.shown_name)
        if rows:
            made += [render.Paragraph(name), table(rows, field.fields, words)]
        else:
            made.append(render.Facts(((name, said(rows, field, words)),)))
    return made


def _first(crawler: dict[str, Any], words: Words) -> list[render.Block]:
    figures = render.Figures(
        (
            (words("Requests"), crawler["requests"], words("decided on, robots.txt included")),
            (words("Sites"), crawler["sites"], words("registrable domains asked")),
            (words("Denied"), crawler["denied"], words("before they left")),
            (words("Violations"), crawler["violations"], words("disallowed by the site and forwarded")),
            (words("Octets of content"), crawler["content_bytes"], words("as received")),
        )
    )
    return [figures, *_days(crawler, words)]


def _days(crawler: dict[str, Any], words: Words) -> list[render.Block]:
    """The chart of requests by day, where the level shows them."""
    days = crawler.get("by_day")
    if not days:
        return []
    series = (
        ("allowed", words("allowed, forwarded"), "good"),
        ("denied", words("disallowed, denied"), "neutral"),
        ("violations", words("disallowed, forwarded"), "bad"),
        ("allowed_and_denied", words("allowed, denied"), "warn"),
    )
    there = [one for one in series if any(day[one[0]] for day in days)]
    rows = tuple((day["day"], label, day[name]) for day in days for name, label, _ in there)
    violations = sum(day["violations"] for day in days)
    return [
        Chart(
            kind=ChartKind.DAYS,
            title=words("Requests by day, verdict and what was done"),
            says=words(
                "{requests} requests on {days} days; {violations} of them disallowed and forwarded.",
                requests=crawler["requests"],
                days=len(days),
                violations=violations,
            ),
            table=render.Table((words("Day"), words("Verdict and action"), words("Requests")), rows),
            tones=tuple((label, tone) for _, label, tone in there),
        )
    ]


def _content(crawler: dict[str, Any], words: Words) -> list[render.Block]:
    blocks: list[render.Block] = [facts(crawler, (*of.ANSWERS, *of.CONTENTS, *of.DESCRIBED), words)]
    titles = {
        "modalities": words("Content by kind, share of answers"),
        "modality_bytes": words("Content by kind, share of octets"),
    }
    blocks += [chart for name, title in titles.items() for chart in share_chart(crawler[name], title, words)]
    top = crawler.get("top_sites")
    if top:
        rows = tuple((one["site"], one["content_bytes"]) for one in top)
        blocks.append(ranked_chart(rows, words("Sites with the most content, in octets"), words))
    return [*blocks, *_tables(crawler, (of.TOP_SITES,), words)]


def ranked_chart(rows: tuple[tuple[str, int], ...], title: str, words: Words) -> Chart:
    """Sites by octets, the most first; ``rows`` is not empty."""
    site, octets = rows[0]
    return Chart(
        kind=ChartKind.RANKED,
        title=title,
        says=words("The first is {site} with {octets} octets.", site=site, octets=octets),
        table=render.Table((words("Site"), words("Octets of content")), rows),
    )


def share_chart(tally: dict[str, Any], title: str, words: Words) -> list[Chart]:
    """Parts of a whole: exact counts, or shares as the public sees them; nothing where these are suppressed."""
    if not tally or SUPPRESSED in tally.values():
        return []
    largest = max(tally, key=lambda name: size(tally[name]) if isinstance(tally[name], str) else tally[name])
    found = tally[largest]
    rough = isinstance(found, str)
    share = in_percent(found) if rough else percent(found, sum(tally.values()))
    number = words("Share") if rough else words("Number")
    return [
        Chart(
            kind=ChartKind.SHARES,
            title=title,
            says=words("The largest part is {name} with {share}.", name=words(largest), share=share),
            table=render.Table((words("Kind"), number), tuple((words(name), value) for name, value in tally.items())),
        )
    ]


def rows(shown: dict[str, Any]) -> render.Table:
    """The crawlers as CSV rows."""
    made = [{name: crawler.get(name) for name in _CSV} for crawler in shown["crawlers"]]
    for row in made:
        row["purpose"] = ENGLISH.said(row["purpose"])
    return render.table_of(made, _CSV)


KIND = Kind(
    name="activity",
    title="Crawler activity",
    record=RECORD,
    counted="crawlers",
    disclaimers=("D-COLLECT", "D-COVER", "D-ROBOTS", "D-DECL", "D-BARRIER", "D-NOTCERT"),
    make=make,
    body=body,
    table=rows,
    help="""Per crawler: who and what for, what it asked, what was denied, its pace, what came back.

    \b
    Example:
      crawl-audit report activity ./audit-log --format md -o activity.md
    """,
)
