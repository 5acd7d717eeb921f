"""The public card of each crawler: who sends it, what it does about reservations of rights, how to keep it out.

CoP 1.3(4) asks signatories to let rights holders know "the web crawlers employed, their robots.txt features and other
measures". All of it is public, at every level, and none of it is counted from traffic.
"""

from __future__ import annotations

import re
from typing import Any

from reports import render, robots_features
from reports.card_fields import BLOCKING, IDENTITY, LISTS, POLICIES, PURPOSE_CODES, RECORD
from reports.declarations import Crawler
from reports.facts import facts, table
from reports.levels import Level
from reports.recorded_settings import configured_crawlers
from reports.report import Kind, Question
from reports.words import ENGLISH, Words

_TOKEN = re.compile(r"[A-Za-z_-]{1,100}|\*", re.ASCII)
# The sidecar's words for a purpose that the operator file has another for.
_PURPOSES = {"search": "search_index"}
_CSV = (
    "crawler",
    "client_name",
    "purpose_code",
    "trigger",
    "product_tokens",
    "expected_user_agent",
    "docs_uri",
    "contacts",
    "in_log",
)


def make(question: Question) -> dict[str, Any]:
    """The cards of every crawler that is declared, configured, or in the log."""
    log, period, declared = question.log, question.period, question.declared
    runs = robots_features.runs_of(log.rows("card_runs", **period.parameters))
    seen = {row["crawler"]: row["product_tokens"] for row in log.rows("card_crawlers", **period.parameters)}
    configured = configured_crawlers(log)
    names = sorted({*seen, *configured, *(one.id for one in declared.crawler)})
    return {
        "cards_uri": declared.operator.cards_uri,
        "copyright_policy_uri": declared.eu.copyright_policy_uri,
        "crawlers": [
            _card(declared.of_crawler(name), seen.get(name), configured.get(name, {}), runs) for name in names
        ],
    }


def _card(
    said: Crawler, seen: list[str] | None, settings: dict[str, Any], runs: list[robots_features.Run]
) -> dict[str, Any]:
    tokens = _tokens(seen, settings) or ([said.rfc9309_product_token] if said.rfc9309_product_token else [])
    runs = robots_features.runs_with(runs, said.id, seen=seen is not None)
    lists = said.exclusion_lists
    purpose = _text(settings, "purpose")
    contact = _text(settings, "contact")
    configured_purpose = _PURPOSES.get(purpose or "", purpose)
    known = {name: getattr(said, name) for name in Crawler.model_fields if name not in ("id", "exclusion_lists")}
    same_name = {field.name: known[field.name] for field in (*IDENTITY, *POLICIES, *BLOCKING) if field.name in known}
    return {
        **same_name,
        "crawler": said.id,
        "purpose_code": said.purpose_code or (configured_purpose if configured_purpose in PURPOSE_CODES else None),
        "expected_user_agent": said.expected_user_agent or _text(settings, "user_agent"),
        "contacts": said.contacts or ([contact] if contact else None),
        "product_tokens": tokens,
        "in_log": seen is not None,
        "robots": robots_features.robots(runs, said.id),
        "protocols": robots_features.protocols(runs, said.id),
        "exclusion_lists": None if lists is None else [one.model_dump() for one in lists],
        "robots_snippet": [*(f"User-agent: {token}" for token in tokens), "Disallow: /"] if tokens else [],
    }


def _tokens(seen: list[str] | None, settings: dict[str, Any]) -> list[str]:
    """The product tokens, the most specific first where the settings say so; nothing that no robots.txt can name."""
    configured = settings.get("product_tokens")
    listed = configured if isinstance(configured, list) and configured else []
    # A decision names all tokens it judged by, with commas between.
    found = listed or [token for joined in seen or () for token in joined.split(", ")]
    return list(dict.fromkeys(token for token in found if isinstance(token, str) and _TOKEN.fullmatch(token)))


def _text(settings: dict[str, Any], key: str) -> str | None:
    value = settings.get(key)
    return value[:500] if isinstance(value, str) and value else None


def body(shown: dict[str, Any], words: Words) -> list[render.Section]:
    """What rights holders are told, one section per crawler."""
    made = [render.Section(title=words("About these cards"), blocks=tuple(_about(shown, words)))]
    for crawler in shown["crawlers"]:
        name = crawler["client_name"] or crawler["crawler"]
        made += [
            render.Section(title=words("Crawler {name}", name=name), blocks=(facts(crawler, IDENTITY, words),)),
            render.Section(
                title=words("{name}: robots.txt and other opt-outs", name=name),
                blocks=tuple(_measures(crawler, words)),
                under=True,
            ),
            render.Section(
                title=words("{name}: how to keep it out of a site", name=name),
                blocks=tuple(_blocking(crawler, words)),
                under=True,
            ),
        ]
    return made


def _measures(crawler: dict[str, Any], words: Words) -> list[render.Block]:
    features = crawler["robots"]
    made: list[render.Block] = [
        render.Paragraph(words("No sidecar on record was set up for this crawler: nothing is known of what was done."))
        if features is None
        else facts(features, robots_features.ROBOTS.fields, words)
    ]
    for field in LISTS:
        rows = crawler[field.name]
        made.append(render.Paragraph(words(field.shown_name)))
        nothing = words("withheld: not supplied") if rows is None else words("none")
        made.append(table(rows, field.fields, words) if rows else render.Paragraph(nothing))
    return [*made, facts(crawler, POLICIES, words)]


def _blocking(crawler: dict[str, Any], words: Words) -> list[render.Block]:
    made: list[render.Block] = [facts(crawler, BLOCKING[:1], words)]
    if crawler["robots_snippet"]:
        made.append(render.Paragraph(words("These lines in a site's robots.txt disallow all of it:")))
        made.append(render.Lines(tuple(crawler["robots_snippet"])))
    return made


def _about(shown: dict[str, Any], words: Words) -> list[render.Block]:
    said = words(
        "Each card says who sends a crawler, what is done about robots.txt and other opt-outs, and how to keep it out."
        " What is done is read from the settings recorded in the log; the rest is the operator's declaration."
    )
    empty = [] if shown["crawlers"] else [render.Paragraph(words("No crawler is declared, configured or in the log."))]
    return [render.Paragraph(said), *empty, facts(shown, RECORD.fields[:2], words)]


def rows(shown: dict[str, Any]) -> render.Table:
    """The crawlers as CSV rows."""
    names = (*_CSV, "purpose")
    made = [{name: one[name] for name in names} for one in shown["crawlers"]]
    for row in made:
        row["purpose"] = ENGLISH.said(row["purpose"])
    return render.table_of(made, names)


KIND = Kind(
    name="card",
    title="Crawler cards",
    record=RECORD,
    counted="crawlers",
    disclaimers=("D-COLLECT", "D-COVER", "D-DECL", "D-NOTCERT"),
    make=make,
    body=body,
    table=rows,
    level=Level.PUBLIC,
    takes=frozenset({"publish"}),
    help="""The public card of each crawler: who sends it, what it does about opt-outs, how to keep it out.

    \b
    Example:
      crawl-audit report card ./audit-log --operator operator.toml --format md
      crawl-audit report card ./audit-log --operator operator.toml --publish ./public/crawlers
    """,
)
