"""One GET to a site over HTTP/1.1, on a connection of its own: what comes back is read as far as the reader wants it.

h11 parses; the event loop connects, so a guard on its ``create_connection`` sees every address.  Nothing is kept for a
second request: a host is asked once an hour.  What a site does is an exception here and a value in fetcher.py.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import h11

HEAD_BYTES_MAX = 100 * 1024
"""Longest head of an answer."""
# What is read ahead of the parser at most; then the site has to wait.
_AHEAD_BYTES_MAX = 128 * 1024
# RFC 8305 5: how long one address is waited for before the next one is tried beside it.
_NEXT_ADDRESS_S = 0.25


class ConnectFault(Exception):
    """No connection to any address of the host; the cause says why."""


class ConnectTimeout(Exception):
    """No connection, or no TLS on it, within the time for that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked for, of whom."""

    host: str  # as an A-label or an address without brackets
    port: int
    target: bytes
    headers: Sequence[tuple[bytes, bytes]]
    tls: ssl.SSLContext | None


class Answer:
    """The head of an answer, and its body as it comes."""

    def __init__(self, wire: _Wire, parser: h11.Connection, head: h11.Response | h11.InformationalResponse) -> None:
        self._wire = wire
        self._parser = parser
        self.status = int(head.status_code)
        self.fields = [(name.decode("ascii"), _text(value)) for name, value in head.headers]
        """Names in lower case, in the order they came."""
        self.server_ip = wire.peer

    def field(self, name: str) -> str | None:
        """The value of a field, several joined by commas (RFC 9110 5.2); None: it was not sent."""
        values = self.values(name)
        return ", ".join(values) if values else None

    def values(self, name: str) -> list[str]:
        """The value of each field of that name."""
        return [value for known, value in self.fields if known == name]

    async def body(self) -> AsyncIterator[bytes]:
        """The octets of the body, without chunk framing; raises where it breaks off."""
        while True:
            event = await _next(self._wire, self._parser)
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return


@asynccontextmanager
async def get(request: Request, connect_s: float) -> AsyncIterator[Answer]:
    """The answer to ``request``, whose connection ends with the block.

    Raises OSError, ssl.SSLError, ConnectTimeout and h11.ProtocolError for what goes wrong.  ``connect_s`` is the time
    for connecting, and again for TLS; all else is bounded by whoever calls.
    """
    wire = await _connected(request, connect_s)
    try:
        parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES_MAX)
        asked = h11.Request(method=b"GET", target=request.target, headers=list(request.headers))
        wire.write(parser.send(asked) + (parser.send(h11.EndOfMessage()) or b""))
        yield Answer(wire, parser, await _head(wire, parser))
    finally:
        wire.close()


async def _head(wire: _Wire, parser: h11.Connection) -> h11.Response | h11.InformationalResponse:
    while True:
        event = await _next(wire, parser)
        if isinstance(event, h11.Response):
            return event


async def _next(wire: _Wire, parser: h11.Connection) -> Any:
    while (event := parser.next_event()) is h11.NEED_DATA:
        octets = await wire.read()
        if not octets and parser.their_state is h11.SEND_RESPONSE:
            raise h11.RemoteProtocolError("Server disconnected without sending a response.")
        parser.receive_data(octets)
    return event


async def _connected(request: Request, connect_s: float) -> _Wire:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(connect_s):
            _, wire = await loop.create_connection(
                _Wire, request.host, request.port, happy_eyeballs_delay=_NEXT_ADDRESS_S
            )
    except TimeoutError as error:
        raise ConnectTimeout from error
    except OSError as error:
        raise ConnectFault(str(error)) from error
    if request.tls is None:
        return wire
    secured = False
    try:
        async with asyncio.timeout(connect_s):
            await wire.begin_tls(loop, request.tls, request.host)
        secured = True
    except TimeoutError as error:
        raise ConnectTimeout from error
    finally:
        if not secured:
            wire.close()
    return wire


class _Wire(asyncio.Protocol):
    """Octets to and from a site; what has arrived is read before an end or a fault that came after it."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._arrived: deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._ended = False
        self._fault: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.peer: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        name = transport.get_extra_info("peername")
        self.peer = str(name[0]) if name else None

    def data_received(self, data: bytes) -> None:
        self._arrived.append(bytes(data))
        self._size += len(data)
        if self._size > _AHEAD_BYTES_MAX and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self._ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended, self._fault = True, exc
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def begin_tls(self, loop: asyncio.AbstractEventLoop, context: ssl.SSLContext, host: str) -> None:
        """Go on under TLS; raises ssl.SSLError or OSError where that fails."""
        assert self._transport is not None
        if self._arrived or self._ended:
            raise ssl.SSLError(1, "the server spoke or ended before the handshake")
        transport = await loop.start_tls(self._transport, self, context, server_hostname=host)
        if transport is None:
            raise ConnectionResetError("the connection was closed during the handshake")
        self._transport = transport

    def write(self, octets: bytes) -> None:
        """Send; a fault shows when the answer is read, which may have come before it."""
        assert self._transport is not None
        self._transport.write(octets)

    async def read(self) -> bytes:
        """Octets that have arrived; empty at the end.  Raises OSError where the connection was lost."""
        while not self._arrived:
            if self._fault is not None:
                raise self._fault
            if self._ended:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        octets = self._arrived.popleft()
        self._size -= len(octets)
        if self._paused and self._size <= _AHEAD_BYTES_MAX // 2 and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return octets

    def close(self) -> None:
        """End the connection at once: whatever the site still has to say is not waited for."""
        if self._transport is not None:
            self._transport.abort()


def _text(value: bytes) -> str:
    """A field's value; UTF-8 is what sends that are not ASCII mostly are, and no octets are lost either way."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
