"""Which of the URLs fetched the robots.txt of now, or of a given date, would disallow.

Not retroactive: what counts for a request is the copy in force when it was made (docs/robots.md). The record tells an
operator what to leave out from now on, and a site owner what a changed robots.txt would have covered. What is compared
is the word of robots.txt alone: exemptions, usage preferences and pace are set aside on both sides.
"""

from __future__ import annotations

from typing import Any

from reports import limited, render
from reports.facts import facts, spelt, table
from reports.fields import Field, Form, RecordType, Show, Source
from reports.log import Log
from reports.matching import Subject, parameters
from reports.period import Period
from reports.rejudging import newly_disallowed
from reports.report import Kind, Question
from reports.shares import share
from reports.words import Words

_NAMES = "names of sites; given to regulators"
_SITE = (
    Field(name="site", form=Form.TEXT, meaning="registrable domain, or the address"),
    Field(name="fetched", form=Form.COUNT, meaning="requests that left, those for /robots.txt left out"),
    Field(
        name="newly_disallowed", form=Form.COUNT, meaning="of these, allowed by robots.txt then, disallowed by it now"
    ),
    Field(
        name="share_newly_disallowed",
        form=Form.TEXT,
        meaning="share of the fetches that is newly disallowed, two digits",
        label="Share of it",
    ),
    Field(
        name="urls_newly_disallowed",
        form=Form.COUNT,
        meaning="URLs newly disallowed, counted for each product token they were judged for",
        label="URLs newly disallowed",
    ),
    Field(name="disallowed_then", form=Form.COUNT, meaning="fetches that robots.txt disallowed when they were made"),
    Field(
        name="not_known_now",
        form=Form.COUNT,
        meaning="fetches allowed then, of which nothing can be said now: the last robots.txt was unreachable, there is"
        " none on record, or the URL was erased",
        label="Not known",
    ),
)
_ROW = (
    Field(name="site", form=Form.TEXT, meaning="registrable domain, or the address"),
    Field(
        name="url",
        form=Form.TEXT,
        meaning="URL fetched",
        label="URL",
        regulator=Show.KEYED,
        reason="trade_secret",
    ),
    Field(name="path_depth", form=Form.COUNT, meaning="slashes in its path after the first"),
    Field(name="product_token", form=Form.TEXT, meaning="RFC 9309 product tokens it is judged for"),
    Field(name="requests", form=Form.COUNT, meaning="how often it was fetched while another robots.txt allowed it"),
    Field(name="first_at", form=Form.INSTANT, meaning="the first of these"),
    Field(name="last_at", form=Form.INSTANT, meaning="the last of these"),
    Field(
        name="since",
        form=Form.INSTANT,
        meaning="when the first robots.txt was seen from which on every copy on record disallows it",
        label="Disallowed since",
    ),
    Field(name="basis", form=Form.TEXT, meaning="why it is disallowed"),
    Field(name="rule", form=Form.TEXT, meaning="the rule that decides, as written"),
    Field(name="rule_line", form=Form.COUNT, meaning="its line", label="Line"),
    Field(name="robots_sha256", form=Form.TEXT, meaning="SHA-256 of the robots.txt of now", label="robots.txt"),
)
THEN_AND_NOW = ("allowed_now", "newly_disallowed", "disallowed_then", "not_known_now")
RECORD = RecordType(
    name="reevaluation",
    version="1.0",
    meaning="which of the URLs fetched the robots.txt of now, or of a given date, would disallow",
    fields=(
        *limited.FIELDS,
        Field(
            name="robots",
            form=Form.TEXT,
            meaning="which robots.txt of each scheme, host and port is the one of now",
            label="Judged by",
            source=Source.GIVEN,
            words=("last on record", "last on record before the date"),
            nullable=False,
        ),
        Field(
            name="as_of",
            form=Form.INSTANT,
            meaning="the date, not included; null: none",
            label="Date",
            source=Source.GIVEN,
            public=Show.LAST_MONTH,
            regulator=Show.AS_IS,
        ),
        Field(name="fetched", form=Form.COUNT, meaning="requests that left, those for /robots.txt left out"),
        Field(
            name="fetches",
            form=Form.TALLY,
            meaning="these by what robots.txt said then and says now",
            label="Fetches, then and now",
            words=THEN_AND_NOW,
        ),
        Field(
            name="urls_newly_disallowed",
            form=Form.COUNT,
            meaning="URLs newly disallowed, counted for each product token they were judged for",
            label="URLs newly disallowed",
        ),
        Field(name="sites_fetched", form=Form.COUNT, meaning="sites from which something was fetched"),
        Field(name="sites_affected", form=Form.COUNT, meaning="of these, those with URLs newly disallowed"),
        Field(
            name="sites",
            form=Form.RECORDS,
            key="site",
            meaning="sites with fetches newly disallowed, or of which nothing is known now",
            fields=_SITE,
            public=Show.WITHHELD,
            reason="trade_secret",
            note=_NAMES,
        ),
        Field(
            name="rows_left_out",
            form=Form.COUNT,
            meaning="URLs beyond --limit, counted and not listed",
            label="URLs not listed",
        ),
        Field(
            name="rows",
            form=Form.RECORDS,
            meaning="URLs newly disallowed",
            fields=_ROW,
            public=Show.WITHHELD,
            reason="trade_secret",
            note=_NAMES,
        ),
    ),
)


def make(question: Question) -> dict[str, Any]:
    """The record at the internal level."""
    asked = _asked(question.log, question.subject, question.period)
    sites = question.log.rows("reevaluation_sites", **asked, as_of=question.as_of)
    found = newly_disallowed(question.log, asked, question.as_of, question.rows_max)
    for site in sites:
        site["newly_disallowed"] = found.fetches.get(site["site"], 0)
        site["urls_newly_disallowed"] = found.urls.get(site["site"], 0)
        site["share_newly_disallowed"] = share(site["newly_disallowed"], site["fetched"])
    counted = {name: sum(site[name] for site in sites) for name in ("fetched", *THEN_AND_NOW[1:])}
    fetched = counted.pop("fetched")
    urls = sum(found.urls.values())
    return {
        **limited.limited(question.subject),
        "robots": "last on record" if question.as_of is None else "last on record before the date",
        "as_of": question.as_of,
        "fetched": fetched,
        "fetches": {"allowed_now": fetched - sum(counted.values()), **counted},
        "urls_newly_disallowed": urls,
        "sites_fetched": len(sites),
        "sites_affected": len(found.urls),
        "sites": [site for site in sites if site["newly_disallowed"] or site["not_known_now"]],
        "rows_left_out": urls - len(found.rows),
        "rows": [
            {name: row[name] for name in (field.name for field in _ROW)}
            for row in ({**row, "path_depth": _depth(row["target"])} for row in found.rows)
        ],
    }


def _asked(log: Log, subject: Subject | None, period: Period) -> dict[str, object]:
    if subject is not None:
        return parameters(log, subject, period)
    limits = dict.fromkeys(("site", "host", "port", "scheme", "targets"))
    return {**limits, "subdomains": False, **period.parameters}


def _depth(target: str) -> int:
    return max(0, target.partition("?")[0].count("/") - 1)


def body(shown: dict[str, Any], words: Words) -> list[render.Section]:
    """What changed in all, by site, and URL by URL as far as the level shows them."""
    compared = words(
        "The word of robots.txt then and now is compared; exemptions, usage preferences and pace are set aside. What"
        " counts for a request is the robots.txt of its time: a later one tells what to leave out from now on."
    )
    limit = limited.sentence(shown, words)
    blocks: list[render.Block] = [] if limit is None else [render.Paragraph(limit)]
    blocks += [facts(limited.unlimited(shown), RECORD.fields, words), *_chart(shown, words), render.Paragraph(compared)]
    made = [render.Section(title="", blocks=tuple(blocks))]
    if shown.get("sites"):
        title = words("Sites with changes, or of which nothing is known")
        made.append(render.Section(title=title, blocks=(table(shown["sites"], _SITE, words),)))
    if shown.get("rows"):
        made.append(render.Section(title=words("URLs newly disallowed"), blocks=(table(shown["rows"], _ROW, words),)))
    return made


def _chart(shown: dict[str, Any], words: Words) -> tuple[render.Chart, ...]:
    """Then and now as parts of a whole, where the level shows them as they are and there is something to show."""
    counts = {name: number for name, number in shown["fetches"].items() if isinstance(number, int) and number}
    if not counts:
        return ()
    names = {name: words(spelt(name)) for name in THEN_AND_NOW}
    says = words(
        "Of {fetched} fetches, {count} are newly disallowed.",
        fetched=shown["fetched"],
        count=shown["fetches"]["newly_disallowed"],
    )
    tones = zip(THEN_AND_NOW, ("good", "warn", "bad", "neutral"), strict=True)
    return (
        render.Chart(
            kind=render.ChartKind.SHARES,
            title=words("Fetches, then and now"),
            says=says,
            table=render.Table(
                (words("Verdict"), words("Fetches")), tuple((names[name], number) for name, number in counts.items())
            ),
            tones=tuple((names[name], tone) for name, tone in tones),
        ),
    )


def rows(shown: dict[str, Any]) -> render.Table:
    """The URLs as CSV rows."""
    listed = shown.get("rows", [])
    names = [field.name for field in _ROW if not listed or field.name in listed[0]]
    return render.table_of(listed, names)


KIND = Kind(
    name="reevaluation",
    title="Fetched URLs judged again",
    record=RECORD,
    counted="rows",
    disclaimers=("D-COVER", "D-ROBOTS", "D-NOTCERT"),
    make=make,
    body=body,
    table=rows,
    help="""Which of the URLs fetched the robots.txt of now would disallow, and since when.

    Of now is the last robots.txt on record, or with --as-of the last before that date.

    \b
    Example:
      crawl-audit report reevaluation ./audit-log --site example.com
      crawl-audit report reevaluation ./audit-log --as-of 2026-11-30 --format csv -o newly-disallowed.csv
    """,
    takes=frozenset({"site", "as_of", "limit"}),
)
