"""Requests are counted when they leave, and where the pace is enforced none leaves before its slot, in order."""

from __future__ import annotations

import asyncio
import functools
import itertools
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from crawl_audit.errors import LogUnavailable
from crawl_audit.records import Action, Basis, Decision
from crawl_audit.target import Scope
from proxy_addon import pacing
from proxy_addon.pacing import Pacer, TooEarly, Turn
from tests import logs

SCOPE = Scope("http", "example.com", 80)
DECISION = logs.decision("example.com", crawler="news")


def scenario(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test written as a coroutine."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(pacing.time, "monotonic", lambda: now[0])
    return now


def leave(pacer: Pacer, decision: Decision = DECISION) -> None:
    with pacer.leaving(decision):
        pass


async def leave_in_turn(pacer: Pacer, interval_ms: int, left: list[float]) -> Turn | TooEarly:
    turn = await pacer.turn("news", SCOPE, interval_ms)
    if isinstance(turn, Turn):
        leave(pacer)
        left.append(time.monotonic())
    return turn


# --- measuring ------------------------------------------------------------------------------------------------------


def test_the_pace_is_that_of_one_crawler_at_one_authority(clock: list[float]) -> None:
    pacer = Pacer()
    assert pacer.since_previous_ms("news", SCOPE) is None
    leave(pacer)
    clock[0] += 1.5
    assert pacer.since_previous_ms("news", SCOPE) == 1500
    assert pacer.since_previous_ms("other", SCOPE) is None
    for scope in (Scope("https", "example.com", 80), Scope("http", "example.com", 81), Scope("http", "e.com", 80)):
        assert pacer.since_previous_ms("news", scope) is None


def test_a_request_counts_while_it_is_being_recorded_and_from_when_it_leaves(clock: list[float]) -> None:
    pacer = Pacer()
    with pacer.leaving(DECISION):
        clock[0] += 0.2
        assert pacer.since_previous_ms("news", SCOPE) == 200, "one made meanwhile is not the first"
    clock[0] += 1
    assert pacer.since_previous_ms("news", SCOPE) == 1000


@pytest.mark.parametrize("error", [LogUnavailable("x", reason="x"), asyncio.CancelledError(), RuntimeError()])
def test_a_request_that_could_not_be_recorded_has_not_left(clock: list[float], error: BaseException) -> None:
    pacer = Pacer()
    leave(pacer)
    clock[0] += 5
    with pytest.raises(type(error)), pacer.leaving(DECISION):
        raise error
    assert pacer.since_previous_ms("news", SCOPE) == 5000


@pytest.mark.parametrize(
    "decision",
    [replace(DECISION, action=Action.DENIED), replace(DECISION, basis=Basis.ROBOTS_TXT, target="/robots.txt")],
)
def test_a_denied_request_and_one_for_robots_txt_do_not_count(clock: list[float], decision: Decision) -> None:
    pacer = Pacer()
    leave(pacer, decision)
    assert pacer.since_previous_ms("news", SCOPE) is None


def test_paces_are_forgotten_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "_PACES_MAX", 3)
    marks = pacing.OwnMarks()
    pacer = Pacer(marks=marks)
    for number in (0, 1, 2, 0, 3):
        leave(pacer, replace(DECISION, host=f"h{number}.example"))
    known = [
        pacer.since_previous_ms("news", Scope("http", f"h{number}.example", 80)) is not None for number in range(4)
    ]
    assert known == [True, False, True, True]
    assert len(marks) == 3


# --- holding --------------------------------------------------------------------------------------------------------


@scenario
async def test_requests_made_at_once_leave_one_after_the_other_in_order() -> None:
    pacer, left, order = Pacer(), list[float](), list[int]()

    async def one(number: int) -> Turn | TooEarly:
        turn = await leave_in_turn(pacer, 50, left)
        order.append(number)
        return turn

    turns = await asyncio.gather(*(one(number) for number in range(5)))
    assert order == [0, 1, 2, 3, 4]
    assert all(later - earlier >= 0.050 for earlier, later in itertools.pairwise(left))
    held = [turn.held_ms for turn in turns if isinstance(turn, Turn)]
    assert held[0] == 0
    assert all(held[number] >= 50 * number for number in range(5))


@scenario
async def test_a_request_that_is_late_enough_is_not_held() -> None:
    pacer = Pacer()
    leave(pacer)
    await asyncio.sleep(0.03)
    assert await pacer.turn("news", SCOPE, 20) == Turn(0)


@scenario
async def test_the_interval_counts_from_when_the_previous_really_left() -> None:
    pacer = Pacer()
    assert await pacer.turn("news", SCOPE, 60) == Turn(0)
    second = asyncio.create_task(pacer.turn("news", SCOPE, 60))
    await asyncio.sleep(0.05)  # the first takes this long to become durable
    leave(pacer)
    left = time.monotonic()
    assert isinstance(await second, Turn)
    assert time.monotonic() - left >= 0.060
    assert (pacer.since_previous_ms("news", SCOPE) or 0) >= 60


@scenario
async def test_one_that_would_be_held_too_long_is_told_when_to_come_again_and_takes_no_slot() -> None:
    pacer = Pacer(hold_max_s=0.1)
    leave(pacer)
    for _ in range(3):
        early = await pacer.turn("news", SCOPE, 2_500)
        assert isinstance(early, TooEarly)
        assert 2.4 < early.wait_s <= 2.5
        assert early.retry_after_s == 3


@scenario
async def test_a_queue_is_no_longer_than_the_longest_hold() -> None:
    pacer, left = Pacer(hold_max_s=0.1), list[float]()
    turns = await asyncio.gather(*(leave_in_turn(pacer, 40, left) for _ in range(20)))
    assert [type(turn) for turn in turns] == [Turn] * 3 + [TooEarly] * 17


@scenario
async def test_a_visit_that_did_not_ask_for_a_turn_delays_the_held_but_not_for_ever() -> None:
    pacer = Pacer(hold_max_s=0.05)
    leave(pacer)
    held = asyncio.create_task(pacer.turn("news", SCOPE, 40))
    await asyncio.sleep(0.02)
    with pacer._marks.holding(("news", "http", "example.com", 80)) as mark:
        mark.left = time.monotonic() + 10
    early = await held
    assert isinstance(early, TooEarly)
    assert early.wait_s > 9


@scenario
async def test_whoever_leaves_the_end_of_the_queue_gives_its_slot_back() -> None:
    pacer = Pacer()
    leave(pacer)
    tasks = [asyncio.create_task(pacer.turn("news", SCOPE, 1_000)) for _ in range(3)]
    await asyncio.sleep(0)
    for task in reversed(tasks):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    with pacer._marks.holding(("news", "http", "example.com", 80)) as mark:
        assert mark.slot < time.monotonic(), "nothing is left of the three"


@scenario
async def test_whoever_leaves_the_middle_of_the_queue_changes_nobodys_place() -> None:
    pacer, left = Pacer(), list[float]()
    tasks = [asyncio.create_task(leave_in_turn(pacer, 40, left)) for _ in range(4)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    turns = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(turn) for turn in turns] == [Turn, asyncio.CancelledError, Turn, Turn]
    assert len(left) == 3
    assert all(later - earlier >= 0.040 for earlier, later in itertools.pairwise(left))


@scenario
async def test_other_crawlers_and_authorities_are_not_held() -> None:
    pacer = Pacer()
    leave(pacer)
    assert await pacer.turn("other", SCOPE, 5_000) == Turn(0)
    assert await pacer.turn("news", Scope("http", "example.com", 81), 5_000) == Turn(0)


@scenario
async def test_a_stop_holds_nobody_up() -> None:
    pacer = Pacer()
    leave(pacer)
    held = [asyncio.create_task(pacer.turn("news", SCOPE, 1_000)) for _ in range(3)]
    await asyncio.sleep(0)
    pacer.stop()
    for task in held:
        with pytest.raises(LogUnavailable) as caught:
            await task
        assert caught.value.reason == "draining"
