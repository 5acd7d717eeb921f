"""The answer to "did you crawl my site?": what was asked, what left, under which robots.txt, and what is not known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from crawl_audit.site import site_of
from crawl_audit.target import Scope
from reports import cannot_be_known, envelope, envelope_fields, envelope_text, render
from reports.declarations import Declarations
from reports.fields import Field
from reports.kinds import inquiry_text
from reports.kinds.inquiry_record import CRAWLERS, DAYS, RECORD
from reports.levels import Level
from reports.log import Log
from reports.matched_leaves import evidence_digest
from reports.matching import Subject, parameters
from reports.period import Period
from reports.recorded_settings import configured_crawlers
from reports.report import Kind, Question, at_level
from reports.words import ENGLISH, Words

DISCLAIMERS = ("D-COLLECT", "D-COVER", "D-ROBOTS", "D-DECL", "D-SIM", "D-NOTCERT")
FIELDS = (*envelope_fields.FIELDS, *RECORD.fields)
LISTED_MAX = 1000
"""Copies of robots.txt, and signals, that one answer lists; how many there are is said beside them."""
PINNED_MAX = 10_000
"""Matched decisions whose leaves are computed without being asked for: a leaf takes some 20 µs."""
_NUMBERS = (
    "forwarded",
    "denied",
    "disallowed",
    "violations",
    "robots_txt_requests",
    "content_responses",
    "bytes",
    "without_completion",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is on file about an inquiry: pseudonyms and references only, all of it given by who answers."""

    reference: str | None = None
    received_at: datetime | None = None
    channel: str | None = None
    basis: str | None = None
    requester_ref: str | None = None
    answered_by: str | None = None
    eligibility: tuple[tuple[str, str, str | None], ...] = ()
    """Condition, whether it is met (yes, no, unknown), where that is shown."""
    hold: str | None = None
    evidence: str | None = None
    """File that the list of evidence is written to."""


def answer(question: Question, asked: Asked) -> dict[str, Any]:
    """The internal record about ``question.subject``; training use is never answered from a crawl log."""
    log, subject, period = question.log, question.subject, question.period
    assert subject is not None, "an inquiry is about something"
    scope = parameters(log, subject, period)
    counted = log.rows("inquiry", **scope)
    totals = {**next(row for row in counted if row["what"] == "all"), **log.one("inquiry_answers", **scope)}
    same_host = None
    if subject.target is not None:  # an exact URL finds little; say what the host as a whole has
        same_host = log.one("inquiry_host", host=subject.host, **period.parameters)
    about = _about(question, subject, asked, totals["requests"])
    hidden = 0 if same_host is None else same_host["without_target"]
    robots = log.rows("inquiry_robots", **scope, rows_max=LISTED_MAX)
    signals = log.rows("inquiry_signals", **scope, rows_max=LISTED_MAX)
    crawlers = _picked(counted, "crawler", CRAWLERS)
    pinned = totals["requests"] <= PINNED_MAX or asked.evidence is not None or asked.hold is not None
    return {
        **about,
        "result": _result(totals, about["coverage"], hidden),
        "crawlers_searched": _searched(log, crawlers),
        **{name: totals[name] for name in (*_NUMBERS, "first_at", "last_at")},
        "robots": [_robots(row) for row in robots],
        "robots_count": robots[0]["copies"] if robots else 0,
        "crawlers": crawlers,
        "signals": [{name: value for name, value in row.items() if name != "wishes"} for row in signals],
        "signals_count": signals[0]["wishes"] if signals else 0,
        "days": [{**row, "day": row["day"].isoformat()} for row in _picked(counted, "day", DAYS)],
        "cannot_be_known": cannot_be_known.chosen(about["coverage"], without_target=hidden),
        "same_host": same_host and {name: same_host[name] for name in ("requests", "forwarded", "denied")},
        "evidence_manifest_sha256": evidence_digest(log, scope, asked.evidence) if pinned else None,
    }


def unanswered(
    subject: Subject, period: Period, live_files: int, declared: Declarations, asked: Asked
) -> dict[str, Any]:
    """The internal record about ``subject`` from a log in which nothing is sealed yet."""
    record = (RECORD.name, RECORD.version)
    about = envelope.empty(period, declared, record, live_files, *DISCLAIMERS)
    return {
        **about,
        **_given(subject, declared, asked, about["generated_at"]),
        "result": "cannot_determine",
        **dict.fromkeys((*_NUMBERS, "robots_count", "signals_count"), 0),
        **dict.fromkeys(("first_at", "last_at", "same_host", "evidence_manifest_sha256")),
        **{name: [] for name in ("crawlers_searched", "robots", "crawlers", "signals", "days")},
        "cannot_be_known": cannot_be_known.chosen(about["coverage"]),
    }


def inquiry(
    log: Log, subject: Subject, period: Period, declared: Declarations | None = None, level: Level = Level.INTERNAL
) -> dict[str, Any]:
    """The answer about ``subject`` in ``period`` as ``level`` may see it."""
    question = Question(log=log, period=period, declared=declared or Declarations(), subject=subject)
    return at_level(answer(question, Asked()), FIELDS, level)


def _about(question: Question, subject: Subject, asked: Asked, rows: int) -> dict[str, Any]:
    record, declared = (RECORD.name, RECORD.version), question.declared
    about = envelope.envelope(question.log, question.period, declared, record, rows, *DISCLAIMERS)
    return {**about, **_given(subject, declared, asked, about["generated_at"])}


def _given(subject: Subject, declared: Declarations, asked: Asked, answered_at: datetime) -> dict[str, Any]:
    """What comes from who asks, who answers and the operator file."""
    attested = declared.training_use_of(subject.site or site_of(subject.host))
    explained = next((item.text for item in declared.japan.item if item.key == "infeasibility_explanation"), None)
    received = asked.received_at
    return {
        "query": subject.text,
        "query_normalised": subject.normalised,
        "match_scope": subject.match_scope,
        "inquiry": {
            "reference": asked.reference,
            "received_at": received,
            "elapsed_days": None if received is None else (answered_at - received).days,
            "channel": asked.channel,
            "basis": asked.basis,
            "requester_ref": asked.requester_ref,
            "answered_by": asked.answered_by,
            "eligibility_checks": [
                {"condition": condition, "met": met, "evidence_ref": shown}
                for condition, met, shown in asked.eligibility
            ],
        },
        "training_use_status": "unknown" if attested is None else f"operator_attested_{attested.status}",
        "attestation": attested
        and {
            "attested_by": attested.attested_by,
            "attested_at": attested.attested_at.isoformat(),
            "reference": attested.reference,
        },
        "similarity_statement": "not determined by this tool",
        # Only under the Japanese code is it asked for, so only there it counts as not supplied.
        "infeasibility_explanation": explained or (None if asked.basis in ("jp_p2", "jp_p3") else {}),
        "legal_hold": asked.hold,
    }


def _picked(counted: list[dict[str, Any]], what: str, fields: tuple[Field, ...]) -> list[dict[str, Any]]:
    """The rows that count by ``what``, with the columns that the record has of them."""
    return [{field.name: row[field.name] for field in fields} for row in counted if row["what"] == what]


def _result(totals: dict[str, Any], covered: dict[str, Any], hidden: int) -> str:
    if totals["forwarded"]:
        return "requests_found"
    unrecorded = covered["fail_open"]
    lost = unrecorded is not None and unrecorded["kept"] < unrecorded["requests"]
    if covered["covered"] == "none" or covered["missing_records"] or lost or hidden:
        return "cannot_determine"  # a hole in the log may be where the request was
    return "denied_only" if totals["denied"] else "no_record_in_covered_log"


def _robots(row: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: row[name] for name in ("from", "until", "source", "status", "outcome", "sha256", "log", "seq")},
        "authority": f"{row['scheme']}://{Scope(row['scheme'], row['host'], row['port']).authority}",
        "verdicts": {name: row[name] for name in ("allowed", "disallowed") if row[name]},
    }


def _searched(log: Log, matched: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every crawler a run was configured with, and those that requests name."""
    tokens = {row["crawler"]: str(row["product_token"]).split(", ") for row in matched}
    for name, settings in configured_crawlers(log).items():
        given = settings.get("product_tokens")
        tokens[name] = [str(token) for token in given] if isinstance(given, list) else []
    return [{"crawler": name, "product_tokens": tokens[name]} for name in sorted(tokens)]


def document(shown: dict[str, Any], words: Words = ENGLISH) -> render.Document:
    """The answer for people."""
    made = envelope_text.document(words("Inquiry"), inquiry_text.body(shown, words), shown, words)
    return replace(made, title=words("Inquiry: {subject}", subject=shown["query_normalised"]))


KIND = Kind(
    name="inquiry",
    title="Inquiry",
    record=RECORD,
    counted="crawlers",
    disclaimers=DISCLAIMERS,
    make=lambda question: answer(question, Asked()),
    body=inquiry_text.body,
    table=inquiry_text.table,
    takes=frozenset({"site"}),
)
"""The same as a kind of report, for what treats all kinds alike; its command is ``crawl-audit inquiry``."""
