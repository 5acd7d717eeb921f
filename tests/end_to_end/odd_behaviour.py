"""Odd behaviour of a scripted site, by path: what a crawler meets on the web and no framework would serve."""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import zlib
from collections.abc import Awaitable, Callable

import brotli
import zstandard

from tests.end_to_end.access_log import Seen

Behaviour = Callable[[Seen, dict[str, str], asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Answers one request, given its query; the connection is closed afterwards."""

_CHUNK = bytes(64 * 1024)
BOMB_BYTES = 200 * 1024 * 1024
_WEBSOCKET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 1.3


async def _reset(seen: Seen, query: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def _cut(seen: Seen, query: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Promise 1,000 octets, send 500, leave."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + bytes(500))
    await writer.drain()


async def _drip(seen: Seen, query: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One octet every 20 ms for ``seconds``."""
    count = int(float(query.get("seconds", "30")) / 0.02)
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {count}\r\n\r\n".encode())
    for _ in range(count):
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.02)


async def _hints(seen: Seen, query: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """103 Early Hints before the answer (RFC 8297)."""
    writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    await writer.drain()


async def _trailers(
    seen: Seen, query: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """A chunked body with a trailer field (RFC 9112 7.1.2)."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
    writer.write(b"5\r\nhello\r\n0\r\nX-Sum: 5d41402a\r\n\r\n")
    await writer.drain()
    await reader.read(64)  # the connection stays open, so that only the framing ends the answer


async def _big(seen: Seen, query: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """``bytes`` octets."""
    left = int(query["bytes"])
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: {left}\r\n\r\n".encode())
    while left:
        writer.write(_CHUNK[:left])
        left -= min(left, len(_CHUNK))
        await writer.drain()


async def _echo(seen: Seen, query: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """WebSocket: accept, send one masked text message back, close."""
    key = (seen.field("sec-websocket-key") or "").encode()
    accept = base64.b64encode(hashlib.sha1(key + _WEBSOCKET).digest())
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    size = (await reader.readexactly(2))[1] & 0x7F
    mask = await reader.readexactly(4)
    text = bytes(octet ^ mask[i % 4] for i, octet in enumerate(await reader.readexactly(size)))
    writer.write(bytes([0x81, len(text)]) + text + b"\x88\x02\x03\xe8")
    await writer.drain()
    await reader.read(64)


async def _silent(
    seen: Seen, query: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Say nothing until the other side leaves."""
    await reader.read()


async def _half_head(
    seen: Seen, query: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """The status line and a field, then nothing; with ``leave``, go instead."""
    writer.write(b"HTTP/1.1 200 OK\r\nX-Begun: yes\r\n")
    await writer.drain()
    if "leave" not in query:
        await reader.read()


async def _head_drip(
    seen: Seen, query: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """One field of the head every 0.2 s for ever."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-Drip: drop\r\n")
        await writer.drain()
        await asyncio.sleep(0.2)


async def _body_drip(
    seen: Seen, query: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """One octet of the body every 0.2 s for ever; its end is that of the connection where ``until`` is ``close``."""
    length = "" if query.get("until") == "close" else "Content-Length: 1000000\r\n"
    writer.write(f"HTTP/1.1 200 OK\r\n{length}\r\n".encode())
    while True:
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.2)


async def _stall(seen: Seen, query: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Half a body, then nothing."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + bytes(500))
    await writer.drain()
    await reader.read()


async def _endless(
    seen: Seen, query: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """A body without end, fast enough for any least rate."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"400\r\n" + bytes(0x400) + b"\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


async def _giant_head(
    seen: Seen, query: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """``bytes`` octets of head, in fields of ``field`` octets."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    line = b"X-Giant: " + b"g" * int(query["field"]) + b"\r\n"
    for _ in range(int(query["bytes"]) // len(line)):
        writer.write(line)
        await writer.drain()
    writer.write(b"Content-Length: 0\r\n\r\n")
    await writer.drain()
    await reader.read()


async def _interim_flood(
    seen: Seen, query: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Interim answers for ever."""
    while True:
        writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def _long_chunk_line(
    seen: Seen, query: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """A chunk extension (RFC 9112 7.1.1) without end."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=")
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()


def _says(octets: bytes, *, stay: bool = False) -> Behaviour:
    """Octets as they are; ``stay``: without closing the connection after them."""

    async def say(
        seen: Seen, query: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(octets)
        await writer.drain()
        if stay:
            await reader.read()

    return say


@functools.cache
def bomb_octets(coding: str, size: int = BOMB_BYTES) -> bytes:
    """``size`` zero octets, compressed: a thousandth of that, and a few hundred octets for brotli."""
    piece = bytes(1024 * 1024)
    made: list[bytes] = []
    if coding == "gzip":
        gzip = zlib.compressobj(1, wbits=31)
        made = [gzip.compress(piece) for _ in range(size // len(piece))] + [gzip.flush()]
    elif coding == "br":
        compressor = brotli.Compressor(quality=1)
        made = [compressor.process(piece) for _ in range(size // len(piece))] + [compressor.finish()]
    else:
        frame = zstandard.ZstdCompressor(level=1).compressobj()
        made = [frame.compress(piece) for _ in range(size // len(piece))] + [frame.flush()]
    return b"".join(made)


def bomb(coding: str, content_type: str = "text/plain", size: int = BOMB_BYTES) -> Behaviour:
    """A body that is ``size`` octets once decoded."""

    async def blow(
        seen: Seen, query: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        octets = bomb_octets(coding, size)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Encoding: {coding}\r\n"
        writer.write(head.encode() + b"Content-Length: %d\r\n\r\n" % len(octets) + octets)
        await writer.drain()

    return blow


def redirects(target: str | None = None) -> Behaviour:
    """A redirect to ``target``, or to itself."""

    async def redirect(
        seen: Seen, query: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        location = target or f"http://{seen.field('host')}/robots.txt"
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()

    return redirect


def queried(behaviour: Behaviour, **query: str) -> Behaviour:
    """A behaviour with a query of its own."""

    async def behave(seen: Seen, _: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await behaviour(seen, query, reader, writer)

    return behave


async def _reset_within(
    seen: Seen, query: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Half a body, then a reset."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + bytes(500))
    await writer.drain()
    await asyncio.sleep(0.2)
    writer.transport.abort()


_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"

BEHAVIOURS: dict[str, Behaviour] = {
    "/odd/reset": _reset,
    "/odd/cut": _cut,
    "/odd/drip": _drip,
    "/odd/103": _hints,
    "/odd/trailers": _trailers,
    "/odd/silent": _silent,
    "/odd/half-head": _half_head,
    "/odd/head-drip": _head_drip,
    "/odd/body-drip": _body_drip,
    "/odd/stall": _stall,
    "/odd/endless": _endless,
    "/odd/giant-head": _giant_head,
    "/odd/interim-flood": _interim_flood,
    "/odd/long-chunk-line": _long_chunk_line,
    "/odd/no-http": _says(b"220 mail.test ESMTP\r\n\r\n", stay=True),
    "/odd/two-lengths": _says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", stay=True),
    "/odd/bad-chunk": _says(_CHUNKED + b"\r\n5\r\nhello\r\nnonsense\r\n", stay=True),
    "/odd/bad-trailer": _says(_CHUNKED + b"Trailer: X\r\n\r\n5\r\nhello\r\n0\r\nno field\r\n\r\n", stay=True),
    "/odd/204-with-body": _says(b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello"),
    "/odd/304-with-body": _says(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello"),
    "/odd/body-for-head": _says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    "/odd/reset-within": _reset_within,
    "/odd/bomb-gzip": bomb("gzip", "text/html"),
    "/odd/bomb-br": bomb("br", "text/html"),
    "/odd/bomb-zstd": bomb("zstd", "text/html"),
    "/odd/bad-status": _says(b"HTTP/1.1 2OO Fine\r\nContent-Length: 5\r\n\r\nhello", stay=True),
    "/odd/no-version": _says(b"ICY 200 OK\r\n\r\nhello", stay=True),
    "/odd/nul": _says(_OK + b"X-Nul: a\0b\r\n\r\nhello"),
    "/odd/bare-lf": _says(b"HTTP/1.1 200 OK\nContent-Length: 5\nX-Plain: yes\n\nhello"),
    "/odd/folded": _says(_OK + b"X-Folded: a\r\n b\r\n\r\nhello"),
    "/odd/as-the-proxy": _says(
        b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 5\r\nProxy-Authenticate: Basic realm=x\r\n"
        b"Proxy-Status: crawl-audit; error=http_request_denied\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\nhello"
    ),
    "/odd/more-than-said": _says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more"),
    "/big": _big,
    "/ws": _echo,
    "/private/ws": _echo,
}
