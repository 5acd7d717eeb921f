"""The private parts of mitmproxy that layers.py, links.py, handlers.py and master.py reach into are where they were."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
from typing import Any

import pytest
from mitmproxy import addonmanager, connection, hooks, master, tcp
from mitmproxy import http as messages
from mitmproxy.addons import block, core, disable_h2c, next_layer, proxyserver, tlsconfig
from mitmproxy.net.http.http1 import read
from mitmproxy.proxy import commands, events, layer, mode_servers, server
from mitmproxy.proxy.layers import http
from mitmproxy.proxy.layers.http import _base, _http1

# Of mitmproxy 12.2.3.
EVENT_HANDLING = "150361a6852e0927340780d108198ff31ad70a633349873f88a10ac117641364"

# Who is called or overridden, and with which parameters.
SIGNATURES: dict[Any, list[str]] = {
    _http1.Http1Server.__init__: ["self", "context"],
    _http1.Http1Server.read_headers: ["self", "event"],
    _http1.Http1Server.send: ["self", "event"],
    _http1.Http1Server.mark_done: ["self", "request", "response"],
    _http1.Http1Client.read_headers: ["self", "event"],
    _http1.Http1Connection.read_body: ["self", "event"],
    _http1.Http1Connection.wait: ["self", "event"],
    _http1.Http1Connection.done: ["self", "event"],
    _http1.Http1Connection.passthrough: ["self", "event"],
    http.HttpLayer.__init__: ["self", "context", "mode"],
    http.HttpStream.__init__: ["self", "context", "stream_id"],
    http.ResponseProtocolError.__init__: ["self", "stream_id", "message", "code"],
    http.ResponseHeaders.__init__: ["self", "stream_id", "response", "end_stream"],
    commands.SendData.__init__: ["self", "connection", "data"],
    commands.CloseConnection.__init__: ["self", "connection"],
    commands.Log.__init__: ["self", "message", "level"],
    _base.ReceiveHttp.__init__: ["self", "event"],
    events.ConnectionClosed.__init__: ["self", "connection"],
    addonmanager.AddonManager.handle_lifecycle: ["self", "event"],
    addonmanager.AddonManager._iter_hooks: ["self", "addon", "event"],
    addonmanager.safecall: [],
    master.Master.__init__: ["self", "opts", "event_loop", "with_termlog"],
    master.Master.run: ["self"],
    master.Master.running: ["self"],
    master.Master.shutdown: ["self"],
    proxyserver.Proxyserver.listen_addrs: ["self"],
    proxyserver.Servers.update: ["self", "modes"],
    server.ConnectionHandler.drain_writers: ["self"],
    server.ConnectionHandler.handle_connection: ["self", "connection"],
    server.ConnectionHandler.server_event: ["self", "event"],
    server.ConnectionHandler.close_connection: ["self", "connection", "half_close"],
    server.ConnectionHandler.hook_task: ["self", "hook"],
    server.ConnectionHandler.open_connection: ["self", "command"],
    server.ConnectionHandler.wakeup: ["self", "request"],
    mode_servers.ProxyConnectionHandler.handle_hook: ["self", "hook"],
    mode_servers.ProxyConnectionHandler.__init__: ["self", "master", "r", "w", "options", "mode"],
    messages.MessageData.__post_init__: ["self"],
    tcp.TCPFlow.kill: ["self"],
    tlsconfig.TlsConfig.request: ["self", "flow"],
    block.Block.client_connected: ["self", "client"],
    core.Core.configure: ["self", "updated"],
    disable_h2c.DisableH2C.request: ["self", "f"],
    next_layer.NextLayer.next_layer: ["self", "nextlayer"],
}


@pytest.mark.parametrize("function", SIGNATURES, ids=lambda function: function.__qualname__)
def test_a_function_takes_what_it_took(function: Any) -> None:
    assert list(inspect.signature(function).parameters) == SIGNATURES[function]


def test_the_layers_take_their_classes_from_where_we_put_ours() -> None:
    for owner, name in (
        (http.HttpLayer, "Http1Server"),
        (http.HttpLayer, "Http1Client"),
        (http.HttpLayer, "HttpStream"),
    ):
        assert name in inspect.getsource(owner), f"{owner.__name__} no longer makes {name} by that name"
    assert "ChunkedReader()" in inspect.getsource(_http1.make_body_reader)
    assert "ProxyConnectionHandler(" in inspect.getsource(mode_servers.ServerInstance.handle_stream)
    assert "make_error_response(400" in inspect.getsource(_http1.Http1Server.read_headers)


def test_a_connection_handler_has_the_parts_that_links_looks_at() -> None:
    assert {field.name for field in dataclasses.fields(server.ConnectionIO)} == {"handler", "reader", "writer"}
    made = inspect.getsource(server.ConnectionHandler.__init__)
    for attribute in ("self.transports", "self.timeout_watchdog", "self.client"):
        assert attribute in made
    assert "blocker" in inspect.getsource(server.TimeoutWatchdog)


def test_connections_are_filed_under_the_clients_id() -> None:
    assert "register_connection(handler.layer.context.client.id, handler)" in inspect.getsource(
        mode_servers.ServerInstance.handle_stream
    )


def test_the_port_is_listened_on_through_the_event_loop_which_is_ours() -> None:
    """Why SharingLoop is enough for several processes to share a port."""
    listening = inspect.getsource(mode_servers.AsyncioServerInstance.listen)
    assert "await asyncio.start_server(self.handle_stream, host, port)" in listening


def test_an_http_layer_has_its_streams_by_number_and_a_stream_what_it_holds_back() -> None:
    assert "self.streams" in inspect.getsource(http.HttpLayer.__init__)
    assert "_paused_event_queue" in inspect.getsource(layer.Layer)
    assert "request_body_buf" in inspect.getsource(http.HttpStream)


def test_the_master_keeps_its_log_events_where_we_take_them_out() -> None:
    assert "_legacy_log_events" in inspect.getsource(master.Master.__init__)


def test_a_flow_is_updated_after_each_hook_which_we_leave_out() -> None:
    assert "UpdateHook" in inspect.getsource(addonmanager.AddonManager.handle_lifecycle)
    assert hooks.all_hooks["update"] is hooks.UpdateHook


@pytest.mark.parametrize(
    "name", ["sni", "peername", "timestamp_tls_setup", "timestamp_start", "error", "connected", "id", "state", "tls"]
)
def test_a_client_connection_has_what_we_read_of_it(name: str) -> None:
    made = connection.Client(peername=("192.0.2.1", 1), sockname=("192.0.2.2", 2), timestamp_start=1.0)
    assert hasattr(made, name)


def test_what_the_layers_say_of_a_bad_head_is_still_recognised() -> None:
    """layers.py tells the reasons apart by these words, and never quotes the rest of the sentence."""
    source = inspect.getsource(_http1) + inspect.getsource(read)
    words = ("Client closed connection", "Bad HTTP request line", "Invalid header line", "Invalid headers")
    assert [word for word in words if word not in source] == []


def test_the_handling_of_an_event_that_handlers_replaces_is_the_one_it_was_written_for() -> None:
    """Ours executes the same commands: where mitmproxy's changes, read it again and then change the digest."""
    source = inspect.getsource(server.ConnectionHandler.server_event) + inspect.getsource(addonmanager.safecall)
    assert hashlib.sha256(source.encode()).hexdigest() == EVENT_HANDLING
