"""What the log shows, and the operator declares, of the crawlers a statement under Japan's Principle Code is about."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from crawl_audit.signal_policy import Purpose
from reports.declarations import Crawler, Declarations
from reports.fields import Field, Form, Show, Source
from reports.log import Log, Row
from reports.period import Period
from reports.recorded_settings import configured_crawlers, settings_object
from reports.report import Question
from reports.reservations import PREFERENCES_ONLY

ANY_PURPOSE = "any purpose"

SLOW_DOWN = (429, 503)
"""Statuses that ask to come slower: Too Many Requests (RFC 6585 4), Service Unavailable (RFC 9110 15.6.4)."""


def _said(name: str, form: Form, meaning: str, label: str = "", *, optional: bool = False) -> Field:
    return Field(name=name, form=form, meaning=meaning, label=label, source=Source.DECLARED, optional=optional)


def _count(name: str, meaning: str, label: str = "", public: Show | None = None) -> Field:
    return Field(name=name, form=Form.COUNT, meaning=meaning, label=label, public=public)


CRAWLERS = Field(
    name="crawlers",
    form=Form.RECORDS,
    key="crawler",
    meaning="what the items about crawlers rest on, one object per crawler of the log or of the operator file",
    asked_by="JP P1",
    fields=(
        Field(name="crawler", form=Form.TEXT, meaning="configured id"),
        Field(name="product_tokens", form=Form.TEXTS, meaning="RFC 9309 product tokens judged by"),
        _said("expected_user_agent", Form.TEXT, "User-Agent, as declared or configured", "User-Agent"),
        Field(
            name="purpose_code",
            form=Form.TEXT,
            meaning="purpose as a fixed word",
            label="Kind of purpose",
            source=Source.DECLARED,
            words=("training", "rag_grounding", "search_index", "user_fetch", "research", "other"),
        ),
        _said("purpose", Form.LOCALISED, "purpose in plain words"),
        Field(name="collection_from", form=Form.INSTANT, meaning="first forwarded request", label="First request"),
        Field(name="collection_to", form=Form.INSTANT, meaning="last forwarded request", label="Last request"),
        _said("earlier_period", Form.TEXT, "collection before the log", "Earlier collection", optional=True),
        _count("requests", "requests decided on, /robots.txt included"),
        _count("without_token", "of these, with a User-Agent that holds no product token", "Without the token"),
        _count(
            "evaluated", "of these, judged by what the site says; /robots.txt itself is not", "Judged by robots.txt"
        ),
        _count("disallowed", "requests the site disallows"),
        _count("denied", "of these, denied"),
        _count("violations", "of these, forwarded nevertheless", "Disallowed but forwarded"),
        _count("forwarded", "requests forwarded"),
        _count("median_interval_ms", "median time between requests to one host", "Median interval (ms)", Show.AS_IS),
        _count("shortest_interval_ms", "shortest such time", "Shortest interval (ms)", Show.AS_IS),
        _count("pace_asked", "forwarded requests for which the site asks a pace"),
        _count("faster_than_asked", "of these, those that came faster"),
        _count("slow_down_answers", "answers 429 and 503", "Answers 429 and 503"),
        Field(
            name="barriers",
            form=Form.TALLY,
            meaning="answers that show an access barrier, by kind; a lower bound",
            label="Access barriers seen",
            public=Show.BAND,
        ),
        _said("password_policy", Form.LOCALISED, "what it does at logins", "Logins and passwords"),
        _said("paywall_policy", Form.LOCALISED, "what it does at paywalls", "Paywalls"),
        _said("captcha_policy", Form.LOCALISED, "what it does at CAPTCHAs", "CAPTCHAs"),
        _said("other_protocols", Form.LOCALISED, "reservations beside robots.txt it heeds", "Other protocols"),
        _said("exclusion_lists", Form.TEXTS, "lists of sites it never asks, with their versions"),
        _said("rate_control", Form.TEXT, "how its pace is limited", "Control of the pace", optional=True),
        _said("contacts", Form.TEXTS, "where to write"),
        _said("docs_uri", Form.TEXT, "page about it", "Page about the crawler"),
    ),
)
SIGNALS = Field(
    name="signals",
    form=Form.RECORDS,
    key="protocol",
    meaning="usage preferences recorded in the period, by protocol",
    asked_by="JP P1",
    label="Reservations recorded",
    fields=(
        Field(name="protocol", form=Form.TEXT, meaning="protocol"),
        Field(name="found", form=Form.COUNT, meaning="how often it was recorded", label="Recorded"),
        Field(name="first_at", form=Form.INSTANT, meaning="first"),
        Field(name="last_at", form=Form.INSTANT, meaning="last"),
        Field(
            name="denied_for",
            form=Form.TEXTS,
            meaning="purposes for which the settings deny by it; empty: it is recorded only",
            label="Denied for",
            words=(*(purpose.value for purpose in Purpose), ANY_PURPOSE),
            open=True,
        ),
    ),
)
LOG_SPAN = Field(
    name="log_span",
    form=Form.RECORD,
    meaning="from when to when there are records at all",
    asked_by="JP P1",
    label="Records kept",
    fields=(
        Field(name="first_at", form=Form.INSTANT, meaning="first record there is", label="First record"),
        Field(name="last_at", form=Form.INSTANT, meaning="last record there is", label="Last record"),
    ),
)
RETENTION = Field(
    name="retention",
    form=Form.RECORD,
    meaning="how long records are kept",
    asked_by="JP P1",
    source=Source.DECLARED,
    fields=(
        Field(
            name="days",
            form=Form.COUNT,
            meaning="days",
            label="Days",
            source=Source.DECLARED,
            public=Show.AS_IS,
        ),
        _said("statement", Form.LOCALISED, "in its own words", optional=True),
    ),
)
_COUNTS = (
    "requests",
    "evaluated",
    "disallowed",
    "violations",
    "forwarded",
    "pace_asked",
    "faster_than_asked",
)
_TEXTS = (
    "purpose_code",
    "purpose",
    "password_policy",
    "paywall_policy",
    "captcha_policy",
    "other_protocols",
    "rate_control",
    "docs_uri",
)


def shown(question: Question) -> dict[str, Any]:
    """The values of CRAWLERS, SIGNALS, LOG_SPAN and RETENTION at the internal level."""
    log, period, retention = question.log, question.period, question.declared.retention
    return {
        "crawlers": _crawlers(log, period, question.declared),
        "signals": _signals(log, period),
        "log_span": _span(log),
        "retention": {"days": retention.days, "statement": retention.statement},
    }


def _crawlers(log: Log, period: Period, declared: Declarations) -> list[dict[str, Any]]:
    """Those of the log and those only declared: a declared one that asked for nothing has zeros."""
    found = {row["crawler"]: row for row in log.rows("activity", **period.parameters)}
    barriers, slow = _barriers(log, period)
    configured = configured_crawlers(log)
    made = []
    for name in sorted({*found, *(one.id for one in declared.crawler)}):
        agent = configured.get(name, {}).get("user_agent")
        made.append(
            {
                "crawler": name,
                **_of_log(found.get(name, {})),
                **_of_operator(declared.of_crawler(name), agent if isinstance(agent, str) else None),
                "barriers": barriers[name],
                "slow_down_answers": slow[name],
            }
        )
    return made


def _of_log(row: Row) -> dict[str, Any]:
    """The fields that a row of the query `activity` tells; of no row, that there was nothing."""
    intervals = row.get("intervals_ms") or (None, None, None)
    return {
        "product_tokens": row.get("product_tokens", []),
        **{name: row.get(name, 0) for name in _COUNTS},
        "without_token": row.get("requests", 0) - row.get("token_in_user_agent", 0),
        "denied": row.get("disallowed_denied", 0),
        "collection_from": row.get("collection_from"),
        "collection_to": row.get("collection_to"),
        "median_interval_ms": intervals[1],
        "shortest_interval_ms": row.get("interval_min_ms"),
    }


def _of_operator(said: Crawler, configured_agent: str | None) -> dict[str, Any]:
    earlier, lists = said.earlier_period, said.exclusion_lists
    return {
        **{name: getattr(said, name) for name in _TEXTS},
        "expected_user_agent": said.expected_user_agent or configured_agent,
        "earlier_period": None if earlier is None else f"{earlier.start} – {earlier.end}",
        "exclusion_lists": None if lists is None else [f"{one.name} {one.version or ''}".strip() for one in lists],
        "contacts": said.contacts,
    }


def _barriers(log: Log, period: Period) -> tuple[defaultdict[str, dict[str, int]], defaultdict[str, int]]:
    """crawler → barrier → count, and crawler → answers that ask to slow down."""
    barriers: defaultdict[str, dict[str, int]] = defaultdict(dict)
    slow: defaultdict[str, int] = defaultdict(int)
    for row in sorted(log.rows("activity_answers", **period.parameters), key=lambda row: str(row["barrier"])):
        kinds = barriers[row["crawler"]]
        if row["barrier"] is not None:
            kinds[row["barrier"]] = kinds.get(row["barrier"], 0) + row["answers"]
        slow[row["crawler"]] += row["answers"] if row["status"] in SLOW_DOWN else 0
    return barriers, slow


def _signals(log: Log, period: Period) -> list[dict[str, Any]]:
    denied = _denied_for(log, period)
    return [
        {**row, "denied_for": sorted(denied[row["protocol"]])}
        for row in log.rows("japan_signals", **PREFERENCES_ONLY, **period.parameters)
    ]


def _denied_for(log: Log, period: Period) -> defaultdict[str, set[str]]:
    """protocol → purposes for which any settings in force in the period deny by it."""
    running = {row["log"] for row in log.rows("runs", **period.parameters)}
    made: defaultdict[str, set[str]] = defaultdict(set)
    for row in log.rows("settings"):
        signals = settings_object(row["settings"]).get("signals") if row["log"] in running else None
        policy = signals.get("policy") if isinstance(signals, dict) else None
        for protocol, words in (policy if isinstance(policy, dict) else {}).items():
            by_purpose = words if isinstance(words, dict) else {ANY_PURPOSE: words}
            made[protocol] |= {purpose for purpose, word in by_purpose.items() if word == "deny"}
    return made


def _span(log: Log) -> dict[str, Any]:
    rows = [row for row in log.rows("logs") if not row["custodian"]]
    times = {"first_at": [row["first_at"] for row in rows], "last_at": [row["last_at"] for row in rows]}
    return {
        "first_at": min(times["first_at"], default=None),
        "last_at": max(times["last_at"], default=None),
    }
