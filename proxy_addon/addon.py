"""mitmproxy's hooks on exchanges → kernel calls → forward or deny.

A hook is a thin translation.  The decision is made in ``requestheaders``, before anything of the request leaves
(``connection_strategy=lazy``: not even a TLS ClientHello), and the request leaves only after its decision is durable.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

from mitmproxy import http

from crawl_audit import signals, trace_context, web_bot_auth
from crawl_audit.decision import unknown_target
from crawl_audit.errors import LogUnavailable
from crawl_audit.identity import Crawler
from crawl_audit.policy import Policy
from crawl_audit.records import Action, Decision, Mode, Outcome
from crawl_audit.target import Target, TargetError, parse_target, printable
from crawl_audit.text import storable
from proxy_addon import denial, hop_by_hop, page_signals, probe_report
from proxy_addon.boundary import decides, observes
from proxy_addon.clock import now_us
from proxy_addon.deciding import Asked, Decider
from proxy_addon.denial import Answer
from proxy_addon.egress import REFUSED
from proxy_addon.exchanges import LIMIT_WORD, Answered, BodyMeter, Exchange, ExchangeTable
from proxy_addon.limits import Admission, Limit
from proxy_addon.pacing import Pacer
from proxy_addon.recorder import Recorder, address_of
from proxy_addon.robots_cache import RobotsCache

# A robots.txt longer than this is read no further (docs/robots.md); the crawler's own fetch is kept up to here.
_ROBOTS_KEPT_BYTES = 1024 * 1024
# Fields with which an answer to /robots.txt may differ from what anybody else gets.
_PERSONAL_FIELDS = ("range", "cookie", "authorization", "if-none-match", "if-modified-since")
# RFC 6455 7.4.1: never sent, but reported where a connection ends without a Close frame.
_ABNORMAL_CLOSURE = 1006


class AuditAddon:
    """Decides on, records and counts every exchange."""

    def __init__(
        self,
        *,
        recorder: Recorder,
        cache: RobotsCache,
        mode: Mode,
        policy: Policy | None = None,
        pacer: Pacer | None = None,
        html_meta: bool = False,
        admission: Admission | None = None,
    ) -> None:
        self.recorder = recorder
        self.pacer = Pacer() if pacer is None else pacer
        self.end_sites: Callable[[str, str], None] = lambda _client_id, _why: None
        """Breaks off what a client connection has open to sites; master.py's."""
        admission = Admission() if admission is None else admission
        self._messages, self._capacity, self._limiter = admission.messages, admission.capacity, admission.limiter
        self.exchanges = ExchangeTable(self._limiter.note_open)
        self._cache = cache
        self._html_meta = html_meta
        self._decider = Decider(cache=cache, mode=mode, policy=Policy() if policy is None else policy, pacer=self.pacer)

    # --- deciding ---------------------------------------------------------------------------------------------

    @decides
    async def requestheaders(self, flow: http.HTTPFlow, identifier: str) -> Answer | None:
        """The only place where a request is let through, denied or refused."""
        if flow.error:  # mitmproxy has refused it already (400), for example for CL and TE at once
            why = f"The request was refused: {flow.error.msg}"
            self.recorder.incident("malformed_request", why, flow.client_conn, identifier)
            self.recorder.answered("malformed_request")
            return None
        if not self.recorder.accepting:
            raise LogUnavailable("The sidecar is starting or stopping; try again.", reason="draining")
        if not self._capacity.serves(flow.client_conn.id):
            self.recorder.too_many()
            return denial.too_many_connections(identifier)
        credentials = flow.request.headers.get("proxy-authorization")
        crawler = self.recorder.identify(flow.client_conn, credentials)
        if crawler is None:
            why = self.recorder.why_unknown(credentials)
            self.recorder.incident("unknown_crawler", why, flow.client_conn, identifier)
            return denial.unknown_crawler(identifier)
        exceeded = self._limiter.request(crawler.id, self.exchanges.open_of(crawler.id))
        if exceeded is not None:
            self.recorder.limited(crawler, exceeded)
            return denial.crawler_limit(exceeded.limit, exceeded.retry_after_s, identifier)
        with self._limiter.deciding(crawler.id):
            return await self._decide(flow, identifier, crawler)

    async def _decide(self, flow: http.HTTPFlow, identifier: str, crawler: Crawler) -> Answer | None:
        began = time.monotonic()
        # First of all, so that everything below, and the record, is about what the site gets.
        flow.request.headers.fields = hop_by_hop.to_site(flow.request.headers.fields)
        if (excess := self._too_large(flow.request)) is not None:
            status, why = excess
            await self._record_refusal(flow, identifier, crawler, why)
            return denial.too_large(status, why, identifier)
        try:
            target = _target_of(flow)
        except TargetError as error:
            await self._record_refusal(flow, identifier, crawler, str(error))
            return denial.bad_request(421, str(error), identifier)
        if (finding := probe_report.declared(flow.request.method, target)) is not None:
            await self._record_probe(flow, identifier, crawler, finding)
            return probe_report.recorded(finding, identifier)
        decided = await self._decider.decide(_asked(flow, identifier, crawler, target))
        decision = decided.decision
        self.recorder.signals(web_bot_auth.request_signals(flow.request.headers.fields), identifier)
        with self.pacer.leaving(decision):
            seq = await self._record(decision, since=began)
        if decision.action is Action.DENIED:
            return denial.disallowed(decision, decided.retry_after_s)
        exchange = Exchange(decision=decision, decision_seq=seq, target=target, client_id=flow.client_conn.id)
        exchange.request_ended = lambda: flow.request.timestamp_end is not None
        self.exchanges.open(flow.id, exchange)
        leaves = False
        try:
            self._forward(flow, exchange)
            leaves = True
        finally:
            if not leaves:  # on record as forwarded by now: say that it was not
                self._complete(flow.id, Outcome.NOT_SENT, Answered(), "Forwarding failed in the sidecar.")
        return None

    async def _record(self, decision: Decision, *, since: float | None = None) -> int:
        seq = await self.recorder.log.append(decision)
        self.recorder.metrics.decided(decision, None if since is None else time.monotonic() - since)
        return seq

    async def _record_refusal(self, flow: http.HTTPFlow, identifier: str, crawler: Crawler, why: str) -> None:
        request = flow.request
        target = unknown_target(
            storable(request.scheme, 16),
            storable(request.host, 255),
            request.port,
            printable(request.data.path[: self._messages.target_bytes]),
        )
        await self._record(self._decider.refused(_asked(flow, identifier, crawler, target), why))

    async def _record_probe(
        self, flow: http.HTTPFlow, identifier: str, crawler: Crawler, finding: probe_report.Finding
    ) -> None:
        made = probe_report.incident(
            finding, at=now_us(), exchange=identifier, crawler=crawler.id, client=address_of(flow.client_conn)
        )
        await self.recorder.log.append(made)
        self.recorder.metrics.incidents.labels(incident=made.incident).inc()

    def _forward(self, flow: http.HTTPFlow, exchange: Exchange) -> None:
        exchange.request_meter.bytes_max = self._messages.body_bytes
        exchange.request_meter.on_overflow = functools.partial(self._overflow, exchange)
        if exchange.target.is_robots_txt and flow.request.method == "GET":
            exchange.response_meter = BodyMeter(digest=True, keep_bytes=_ROBOTS_KEPT_BYTES + 1)
        # Never mitmproxy's option stream_large_bodies: it sets `stream` again while a denied body arrives.
        flow.request.stream = exchange.request_meter

    def _too_large(self, request: http.Request) -> tuple[int, str] | None:
        """Status and sentence for a request that announces itself as larger than it may be."""
        limits, announced = self._messages, request.headers.get("content-length", "")
        if len(request.data.path) > limits.target_bytes:
            self.recorder.metrics.limit_exceeded(Limit.REQUEST_TARGET)
            return 414, f"The request target is longer than {limits.target_bytes} octets."
        if limits.body_bytes and announced.isdecimal() and int(announced) > limits.body_bytes:
            self.recorder.metrics.limit_exceeded(Limit.REQUEST_BODY)
            return 413, f"The body of the request is longer than {limits.body_bytes} octets."
        return None

    def _overflow(self, exchange: Exchange) -> None:
        """A body turned out to be longer than it may be: the site gets neither the rest nor an end of it."""
        if exchange.cut is None:
            why = f"The body of the request is longer than {self._messages.body_bytes} octets."
            exchange.cut = f"{LIMIT_WORD}:{Limit.REQUEST_BODY}: {why}"
            self.recorder.metrics.limit_exceeded(Limit.REQUEST_BODY)
            self.end_sites(exchange.client_id, why)

    # --- what the site answers --------------------------------------------------------------------------------

    @observes
    async def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Stream and count the answer; note the usage preferences it carries."""
        exchange = self.exchanges.get(flow.id)
        if exchange is None or flow.response is None:
            return  # our own denial: mitmproxy fires this hook for it as well
        head = flow.response.headers
        head.fields = hop_by_hop.to_crawler(head.fields, flow.response.status_code)
        if flow.response.status_code >= 200:
            if self._html_meta and page_signals.is_page(flow.response.headers.get("content-type")):
                exchange.response_meter.keep(page_signals.WIRE_BYTES_MAX)
            flow.response.stream = exchange.response_meter
            exchange.head_passed = True
        found = signals.response_signals(flow.response.headers.items(multi=True))
        self.recorder.signals(found, exchange.decision.exchange_id)

    @observes
    async def response(self, flow: http.HTTPFlow) -> None:
        """The answer is complete."""
        exchange = self.exchanges.get(flow.id)
        if exchange is None or flow.websocket is not None:
            return  # a WebSocket ends with websocket_end
        self._complete(flow.id, Outcome.COMPLETED, _answered(flow), None)
        if exchange.cut is not None:
            return  # not the whole answer, whatever mitmproxy took it for
        if exchange.target.is_robots_txt:
            await self._observe(flow, exchange)
        elif self._html_meta:
            self._read_page(flow, exchange)

    def _read_page(self, flow: http.HTTPFlow, exchange: Exchange) -> None:
        """Note the usage preferences that an HTML page states in its first octets."""
        if flow.response is not None and page_signals.is_page(flow.response.headers.get("content-type")):
            wire, coding = exchange.response_meter.kept, flow.response.headers.get("content-encoding")
            found = page_signals.signals_of(wire, coding, exchange.decision.product_token.split(", "))
            self.recorder.signals(found, exchange.decision.exchange_id)

    @observes
    async def error(self, flow: http.HTTPFlow) -> None:
        """The exchange ended without a complete answer."""
        message = flow.error.msg if flow.error else "unknown error"
        self._complete(flow.id, self._outcome_of(message, flow), _answered(flow), message)

    def _outcome_of(self, message: str, flow: http.HTTPFlow) -> Outcome:
        if REFUSED in message:
            return Outcome.NOT_SENT
        if self.recorder.draining:
            return Outcome.PROXY_SHUTDOWN
        if _client_left(message, flow):
            reached = flow.server_conn.timestamp_start is not None or flow.response is not None
            return Outcome.CLIENT_ABORT if reached else Outcome.NOT_SENT
        return Outcome.TIMEOUT if "timed out" in message or "timeout" in message.lower() else Outcome.UPSTREAM_ERROR

    def _complete(self, flow_id: str, outcome: Outcome, answered: Answered, error: str | None) -> None:
        completion = self.exchanges.finish(flow_id, now_us(), outcome, answered, error)
        if completion is not None:
            self.recorder.metrics.completed(completion)
            self.recorder.log.submit(completion)

    async def _observe(self, flow: http.HTTPFlow, exchange: Exchange) -> None:
        """The crawler's own fetch of /robots.txt is evidence, where the answer does not depend on who asked."""
        request, response = flow.request, flow.response
        personal = any(name in request.headers for name in _PERSONAL_FIELDS)
        if response is None or request.method != "GET" or exchange.target.target != "/robots.txt" or personal:
            return
        if response.status_code == 200 or response.status_code >= 400:
            await self._cache.observe(
                exchange.target.scope,
                status=response.status_code,
                headers=list(response.headers.items(multi=True)),
                body=exchange.response_meter.kept,
                final_url=exchange.target.url,
                fetch_ms=exchange.age_ms(),
                exchange_id=exchange.decision.exchange_id,
                crawler=exchange.decision.crawler,
            )

    # --- WebSocket --------------------------------------------------------------------------------------------

    @observes
    async def websocket_start(self, flow: http.HTTPFlow) -> None:
        """A WebSocket was opened by a request that was decided on like any other."""
        exchange = self.exchanges.get(flow.id)
        if exchange is not None:
            exchange.upgraded = True
            exchange.request_meter.bytes_max = 0  # from here on it counts messages, which are no body
        self.recorder.tunnel(
            "websocket",
            "opened",
            flow.client_conn,
            host=flow.request.host,
            port=flow.request.port,
            exchange=exchange.decision.exchange_id if exchange else None,
        )

    @observes
    async def websocket_message(self, flow: http.HTTPFlow) -> None:
        """Count what passes and keep nothing of it; mitmproxy would keep every message."""
        exchange = self.exchanges.get(flow.id)
        if flow.websocket is None:
            return
        for message in flow.websocket.messages:
            if exchange is not None:
                meter = exchange.request_meter if message.from_client else exchange.response_meter
                meter(message.content)
        flow.websocket.messages.clear()

    @observes
    async def websocket_end(self, flow: http.HTTPFlow) -> None:
        """The WebSocket is closed, or broken off."""
        outcome, error = Outcome.COMPLETED, None
        if flow.websocket is not None and flow.websocket.close_code == _ABNORMAL_CLOSURE:
            by_client = flow.websocket.closed_by_client
            outcome, error = Outcome.UPSTREAM_ERROR, "The WebSocket was broken off by the site."
            if by_client:
                outcome, error = Outcome.CLIENT_ABORT, "The WebSocket was broken off by the crawler."
            if self.recorder.draining:
                outcome = Outcome.PROXY_SHUTDOWN
        self._complete(flow.id, outcome, _answered(flow), error)

    # --- ends that mitmproxy does not report --------------------------------------------------------------------

    def client_gone(self, client_id: str) -> None:
        """End what is still open on a connection whose client has left."""
        for flow_id in self.exchanges.of_client(client_id):
            outcome = Outcome.PROXY_SHUTDOWN if self.recorder.draining else Outcome.CLIENT_ABORT
            self._complete(flow_id, outcome, Answered(), "The connection was closed before the exchange ended.")
        self.exchanges.forget(client_id)

    def overdue(self, flow_id: str) -> None:
        """End an exchange whose deadline has passed and of which mitmproxy says nothing."""
        self._complete(flow_id, Outcome.TIMEOUT, Answered(), "A deadline has passed.")

    def abandon_all(self) -> None:
        """End what a drain left open."""
        for flow_id in self.exchanges.flow_ids():
            self._complete(flow_id, Outcome.PROXY_SHUTDOWN, Answered(), "The sidecar stopped.")


def _target_of(flow: http.HTTPFlow) -> Target:
    request = flow.request
    if request.authority:
        # Absolute form inside a tunnel names a second authority (RFC 9112 3.2.2); outside, mitmproxy clears it.
        raise TargetError("The request line inside the tunnel names an authority of its own.")
    return parse_target(
        scheme=request.scheme,
        host=request.host,
        port=request.port,
        path=request.data.path,
        host_fields=[value for name, value in request.headers.fields if name.lower() == b"host"],
        sni=flow.client_conn.sni,
        method=request.method,
    )


def _asked(flow: http.HTTPFlow, identifier: str, crawler: Crawler, target: Target) -> Asked:
    user_agent = flow.request.headers.get("user-agent")
    return Asked(
        exchange_id=identifier,
        crawler=crawler,
        client=address_of(flow.client_conn),
        user_agent=None if user_agent is None else storable(user_agent, 1024),
        method=storable(flow.request.method, 64),
        target=target,
        trace_id=trace_context.trace_id(flow.request.headers.fields),
    )


def _client_left(message: str, flow: http.HTTPFlow) -> bool:
    """Whether the crawler broke off; in the middle of its request mitmproxy says what it says of a site cut short."""
    broke_off_request = flow.request.timestamp_end is None and not flow.client_conn.connected
    return "client disconnected" in message.lower() or broke_off_request


def _answered(flow: http.HTTPFlow) -> Answered:
    """What the site answered; mitmproxy's own 502 page is no answer of the site and is not in ``flow.response``."""
    response, peer = flow.response, flow.server_conn.peername
    server_ip = peer[0] if peer else None
    if response is None:
        return Answered(server_ip=server_ip)
    content_type = response.headers.get("content-type")
    return Answered(
        status=response.status_code,
        content_type=None if content_type is None else storable(content_type, 200),
        server_ip=server_ip,
        http_version=storable(response.http_version, 16),
        challenge=response.headers.get("cf-mitigated", "").lower() == "challenge",
    )
