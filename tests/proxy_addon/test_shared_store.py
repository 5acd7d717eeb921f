"""A store that fails is left alone for a while, says so once, and never keeps anybody waiting."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass, field

import pytest

from proxy_addon.shared_store import Lease, Patient, StoreAway, StoreError

KEY = "ab" * 32


@dataclass
class FakeStore:
    """Keeps octets in memory; fails or hangs while it is told to."""

    kept: dict[str, bytes] = field(default_factory=dict)
    leases: dict[str, str] = field(default_factory=dict)
    lifetimes: dict[str, float] = field(default_factory=dict)
    error: Exception | None = None
    hangs: bool = False
    asked: int = 0
    closed: bool = False
    name: str = "The store"

    async def get(self, key: str) -> bytes | None:
        await self._step()
        return self.kept.get(key)

    async def lease(self, key: str, lifetime_s: float) -> Lease | None:
        await self._step()
        if key in self.leases:
            return None
        self.leases[key] = token = str(self.asked)
        return Lease(key=key, token=token, value=self.kept.get(key))

    async def put(self, key: str, value: bytes, lifetime_s: float, lease: Lease | None) -> None:
        await self._step()
        self.kept[key], self.lifetimes[key] = value, lifetime_s
        if lease is not None:
            self.leases.pop(lease.key, None)

    async def release(self, lease: Lease) -> None:
        await self._step()
        self.leases.pop(lease.key, None)

    async def aclose(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        self.closed = True

    async def _step(self) -> None:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error


class Bench:
    """A store behind patience, and the clock in the test's hands."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.now = 100.0
        self.patient = Patient(self.store, operation_s=0.05, clock=lambda: self.now)

    async def is_asked(self) -> bool:
        """Whether one more operation reaches the store, however that ends."""
        before = self.store.asked
        with contextlib.suppress(StoreAway):
            await self.patient.get(KEY)
        return self.store.asked > before


def test_a_store_that_answers_is_passed_through() -> None:
    async def scenario() -> None:
        bench = Bench()
        lease = await bench.patient.lease(KEY, 5)
        assert lease is not None and await bench.patient.lease(KEY, 5) is None
        await bench.patient.put(KEY, b"x", 9, lease)
        assert await bench.patient.get(KEY) == b"x"
        again = await bench.patient.lease(KEY, 5)
        assert again is not None and again.value == b"x"
        await bench.patient.release(again)
        await bench.patient.aclose()
        assert (bench.store.leases, bench.store.closed, bench.patient.is_away) == ({}, True, False)

    asyncio.run(scenario())


def test_a_store_that_hangs_is_given_up_in_time() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.store.hangs = True
        for operation in (
            lambda: bench.patient.get(KEY),
            lambda: bench.patient.lease(KEY, 1),
            lambda: bench.patient.put(KEY, b"", 1, None),
            lambda: bench.patient.release(Lease(key=KEY, token="1", value=None)),
        ):
            bench.now += 1000
            began = time.monotonic()
            with pytest.raises(StoreAway):
                await operation()
            assert time.monotonic() - began < 2
        await bench.patient.aclose()

    asyncio.run(scenario())


def test_while_it_is_away_it_is_asked_once_after_pauses_that_double() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.store.error = StoreError("refused")
        assert await bench.is_asked()
        for pause in (1, 2, 4, 8, 16, 30, 30):
            bench.now += pause - 0.01
            assert not await bench.is_asked()
            bench.now += 0.02
            assert await bench.is_asked()

    asyncio.run(scenario())


def test_of_all_who_want_something_after_the_pause_one_tries() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.store.error = StoreError("refused")
        await bench.is_asked()
        bench.now += 1.5
        bench.store.hangs = True
        before = bench.store.asked
        gone = await asyncio.gather(*(bench.patient.get(KEY) for _ in range(20)), return_exceptions=True)
        assert all(isinstance(one, StoreAway) for one in gone)
        assert bench.store.asked == before + 1

    asyncio.run(scenario())


def test_each_change_of_state_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        bench = Bench()
        with caplog.at_level(logging.INFO, logger="crawl_audit.shared_robots"):
            for error in (StoreError("refused"), StoreError("reset"), None, None, StoreError("gone"), None):
                bench.store.error = error
                bench.now += 1000
                await bench.is_asked()

    asyncio.run(scenario())
    told = [record.getMessage() for record in caplog.records]
    away = "The store does not answer ({}); until it does, this sidecar fetches every robots.txt itself."
    assert told == [away.format("refused"), "The store answers again.", away.format("gone"), "The store answers again."]
    assert {record.__dict__["event"] for record in caplog.records} == {"shared_robots_away", "shared_robots_back"}


def test_somebody_who_is_cancelled_does_not_count_as_a_failure() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.store.hangs = True
        waiting = asyncio.create_task(bench.patient.get(KEY))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert not bench.patient.is_away

    asyncio.run(scenario())
