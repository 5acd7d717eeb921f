"""A clock that is set while the sidecar runs: an hour ahead, an hour back, and again."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping

from tests.faults.processes import library, until
from tests.faults.results import Row
from tests.faults.sidecars import Crawl, crawling, stage, stop_and_judge

_JUMPS = ("+3600", "+0", "-3600", "+3600", "-3600", "+0")
_BACK = """
SELECT max(before - epoch_us(recorded_at)) // 1000000 AS seconds
FROM (SELECT recorded_at, lag(epoch_us(recorded_at)) OVER (PARTITION BY log ORDER BY seq) AS before FROM decision)
"""


def run(*, quick: bool, say: Callable[[str], None]) -> Iterator[Row]:
    """Jumps of one and two hours; seals and rotation keep their pace, and the order is that of ``seq``."""
    with stage() as on:
        offset = on.place / "offset"
        offset.write_text("+0\n")
        row = Row(
            family="clock",
            fault="the clock jumps by 1 or 2 hours, 6 times",
            runs=0,
            records=0,
            lost=0,
            duplicated=0,
            control="",
        )
        preload = {
            "LD_PRELOAD": library("libfaketime.so.1"),
            "FAKETIME_TIMESTAMP_FILE": str(offset),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        settings = "[logging]\nseal_interval_s = 0.5\nsegment_age_s = 4\n"
        with _environment(preload), crawling(on, on.sidecar(settings=settings)) as crawl:
            for jump in _JUMPS:
                say(f"clock {jump} s")
                offset.write_text(jump + "\n")
                crawl.goes_on()
                _seals_go_on(crawl)
            crawl.sidecar.seal()
            stop_and_judge(crawl, row, clock_is_true=False)
        row.runs = len(_JUMPS)
        back = int(crawl.sidecar.rows(_BACK)[0]["seconds"] or 0)
        row.control = f"the log's own times show it: they go back by up to {back} s while seq goes on"
        if back < 3000:
            row.failures.append("the clock of the sidecar did not jump")
        yield row


def _seals_go_on(crawl: Crawl) -> None:
    said = crawl.sidecar.stdout.read_text().count('"checkpoint"')
    until(lambda: crawl.sidecar.stdout.read_text().count('"checkpoint"') > said + 1, 30, "another seal after the jump")


@contextlib.contextmanager
def _environment(more: Mapping[str, str]) -> Iterator[None]:
    """Variables for what is started meanwhile."""
    os.environ.update(more)
    try:
        yield
    finally:
        for name in more:
            del os.environ[name]
