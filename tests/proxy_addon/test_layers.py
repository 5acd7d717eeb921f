"""What we rely on in mitmproxy's layers, and what we narrowed there; run again for every release of mitmproxy."""

from __future__ import annotations

from collections.abc import Iterator

import mitmproxy.version
import pytest
from mitmproxy.connection import Client
from mitmproxy.options import Options
from mitmproxy.proxy import commands
from mitmproxy.proxy.layers import http

from proxy_addon import boundary, denial, layers
from proxy_addon.limits import MessageLimits
from tests.proxy_addon.wire import Wire, narrowed, options

KIB = 1024
LIMITS = MessageLimits()
ANSWER = denial.unrecorded("draining", "The sidecar is stopping.", "id")
GET = b"GET http://example.com/a HTTP/1.1\r\nHost: example.com\r\n\r\n"
CREDENTIALS = b"Proxy-Authorization: Basic c2VjcmV0OnNlY3JldA=="


class Reports:
    """What the layers made known."""

    def __init__(self) -> None:
        self.made: list[tuple[Client, str]] = []
        self.refused: list[tuple[str, int]] = []

    def __call__(self, client: Client, detail: str) -> None:
        self.made.append((client, detail))

    def refuse(self, client: Client, address: tuple[str, int]) -> None:
        self.refused.append(address)

    @property
    def details(self) -> list[str]:
        return [detail for _, detail in self.made]


@pytest.fixture
def opts() -> Iterator[Options]:
    with options() as made:
        yield made


@pytest.fixture
def reports() -> Iterator[Reports]:
    made = Reports()
    with narrowed(made, made.refuse):
        yield made


def deny(command: commands.StartHook) -> None:
    if command.name in ("requestheaders", "http_connect"):
        boundary.give(command.args()[0], ANSWER)


def let_pass(command: commands.StartHook) -> None:
    """Do nothing, as mitmproxy does without addons."""


def test_the_layers_are_narrowed_for_the_release_they_were_written_for() -> None:
    assert mitmproxy.version.VERSION == "12.2.3"


def test_installing_puts_our_layers_in_place_and_the_originals_behind_them(reports: Reports) -> None:
    assert issubclass(http.Http1Server, layers._GuardedHttp1Server)
    assert http.HttpStream is layers._DiscardingHttpStream


def is_problem(octets: bytes, status: bytes) -> bool:
    """Whether octets are one answer of ours, a problem document that ends the connection, and nothing after it."""
    head, _, body = octets.partition(b"\r\n\r\n")
    fields = head.split(b"\r\n")[1:]
    whole = b"Content-Length: %d" % len(body) in fields
    ours = any(field.startswith(b"Proxy-Status: crawl-audit; error=") for field in fields)
    ends = b"Connection: close" in fields and b"Content-Type: application/problem+json" in fields
    return head.startswith(status) and whole and ours and ends


# --- requests that no hook sees -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        b"nonsense\r\n\r\n",
        b"GET /a\r\n\r\n",
        b"GET http://example.com/a HTTP/9\r\n\r\n",
        b"GET http://example.com:99999/a HTTP/1.1\r\n\r\n",
        b"GET http://[::1/a HTTP/1.1\r\n\r\n",
        b"CONNECT example.com HTTP/1.1\r\n\r\n",
        b"GET http://example.com/a HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET http://example.com/a HTTP/1.1\r\n: no name\r\n\r\n",
        b"GET http://example.com/a HTTP/1.1\r\n continued\r\n\r\n",
    ],
)
def test_a_request_that_cannot_be_parsed_is_answered_400_and_made_known(
    opts: Options, reports: Reports, head: bytes
) -> None:
    wire = Wire(opts, let_pass)
    wire.receive(head)
    assert is_problem(wire.to_client, b"HTTP/1.1 400 ")
    assert not wire.is_open
    assert (wire.hooks, wire.opened) == ([], [])
    assert [client for client, _ in reports.made] == [wire.client]
    assert reports.details[0].startswith(("The request could not be read: ", "The octets are not HTTP: "))
    assert reports.details[0].endswith(".")


@pytest.mark.parametrize(
    "octets",
    [
        b"nonsense\r\n",
        b"GET\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\xff\xfe\x00 /\r\n\r\n",
        b"\x00",
        b"a" * 65,
    ],
)
def test_octets_that_are_no_http_are_refused_as_soon_as_that_is_plain(
    opts: Options, reports: Reports, octets: bytes
) -> None:
    wire = Wire(opts, let_pass)
    wire.receive(octets)
    assert wire.to_client.startswith(b"HTTP/1.1 400 ")
    assert not wire.is_open
    assert (wire.hooks, wire.opened) == ([], [])
    assert reports.made == [(wire.client, "The octets are not HTTP: another protocol was refused.")]
    assert reports.refused == []  # it came through no tunnel


@pytest.mark.parametrize("cut", range(1, len(GET)))
def test_a_request_that_comes_in_pieces_is_not_taken_for_another_protocol(
    opts: Options, reports: Reports, cut: int
) -> None:
    wire = Wire(opts, let_pass)
    wire.receive(b"\r\n" + GET[:cut])
    wire.receive(GET[cut:])
    assert (reports.refused, reports.made) == ([], [])
    assert "requestheaders" in wire.hooks


def test_mitmproxy_alone_makes_nothing_of_it_known(opts: Options) -> None:
    """The reason for the narrowing; where this fails, the narrowing may go."""
    wire = Wire(opts, let_pass)
    wire.receive(b"nonsense\r\n\r\n")
    assert wire.to_client.startswith(b"HTTP/1.1 400 ")
    assert wire.hooks == []


@pytest.mark.parametrize(
    "head", [b"GET / HTTP/1.0\r\n\r\n", b"GET /a HTTP/1.1\r\nUser-Agent: x\r\n\r\n", b"GET / HTTP/1.1\r\nHost:\r\n\r\n"]
)
def test_a_request_without_a_host_is_refused_and_made_known(opts: Options, reports: Reports, head: bytes) -> None:
    wire = Wire(opts, let_pass)
    wire.receive(head)
    assert wire.to_client.startswith(b"HTTP/1.1 400 ")
    assert (wire.hooks, wire.opened) == ([], [])
    assert reports.details == ["The request does not say which host it is for."]


def test_a_client_that_leaves_in_the_middle_of_a_head_is_made_known(opts: Options, reports: Reports) -> None:
    wire = Wire(opts, let_pass)
    wire.receive(b"GET http://example.com/a HTTP/1.1\r\n")
    wire.hang_up()
    assert reports.details == ["The request could not be read: Client closed connection."]
    assert wire.hooks == []


def test_a_client_that_leaves_between_requests_is_nothing_to_make_known(opts: Options, reports: Reports) -> None:
    wire = Wire(opts, let_pass)
    wire.hang_up()
    assert reports.made == []


@pytest.mark.parametrize(
    "octets",
    [
        b"GET nowhere\r\n" + CREDENTIALS + b"\r\n\r\n",
        b"GET http://example.com/ HTTP/1.1\r\n" + CREDENTIALS.replace(b":", b"") + b"\r\n\r\n",
        CREDENTIALS + b"\r\n\r\n",
        b"GET http://example.com/ HTTP/1.1\r\n" + CREDENTIALS + b"\r\n",
    ],
)
def test_what_is_made_known_holds_neither_credentials_nor_the_clients_address(
    opts: Options, reports: Reports, octets: bytes
) -> None:
    """The incident's sentence is public in every export; the client is withheld where the auditor may not see it."""
    wire = Wire(opts, let_pass)
    wire.receive(octets)
    wire.hang_up()
    assert len(reports.made) == 1
    assert "c2VjcmV0" not in reports.details[0]
    assert "192.0.2.1" not in reports.details[0]


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: five\r\n",
        b"Content-Length: -1\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: x\r\n",
        b"Bad Name: x\r\n",
    ],
)
def test_a_request_with_two_lengths_is_refused_before_our_hook_with_the_error_set(
    opts: Options, reports: Reports, fields: bytes
) -> None:
    errors: list[bool] = []

    def note(command: commands.StartHook) -> None:
        errors.append(command.args()[0].error is not None)

    wire = Wire(opts, note)
    wire.receive(b"POST http://example.com/a HTTP/1.1\r\nHost: example.com\r\n" + fields + b"\r\n0\r\n\r\n")
    assert wire.hooks == ["requestheaders", "error"]
    assert errors == [True, True]
    assert wire.to_client.startswith(b"HTTP/1.1 400 ")
    assert wire.opened == []


# --- the size of a head ---------------------------------------------------------------------------------------------


def send(wire: Wire, octets: bytes) -> None:
    """As a socket gives it: at most 64 KiB at a time, and nothing after the connection is closed."""
    for start in range(0, len(octets), 64 * KIB):
        if wire.is_open:
            wire.receive(octets[start : start + 64 * KIB])


@pytest.mark.parametrize(
    "head",
    [
        b"GET http://example.com/a HTTP/1.1\r\nCookie: " + b"c" * (300 * KIB) + b"\r\n\r\n",
        b"GET http://example.com/a HTTP/1.1\r\n" + b"A: b\r\n" * (60 * KIB) + b"\r\n",
        b"GET http://example.com/" + b"a" * (300 * KIB) + b" HTTP/1.1\r\n\r\n",
    ],
)
def test_a_head_that_is_too_long_is_answered_431_and_made_known_once(
    opts: Options, reports: Reports, head: bytes
) -> None:
    wire = Wire(opts, let_pass)
    send(wire, head)
    assert is_problem(wire.to_client, b"HTTP/1.1 431 Request Header Fields Too Large")
    assert not wire.is_open
    assert (wire.hooks, wire.opened) == ([], [])
    assert len(reports.details) == 1
    assert reports.details[0] in (
        f"The request head is longer than {256 * KIB} octets.",
        f"The request head has more than {LIMITS.head_fields} fields.",
    )


def test_after_a_head_that_is_too_long_nothing_is_read_any_more(opts: Options, reports: Reports) -> None:
    wire = Wire(opts, let_pass)
    send(wire, b"GET http://example.com/a HTTP/1.1\r\nCookie: " + b"c" * (300 * KIB))
    wire.receive(b"\r\n\r\n" + GET)
    assert (wire.hooks, len(reports.made)) == ([], 1)


def test_a_head_within_the_limit_is_let_through(opts: Options, reports: Reports) -> None:
    wire = Wire(opts, let_pass)
    start = b"GET http://example.com/a HTTP/1.1\r\nHost: example.com\r\nCookie: "
    send(wire, start + b"c" * (LIMITS.request_head_bytes - len(start) - 4) + b"\r\n\r\n")
    assert wire.hooks == ["requestheaders", "request"]
    assert len(wire.opened) == 1
    assert reports.made == []


def test_the_limit_is_for_each_head_and_not_for_what_a_connection_carries(opts: Options, reports: Reports) -> None:
    wire = Wire(opts, deny)
    for _ in range(5):
        body = b"x" * (200 * KIB)
        send(
            wire,
            b"POST http://example.com/a HTTP/1.1\r\nHost: example.com\r\nContent-Length: %d\r\n\r\n" % len(body) + body,
        )
    assert wire.hooks.count("requestheaders") == 5
    assert wire.to_client.count(b"HTTP/1.1 503 ") == 5
    assert reports.made == []


# --- denied requests ------------------------------------------------------------------------------------------------


def test_a_denied_request_is_answered_and_nothing_is_opened(opts: Options, reports: Reports) -> None:
    wire = Wire(opts, deny)
    wire.receive(GET)
    assert wire.hooks == ["requestheaders", "request", "responseheaders", "response"]
    assert (wire.opened, wire.to_server) == ([], b"")
    head, _, body = wire.to_client.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert body == ANSWER.body
    assert b"Content-Length: %d" % len(body) in head
    assert wire.is_open


def test_the_connection_goes_on_after_a_denial(opts: Options, reports: Reports) -> None:
    wire = Wire(opts, deny)
    for _ in range(3):
        wire.receive(GET)
    assert wire.to_client.count(b"HTTP/1.1 503 ") == 3


def test_a_denied_head_has_no_body_that_would_be_taken_for_the_next_answer(opts: Options, reports: Reports) -> None:
    wire = Wire(opts, deny)
    wire.receive(GET.replace(b"GET", b"HEAD"))
    assert wire.to_client.endswith(b"\r\n\r\n")
    wire.receive(GET)
    _, _, second = wire.to_client.partition(b"\r\n\r\n")
    assert second.startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize("chunked", [True, False])
def test_the_body_of_a_denied_request_is_dropped_as_it_comes(opts: Options, reports: Reports, chunked: bool) -> None:
    flows = []

    def deny_and_note(command: commands.StartHook) -> None:
        deny(command)
        flows.append(command.args()[0])

    wire = Wire(opts, deny_and_note)
    chunk, count = b"x" * (64 * KIB), 160  # 10 MiB in all
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (len(chunk) * count)
    wire.receive(b"POST http://example.com/a HTTP/1.1\r\nHost: example.com\r\n" + framing + b"\r\n\r\n")
    for _ in range(count):
        wire.receive(b"%x\r\n%s\r\n" % (len(chunk), chunk) if chunked else chunk)
        assert sum(len(stream.request_body_buf) for stream in wire.layer.streams.values()) == 0
        assert len(wire.layer.connections[wire.client].buf) < 2 * len(chunk)  # type: ignore[attr-defined]
    if chunked:
        wire.receive(b"0\r\n\r\n")
    assert wire.to_client.startswith(b"HTTP/1.1 503 ")
    assert wire.to_client.endswith(ANSWER.body)
    assert wire.opened == []
    assert flows[0].request.raw_content == b""
    wire.receive(GET)
    assert wire.to_client.count(b"HTTP/1.1 503 ") == 2


def test_a_body_that_is_not_denied_reaches_the_site_whole(opts: Options, reports: Reports) -> None:
    wire = Wire(opts, let_pass)
    wire.receive(b"POST http://example.com/a HTTP/1.1\r\nHost: example.com\r\nContent-Length: 10\r\n\r\n01234")
    wire.receive(b"56789")
    assert wire.to_server.endswith(b"\r\n\r\n0123456789")


def test_a_request_whose_hook_had_begun_to_stream_can_still_be_denied(opts: Options, reports: Reports) -> None:
    def stream_then_deny(command: commands.StartHook) -> None:
        if command.name == "requestheaders":
            command.args()[0].request.stream = lambda chunk: chunk
        deny(command)

    wire = Wire(opts, stream_then_deny)
    wire.receive(b"POST http://example.com/a HTTP/1.1\r\nHost: example.com\r\nContent-Length: 3\r\n\r\nabc")
    assert wire.to_client.startswith(b"HTTP/1.1 503 ")
    assert wire.opened == []


def test_a_refused_connect_opens_no_tunnel(opts: Options, reports: Reports) -> None:
    wire = Wire(opts, deny)
    wire.receive(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
    assert wire.hooks == ["http_connect", "http_connect_error"]
    assert wire.to_client.startswith(b"HTTP/1.1 503 ")
    assert wire.opened == []


# --- what our hooks rely on -----------------------------------------------------------------------------------------


def test_nothing_is_opened_before_the_hook_is_over_and_nothing_at_all_where_it_never_is(
    opts: Options, reports: Reports
) -> None:
    wire = Wire(opts, lambda command: command.name != "requestheaders")
    wire.receive(b"POST http://example.com/a HTTP/1.1\r\nHost: example.com\r\nContent-Length: 3\r\n\r\nabc")
    assert (wire.trace, wire.to_client) == (["requestheaders"], b"")


def test_a_tunnel_opens_no_connection_to_the_site(opts: Options, reports: Reports) -> None:
    wire = Wire(opts, let_pass)
    wire.receive(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
    assert wire.to_client.startswith(b"HTTP/1.1 200 ")
    wire.receive(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    assert wire.hooks == ["http_connect", "http_connected", "next_layer"]
    assert wire.opened == []


def test_a_streamed_answer_ends_with_one_hook(opts: Options, reports: Reports) -> None:
    seen: list[bytes] = []

    def meter(chunk: bytes) -> bytes:
        seen.append(chunk)
        return chunk

    def stream(command: commands.StartHook) -> None:
        if command.name == "responseheaders":
            command.args()[0].response.stream = meter

    wire = Wire(opts, stream)
    wire.receive(GET)
    wire.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
    assert wire.to_client.endswith(b"\r\n\r\nabc")
    wire.answer(b"def")
    assert (b"".join(seen), wire.hooks[-1]) == (b"abcdef", "response")
    assert wire.hooks.count("response") + wire.hooks.count("error") == 1


def test_the_request_line_sent_on_is_in_origin_form(opts: Options, reports: Reports) -> None:
    wire = Wire(opts, let_pass)
    wire.receive(GET)
    assert wire.to_server.startswith(b"GET /a HTTP/1.1\r\n")


def test_inside_a_tunnel_the_destination_is_the_tunnels_and_the_line_is_left_as_sent(
    opts: Options, reports: Reports
) -> None:
    """Why our hook compares all of them itself: mitmproxy does not."""
    seen = []

    def note(command: commands.StartHook) -> None:
        if command.name == "requestheaders":
            request = command.args()[0].request
            seen.append((request.host, request.authority, request.headers["host"]))

    wire = Wire(opts, note, http.HTTPMode.transparent)
    wire.layer.context.server.address = ("example.com", 80)
    wire.receive(b"GET http://evil.example/a HTTP/1.1\r\nHost: other.example\r\n\r\n")
    assert seen == [("example.com", "evil.example", "other.example")]


# --- what sites send --------------------------------------------------------------------------------------------------


def send_answer(wire: Wire, octets: bytes) -> None:
    """As a socket gives it, and nothing after the connection to the site is closed."""
    for start in range(0, len(octets), 64 * KIB):
        if wire.opened[-1] not in wire.closed:
            wire.answer(octets[start : start + 64 * KIB])


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * (300 * KIB) + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * (300 * KIB),
        b"HTTP/1.1 200 OK\r\n" + b"a:\r\n" * (LIMITS.head_fields + 10) + b"\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n" * (layers.INTERIM_ANSWERS_MAX + 1),
    ],
)
def test_a_head_of_the_site_that_is_too_large_ends_the_exchange(opts: Options, reports: Reports, head: bytes) -> None:
    wire = Wire(opts, let_pass)
    wire.receive(GET)
    send_answer(wire, head)
    assert is_problem(wire.to_client, b"HTTP/1.1 502 ")
    assert wire.hooks[-1] == "error"
    assert wire.opened[-1] in wire.closed
    assert not wire.is_open


def test_a_head_of_the_site_within_the_limits_is_passed_on_as_it_came(opts: Options, reports: Reports) -> None:
    fields = b"".join(b"X-%d: %s\r\n" % (i, b"x" * 200) for i in range(LIMITS.head_fields - 1))
    wire = Wire(opts, let_pass)
    wire.receive(GET)
    send_answer(wire, b"HTTP/1.1 200 OK\r\n" + fields + b"Content-Length: 2\r\n\r\nok")
    assert wire.to_client == b"HTTP/1.1 200 OK\r\n" + fields + b"Content-Length: 2\r\n\r\nok"


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_interim_answers_are_dropped_however_they_are_cut(opts: Options, reports: Reports, cut: int) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    wire = Wire(opts, let_pass)
    wire.receive(GET)
    wire.answer((interim + final)[:cut])
    wire.answer((interim + final)[cut:])
    assert wire.to_client == final
    assert wire.hooks.count("response") == 1


@pytest.mark.parametrize("line", [b"HTTP/1.1  103 x", b"HTTP/2.0 103 x", b"HTTP/1.1 0103 x", b"HTTP/1.1\t100"])
def test_an_interim_answer_in_a_strange_spelling_ends_the_exchange(
    opts: Options, reports: Reports, line: bytes
) -> None:
    wire = Wire(opts, let_pass)
    wire.receive(GET)
    wire.answer(line + b"\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert wire.to_client.startswith(b"HTTP/1.1 502 ")
    assert wire.hooks[-1] == "error"
    assert wire.opened[-1] in wire.closed


def test_switching_protocols_is_no_interim_answer(opts: Options, reports: Reports) -> None:
    wire = Wire(opts, let_pass)
    wire.receive(GET)
    wire.answer(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")
    assert wire.to_client.startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize("line", [b"5;x=" + b"x" * (300 * KIB), b"0\r\nX: " + b"x" * (300 * KIB)])
def test_chunk_framing_without_an_end_ends_the_exchange(opts: Options, reports: Reports, line: bytes) -> None:
    wire = Wire(opts, let_pass)
    wire.receive(GET)
    send_answer(wire, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + line)
    assert wire.hooks[-1] == "error"
    assert wire.opened[-1] in wire.closed


def test_a_failure_is_told_once_and_with_the_page_we_are_asked_for(opts: Options, reports: Reports) -> None:
    def stream(command: commands.StartHook) -> None:
        if command.name == "requestheaders":
            command.args()[0].request.stream = True

    wire = Wire(opts, stream)
    wire.receive(GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\nhalf"))
    wire.answer(b"nonsense\r\n\r\n")
    wire.hang_up()
    assert wire.to_client.count(b"HTTP/1.1 ") == 1


def test_a_failure_after_100_continue_is_told_and_one_after_an_answer_is_not(opts: Options, reports: Reports) -> None:
    def stream(command: commands.StartHook) -> None:
        if command.name == "requestheaders":
            command.args()[0].request.stream = True
        if command.name == "responseheaders":
            command.args()[0].response.stream = True

    wire = Wire(opts, stream)
    wire.receive(GET.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"))
    assert wire.to_client == b"HTTP/1.1 100 Continue\r\n\r\n"
    wire.answer(b"nonsense\r\n\r\n")
    assert is_problem(wire.to_client.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n"), b"HTTP/1.1 502 ")

    begun = Wire(opts, stream)
    begun.receive(GET)
    begun.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n")
    assert begun.to_client == b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert not begun.is_open


def test_a_failure_of_a_head_request_is_told_without_a_body(opts: Options, reports: Reports) -> None:
    wire = Wire(opts, let_pass)
    wire.receive(GET.replace(b"GET", b"HEAD"))
    wire.answer(b"nonsense\r\n\r\n")
    assert wire.to_client.startswith(b"HTTP/1.1 502 ")
    assert wire.to_client.endswith(b"\r\n\r\n")


def test_a_body_whose_framing_cannot_be_read_is_answered_400(opts: Options, reports: Reports) -> None:
    wire = Wire(opts, let_pass)
    wire.receive(
        GET.replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n")
    )
    assert is_problem(wire.to_client, b"HTTP/1.1 400 ")
    assert (wire.opened, wire.is_open) == ([], False)


def test_what_is_sent_ahead_of_an_answer_is_kept_up_to_a_limit(opts: Options, reports: Reports) -> None:
    wire = Wire(opts, let_pass)
    wire.receive(GET)
    send(wire, GET * 100)
    assert (wire.is_open, reports.made) == (True, [])
    send(wire, GET * 10_000)
    assert not wire.is_open
    assert wire.hooks[-1] == "error"
    assert reports.details == [f"More than {layers.AHEAD_BYTES_MAX} octets were sent ahead of an answer."]


def test_the_reading_side_of_a_connection_is_known_and_forgotten_with_it(opts: Options, reports: Reports) -> None:
    wire = Wire(opts, let_pass)
    assert layers.servers[wire.client.id].stream_id == 1
    assert layers.waiting_octets(wire.client.id) == 0
    assert layers.waiting_octets("nobody") == 0


# --- heads that servers read in more than one way ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        b"GET http://example.com/a HTTP/1.1\nHost: example.com\n\n",
        b"GET http://example.com/a HTTP/1.1\r\nHost: example.com\nX: y\r\n\r\n",
        b"GET http://example.com/a HTTP/1.1\r\nHost: example.com\r\nX: y\rZ: z\r\n\r\n",
        b"GET http://example.com/a HTTP/1.1\r\nHost: example.com\r\nX: y\r\n z\r\n\r\n",
        b"GET http://example.com/a HTTP/1.1\r\nHost: example.com\r\nX: a\0b\r\n\r\n",
        b"GET http://example.com/a HTTP/1.1\r\nHost: example.com\r\nX: a\x0bb\r\n\r\n",
        b"\r\nGET http://example.com/a HTTP/1.1\r\nHost: example.com\nX: y\r\n\r\n",
    ],
)
@pytest.mark.parametrize("cut", [1, 20, 1000])
def test_a_head_with_more_than_one_reading_is_refused(opts: Options, reports: Reports, head: bytes, cut: int) -> None:
    wire = Wire(opts, let_pass)
    for start in range(0, len(head), cut):
        wire.receive(head[start : start + cut])
    wire.receive(b"x")  # mitmproxy reads an empty line before a request only with what follows
    assert is_problem(wire.to_client, b"HTTP/1.1 400 ")
    assert (wire.hooks, wire.opened, wire.is_open) == ([], [], False)
    assert reports.details == [f"The request could not be read: {layers._AMBIGUITY}."]


def test_a_tab_in_a_value_and_a_body_of_any_octets_are_no_ambiguity(opts: Options, reports: Reports) -> None:
    wire = Wire(opts, let_pass)
    head = b"POST http://example.com/a HTTP/1.1\r\nHost: example.com\r\nX: a\tb\r\nContent-Length: 4\r\n\r\n"
    wire.receive(head + b"\n\r\0 ")
    assert wire.to_server.endswith(b"\n\r\0 ")
    assert reports.made == []


def test_the_limits_are_those_that_were_installed(opts: Options) -> None:
    small = MessageLimits(request_head_bytes=8192, head_fields=50)
    for head in (b"A: " + b"a" * 9000, b"a:\r\n" * 60):
        made = Reports()
        with narrowed(made, made.refuse):
            layers.install(made, made.refuse, limits=small)
            wire = Wire(opts, let_pass)
            wire.receive(b"GET http://example.com/a HTTP/1.1\r\n" + head + b"\r\n\r\n")
        assert is_problem(wire.to_client, b"HTTP/1.1 431 ")
        assert made.details[0].startswith("The request head ")


def test_the_limit_of_an_answers_head_is_the_one_that_was_installed(opts: Options, reports: Reports) -> None:
    layers.install(reports, reports.refuse, limits=MessageLimits(response_head_bytes=8192))
    wire = Wire(opts, let_pass)
    wire.receive(GET)
    wire.answer(b"HTTP/1.1 200 OK\r\nA: " + b"a" * 9000)
    assert wire.to_client.startswith(b"HTTP/1.1 502 ")
    assert b"larger than the sidecar takes" in wire.to_client
