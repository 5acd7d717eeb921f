"""When mitmproxy calls which hook, and what a failing one means: the ground on which the decision stands.

Each name says what holds today.  Where one fails after a change of release, the docstring says what depends on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import http

from proxy_addon import ca
from tests.contract.stock import StockProxy, stock_proxy


@pytest.fixture(scope="module")
def confdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, so that mitmproxy makes none."""
    directory = tmp_path_factory.mktemp("contract") / "ca"
    ca.ensure(directory, datetime.datetime.now(datetime.UTC))
    return directory


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test with an end of its own."""

    async def bounded() -> None:
        await asyncio.wait_for(test, 20)

    asyncio.run(bounded())


HOOKS = (
    "client_connected",
    "http_connect",
    "http_connected",
    "http_connect_error",
    "tls_clienthello",
    "tls_start_client",
    "tls_established_client",
    "tls_failed_client",
    "requestheaders",
    "request",
    "server_connect",
    "server_connected",
    "server_connect_error",
    "tls_start_server",
    "tls_established_server",
    "responseheaders",
    "response",
    "error",
    "tcp_start",
    "tcp_message",
    "server_disconnected",
    "client_disconnected",
)


class Watching:
    """Notes every hook, and does in one of them what the test wants."""

    def __init__(self, **acts: Callable[[Any], object]) -> None:
        self.seen: list[str] = []
        self.acts: dict[str, Callable[[Any], object]] = acts
        for name in HOOKS:
            setattr(self, name, self._hook(name))

    def _hook(self, name: str) -> Callable[[Any], Coroutine[Any, Any, None]]:
        async def hook(subject: Any) -> None:
            self.seen.append(name)
            if name in self.acts:
                self.acts[name](subject)

        return hook

    def until(self, last: str) -> list[str]:
        """The hooks up to the first ``last``."""
        return self.seen[: self.seen.index(last) + 1]


def fail(_: Any) -> None:
    raise RuntimeError("a fault in a hook")


def deny(flow: http.HTTPFlow) -> None:
    flow.response = http.Response.make(403, b"no")


async def connect(proxy: StockProxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    """A tunnel to the site, and what was said of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    authority = proxy.site.authority
    writer.write(b"CONNECT " + authority + b" HTTP/1.1\r\nHost: " + authority + b"\r\n\r\n")
    return reader, writer, await reader.readuntil(b"\r\n\r\n")


def test_an_exception_in_any_hook_is_logged_and_lets_the_request_leave(
    confdir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Fail-open is why every hook of ours goes through proxy_addon/boundary.py; should it end, that may be simpler."""
    hooks = ("client_connected", "requestheaders", "request", "server_connect", "responseheaders", "response")

    async def test() -> None:
        watching = Watching()
        async with stock_proxy(confdir, watching) as proxy:
            for number, name in enumerate(hooks):
                watching.acts = {name: fail}
                answer = await proxy.ask(proxy.request(b"/%d" % number, b"Connection: close"))
                assert answer.endswith(b"ok"), name
                assert b"GET /%d HTTP/1.1" % number in proxy.site.octets
        assert set(hooks) <= set(watching.seen)

    run(test())
    assert sum("Addon error" in record.message for record in caplog.records) >= len(hooks)


def test_a_hook_that_is_cancelled_is_never_over_and_the_request_stays(confdir: Path) -> None:
    """What a cancelled decision means: nothing leaves, and the client waits (boundary.py lets cancellation pass)."""

    def cancel(_: Any) -> None:
        raise asyncio.CancelledError

    async def test() -> None:
        watching = Watching(requestheaders=cancel)
        async with stock_proxy(confdir, watching) as proxy:
            assert await proxy.ask(proxy.request(), idle_s=0.3) == b""
            assert proxy.site.connections == 0
        assert "error" not in watching.until("requestheaders")

    run(test())


def test_a_plain_request_is_decided_on_before_anything_is_opened(confdir: Path) -> None:
    """With the lazy strategy; the decision stands in requestheaders because of this order."""

    async def test() -> None:
        watching = Watching()
        async with stock_proxy(confdir, watching, connection_strategy="lazy") as proxy:
            assert (await proxy.ask(proxy.request())).endswith(b"ok")
        assert watching.until("response") == [
            "client_connected",
            "requestheaders",
            "request",
            "server_connect",
            "server_connected",
            "responseheaders",
            "response",
        ]

    run(test())


def test_a_streamed_request_leaves_before_the_request_hook(confdir: Path) -> None:
    """Why nothing is decided in `request`: what we let pass is streamed."""

    def stream(flow: http.HTTPFlow) -> None:
        flow.request.stream = True

    async def test() -> None:
        watching = Watching(requestheaders=stream)
        async with stock_proxy(confdir, watching, connection_strategy="lazy") as proxy:
            octets = proxy.request(b"/a", b"Content-Length: 2", method=b"POST") + b"ab"
            assert (await proxy.ask(octets)).endswith(b"ok")
        seen = watching.until("response")
        assert seen.index("server_connected") < seen.index("request") < len(seen)

    run(test())


def test_a_response_set_in_requestheaders_keeps_the_site_from_being_contacted(confdir: Path) -> None:
    """A denial is nothing else; all four hooks fire for it, so ours know their own answers."""

    async def test() -> None:
        watching = Watching(requestheaders=deny)
        async with stock_proxy(confdir, watching, connection_strategy="lazy") as proxy:
            assert (await proxy.ask(proxy.request())).startswith(b"HTTP/1.1 403 ")
            assert proxy.site.connections == 0
        assert watching.until("response")[1:] == ["requestheaders", "request", "responseheaders", "response"]

    run(test())


def test_the_eager_strategy_contacts_the_site_before_any_decision(confdir: Path) -> None:
    """mitmproxy's default, and why `connection_strategy` is pinned to lazy."""

    async def test() -> None:
        for strategy, contacts in (("eager", 1), ("lazy", 0)):
            watching = Watching()
            async with stock_proxy(confdir, watching, connection_strategy=strategy) as proxy:
                _, writer, said = await connect(proxy)
                assert said.startswith(b"HTTP/1.1 200 ")
                assert proxy.site.connections == contacts
                writer.close()
            assert ("server_connect" in watching.until("http_connected")) == bool(contacts)

    run(test())


def test_a_tunnel_with_tls_is_decided_on_after_the_clients_handshake(confdir: Path) -> None:
    """The name of the handshake (SNI) is known by then, which the decision compares with the tunnel and Host."""

    async def test() -> None:
        names: list[str | None] = []

        def note(flow: http.HTTPFlow) -> None:
            names.append(flow.client_conn.sni)
            deny(flow)

        watching = Watching(requestheaders=note)
        context = ssl.create_default_context(cafile=str(confdir / "ca.pem"))
        async with stock_proxy(confdir, watching, connection_strategy="lazy") as proxy:
            reader, writer, _ = await connect(proxy)
            await writer.start_tls(context, server_hostname="shop.example")
            writer.write(b"GET /a HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 403 ")
            assert proxy.site.connections == 0
        assert names == ["shop.example"]
        order = ["http_connect", "http_connected", "tls_clienthello", "tls_start_client", "tls_established_client"]
        assert watching.until("requestheaders")[1:] == [*order, "requestheaders"]

    run(test())


def test_a_connect_that_is_refused_opens_no_tunnel_and_ends_in_a_hook_of_its_own(confdir: Path) -> None:
    """What boundary.py makes of an unknown crawler's CONNECT; neither requestheaders nor error follows."""

    async def test() -> None:
        watching = Watching(http_connect=deny)
        async with stock_proxy(confdir, watching) as proxy:
            _, writer, said = await connect(proxy)
            writer.close()
            assert said.startswith(b"HTTP/1.1 403 ")
            assert proxy.site.connections == 0
        assert watching.until("http_connect_error")[1:] == ["http_connect", "http_connect_error"]
        assert not {"requestheaders", "error"} & set(watching.seen)

    run(test())


def test_octets_that_are_no_http_pass_a_tunnel_without_a_hook_on_exchanges_where_rawtcp_is_on(confdir: Path) -> None:
    """mitmproxy's default, why `rawtcp` is pinned off; tcp_start, which we answer with a kill, is a second line."""

    async def test() -> None:
        for rawtcp in (True, False):
            watching = Watching()
            async with stock_proxy(confdir, watching, rawtcp=rawtcp, connection_strategy="lazy") as proxy:
                reader, writer, _ = await connect(proxy)
                writer.write(b"\x00\x01SSH-2.0-something\r\n")
                with contextlib.suppress(TimeoutError):  # it answers, hangs or hangs up: only the site matters
                    await asyncio.wait_for(reader.read(), 0.3)
                writer.close()
                assert (b"SSH-2.0" in proxy.site.octets) == rawtcp
            assert ("tcp_start" in watching.seen) == rawtcp
            assert "requestheaders" not in watching.seen

    run(test())


def test_a_server_connect_hook_that_sets_an_error_keeps_the_connection_from_being_made(confdir: Path) -> None:
    """The second line behind `armed`: nothing connects before the sidecar has started."""

    def refuse(data: Any) -> None:
        data.server.error = "not now"

    async def test() -> None:
        watching = Watching(server_connect=refuse)
        async with stock_proxy(confdir, watching) as proxy:
            assert (await proxy.ask(proxy.request())).startswith(b"HTTP/1.1 502 ")
            assert proxy.site.connections == 0
        assert watching.until("error")[-2:] == ["server_connect_error", "error"]

    run(test())


def test_a_client_error_set_when_it_connects_closes_the_connection_and_tells_that_it_is_gone(confdir: Path) -> None:
    """How a connection that is one too many is closed, and how it is uncounted."""

    def refuse(client: Any) -> None:
        client.error = "too many"

    async def test() -> None:
        watching = Watching(client_connected=refuse)
        async with stock_proxy(confdir, watching) as proxy:
            assert await proxy.ask(proxy.request()) == b""
        assert watching.seen == ["client_connected", "client_disconnected"]

    run(test())


def test_fields_between_client_and_proxy_are_sent_on_to_the_site(confdir: Path) -> None:
    """Why proxy_addon/hop_by_hop.py strips them: the site would get the crawler's token."""

    async def test() -> None:
        async with stock_proxy(confdir) as proxy:
            fields = (b"Proxy-Authorization: Basic eDp5", b"Connection: X-Hop", b"X-Hop: 1", b"TE: trailers")
            await proxy.ask(proxy.request(b"/a", *fields))
            assert all(field in proxy.site.octets for field in fields)

    run(test())


def test_a_host_field_of_another_site_is_sent_on(confdir: Path) -> None:
    """Why request line, tunnel, Host and SNI are compared in crawl_audit/target.py: mitmproxy does not."""

    async def test() -> None:
        hosts: list[tuple[str, str]] = []
        watching = Watching(requestheaders=lambda flow: hosts.append((flow.request.host, flow.request.pretty_host)))
        async with stock_proxy(confdir, watching) as proxy:
            octets = proxy.request().replace(b"Host: " + proxy.site.authority, b"Host: other.example")
            assert (await proxy.ask(octets)).endswith(b"ok")
            assert b"Host: other.example" in proxy.site.octets
        assert hosts == [("127.0.0.1", "other.example")]

    run(test())
