"""No more file descriptors: more clients than the sidecar may have files open, while it also has a log to rotate."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from collections.abc import Callable, Iterator

from tests.faults.processes import until
from tests.faults.results import Row
from tests.faults.sidecars import Crawl, crawling, stage, stop_and_judge

_LIMIT = 64
_CLIENTS = 100


def run(*, quick: bool, say: Callable[[str], None]) -> Iterator[Row]:
    """Several times as many connections as there are descriptors, held through rotations, then let go."""
    with stage() as on:
        row = Row(
            family="descriptors",
            fault=f"{_LIMIT} file descriptors and {_CLIENTS} more clients for 6 s, 3 times",
            runs=0,
            records=0,
            lost=0,
            duplicated=0,
            control="",
        )
        settings = "[logging]\nseal_interval_s = 0.5\nsegment_age_s = 2\n"
        with crawling(on, on.sidecar(settings=settings)) as crawl:
            for number in range(3):
                say(f"descriptors, {number + 1} of 3")
                _exhaust(crawl)
                crawl.goes_on(60)
                _rotates(crawl)
            stop_and_judge(crawl, row)
        row.runs = 3
        said = crawl.sidecar.stderr.read_text().count("Too many open files")
        row.control = f"the limit was met: the sidecar said {said} times that too many files are open"
        if not said:
            row.failures.append("the limit was never met")
        yield row


def _exhaust(crawl: Crawl) -> None:
    pid = crawl.sidecar.pid
    usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (_LIMIT, usual[1]))
    with contextlib.ExitStack() as held:
        for _ in range(_CLIENTS):
            host, _, port = str(crawl.sidecar.ready["proxy"]).rpartition(":")
            with contextlib.suppress(OSError):  # the queue of those not yet accepted is full as well
                held.enter_context(socket.create_connection((host, int(port)), timeout=1))
        time.sleep(6)
    # The limit stays: with its clients gone, the sidecar has to do with it.
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (max(_LIMIT, 128), usual[1]))


def _rotates(crawl: Crawl) -> None:
    segments = crawl.sidecar.log / "segments"
    count = len(list(segments.glob("*/*")))
    until(lambda: len(list(segments.glob("*/*"))) > count, 40, "a rotation with the descriptors back")
