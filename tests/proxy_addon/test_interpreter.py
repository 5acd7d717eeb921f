"""The event loop goes on while a hostile robots.txt is taken in, with the interpreter set up as the sidecar does it."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterator

import pytest

from benchmarks.loop_lag import FILES, lag_during
from proxy_addon import interpreter


@pytest.fixture
def shared_time() -> Iterator[None]:
    with interpreter.sharing_time():
        yield


@pytest.mark.usefixtures("shared_time")
@pytest.mark.parametrize("body", FILES.values(), ids=FILES)
def test_no_hostile_file_holds_up_the_loop(body: bytes) -> None:
    lag = asyncio.run(lag_during(body))
    assert lag.ticks > 5
    # Measured by benchmarks/loop_lag.py: 11 ms at worst; machines that run tests are seldom idle.
    assert lag.p99 < 250


@pytest.mark.usefixtures("shared_time")
def test_threads_give_way_within_a_millisecond_and_what_is_imported_is_not_collected_again() -> None:
    assert sys.getswitchinterval() == pytest.approx(interpreter.SWITCH_INTERVAL_S)
    assert gc.get_freeze_count() > 10_000


def test_afterwards_everything_is_as_it_was() -> None:
    before = sys.getswitchinterval()
    with interpreter.sharing_time():
        pass
    assert sys.getswitchinterval() == before
    assert gc.get_freeze_count() == 0
