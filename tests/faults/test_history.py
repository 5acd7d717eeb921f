"""The model accepts what may happen, and every broken history breaks the rule it should."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.faults.history import Asked, Decided, History, Rule, Saw, judge

FIRST = Decided("log", 0, "1", "a", "forwarded", 100, ((3, "completed"),))
DENIED = Decided("log", 1, "2", "b", "denied", 150)
LATE = Decided("log", 2, "3", "c", "forwarded", 160, ((4, "not_sent"),))
GOOD = History(
    asked=[Asked("1", 200), Asked("2", 403), Asked("3", 503), Asked("4", 503), Asked("5", None)],
    saw=[Saw("1", 200)],
    decided=[FIRST, DENIED, LATE],
    extents={"log": (6, 5)},
)


def test_what_may_happen_is_accepted() -> None:
    assert judge(GOOD).sentences == []
    crashed = replace(FIRST, completions=((3, "unknown_after_crash"),))
    assert judge(replace(GOOD, asked=[Asked("1", None)], decided=[crashed, DENIED, LATE])).sentences == []


@pytest.mark.parametrize(
    "rule,broken",
    [
        (Rule.UNRECORDED, replace(GOOD, saw=[*GOOD.saw, Saw("9", 300)])),
        (Rule.UNRECORDED, replace(GOOD, saw=[Saw("1", 99)])),
        (Rule.UNRECORDED, replace(GOOD, saw=[*GOOD.saw, Saw("2", 300)])),
        (Rule.ORDER, replace(GOOD, decided=[replace(FIRST, seq=2), DENIED, replace(LATE, seq=0, recorded_us=250)])),
        (Rule.SENT_TWICE, replace(GOOD, saw=[*GOOD.saw, Saw("1", 300)])),
        (Rule.LOST, replace(GOOD, saw=[], decided=[DENIED, LATE])),
        (Rule.LOST, replace(GOOD, decided=[FIRST, LATE])),
        (Rule.DUPLICATED, replace(GOOD, decided=[*GOOD.decided, replace(FIRST, seq=5, exchange_id="z")])),
        (Rule.DUPLICATED, replace(GOOD, decided=[*GOOD.decided, replace(FIRST, seq=5, number="77")])),
        (Rule.UNENDED, replace(GOOD, decided=[replace(FIRST, completions=()), DENIED, LATE])),
        (Rule.ENDED_TWICE, replace(GOOD, decided=[replace(FIRST, completions=FIRST.completions * 2), DENIED, LATE])),
        (Rule.NEVER_OPEN, replace(GOOD, decided=[FIRST, replace(DENIED, completions=((4, "completed"),)), LATE])),
        (Rule.NEVER_OPEN, replace(GOOD, decided=[replace(FIRST, seq=4), DENIED, LATE])),
        (Rule.NEVER_OPEN, replace(GOOD, stray=1)),
        (Rule.REFUSED_AND_SENT, replace(GOOD, asked=[Asked("1", 503)])),
        (Rule.NOT_SENT_AND_SEEN, replace(GOOD, saw=[*GOOD.saw, Saw("3", 300)])),
        (Rule.GAP, replace(GOOD, extents={"log": (5, 5)})),
    ],
    ids=lambda value: value.name if isinstance(value, Rule) else "",
)
def test_a_broken_history_breaks_its_rule(rule: Rule, broken: History) -> None:
    assert rule in judge(broken).counts


def test_every_rule_is_shown_to_bite() -> None:
    marks = test_a_broken_history_breaks_its_rule.pytestmark  # type: ignore[attr-defined]
    assert {case[0] for case in marks[0].args[1]} == set(Rule)


def test_times_are_not_compared_where_the_clock_was_set() -> None:
    jumped = replace(GOOD, saw=[Saw("1", 99)], clock_is_true=False)
    assert judge(jumped).sentences == []
