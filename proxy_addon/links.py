"""One client connection of mitmproxy with its connections to sites: what they wait for, and how they are ended.

The only place besides master.py that looks into mitmproxy's connection handlers (tests/proxy_addon/test_links.py is
the contract).  Closing is not enough where the other side does not read: the octets that wait for it would keep the
socket for ever, so what is ended because of a deadline is aborted.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator

from mitmproxy.connection import Client, Connection
from mitmproxy.proxy.server import ConnectionHandler, ConnectionIO

from proxy_addon import layers
from proxy_addon.deadlines import Phase


class Link:
    """A view of one connection handler, made anew for each look."""

    __slots__ = ("_handler",)

    def __init__(self, handler: ConnectionHandler) -> None:
        self._handler = handler

    @property
    def client(self) -> Client:
        """The crawler's end."""
        return self._handler.client

    def site_phase(self) -> Phase | None:
        """Whether a connection to a site is being made, or its TLS handshake; None where neither."""
        for connection, io in self._sites():
            if io.handler is None or io.handler.done():
                continue
            if io.reader is None:
                return Phase.CONNECT
            if connection.tls and connection.timestamp_tls_setup is None:
                return Phase.TLS
        return None

    def client_phase(self) -> Phase | None:
        """What a client connection without an exchange waits for: a request's rest or the next; None for a hook."""
        server = layers.servers.get(self.client.id)
        if self._handler.timeout_watchdog.blocker:
            return None
        if server is None:
            return Phase.CLIENT_HEAD
        if server.state == server.passthrough:  # a tunnel that no request has come through
            return Phase.CLIENT_IDLE if self.client.timestamp_tls_setup else Phase.CLIENT_HEAD
        if server.state == server.read_headers:
            return Phase.CLIENT_HEAD if server.buf else Phase.CLIENT_IDLE
        return None if server.request_done else Phase.CLIENT_HEAD

    def request_key(self) -> str:
        """A name for the request that is being read, or read next."""
        server = layers.servers.get(self.client.id)
        return f"{self.client.id}/{id(server)}/{server.stream_id}" if server is not None else self.client.id

    def has_spoken(self) -> bool:
        """Whether the beginning of a request, of a tunnel at least, has come."""
        return layers.servers.get(self.client.id) is not None

    def reads_plain_head(self) -> bool:
        """Whether a head is being read in the clear, so that an answer can be written as it is."""
        server = layers.servers.get(self.client.id)
        return server is not None and server.state == server.read_headers and not self.client.tls

    def client_backlog(self) -> int:
        """Octets that the crawler has not taken yet."""
        return _backlog(self._handler.transports.get(self.client))

    def site_backlog(self) -> int:
        """Octets that sites have not taken yet."""
        return sum(_backlog(io) for _, io in self._sites())

    def end_sites(self, why: str) -> None:
        """Break off every connection to a site; mitmproxy then says of the exchange on it that it failed."""
        for _, io in self._sites():
            if io.handler is not None:
                io.handler.cancel(why)
            _abort(io)

    def keep_sites(self, kept: int) -> None:
        """Close connections to sites, the oldest first, but for ``kept``; the client must be using none of them."""
        made = [io for _, io in self._sites() if io.reader is not None]
        for io in made[: max(0, len(made) - kept)]:
            if io.handler is not None:
                io.handler.cancel("the client has connections to too many sites")
            _abort(io)

    def end_client(self, why: str, parting: bytes = b"") -> None:
        """Break off the client connection; ``parting`` is sent before, if it can be sent at once."""
        io = self._handler.transports.get(self.client)
        if io is None:
            return
        if io.handler is not None:
            io.handler.cancel(why)
        if parting and isinstance(io.writer, asyncio.StreamWriter) and not _backlog(io):
            io.writer.write(parting)
        if _backlog(io) or not parting:
            _reset(io)

    def _sites(self) -> Iterator[tuple[Connection, ConnectionIO]]:
        return ((c, io) for c, io in list(self._handler.transports.items()) if c is not self.client)


def _backlog(io: ConnectionIO | None) -> int:
    if io is None or not isinstance(io.writer, asyncio.StreamWriter):
        return 0
    return io.writer.transport.get_write_buffer_size()


def _reset(io: ConnectionIO) -> None:
    """End a connection so that the other side cannot take it for the end of an answer without a length."""
    if isinstance(io.writer, asyncio.StreamWriter):
        connected = io.writer.get_extra_info("socket")
        if connected is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        io.writer.transport.abort()


def _abort(io: ConnectionIO) -> None:
    if isinstance(io.writer, asyncio.StreamWriter):
        io.writer.transport.abort()
