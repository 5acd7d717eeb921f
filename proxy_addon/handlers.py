"""mitmproxy's handler of one client connection, with what it lacks: back-pressure, a sure end, and speed.

* While an exchange waits for a decision or for a connection to the site, mitmproxy goes on reading the request's body
  into memory.  Here the client is read no further until what came before has gone on.
* Each event waits for a lock before it is handled, and a handler that is cancelled while it waits leaves its socket
  open.  Here nothing waits: what comes while an event is handled is put into a queue.
* Each hook gets a named task even where nobody listens, and the head and the body of an answer are two writes to the
  socket.  Here hooks that nobody listens to are over at once, and what one event sends to a connection goes together.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any, Protocol, cast

from mitmproxy.connection import Connection
from mitmproxy.proxy import commands, events, mode_servers

from proxy_addon import layers
from proxy_addon.boundary import contained

# What one request may keep in memory while it waits; a socket read is at most a quarter of it.
WAITING_BYTES_MAX = 256 * 1024
_POLL_S = 0.02

_Handler = mode_servers.ProxyConnectionHandler


class _Listened(Protocol):
    """What is asked of the master's addons."""

    def listens(self, name: str) -> bool: ...


class PatientHandler(_Handler):
    """Reads a client no faster than its exchange moves on, and handles an event in one go."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._events: deque[events.Event] = deque()
        self._is_handling = False
        self._unsent: dict[Connection, list[bytes]] = {}
        self._hooks: set[asyncio.Task[None]] = set()  # the loop itself holds tasks weakly

    async def server_event(self, event: events.Event) -> None:
        """Handle an event, and after it what came of it: a hook may end before the event that began it is done with."""
        self._events.append(event)
        if self._is_handling:
            return
        self._is_handling = True
        try:
            while self._events:
                self._handle(self._events.popleft())
        finally:
            self._is_handling = False

    def _handle(self, event: events.Event) -> None:
        self.timeout_watchdog.register_activity()
        with contained(self._crashed):
            for command in self.layer.handle_event(event):
                self._execute(command)
        for connection in list(self._unsent):
            self._send(connection)

    def _crashed(self, _: Exception) -> None:
        self.log("mitmproxy has crashed!", logging.ERROR, exc_info=True)

    def _execute(self, command: commands.Command) -> None:
        if isinstance(command, commands.StartHook):
            self._start_hook(command)
        elif isinstance(command, commands.SendData):
            if command.connection in self.transports:  # else it has been closed already
                self._unsent.setdefault(command.connection, []).append(command.data)
        elif isinstance(command, commands.OpenConnection):
            assert command.connection not in self.transports, "a connection is opened once"
            opening = asyncio.create_task(self.open_connection(command), name="connection to a site")
            self.transports[command.connection] = mode_servers.server.ConnectionIO(handler=opening)
        elif isinstance(command, commands.RequestWakeup):
            self.wakeup_timer.add(asyncio.create_task(self.wakeup(command), name="wake-up"))
        elif isinstance(command, commands.CloseConnection):
            self._send(command.connection)
            if command.connection in self.transports:
                half = isinstance(command, commands.CloseTcpConnection) and command.half_close
                self.close_connection(command.connection, half)
        elif isinstance(command, commands.Log):
            self.log(command.message, command.level)
        else:
            raise RuntimeError(f"Unexpected command: {command}")

    def _start_hook(self, hook: commands.StartHook) -> None:
        if not cast(_Listened, self.master.addons).listens(hook.name):
            if hook.blocking:
                self._events.append(events.HookCompleted(hook))
            return
        task = asyncio.create_task(self.hook_task(hook), name=hook.name)
        if not task.done():
            self._hooks.add(task)
            task.add_done_callback(self._hooks.discard)

    async def handle_hook(self, hook: commands.StartHook) -> None:
        """Call who listens; nobody here intercepts a flow, so there is nothing to be resumed."""
        watchdog = self.timeout_watchdog  # its own context manager is a generator, which takes longer than most hooks
        watchdog.can_timeout.clear()
        watchdog.blocker += 1
        try:
            await self.master.addons.handle_lifecycle(hook)
        finally:
            watchdog.blocker -= 1
            if watchdog.blocker == 0:
                watchdog.register_activity()
                watchdog.can_timeout.set()

    def _send(self, connection: Connection) -> None:
        parts = self._unsent.pop(connection, None)
        io = self.transports.get(connection)
        if parts and io is not None and io.writer is not None and not io.writer.is_closing():
            io.writer.write(parts[0] if len(parts) == 1 else b"".join(parts))

    async def drain_writers(self) -> None:
        """Called after each read: wait until what was written has gone out, and what was read has been taken."""
        await super().drain_writers()
        io = self.transports.get(self.client)
        if io is not None and io.handler is asyncio.current_task():
            while layers.waiting_octets(self.client.id) > WAITING_BYTES_MAX:
                await asyncio.sleep(_POLL_S)


def install() -> None:
    """Let mitmproxy handle every connection from now on with :class:`PatientHandler`."""
    mode_servers.ProxyConnectionHandler = PatientHandler  # type: ignore[misc]
