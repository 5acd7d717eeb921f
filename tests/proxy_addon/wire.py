"""mitmproxy's real HTTP layer without sockets: octets in, commands out, hooks answered by the test."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.connection import Client, Connection, ConnectionState, Server
from mitmproxy.options import Options
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import http
from mitmproxy.proxy.layers.http import _http1
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import taddons

from proxy_addon import layers
from proxy_addon.master import PINNED

OnHook = Callable[[commands.StartHook], object]


@contextmanager
def options() -> Iterator[Options]:
    """The options a sidecar runs with."""
    with taddons.context(Proxyserver()) as context:
        context.master._legacy_log_events.uninstall()
        known = {name: value for name, value in PINNED.items() if name in context.options and name != "mode"}
        context.options.update(**known)
        yield context.options


@contextmanager
def narrowed(on_malformed: layers.OnMalformed, on_refused: layers.OnRefused) -> Iterator[None]:
    """The narrowed layers in mitmproxy's place for as long as the block lasts."""
    before = http.Http1Server, http.Http1Client, http.HttpStream, _http1.make_error_response
    layers.install(on_malformed, on_refused)
    try:
        yield
    finally:
        http.Http1Server, http.Http1Client, http.HttpStream, _http1.make_error_response = before  # type: ignore[misc]


class Wire:
    """One client connection of a proxy."""

    def __init__(self, opts: Options, on_hook: OnHook, mode: http.HTTPMode = http.HTTPMode.regular) -> None:
        self.client = Client(
            peername=("192.0.2.1", 4711),
            sockname=("192.0.2.2", 8080),
            timestamp_start=1.0,
            state=ConnectionState.OPEN,
            proxy_mode=ProxyMode.parse("regular"),
        )
        self._on_hook = on_hook
        self.hooks: list[str] = []
        self.to_client = b""
        self.to_server = b""
        self.opened: list[Server] = []
        self.closed: list[Connection] = []
        self.trace: list[str] = []
        self.layer = http.HttpLayer(Context(self.client, opts), mode)
        self._feed(events.Start())

    def receive(self, octets: bytes) -> None:
        """The client sent something."""
        self._feed(events.DataReceived(self.client, octets))

    def answer(self, octets: bytes) -> None:
        """The site sent something."""
        self._feed(events.DataReceived(self.opened[-1], octets))

    def hang_up(self) -> None:
        """The client left."""
        self.client.state = ConnectionState.CLOSED
        self._feed(events.ConnectionClosed(self.client))

    @property
    def is_open(self) -> bool:
        return self.client not in self.closed

    def _feed(self, event: events.Event) -> None:
        pending = deque([event])
        while pending:
            for command in self.layer.handle_event(pending.popleft()):
                reply = self._do(command)
                if reply is not None:
                    pending.append(reply)

    def _do(self, command: commands.Command) -> events.Event | None:
        if isinstance(command, commands.StartHook):
            self.hooks.append(command.name)
            self.trace.append(command.name)
            if isinstance(command, layer.NextLayerHook):
                command.args()[0].layer = _Sink(command.args()[0].context)
            # An answer of False stands for a hook that never ends, because its task was cancelled.
            return None if self._on_hook(command) is False else events.HookCompleted(command)
        if isinstance(command, commands.OpenConnection):
            self.opened.append(command.connection)
            self.trace.append("open")
            command.connection.state = ConnectionState.OPEN
            return events.OpenConnectionCompleted(command, None)
        if isinstance(command, commands.SendData):
            if command.connection is self.client:
                self.to_client += command.data
            else:
                self.to_server += command.data
                self.trace.append("send")
        elif isinstance(command, commands.CloseConnection):
            self.closed.append(command.connection)
            command.connection.state = ConnectionState.CLOSED
        return None


class _Sink(layer.Layer):
    """Whatever lies in a tunnel."""

    def _handle_event(self, event: events.Event) -> Any:
        yield from ()
