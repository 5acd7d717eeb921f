"""Many requests through the real sidecar with faults at random, memory watched, and all of it judged at the end.

The log lies on a file system that can be made too small.  Clients leave and sites reset connections all the time;
between that the sidecar is killed, stopped, given slow or failing fsyncs or no space, and has to go on.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.disk import live_files
from tests.faults.processes import need, need_root, traced, until
from tests.faults.results import Row
from tests.faults.sidecars import Crawl, add, crawling, history, stage
from tests.faults.space import mount, tmpfs
from tests.writing import check

REQUESTS = 200_000
_MIX = {
    "page": 60,
    "private": 14,
    "missing": 10,
    "post": 6,
    "head": 5,
    "leave_response": 1,
    "leave_request": 2,
    "reset": 2,
}
_SETTINGS = (
    "drain_timeout_s = 2.0\n[logging]\nreserve_mib = 4\nsegment_mib = 4\nsegment_age_s = 30\nseal_interval_s = 2\n"
)
_DISK = 2 * 2**30


@dataclass(slots=True, kw_only=True)
class _Soak:
    crawl: Crawl
    disk: Path
    chance: random.Random
    counts: Counter[str] = field(default_factory=Counter)

    def kill(self) -> None:
        process = self.crawl.sidecar.process
        assert process is not None
        process.kill()
        process.wait(20)
        self.crawl.restart()

    def stop(self) -> None:
        code = self.crawl.sidecar.stop(signal.SIGTERM)
        assert code == 0, f"a stop ended with {code}"
        self.crawl.restart()

    def slow_fsync(self) -> None:
        delay = self.chance.choice([100_000, 400_000, 3_000_000])
        self._inject("fdatasync,fsync", f"delay_enter={delay}", 3.0)

    def failing_fsync(self) -> None:
        self._inject("fdatasync,fsync", "error=EIO", self.chance.uniform(0.2, 2))

    def failing_write(self) -> None:
        self._inject("write,pwrite64", "error=ENOSPC:when=3+3", self.chance.uniform(0.2, 2))

    def no_space(self) -> None:
        status = os.statvfs(self.disk)
        used = (status.f_blocks - status.f_bfree) * status.f_frsize
        self._resize(used + self.chance.choice([0, 2**16, 2**20]))
        time.sleep(self.chance.uniform(0.5, 4))
        self._resize(_DISK)

    def _resize(self, octets: int) -> None:
        mount(["-o", f"remount,size={-(-octets // 4096) * 4096}", str(self.disk)])

    def _inject(self, calls: str, what: str, seconds: float) -> None:
        paths = live_files(self.crawl.sidecar)
        with traced(self.crawl.sidecar.pid, paths, ["-e", f"trace={calls}", "-e", f"inject={calls}:{what}"]):
            time.sleep(seconds)

    def any_fault(self) -> None:
        """One fault, after which the sidecar must go on by itself."""
        fault = self.chance.choice(
            [self.kill, self.kill, self.stop, self.slow_fsync, self.failing_fsync, self.failing_write, self.no_space]
        )
        self.counts[fault.__name__.replace("_", " ")] += 1
        fault()
        self.crawl.goes_on(60)


def run(*, quick: bool, say: Callable[[str], None], requests: int | None = None) -> Iterator[Row]:
    """The soak; ``requests`` of them."""
    need("mount", "strace")
    need_root()
    wanted = requests or (2_000 if quick else REQUESTS)
    with stage() as on, tmpfs(on.place / "disk", str(_DISK)) as disk:
        row = Row(family="soak", fault="", runs=0, records=0, lost=0, duplicated=0, control="")
        sidecar = on.sidecar(log=disk / "log", settings=_SETTINGS)
        rss: list[int] = []
        with crawling(on, sidecar, mix=_MIX, workers=16, count=wanted) as crawl:
            soak = _Soak(crawl=crawl, disk=disk, chance=random.Random(7))
            last = time.monotonic()
            while crawl.thread.is_alive() and len(crawl.load.sent) < wanted - 500:
                rss.append(sidecar.rss_kib() // 1024)
                _bar(len(crawl.load.sent), wanted, soak.counts, rss[-1], say)
                time.sleep(0.5)
                for origin in crawl.origins:
                    origin.first_bytes.clear()
                if time.monotonic() - last > 10:
                    soak.any_fault()
                    last = time.monotonic()
            until(lambda: not crawl.thread.is_alive(), 120, "the end of the crawl")
            code = sidecar.stop()
            found = history(crawl)
            add(row, found)
            try:
                check(sidecar.log)
            except AssertionError as error:
                row.failures.append(f"the log does not hold together: {error}")
        if code:
            row.failures.append(f"the sidecar ended with {code}")
        row.runs = sum(soak.counts.values())
        faults = ", ".join(f"{count} × {name}" for name, count in sorted(soak.counts.items()))
        refused = crawl.statuses()[503]
        row.fault = (
            f"soak: {len(crawl.load.sent):,} requests, {len(found.saw):,} seen by the sites, {refused:,} refused;"
            f" {faults}; memory at most {max(rss)} MiB"
        )
        row.control = _control(crawl, found)
        yield row


def _control(crawl: Crawl, found: object) -> str:
    """The same history with one decision taken away, and one repeated, must be found out."""
    from dataclasses import replace

    from tests.faults.history import History, Rule, judge

    assert isinstance(found, History)
    seen = {saw.number for saw in found.saw}
    one = next(decided for decided in found.decided if decided.number in seen)
    without = judge(replace(found, decided=[decided for decided in found.decided if decided is not one]))
    twice = judge(replace(found, decided=[*found.decided, one]))
    assert without.counts[Rule.UNRECORDED] == 1 and twice.counts[Rule.DUPLICATED] >= 1, "the control did not fail"
    return "one decision taken out of the log: found unrecorded; one repeated: found duplicated"


def _bar(done: int, wanted: int, counts: Counter[str], rss: int, say: Callable[[str], None]) -> None:
    if sys.stderr.isatty():
        filled = 30 * done // wanted
        bar = "█" * filled + "░" * (30 - filled)
        say(f"{bar} {done:,} of {wanted:,} requests, {sum(counts.values())} faults, {rss} MiB")
