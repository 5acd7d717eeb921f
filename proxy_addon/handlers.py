"""mitmproxy's handler of one client connection, with what it lacks: back-pressure, and an end that always closes.

* While an exchange waits for a decision or for a connection to the site, mitmproxy goes on reading the request's body
  into memory.  Here the client is read no further until what came before has gone on.
* A handler that is cancelled between reading octets and handling them leaves its socket open (mitmproxy catches the
  cancellation at two of three places).  Here the third is caught as well.
"""

from __future__ import annotations

import asyncio

from mitmproxy.connection import Connection, ConnectionState
from mitmproxy.proxy import events, mode_servers

from proxy_addon import layers

# What one request may keep in memory while it waits; a socket read is at most a quarter of it.
WAITING_BYTES_MAX = 256 * 1024
_POLL_S = 0.02

_Handler = mode_servers.ProxyConnectionHandler


class PatientHandler(_Handler):
    """Reads a client no faster than its exchange moves on, and closes every connection it is done with."""

    async def drain_writers(self) -> None:
        """Called after each read: wait until what was written has gone out, and what was read has been taken."""
        await super().drain_writers()
        io = self.transports.get(self.client)
        if io is not None and io.handler is asyncio.current_task():
            while layers.waiting_octets(self.client.id) > WAITING_BYTES_MAX:
                await asyncio.sleep(_POLL_S)

    async def handle_connection(self, connection: Connection) -> None:
        """mitmproxy's own, and the end of it where a cancellation came between a read and its handling."""
        try:
            await super().handle_connection(connection)
        except asyncio.CancelledError:
            if (io := self.transports.get(connection)) is not None:
                connection.state = ConnectionState.CLOSED
                await self.server_event(events.ConnectionClosed(connection))
                self.transports.pop(connection, None)
                if isinstance(io.writer, asyncio.StreamWriter):
                    io.writer.close()
            raise


def install() -> None:
    """Let mitmproxy handle every connection from now on with :class:`PatientHandler`."""
    mode_servers.ProxyConnectionHandler = PatientHandler  # type: ignore[misc]
