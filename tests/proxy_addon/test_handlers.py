"""A client is read no faster than its exchange moves on, and a cancelled handler closes what it holds."""

from __future__ import annotations

import asyncio
from pathlib import Path

from mitmproxy import http
from mitmproxy.proxy import mode_servers

from proxy_addon import handlers, layers
from tests.proxy_addon.running import Proxy, proxy, run

BODY = 20_000_000


class Deciding:
    """An addon that takes its time over every request, and then streams it."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        await self.go_on.wait()
        flow.request.stream = True


class Sink:
    """A site that counts what it is sent."""

    def __init__(self) -> None:
        self.octets = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        while self.octets < BODY:
            self.octets += len(await reader.read(65_536))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await reader.read()


async def upload(made: Proxy) -> tuple[asyncio.StreamReader, asyncio.Task[None]]:
    reader, writer = await made.ask(f"Content-Length: {BODY}\r\n", "POST")

    async def send() -> None:
        for _ in range(BODY // 100_000):
            writer.write(bytes(100_000))
            await writer.drain()

    return reader, asyncio.create_task(send())


def test_the_body_of_a_request_that_waits_is_left_with_the_client_and_comes_whole_later(tmp_path: Path) -> None:
    async def check() -> None:
        deciding, sink = Deciding(), Sink()
        async with proxy(tmp_path, sink.serve, deciding) as made:
            reader, sending = await upload(made)
            link = await made.link(lambda link: layers.waiting_octets(link.client.id) > handlers.WAITING_BYTES_MAX)
            await asyncio.sleep(0.3)
            assert layers.waiting_octets(link.client.id) < 2 * handlers.WAITING_BYTES_MAX
            assert not sending.done()
            deciding.go_on.set()
            await sending
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            assert sink.octets == BODY

    run(check())


def test_a_client_whose_body_waits_can_be_ended(tmp_path: Path) -> None:
    async def check() -> None:
        deciding, sink = Deciding(), Sink()
        async with proxy(tmp_path, sink.serve, deciding) as made:
            _, sending = await upload(made)
            link = await made.link(lambda link: layers.waiting_octets(link.client.id) > handlers.WAITING_BYTES_MAX)
            link.end_client("enough")
            deciding.go_on.set()
            await made.alone()
            await asyncio.gather(sending, return_exceptions=True)
            assert sink.octets == 0

    run(check())


def test_a_handler_that_is_cancelled_before_it_handles_what_it_read_closes_its_connection(tmp_path: Path) -> None:
    """The place at which mitmproxy does not expect it; the connection would stay open."""

    async def check() -> None:
        async with proxy(tmp_path, Sink().serve) as made:
            reader, writer = await made.connect()
            link = await made.link()
            handler = link._handler
            await handler._server_event_lock.acquire()
            writer.write(b"GET http://")
            io = handler.transports[link.client]
            assert io.handler is not None
            await asyncio.sleep(0.1)  # it has read, and waits for its turn
            io.handler.cancel("enough")
            await asyncio.sleep(0.1)
            handler._server_event_lock.release()
            assert await reader.read() == b""
            await made.alone()

    run(check())


def test_every_connection_is_handled_by_ours() -> None:
    handlers.install()
    assert mode_servers.ProxyConnectionHandler is handlers.PatientHandler
