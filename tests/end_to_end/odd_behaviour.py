"""Odd behaviour of a scripted site, by path: what a crawler meets on the web and no framework would serve."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Callable

from tests.end_to_end.access_log import Seen

Behaviour = Callable[[Seen, dict[str, str], asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Answers one request, given its query; the connection is closed afterwards."""

_CHUNK = bytes(64 * 1024)
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


BEHAVIOURS: dict[str, Behaviour] = {
    "/odd/reset": _reset,
    "/odd/cut": _cut,
    "/odd/drip": _drip,
    "/odd/103": _hints,
    "/odd/trailers": _trailers,
    "/big": _big,
    "/ws": _echo,
    "/private/ws": _echo,
}
