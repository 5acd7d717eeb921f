"""The process that is killed: a writer under load, or one that goes step by step and waits to be let go on.

What it was told to be durable it writes down outside the log, a line per record, after ``append`` has returned.  The
broken variants are the controls: each breaks one promise, and the comparison must notice.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from crawl_audit.errors import CrawlAuditError, LogUnavailable
from crawl_audit.records import Completion, Outcome
from proxy_addon import checkpoints, journal, log_thread
from proxy_addon import writer as writer_module
from proxy_addon.exchanges import unanswered
from proxy_addon.live import LiveFile, RolledBackError
from proxy_addon.writer import Writer
from tests.writing import NEVER, QUIET, decision, directory_of, now, writer_in

LOG = "node1-20260101T000000Z-00000000"
"""Name of the log of the stepwise process, so that its files are known beforehand."""
STEPS = ("create", "commit", "rotate", "close")
TELL_FIRST: list[str] = []
"""Control of the stepwise process: not empty where it tells before it commits."""
_CLIENTS = 6


class Told:
    """What somebody outside was told: appended to a file, a line per record."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def durable(self, log: str, seq: int, exchange_id: str) -> None:
        os.write(self._descriptor, f"{log} {seq} {exchange_id}\n".encode())


def gate(directory: Path, step: str) -> None:
    """Say that ``step`` comes next, and wait until it may."""
    parent = os.getppid()
    (directory / f"at-{step}").touch()
    while not (directory / f"go-{step}").exists():
        time.sleep(0.003)
        if os.getppid() != parent:
            raise SystemExit("whoever started this process is gone")


async def crawl(path: Path, told: Told, limits: dict[str, Any], count: int) -> None:
    """Decisions and completions from a few clients at once, through rotations, until killed or ``count`` are made."""
    made = iter(range(count))

    async def client(writer: Writer) -> None:
        for _ in made:
            record = decision(0, exchange_id=f"exchange-{os.getpid()}-{os.urandom(8).hex()}")
            try:
                seq = await writer.append(record)
            except LogUnavailable:
                await asyncio.sleep(0.05)
                continue
            told.durable(writer.log, seq, record.exchange_id)
            writer.submit(_completed(seq))

    async with writer_in(path, **limits) as writer:
        await asyncio.gather(*(client(writer) for _ in range(_CLIENTS)))


async def stepwise(path: Path, told: Told, gates: Path, watched: str) -> None:
    """Create, commit, rotate, close; before and after the watched step it waits until it may go on."""
    log_thread._PUBLISH_RETRY_S = 0.1
    _name_files_alike()

    @contextlib.contextmanager
    def step(name: str) -> Iterator[None]:
        if name == watched:
            gate(gates, name)
        yield
        if name == watched:
            gate(gates, f"end-of-{name}")

    with contextlib.ExitStack() as held:
        with step("create"):
            directory, recovered = held.enter_context(directory_of(path))
            writer = await Writer.open(
                directory,
                node="node1",
                settings_sha256="5e" * 32,
                unsigned=recovered.chains,
                **{**QUIET, "seal_interval_s": NEVER},
            )
            await _append(writer, told, 0)
        with step("commit"):
            await _append(writer, told, 1)
            await _append(writer, told, 2)
        with step("rotate"):
            await _rotate(writer)
            await _append(writer, told, 3)
        with step("close"):
            if await writer.close() is None:
                signal.raise_signal(signal.SIGKILL)  # its helper was killed; recovery has to finish it


def _name_files_alike() -> None:
    """Every run has the same file names, so that the calls on them can be listed beforehand."""
    writer_module.new_log_name = lambda node, now: LOG
    checkpoints.threading = SimpleNamespace(**{**vars(threading), "get_ident": lambda: 1})  # type: ignore[attr-defined]


async def _append(writer: Writer, told: Told, number: int) -> None:
    """Three decisions in one commit, then their completions; tried again, as other requests, where they are refused."""
    for attempt in range(40):
        records = [decision(number, exchange_id=f"exchange-{number}-{part}-{attempt}") for part in range(3)]
        if TELL_FIRST:
            for seq, record in enumerate(records, writer.next_seq):
                told.durable(writer.log, seq, record.exchange_id)
        try:
            seqs = await writer.append_many(records)
        except LogUnavailable:
            await asyncio.sleep(0.1)
            continue
        for seq, record in zip(seqs, records, strict=True) if not TELL_FIRST else ():
            told.durable(writer.log, seq, record.exchange_id)
        await asyncio.gather(*(writer.submit(_completed(seq)) for seq in seqs), return_exceptions=True)
        return
    raise SystemExit("the log did not come back within 4 s")


async def _rotate(writer: Writer) -> None:
    """Rotate; a helper that was killed is followed by another, and what it should have published is."""
    try:
        await writer.rotate()
    except LogUnavailable:
        deadline = time.monotonic() + 10
        while writer.warnings or not writer.available:
            if time.monotonic() > deadline:
                raise SystemExit("the segment was not published by a second helper within 10 s") from None
            await asyncio.sleep(0.02)


def recovering(path: Path, gates: Path) -> None:
    """Recover what is there, once it may."""
    _name_files_alike()
    gate(gates, "recover")
    with directory_of(path):
        pass
    gate(gates, "end-of-recover")


def _completed(seq: int) -> Completion:
    return unanswered(seq, now(), Outcome.CLIENT_ABORT, "test", duration_ms=1)


def tell_before_commit() -> None:
    """Control: ``append`` returns at once with the number it hopes for, and the disk is slow."""
    real = LiveFile.insert

    def insert(live: LiveFile, first_seq: int, bodies: Sequence[str]) -> None:
        time.sleep(0.03)
        real(live, first_seq, bodies)

    async def append(self: Writer, record: Any, **_: Any) -> int:
        entry = journal.encode(record)
        expected = self.next_seq + self.queue_depth
        self._thread.put(writer_module._Awaited(make=lambda _: [entry], future=self._loop.create_future()))
        await asyncio.sleep(0.001)
        return expected

    LiveFile.insert = insert  # type: ignore[method-assign]
    Writer.append = append  # type: ignore[method-assign]


def write_again_without_looking() -> None:
    """Control: whatever is said to have failed is written once more, though it may be there."""
    real, failed = LiveFile.insert, set[int]()

    def insert(live: LiveFile, first_seq: int, bodies: Sequence[str]) -> None:
        real(live, first_seq, bodies)
        if first_seq and first_seq not in failed:
            failed.add(first_seq)
            raise RolledBackError("it is there, and reported as failed")

    LiveFile.insert = insert  # type: ignore[method-assign]


def tell_first() -> None:
    """Control: the stepwise process tells before it commits."""
    TELL_FIRST.append("told before the commit")


CONTROLS = {
    "tell-first": tell_first,
    "tell-before-commit": tell_before_commit,
    "write-again-without-looking": write_again_without_looking,
}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["crawl", "stepwise", "recover"])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--told", type=Path, required=True)
    parser.add_argument("--gates", type=Path)
    parser.add_argument("--watched", choices=STEPS)
    parser.add_argument("--count", type=int, default=10_000_000)
    parser.add_argument("--segment-bytes", type=int, default=60_000)
    parser.add_argument("--control", choices=list(CONTROLS))
    given = parser.parse_args()
    if given.control:
        CONTROLS[given.control]()
    told = Told(given.told)
    try:
        if given.what == "crawl":
            limits = {"segment_bytes": given.segment_bytes, "seal_interval_s": 0.1}
            asyncio.run(crawl(given.directory, told, limits, given.count))
        elif given.what == "stepwise":
            asyncio.run(stepwise(given.directory, told, given.gates, given.watched))
        else:
            recovering(given.directory, given.gates)
    except CrawlAuditError as error:
        sys.stderr.write(f"{error}\n")
        return 78
    return 0


if __name__ == "__main__":
    sys.exit(main())
