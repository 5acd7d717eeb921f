"""Stand-ins for the log and the cache, real enough to fail in every way, and flows to try the hooks with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mitmproxy import hooks, http
from mitmproxy.connection import Client
from mitmproxy.test import taddons, tflow, tutils

from crawl_audit import robots, schema
from crawl_audit.identity import Crawler
from crawl_audit.records import (
    Completion,
    Decision,
    Incident,
    Instant,
    Mode,
    Record,
    RobotsOutcome,
    Signal,
    Snapshot,
    SnapshotSource,
    Tunnel,
)
from crawl_audit.target import Scope
from proxy_addon.addon import AuditAddon
from proxy_addon.metrics import Metrics
from proxy_addon.recorder import Recorder
from proxy_addon.robots_cache import InForce

BODY = b"User-agent: ExampleBot\nDisallow: /private\n"
TOKEN = "secret-of-the-crawler"
OPEN = Crawler(id="news", product_tokens=("ExampleBot",))


class FakeLog:
    """Keeps what it is given, checks that it could be written, and fails or waits where it is told to."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.refusals: list[str] = []
        self.append_error: BaseException | None = None
        self.submit_error: BaseException | None = None
        self.gate: asyncio.Event | None = None

    async def append(self, record: Record) -> int:
        if self.gate is not None:
            await self.gate.wait()
        if self.append_error is not None:
            raise self.append_error
        return self._keep(record)

    def submit(self, record: Record) -> object:
        if self.submit_error is not None:
            raise self.submit_error
        return self._keep(record)

    def refused(self, reason: str) -> None:
        self.refusals.append(reason)

    def _keep(self, record: Record) -> int:
        schema.to_entry(record, bytes(16))
        self.records.append(record)
        return len(self.records) - 1

    def of[R: Record](self, kind: type[R]) -> list[R]:
        return [record for record in self.records if isinstance(record, kind)]

    @property
    def decisions(self) -> list[Decision]:
        return self.of(Decision)

    @property
    def completions(self) -> list[Completion]:
        return self.of(Completion)

    @property
    def incidents(self) -> list[Incident]:
        return self.of(Incident)

    @property
    def tunnels(self) -> list[Tunnel]:
        return self.of(Tunnel)

    @property
    def signals(self) -> list[Signal]:
        return self.of(Signal)


def snapshot(scope: Scope, outcome: RobotsOutcome = RobotsOutcome.SUCCESSFUL) -> Snapshot:
    return Snapshot(
        recorded_at=Instant(1_000_000),
        scheme=scope.scheme,
        host=scope.host,
        port=scope.port,
        source=SnapshotSource.FETCHED,
        fetched_at=None,
        origin_log=None,
        final_url=scope.robots_url,
        redirects=(),
        status=200,
        outcome=outcome,
        error=None,
        robots_sha256="ab" * 32,
        body_bytes=len(BODY),
        truncated=False,
        content_type=None,
        looks_like_html=False,
        etag=None,
        fetch_ms=1,
        valid_until=Instant(2**52),
    )


class FakeCache:
    """Has the same robots.txt for every scope."""

    def __init__(self, body: bytes = BODY, outcome: RobotsOutcome = RobotsOutcome.SUCCESSFUL) -> None:
        self.body = body
        self.outcome = outcome
        self.asked: list[tuple[Scope, tuple[str, ...]]] = []
        self.observed: list[dict[str, Any]] = []
        self.error: BaseException | None = None

    async def current(self, scope: Scope, tokens: tuple[str, ...]) -> InForce:
        self.asked.append((scope, tokens))
        if self.error is not None:
            raise self.error
        rules = robots.compile_rules(self.body, tokens) if self.outcome is RobotsOutcome.SUCCESSFUL else None
        return InForce(snapshot=snapshot(scope, self.outcome), seq=41, rules=rules)

    async def observe(self, scope: Scope, **answer: Any) -> None:
        if self.error is not None:
            raise self.error
        self.observed.append({"scope": scope, **answer})


class Parts:
    """An addon with its fakes."""

    def __init__(self, mode: Mode = Mode.ENFORCE, crawlers: tuple[Crawler, ...] = (OPEN,), **options: Any) -> None:
        self.log = FakeLog()
        self.cache = FakeCache()
        self.metrics = Metrics()
        self.recorder = Recorder(self.log, self.metrics, crawlers)
        self.recorder.armed = True
        self.addon = AuditAddon(recorder=self.recorder, cache=self.cache, mode=mode, **options)  # type: ignore[arg-type]

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def production(*addons: object) -> AsyncIterator[Any]:
    """A function that triggers a hook as mitmproxy does in production: what an addon raises is logged, no more."""
    with taddons.context(*addons) as context:
        context.master._legacy_log_events.uninstall()

        async def trigger(hook: hooks.Hook) -> None:
            await context.master.addons.trigger_event(hook)

        yield trigger


def client(**changes: Any) -> Client:
    made = tflow.tclient_conn()
    made.sni = None
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def flow(path: str = "/a", *, method: str = "GET", **changes: Any) -> http.HTTPFlow:
    """A request to http://example.com as mitmproxy hands it to ``requestheaders``."""
    fields = {"host": "example.com", "user-agent": "ExampleBot/1.0", **changes.pop("fields", {})}
    host_fields = changes.pop("host_fields", None)
    pairs = [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in fields.items()]
    if host_fields is not None:
        pairs = [(b"Host", value) for value in host_fields] + [pair for pair in pairs if pair[0] != b"host"]
    request = tutils.treq(
        host="example.com",
        port=80,
        method=method.encode(),
        scheme=b"http",
        authority=b"",
        path=path.encode("utf-8", "surrogateescape"),
        headers=http.Headers(pairs),
        content=None,
    )
    made = tflow.tflow(client_conn=client(), req=request)
    made.server_conn.timestamp_start = None
    made.server_conn.peername = None
    for name, value in changes.items():
        setattr(made.request, name, value)
    return made


def answered(made: http.HTTPFlow, status: int = 200, **fields: str) -> http.HTTPFlow:
    """The same flow with the head of the site's answer."""
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    made.response = tutils.tresp(status_code=status, headers=http.Headers(pairs), content=None)
    made.server_conn.peername = ("192.0.2.7", 80)
    made.server_conn.timestamp_start = 1.0
    return made
