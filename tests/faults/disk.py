"""A disk that fails or hangs under the running sidecar, and heals: what cannot be recorded does not leave.

strace makes the calls on the log's files fail for a while.  Requests are refused meanwhile, with a reason; when the
cause is gone the same process goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.end_to_end.harness import Sidecar
from tests.faults.processes import need, traced
from tests.faults.results import Row
from tests.faults.sidecars import Crawl, Stage, add, crawling, history, stage, stop_and_judge

_SYNC = "fdatasync,fsync"
_WRITE = "write,pwrite64"


@dataclass(frozen=True, slots=True)
class Fault:
    """What strace is to inject, for how long, and whether requests must be refused because of it."""

    name: str
    calls: str
    inject: str
    seconds: float = 3.0
    refuses: bool = True
    reason: str = ""


FAULTS = (
    Fault("fsync fails once (EIO)", _SYNC, "error=EIO:when=3", refuses=False),
    Fault("fsync fails for 3 s (EIO), then not", _SYNC, "error=EIO", reason="audit_log_unavailable"),
    Fault("write fails for 3 s (EIO), then not", _WRITE, "error=EIO", reason="audit_log_unavailable"),
    Fault("write fails for 3 s (ENOSPC), then not", _WRITE, "error=ENOSPC", reason="audit_log_unavailable"),
    Fault("every fifth write fails (ENOSPC)", _WRITE, "error=ENOSPC:when=5+5", refuses=False),
    Fault(
        "everything is read-only for 3 s (EROFS), then not",
        f"{_WRITE},{_SYNC},ftruncate",
        "error=EROFS",
        reason="audit_log_unavailable",
    ),
    Fault("fsync takes 4 s, twice", _SYNC, "delay_enter=4000000:when=1..2", 9.0, reason="audit_commit_timeout"),
)
QUICK = (FAULTS[1],)


def run(*, quick: bool, say: Callable[[str], None]) -> Iterator[Row]:
    """Every fault on a sidecar of its own, then the control."""
    need("strace")
    with stage() as on:
        control = careless(on)
        for fault in QUICK if quick else FAULTS:
            say(fault.name)
            row = Row(family="disk", fault=fault.name, runs=0, records=0, lost=0, duplicated=0, control=control[0])
            row.failures += control[1]
            with crawling(on, on.sidecar()) as crawl:
                _fail(crawl, fault, row)
                found = stop_and_judge(crawl, row)
            late = sum(outcome == "not_sent" for one in found.decided for _, outcome in one.completions)
            if fault.reason == "audit_commit_timeout" and not late:
                row.failures.append("no decision that became durable too late is recorded as not_sent")
            yield row


def _fail(crawl: Crawl, fault: Fault, row: Row) -> None:
    before, pid = len(crawl.load.sent), crawl.sidecar.pid
    with traced(pid, live_files(crawl.sidecar), _options(fault)):
        if fault.refuses:
            crawl.refuses()
            row.failures += refusal(crawl.sidecar, crawl.origins[0].url, fault.reason)
        time.sleep(fault.seconds)
    crawl.goes_on()
    if fault.refuses and not crawl.statuses(before)[503]:
        row.failures.append("nothing was refused")
    assert crawl.sidecar.process is not None and crawl.sidecar.process.poll() is None, "the sidecar ended"


def _options(fault: Fault) -> list[str]:
    return ["-e", f"trace={fault.calls}", "-e", f"inject={fault.calls}:{fault.inject}"]


def live_files(sidecar: Sidecar) -> list[Path | str]:
    """The live file that is written, with its WAL, and those that may follow."""
    first = max(path for path in (sidecar.log / "live").iterdir() if path.suffix == ".duckdb")
    log, at, _ = first.name.rsplit(".", 2)
    numbers = range(max(0, int(at) - 2), int(at) + 4)
    names = [
        f"{log}.{number:06d}.duckdb{end}" for number in numbers for end in ("", ".wal", ".front", ".new", ".new.wal")
    ]
    return [first.with_name(name) for name in names]


def refusal(sidecar: Sidecar, url: str, reason: str) -> list[str]:
    """What is wrong with how a client is told, if anything."""
    with sidecar.client() as client:
        try:
            answer = client.get(url + "/refused")
        except httpx.HTTPError as error:
            return [f"a client gets no answer: {error}"]
    if answer.status_code != 503:
        return [f"a client gets {answer.status_code} while nothing can be recorded"]
    said = answer.json() if "problem+json" in answer.headers["content-type"] else {}
    reasons = {reason, "audit_log_unavailable"}
    wrong = [] if "retry-after" in answer.headers else ["a refusal does not say when to come back"]
    return wrong if reasons & set(str(said).replace("'", " ").split()) else [*wrong, f"a refusal says {said}"]


def careless(on: Stage) -> tuple[str, list[str]]:
    """Control: a sidecar that goes on where recording fails is found out."""
    row = Row(family="disk", fault="", runs=0, records=0, lost=0, duplicated=0, control="")
    fault = FAULTS[2]
    with crawling(on, on.sidecar(careless=True)) as crawl:
        with traced(crawl.sidecar.pid, live_files(crawl.sidecar), _options(fault)):
            time.sleep(1.5)
        crawl.end()
        crawl.sidecar.stop()
        add(row, history(crawl))
    said = f"a sidecar that goes on where recording fails: {row.unrecorded} unrecorded, {row.lost} lost"
    return said, [] if row.unrecorded and row.lost else ["the control did not fail"]
