"""No space, and no right to write: a real full file system, and a log directory that turns read-only."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.end_to_end.test_unwritable_log import fill
from tests.faults.disk import careless, refusal
from tests.faults.processes import MissingError, need, need_root, until
from tests.faults.results import Row
from tests.faults.sidecars import Crawl, Stage, crawling, stage, stop_and_judge

_SETTINGS = "[logging]\nreserve_mib = {}\nsegment_age_s = 3\n"


def run(*, quick: bool, say: Callable[[str], None]) -> Iterator[Row]:
    """A full disk without and with the reserve, then a directory that is read-only for a while."""
    need("mount")
    need_root()
    with stage() as on:
        control, wrong = ("see the full run", []) if quick else careless(on)
        for reserve in (4,) if quick else (0, 4):
            say(f"full disk, reserve {reserve} MiB")
            what = "to the last octet" if not reserve else f"with a reserve of {reserve} MiB"
            row = _row(f"the disk is full ({what}), 3 times, and has space again", control, wrong)
            with tmpfs(on.place / f"disk{reserve}", "32m") as disk:
                _fill_and_free(on, disk, reserve, row, rounds=1 if quick else 3)
            yield row
        if not quick:
            say("read-only")
            row = _row("the log directory is read-only for new files for 5 s (remount), then not", control, wrong)
            with tmpfs(on.place / "disk", "64m") as disk:
                _read_only(on, disk, row)
            yield row


def _row(fault: str, control: str, wrong: list[str]) -> Row:
    return Row(
        family="space", fault=fault, runs=0, records=0, lost=0, duplicated=0, control=control, failures=list(wrong)
    )


@contextlib.contextmanager
def tmpfs(place: Path, size: str) -> Iterator[Path]:
    """A file system of its own size."""
    place.mkdir()
    mount(["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)])
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def mount(arguments: list[str]) -> None:
    """Run ``mount``; MissingError where this process may not."""
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise MissingError(f"mount {' '.join(arguments)}: {done.stderr.strip()}")


def _fill_and_free(on: Stage, disk: Path, reserve: int, row: Row, rounds: int) -> None:
    with crawling(on, on.sidecar(log=disk / "log", settings=_SETTINGS.format(reserve))) as crawl:
        for _ in range(rounds):
            ballast = fill(disk)
            crawl.refuses()
            row.failures += refusal(crawl.sidecar, crawl.origins[0].url, "audit_disk_reserve")
            ballast.unlink()
            crawl.goes_on()
        stop_and_judge(crawl, row)
    row.runs = rounds


def _read_only(on: Stage, disk: Path, row: Row) -> None:
    """New names for the same directories, read-only: open files can be written, no other file can be made."""
    sidecar = on.sidecar(log=disk / "log", settings=_SETTINGS.format(0))
    with crawling(on, sidecar) as crawl:
        segments = _segments(crawl)
        until(lambda: _segments(crawl) > segments, 40, "a rotation before the fault")
        mount(["--bind", str(disk / "log"), str(disk / "log")])
        try:
            mount(["-o", "remount,bind,ro", str(disk / "log")])
            segments = _segments(crawl)
            until(lambda: "Read-only file system" in sidecar.stderr.read_text(), 40, "a refusal of the file system")
            assert _segments(crawl) == segments, "a segment was made on a read-only file system"
        finally:
            subprocess.run(["umount", str(disk / "log")], check=True)
        crawl.goes_on()
        until(lambda: _segments(crawl) > segments, 60, "publishing what could not be published before")
        stop_and_judge(crawl, row)


def _segments(crawl: Crawl) -> int:
    return sum(len(names) for _, names, _ in os.walk(crawl.sidecar.log / "segments"))
