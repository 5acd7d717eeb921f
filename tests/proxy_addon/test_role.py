"""What differs between a process that is alone and one of several workers."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Any

import pytest

from crawl_audit.errors import ConfigurationError
from proxy_addon import role
from proxy_addon.role import Role

LOGS = ["n-20260101T000000Z-00000001", "n-w1-20260102T000000Z-00000001", "n-w2-20260103T000000Z-00000001"]


class Locks:
    """Locks as they are with another worker that has taken some logs."""

    def __init__(self, others: set[str]) -> None:
        self.others, self.held = others, set[str]()

    def take(self, log: str) -> bool:
        if log not in self.others:
            self.held.add(log)
        return log in self.held

    def is_held(self, log: str) -> bool:
        return log in self.held

    def is_anothers(self, log: str) -> bool:
        return log in self.others


def worker(number: int, *others: str, predecessor: str | None = None) -> Role:
    locks: Any = Locks(set(others))
    return Role(node=f"n-w{number}", listen="127.0.0.1:1", worker=number, locks=locks, predecessor=predecessor)


def test_a_worker_stops_at_its_supervisors_word_only() -> None:
    settings: Any = SimpleNamespace(node="n", listen="127.0.0.1:1")
    ends = {signal.SIGTERM, signal.SIGINT}
    assert (set(role.alone(settings).stop_signals), role.alone(settings).signals_passed_over) == (ends, ())
    assert (worker(1).stop_signals, set(worker(1).signals_passed_over)) == ((role.STOP_WORKER,), ends)


def test_alone_everything_is_its_own() -> None:
    settings: Any = SimpleNamespace(node="n", listen="127.0.0.1:1")
    alone = role.alone(settings)
    assert (alone.leads, alone.is_ours("x"), alone.is_shown_here("x"), alone.incidents()) == (True, True, True, [])
    assert alone.previous(LOGS) == LOGS[-1]
    assert alone.previous([]) is None
    alone.claim("x")


@pytest.mark.parametrize(
    ("number", "logs", "named"),
    [
        (1, LOGS, LOGS[1]),
        (2, LOGS, LOGS[2]),
        (1, LOGS[:1], LOGS[0]),  # nobody else would name what a single process wrote before
        (2, LOGS[:1], None),
        (2, [*LOGS, "n-w2-w2-20260104T000000Z-00000001"], LOGS[2]),
    ],
)
def test_a_worker_comes_after_its_own_last_log(number: int, logs: list[str], named: str | None) -> None:
    assert worker(number).previous(logs) == named


def test_only_the_first_worker_does_what_is_done_once() -> None:
    assert [worker(number).leads for number in (1, 2, 3)] == [True, False, False]


def test_a_worker_finishes_what_nobody_else_has_taken() -> None:
    one = worker(2, "taken")
    assert (one.is_ours("taken"), one.is_ours("free")) == (False, True)


def test_heads_of_finished_logs_are_shown_by_one_worker_each() -> None:
    first, second = worker(1, "by-two"), worker(2)
    assert (first.is_shown_here("by-two"), first.is_shown_here("old")) == (False, True)
    assert (second.is_shown_here("by-two"), second.is_shown_here("old")) == (False, False)
    second.claim("by-two")
    assert second.is_shown_here("by-two")


def test_a_log_that_another_has_is_not_begun() -> None:
    with pytest.raises(ConfigurationError, match="Another process has taken the log x"):
        worker(1, "x").claim("x")


def test_the_end_of_the_worker_before_is_an_incident() -> None:
    (told,) = worker(2, predecessor="Worker 2 was ended by signal 9 (SIGKILL).").incidents()
    assert (told.incident, told.detail) == ("worker_ended", "Worker 2 was ended by signal 9 (SIGKILL).")
