"""A sidecar of several workers: holds the log directory and the port, and answers, starts, replaces and stops for all.

The first worker finishes what an earlier run left, before any other is started.  Requests never pass here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from functools import partial
from typing import Any, TextIO

from crawl_audit.errors import CrawlAuditError
from proxy_addon import admin, operational_log, preflight, shared_limits, shared_memory, ship_job
from proxy_addon.log_directory import LogDirectory
from proxy_addon.output import Lines
from proxy_addon.settings import Settings, split_address
from proxy_addon.shared_port import reserved
from proxy_addon.worker_metrics import OPENMETRICS, WorkerMetrics
from proxy_addon.worker_process import Place
from proxy_addon.worker_slot import Slot

# So old may what a killed worker had counted be that is kept.
_COLLECT_S = 5.0
# As long as the command line waits for either.
_SEAL_S = 115.0
_ANCHOR_S = 115.0


def serve(settings: Settings, out: TextIO | None = None) -> int:
    """Run workers until SIGTERM or SIGINT; the exit code.  ConfigurationError before anything listens."""
    log_lines = operational_log.configure()
    preflight.check_settings(settings)
    preflight.check_free("listen", settings.listen)
    preflight.check_free("admin", settings.admin)
    directory = LogDirectory(settings.log)
    with directory.acquire() as lock, reserved(settings.listen) as listen:
        (directory.live / "robots").mkdir(mode=0o700, exist_ok=True)
        told = Lines(out or sys.stdout, "stdout")
        place = Place(
            settings=settings,
            listen=listen,
            recovered=asyncio.Event(),
            directory_lock=lock,
            memory=shared_memory.create(shared_limits.octets(len(settings.crawlers))),
            live=directory.live,
            say=str if told.is_terminal else told.say,  # as one process does with its signed heads
            say_error=log_lines.say,
        )
        try:
            code = asyncio.run(Supervisor(place, told, log_lines).run())
            ship_job.finish(directory, settings.ship.options(), drain_s=settings.ship.drain_timeout_s)
            return code
        finally:
            told.settle()


class Supervisor:
    """The workers of one sidecar."""

    def __init__(self, place: Place, told: Lines, log_lines: Lines) -> None:
        self._place = place
        self._told = told
        self._metrics = WorkerMetrics(log_lines, told)
        self._slots: list[Slot] = []
        self._keeping: list[asyncio.Task[int]] = []
        self._stop = asyncio.Event()

    async def run(self) -> int:
        """From the first worker's start to the last one's end; the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        self._slots = [Slot(k, self._place, self._metrics.ended) for k in range(1, self._place.settings.workers + 1)]
        self._metrics.watch({slot.number: partial(slot.ask, "/metrics", accept=OPENMETRICS) for slot in self._slots})
        server = None
        collecting = asyncio.create_task(self._collect())
        try:
            said = await self._fill()
            if said is not None:
                server, address = admin.listen(*split_address(self._place.settings.admin), self._probes())
                self._told.say(json.dumps({**said, "admin": address}))
                await self._stop.wait()
        finally:
            for slot in self._slots:
                slot.stop()
            codes = await asyncio.gather(*self._keeping)
            collecting.cancel()
            if server is not None:
                server.stop()
        return int(any(codes))

    def _signalled(self) -> None:
        if self._stop.is_set():  # again: in a hurry
            for slot in self._slots:
                slot.stop()
        self._stop.set()

    async def _fill(self) -> dict[str, Any] | None:
        """Start the workers; what the first said when all are ready, None where a stop came first.

        Raises what kept one of them from starting.
        """
        self._keeping = [asyncio.create_task(slot.keep(), name=f"worker-{slot.number}") for slot in self._slots]
        self._slots[0].first.add_done_callback(self._first_started)
        stopping = asyncio.create_task(self._stop.wait())
        ready = asyncio.gather(*(slot.first for slot in self._slots))
        waiting: set[asyncio.Future[Any]] = {ready, stopping}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            return ready.result()[0] if ready.done() else None
        finally:
            stopping.cancel()
            ready.cancel()

    def _first_started(self, first: asyncio.Future[dict[str, Any]]) -> None:
        if not first.cancelled() and first.exception() is None:
            self._place.recovered.set()

    def _probes(self) -> admin.Probes:
        return admin.Probes(
            dead_because=lambda: None,  # a worker that is dead is replaced
            not_ready_because=lambda: next((slot.trouble for slot in self._slots if slot.trouble is not None), None),
            warnings=lambda: [sentence for slot in self._slots for sentence in slot.warnings],
            seal=self._seal,
            anchor=self._anchor,
            metrics=self._metrics,
        )

    async def _seal(self) -> dict[str, object]:
        answers = await self._post("/seal", _SEAL_S)
        return {"sealed": True, "logs": [{name: one[name] for name in ("log", "entries")} for one in answers]}

    async def _anchor(self) -> dict[str, object]:
        first, *rest = await self._post("/anchor", _ANCHOR_S)
        others = [*first.pop("others", ())]
        for one in rest:
            more = one.pop("others", ())
            others += [one, *more]
        return {**first, "others": others}

    async def _post(self, path: str, within_s: float) -> list[dict[str, Any]]:
        """What all workers answer; CrawlAuditError, when all are done, with what the first that could not said."""
        answers = await asyncio.gather(
            *(slot.ask(path, method="POST", within_s=within_s) for slot in self._slots), return_exceptions=True
        )
        found = []
        for slot, answer in zip(self._slots, answers, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            status, body = answer
            said = json.loads(body)
            if status != 200:
                raise CrawlAuditError(f"Worker {slot.number}: {said.get('error')}")
            found.append(said)
        return found

    async def _collect(self) -> None:
        """Look at the counters now and then, for when a worker ends without notice."""
        while True:
            await asyncio.sleep(_COLLECT_S)
            with contextlib.suppress(ValueError):  # what a dying worker wrote half
                await self._metrics.collect()
