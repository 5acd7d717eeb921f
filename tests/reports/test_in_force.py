"""Which robots.txt was in force until when, told from the snapshots of one scope."""

from __future__ import annotations

from typing import Any

import pytest

from reports.in_force import SECOND, Allowances, Event, Shot, allowances, events

GRANTED = Allowances(last_good_us=0, lag_us=9 * SECOND, pace_lag_us=20 * SECOND)
GOOD_KEPT = GRANTED._replace(last_good_us=3600 * SECOND)


def replaced(seq: int, by_seq: int, at_s: float) -> Event:
    """A snapshot was replaced."""
    return Event(seq, by_seq, int(at_s * SECOND), None)


def stood_in(seq: int, for_seq: int, at_s: float, until_s: float) -> Event:
    """A snapshot stood in for an unreachable one."""
    return Event(seq, for_seq, int(at_s * SECOND), int(until_s * SECOND))


def shot(seq: int, at_s: float, what: str = "successful", source: str = "fetched", until_s: float = 60) -> Shot:
    """A snapshot taken after ``at_s`` that holds for ``until_s``."""
    at = int(at_s * SECOND)
    return Shot("http", "example.com", 80, seq, at, source, what, at + int(until_s * SECOND), SECOND)


def test_what_the_sidecar_fetched_replaces_what_was_there() -> None:
    found = list(events([shot(1, 0), shot(5, 61), shot(9, 130, "unreachable")], GRANTED))
    assert found == [replaced(1, 5, 61), replaced(5, 9, 130)]


def test_scopes_do_not_touch_each_other() -> None:
    other = shot(5, 61)._replace(port=8080)
    assert list(events([shot(1, 0), other], GRANTED)) == []


@pytest.mark.parametrize(
    "held,goes",
    [
        (shot(1, 0), False),  # the sidecar's own answer is valid
        (shot(1, 0, until_s=5), True),  # it was
        (shot(1, 0, until_s=22), False),  # it may have been, by the time the other was durable
        (shot(1, 0, "unreachable"), True),
        (shot(1, 0, source="observed"), True),
        (shot(1, 100), True),  # from the future: the clock was set back
    ],
)
def test_what_a_crawler_fetched_replaces_only_what_is_no_valid_answer(held: Shot, goes: bool) -> None:
    found = list(events([held, shot(5, 30, source="observed")], GRANTED))
    assert found == ([replaced(1, 5, 30)] if goes else [])


def test_an_unreachable_answer_to_a_crawler_replaces_nothing() -> None:
    assert list(events([shot(1, 0, source="observed"), shot(5, 30, "unreachable", "observed")], GRANTED)) == []


def test_the_last_good_copy_stands_in_while_nothing_is_reached() -> None:
    shots = [shot(1, 0), shot(5, 61, "unreachable"), shot(7, 122, "unreachable"), shot(9, 200, "unavailable")]
    assert list(events(shots, GOOD_KEPT)) == [
        stood_in(1, 5, 61, 121),
        replaced(5, 7, 122),
        stood_in(1, 7, 122, 182),
        replaced(7, 9, 200),
        replaced(1, 9, 200),
    ]


@pytest.mark.parametrize("held", [shot(1, 0, "unavailable"), shot(1, -4000)])
def test_a_copy_that_is_too_old_or_was_none_stands_in_for_nothing(held: Shot) -> None:
    assert list(events([held, shot(5, 61, "unreachable")], GOOD_KEPT)) == [replaced(1, 5, 61)]


def test_a_crawlers_copy_that_may_have_been_in_force_is_replaced_by_the_next_of_either() -> None:
    own = shot(1, 0, until_s=3600)
    shots = [own, shot(3, 20, source="observed"), shot(5, 40, source="observed"), shot(7, 60, "unavailable")]
    assert list(events(shots, GRANTED)) == [
        replaced(3, 5, 40),
        replaced(1, 7, 60),
        replaced(5, 7, 60),
    ]
    assert stood_in(3, 7, 60, 120) in list(events([*shots[:2], shot(7, 60, "unreachable")], GOOD_KEPT))


def test_the_copy_of_when_a_fetch_was_begun_may_stand_in_though_it_was_replaced_meanwhile() -> None:
    shots = [shot(1, 0, source="observed"), shot(3, 58, source="observed"), shot(5, 61, "unreachable")]
    assert list(events(shots, GOOD_KEPT)) == [
        replaced(1, 3, 58),
        stood_in(3, 5, 61, 121),
        stood_in(1, 5, 61, 121),
    ]
    shots[2] = shot(5, 90, "unreachable")
    assert list(events(shots, GOOD_KEPT)) == [replaced(1, 3, 58), stood_in(3, 5, 90, 150)]


def test_settings_grant_what_they_say_within_reason() -> None:
    said = {"robots": {"last_good_copy_s": 600}, "logging": {"commit_timeout_s": 4}, "pacing": {"hold_max_s": 1.5}}
    assert allowances(said) == (600 * SECOND, 13 * SECOND, 17 * SECOND)
    assert allowances({"logging": {"commit_timeout_s": 86_400}}).lag_us == 125 * SECOND


@pytest.mark.parametrize("odd", [None, [], {"commit_timeout_s": "9"}, {"commit_timeout_s": True}])
@pytest.mark.parametrize("more", [{"commit_timeout_s": float("nan")}, {"commit_timeout_s": -1}, {}])
def test_settings_that_are_none_grant_the_defaults(odd: Any, more: dict[str, Any]) -> None:
    assert allowances({"logging": odd, "pacing": odd, "robots": odd}) == allowances({})
    assert allowances({"logging": more}) == allowances({}) == (0, 9 * SECOND, int(21.5 * SECOND))
