"""A stored decision made again: from the stored robots.txt, and with what the settings of its log declare.

The one implementation of it, for a single decision (`explain`, a proof) as for all of a log (`verify`), so that the
two can never disagree.  What a replay cannot show and takes from the log is in ``Answer.rests_on``.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from crawl_audit import robots
from crawl_audit.records import Basis, Instant, RobotsOutcome, Verdict
from crawl_audit.robots import Judgement, Rules
from crawl_audit.target import Scope, Target
from reports.declared import NOTHING, Declared
from reports.log import Row

# Compiled rules kept: of an octet 20 to 60 octets are made, and 75 more for each pair of a user-agent line and a rule
# (measured), so files are weighed and not only counted.
_RULES_MAX = 4096
_WEIGHT_MAX = 256 * 1024 * 1024
_WEIGHT_PER_OCTET = 40
_WEIGHT_PER_PAIR = 75
_PAIRS_MAX = 200_000
# The policy is asked a moment before the decision is dated; an exemption may begin or end in between.
_POLICY_LAG_US = 15_000_000
# Verdicts that rest on the operator's declarations as well; those on the pace rest on the moment too.
_DECLARED = (Basis.EXEMPTION, Basis.SIGNAL)
_EPOCH = datetime.fromtimestamp(0, UTC)


class Result(StrEnum):
    """What came of deciding again."""

    SAME = "same"
    DIFFERS = "differs"
    NOT_POSSIBLE = "not_possible"
    NOT_APPLICABLE = "not_applicable"


class Made(NamedTuple):
    """What of a stored decision is decided again, and what it is decided from; ``recorded_at`` in microseconds."""

    recorded_at: int
    crawler: str
    product_token: str
    scheme: str
    host: str
    port: int
    target: str | None  # None: withheld
    robots_sha256: str | None
    verdict: str
    basis: str
    rule: str | None
    rule_line: int | None
    exemption: str | None
    group_tokens: list[str]
    protego_verdict: str | None
    divergent: bool
    parser: str
    detail: str | None


class Again(NamedTuple):
    """What a replay gives: names as in the decision."""

    verdict: str
    basis: str
    rule: str | None
    rule_line: int | None
    exemption: str | None
    group_tokens: tuple[str, ...]
    protego_verdict: str | None
    divergent: bool


class Answer(NamedTuple):
    """How a replay ended; ``rests_on``: what of a decision that is the same is the log's word, as a phrase."""

    result: Result
    reason: str
    again: Again | None = None
    rests_on: str | None = None


_SAME = Answer(Result.SAME, "Decided again from the stored octets: the same.")
_SAME_DECLARED = Answer(
    Result.SAME, "Decided again from the stored octets and the settings recorded with the run: the same."
)
_SAME_PACE = Answer(
    Result.SAME,
    "The rule is the same; that the request came too early is the log's word.",
    rests_on="that a request came too early for the pace asked",
)
_SAME_TDMREP = Answer(
    Result.SAME,
    "The rule is the same; for what tdmrep.json said, see the signals of the snapshot.",
    rests_on="what tdmrep.json said",
)


class Replayer:
    """Decides again and again; remembers compiled rules, so ask about one robots.txt at a time where there are many."""

    def __init__(self) -> None:
        self._rules: OrderedDict[tuple[str, str], tuple[Rules, int]] = OrderedDict()
        self._weight = 0

    def answer(
        self,
        made: Made,
        outcome: str | None,
        body_of: Callable[[], bytes | None],
        declared: Declared | None,
    ) -> Answer:
        """Decide again; ``outcome`` is the snapshot's, None where it is not at hand or none is named.

        ``body_of`` gives the octets under the decision's digest, None where there are none; it is asked only where the
        rules are not known yet.  ``declared``: by the settings of the run, None where they are not at hand.
        """
        if made.basis == Basis.ERROR:
            return Answer(Result.NOT_APPLICABLE, "No robots.txt decided this.")
        missing = _missing(made, outcome, declared)
        if missing is not None:
            return Answer(Result.NOT_POSSIBLE, missing)
        rules: Rules | None = None
        if outcome == RobotsOutcome.SUCCESSFUL and made.basis != Basis.ROBOTS_TXT:
            found = self._rules_of(made, body_of)
            if isinstance(found, Answer):
                return found
            rules = found
        again = _again(made, outcome, rules, NOTHING if declared is None else declared)
        if not agrees(made, again):
            return Answer(Result.DIFFERS, "Decided again: another answer.", again)
        return _same(made)._replace(again=again)

    def _rules_of(self, made: Made, body_of: Callable[[], bytes | None]) -> Rules | Answer:
        key = (made.robots_sha256 or "", made.product_token)
        kept = self._rules.get(key)
        if kept is not None:
            self._rules.move_to_end(key)
            return kept[0]
        body = body_of()
        if body is None:
            return Answer(Result.NOT_POSSIBLE, "The octets of robots.txt are not in the segments.")
        if hashlib.sha256(body).hexdigest() != made.robots_sha256:
            return Answer(Result.DIFFERS, "The stored robots.txt has another SHA-256 than the decision.")
        rules = robots.compile_rules(body, _tokens(made.product_token))
        weight = _weight(body)
        self._rules[key] = (rules, weight)
        self._weight += weight
        while len(self._rules) > _RULES_MAX or (self._weight > _WEIGHT_MAX and len(self._rules) > 1):
            self._weight -= self._rules.popitem(last=False)[1][1]
        return rules


def agrees(made: Made, again: Again) -> bool:
    """Whether a replay gives what is stored; what Protego says counts only where it is the same version of it."""
    return (
        again.verdict == made.verdict
        and again.basis == made.basis
        and again.rule == made.rule
        and again.rule_line == made.rule_line
        and again.exemption == made.exemption
        and list(again.group_tokens) == made.group_tokens
        and (
            (again.protego_verdict == made.protego_verdict and again.divergent == made.divergent)
            or made.basis == Basis.ROBOTS_TXT
            or _protego_of(made.parser) != _protego_of(robots.PARSER)
        )
    )


def replay(decision: Row, snapshot: Row | None, body: bytes | None, settings: dict[str, Any] | None) -> dict[str, Any]:
    """Decide one decision again: ``result`` is ``same``, ``differs``, ``not_possible`` or ``not_applicable``.

    ``settings`` are those recorded by the log's run, None where they are not in the segments.
    """
    made = made_of(decision)
    outcome = None if snapshot is None else snapshot["outcome"]
    answer = Replayer().answer(made, outcome, lambda: body, None if settings is None else Declared.by(settings))
    stored = Again._make(getattr(made, name) for name in Again._fields)
    return {
        "parser": robots.PARSER,
        "stored_parser": made.parser,
        "stored": stored._asdict(),
        "result": answer.result.value,
        "reason": answer.reason,
        "recomputed": None if answer.again is None else answer.again._asdict(),
    }


def made_of(decision: Row) -> Made:
    """What is to be decided again, of a decision as the views give it."""
    at = decision["recorded_at"]
    if isinstance(at, datetime):
        at = (at.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
    values = {name: decision[name] for name in Made._fields}
    return Made(**{**values, "recorded_at": at, "group_tokens": list(values["group_tokens"] or ())})


def _missing(made: Made, outcome: str | None, declared: Declared | None) -> str | None:
    """What is needed to decide again and not at hand, as a sentence."""
    if made.target is None:
        return "The path that was asked for is withheld."
    if declared is None and (made.basis in _DECLARED or made.exemption is not None):
        return "The settings that were in force are not in the segments."
    if outcome is None and made.basis != Basis.ROBOTS_TXT:
        return "The snapshot of robots.txt is not in the segments."
    return None


def _again(made: Made, outcome: str | None, rules: Rules | None, declared: Declared) -> Again:
    target = made.target or ""
    judged = robots.evaluate(RobotsOutcome(outcome) if outcome else RobotsOutcome.SUCCESSFUL, rules, target)
    ruled, exemption = judged, None
    if declared:
        ruled, exemption = _ruled(made, judged, rules, declared, made.recorded_at)
        if exemption != made.exemption:
            ruled, exemption = _ruled(made, judged, rules, declared, made.recorded_at - _POLICY_LAG_US)
    verdict, basis = ruled.verdict, ruled.basis
    if made.basis == Basis.CRAWL_DELAY:  # whatever the rules say, it came too early
        verdict, basis = Verdict.DISALLOWED, Basis.CRAWL_DELAY
    elif _by_tdmrep(made) and judged.verdict is Verdict.ALLOWED:
        verdict, basis = Verdict.DISALLOWED, Basis.SIGNAL
        if exemption is not None:
            verdict, basis = Verdict.ALLOWED, Basis.EXEMPTION
    return Again(
        verdict,
        basis,
        judged.rule,
        judged.rule_line,
        exemption,
        judged.group_tokens,
        judged.protego_verdict,
        judged.divergent,
    )


def _ruled(
    made: Made, judged: Judgement, rules: Rules | None, declared: Declared, at: int
) -> tuple[Judgement, str | None]:
    target = Target(Scope(made.scheme, made.host, made.port), made.target or "", None)
    crawler = declared.crawler(made.crawler, _tokens(made.product_token))
    ruling = declared.ruling(judged, crawler, target, Instant(at), rules)
    return ruling.judgement, ruling.exemption


def _same(made: Made) -> Answer:
    if _by_tdmrep(made):
        return _SAME_TDMREP
    if made.basis == Basis.CRAWL_DELAY:
        return _SAME_PACE
    return _SAME_DECLARED if made.basis in _DECLARED else _SAME


def _by_tdmrep(made: Made) -> bool:
    """Whether a reservation in tdmrep.json decided, of which the log keeps the entries as signals."""
    return made.basis in _DECLARED and "tdmrep refuses the use" in (made.detail or "")


def _tokens(product_token: str) -> tuple[str, ...]:
    return tuple(product_token.split(", "))


def _protego_of(parser: str) -> str:
    return parser.rpartition(", ")[2]


def _weight(body: bytes) -> int:
    """About how many octets the compiled form of a robots.txt takes; rather too many."""
    lower = body.lower()
    pairs = min(lower.count(b"agent") * lower.count(b"allow"), _PAIRS_MAX)
    return len(body) * _WEIGHT_PER_OCTET + pairs * _WEIGHT_PER_PAIR
