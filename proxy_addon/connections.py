"""Hooks on connections: CONNECT, TLS with the crawler, bytes that are not HTTP, clients that come and go.

A CONNECT opens no connection to the site (``connection_strategy=lazy``); what comes through the tunnel is decided on
request by request.  Each tunnel, refused protocol and failed handshake is a record all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mitmproxy import http, tcp, tls, udp
from mitmproxy.connection import Client
from mitmproxy.proxy import server_hooks

from crawl_audit.errors import LogUnavailable
from crawl_audit.target import TargetError, normal_host
from proxy_addon import denial, layers, upstream_faults
from proxy_addon.boundary import decides, observes
from proxy_addon.denial import Answer
from proxy_addon.exchanges import ExchangeTable
from proxy_addon.limits import Admission, Limit
from proxy_addon.recorder import Recorder

# How long mitmproxy may take, after a client is gone, to say how its exchanges ended.
_ABORT_GRACE_S = 1.0


class ConnectionAddon:
    """Records connections; lets no protocol through but HTTP and TLS with HTTP in it."""

    def __init__(
        self,
        recorder: Recorder,
        on_client_gone: Callable[[str], None],
        exchanges: ExchangeTable | None = None,
        *,
        admission: Admission | None = None,
    ) -> None:
        self.recorder = recorder
        self._on_client_gone = on_client_gone
        self._exchanges = ExchangeTable() if exchanges is None else exchanges
        admission = Admission() if admission is None else admission
        self.capacity, self.limiter = admission.capacity, admission.limiter
        self.keep_sites: Callable[[str, int], None] = lambda _client_id, _kept: None
        """Closes connections to sites that a client does not use, but for so many; master.py's."""
        layers.install(self._malformed, self._refuse_octets, self._page, self._half_head, admission.messages)

    @decides
    async def http_connect(self, flow: http.HTTPFlow, identifier: str) -> Answer | None:
        """Who opens a tunnel, and to where."""
        recorder, client, port = self.recorder, flow.client_conn, flow.request.port
        if not recorder.accepting:
            raise LogUnavailable("The sidecar is starting or stopping; try again.", reason="draining")
        if not self.capacity.serves(client.id):
            recorder.too_many()
            return denial.too_many_connections(identifier)
        crawler = recorder.identify(client, flow.request.headers.get("proxy-authorization"))
        answer, why, host = None, None, flow.request.host
        try:
            host = normal_host(host)
        except TargetError as error:
            why, answer = str(error), denial.bad_request(400, str(error), identifier)
        if crawler is None:
            why = recorder.why_unknown(flow.request.headers.get("proxy-authorization"))
            answer = denial.unknown_crawler(identifier)
        elif (exceeded := self.limiter.tunnel(crawler.id)) is not None:
            recorder.limited(crawler, exceeded)
            return denial.crawler_limit(exceeded.limit, exceeded.retry_after_s, identifier)
        if crawler is not None and answer is None:
            recorder.tunnel_opened(client, crawler)
        outcome = "opened" if answer is None else "refused"
        recorder.tunnel("connect", outcome, client, host=host, port=port, detail=why, exchange=identifier)
        return answer

    @observes
    async def tls_failed_client(self, data: tls.TlsData) -> None:
        """The crawler broke off the TLS handshake, most often because it does not trust our CA."""
        server = data.context.server.address or (None, None)
        self.recorder.tunnel(
            "tls",
            "failed",
            data.context.client,
            host=data.conn.sni or server[0],
            port=server[1],
            detail=f"The TLS handshake with the crawler failed: {data.conn.error or 'no reason given'}",
        )

    @observes
    async def tcp_start(self, flow: tcp.TCPFlow) -> None:
        """Bytes that are neither TLS nor HTTP never pass (``rawtcp=false`` is the first line, this the second)."""
        self._refuse_protocol("tcp", flow)

    @observes
    async def udp_start(self, flow: udp.UDPFlow) -> None:
        """As for TCP."""
        self._refuse_protocol("udp", flow)

    def _malformed(self, client: Client, detail: str) -> None:
        self.recorder.incident("malformed_request", detail, client)
        self.recorder.answered("malformed_request")
        if detail.startswith(("The request head", "More than")):
            self.recorder.metrics.limit_exceeded(Limit.REQUEST_HEAD)

    def _page(self, client: Client, status: int, message: str) -> Answer:
        """What the crawler is told of its failed exchange, with the id under which the log has it."""
        exchange = self._exchanges.latest(client.id) if status >= 500 else None
        identifier, cut = (None, None) if exchange is None else (exchange.decision.exchange_id, exchange.cut)
        if message.startswith("The site's answer"):
            self.recorder.metrics.limit_exceeded(Limit.ANSWER_HEAD)
        answer = upstream_faults.page(status, message, exchange_id=identifier, cut=cut)
        if status >= 500:
            self.recorder.answered(answer.reason)
        return answer

    def _half_head(self, client: Client) -> None:
        exchange = self._exchanges.latest(client.id)
        if exchange is not None:
            exchange.head_begun = True

    def client_timeout(self, client: Client, why: str) -> None:
        """A client took too long over a request that no decision was made on."""
        self.recorder.incident("client_timeout", why, client)

    def _refuse_octets(self, client: Client, address: tuple[str, int]) -> None:
        host, port = address
        self.recorder.tunnel("tcp", "refused", client, host=host, port=port, detail="Only HTTP passes the sidecar.")

    def _refuse_protocol(self, protocol: str, flow: tcp.TCPFlow | udp.UDPFlow) -> None:
        flow.kill()
        self.recorder.tunnel(protocol, "refused", flow.client_conn, detail="Only HTTP passes the sidecar.")

    @observes
    async def client_connected(self, client: Client) -> None:
        """mitmproxy's Block addon, which comes first, refuses clients from public addresses."""
        if not client.error and not self.capacity.admit(client.id):
            client.error = "too many connections"
            self.recorder.too_many()
        elif client.error:
            self.recorder.incident("client_refused", f"The connection was refused: {client.error}", client)

    @observes
    async def client_disconnected(self, client: Client) -> None:
        """What is still open on this connection ends soon, should mitmproxy not say how."""
        self.recorder.disconnected(client)
        self.capacity.gone(client.id)
        asyncio.get_running_loop().call_later(_ABORT_GRACE_S, self._on_client_gone, client.id)

    @observes
    async def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Nothing connects before the sidecar is armed: no hook of ours has decided on it."""
        if not self.recorder.armed:
            data.server.error = "crawl-audit: the sidecar is not armed"
            return
        # HTTP/1 has one exchange at a time on a connection, so those to other sites are idle.
        self.keep_sites(data.client.id, self.capacity.sites_per_client - 1)

    @observes
    async def server_connected(self, data: server_hooks.ServerConnectionHookData) -> None:
        """One more connection to a site."""
        self.capacity.sites.add(data.server.id)

    @observes
    async def server_disconnected(self, data: server_hooks.ServerConnectionHookData) -> None:
        """One less."""
        self.capacity.sites.discard(data.server.id)
