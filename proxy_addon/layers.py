"""The few places where mitmproxy's protocol layers are narrowed, because no hook reaches them.

mitmproxy 12.2.3 (pinned exactly; tests/proxy_addon/test_layers.py is the contract):

* a request that cannot be parsed is answered 400 without any hook: here it becomes a record;
* octets that are no HTTP leave a tunnel hanging: here they are refused at once, and recorded;
* a request head has no size limit (``_http1.py`` says so itself): here it has one;
* the body of a denied request is kept in memory until its end: here it is counted and dropped;
* trailer fields crash the connection (mitmproxy has not written that part): here they are dropped, as RFC 9110 6.5.1
  allows, and the exchange ends like any other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import h11
from h11._readers import ChunkedReader
from h11._receivebuffer import ReceiveBuffer
from mitmproxy.connection import Client
from mitmproxy.http import MessageData
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers import http
from mitmproxy.proxy.layers.http import RequestData, _http1

# Precedents: nginx 32 KiB in all, Apache 8 KiB a field; crawlers send cookies, so twice the usual.
HEAD_BYTES_MAX = 256 * 1024
# The longest registered method has 17 (UPDATEREDIRECTREF).
_METHOD_BYTES_MAX = 64
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]*")
DENIED = "crawl_audit_denied"
"""Key in ``flow.metadata`` of a request that is answered here and never forwarded."""

OnMalformed = Callable[[Client, str], None]
OnRefused = Callable[[Client, tuple[str, int]], None]


def install(on_malformed: OnMalformed, on_refused: OnRefused) -> None:
    """Put the narrowed layers in place of mitmproxy's, once per process, before any connection.

    ``on_malformed`` is told of what could not be read as a request, ``on_refused`` of where the tunnel leads through
    which octets came that are no HTTP.
    """

    class GuardedHttp1Server(_GuardedHttp1Server):
        report = staticmethod(on_malformed)
        refused = staticmethod(on_refused)

    http.Http1Server = GuardedHttp1Server  # type: ignore[misc]
    MessageData.__post_init__ = _as_parsed  # type: ignore[method-assign]
    http.HttpStream = _DiscardingHttpStream  # type: ignore[misc]
    _http1.ChunkedReader = _ChunkedReaderWithoutTrailers  # type: ignore[misc]


class _GuardedHttp1Server(http.Http1Server):
    report: OnMalformed
    refused: OnRefused

    def read_headers(self, event: events.ConnectionEvent) -> layer.CommandGenerator[None]:
        """mitmproxy's own reading of a request head, with what it only logs made known."""
        if isinstance(event, events.DataReceived):
            if len(self.buf) > HEAD_BYTES_MAX:
                self.report(self.context.client, f"The request head is longer than {HEAD_BYTES_MAX} octets.")
                yield from self._break_off(b"431 Request Header Fields Too Large")
                return
            if not may_be_http(bytes(self.buf)):
                self.report(self.context.client, "The octets are not HTTP: another protocol was refused.")
                if self.context.server.address is not None:
                    self.refused(self.context.client, self.context.server.address)
                yield from self._break_off(b"400 Bad Request")
                return
        for command in _as_iterator(super().read_headers(event)):
            if isinstance(command, commands.Log) and self.request is None:
                self.report(self.context.client, f"The request could not be read: {_reason(command.message)}.")
            yield command

    def _break_off(self, status: bytes) -> layer.CommandGenerator[None]:
        yield commands.SendData(
            self.conn, b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        yield commands.CloseConnection(self.conn)
        self.state = self.done

    def send(self, event: http.HttpEvent) -> layer.CommandGenerator[None]:
        """mitmproxy's own answer, made known where it answers a request without a host, which no hook sees."""
        if isinstance(event, http.ResponseProtocolError) and event.code is http.ErrorCode.DESTINATION_UNKNOWN:
            self.report(self.context.client, "The request does not say which host it is for.")
        yield from super().send(event)


class _DiscardingHttpStream(http.HttpStream):
    def state_consume_request_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Drop the body of a denied request as it comes, so that a denial costs no memory."""
        if isinstance(event, RequestData) and self.flow.metadata.get(DENIED):
            event.data = b""
        yield from super().state_consume_request_body(event)


class _ChunkedReaderWithoutTrailers(ChunkedReader):
    def __call__(self, buf: ReceiveBuffer) -> h11.Data | h11.EndOfMessage | None:
        event = super().__call__(buf)
        return h11.EndOfMessage() if isinstance(event, h11.EndOfMessage) else event


def _as_parsed(data: MessageData) -> None:
    """mitmproxy checks the types of what its own parser has just made: a twentieth of the time a request takes."""


def may_be_http(head: bytes) -> bool:
    """Whether octets may be the beginning of an HTTP request: a method, which is a token, and a space (RFC 9112 3).

    mitmproxy waits for an empty line that another protocol never sends; the tunnel would hang until it times out.
    """
    line, ended, _ = head.lstrip(b"\r\n").partition(b"\n")
    method, space, _ = line.partition(b" ")
    return _TOKEN.fullmatch(method) is not None and (bool(space) or not ended) and len(method) <= _METHOD_BYTES_MAX


def _reason(message: str) -> str:
    """What mitmproxy found wrong, without what it quotes: the client's address, and octets that may be credentials."""
    known = ("Client closed connection", "Bad HTTP request line", "Invalid header line", "Invalid headers")
    return next((reason for reason in known if reason in message), "Not HTTP/1")


def _as_iterator(generator: layer.CommandGenerator[None]) -> Iterator[commands.Command]:
    # Parsing a head yields no command that waits for an answer, so nothing has to be sent back into it.
    return iter(generator)
