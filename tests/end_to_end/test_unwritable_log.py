"""What cannot be recorded does not leave: a full disk stops the crawl, and freeing it lets the crawl go on."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.harness import Sidecar, end
from tests.end_to_end.origin import Farm


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB of its own; making one needs root (a failure here says that it was not allowed)."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Leave no octet free."""
    ballast = disk / "ballast"
    descriptor = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    try:
        for size in (65_536, 512, 1):
            while True:
                try:
                    os.write(descriptor, bytes(size))
                except OSError:
                    break
    finally:
        os.close(descriptor)
    return ballast


@pytest.mark.parametrize("reserve_mib", [0, 4], ids=["to-the-last-octet", "with-a-reserve"])
def test_a_full_disk_stops_the_crawl_and_freeing_it_lets_it_go_on(
    reserve_mib: int, small_disk: Path, sidecar: Callable[..., Sidecar], sites: Farm
) -> None:
    origin = sites.start()
    started = sidecar(log=small_disk / "log", settings=f"[logging]\nreserve_mib = {reserve_mib}\n")
    try:
        with started.client() as client:
            assert client.get(origin.url + "/before?id=1").status_code == 200
            ballast = fill(small_disk)
            refusals = _ask_until_refused(client, origin.url)
            reached = len(origin.hits("/page"))
            for _ in range(3):
                answer = client.get(origin.url + "/never")
                assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
                assert int(answer.headers["retry-after"]) > 0
                assert answer.json()["exchange_id"]
            assert origin.hits("/never") == []
            assert started.ready_status() == 503
            ballast.unlink()
            _wait_until_served(client, origin.url)
        assert started.ready_status() == 200
        assert started.stop() == 0
        rows = started.rows("SELECT target, action, outcome FROM exchange WHERE target <> '/never' ORDER BY seq")
        forwarded = [row["target"] for row in rows if row["outcome"] == "completed"]
        assert forwarded == ["/before?id=1", *["/page"] * reached, "/again"]
        assert refusals > 0
    finally:
        end(started)  # before its disk goes


def _ask_until_refused(client: httpx.Client, url: str) -> int:
    """How many requests it took; a WAL has room of its own for a few records when the disk is full."""
    for number in range(1, 5000):
        if client.get(url + "/page").status_code == 503:
            return number
    raise AssertionError("the disk is full and requests are still let through")


def _wait_until_served(client: httpx.Client, url: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while client.get(url + "/again").status_code != 200:
        assert time.monotonic() < deadline, "there is room again and the sidecar still refuses"
        time.sleep(0.25)


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_an_idle_sidecar_is_not_ready_within_5_s_and_ready_again_without_a_restart(
    trouble: str, small_disk: Path, sidecar: Callable[..., Sidecar]
) -> None:
    started = sidecar(log=small_disk / "log", settings="[logging]\nreserve_mib = 0\n")
    try:
        if trouble == "full":
            ballast = fill(small_disk)
        else:
            _cover_read_only(started.log)
        assert _within(5, lambda: started.ready_status() == 503), "not told within 5 s"
        probes = {path: httpx.get(f"http://{started.ready['admin']}{path}", trust_env=False) for path in PROBES}
        assert {path: answer.status_code for path, answer in probes.items()} == PROBES
        assert ("mounted read-only" if trouble == "read-only" else "free") in probes["/readyz"].json()["reason"]
        if trouble == "full":
            ballast.unlink()
        else:
            subprocess.run(["umount", str(started.log)], check=True)
        assert _within(10, lambda: started.ready_status() == 200), "not back within 10 s"
        words = [row["incident"] for row in started.sealed_rows("SELECT incident FROM incident ORDER BY seq")]
        assert words[0] == "log_suspended" and words[-1] == "log_resumed"
        assert started.stop() == 0
    finally:
        end(started)  # before its disk goes


# The state of the disk is nobody's reason to restart the process.
PROBES = {"/livez": 200, "/startupz": 200, "/readyz": 503}


def _cover_read_only(directory: Path) -> None:
    """New names for the same directory, read-only: a file system with files open for writing cannot be remounted."""
    subprocess.run(["mount", "--bind", str(directory), str(directory)], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", str(directory)], check=True)


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
