"""One sidecar from start to stop: check everything, record the start, listen, run, drain, seal.

Nothing listens before log, CA, trust bundle and settings have been checked and the run record is durable.  A stop
finishes what is open, records how the rest ended, and leaves a sealed log; a kill at any moment leaves what recovery
completes at the next start.
"""

from __future__ import annotations

import asyncio
import datetime
import functools
import hashlib
import json
import logging
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mitmproxy.options import Options

from crawl_audit import __version__, schema
from crawl_audit.errors import ConfigurationError, CrawlAuditError, LogUnavailable
from crawl_audit.identity import Crawler
from crawl_audit.records import Incident, Record, Run
from proxy_addon import (
    admin,
    fail_open,
    preflight,
    readiness,
    recovery,
    robots_view,
)
from proxy_addon.addon import AuditAddon
from proxy_addon.anchor_job import AnchorJob
from proxy_addon.ca import Authority
from proxy_addon.clock import now_us
from proxy_addon.connections import ConnectionAddon
from proxy_addon.egress import GuardedLoop
from proxy_addon.fail_open import FailOpenLog
from proxy_addon.gauges import Watched, watch
from proxy_addon.limits import Admission, Capacity, CrawlerLimiter
from proxy_addon.log_directory import LogDirectory
from proxy_addon.master import AuditMaster
from proxy_addon.metrics import Metrics
from proxy_addon.operational_log import about
from proxy_addon.output import Lines
from proxy_addon.pacing import Pacer
from proxy_addon.recorder import Recorder
from proxy_addon.robots_cache import RobotsCache
from proxy_addon.robots_view import RobotsView
from proxy_addon.role import Role
from proxy_addon.settings import OnFailure, Settings, split_address
from proxy_addon.shared_port import SharingLoop
from proxy_addon.ship_job import ShipJob
from proxy_addon.signing import signer_for
from proxy_addon.trust import Trust
from proxy_addon.watching import Watcher, backstop_s
from proxy_addon.writer import Writer

logger = logging.getLogger("crawl_audit.sidecar")

_LOOKUP_THREADS = 64
# Patience with mitmproxy's own hooks after connections were broken off.
_HOOKS_S = 2.0


class Sidecar:
    """The parts of one process and their order of start and stop."""

    def __init__(
        self,
        settings: Settings,
        directory: LogDirectory,
        authority: Authority,
        crawlers: Sequence[Crawler],
        trusted: Trust,
        out: Lines,
        ours: Role,
    ) -> None:
        self._settings = settings
        self._role = ours
        self._directory = directory
        self._authority = authority
        self._trust = trusted
        self._crawlers = crawlers
        self._out = out
        self.metrics = Metrics()
        self.metrics.built(version=__version__, schema=schema.VERSION, config_sha256=self._settings_sha256())
        self._anchors = AnchorJob(settings.anchors, directory, self.metrics, ours.is_shown_here)
        # Where there are several workers, what the last of them publish is shipped when all have ended.
        drain_s = settings.ship.drain_timeout_s if ours.worker is None else 0
        self._shipping = ShipJob(directory, settings.ship.options(), drain_s=drain_s, runs_here=ours.leads)
        self._signals = 0
        self._stop = asyncio.Event()
        self._writer: Writer | None = None

    def loop(self) -> GuardedLoop:
        """The event loop: whatever connects through it goes where the settings let it."""
        egress, kind = self._settings.egress, GuardedLoop if self._role.worker is None else SharingLoop
        return kind(egress.allow_networks, egress.deny_networks, on_denied=self.metrics.egress_denied.inc)

    async def run(self) -> int:
        """From recovery of what an earlier process left to the last seal; the exit code."""
        loop = asyncio.get_running_loop()
        # Names are looked up in threads; a few that nobody answers for must not hold up all others.
        loop.set_default_executor(ThreadPoolExecutor(_LOOKUP_THREADS, thread_name_prefix="lookup"))
        for number in self._role.stop_signals:
            loop.add_signal_handler(number, self._signalled)
        for number in self._role.signals_passed_over:
            loop.add_signal_handler(number, bool)
        ours = self._role
        recovered = await asyncio.to_thread(
            recovery.finish, self._directory, ours=ours.is_ours, previous_of=ours.previous
        )
        writer = self._writer = await self._open_log(recovered)
        try:
            await self._record_start(writer, recovered)
            writer.adopt(recovered.leftovers)
            await self._serve(writer)
        finally:
            await self._anchors.stop()
            await self._close_log(writer, "signal" if self._signals else "error")
            if self._signals < 2:
                await self._anchors.finish(writer.log)
            await asyncio.to_thread(self._shipping.finish, hurried=self._signals > 1)
            self._out.settle()
        return 0

    async def _close_log(self, writer: Writer, reason: str) -> None:
        """The stop record and the last seal; where they cannot be written, the next start says what is missing."""
        try:
            await writer.append(self._run_record(writer, "stop", reason, None))
        except LogUnavailable as error:
            logger.error("The stop could not be recorded: %s", error, extra=about("not_recorded"))
        await writer.close(reason)

    def _signalled(self) -> None:
        self._signals += 1
        self._stop.set()
        if self._signals > 1 and self._writer is not None:
            self._writer.hurry()

    async def _serve(self, writer: Writer) -> None:
        log = await self._log_for_hooks(writer)
        recorder = Recorder(log, self.metrics, self._crawlers)
        robots = self._robots(writer)
        cache = robots.cache
        admission = self._admission()
        exchanges = self._exchange_hooks(recorder, cache, admission)
        watched = Watched(
            log=writer,
            queue_records=self._settings.logging.queue_records,
            cache=cache,
            exchanges=exchanges.exchanges,
            connections=admission.capacity,
            ca_expires_at_s=self._authority.not_after.timestamp(),
            last_receipt_at=lambda: self._anchors.last_receipt_at,
            shipping=lambda: self._shipping.status,
        )
        watch(self.metrics, watched)
        connections = ConnectionAddon(recorder, exchanges.client_gone, exchanges.exchanges, admission=admission)
        master = self._master(connections, exchanges)
        exchanges.end_sites, connections.keep_sites = master.end_sites, master.keep_sites
        watcher = Watcher(
            exchanges=exchanges.exchanges,
            links=master.links,
            limits=self._settings.deadlines(),
            on_limit=self.metrics.limit_exceeded,
            on_client_timeout=connections.client_timeout,
            finish=exchanges.overdue,
        )
        probes = admin.Probes(
            dead_because=lambda: readiness.dead(writer),
            not_ready_because=lambda: readiness.not_ready(recorder, writer),
            warnings=lambda: self._warnings(writer, log),
            seal=lambda: self._seal(writer),
            anchor=lambda: self._anchors.anchor(writer),
            metrics=self.metrics,
        )
        running = asyncio.create_task(master.run(), name="mitmproxy")
        lag = asyncio.create_task(self.metrics.watch_loop(), name="loop-lag")
        server = None
        try:
            host, port = await _first(master.listening(), running)
            server, admin_address = self._role.listen_admin(self._settings.admin, probes)
            recorder.armed = True
            watcher.start()
            self._anchors.start(writer)
            self._shipping.start(self._recording(writer))
            master.bound_unsent(self._settings.upstream.idle_timeout_s)
            self._say_ready(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", admin_address, writer.log)
            await _first(self._stop.wait(), running)
            recorder.draining = True
            exchanges.pacer.stop()
            await self._drain(master, exchanges)
        finally:
            recorder.draining = True
            exchanges.pacer.stop()
            if server is not None:
                server.stop()
            master.shutdown()
            await running
            watcher.stop()
            lag.cancel()
            exchanges.abandon_all()
            await robots.aclose()
            if isinstance(log, FailOpenLog):
                await log.aclose()

    def _admission(self) -> Admission:
        limits = self._settings.limits
        return Admission(
            messages=limits.messages(),
            capacity=Capacity(limits.connections()),
            limiter=CrawlerLimiter(self._settings.crawler_limits(), shared=self._role.limits),
        )

    def _exchange_hooks(self, recorder: Recorder, cache: RobotsCache, admission: Admission) -> AuditAddon:
        pacing = self._settings.pacing
        return AuditAddon(
            recorder=recorder,
            cache=cache,
            mode=self._settings.mode,
            policy=self._settings.policy(),
            pacer=Pacer(enforce=pacing.enforce, hold_max_s=pacing.hold_max_s, marks=self._role.marks),
            html_meta=self._settings.signals.html_meta,
            admission=admission,
        )

    def _warnings(self, writer: Writer, log: Writer | FailOpenLog) -> list[str]:
        unrecorded = log.warnings if isinstance(log, FailOpenLog) else []
        expiring = self._authority.warning(datetime.datetime.now(datetime.UTC))
        told = [*writer.warnings, *self._anchors.warnings, *self._shipping.warnings]
        return [*told, *unrecorded, *([expiring] if expiring else [])]

    def _recording(self, writer: Writer) -> Callable[[Incident], object]:
        """How a thread of this process has an incident recorded."""
        loop = asyncio.get_running_loop()

        async def record(incident: Incident) -> None:
            try:
                await writer.append(incident)
            except LogUnavailable as error:
                logger.error("An incident could not be recorded: %s", error, extra=about("not_recorded"))
            else:
                self.metrics.recovered([incident], 0)

        return lambda incident: loop.call_soon_threadsafe(asyncio.ensure_future, record(incident))

    async def _log_for_hooks(self, writer: Writer) -> Writer | FailOpenLog:
        chosen = self._settings.logging
        if chosen.on_failure is OnFailure.FAIL_CLOSED:
            return writer
        return await fail_open.begin(
            writer,
            self._directory.path,
            bytes_max=chosen.emergency_mib * 1024 * 1024,
            now=now_us,
            on_left=self.metrics.fail_open.inc,
        )

    async def _drain(self, master: AuditMaster, exchanges: AuditAddon) -> None:
        """Finish what is open within the time there is, break off the rest; a second signal cuts it short."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.drain_timeout_s
        await master.stop_listening()
        while len(exchanges.exchanges) and loop.time() < deadline and self._signals < 2:
            await asyncio.sleep(0.02)
        await master.close_connections(_HOOKS_S)

    async def _open_log(self, recovered: recovery.Recovered) -> Writer:
        log = self._settings.logging
        return await Writer.open(
            self._directory,
            node=self._role.node,
            settings_sha256=self._settings_sha256(),
            seal_interval_s=log.seal_interval_s,
            idle_seal_interval_s=log.idle_seal_interval_s,
            segment_age_s=log.segment_age_s,
            segment_bytes=log.segment_mib * 1024 * 1024,
            queue_records=log.queue_records,
            commit_timeout_s=log.commit_timeout_s,
            reserve_bytes=log.reserve_mib * 1024 * 1024,
            on_checkpoint=self._say_checkpoint,
            on_commit=self.metrics.committed,
            unsigned=recovered.chains,
            merge_interval_s=log.merge_interval_h * 3600 if self._role.leads else 0,
            signer_for=functools.partial(signer_for, self._settings.signing),
            claim=self._role.claim,
        )

    def _settings_sha256(self) -> str:
        return hashlib.sha256(self._settings.recorded().encode("utf-8")).hexdigest()

    async def _record_start(self, writer: Writer, recovered: recovery.Recovered) -> None:
        """The run record and what recovery found, durable before anything listens."""
        try:
            await writer.append(self._run_record(writer, "start", None, recovered.previous_log))
            others = [chain.log for chain in recovered.chains if chain.log != recovered.previous_log]
            late: list[Record] = [self._run_record(writer, "recovered", None, log) for log in others]
            incidents = [*self._role.incidents(), *recovered.incidents]
            for record in (*late, *recovered.gaps, *incidents):
                await writer.append(record)
            self.metrics.recovered(incidents, sum(recovered.orphans))
            await asyncio.to_thread(recovery.put_all_away, recovered)
        except (LogUnavailable, OSError) as error:
            raise ConfigurationError(f"The log in {self._settings.log} cannot be written: {error}") from error

    def _run_record(self, writer: Writer, event: str, reason: str | None, previous_log: str | None) -> Record:
        return Run(
            recorded_at=now_us(),
            event=event,
            node=self._role.node,
            reason=reason,
            mode=self._settings.mode,
            settings=self._settings.recorded(),
            settings_sha256=self._settings_sha256(),
            software=preflight.software(),
            checkpoint_key=writer.checkpoint_key,
            trust_sha256=self._trust.sha256,
            previous_log=previous_log,
        )

    def _robots(self, writer: Writer) -> RobotsView:
        return robots_view.build(
            self._settings,
            self.metrics,
            crawlers=self._crawlers,
            trust=self._trust,
            append_many=writer.append_many,
            log=writer.log,
            shared=self._role.shared_robots,
        )

    def _master(self, *addons: object) -> AuditMaster:
        host, port = split_address(self._role.listen)
        master = AuditMaster(Options())
        master.configure(
            addons,
            confdir=str(self._authority.directory.absolute()),
            listen_host=host,
            listen_port=port,
            ssl_verify_upstream_trusted_ca=str(self._trust.bundle),
            tcp_timeout=backstop_s(self._settings.deadlines()),
        )
        return master

    async def _seal(self, writer: Writer) -> dict[str, object]:
        await writer.rotate("demand")
        return {"sealed": True, "log": writer.log, "entries": writer.next_seq}

    def _say_ready(self, proxy: str, admin_address: str, log: str) -> None:
        ca, directory = self._authority.certificate.absolute(), self._directory.path.absolute()
        line = {"ready": True, "proxy": proxy, "admin": admin_address, "ca": str(ca), "log": str(directory)}
        # A worker's supervisor says where the logs are, and has to know which one is whose.
        self._say(line if self._role.worker is None else {**line, "writes": log})

    def _say_checkpoint(self, note: str) -> None:
        """A copy of each signed head for whoever collects standard output: a second custodian."""
        if not self._out.is_terminal:
            self._say({"checkpoint": note})

    def _say(self, line: dict[str, object]) -> None:
        self._out.say(json.dumps(line))


async def _first[T](wanted: Coroutine[Any, Any, T], running: asyncio.Task[None]) -> T:
    """The result of ``wanted``; should mitmproxy end before it, its exception, or CrawlAuditError where it has none."""
    task = asyncio.ensure_future(wanted)
    await asyncio.wait({task, running}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        return task.result()
    task.cancel()
    running.result()
    raise CrawlAuditError("mitmproxy stopped by itself; the log is sealed, start the sidecar again.")
