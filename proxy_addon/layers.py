"""The few places where mitmproxy's protocol layers are narrowed, because no hook reaches them.

mitmproxy 12.2.3 (pinned exactly; tests/proxy_addon/test_layers.py is the contract):

* a request that cannot be parsed is answered 400 without any hook: here it becomes a record;
* octets that are no HTTP leave a tunnel hanging: here they are refused at once, and recorded;
* line ends and control characters in a head that servers read in more than one way are passed on: here such a request
  is refused (RFC 9112 2.2, 5.2, 11.2), so that nobody behind us sees two requests where we saw one;
* the head of a request or an answer has no size limit (``_http1.py`` says so itself): here it has one, and so have
  what a client sends while it waits for an answer, the lines of chunk framing, and the count of interim answers;
* an interim answer (1xx) is taken for the final one: here it is dropped;
* what went wrong is told to the client in HTML: here it is a problem document;
* the body of a denied request is kept in memory until its end: here it is counted and dropped;
* trailer fields crash the connection (mitmproxy has not written that part): here they are dropped, as RFC 9110 6.5.1
  allows, and the exchange ends like any other.
"""

from __future__ import annotations

import http as http_status
import re
from collections.abc import Callable, Iterator
from weakref import WeakValueDictionary

import h11
from h11._readers import ChunkedReader
from h11._receivebuffer import ReceiveBuffer
from mitmproxy.connection import Client, ConnectionState
from mitmproxy.http import MessageData
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import http
from mitmproxy.proxy.layers.http import RequestData, _base, _http1

from proxy_addon import upstream_faults
from proxy_addon.denial import Answer
from proxy_addon.limits import MessageLimits

# What is sent ahead of an answer, and a line of chunk framing.
AHEAD_BYTES_MAX = 256 * 1024
# A site may hint once or twice before it answers (RFC 8297); more is a way to keep somebody waiting.
INTERIM_ANSWERS_MAX = 16
# The longest registered method has 17 (UPDATEREDIRECTREF).
_METHOD_BYTES_MAX = 64
# The shortest field is a name of one octet, a colon and a line end: fewer octets cannot hold too many fields.
_FIELD_BYTES_MIN = 4
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_END_OF_HEAD = re.compile(rb"\n\r?\n")
_INTERIM = re.compile(rb"HTTP/1\.[01] 1(?!01)[0-9][0-9][ \r]")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]*")
_AMBIGUITY = "its head has line ends or control characters that no head may have"
DENIED = "crawl_audit_denied"
"""Key in ``flow.metadata`` of a request that is answered here and never forwarded."""

OnMalformed = Callable[[Client, str], None]
OnRefused = Callable[[Client, tuple[str, int]], None]
OnHalfHead = Callable[[Client], None]
Page = Callable[[Client, int, str], Answer]
_DEFAULTS = MessageLimits()

servers: WeakValueDictionary[str, _http1.Http1Server] = WeakValueDictionary()
"""The innermost HTTP side of each client connection, by the client's id: what a crawler has sent so far."""


def install(
    on_malformed: OnMalformed,
    on_refused: OnRefused,
    page_of: Page = lambda _, status, message: upstream_faults.page(status, message),
    on_half_head: OnHalfHead = lambda _: None,
    limits: MessageLimits = _DEFAULTS,
) -> None:
    """Put the narrowed layers in place of mitmproxy's, once per process, before any connection.

    ``on_malformed`` is told of what could not be read as a request, ``on_refused`` of where the tunnel leads through
    which octets came that are no HTTP, ``on_half_head`` of an answer whose head came in part.  ``page_of`` makes the
    answer for a failure that the client has not been told of.
    """
    message_limits = limits  # a class body cannot name its own attribute after it

    class GuardedHttp1Server(_GuardedHttp1Server):
        report = staticmethod(on_malformed)
        refused = staticmethod(on_refused)
        page = staticmethod(page_of)
        limits = message_limits

    class GuardedHttp1Client(_GuardedHttp1Client):
        half_head = staticmethod(on_half_head)
        limits = message_limits

    http.Http1Server = GuardedHttp1Server  # type: ignore[misc]
    http.Http1Client = GuardedHttp1Client  # type: ignore[misc]
    _http1.make_error_response = _error_response
    MessageData.__post_init__ = _as_parsed  # type: ignore[method-assign]
    http.HttpStream = _DiscardingHttpStream  # type: ignore[misc]
    _http1.ChunkedReader = _ChunkedReaderWithoutTrailers  # type: ignore[misc]


def waiting_octets(client_id: str) -> int:
    """Octets of a request's body that wait because its exchange waits: for a decision, or for the site."""
    server = servers.get(client_id)
    above = None if server is None else server.context.layers[server.context.layers.index(server) - 1]
    if server is None or not isinstance(above, http.HttpLayer):
        return 0
    stream = above.streams.get(server.stream_id)
    return stream.waiting_octets() if isinstance(stream, _DiscardingHttpStream) else 0


class _GuardedHttp1Server(http.Http1Server):
    report: OnMalformed
    refused: OnRefused
    page: Page
    limits: MessageLimits
    _told = False

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        servers[context.client.id] = self

    def read_headers(self, event: events.ConnectionEvent) -> layer.CommandGenerator[None]:
        """mitmproxy's own reading of a request head, with what it only logs made known."""
        if isinstance(event, events.DataReceived):
            if too_large := head_fault(self.buf, self.limits.request_head_bytes, self.limits.head_fields):
                self.report(self.context.client, f"The request head {too_large}.")
                yield from self._break_off(431)
                return
            octets = bytes(self.buf)
            if not may_be_http(octets):
                self.report(self.context.client, "The octets are not HTTP: another protocol was refused.")
                if self.context.server.address is not None:
                    self.refused(self.context.client, self.context.server.address)
                yield from self._break_off(400)
                return
            if is_ambiguous(octets):
                self.report(self.context.client, f"The request could not be read: {_AMBIGUITY}.")
                yield from self._break_off(400)
                return
        for command in _as_iterator(super().read_headers(event)):
            if isinstance(command, commands.Log) and self.request is None:
                self.report(self.context.client, f"The request could not be read: {_reason(command.message)}.")
            yield command

    def read_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        """mitmproxy's own reading of a request's body; it would close the connection on a bad one without a word."""
        for command in _as_iterator(super().read_body(event)):
            bad = isinstance(command, commands.CloseConnection) and not self.request_done
            if bad and isinstance(event, events.DataReceived) and self._may_answer():
                yield self._tell(upstream_faults.malformed(400))
            yield command

    def wait(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Requests sent ahead wait for their turn; mitmproxy would keep any number of them."""
        if len(self.buf) > AHEAD_BYTES_MAX:
            self.report(self.context.client, f"More than {AHEAD_BYTES_MAX} octets were sent ahead of an answer.")
            event = events.ConnectionClosed(self.conn)
            self.buf = ReceiveBuffer()
        yield from super().wait(event)

    def _break_off(self, status: int) -> layer.CommandGenerator[None]:
        yield self._tell(upstream_faults.malformed(status))
        yield commands.CloseConnection(self.conn)
        self.state = self.done

    def _may_answer(self) -> bool:
        """Whether the client can still be told; 100 Continue, which mitmproxy says for us, is no answer."""
        return not self._told and (self.response is None or self.response.status_code == 100)

    def _tell(self, answer: Answer) -> commands.SendData:
        """The last thing that is said on this connection."""
        self._told = True
        head_only = self.request is not None and self.request.method == "HEAD"
        return commands.SendData(self.conn, on_wire(answer, head_only=head_only))

    def send(self, event: _base.HttpEvent) -> layer.CommandGenerator[None]:
        """mitmproxy's own sending, but that a failure is told as a problem document, and the last one made known."""
        if not isinstance(event, http.ResponseProtocolError):
            yield from super().send(event)
            return
        if event.code is http.ErrorCode.DESTINATION_UNKNOWN:
            self.report(self.context.client, "The request does not say which host it is for.")
        if not self.conn.state & ConnectionState.CAN_WRITE:
            return
        status = event.code.http_status_code()
        if status is not None and self._may_answer():
            yield self._tell(self.page(self.context.client, status, event.message))
        yield commands.CloseConnection(self.conn)


class _GuardedHttp1Client(http.Http1Client):
    half_head: OnHalfHead
    limits: MessageLimits
    interim = 0

    def read_headers(self, event: events.ConnectionEvent) -> layer.CommandGenerator[None]:
        """mitmproxy's own reading of an answer's head, within limits and past interim answers."""
        if isinstance(event, events.DataReceived) and self.request is not None:
            why = head_fault(self.buf, self.limits.response_head_bytes, self.limits.head_fields) or self._drop_interim()
            if why is not None:
                yield commands.CloseConnection(self.conn)
                yield _base.ReceiveHttp(
                    http.ResponseProtocolError(
                        event_stream(self), f"The site's answer {why}.", http.ErrorCode.GENERIC_SERVER_ERROR
                    )
                )
                self.buf = ReceiveBuffer()
                self.state = self.done
                return
        for command in _as_iterator(super().read_headers(event)):
            if _is_interim(command):
                # Written as nobody does, and yet read by mitmproxy: the final one would answer the next request.
                yield commands.CloseConnection(self.conn)
                why = "HTTP/1 protocol error: an interim answer in a strange spelling"
                yield _base.ReceiveHttp(
                    http.ResponseProtocolError(event_stream(self), why, http.ErrorCode.GENERIC_SERVER_ERROR)
                )
                self.buf = ReceiveBuffer()
                self.state = self.done
                return
            yield command
        if self.request is not None and self.response is None and self.buf:
            self.half_head(self.context.client)

    def _drop_interim(self) -> str | None:
        """Interim answers (RFC 9110 15.2) end here: a crawler has no use for them, and many take one for the answer."""
        while _INTERIM.match(bytes(self.buf)) and self.buf.maybe_extract_lines():
            self.interim += 1
            if self.interim > INTERIM_ANSWERS_MAX:
                return f"comes after more than {INTERIM_ANSWERS_MAX} interim answers"
        return None


def _is_interim(command: commands.Command) -> bool:
    given = command.event if isinstance(command, _base.ReceiveHttp) else None
    return isinstance(given, http.ResponseHeaders) and given.response.status_code < 200 and not _switches(given)


def _switches(given: http.ResponseHeaders) -> bool:
    return given.response.status_code == http_status.HTTPStatus.SWITCHING_PROTOCOLS


def event_stream(connection: http.Http1Client) -> int:
    """The stream that a connection with a request on it serves."""
    assert connection.stream_id is not None
    return connection.stream_id


class _DiscardingHttpStream(http.HttpStream):
    def state_consume_request_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Drop the body of a denied request as it comes, so that a denial costs no memory."""
        if isinstance(event, RequestData) and self.flow.metadata.get(DENIED):
            event.data = b""
        yield from super().state_consume_request_body(event)

    def waiting_octets(self) -> int:
        """Octets of the body that came while a hook or a connection was waited for."""
        return sum(len(event.data) for event in self._paused_event_queue if isinstance(event, RequestData))


class _ChunkedReaderWithoutTrailers(ChunkedReader):
    def __call__(self, buf: ReceiveBuffer) -> h11.Data | h11.EndOfMessage | None:
        event = super().__call__(buf)
        if event is None and len(buf) > AHEAD_BYTES_MAX:  # a chunk's line or the trailer section, without an end
            raise h11.RemoteProtocolError("the chunk framing is longer than a head may be")
        return h11.EndOfMessage() if isinstance(event, h11.EndOfMessage) else event


def _error_response(status_code: int, message: str = "") -> bytes:
    """In place of mitmproxy's HTML, where it answers what it could not read as a request."""
    return on_wire(upstream_faults.page(status_code, message))


def on_wire(answer: Answer, *, head_only: bool = False) -> bytes:
    """An answer of our own as HTTP/1.1."""
    line = f"HTTP/1.1 {answer.status} {http_status.HTTPStatus(answer.status).phrase}\r\n".encode("ascii")
    fields = b"".join(name + b": " + value + b"\r\n" for name, value in answer.fields)
    return line + fields + b"\r\n" + (b"" if head_only else answer.body)


def head_fault(buffer: ReceiveBuffer, bytes_max: int, fields_max: int) -> str | None:
    """What is too large about the head at the beginning of a buffer, finished or not; None where it may pass."""
    if len(buffer) <= min(bytes_max, _FIELD_BYTES_MIN * fields_max):
        return None
    octets = bytes(buffer)
    end = _END_OF_HEAD.search(octets)
    head = octets[: end.end()] if end else octets
    if len(head) > bytes_max:
        return f"is longer than {bytes_max} octets"
    return f"has more than {fields_max} fields" if head.count(b"\n") > fields_max + 2 else None


def is_ambiguous(octets: bytes) -> bool:
    """Whether a complete request head at the beginning of octets can be read in more than one way.

    That is: a line that ends in LF alone, a CR within a line, a line that goes on on the next, a control character.
    """
    end = _END_OF_HEAD.search(octets)
    if end is None:
        return False
    head = octets[: end.end()]
    lines = head.count(b"\n")  # counting is many times faster than one pattern for all of it
    whole = head.count(b"\r\n") == head.count(b"\r") == lines
    return not whole or b"\n " in head or b"\n\t" in head or _CONTROL.search(head) is not None


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
