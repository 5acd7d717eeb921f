"""mitmproxy as it comes: its own layers and a proxy with no addons but those it needs, and one of the test's.

What is narrowed in proxy_addon/ is taken back for as long as a block lasts, so that a test shows what mitmproxy does
by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from mitmproxy.addons import core, next_layer, proxyserver, tlsconfig
from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.proxy import mode_servers
from mitmproxy.proxy.layers import http
from mitmproxy.proxy.layers.http import _http1

from proxy_addon import handlers, layers


@contextmanager
def stock_layers() -> Iterator[None]:
    """mitmproxy's own classes where ours were put, and back."""
    places: list[tuple[Any, str, Any]] = [
        (http, "Http1Server", _http1.Http1Server),
        (http, "Http1Client", _http1.Http1Client),
        (http, "HttpStream", layers._DiscardingHttpStream.__mro__[1]),
        (_http1, "ChunkedReader", layers._ChunkedReaderWithoutTrailers.__mro__[1]),
        (mode_servers, "ProxyConnectionHandler", handlers._Handler),
    ]
    before = [getattr(place, name) for place, name, _ in places]
    for place, name, original in places:
        setattr(place, name, original)
    try:
        yield
    finally:
        for (place, name, _), was in zip(places, before, strict=True):
            setattr(place, name, was)


class Site:
    """A site that answers every request and keeps the octets that came."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self.octets = b""
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    @property
    def authority(self) -> bytes:
        return b"127.0.0.1:%d" % self.port

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while chunk := await reader.read(65_536):
                self.octets += chunk
                if b"\r\n\r\n" in chunk:
                    writer.write(self.answer)
        except (OSError, asyncio.CancelledError):
            pass  # the proxy left, or the test is over
        finally:
            writer.close()


class StockProxy:
    """mitmproxy on a port of its own, before one site."""

    def __init__(self, port: int, site: Site) -> None:
        self.port = port
        self.site = site

    def request(self, path: bytes = b"/a", *fields: bytes, method: bytes = b"GET") -> bytes:
        """A request for the site in absolute form."""
        authority = self.site.authority
        lines = (method + b" http://" + authority + path + b" HTTP/1.1", b"Host: " + authority, *fields)
        return b"\r\n".join(lines) + b"\r\n\r\n"

    async def ask(self, octets: bytes, idle_s: float = 0.4) -> bytes:
        """What comes back until the proxy closes or says nothing for so long."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(octets)
        received = b""
        try:
            while chunk := await asyncio.wait_for(reader.read(65_536), idle_s):
                received += chunk
                if received.endswith(b"ok"):
                    break
        except TimeoutError:
            pass  # it says nothing more
        finally:
            writer.close()
        return received


@asynccontextmanager
async def stock_proxy(confdir: Path, *addons: object, **options: Any) -> AsyncIterator[StockProxy]:
    """A running mitmproxy with its default options but for ``options``."""
    site = Site()
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    with stock_layers():
        master = Master(Options())
        master._legacy_log_events.uninstall()
        listening = proxyserver.Proxyserver()
        master.addons.add(core.Core(), listening, next_layer.NextLayer(), tlsconfig.TlsConfig(), *addons)
        master.options.update(confdir=str(confdir), listen_host="127.0.0.1", listen_port=0, **options)
        running = asyncio.create_task(master.run())
        try:
            while not listening.listen_addrs():
                await asyncio.sleep(0.01)
            yield StockProxy(listening.listen_addrs()[0][1], site)
        finally:
            await listening.servers.update([])
            for handler in list(listening.connections.values()):
                io = handler.transports.get(handler.client)
                if io is not None and io.handler is not None:
                    io.handler.cancel()
            for _ in range(200):
                if not listening.connections:
                    break
                await asyncio.sleep(0.01)
            master.shutdown()
            await running
            server.close()
            await asyncio.sleep(0)
