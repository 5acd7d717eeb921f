"""Every request that the site disallowed and that was forwarded nevertheless, with what proves it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from reports import render
from reports.facts import table
from reports.kinds.violations_record import BY_CRAWLER, BY_SITE, RECORD, VIOLATION
from reports.limited import limited, sentence
from reports.log import Row
from reports.matching import parameters
from reports.report import Kind, Question
from reports.words import Words

_LISTED = (
    "recorded_at",
    "crawler",
    "url",
    "site",
    "basis",
    "rule",
    "rule_line",
    "mode",
    "status",
    "bytes",
    "exchange_id",
)
_SITES_SHOWN = 25


def make(question: Question) -> dict[str, Any]:
    """The record at the internal level."""
    log = question.log
    asked = parameters(log, question.subject, question.period)
    counts = log.rows("violations_counts", **asked)
    most = {**asked, "rows_max": question.rows_max}
    sites, listed = log.rows("violations_sites", **most), log.rows("violations", **most)
    total = _total(counts)
    return {
        **limited(question.subject),
        **total,
        "blocked": total["disallowed"] - total["violation_count"],
        "by_basis": _tally(counts, "basis"),
        "by_mode": _tally(counts, "mode"),
        "by_crawler": _grouped(counts, "crawler", ("requests", "forwarded", "disallowed", "violation_count")),
        "sites_with_violations": sites[0]["sites"] if sites else 0,
        "by_site": [
            {
                "site": one["site"],
                "forwarded": one["forwarded"],
                "disallowed": one["disallowed"],
                "violation_count": one["violations"],
            }
            for one in sites
        ],
        "by_day": _grouped(counts, "day", ("forwarded", "disallowed", "violation_count")),
        "not_listed": total["violation_count"] - len(listed),
        "violations": [{field.name: row[field.name] for field in VIOLATION} for row in listed],
    }


def _total(rows: list[Row]) -> dict[str, int]:
    return {
        **{name: sum(row[name] for row in rows) for name in ("requests", "forwarded", "disallowed")},
        "violation_count": sum(row["violations"] for row in rows),
    }


def _tally(rows: list[Row], name: str) -> dict[str, int]:
    found: Counter[str] = Counter()
    for row in rows:
        found[row[name]] += row["violations"]
    return {value: found[value] for value in sorted(found) if found[value]}


def _grouped(rows: list[Row], name: str, counts: tuple[str, ...]) -> list[dict[str, Any]]:
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row[name], []).append(row)
    made = []
    for value in sorted(grouped):
        total = _total(grouped[value])
        made.append({name: value, **{one: total[one] for one in counts}})
    return made


def body(shown: dict[str, Any], words: Words) -> list[render.Section]:
    """The figures first, then where and when, then one by one."""
    blocks: list[render.Block] = [render.Paragraph(said) for said in _sentences(shown, words)]
    blocks.append(
        render.Figures(
            (
                (words("Violations"), shown["violation_count"], words("disallowed and forwarded nevertheless")),
                (words("Forwarded"), shown["forwarded"], words("requests that left, in all")),
                (words("Denied"), shown["blocked"], words("disallowed, and stopped")),
                (words("Sites"), shown["sites_with_violations"], words("with violations")),
            )
        )
    )
    made = [render.Section(title="", blocks=tuple(blocks))]
    if shown["violation_count"] == 0:
        return made
    fields = {field.name: field for field in RECORD.fields}
    tallies = [(words(fields[name].shown_name), shown[name]) for name in ("by_basis", "by_mode")]
    spread: list[render.Block] = [*_days(shown, words), render.Facts(tuple(tallies))]
    spread.append(table(shown["by_crawler"], BY_CRAWLER, words))
    made.append(render.Section(title=words("By crawler, day and cause"), blocks=tuple(spread)))
    if "by_site" in shown:
        made.append(_sites(shown, words))
    if "violations" in shown:
        made.append(_listed(shown, words))
    return made


def _sentences(shown: dict[str, Any], words: Words) -> list[str]:
    limit = sentence(shown, words)
    said = [] if limit is None else [limit]
    if shown["forwarded"] == 0:
        said.append(words("No request was forwarded in covered traffic, so there is nothing to compare with."))
    elif shown["violation_count"] == 0:
        said.append(
            words(
                "None observed in covered traffic: of {forwarded} forwarded requests, none was one that the site"
                " disallows. What was not covered is said below.",
                forwarded=shown["forwarded"],
            )
        )
    else:
        said.append(
            words(
                "Of {forwarded} forwarded requests, {count} were requests that the site disallows. In audit mode such"
                " requests are recorded and forwarded; that is no legal finding.",
                forwarded=shown["forwarded"],
                count=shown["violation_count"],
            )
        )
    return said


def _days(shown: dict[str, Any], words: Words) -> list[render.Block]:
    if "by_day" not in shown:
        return []
    violations, denied = words("forwarded nevertheless"), words("denied")
    rows = []
    for one in shown["by_day"]:
        rows.append((one["day"], violations, one["violation_count"]))
        rows.append((one["day"], denied, one["disallowed"] - one["violation_count"]))
    worst = max(shown["by_day"], key=lambda one: one["violation_count"])
    return [
        render.Chart(
            kind=render.ChartKind.DAYS,
            title=words("Disallowed requests by day"),
            says=words(
                "Days with violations: {count}; the most on {day}: {most}.",
                count=sum(one["violation_count"] > 0 for one in shown["by_day"]),
                day=worst["day"],
                most=worst["violation_count"],
            ),
            table=render.Table((words("Day"), words("What was done"), words("Requests")), tuple(rows)),
            tones=((violations, "bad"), (denied, "neutral")),
        )
    ]


def _sites(shown: dict[str, Any], words: Words) -> render.Section:
    top = shown["by_site"][:_SITES_SHOWN]
    blocks: list[render.Block] = [
        render.Chart(
            kind=render.ChartKind.RANKED,
            title=words("Sites with the most violations"),
            says=words("The most at {site}: {count}.", site=top[0]["site"], count=top[0]["violation_count"]),
            table=render.Table(
                (words("Site"), words("Violations")), tuple((one["site"], one["violation_count"]) for one in top)
            ),
        ),
        table(top, BY_SITE, words),
    ]
    more = shown["sites_with_violations"] - len(top)
    if more:
        blocks.append(render.Paragraph(words("Further sites with violations: {count}.", count=more)))
    return render.Section(title=words("By site"), blocks=tuple(blocks))


def _listed(shown: dict[str, Any], words: Words) -> render.Section:
    names = [name for name in _LISTED if name in shown["violations"][0]]
    blocks: list[render.Block] = [
        render.Paragraph(
            words(
                "Listed: {count}, the oldest first. `crawl-audit explain LOG EXCHANGE` shows the robots.txt and the"
                " rule of each, and proves it.",
                count=len(shown["violations"]),
            )
        ),
        table(shown["violations"], VIOLATION, words, names),
    ]
    if shown["not_listed"]:
        blocks.append(
            render.Paragraph(
                words(
                    "Not listed: {count} more; --limit, --from, --to and --site choose others.",
                    count=shown["not_listed"],
                )
            )
        )
    return render.Section(title=words("Violations one by one"), blocks=tuple(blocks))


def rows(shown: dict[str, Any]) -> render.Table:
    """The violations as CSV rows; where they are withheld, none."""
    listed = shown.get("violations", [])
    return render.table_of(listed, [field.name for field in VIOLATION if not listed or field.name in listed[0]])


KIND = Kind(
    name="violations",
    title="Violations: disallowed and forwarded nevertheless",
    record=RECORD,
    counted="violations",
    disclaimers=("D-COLLECT", "D-COVER", "D-ROBOTS", "D-NOTCERT"),
    make=make,
    body=body,
    table=rows,
    takes=frozenset({"site", "limit"}),
    help="""Every request that the site disallowed and that was forwarded, with the rule and the robots.txt it rests on.

    The exit code is 0 whatever is found; `crawl-audit explain LOG EXCHANGE` proves each.

    \b
    Example:
      crawl-audit report violations ./audit-log --from 2026-11-01 --format html -o violations.html
    """,
)
