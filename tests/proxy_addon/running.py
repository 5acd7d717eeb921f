"""A real proxy in this process, with sockets and without the sidecar around it, for what only sockets can show."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mitmproxy.options import Options

from proxy_addon import ca
from proxy_addon.links import Link
from proxy_addon.master import AuditMaster
from tests.proxy_addon.wire import narrowed

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Proxy:
    """The proxy and one site of the test's making."""

    def __init__(self, master: AuditMaster, port: int, site: int) -> None:
        self.master = master
        self.port = port
        self.site = site
        self.clients: list[asyncio.StreamWriter] = []

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A client connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.clients.append(writer)
        return reader, writer

    async def ask(self, fields: str = "", method: str = "GET") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A client connection on which a request for the site was sent."""
        reader, writer = await self.connect()
        authority = f"127.0.0.1:{self.site}"
        writer.write(f"{method} http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n{fields}\r\n".encode())
        return reader, writer

    async def link(self, when: Callable[[Link], bool] = lambda _: True) -> Link:
        """The one client connection, as soon as it is as wanted."""
        for _ in range(1000):
            for link in self.master.links().values():
                if when(link):
                    return link
            await asyncio.sleep(0.01)
        raise AssertionError("the connection never came to be as wanted")

    async def alone(self) -> None:
        """Until no client connection is left."""
        for _ in range(1000):
            if not self.master.proxyserver.connections:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("a client connection was left open")


@asynccontextmanager
async def proxy(directory: Path, serve: Serve, *addons: object) -> AsyncIterator[Proxy]:
    """A proxy before a site that ``serve`` plays."""
    ca.ensure(directory / "ca", datetime.datetime.now(datetime.UTC))
    tasks: set[asyncio.Task[Any]] = set()

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # the proxy left, or the test is over
        finally:
            writer.close()

    site = await asyncio.start_server(served, "127.0.0.1", 0)
    with narrowed(lambda client, detail: None, lambda client, address: None):
        master = AuditMaster(Options())
        master.configure(addons, confdir=str(directory / "ca"), listen_host="127.0.0.1", listen_port=0)
        running = asyncio.create_task(master.run())
        try:
            _, port = await master.listening()
            made = Proxy(master, port, site.sockets[0].getsockname()[1])
            try:
                yield made
            finally:
                for client in made.clients:
                    client.transport.abort()
        finally:
            await master.stop_listening()
            await master.close_connections(2)
            master.shutdown()
            await running
            site.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0)


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test with an end of its own."""

    async def bounded() -> None:
        await asyncio.wait_for(test, 20)

    asyncio.run(bounded())
