"""Section 2.3 of the EU public summary of training content: crawlers for training, and the domains they drew on."""

from __future__ import annotations

from typing import Any

from reports import crawler_figures, eu_fields, eu_list, render, robots_features
from reports.attestations import Attestations
from reports.crawler_declared import purpose, setting
from reports.crawler_fields import MODALITIES
from reports.declarations import Crawler
from reports.eu_body import body
from reports.levels import Level, moment
from reports.recorded_settings import configured_crawlers
from reports.report import Kind, Question

_TRAINING = "training"
_NOTHING: dict[str, Any] = {
    "product_tokens": [],
    "modes": [],
    "requests": 0,
    "forwarded": 0,
    "disallowed": 0,
    "violations": 0,
    "sites": 0,
    "collection_from": None,
    "collection_to": None,
}
_CSV = ("rank", "domain", "content_responses", "content_bytes")


def make(question: Question) -> dict[str, Any]:
    """The record at the internal level."""
    log, period, said = question.log, question.period, question.declared
    figures, answers = crawler_figures.decided(log, period), crawler_figures.answered(log, period)
    configured = configured_crawlers(log)
    purposes = {
        name: purpose(said.of_crawler(name), configured.get(name, {}))
        for name in sorted({*figures, *(one.id for one in said.crawler)})
    }
    excluded = [
        {"crawler": name, "purpose_code": code, "why": why}
        for name, (code, _) in purposes.items()
        if (why := _why_not(code, figures.get(name), said.of_crawler(name)))
    ]
    names = [name for name in purposes if name not in {one["crawler"] for one in excluded}]
    signals = crawler_figures.signals(log, period)
    runs = robots_features.runs_of(log.rows("card_runs", **period.parameters))
    rows = log.rows("eu_domains", crawlers=names, **period.parameters)
    chosen = eu_list.choose(rows, said.operator.sme, Attestations(said))
    crawlers = [
        {
            **_crawler(said.of_crawler(name), figures.get(name, _NOTHING), answers[name], signals[name]),
            "purpose_code": purposes[name][0],
            "purpose_source": purposes[name][1],
            "configured_purpose": setting(configured.get(name, {}), "purpose"),
            "robots": robots_features.robots(mine, name),
            "protocols": robots_features.protocols(mine, name),
        }
        for name in names
        for mine in [robots_features.runs_with(runs, name, seen=name in figures)]
    ]
    return {
        **_about(question),
        "crawlers_used": _used(crawlers, excluded),
        "crawler_names": [one["name"] for one in crawlers],
        "crawlers": crawlers,
        "excluded": excluded,
        "domains": chosen.domains,
        "selection": chosen.selection,
        "top_level_domains": chosen.top_level_domains,
        "section_1_3": _sizes([answers[name] for name in names]),
    }


def _why_not(code: str | None, figures: dict[str, Any] | None, said: Crawler) -> str | None:
    """Why a crawler is no part of the summary; None where it is one."""
    if code is None:
        return eu_fields.NO_PURPOSE
    if code != _TRAINING:
        return eu_fields.OTHER_PURPOSE
    if said.earlier_period is not None or (figures is not None and figures["forwarded"]):
        return None
    return eu_fields.NOT_SEEN if figures is None else eu_fields.NOT_SENT


def _used(crawlers: list[dict[str, Any]], excluded: list[dict[str, Any]]) -> str:
    """The answer to a: no more than is known of the crawlers in the log and in the operator file."""
    if crawlers:
        return eu_fields.YES
    known = excluded and all(one["why"] != eu_fields.NO_PURPOSE for one in excluded)
    return eu_fields.NO if known else eu_fields.NOT_KNOWN


def _about(question: Question) -> dict[str, Any]:
    said = question.declared.eu
    days = {"last_update": said.last_update, "update_due": said.update_due}
    return {
        "template_version": said.template_version,
        "summary_version": said.summary_version,
        **{name: None if day is None else day.isoformat() for name, day in days.items()},
        "models": said.models,
        "comments": said.comments,
        "section_3_1": {
            "cop_signatory": said.cop_signatory,
            "copyright_policy_uri": said.copyright_policy_uri,
            "reservation_measures": said.reservation_measures,
        },
    }


def _crawler(
    said: Crawler, figures: dict[str, Any], answers: dict[str, Any], signals: dict[str, int]
) -> dict[str, Any]:
    lists, barriers = said.exclusion_lists, answers["barriers_by_kind"]
    return {
        "crawler": said.id,
        "name": said.client_name or said.id,
        "operated_by": said.operated_by,
        "on_behalf_of": said.on_behalf_of,
        "product_tokens": figures["product_tokens"],
        "purpose": said.purpose,
        "behaviour": {
            "robots_txt": {
                **{name: figures[name] for name in ("modes", "requests", "disallowed", "violations")},
                "blocked": figures["disallowed"] - figures["violations"],
            },
            "other_protocols": {"policy": said.other_protocols, "signals": signals},
            "captchas": {"policy": said.captcha_policy, "answers": barriers.get("challenge", 0)},
            "password_protected_websites": {
                "policy": said.password_policy,
                "answers": barriers.get("http_401", 0) + barriers.get("http_407", 0),
            },
            "paywalls": {"policy": said.paywall_policy, "answers": barriers.get("http_402", 0)},
        },
        **_period(said, figures),
        "content": {
            **{name: getattr(said, name) for name in ("content_and_sources", "site_types", "languages", "regions")},
            "kinds": answers["modalities"],
            "sites": figures["sites"],
        },
        "modalities": [name for name in eu_fields.TEMPLATE_MODALITIES if name.lower() in answers["modalities"]],
        "exclusion_lists": None if lists is None else [one.model_dump() for one in lists],
    }


def _period(said: Crawler, figures: dict[str, Any]) -> dict[str, str | None]:
    """From the earliest month to the latest, of the log and of an earlier period that the operator declares."""
    first = moment(figures["collection_from"], Level.PUBLIC)
    last = moment(figures["collection_to"], Level.PUBLIC)
    earlier = said.earlier_period
    start = min((m for m in (first, earlier and earlier.start) if m), key=_order)
    end = max((m for m in (last, earlier and earlier.end) if m), key=_order)
    return {
        "period": f"{start} to {end}",
        "period_from": start,
        "period_to": end,
        "period_in_log": None if first is None else f"{first} to {last}",
    }


def _order(month: str) -> tuple[str, str]:
    """MM/YYYY in the order of time."""
    return month[3:], month[:2]


def _sizes(answers: list[dict[str, Any]]) -> dict[str, Any]:
    totals = {name: sum(one["modality_bytes"].get(name, 0) for one in answers) for name in MODALITIES}
    return {
        "latest_acquisition": max((one["last_content_at"] for one in answers if one["last_content_at"]), default=None),
        "modality_bytes": {name: octets for name, octets in totals.items() if octets},
    }


def rows(shown: dict[str, Any]) -> render.Table:
    """The list of domain names as CSV rows."""
    listed = shown["domains"]
    return render.table_of(listed, [name for name in _CSV if not listed or name in listed[0]])


KIND = Kind(
    name="eu",
    title="EU public summary of training content, section 2.3",
    record=eu_fields.RECORD,
    counted="domains",
    disclaimers=("D-COLLECT", "D-COVER", "D-ROBOTS", "D-DECL", "D-BARRIER", "D-NOTCERT"),
    make=make,
    body=body,
    table=rows,
    help="""Section 2.3 of the EU template, a to i, with the list of domains, and inputs to sections 1.3 and 3.1.

    Of crawlers declared to be for training only. As CSV it is the list of domain names.

    \b
    Example:
      crawl-audit report eu ./audit-log --operator operator.toml --level public --format html -o summary.html
    """,
)
