"""One task for all who want the same thing."""

from __future__ import annotations

import asyncio

import pytest

from proxy_addon.single_flight import FlightCancelledError, SingleFlight


def test_waiters_of_one_key_share_a_task_and_other_keys_do_not() -> None:
    started: list[str] = []

    async def work(key: str) -> str:
        started.append(key)
        await asyncio.sleep(0.01)
        return key.upper()

    async def run() -> list[str]:
        flights: SingleFlight[str, str] = SingleFlight()
        results = await asyncio.gather(*(flights.run(key, lambda key=key: work(key)) for key in "abab"))
        await asyncio.sleep(0)
        assert len(flights) == 0
        return results

    assert asyncio.run(run()) == ["A", "B", "A", "B"]
    assert started == ["a", "b"]


def test_an_exception_reaches_every_waiter_and_ends_the_flight() -> None:
    async def fail() -> str:
        await asyncio.sleep(0.01)
        raise ValueError("no")

    async def run() -> None:
        flights: SingleFlight[str, str] = SingleFlight()
        results = await asyncio.gather(*(flights.run("k", fail) for _ in range(3)), return_exceptions=True)
        assert [type(result) for result in results] == [ValueError] * 3
        await asyncio.sleep(0)
        assert len(flights) == 0

    asyncio.run(run())


def test_a_cancelled_waiter_is_cancelled_and_one_of_a_closed_flight_is_told() -> None:
    async def run() -> None:
        flights: SingleFlight[str, bool] = SingleFlight()
        first, second = (asyncio.create_task(flights.run("k", asyncio.Event().wait)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await flights.aclose()
        with pytest.raises(FlightCancelledError):
            await second

    asyncio.run(run())
