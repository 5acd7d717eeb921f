"""A stored decision made again: from the stored robots.txt, and with what the settings of its log declare."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from crawl_audit import robots
from crawl_audit.exemptions import Exemption, Exemptions, recorded_exemption
from crawl_audit.identity import Crawler
from crawl_audit.policy import Policy
from crawl_audit.records import Basis, Instant, RobotsOutcome
from crawl_audit.robots import Rules
from crawl_audit.signal_policy import SignalPolicy
from crawl_audit.target import Scope, Target
from crawl_audit.wishes import NONE
from reports.declarations import listed
from reports.log import Row

# What a replay must give again. `protego_verdict` is compared apart: it belongs to a version of Protego.
_REPLAYED = ("verdict", "basis", "rule", "rule_line", "exemption")
# Verdicts that rest on the operator's declarations as well; those on the pace rest on the moment too.
_DECLARED = (Basis.EXEMPTION, Basis.SIGNAL)
_EPOCH = datetime.fromtimestamp(0, UTC)


def replay(decision: Row, snapshot: Row | None, body: bytes | None, settings: dict[str, Any] | None) -> dict[str, Any]:
    """Decide again: ``result`` is ``same``, ``differs``, ``not_possible`` or ``not_applicable``, with the reason.

    ``settings`` are those recorded by the log's run, None where they are not in the segments.
    """
    stored = {name: decision[name] for name in _REPLAYED}
    about = {"parser": robots.PARSER, "stored_parser": decision["parser"], "stored": stored, "recomputed": None}
    if decision["basis"] == Basis.ERROR:
        return {"result": "not_applicable", "reason": "No robots.txt decided this.", **about}
    missing = _missing(decision, snapshot, body, settings)
    if missing is not None:
        return {"result": "not_possible", "reason": missing, **about}
    digest = None if body is None else hashlib.sha256(body).hexdigest()
    if body is not None and digest != decision["robots_sha256"]:
        return {"result": "differs", "reason": "The stored robots.txt has another SHA-256 than the decision.", **about}
    again = _again(decision, snapshot, body, settings or {})
    same = again == stored
    reason = "Decided again from the stored octets: the same." if same else "Decided again: another answer."
    if same and decision["basis"] in _DECLARED:
        reason = "Decided again from the stored octets and the settings recorded with the run: the same."
    if same and decision["basis"] == Basis.CRAWL_DELAY:
        reason = "The rule is the same; that the request came too early is the log's word."
    if same and _by_tdmrep(decision):
        reason = "The rule is the same; for what tdmrep.json said, see the signals of the snapshot."
    return {**about, "result": "same" if same else "differs", "reason": reason, "recomputed": again}


def _missing(decision: Row, snapshot: Row | None, body: bytes | None, settings: dict[str, Any] | None) -> str | None:
    """What is needed to decide again and not in the segments, as a sentence."""
    if settings is None and (decision["basis"] in _DECLARED or decision["exemption"] is not None):
        return "The settings that were in force are not in the segments."
    if decision["basis"] == Basis.ROBOTS_TXT:
        return None
    if snapshot is None:
        return "The snapshot of robots.txt is not in the segments."
    if snapshot["outcome"] == RobotsOutcome.SUCCESSFUL and body is None:
        return "The octets of robots.txt are not in the segments."
    return None


def _again(decision: Row, snapshot: Row | None, body: bytes | None, settings: dict[str, Any]) -> dict[str, Any]:
    outcome = RobotsOutcome.SUCCESSFUL if snapshot is None else RobotsOutcome(snapshot["outcome"])
    tokens = tuple(decision["product_token"].split(", "))
    rules: Rules | None = None if body is None else robots.compile_rules(body, tokens)
    judgement = robots.evaluate(outcome, rules, decision["target"])
    purposes = {str(one.get("id")): one.get("purpose") for one in listed(settings, "crawlers")}
    purpose = purposes.get(decision["crawler"])
    said = purpose if isinstance(purpose, str) else None
    crawler = Crawler(id=decision["crawler"], product_tokens=tokens, purpose=said)
    target = Target(Scope(decision["scheme"], decision["host"], decision["port"]), decision["target"], None)
    at = Instant((decision["recorded_at"].replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1))
    ruling = policy_of(settings).ruling(judgement, crawler, target, at, rules.wishes if rules else NONE)
    verdict, basis = ruling.judgement.verdict.value, ruling.judgement.basis.value
    if decision["basis"] == Basis.CRAWL_DELAY or _by_tdmrep(decision):
        verdict, basis = decision["verdict"], decision["basis"]
    return {
        "verdict": verdict,
        "basis": basis,
        "rule": judgement.rule,
        "rule_line": judgement.rule_line,
        "exemption": ruling.exemption,
    }


def policy_of(settings: dict[str, Any]) -> Policy:
    """The policy that recorded settings declare; what is no declaration in them declares nothing."""
    signals = settings.get("signals")
    words = signals.get("policy") if isinstance(signals, dict) else None
    exemptions = [made for one in listed(settings, "exemptions") if (made := _exemption(one)) is not None]
    return Policy(Exemptions(exemptions), _signal_policy(words))


def _exemption(said: dict[str, Any]) -> Exemption | None:
    try:
        return recorded_exemption(said)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _signal_policy(words: Any) -> SignalPolicy:
    try:
        return SignalPolicy(words if isinstance(words, dict) else None)
    except (AttributeError, TypeError, ValueError):
        return SignalPolicy()


def _by_tdmrep(decision: Row) -> bool:
    """Whether a reservation in tdmrep.json decided, of which the log keeps the entries as signals."""
    return decision["basis"] in _DECLARED and "tdmrep refuses the use" in (decision["detail"] or "")
