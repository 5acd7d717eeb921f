"""From settings to a sidecar that runs in this process: what is checked and held before there is an event loop."""

from __future__ import annotations

import asyncio
import sys
from typing import TextIO

from crawl_audit.identity import Crawler
from proxy_addon import interpreter, operational_log, preflight, role, trust
from proxy_addon.ca import Authority
from proxy_addon.log_directory import LogDirectory
from proxy_addon.output import Lines
from proxy_addon.role import Role
from proxy_addon.settings import Settings
from proxy_addon.sidecar import Sidecar


def serve(settings: Settings, out: TextIO | None = None) -> int:
    """Run until SIGTERM or SIGINT and return the exit code; ConfigurationError before anything listens."""
    log_lines = operational_log.configure()
    checked = preflight.check(settings)
    preflight.check_free("listen", settings.listen)
    preflight.check_free("admin", settings.admin)
    directory = LogDirectory(settings.log)
    with directory.acquire():
        return serve_as(role.alone(settings), settings, directory, checked, log_lines, out)


def serve_as(
    ours: Role,
    settings: Settings,
    directory: LogDirectory,
    checked: tuple[Authority, tuple[Crawler, ...]],
    log_lines: Lines,
    out: TextIO | None = None,
) -> int:
    """As :func:`serve`, in a directory that this process, or the one it belongs to, has acquired."""
    trusted = trust.build(settings.upstream.trusted_ca, directory.tmp / f"trust.{ours.node}.pem")
    told = Lines(out or sys.stdout, "stdout")
    sidecar = Sidecar(settings, directory, *checked, trusted, told, ours)
    sidecar.metrics.watch_lines(log_lines, told)
    with interpreter.sharing_time(), asyncio.Runner(loop_factory=sidecar.loop) as runner:
        return runner.run(sidecar.run())
