"""Tunnels, handshakes and bytes that are not HTTP: each a record, and none a way around the decision."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
from collections.abc import Callable, Coroutine, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import http
from mitmproxy.proxy import server_hooks
from mitmproxy.proxy.layers.http import HttpConnectHook
from mitmproxy.proxy.layers.tcp import TcpStartHook
from mitmproxy.proxy.layers.tls import TlsFailedClientHook
from mitmproxy.proxy.layers.udp import UdpStartHook
from mitmproxy.proxy.server_hooks import ClientConnectedHook, ClientDisconnectedHook, ServerConnectHook
from mitmproxy.test import tflow

from crawl_audit.identity import Crawler
from proxy_addon import connections, layers
from proxy_addon.connections import ConnectionAddon
from proxy_addon.limits import Admission, Capacity, CrawlerLimiter, CrawlerLimits
from tests.proxy_addon.fakes import OPEN, TOKEN, Parts, client, flow, production
from tests.proxy_addon.test_exchanges import exchange
from tests.proxy_addon.wire import Wire, narrowed, options
from tests.strategies import raw_hosts

SECRET = Crawler(id="closed", product_tokens=("ExampleBot",), secret_sha256=hashlib.sha256(TOKEN.encode()).hexdigest())


def scenario(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test written as a coroutine."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


@pytest.fixture(autouse=True)
def _layers_put_back() -> Iterator[None]:
    """The addon narrows mitmproxy's layers for the whole process."""
    with narrowed(lambda connected, detail: None, lambda connected, address: None):
        yield


class Connected(Parts):
    """The addon on connections with its fakes."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(**changes)
        self.gone: list[str] = []
        self.connections = ConnectionAddon(self.recorder, self.gone.append)


async def fire(parts: Connected, hook: Any) -> None:
    async with production(parts.connections) as trigger:
        await trigger(hook)


def connect(host: str = "example.com", port: int = 443, **fields: str) -> http.HTTPFlow:
    made = flow("", method="CONNECT", fields={name.replace("_", "-"): value for name, value in fields.items()})
    made.request.data.host, made.request.data.port = host, port
    return made


# --- CONNECT --------------------------------------------------------------------------------------------------------


@scenario
async def test_a_tunnel_is_opened_for_a_known_crawler_and_recorded() -> None:
    parts, made = Connected(crawlers=(SECRET,)), connect("Example.COM.", Proxy_Authorization=f"Bearer {TOKEN}")
    await fire(parts, HttpConnectHook(made))
    assert made.response is None
    (tunnel,) = parts.log.tunnels
    assert (tunnel.protocol, tunnel.outcome, tunnel.host, tunnel.port) == ("connect", "opened", "example.com", 443)
    assert (tunnel.crawler, tunnel.client, tunnel.detail) == ("closed", "127.0.0.1:22", None)
    assert parts.recorder.identify(made.client_conn, None) is SECRET
    assert TOKEN not in str(parts.log.records)


@pytest.mark.parametrize("value", [None, "Bearer wrong", "Basic é"])
@scenario
async def test_a_tunnel_is_refused_to_whom_nobody_knows(value: str | None) -> None:
    made = connect() if value is None else connect(Proxy_Authorization=value)
    parts = Connected(crawlers=(SECRET,))
    await fire(parts, HttpConnectHook(made))
    assert made.response is not None
    assert made.response.status_code == 407
    assert made.response.headers["Proxy-Authenticate"].startswith("Basic")
    (tunnel,) = parts.log.tunnels
    assert (tunnel.outcome, tunnel.crawler) == ("refused", None)
    assert json.loads(made.response.content or b"")["exchange_id"] == tunnel.exchange_id
    assert parts.recorder.identify(made.client_conn, None) is None


@pytest.mark.parametrize("host", ["a..b", "exa mple", "[::1", "", "a" * 64 + ".example", "\ud800"])
@scenario
async def test_a_tunnel_to_what_is_no_host_is_refused(host: str) -> None:
    parts, made = Connected(), connect(host)
    await fire(parts, HttpConnectHook(made))
    assert made.response is not None
    assert made.response.status_code == 400
    assert made.response.headers["Proxy-Status"] == "crawl-audit; error=http_request_error"
    assert [tunnel.outcome for tunnel in parts.log.tunnels] == ["refused"]
    assert parts.recorder._by_tunnel == {}


@given(raw_hosts, st.integers(0, 70_000))
def test_any_connect_is_recorded_and_answered_or_opened(host: str, port: int) -> None:
    parts, made = Connected(), connect(host, port)
    asyncio.run(parts.connections.http_connect(made))
    assert parts.log.incidents == []
    (tunnel,) = parts.log.tunnels
    assert (tunnel.outcome == "opened") == (made.response is None)


@pytest.mark.parametrize("armed,draining", [(False, False), (True, True)])
@scenario
async def test_before_the_start_and_during_the_stop_no_tunnel_is_opened(armed: bool, draining: bool) -> None:
    parts, made = Connected(), connect()
    parts.recorder.armed, parts.recorder.draining = armed, draining
    await fire(parts, HttpConnectHook(made))
    assert made.response is not None
    assert made.response.status_code == 503
    assert parts.log.tunnels == []


@pytest.mark.parametrize("broken", ["submit", "identify", "tunnel_opened"])
@scenario
async def test_whatever_collaborator_fails_no_tunnel_is_opened(
    broken: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, made = Connected(), connect()

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("x")

    monkeypatch.setattr(parts.log if broken == "submit" else parts.recorder, broken, fail)
    await fire(parts, HttpConnectHook(made))
    assert made.response is not None
    assert made.response.status_code == 503
    assert made.metadata[layers.DENIED] is True
    assert "Addon error" not in caplog.text


# --- TLS and other protocols ----------------------------------------------------------------------------------------


def handshake(**changes: Any) -> Any:
    connected = client(error="The client does not trust the proxy's certificate", **changes)
    server = SimpleNamespace(address=("example.com", 443))
    return SimpleNamespace(conn=connected, context=SimpleNamespace(client=connected, server=server))


@pytest.mark.parametrize(
    "sni,host", [("www.example.com", "www.example.com"), (None, "example.com"), ("\x00\ud800", "\\x00\\ud800")]
)
@scenario
async def test_a_handshake_the_crawler_broke_off_is_recorded(sni: str | None, host: str) -> None:
    parts = Connected()
    await fire(parts, TlsFailedClientHook(handshake(sni=sni)))
    (tunnel,) = parts.log.tunnels
    assert (tunnel.protocol, tunnel.outcome, tunnel.host, tunnel.port) == ("tls", "failed", host, 443)
    assert "does not trust" in (tunnel.detail or "")


@scenario
async def test_a_handshake_without_a_known_destination_is_recorded_too() -> None:
    parts, data = Connected(), handshake()
    data.context.server.address = None
    await fire(parts, TlsFailedClientHook(data))
    assert (parts.log.tunnels[0].host, parts.log.tunnels[0].port) == (None, None)


@pytest.mark.parametrize("submit_error", [None, RuntimeError("the writer is dead")])
@scenario
async def test_bytes_that_are_not_http_are_killed_and_recorded(submit_error: Exception | None) -> None:
    parts = Connected()
    parts.log.submit_error = submit_error
    tcp, udp = tflow.ttcpflow(), tflow.tudpflow()
    await fire(parts, TcpStartHook(tcp))
    await fire(parts, UdpStartHook(udp))
    for killed in (tcp, udp):
        assert killed.error is not None
        assert killed.error.msg == killed.error.KILLED_MESSAGE
    if submit_error is None:
        assert [(tunnel.protocol, tunnel.outcome) for tunnel in parts.log.tunnels] == [
            ("tcp", "refused"),
            ("udp", "refused"),
        ]


# --- coming and going -----------------------------------------------------------------------------------------------


@scenario
async def test_a_client_that_was_refused_is_an_incident_and_any_other_is_none() -> None:
    parts = Connected()
    await fire(parts, ClientConnectedHook(client()))
    assert parts.log.records == []
    await fire(parts, ClientConnectedHook(client(error="Connection from a public address")))
    assert [incident.incident for incident in parts.log.incidents] == ["client_refused"]


@scenario
async def test_a_client_that_leaves_is_forgotten_and_its_exchanges_are_ended_a_little_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "_ABORT_GRACE_S", 0.01)
    parts, connected = Connected(), client()
    parts.recorder.tunnel_opened(connected, OPEN)
    await fire(parts, ClientDisconnectedHook(connected))
    assert parts.recorder._by_tunnel == {}
    assert parts.gone == [], "mitmproxy gets the chance to say how they ended"
    await asyncio.sleep(0.05)
    assert parts.gone == [connected.id]


@pytest.mark.parametrize("armed", [True, False])
@scenario
async def test_before_the_start_nothing_connects_to_a_site(armed: bool) -> None:
    parts = Connected()
    parts.recorder.armed = armed
    data = server_hooks.ServerConnectionHookData(server=tflow.tserver_conn(), client=client())
    await fire(parts, ServerConnectHook(data))
    assert (data.server.error is None) is armed


def test_a_request_no_hook_sees_becomes_an_incident() -> None:
    with options() as opts:
        parts = Connected()
        wire = Wire(opts, lambda command: None)
        wire.receive(b"nonsense\r\n\r\n")
    assert wire.to_client.startswith(b"HTTP/1.1 400 ")
    (incident,) = parts.log.incidents
    assert incident.incident == "malformed_request"
    assert incident.client == "192.0.2.1:4711"


# --- failures that the crawler is told of -----------------------------------------------------------------------------


def failed(parts: Connected, client_id: str, message: str, status: int = 502) -> dict[str, Any]:
    made = client()
    made.id = client_id
    page: dict[str, Any] = json.loads(parts.connections._page(made, status, message).body)
    return page


def test_a_failed_exchange_is_told_with_its_id_and_a_malformed_request_without() -> None:
    parts, opened = Connected(), exchange("c")
    parts.connections._exchanges.open("f", opened)
    assert failed(parts, "c", "server closed connection")["exchange_id"] == opened.decision.exchange_id
    assert failed(parts, "c", "Bad HTTP request line", 400)["exchange_id"] is None
    assert failed(parts, "other", "server closed connection")["exchange_id"] is None
    opened.cut = "timeout:connect: No connection."
    assert failed(parts, "c", "connection closed")["status"] == 504


def test_half_a_head_is_noted_on_the_exchange_it_answers() -> None:
    parts, opened, made = Connected(), exchange("c"), client()
    made.id = "c"
    parts.connections._half_head(made)
    parts.connections._exchanges.open("f", opened)
    parts.connections._half_head(made)
    assert opened.head_begun


def test_a_request_that_took_too_long_is_an_incident() -> None:
    parts = Connected()
    parts.connections.client_timeout(client(), "The crawler did not finish its request within 15 s.")
    assert [incident.incident for incident in parts.log.incidents] == ["client_timeout"]


@pytest.mark.parametrize(
    ("limit", "detail"),
    [("request_head", "The request head is longer than 5 octets."), ("answer_head", "The site's answer is longer.")],
)
def test_a_head_that_was_too_large_is_counted(limit: str, detail: str) -> None:
    parts = Connected()
    if limit == "request_head":
        parts.connections._malformed(client(), detail)
    else:
        failed(parts, "c", detail)
    assert parts.metric("crawl_audit_limit_exceeded_total", limit=limit) == 1


# --- limits ---------------------------------------------------------------------------------------------------------


@scenario
async def test_a_tunnel_above_the_crawlers_rate_is_answered_429_and_counted() -> None:
    parts = Connected()
    limits = CrawlerLimits(requests_per_s=0.001)
    parts.connections = ConnectionAddon(
        parts.recorder, parts.gone.append, admission=Admission(limiter=CrawlerLimiter({"news": limits}))
    )
    answers = []
    for _ in range(12):
        made = connect()
        await fire(parts, HttpConnectHook(made))
        answers.append(None if made.response is None else made.response.status_code)
    assert answers == [None] * 10 + [429] * 2
    assert len(parts.log.tunnels) == 10
    assert parts.log.refusals == ["crawler_limit of news"] * 2


@scenario
async def test_connections_above_the_limit_are_told_so_and_those_far_above_are_closed() -> None:
    parts = Connected()
    capacity = Capacity(16)
    parts.connections = ConnectionAddon(parts.recorder, parts.gone.append, admission=Admission(capacity=capacity))
    clients = [client(id=str(number)) for number in range(19)]
    for connected in clients:
        await fire(parts, ClientConnectedHook(connected))
    assert [bool(connected.error) for connected in clients] == [False] * 18 + [True]
    statuses = []
    for connected in clients[:18]:
        made = connect()
        made.client_conn = connected
        await fire(parts, HttpConnectHook(made))
        statuses.append(None if made.response is None else made.response.status_code)
    assert statuses == [None] * 16 + [503] * 2
    assert parts.log.refusals == ["too_many_connections"] * 3
    assert parts.log.incidents == []
    await fire(parts, ClientDisconnectedHook(clients[0]))
    assert len(capacity) == 17


@scenario
async def test_a_new_connection_to_a_site_lets_a_client_keep_few_others() -> None:
    parts, kept = Connected(), []
    parts.connections.keep_sites = lambda client_id, number: kept.append((client_id, number))
    data = server_hooks.ServerConnectionHookData(server=tflow.tserver_conn(), client=client(id="c"))
    await fire(parts, ServerConnectHook(data))
    assert kept == [("c", 3)]
    await fire(parts, server_hooks.ServerConnectedHook(data))
    assert parts.connections.capacity.sites == {data.server.id}
    await fire(parts, server_hooks.ServerDisconnectedHook(data))
    assert parts.connections.capacity.sites == set()
