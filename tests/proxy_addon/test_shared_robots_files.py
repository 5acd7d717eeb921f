"""Answers as files: found by other processes, gone in time, leased to one at a time, whatever processes die."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from proxy_addon.shared_answer import VALUE_BYTES_MAX
from proxy_addon.shared_robots_files import FileStore
from proxy_addon.shared_store import StoreError

KEY = hashlib.sha256(b"a").hexdigest()
OTHER = hashlib.sha256(b"b").hexdigest()


class Clock:
    """Seconds since 1970, set by the test."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "not" / "there" / "yet"


def files(directory: Path) -> list[str]:
    return sorted(path.suffix for path in directory.iterdir())


def modes(directory: Path) -> set[int]:
    return {path.stat().st_mode & 0o777 for path in directory.iterdir()} | {directory.stat().st_mode & 0o777}


def prolong(directory: Path, seconds: float) -> None:
    for path in directory.glob("*.answer"):
        ends = path.stat().st_mtime + seconds
        os.utime(path, (ends, ends))


def process(program: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE)


def test_what_one_store_puts_another_gets_until_it_runs_out(directory: Path, clock: Clock) -> None:
    async def scenario() -> None:
        one, two = FileStore(directory, clock=clock), FileStore(directory, clock=clock)
        assert await two.get(KEY) is None
        await one.put(KEY, b"first", 60, None)
        assert (await two.get(KEY), await two.get(OTHER)) == (b"first", None)
        await two.put(KEY, b"second", 30, None)
        assert await one.get(KEY) == b"second"
        clock.now += 30.5
        assert await one.get(KEY) is None
        assert files(directory) == [".answer"]
        assert modes(directory) == {0o700, 0o600}
        await one.aclose()
        await two.aclose()

    asyncio.run(scenario())


def test_a_lease_is_one_stores_until_it_is_released(directory: Path) -> None:
    async def scenario() -> None:
        one, two = FileStore(directory), FileStore(directory)
        lease = await one.lease(KEY, 60)
        assert lease is not None and lease.value is None
        assert await two.lease(KEY, 60) is None
        assert await one.lease(KEY, 60) is None
        other = await two.lease(OTHER, 60)
        assert other is not None
        await one.put(KEY, b"x", 60, lease)
        taken = await two.lease(KEY, 60)
        assert taken is not None and taken.value == b"x"
        await two.release(taken)
        await two.release(taken)
        await two.release(other)
        assert files(directory) == [".answer"], "locks are gone with their leases"
        await one.aclose()
        await two.aclose()

    asyncio.run(scenario())


def test_closing_a_store_gives_up_its_leases(directory: Path) -> None:
    async def scenario() -> None:
        one, two = FileStore(directory), FileStore(directory)
        assert await one.lease(KEY, 60) is not None
        await one.aclose()
        assert await two.lease(KEY, 60) is not None
        with pytest.raises(StoreError, match="closed"):
            await one.get(KEY)
        await two.aclose()

    asyncio.run(scenario())


_HOLDER = """
import asyncio, pathlib, sys, time
from proxy_addon.shared_robots_files import FileStore
assert asyncio.run(FileStore(pathlib.Path(sys.argv[1])).lease(sys.argv[2], 60)) is not None
print("held", flush=True)
time.sleep(60)
"""


def test_the_lease_of_a_process_that_is_killed_is_free_at_once(directory: Path) -> None:
    async def scenario() -> None:
        store = FileStore(directory)
        with process(_HOLDER, str(directory), KEY) as holder:
            assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
            assert await store.lease(KEY, 60) is None
            holder.kill()
            holder.wait(10)
        assert await store.lease(KEY, 60) is not None
        await store.aclose()

    asyncio.run(scenario())


def test_the_lease_of_a_process_that_stands_still_runs_out(directory: Path, clock: Clock) -> None:
    async def scenario() -> None:
        still, two = FileStore(directory, clock=clock), FileStore(directory, clock=clock)
        old = await still.lease(KEY, 10)
        assert old is not None
        clock.now += 9
        assert await two.lease(KEY, 10) is None
        clock.now += 2
        new = await two.lease(KEY, 10)
        assert new is not None
        await still.release(old)
        assert await still.lease(KEY, 10) is None, "letting go of what ran out does not take it from who has it now"
        await two.aclose()
        await still.aclose()

    asyncio.run(scenario())


def test_many_processes_that_want_one_lease_get_it_one_after_the_other(directory: Path) -> None:
    async def scenario() -> None:
        stores = [FileStore(directory) for _ in range(8)]
        holding, most, turns = 0, 0, 0

        async def work(store: FileStore) -> None:
            nonlocal holding, most, turns
            for _ in range(5):
                while (lease := await store.lease(KEY, 60)) is None:
                    await asyncio.sleep(0.001)
                holding += 1
                most = max(most, holding)
                await asyncio.sleep(0)
                holding -= 1
                turns += 1
                await store.release(lease)

        await asyncio.gather(*map(work, stores))
        assert (most, turns) == (1, 40)
        for store in stores:
            await store.aclose()

    asyncio.run(scenario())


def test_what_ran_out_what_is_too_much_and_what_the_dead_left_is_removed(directory: Path, clock: Clock) -> None:
    async def scenario() -> None:
        writer = FileStore(directory, clock=clock)
        for number in range(10):
            await writer.put(hashlib.sha256(b"%d" % number).hexdigest(), b"x", 5 if number < 4 else 100 + number, None)
        (directory / f"{KEY}.lease").touch()
        (directory / f"{KEY}.1.new").touch()
        clock.now += 3700
        await writer.aclose()
        pruning = FileStore(directory, clock=clock, entries_max=3)
        prolong(directory, 3700)
        clock.now += 10
        await pruning.put(OTHER, b"x", 1, None)
        assert files(directory) == [".answer"] * 3, "the three that last longest"
        assert not (directory / f"{OTHER}.answer").exists()
        await pruning.aclose()

    asyncio.run(scenario())


def test_files_that_are_no_files_and_huge_ones_do_no_harm(directory: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        store = FileStore(directory)
        await store.put(KEY, b"x", 60, None)
        path = directory / f"{KEY}.answer"
        path.unlink()
        secret = tmp_path / "secret"
        secret.write_bytes(b"secret")
        path.symlink_to(secret)
        with pytest.raises(StoreError):
            await store.get(KEY)
        path.unlink()
        os.mkfifo(path)
        os.utime(path, (2**32, 2**32))
        assert await store.get(KEY) is None
        path.unlink()
        with path.open("wb") as huge:
            huge.truncate(10 * VALUE_BYTES_MAX)
        os.utime(path, (2**32, 2**32))
        got = await store.get(KEY)
        assert got is not None and len(got) == VALUE_BYTES_MAX + 1
        await store.aclose()

    asyncio.run(scenario())


def test_a_directory_that_cannot_be_used_is_a_store_that_is_away(tmp_path: Path) -> None:
    async def scenario() -> None:
        place = tmp_path / "file"
        place.touch()
        store = FileStore(place)
        with pytest.raises(StoreError, match="Not a directory"):
            await store.get(KEY)
        with pytest.raises(StoreError):
            await store.lease(KEY, 1)
        with pytest.raises(StoreError):
            await store.put(KEY, b"x", 1, None)
        await store.aclose()

    asyncio.run(scenario())
