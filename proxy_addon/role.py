"""What differs between the only process of a sidecar and one of its workers."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crawl_audit.errors import ConfigurationError
from crawl_audit.records import Incident
from proxy_addon import admin, quarantine
from proxy_addon.log_locks import LogLocks
from proxy_addon.settings import Settings, split_address
from proxy_addon.shared_limits import SharedLimits
from proxy_addon.shared_marks import SharedMarks

STOP_WORKER = signal.SIGUSR1
"""Sent by the supervisor to a worker."""
_START = r"-\d{8}T\d{6}Z-[0-9a-f]{8}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One process of a sidecar."""

    node: str
    """Name of the process in the names of its logs."""
    listen: str
    worker: int | None = None
    """Its number among several, from 1; None: it is the only one."""
    admin_socket: socket.socket | None = None
    """Where a worker is asked by its supervisor."""
    locks: LogLocks | None = None
    shared_robots: Path | None = None
    """Directory through which workers share what they have fetched of robots.txt."""
    marks: SharedMarks | None = None
    """The pace of every crawler, as all workers see it."""
    limits: SharedLimits | None = None
    """What every crawler uses of its limits, as all workers see it."""
    predecessor: str | None = None
    """A sentence on the end of the worker whose place this one takes."""

    @property
    def stop_signals(self) -> tuple[int, ...]:
        """What tells this process to stop, and again, to hurry."""
        return (signal.SIGTERM, signal.SIGINT) if self.worker is None else (STOP_WORKER,)

    @property
    def signals_passed_over(self) -> tuple[int, ...]:
        """What whoever ends a whole group of processes sends to each: a worker is told by its supervisor alone."""
        return () if self.worker is None else (signal.SIGTERM, signal.SIGINT)

    @property
    def leads(self) -> bool:
        """Whether what is done once for the whole directory is done here."""
        return self.worker in (None, 1)

    def is_ours(self, log: str) -> bool:
        """Whether what a dead process left of a log is this process's to finish."""
        return self.locks is None or self.locks.take(log)

    def is_shown_here(self, log: str) -> bool:
        """Whether this process shows the head of another process's log to those outside."""
        if self.locks is None or self.locks.is_held(log):
            return True
        return self.leads and not self.locks.is_anothers(log)

    def claim(self, log: str) -> None:
        """Take a log that is about to be begun."""
        if self.locks is not None and not self.locks.take(log):
            raise ConfigurationError(f"Another process has taken the log {log}: start again.")

    def previous(self, logs: Sequence[str]) -> str | None:
        """Of all logs in their order, the one that a new log here names as before it: a worker, its own last."""
        own = [log for log in logs if self.worker is None or re.fullmatch(re.escape(self.node) + _START, log)]
        return next(reversed(own or (logs if self.leads else ())), None)

    def incidents(self) -> list[Incident]:
        """What a new log here has to say of its predecessor."""
        return [] if self.predecessor is None else [quarantine.incident("worker_ended", self.predecessor)]

    def listen_admin(self, address: str, probes: admin.Probes) -> tuple[admin.Server, str]:
        """Answer probes: a worker to its supervisor, which answers for all; the server and its address."""
        if self.admin_socket is None:
            return admin.listen(*split_address(address), probes)
        return admin.serve([self.admin_socket], probes), ""


def alone(settings: Settings) -> Role:
    """The only process of a sidecar."""
    return Role(node=settings.node, listen=settings.listen)


def node_of(settings: Settings, worker: int) -> str:
    """Name of a worker in the names of its logs."""
    return f"{settings.node}-w{worker}"
