"""The answer to "did you crawl my site?": what was asked, what left, under which robots.txt, and what is not known."""

from __future__ import annotations

from typing import Any

from crawl_audit.errors import LogFormatError
from crawl_audit.target import Scope
from reports import envelope, render
from reports.log import Log
from reports.matching import Subject, parameters
from reports.period import Period, iso

DISCLAIMERS = ("D-COLLECT", "D-COVER", "D-ROBOTS", "D-SIM")

_SENTENCES = {
    "requests_found": "Requests to {} left through the proxy.",
    "denied_only": "Requests to {} were made by a crawler and all were denied: none reached the site.",
    "no_record_in_covered_log": "The log has no request to {} in the time it covers.",
    "cannot_determine": "Whether {} was requested cannot be told: the log does not cover the period, or has holes.",
}
_NUMBERS = ("forwarded", "denied", "violations", "robots_txt_requests", "content_responses", "bytes")


def inquiry(log: Log, subject: Subject, period: Period) -> dict[str, Any]:
    """The answer about ``subject`` in ``period``; training use is never answered from a crawl log."""
    scope = parameters(log, subject, period)
    totals = log.one("inquiry", **scope)
    about = envelope.envelope(log, period, totals["requests"], *DISCLAIMERS)
    answer = {
        "result": _result(totals, about["coverage"]),
        "query": subject.text,
        "query_normalised": subject.normalised,
        "match_scope": subject.match_scope,
        **{name: totals[name] for name in _NUMBERS},
        "without_completion": totals["without_completion"],
        "first_at": iso(totals["first_at"]),
        "last_at": iso(totals["last_at"]),
        "robots": [_robots(row) for row in log.rows("inquiry_robots", **scope)],
        "crawlers": [_times(row) for row in log.rows("inquiry_crawlers", **scope)],
        "signals": [_times(row) for row in log.rows("inquiry_signals", **scope)],
        "training_use_status": "unknown",
        "similarity_statement": "not determined by this tool",
        **about,
    }
    if subject.target is not None:  # an exact URL finds little; say what the host as a whole has
        host = log.one("inquiry", **{**scope, "targets": None, "scheme": None, "port": None})
        answer["same_host"] = {"requests": host["requests"], "forwarded": host["forwarded"], "denied": host["denied"]}
    return answer


def _result(totals: dict[str, Any], covered: dict[str, Any]) -> str:
    if totals["forwarded"]:
        return "requests_found"
    unrecorded = covered["fail_open"]
    lost = unrecorded is not None and unrecorded["kept"] < unrecorded["requests"]
    if covered["covered"] == "none" or covered["missing_records"] or lost:
        return "cannot_determine"  # a hole in the log may be where the request was
    return "denied_only" if totals["denied"] else "no_record_in_covered_log"


def _robots(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "from": iso(row["from"]),
        "until": iso(row["until"]),
        "authority": f"{row['scheme']}://{Scope(row['scheme'], row['host'], row['port']).authority}",
        "source": row["source"],
        "status": row["status"],
        "outcome": row["outcome"],
        "sha256": row["sha256"],
        "verdicts": {name: row[name] for name in ("allowed", "disallowed") if row[name]},
        "log": row["log"],
        "seq": row["seq"],
    }


def _times(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "first_at": iso(row["first_at"]), "last_at": iso(row["last_at"])}


def unanswerable(subject: Subject, period: Period, reason: LogFormatError) -> dict[str, Any]:
    """The answer about ``subject`` from a log in which nothing can be read yet."""
    return {
        "result": "cannot_determine",
        "query": subject.text,
        "query_normalised": subject.normalised,
        "match_scope": subject.match_scope,
        **dict.fromkeys((*_NUMBERS, "without_completion"), 0),
        "first_at": None,
        "last_at": None,
        **{name: [] for name in ("robots", "crawlers", "signals")},
        "training_use_status": "unknown",
        "similarity_statement": "not determined by this tool",
        **envelope.empty(period, str(reason), *DISCLAIMERS),
    }


def document(answer: dict[str, Any]) -> render.Document:
    """The answer for people."""
    facts = [
        ("Result", answer["result"]),
        ("Matched", f"{answer['match_scope']} {answer['query_normalised']}"),
        ("Forwarded", answer["forwarded"]),
        ("Denied", answer["denied"]),
        ("Disallowed but forwarded", answer["violations"]),
        ("Of these for robots.txt", answer["robots_txt_requests"]),
        ("Answers with content", answer["content_responses"]),
        ("Bytes received", answer["bytes"]),
        ("First", answer["first_at"] or "never"),
        ("Last", answer["last_at"] or "never"),
        ("Used for training", answer["training_use_status"]),
    ]
    if "same_host" in answer:
        facts.append(("Same host, any URL", answer["same_host"]))
    sentence = _SENTENCES[answer["result"]].format(answer["query_normalised"])
    sections = [render.Section(title="", blocks=(render.Paragraph(sentence), render.Facts(tuple(facts))))]
    for key, title, columns in (
        ("crawlers", "Crawlers", ("crawler", "product_token", "forwarded", "denied", "first_at", "last_at")),
        ("robots", "robots.txt in force", ("from", "authority", "status", "outcome", "verdicts", "sha256")),
        ("signals", "Usage preferences found", ("protocol", "raw", "scope", "count")),
    ):
        if answer[key]:
            sections.append(render.Section(title=title, blocks=(render.table_of(answer[key], columns),)))
    title = f"Inquiry: {answer['query']}"
    return envelope.document(title, sections, answer)


def table(answer: dict[str, Any]) -> render.Table:
    """The answer as one CSV row."""
    names = ("result", "query_normalised", "match_scope", *_NUMBERS, "first_at", "last_at", "training_use_status")
    return render.table_of([answer], names)
