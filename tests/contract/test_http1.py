"""mitmproxy's own HTTP/1 layer: what it crashes on, keeps without bound, or reads in more than one way.

Each is worked around in proxy_addon/layers.py.  Where one fails after a change of release, that part may be given up.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from mitmproxy import http as messages
from mitmproxy.options import Options
from mitmproxy.proxy import commands

from tests.contract.stock import stock_layers
from tests.proxy_addon.wire import Wire, options

GET = b"GET http://example.com/a HTTP/1.1\r\nHost: example.com\r\n\r\n"
POST = b"POST http://example.com/a HTTP/1.1\r\nHost: example.com\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def opts() -> Iterator[Options]:
    with stock_layers(), options() as made:
        yield made


def let_pass(command: commands.StartHook) -> None:
    """Do nothing."""


def deny(command: commands.StartHook) -> None:
    if command.name == "requestheaders":
        command.args()[0].response = messages.Response.make(403, b"no")


def test_an_answer_with_trailers_crashes_the_connection(opts: Options) -> None:
    wire = Wire(opts, let_pass)
    wire.receive(GET)
    with pytest.raises(NotImplementedError, match="trailers"):
        wire.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n")


def test_an_interim_answer_is_taken_for_the_final_one(opts: Options) -> None:
    statuses = []

    def note(command: commands.StartHook) -> None:
        if command.name == "responseheaders":
            statuses.append(command.args()[0].response.status_code)

    wire = Wire(opts, note)
    wire.receive(GET)
    wire.answer(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    assert (statuses, wire.hooks[-1]) == ([103], "response")


@pytest.mark.parametrize("head", [GET[:-2], b""])
def test_a_head_of_any_size_is_kept(opts: Options, head: bytes) -> None:
    wire = Wire(opts, let_pass)
    if not head:  # the same for the head of an answer
        wire.receive(GET)
    feed = wire.receive if head else wire.answer
    feed(head or b"HTTP/1.1 200 OK\r\n")
    for _ in range(64):
        feed(b"X: " + b"x" * 65_536 + b"\r\n")
    assert (wire.is_open, wire.closed) == (True, [])


def test_any_number_of_requests_sent_ahead_is_kept(opts: Options) -> None:
    wire = Wire(opts, let_pass)
    wire.receive(GET)
    for _ in range(64):
        wire.receive(b"x" * 65_536)
    assert wire.is_open


def test_the_body_of_a_denied_request_is_kept_until_its_end(opts: Options) -> None:
    wire = Wire(opts, deny)
    wire.receive(POST + b"Content-Length: 1000000\r\n\r\n")
    wire.receive(b"x" * 999_999)
    (stream,) = wire.layer.streams.values()
    assert (len(stream.request_body_buf), wire.to_client) == (999_999, b"")


def test_a_response_set_on_a_request_that_is_streamed_crashes_the_connection(opts: Options) -> None:
    def deny_streaming(command: commands.StartHook) -> None:
        deny(command)
        if command.name == "requestheaders":
            command.args()[0].request.stream = True

    wire = Wire(opts, deny_streaming)
    with pytest.raises(NotImplementedError, match="response and enable streaming"):
        wire.receive(POST + CHUNKED)


def test_the_option_stream_large_bodies_streams_denied_bodies_as_well(opts: Options) -> None:
    opts.update(stream_large_bodies="1k")
    wire = Wire(opts, deny)
    wire.receive(POST + CHUNKED)
    with pytest.raises(NotImplementedError, match="response and enable streaming"):
        wire.receive(b"800\r\n" + b"x" * 2048 + b"\r\n")


def test_what_no_parser_can_read_is_answered_without_any_hook(opts: Options) -> None:
    wire = Wire(opts, let_pass)
    wire.receive(b"nonsense\r\n\r\n")
    assert (wire.hooks, wire.to_client[:13]) == ([], b"HTTP/1.1 400 ")


def test_two_framings_at_once_reach_our_hook_with_the_error_set_and_go_no_further(opts: Options) -> None:
    errors = []

    def note(command: commands.StartHook) -> None:
        if command.name == "requestheaders":
            errors.append(command.args()[0].error)

    wire = Wire(opts, note)
    wire.receive(POST + b"Content-Length: 3\r\n" + CHUNKED)
    assert [error is not None for error in errors] == [True]
    assert (wire.opened, wire.hooks) == ([], ["requestheaders", "error"])


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"X: a\r\n folded\r\n", id="folded"),
        pytest.param(b"X: a\nInjected: yes\r\n", id="bare-lf"),
        pytest.param(b"X: a\rb\r\n", id="bare-cr"),
        pytest.param(b"X: a\0b\r\n", id="nul"),
    ],
)
def test_a_head_that_servers_read_in_more_than_one_way_is_sent_on(opts: Options, line: bytes) -> None:
    wire = Wire(opts, let_pass)
    wire.receive(GET[:-2] + line + b"\r\n")
    assert len(wire.opened) == 1
    assert wire.to_server


def test_a_chunk_that_a_stream_callable_empties_looks_like_the_bodys_end(opts: Options) -> None:
    """Why a meter that lets nothing pass returns no chunk at all."""

    def drop(command: commands.StartHook) -> None:
        if command.name == "requestheaders":
            command.args()[0].request.stream = lambda chunk: b""

    wire = Wire(opts, drop)
    wire.receive(POST + CHUNKED + b"1\r\na\r\n")
    assert wire.to_server.endswith(b"\r\n\r\n0\r\n\r\n")


def test_a_stream_callable_that_returns_no_chunk_sends_nothing(opts: Options) -> None:
    def drop(command: commands.StartHook) -> None:
        if command.name == "requestheaders":
            command.args()[0].request.stream = lambda chunk: []

    wire = Wire(opts, drop)
    wire.receive(POST + CHUNKED + b"1\r\na\r\n")
    assert wire.to_server.endswith(b"chunked\r\n\r\n")


def test_the_connection_field_decides_whether_connections_go_on(opts: Options) -> None:
    """Why hop_by_hop.py leaves `close` and `keep-alive` in it."""
    wire = Wire(opts, let_pass)
    wire.receive(GET[:-2] + b"Connection: close\r\n\r\n")
    wire.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert not wire.is_open
