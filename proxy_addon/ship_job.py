"""The sidecar's side of shipping: has the process that ships run, hears how it is, and lets it finish at a stop.

Whatever becomes of that process, requests and commits go on: it is started again after a pause.  A conflict it tells of
(remote octets other than those here) is recorded in the log, once.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable

from crawl_audit.errors import ConfigurationError
from crawl_audit.records import Incident
from proxy_addon import own_processes, quarantine, shipped_log
from proxy_addon.log_directory import LogDirectory
from proxy_addon.operational_log import about
from proxy_addon.ship_options import ShipOptions
from proxy_addon.shipping import ShipStatus, pause_s

logger = logging.getLogger("crawl_audit.shipping")

_RESTART_LONGEST_S = 60.0

Record = Callable[[Incident], object]
"""Have an incident recorded; called from a thread of this job, must not block."""


class ShipJob:
    """Shipping of one log directory; without options it does nothing."""

    def __init__(
        self, directory: LogDirectory, options: ShipOptions | None, *, drain_s: float, runs_here: bool = True
    ) -> None:
        """Not ``runs_here``: another process of this sidecar does it.  Raises ConfigurationError."""
        self.status = ShipStatus()
        self.starts = 0
        self._directory = directory
        self._options = options if runs_here else None
        self._drain_s = drain_s
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()  # guards the process and whether to stop
        self._stopping = threading.Event()
        self._began = threading.Event()
        self._record: Record | None = None
        self._told: set[str] = set()
        self._ended = ""
        try:
            shipped_log.set_active(directory, options is not None)
        except OSError as error:
            raise ConfigurationError(f"The log directory {directory.path} cannot be written: {error}.") from error

    @property
    def warnings(self) -> list[str]:
        """What an operator should know, one sentence each."""
        return [*([self._ended] if self._ended else []), *self.status.warnings]

    def start(self, record: Record) -> None:
        """Begin; conflicts are recorded by ``record``."""
        if self._options is not None:
            self._record = record
            self._thread = threading.Thread(target=self._run, name="shipping", daemon=True)
            self._thread.start()

    def finish(self, *, hurried: bool = False) -> None:
        """Once the log is closed: ship what is there for a bounded time, and end; the next start ships the rest."""
        if self._thread is None:
            return
        self._record = None
        self._began.wait()
        with self._lock:
            self._stopping.set()
            process = self._process
        if process is not None and process.stdin is not None:
            if not hurried:
                self._ask_to_finish(process)
                self._thread.join(self._drain_s)
            process.kill()
        self._thread.join()
        self._thread = None
        if not self.status.done and not self.status.waiting:
            logger.warning(
                "Shipping was not finished at this stop: %d segments are left for the next start.",
                self.status.unshipped_segments,
                extra=about("ship_unfinished"),
            )

    def _ask_to_finish(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        try:
            os.write(process.stdin.fileno(), b"finish\n")
        except (OSError, ValueError) as error:  # it has ended by itself
            logger.warning("The process that ships cannot be asked to finish: %s", error, extra=about("ship_failed"))

    def _run(self) -> None:
        try:
            self._keep_running()
        finally:
            self._began.set()

    def _keep_running(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            code = self._run_once()
            if self._stopping.is_set() or code == 0:
                return
            failures = 1 if time.monotonic() - began > _RESTART_LONGEST_S else failures + 1
            pause = pause_s(failures, first_s=1, longest_s=_RESTART_LONGEST_S, chance=0)
            self._ended = f"The process that ships ended with {code}; it is started again in {pause:.0f} s."
            logger.error("%s", self._ended, extra=about("ship_failed"))
            self._stopping.wait(pause)

    def _run_once(self) -> int:
        assert self._options is not None
        with self._lock:
            if self._stopping.is_set():
                return 0
            self._process = own_processes.start(
                "proxy_addon.shipper", str(self._directory.path), self._options.to_json()
            )
            self.starts += 1
            self._began.set()
        with self._process as process:
            assert process.stdout is not None
            for line in process.stdout:
                self._hear(line.strip())
        return process.returncode

    def _hear(self, line: str) -> None:
        try:
            status = ShipStatus.from_json(json.loads(line))
        except (ValueError, TypeError):
            logger.warning("The process that ships says: %s", line[:500], extra=about("ship_failed"))
            return
        before, self.status, self._ended = self.status, status, ""
        if status.fault is not None and status.fault != before.fault:
            logger.warning("%s", status.fault, extra=about("ship_failed"))
        if status.fault is None and before.fault is not None:
            logger.info("Shipping goes on.", extra=about("shipped"))
        for sentence in (*status.conflicts, *status.problems):
            if sentence not in self._told:
                self._told.add(sentence)
                logger.error("%s", sentence, extra=about("ship_conflict"))
                if sentence in status.conflicts and self._record is not None:
                    self._record(quarantine.incident("ship_conflict", sentence))


def finish(directory: LogDirectory, options: ShipOptions | None, *, drain_s: float) -> None:
    """Ship for a bounded time what a log directory still holds that nobody writes any more."""
    job = ShipJob(directory, options, drain_s=drain_s)
    job.start(lambda _: None)
    job.finish()
