"""Limits that nobody waits for: how much is open, and each crawler's share of it."""

from __future__ import annotations

import resource
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy_addon.limits import (
    CONNECTIONS_MAX,
    SITES_PER_CLIENT,
    Bucket,
    Capacity,
    CrawlerLimiter,
    CrawlerLimits,
    Limit,
    TooMany,
    connections_for,
    raise_descriptors,
)


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("descriptors", "connections"),
    [(1024, 412), (65_536, CONNECTIONS_MAX), (64, 16), (0, 16), (4200, 2000), (9000, 4000)],
)
def test_connections_are_as_many_as_there_are_descriptors_for(descriptors: int, connections: int) -> None:
    assert connections_for(descriptors) == connections


@pytest.mark.parametrize(("soft", "hard", "after"), [(64, 512, 500), (256, 256, 256), (64, 300, 300), (510, 600, 510)])
def test_the_soft_limit_of_open_files_is_raised_as_far_as_it_may_be(soft: int, hard: int, after: int) -> None:
    program = (
        "import resource\nfrom proxy_addon.limits import raise_descriptors\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        "print(raise_descriptors(150), *resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(after), str(after), str(hard)]


def test_an_infinite_limit_of_open_files_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("it was changed")

    infinite = resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda _: (infinite, infinite))
    monkeypatch.setattr(resource, "setrlimit", never)
    assert connections_for(raise_descriptors(CONNECTIONS_MAX)) == CONNECTIONS_MAX


def test_connections_above_the_limit_are_told_so_and_those_far_above_are_closed() -> None:
    capacity = Capacity(16)
    admitted = [capacity.admit(str(number)) for number in range(20)]
    assert admitted == [True] * 18 + [False] * 2
    assert [capacity.serves(str(number)) for number in range(18)] == [True] * 16 + [False] * 2
    assert len(capacity) == 18


def test_a_connection_that_came_too_late_is_served_once_there_is_room() -> None:
    capacity = Capacity(16)
    for number in range(17):
        assert capacity.admit(str(number))
    assert not capacity.serves("16")
    capacity.gone("3")
    assert capacity.serves("16")
    assert capacity.admit("17") and not capacity.serves("17")
    for number in range(18):
        capacity.gone(str(number))
    capacity.gone("never admitted")
    assert len(capacity) == 0


def test_a_client_keeps_fewer_connections_to_sites_where_many_are_open() -> None:
    capacity = Capacity(16)
    assert capacity.sites_per_client == SITES_PER_CLIENT
    capacity.sites.update(map(str, range(16)))
    assert capacity.sites_per_client == 1


def test_a_bucket_lets_so_many_pass_at_once_and_then_so_many_a_second() -> None:
    clock = Clock()
    bucket = Bucket(2, 5, clock)
    assert [bucket.take() for _ in range(5)] == [0] * 5
    assert bucket.take() == 0.5
    clock.now = 0.5
    assert (bucket.take(), bucket.take()) == (0, 0.5)
    clock.now = 1000
    assert [bucket.take() for _ in range(6)] == [0] * 5 + [0.5]


@given(st.lists(st.floats(0, 3), max_size=60), st.floats(0.1, 50), st.integers(1, 20))
def test_never_more_pass_than_the_rate_and_what_may_come_at_once(waits: list[float], rate: float, at_once: int) -> None:
    clock = Clock()
    bucket = Bucket(rate, at_once, clock)
    passed = 0
    for wait in waits:
        clock.now += wait
        passed += bucket.take() == 0
        assert passed <= at_once + rate * clock.now + 1e-6


def test_each_crawler_has_limits_of_its_own_and_one_without_has_none() -> None:
    clock = Clock()
    limits = {"news": CrawlerLimits(requests_per_s=1), "shop": CrawlerLimits(open_exchanges=2), "free": CrawlerLimits()}
    limiter = CrawlerLimiter(limits, clock)
    assert [limiter.request("news", 0) for _ in range(10)] == [None] * 10
    assert limiter.request("news", 0) == TooMany(Limit.CRAWLER_RATE, 1)
    assert limiter.tunnel("news") is None, "tunnels are counted apart"
    assert limiter.request("shop", 1) is None
    assert limiter.request("shop", 2) == TooMany(Limit.CRAWLER_EXCHANGES, 1)
    assert [limiter.request("free", 5000) for _ in range(1000)] == [None] * 1000
    assert [limiter.tunnel("shop") for _ in range(1000)] == [None] * 1000


def test_what_is_being_decided_on_counts_as_open() -> None:
    limiter = CrawlerLimiter({"shop": CrawlerLimits(open_exchanges=2)})
    with limiter.deciding("shop"):
        assert limiter.request("shop", 0) is None
        with limiter.deciding("shop"):
            assert limiter.request("shop", 0) == TooMany(Limit.CRAWLER_EXCHANGES, 1)
        assert limiter.request("shop", 1) == TooMany(Limit.CRAWLER_EXCHANGES, 1)
    assert limiter.request("shop", 1) is None


def test_a_slow_rate_says_how_long_to_wait() -> None:
    limiter = CrawlerLimiter({"news": CrawlerLimits(requests_per_s=0.1)}, Clock())
    answers = [limiter.tunnel("news") for _ in range(11)]
    assert answers[-1] == TooMany(Limit.CRAWLER_RATE, 10)
