"""The promise as a model: what clients, sites and the log say of the same requests, and every rule they must keep.

Three histories are written down independently.  A client knows what it asked and which status it got; a site knows
what it saw and when; the log knows the rest.  The rules are those of docs/reliability.md.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Rule(StrEnum):
    """What can be contradicted."""

    UNRECORDED = "a site saw a request without an earlier decision to forward it"
    ORDER = "a decision made after a site saw another request stands before that one's decision"
    SENT_TWICE = "a site saw one request twice"
    LOST = "a client has an answer whose decision is not in the log"
    DUPLICATED = "there is more than one decision for a request"
    UNENDED = "a forwarded decision has no completion"
    ENDED_TWICE = "a decision has more than one completion"
    NEVER_OPEN = "a completion belongs to no forwarded decision before it"
    REFUSED_AND_SENT = "a client was refused for want of a record and the site saw the request"
    NOT_SENT_AND_SEEN = "a request is recorded as not sent and the site saw it"
    GAP = "a log's sequence numbers are not 0, 1, 2, … without a gap"


@dataclass(frozen=True, slots=True)
class Asked:
    """A client's word: the request's number and the status it got, None where there was no answer."""

    number: str
    status: int | None


@dataclass(frozen=True, slots=True)
class Saw:
    """A site's word: the request's number and when it came, in µs."""

    number: str
    at_us: int


@dataclass(frozen=True, slots=True)
class Decided:
    """The log's word on one request; ``completions``: (seq, outcome) of each."""

    log: str
    seq: int
    number: str
    exchange_id: str
    action: str
    recorded_us: int
    completions: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class History:
    """All three; ``extents``: log -> (records, highest seq); ``stray``: completions without a decision."""

    asked: Sequence[Asked]
    saw: Sequence[Saw]
    decided: Sequence[Decided]
    extents: Mapping[str, tuple[int, int]]
    stray: int = 0
    clock_is_true: bool = True


@dataclass(slots=True)
class Verdict:
    """How often each rule is contradicted, with an example of each."""

    counts: Counter[Rule] = field(default_factory=Counter)
    examples: dict[Rule, str] = field(default_factory=dict)

    @property
    def sentences(self) -> list[str]:
        """One per contradicted rule."""
        return [f"{rule.value} ({times} times, {self.examples[rule]})" for rule, times in self.counts.items()]


def judge(history: History) -> Verdict:
    """Every contradiction in a history."""
    verdict = Verdict()
    for rule, example in _contradictions(history):
        verdict.counts[rule] += 1
        verdict.examples.setdefault(rule, example)
    return verdict


def _contradictions(history: History) -> Iterator[tuple[Rule, str]]:
    by_number: dict[str, list[Decided]] = defaultdict(list)
    for decided in history.decided:
        by_number[decided.number].append(decided)
    yield from _of_sites(history, by_number)
    yield from _of_clients(history, by_number)
    yield from _of_the_log(history, by_number)
    if history.clock_is_true:
        yield from _of_order(history, by_number)


def _of_sites(history: History, by_number: Mapping[str, list[Decided]]) -> Iterator[tuple[Rule, str]]:
    for number, times in Counter(saw.number for saw in history.saw).items():
        if times > 1:
            yield Rule.SENT_TWICE, f"request {number}"
    for saw in history.saw:
        forwarded = [one for one in by_number.get(saw.number, []) if one.action == "forwarded"]
        early = [one for one in forwarded if one.recorded_us < saw.at_us or not history.clock_is_true]
        if not early:
            yield Rule.UNRECORDED, f"request {saw.number}"
        elif any(outcome == "not_sent" for one in early for _, outcome in one.completions):
            yield Rule.NOT_SENT_AND_SEEN, f"request {saw.number}"


def _of_clients(history: History, by_number: Mapping[str, list[Decided]]) -> Iterator[tuple[Rule, str]]:
    seen = {saw.number for saw in history.saw}
    for asked in history.asked:
        actions = {one.action for one in by_number.get(asked.number, [])}
        wanted = {200: "forwarded", 404: "forwarded", 403: "denied"}.get(asked.status or 0)
        if wanted is not None and wanted not in actions:
            yield Rule.LOST, f"request {asked.number}, answered with {asked.status}"
        if asked.status == 503 and asked.number in seen:
            yield Rule.REFUSED_AND_SENT, f"request {asked.number}"


def _of_the_log(history: History, by_number: Mapping[str, list[Decided]]) -> Iterator[tuple[Rule, str]]:
    for number, rows in by_number.items():
        if len(rows) > 1:
            yield Rule.DUPLICATED, f"request {number}"
    for name, times in Counter(one.exchange_id for one in history.decided).items():
        if times > 1:
            yield Rule.DUPLICATED, f"exchange {name}"
    for one in history.decided:
        where = f"{one.log} {one.seq}"
        if one.action == "forwarded" and not one.completions:
            yield Rule.UNENDED, where
        if len(one.completions) > 1:
            yield Rule.ENDED_TWICE, where
        if one.completions and (one.action != "forwarded" or min(one.completions)[0] < one.seq):
            yield Rule.NEVER_OPEN, where
    if history.stray:
        yield Rule.NEVER_OPEN, f"{history.stray} completions"
    for log, (records, last) in history.extents.items():
        if records != last + 1:
            yield Rule.GAP, f"{log}: {records} records, the last is {last}"


def _of_order(history: History, by_number: Mapping[str, list[Decided]]) -> Iterator[tuple[Rule, str]]:
    """A record made after a site saw A was appended after A was durable, so it cannot stand before A."""
    seen = {saw.number: saw.at_us for saw in history.saw}
    latest: dict[str, int] = {}
    for one in sorted(history.decided, key=lambda decided: (decided.log, decided.seq)):
        at_us = seen.get(one.number)
        if at_us is not None and latest.get(one.log, 0) > at_us:
            yield Rule.ORDER, f"{one.log} {one.seq}"
        latest[one.log] = max(latest.get(one.log, 0), one.recorded_us)
