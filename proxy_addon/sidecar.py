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
import signal
import sys
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TextIO

from mitmproxy.options import Options

from crawl_audit import __version__, schema
from crawl_audit.errors import ConfigurationError, CrawlAuditError, LogUnavailable
from crawl_audit.identity import ANY_CRAWLER, Crawler
from crawl_audit.records import Record, Run
from proxy_addon import (
    admin,
    ca,
    fail_open,
    interpreter,
    operational_log,
    policy_settings,
    preflight,
    readiness,
    recovery,
    trust,
)
from proxy_addon.addon import AuditAddon
from proxy_addon.anchor_job import AnchorJob
from proxy_addon.ca import Authority
from proxy_addon.connections import ConnectionAddon
from proxy_addon.egress import GuardedLoop
from proxy_addon.fail_open import FailOpenLog
from proxy_addon.fetcher import Fetcher, FetchLimits
from proxy_addon.freshness import Freshness
from proxy_addon.gauges import Watched, watch
from proxy_addon.limits import Admission, Capacity, CrawlerLimiter
from proxy_addon.log_directory import LogDirectory
from proxy_addon.master import AuditMaster
from proxy_addon.metrics import Metrics
from proxy_addon.operational_log import about
from proxy_addon.output import Lines
from proxy_addon.pacing import Pacer
from proxy_addon.recorder import Recorder, now_us
from proxy_addon.robots_cache import CacheSettings, RobotsCache
from proxy_addon.settings import OnFailure, Settings, split_address
from proxy_addon.signing import signer_for
from proxy_addon.trust import Trust
from proxy_addon.watching import Watcher, backstop_s
from proxy_addon.writer import Writer

logger = logging.getLogger("crawl_audit.sidecar")

_LOOKUP_THREADS = 64
# Patience with mitmproxy's own hooks after connections were broken off.
_HOOKS_S = 2.0


def serve(settings: Settings, out: TextIO | None = None) -> int:
    """Run until SIGTERM or SIGINT and return the exit code; ConfigurationError before anything listens."""
    log_lines = operational_log.configure()
    preflight.check_versions()
    now = datetime.datetime.now(datetime.UTC)
    authority = ca.load(settings.ca, now)
    if (warning := authority.warning(now)) is not None:
        logger.warning("%s", warning, extra=about("ca_expires"))
    crawlers = settings.crawler_values()
    for sentence in policy_settings.expired(settings.exemptions, now):
        logger.warning("%s", sentence, extra=about("exemption_expired"))
    if not settings.crawlers:
        logger.warning("No crawler is configured, so the groups for `*` decide; name yours with --product-token.")
    preflight.check_free("listen", settings.listen)
    preflight.check_free("admin", settings.admin)
    directory = LogDirectory(settings.log)
    with directory.acquire():
        extra = settings.upstream.trusted_ca
        trusted = trust.build(extra, directory.tmp / "trust.pem")
        told = Lines(out or sys.stdout, "stdout")
        sidecar = Sidecar(settings, directory, authority, trusted, crawlers, told)
        sidecar.metrics.watch_lines(log_lines, told)
        with interpreter.sharing_time(), asyncio.Runner(loop_factory=sidecar.loop) as runner:
            return runner.run(sidecar.run())


class Sidecar:
    """The parts of one process and their order of start and stop."""

    def __init__(
        self,
        settings: Settings,
        directory: LogDirectory,
        authority: Authority,
        trusted: Trust,
        crawlers: Sequence[Crawler],
        out: Lines,
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._authority = authority
        self._trust = trusted
        self._crawlers = crawlers
        self._out = out
        self.metrics = Metrics()
        self.metrics.built(version=__version__, schema=schema.VERSION, config_sha256=self._settings_sha256())
        self._anchors = AnchorJob(settings.anchors, directory, self.metrics)
        self._signals = 0
        self._stop = asyncio.Event()
        self._writer: Writer | None = None

    def loop(self) -> GuardedLoop:
        """The event loop: whatever connects through it goes where the settings let it."""
        egress = self._settings.egress
        return GuardedLoop(egress.allow_networks, egress.deny_networks, on_denied=self.metrics.egress_denied.inc)

    async def run(self) -> int:
        """From recovery of what an earlier process left to the last seal; the exit code."""
        loop = asyncio.get_running_loop()
        # Names are looked up in threads; a few that nobody answers for must not hold up all others.
        loop.set_default_executor(ThreadPoolExecutor(_LOOKUP_THREADS, thread_name_prefix="lookup"))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        recovered = await asyncio.to_thread(recovery.finish, self._directory)
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
        fetcher = self._fetcher()
        cache = self._cache(fetcher, writer)
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
            server, admin_address = admin.listen(*split_address(self._settings.admin), probes)
            recorder.armed = True
            watcher.start()
            self._anchors.start(writer)
            master.bound_unsent(self._settings.upstream.idle_timeout_s)
            self._say_ready(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", admin_address)
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
            await cache.aclose()
            await fetcher.aclose()
            if isinstance(log, FailOpenLog):
                await log.aclose()

    def _admission(self) -> Admission:
        limits = self._settings.limits
        return Admission(
            messages=limits.messages(),
            capacity=Capacity(limits.connections()),
            limiter=CrawlerLimiter(self._settings.crawler_limits()),
        )

    def _exchange_hooks(self, recorder: Recorder, cache: RobotsCache, admission: Admission) -> AuditAddon:
        pacing = self._settings.pacing
        return AuditAddon(
            recorder=recorder,
            cache=cache,
            mode=self._settings.mode,
            policy=self._settings.policy(),
            pacer=Pacer(enforce=pacing.enforce, hold_max_s=pacing.hold_max_s),
            html_meta=self._settings.signals.html_meta,
            admission=admission,
        )

    def _warnings(self, writer: Writer, log: Writer | FailOpenLog) -> list[str]:
        unrecorded = log.warnings if isinstance(log, FailOpenLog) else []
        expiring = self._authority.warning(datetime.datetime.now(datetime.UTC))
        return [*writer.warnings, *self._anchors.warnings, *unrecorded, *([expiring] if expiring else [])]

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
            node=self._settings.node,
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
            merge_interval_s=log.merge_interval_h * 3600,
            signer_for=functools.partial(signer_for, self._settings.signing),
        )

    def _settings_sha256(self) -> str:
        return hashlib.sha256(self._settings.recorded().encode("utf-8")).hexdigest()

    async def _record_start(self, writer: Writer, recovered: recovery.Recovered) -> None:
        """The run record and what recovery found, durable before anything listens."""
        try:
            await writer.append(self._run_record(writer, "start", None, recovered.previous_log))
            late: list[Record] = [*recovered.gaps, *recovered.incidents]
            for record in late:
                await writer.append(record)
            self.metrics.recovered(recovered.incidents, sum(recovered.orphans))
            await asyncio.to_thread(recovery.put_all_away, recovered)
        except (LogUnavailable, OSError) as error:
            raise ConfigurationError(f"The log in {self._settings.log} cannot be written: {error}") from error

    def _run_record(self, writer: Writer, event: str, reason: str | None, previous_log: str | None) -> Record:
        return Run(
            recorded_at=now_us(),
            event=event,
            node=self._settings.node,
            reason=reason,
            mode=self._settings.mode,
            settings=self._settings.recorded(),
            settings_sha256=self._settings_sha256(),
            software=preflight.software(),
            checkpoint_key=writer.checkpoint_key,
            trust_sha256=self._trust.sha256,
            previous_log=previous_log,
        )

    def _fetcher(self) -> Fetcher:
        first = self._crawlers[0]
        token = first.product_tokens[0]
        agent = first.user_agent or (f"crawl-audit/{__version__}" if token == ANY_CRAWLER else token)
        limits = FetchLimits(deadline_ms=int(self._settings.robots.fetch_timeout_s * 1000))
        return Fetcher(ssl_context=self._trust.context(), limits=limits, user_agent=agent)

    def _cache(self, fetcher: Fetcher, writer: Writer) -> RobotsCache:
        robots = self._settings.robots
        freshness = Freshness(ttl_s=robots.ttl_s, unreachable_ttl_s=robots.unreachable_ttl_s)
        settings = CacheSettings(
            freshness=freshness,
            treat_429_as_unreachable=robots.treat_429_as_unreachable,
            last_good_copy_s=robots.last_good_copy_s,
            tdmrep=self._settings.signals.fetches_tdmrep,
        )
        return RobotsCache(
            fetcher=fetcher,
            append_many=writer.append_many,
            now=now_us,
            settings=settings,
            on_fetched=self.metrics.robots_fetched,
        )

    def _master(self, *addons: object) -> AuditMaster:
        host, port = split_address(self._settings.listen)
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

    def _say_ready(self, proxy: str, admin_address: str) -> None:
        self._say(
            {
                "ready": True,
                "proxy": proxy,
                "admin": admin_address,
                "ca": str(self._authority.certificate.absolute()),
                "log": str(self._directory.path.absolute()),
            }
        )

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
