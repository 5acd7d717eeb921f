"""A client is read no faster than its exchange moves on, and an event is handled in one go, in order."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
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


class Answering:
    """A site that answers at once, head and body together."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")


class Streaming:
    """An addon that streams every answer."""

    async def responseheaders(self, flow: http.HTTPFlow) -> None:
        assert flow.response is not None
        flow.response.stream = True


def test_the_head_and_the_body_of_an_answer_that_came_together_are_sent_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, real = list[bytes](), asyncio.StreamWriter.write

    def write(writer: asyncio.StreamWriter, octets: bytes) -> None:
        written.append(bytes(octets))
        real(writer, octets)

    async def check() -> None:
        async with proxy(tmp_path, Answering().serve, Streaming()) as made:
            monkeypatch.setattr(asyncio.StreamWriter, "write", write)
            reader, _ = await made.ask()
            assert await reader.readexactly(len(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))

    run(check())
    to_client = [octets for octets in written if octets.startswith(b"HTTP/1.1 200")]
    assert [octets.endswith(b"hello") for octets in to_client] == [True, True], "the site's own, and the proxy's"


class Slow(Streaming):
    """An addon that lets another task run before it streams."""

    async def responseheaders(self, flow: http.HTTPFlow) -> None:
        await asyncio.sleep(0.05)
        await super().responseheaders(flow)


@pytest.mark.parametrize("addon", [Streaming(), Slow()], ids=["at once", "later"])
def test_answers_come_in_order_whether_hooks_end_at_once_or_later(tmp_path: Path, addon: object) -> None:
    async def check() -> None:
        async with proxy(tmp_path, Answering().serve, addon) as made:
            reader, writer = await made.ask()
            for _ in range(3):
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
                assert await reader.readexactly(5) == b"hello"
                authority = f"127.0.0.1:{made.site}"
                writer.write(f"GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())

    run(check())


def test_what_a_layer_raises_is_told_and_the_connection_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def check() -> None:
        async with proxy(tmp_path, Answering().serve, Streaming()) as made:
            _, writer = await made.connect()
            link = await made.link()
            real, link._handler.layer.handle_event = link._handler.layer.handle_event, _broken
            writer.write(b"GET http://")
            while "mitmproxy has crashed!" not in caplog.text:
                await asyncio.sleep(0.01)
            link._handler.layer.handle_event = real
            writer.close()
            await made.alone()

    run(check())


def _broken(_: object) -> list[object]:
    raise ValueError("a layer that is broken")


def test_every_connection_is_handled_by_ours() -> None:
    handlers.install()
    assert mode_servers.ProxyConnectionHandler is handlers.PatientHandler
