"""The place of one worker: filled, and filled again with growing pauses whenever its process ends, until the stop.

A worker whose log's thread is dead, or that has not answered for two minutes, is ended here, as only a new process can
record again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import time
from collections.abc import Callable
from typing import Any

from crawl_audit.errors import ConfigurationError, CrawlAuditError
from crawl_audit.text import first_line
from proxy_addon.__main__ import EXIT_CONFIGURATION
from proxy_addon.operational_log import about
from proxy_addon.role import STOP_WORKER
from proxy_addon.worker_process import Place, WorkerGoneError, WorkerProcess, how

logger = logging.getLogger("crawl_audit.workers")

_LOOK_S = 1.0
# As long as readiness.py gives the log's thread.
_SILENT_S_MAX = 120.0
# A worker that ran for so long has not failed for what made it start; another is started at once.
_RAN_LONG_S = 60.0
PAUSE_S_MIN = 0.5
PAUSE_S_MAX = 30.0


def pause_s(failures: int) -> float:
    """How long to wait before another start, after so many ends in a row that came soon after a start."""
    return min(PAUSE_S_MAX, PAUSE_S_MIN * 2.0 ** min(failures - 1, 10)) if failures else 0.0


class Slot:
    """One worker's place."""

    def __init__(self, number: int, place: Place, on_end: Callable[[int], object]) -> None:
        """``on_end`` is told the number whenever a process has ended."""
        self.number = number
        self.worker: WorkerProcess | None = None
        self.first: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        """What the first worker here said when it was ready, or why it could not start."""
        self.warnings: list[str] = []
        self._place = place
        self._on_end = on_end
        self._trouble: str | None = f"worker {number} is starting"
        self._stopping = asyncio.Event()
        self._failures = 0
        self._unrecorded: list[str] = []  # what the next worker's log has to say

    @property
    def trouble(self) -> str | None:
        """Why requests that come to this worker cannot be recorded now; None where they can."""
        return f"worker {self.number} is stopping" if self._stopping.is_set() else self._trouble

    def stop(self) -> None:
        """End the worker as an operator does; again: in a hurry."""
        self._stopping.set()
        if self.worker is not None:
            self.worker.signal(STOP_WORKER)

    async def ask(
        self, path: str, *, method: str = "GET", accept: str = "", within_s: float = 2.0
    ) -> tuple[int, bytes]:
        """As of the worker; WorkerGoneError where there is none."""
        if self.worker is None or not self.worker.ready.done():
            raise WorkerGoneError(f"There is no answer, as {self.trouble or 'the worker is gone'}.")
        return await self.worker.ask(path, method=method, accept=accept, within_s=within_s)

    async def keep(self) -> int:
        """Keep a worker running until the stop; the exit code of the last one."""
        code = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                self.worker = await WorkerProcess.start(self.number, self._place, " ".join(self._unrecorded) or None)
            except OSError as error:
                self._note_end(f"could not be started: {first_line(error)}", None, None, 0.0)
            else:
                code = await self._attend(self.worker, began)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s(self._failures))
        return code

    async def _attend(self, worker: WorkerProcess, began: float) -> int:
        if self._stopping.is_set():  # meanwhile
            worker.signal(STOP_WORKER)
        looking = asyncio.create_task(self._look(worker))
        code = await worker.ended()
        looking.cancel()
        await asyncio.wait({looking})
        self.worker = None
        self._on_end(self.number)
        ready = worker.log is not None
        if self._stopping.is_set():
            return 0 if not ready and code in (-STOP_WORKER, -signal.SIGTERM) else code
        if not self.first.done():
            kind = ConfigurationError if code == EXIT_CONFIGURATION else CrawlAuditError
            self.first.set_exception(kind(worker.complaint or f"Worker {self.number} {how(code)} before it was ready."))
            self._stopping.set()
            return code
        self._note_end(how(code), worker.log, worker.complaint, time.monotonic() - began)
        return code

    def _note_end(self, what: str, log: str | None, complaint: str | None, ran_s: float) -> None:
        """Remember what became of a worker until another has put it on record."""
        self._failures = 0 if ran_s >= _RAN_LONG_S else self._failures + 1
        wrote = f", which wrote the log {log}," if log is not None else ""
        sentence = (
            f"Worker {self.number}{wrote} {what}{'; it said: ' + complaint if complaint else ''}".rstrip(".") + "."
        )
        logger.error("%s", sentence, extra=about("worker_ended"))
        if log is not None:
            self._unrecorded = []  # its own log has them
        self._unrecorded = [*self._unrecorded[:1], sentence]
        self._trouble = f"{sentence[0].lower()}{sentence[1:-1]}; another is being started"
        self.warnings = []

    async def _look(self, worker: WorkerProcess) -> None:
        """Know how the worker is, and end it where only another can record."""
        said = await worker.ready
        answered = time.monotonic()
        while True:
            try:
                await self._look_once(worker)
                answered = time.monotonic()
            except WorkerGoneError as error:
                self._trouble = f"{str(error)[0].lower()}{str(error).rstrip('.')[1:]}"
                if time.monotonic() - answered > _SILENT_S_MAX:
                    logger.error("%s It is ended.", error, extra=about("worker_silent"))
                    worker.signal(signal.SIGKILL)
            if not self.first.done():
                self.first.set_result(said)
            await asyncio.sleep(_LOOK_S)

    async def _look_once(self, worker: WorkerProcess) -> None:
        status, body = await worker.ask("/livez")
        if status == 503:
            reason = _answer(body).get("reason")
            logger.error("Worker %d is ended: %s.", self.number, reason, extra=about("worker_dead"))
            worker.signal(signal.SIGKILL)
        _, body = await worker.ask("/readyz")
        answer = _answer(body)
        reason = answer.get("reason")
        self._trouble = None if answer.get("ready") is True else f"worker {self.number}: {reason or 'it is not ready'}"
        self.warnings = [f"worker {self.number}: {sentence}" for sentence in answer.get("warnings", ())]


def _answer(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}
