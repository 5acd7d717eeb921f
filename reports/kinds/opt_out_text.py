"""An account of opt-outs as people read it: the figures first, then what sites say, then site by site."""

from __future__ import annotations

from typing import Any

from reports import exemptions
from reports.facts import facts, table
from reports.kinds.opt_out_record import AUTHORITIES, BARRIER, OPT_OUT, PROTOCOL, RECORD, REFUSED
from reports.render import Block, Chart, ChartKind, Figures, Paragraph, Section, Table
from reports.words import Words

_SITES_SHOWN = 50
_COUNTS = ("requests", "evaluated", "not_evaluated", "bases", "modes")
_FILES = (
    "unreachable_treated_as_disallow",
    "unreachable_requests",
    "treat_429_as_unreachable",
    "last_good_copy_s",
    "decided_after_validity",
    "robots_cache_over_24h",
    "parser_disagreements",
    "disagreements_resolved",
)


def body(shown: dict[str, Any], words: Words) -> list[Section]:
    """The sections of the record as far as its level shows it."""
    made = [
        Section(title="", blocks=(Paragraph(_sentence(shown, words)), _figures(shown, words), *_days(shown, words))),
        _judged(shown, words),
        _robots(shown, words),
        _preferences(shown, words),
    ]
    if shown.get("opt_outs"):
        made.append(_sites(shown, words))
    if shown["barriers"]:
        made.append(_barriers(shown, words))
    if shown["exemptions"]:
        said = words("A ground is as declared and was not verified; a request under one is no violation.")
        blocks = (Paragraph(said), table(shown["exemptions"], exemptions.FIELD.fields, words))
        made.append(Section(title=words("Exemptions declared and used"), blocks=blocks))
    return made


def _sentence(shown: dict[str, Any], words: Words) -> str:
    if shown["requests"] == 0:
        return words("No request in this period, so there is nothing to account for.")
    return words(
        "Of {requests} requests, {evaluated} were judged by what the site says. Disallowed were {disallowed}: denied"
        " {denied}, forwarded nevertheless {forwarded}.",
        requests=shown["requests"],
        evaluated=shown["evaluated"],
        disallowed=shown["disallowed"],
        denied=shown["disallowed_blocked"],
        forwarded=shown["disallowed_forwarded"],
    )


def _figures(shown: dict[str, Any], words: Words) -> Figures:
    return Figures(
        (
            (words("Judged"), shown["evaluated"], words("requests, by what the site says")),
            (words("Denied"), shown["disallowed_blocked"], words("disallowed, and stopped")),
            (words("Forwarded"), shown["disallowed_forwarded"], words("disallowed, and forwarded nevertheless")),
            (words("Opt-outs"), shown["opt_outs_total"], words("site, protocol and use, on record")),
        )
    )


def _days(shown: dict[str, Any], words: Words) -> tuple[Chart, ...]:
    if not shown.get("by_day"):
        return ()
    names = (
        ("allowed", words("allowed")),
        ("denied", words("disallowed, denied")),
        ("forwarded", words("disallowed, forwarded")),
    )
    rows = tuple((one["day"], label, one[name]) for one in shown["by_day"] for name, label in names)
    return (
        Chart(
            kind=ChartKind.DAYS,
            title=words("Requests by day and verdict"),
            says=words(
                "Days with requests: {days}; with a disallowed request forwarded: {violating}.",
                days=len(shown["by_day"]),
                violating=sum(one["forwarded"] > 0 for one in shown["by_day"]),
            ),
            table=Table((words("Day"), words("Verdict"), words("Requests")), rows),
            tones=((names[0][1], "good"), (names[1][1], "neutral"), (names[2][1], "bad")),
        ),
    )


def _chosen(shown: dict[str, Any], names: tuple[str, ...], words: Words) -> Block:
    return facts(shown, [field for field in RECORD.fields if field.name in names], words)


def _judged(shown: dict[str, Any], words: Words) -> Section:
    said = words(
        "Not judged are requests for /robots.txt itself, which is always allowed (RFC 9309 2.2.2), and those about"
        " which no verdict could be reached: these count as disallowed."
    )
    return Section(title=words("What was judged"), blocks=(Paragraph(said), _chosen(shown, _COUNTS, words)))


def _robots(shown: dict[str, Any], words: Words) -> Section:
    states = shown["authorities"]
    blocks: list[Block] = [
        Paragraph(words("By the last answer to a fetch of robots.txt in the period, per scheme, host and port:"))
    ]
    if "opt_outs" in shown and any(states.values()):
        named = tuple((words(field.shown_name), states[field.name]) for field in AUTHORITIES)
        blocks.append(
            Chart(
                kind=ChartKind.SHARES,
                title=words("State of robots.txt"),
                says=words("Authorities that served a robots.txt: {count}.", count=states["with_robots"]),
                table=Table((words("State"), words("Authorities")), named),
            )
        )
    blocks.append(facts(states, AUTHORITIES, words))
    # where no request was judged while it was unreachable, nothing can be said of how that was treated
    first = 1 if shown["unreachable_treated_as_disallow"] is None else 0
    blocks.append(_chosen(shown, _FILES[first:], words))
    said = words(
        "RFC 9309 2.4 does not let a copy be used for more than 24 hours, unless robots.txt is unreachable. Then the"
        " last good copy stays in force only where the settings say so, and only as long as they say."
    )
    return Section(title=words("robots.txt"), blocks=(*blocks, Paragraph(said)))


def _preferences(shown: dict[str, Any], words: Words) -> Section:
    title = words("What sites refuse")
    if not shown["signals_matrix"]:
        said = words(
            "No usage preference and no rule against every path was found on record up to the end of the period."
        )
        return Section(title=title, blocks=(Paragraph(said),))
    blocks: list[Block] = [
        Paragraph(
            words(
                "Training and search are kept apart; “any” is a refusal whatever the purpose. “robots.txt” stands for a"
                " rule that disallows every path, found when a request was decided by it. A pace, a licence and a price"
                " are no refusal. Counted are lines for everybody and for the crawlers of this log; a line for"
                " everybody counts also where a site has rules of its own for a crawler."
            )
        )
    ]
    if shown["refused_uses"]:
        blocks.append(table(shown["refused_uses"], REFUSED, words))
        blocks.append(
            Paragraph(
                words(
                    "Requests since are those to the same scheme, host and port after the first find, whatever their"
                    " path, and also after a later withdrawal: where to look, not a count of violations. What an answer"
                    " or a page says was known only after its request."
                )
            )
        )
    blocks.append(Paragraph(words("Where signals were found, whatever they say:")))
    blocks.append(table(shown["signals_matrix"], PROTOCOL, words))
    return Section(title=title, blocks=tuple(blocks))


def _sites(shown: dict[str, Any], words: Words) -> Section:
    listed = shown["opt_outs"][:_SITES_SHOWN]
    blocks: list[Block] = [table(listed, OPT_OUT, words)]
    more = shown["opt_outs_total"] - len(listed)
    if more:
        blocks.append(
            Paragraph(
                words("Further rows: {count}; `--format json` and `csv` list as many as --limit allows.", count=more)
            )
        )
    return Section(title=words("Opt-outs by site, the most forwarded since first"), blocks=tuple(blocks))


def _barriers(shown: dict[str, Any], words: Words) -> Section:
    said = words(
        "A URL that gave content after a barrier is a pointer for review: the barrier may have been lifted, or an"
        " account used that the site gave. It is no proof that a barrier was got around."
    )
    return Section(title=words("Access barriers"), blocks=(table(shown["barriers"], BARRIER, words), Paragraph(said)))
