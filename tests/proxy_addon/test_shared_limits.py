"""A crawler's limits hold for all workers together."""

from __future__ import annotations

from proxy_addon import shared_limits, shared_memory
from proxy_addon.limits import CrawlerLimiter, CrawlerLimits, Limit
from proxy_addon.shared_limits import SharedLimits
from proxy_addon.shared_memory import SharedMemory

LIMITS = {"news": CrawlerLimits(open_exchanges=3, requests_per_s=20), "other": CrawlerLimits(open_exchanges=1)}


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def limiters(clock: Clock, descriptor: int | None = None) -> list[CrawlerLimiter]:
    """Those of two workers."""
    held = shared_memory.create(shared_limits.octets(len(LIMITS))) if descriptor is None else descriptor
    return [
        CrawlerLimiter(LIMITS, clock, shared=SharedLimits(SharedMemory(held), list(LIMITS), worker))
        for worker in (1, 2)
    ]


def test_exchanges_that_are_open_in_all_workers_count_together() -> None:
    first, second = limiters(Clock())
    assert first.request("news", 0) is None
    first.note_open("news", 1)
    assert second.request("news", 0) is None
    second.note_open("news", 2)
    exceeded = first.request("news", 1)
    assert exceeded is not None and exceeded.limit is Limit.CRAWLER_EXCHANGES
    assert first.request("other", 0) is None
    second.note_open("news", 1)
    assert first.request("news", 1) is None


def test_a_request_that_is_being_decided_on_counts_in_every_worker() -> None:
    first, second = limiters(Clock())
    assert first.request("other", 0) is None
    with first.deciding("other"):
        assert second.request("other", 0) is not None
    assert second.request("other", 0) is None


def test_a_crawlers_rate_is_that_of_all_workers() -> None:
    clock = Clock()
    first, second = limiters(clock)
    passed = [limiter.request("news", 0) for limiter in (first, second) * 15]
    assert passed.count(None) == 20
    refused = first.request("news", 0)
    assert refused is not None and refused.limit is Limit.CRAWLER_RATE
    assert first.tunnel("news") is None, "tunnels have a bucket of their own"
    clock.now += 0.1
    passed = [limiter.request("news", 0) for limiter in (first, second) * 3]
    assert passed.count(None) == 2


def test_what_was_refused_by_its_rate_takes_no_place() -> None:
    first, second = limiters(Clock())
    for _ in range(30):
        first.request("news", 0)
    second.note_open("news", 2)
    for limiter in limiters(Clock(), None):
        assert limiter.request("news", 0) is None
    refused = second.request("news", 2)
    assert refused is not None and refused.limit is Limit.CRAWLER_RATE


def test_what_a_dead_worker_had_open_ends_when_another_takes_its_place() -> None:
    descriptor = shared_memory.create(shared_limits.octets(len(LIMITS)))
    first, second = limiters(Clock(), descriptor)
    first.note_open("news", 3)
    assert second.request("news", 0) is not None
    SharedLimits(SharedMemory(descriptor), list(LIMITS), 1)
    assert second.request("news", 0) is None
