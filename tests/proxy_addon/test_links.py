"""What we read of mitmproxy's connection handlers, and how we end them: the contract, with real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest
from mitmproxy import http

from proxy_addon.deadlines import Phase
from tests.proxy_addon.running import proxy, run


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    await reader.read()


async def torrent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    while True:
        writer.write(bytes(65_536))
        await writer.drain()


class Streaming:
    """An addon that streams bodies, as ours does."""

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        flow.request.stream = True

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        assert flow.response is not None
        flow.response.stream = True


class Deciding:
    """An addon that takes its time."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        await self.go_on.wait()


def test_what_a_client_without_an_exchange_waits_for(tmp_path: Path) -> None:
    async def check() -> None:
        async with proxy(tmp_path, answering) as made:
            reader, writer = await made.connect()
            fresh = await made.link()
            assert (fresh.client_phase(), fresh.has_spoken()) == (Phase.CLIENT_HEAD, False)
            assert fresh.reads_plain_head() is False
            writer.write(b"GET http://127.0.0.1")
            half = await made.link(lambda link: link.has_spoken())
            assert (half.client_phase(), half.reads_plain_head()) == (Phase.CLIENT_HEAD, True)
            key = half.request_key()
            writer.write(f":{made.site}/ HTTP/1.1\r\nHost: 127.0.0.1:{made.site}\r\n\r\n".encode())
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
            between = await made.link()
            assert between.client_phase() is Phase.CLIENT_IDLE
            assert between.request_key() != key
            writer.close()
            await made.alone()

    run(check())


def test_a_tunnel_that_nothing_came_through_waits_for_a_request(tmp_path: Path) -> None:
    async def check() -> None:
        async with proxy(tmp_path, silent) as made:
            reader, writer = await made.connect()
            writer.write(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            writer.write(b"\x16\x03\x01\x02\x00")
            link = await made.link()
            assert link.client_phase() is Phase.CLIENT_HEAD
            assert (link.has_spoken(), link.reads_plain_head()) == (True, False)
            writer.close()

    run(check())


def test_a_client_that_waits_for_our_own_decision_is_not_waited_for(tmp_path: Path) -> None:
    async def check() -> None:
        deciding = Deciding()
        async with proxy(tmp_path, silent, deciding) as made:
            _, writer = await made.ask("Content-Length: 5\r\n", "POST")
            link = await made.link(lambda link: link.has_spoken())
            assert link.client_phase() is None
            deciding.go_on.set()
            assert (await made.link(lambda link: link.client_phase() is not None)).client_phase() is Phase.CLIENT_HEAD
            writer.close()

    run(check())


def test_a_connection_that_is_being_made_is_seen_and_can_be_ended(tmp_path: Path) -> None:
    async def check() -> None:
        with socket.socket() as blackhole, socket.socket() as one, socket.socket() as two:
            blackhole.bind(("127.0.0.1", 0))
            blackhole.listen(0)
            for filler in (one, two):
                filler.setblocking(False)
                filler.connect_ex(blackhole.getsockname())
            async with proxy(tmp_path, silent, Streaming()) as made:
                made.site = blackhole.getsockname()[1]
                reader, _ = await made.ask()
                link = await made.link(lambda link: link.site_phase() is not None)
                assert link.site_phase() is Phase.CONNECT
                link.end_sites("enough")
                assert (await reader.read()).startswith(b"HTTP/1.1 502 ")
                await made.alone()

    run(check())


def test_a_site_that_is_ended_before_its_answer_leaves_the_client_a_page(tmp_path: Path) -> None:
    async def check() -> None:
        async with proxy(tmp_path, silent, Streaming()) as made:
            reader, _ = await made.ask()
            link = await made.link(lambda link: len(list(link._sites())) == 1 and link.site_phase() is None)
            link.end_sites("enough")
            page = await reader.read()
            assert page.startswith(b"HTTP/1.1 502 ")
            assert b"application/problem+json" in page
            await made.alone()

    run(check())


def test_what_the_client_does_not_take_is_seen_and_its_end_is_a_reset(tmp_path: Path) -> None:
    async def check() -> None:
        async with proxy(tmp_path, torrent, Streaming()) as made:
            reader, writer = await made.ask()
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            link = await made.link(lambda link: link.client_backlog() > 0)
            assert link.site_backlog() == 0
            link.end_client("enough")
            link.end_sites("enough")
            await made.alone()
            writer.transport.resume_reading()  # type: ignore[attr-defined]
            with pytest.raises(ConnectionResetError):
                await reader.read()

    run(check())


def test_a_parting_word_is_sent_before_the_connection_ends(tmp_path: Path) -> None:
    async def check() -> None:
        async with proxy(tmp_path, silent) as made:
            reader, writer = await made.connect()
            writer.write(b"GET http://")
            link = await made.link(lambda link: link.has_spoken())
            link.end_client("enough", b"goodbye")
            assert await reader.read() == b"goodbye"
            await made.alone()
            link.end_client("again")  # of a connection that is gone there is nothing to end

    run(check())


def test_what_is_not_taken_for_long_is_ended_by_the_kernel(tmp_path: Path) -> None:
    """Accepted sockets inherit it from the one that listens."""

    async def check() -> None:
        async with proxy(tmp_path, silent) as made:
            made.master.bound_unsent(7)
            await made.connect()
            link = await made.link()
            io = link._handler.transports[link.client]
            assert isinstance(io.writer, asyncio.StreamWriter)
            accepted = io.writer.get_extra_info("socket")
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7000

    run(check())


def test_connections_to_sites_that_are_not_used_are_closed_the_oldest_first(tmp_path: Path) -> None:
    async def check() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        async with proxy(tmp_path, answer, Streaming()) as made, contextlib.AsyncExitStack() as stack:
            others = [await asyncio.start_server(answer, f"127.0.0.{number}", made.site) for number in range(2, 6)]
            for server in others:
                stack.push_async_callback(closed, server)
            reader, writer = await made.connect()
            for number in range(1, 6):
                authority = f"127.0.0.{number}:{made.site}"
                writer.write(f"GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
                assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
            (client_id,) = made.master.links()
            link = await made.link(lambda link: len(list(link._sites())) == 5)
            made.master.keep_sites(client_id, 2)
            link = await made.link(lambda link: len(list(link._sites())) == 2)
            assert [connection.address[0] for connection, _ in link._sites()] == ["127.0.0.4", "127.0.0.5"]
            # The client notices nothing: what it asks for again is connected to again.
            writer.write(f"GET http://127.0.0.1:{made.site}/ HTTP/1.1\r\nHost: 127.0.0.1:{made.site}\r\n\r\n".encode())
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
            made.master.keep_sites("nobody", 0)
            made.master.end_sites("nobody", "why")
            made.master.end_sites(client_id, "enough")
            await made.link(lambda link: not list(link._sites()))

    run(check())


async def closed(server: asyncio.Server) -> None:
    server.close()
