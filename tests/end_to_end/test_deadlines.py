"""Every exchange ends in bounded time, once, with a reason: sites and crawlers that drip, stall, lie and leave.

All cases run at the same time against one sidecar whose deadlines are a second or two, and are looked at afterwards:
what the crawler got, and what the log says.  The clock is only looked at for the bound that holds for every case.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end import harness
from tests.end_to_end.harness import Sidecar, Site, tls_context
from tests.end_to_end.origin import Farm, Origin

SETTINGS = "drain_timeout_s = 2\n[client]\nhead_timeout_s = 1.5\n[robots]\nfetch_timeout_s = 1"
UPSTREAM = """\
connect_timeout_s = 1.5
tls_timeout_s = 1.5
first_byte_timeout_s = 1.5
idle_timeout_s = 4
total_timeout_s = 7
min_rate_window_s = 1.5
"""
# The longest limit above, the time a robots.txt may take, and room for a slow machine.
BOUND_S = 25
MEMORY_KIB = 60_000


def slug(name: str) -> str:
    """The name of a case as it stands in a query."""
    return name.replace(" ", "-")


@dataclass(slots=True, kw_only=True)
class Stage:
    """What the cases play on."""

    sidecar: Sidecar
    http: Origin
    https: Origin
    blackhole: int
    mute: int
    closed: int

    def request(self, name: str, path: str, *, method: str = "GET", fields: str = "", port: int | None = None) -> bytes:
        """A request in absolute form whose query names the case."""
        authority = self.http.authority if port is None else f"shop.test:{port}"
        joined = f"{path}{'&' if '?' in path else '?'}case={slug(name)}"
        head = f"{method} http://{authority}{joined} HTTP/1.1\r\nHost: {authority}\r\n{fields}\r\n"
        return head.encode()

    def wait_for(self, name: str) -> None:
        """Until the site has the request of a case."""
        deadline = time.monotonic() + BOUND_S
        while not any(seen.target.endswith("case=" + slug(name)) for seen in self.http.hits("/")):
            assert time.monotonic() < deadline, f"the site was never asked for {name}"
            time.sleep(0.02)

    def secured(self, name: str, path: str, port: int | None = None) -> tuple[ssl.SSLSocket, bytes]:
        """A TLS connection through a tunnel and the request to send on it."""
        authority = f"shop.test:{port or self.https.port}"
        context = tls_context(self.sidecar.site.certificate)
        tunnel = context.wrap_socket(self.sidecar.tunnel(authority), server_hostname="shop.test")
        joined = f"{path}{'&' if '?' in path else '?'}case={slug(name)}"
        return tunnel, f"GET {joined} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode()


Play = Callable[[Stage, str], bytes]


@dataclass(slots=True, kw_only=True)
class Case:
    """What is played, and what must come of it."""

    play: Play
    outcome: str
    error: str = ""
    """What the completion's error begins with."""
    status: int | None = None
    """The status the crawler gets: of the site, or of the sidecar's own page where ``proxy_error`` is given."""
    proxy_error: str | None = None
    got: bytes = b""
    took_s: float = 0


RESET = b"\r\n(reset)"
"""What stands after the octets of a connection that did not end in order."""


def read_to_end(connection: socket.socket) -> bytes:
    """What comes until the connection ends, however it ends; TimeoutError where it does not."""
    connection.settimeout(BOUND_S)
    received = b""
    try:
        while chunk := connection.recv(65_536):
            received = (received + chunk)[:100_000]
    except (ConnectionResetError, ssl.SSLError):
        return received + RESET
    return received


def ask(path: str, *, method: str = "GET", fields: str = "Connection: close\r\n", body: bytes = b"") -> Play:
    """One request over plain HTTP, read to the end of the connection."""

    def play(stage: Stage, name: str) -> bytes:
        with stage.sidecar.connect() as connection:
            connection.sendall(stage.request(name, path, method=method, fields=fields) + body)
            return read_to_end(connection)

    return play


def ask_port(which: str) -> Play:
    """One request to a port where nobody answers."""

    def play(stage: Stage, name: str) -> bytes:
        with stage.sidecar.connect() as connection:
            connection.sendall(stage.request(name, "/page", port=getattr(stage, which)))
            return read_to_end(connection)

    return play


def ask_secured(path: str, which: str | None = None) -> Play:
    """One request over HTTPS."""

    def play(stage: Stage, name: str) -> bytes:
        connection, request = stage.secured(name, path, getattr(stage, which) if which else None)
        with connection:
            connection.sendall(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            return read_to_end(connection)

    return play


def leave(path: str, until: bytes | None, *, which: str | None = None, fields: str = "") -> Play:
    """Ask, and leave after ``until`` has come, or a little later where nothing comes."""

    def play(stage: Stage, name: str) -> bytes:
        with stage.sidecar.connect() as connection:
            port = getattr(stage, which) if which else None
            method = "POST" if fields else "GET"
            connection.sendall(stage.request(name, path, port=port, fields=fields, method=method))
            received = b""
            while until is not None and until not in received:
                received += connection.recv(4096)
            if until is None and which is None:
                stage.wait_for(name)
            elif which is not None:
                time.sleep(1.2)  # the site says nothing that could be waited for
        return b""

    return play


def drip_request(octets: Callable[[Stage, str], bytes]) -> Play:
    """Send the first octets at once and then one every 0.2 s, until the connection ends."""

    def play(stage: Stage, name: str) -> bytes:
        with stage.sidecar.connect() as connection:
            connection.sendall(octets(stage, name))
            connection.settimeout(0.2)
            received, deadline = b"", time.monotonic() + BOUND_S
            while time.monotonic() < deadline:
                try:
                    connection.sendall(b"x")
                    chunk = connection.recv(4096)
                    received += chunk
                    if not chunk:
                        return received
                except TimeoutError:
                    continue
                except OSError:
                    return received
        raise AssertionError("the drip went on for ever")

    return play


def take_nothing(stage: Stage, name: str) -> bytes:
    """Ask for a large body and never read it."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, _, port = str(stage.sidecar.ready["proxy"]).rpartition(":")
        connection.connect((host, int(port)))
        connection.sendall(stage.request(name, "/big?bytes=50000000"))
        stage.wait_for(name)
        time.sleep(6)
        return b""


def send_ahead(stage: Stage, name: str) -> bytes:
    """Ask, and send megabytes of further requests while nothing is answered."""
    with stage.sidecar.connect() as connection:
        first = stage.request(name, "/odd/silent")
        connection.sendall(first)
        stage.wait_for(name)
        with contextlib.suppress(OSError):
            connection.sendall(b"GET http://shop.test/ahead HTTP/1.1\r\n" * 100_000)
        return read_to_end(connection)


def after_the_site_left(stage: Stage, name: str) -> bytes:
    """A second request on a connection that the site closes as it arrives."""
    with stage.sidecar.connect() as connection:
        connection.sendall(stage.request("first", "/page"))
        first = connection.recv(4096)
        assert first.startswith(b"HTTP/1.1 200 "), first
        connection.sendall(stage.request(name, "/odd/reset"))
        return read_to_end(connection)


PAGE = {"status": 504, "outcome": "timeout"}
BROKEN = {"status": 502, "outcome": "upstream_error"}
CHUNKED = "Connection: close\r\nTransfer-Encoding: chunked\r\n"
HALF_BODY = "Content-Length: 1000\r\n"


def cases() -> dict[str, Case]:
    """Every case by its name."""
    return {
        # --- sites that keep somebody waiting ---
        "connect": Case(
            play=ask_port("blackhole"), error="timeout:connect: ", proxy_error="connection_timeout", **PAGE
        ),
        "tls": Case(play=ask_secured("/page", "mute"), error="timeout:tls: ", proxy_error="connection_timeout", **PAGE),
        "first byte": Case(
            play=ask("/odd/silent"), error="timeout:first_byte: ", proxy_error="http_response_timeout", **PAGE
        ),
        "first byte over TLS": Case(
            play=ask_secured("/odd/silent"), error="timeout:first_byte: ", proxy_error="http_response_timeout", **PAGE
        ),
        "half a head": Case(
            play=ask("/odd/half-head"), error="timeout:head: ", proxy_error="http_response_timeout", **PAGE
        ),
        "head drip": Case(
            play=ask("/odd/head-drip"), error="timeout:head: ", proxy_error="http_response_timeout", **PAGE
        ),
        "head drip to HEAD": Case(
            play=ask("/odd/head-drip", method="HEAD"),
            error="timeout:head: ",
            proxy_error="http_response_timeout",
            **PAGE,
        ),
        "head drip after 100": Case(
            play=ask(
                "/odd/head-drip", method="POST", fields="Expect: 100-continue\r\nContent-Length: 2\r\n", body=b"ab"
            ),
            error="timeout:head: ",
            proxy_error="http_response_timeout",
            **PAGE,
        ),
        "interim flood": Case(play=ask("/odd/interim-flood"), proxy_error="http_protocol_error", **BROKEN),
        "body drip": Case(play=ask("/odd/body-drip"), outcome="timeout", error="timeout:rate: ", status=200),
        "body drip over TLS": Case(
            play=ask_secured("/odd/body-drip"), outcome="timeout", error="timeout:rate: ", status=200
        ),
        "body drip without length": Case(
            play=ask("/odd/body-drip?until=close"), outcome="timeout", error="timeout:rate: ", status=200
        ),
        "stall": Case(play=ask("/odd/stall"), outcome="timeout", error="timeout:rate: ", status=200),
        "endless": Case(play=ask("/odd/endless"), outcome="timeout", error="timeout:total: ", status=200),
        # --- crawlers that keep somebody waiting ---
        "half a body sent": Case(
            play=ask("/form", method="POST", fields=HALF_BODY, body=bytes(400)),
            outcome="timeout",
            error="timeout:request: ",
            status=408,
            proxy_error="http_request_error",
        ),
        "body sent in drips": Case(
            play=drip_request(lambda stage, name: stage.request(name, "/form", method="POST", fields=HALF_BODY)),
            outcome="timeout",
            error="timeout:request: ",
            status=408,
            proxy_error="http_request_error",
        ),
        "nothing taken": Case(play=take_nothing, outcome="timeout", error="timeout:client_rate: "),
        "sent ahead": Case(play=send_ahead, outcome="client_abort"),
        # --- sites that break off or talk nonsense ---
        "reset": Case(play=ask("/odd/reset"), proxy_error="connection_terminated", **BROKEN),
        "reset over TLS": Case(play=ask_secured("/odd/reset"), proxy_error="connection_terminated", **BROKEN),
        "reset on a used connection": Case(play=after_the_site_left, proxy_error="connection_terminated", **BROKEN),
        "left within the head": Case(
            play=ask("/odd/half-head?leave=yes"), proxy_error="http_response_incomplete", **BROKEN
        ),
        "left within the body": Case(play=ask("/odd/cut"), outcome="upstream_error", status=200),
        "no http": Case(play=ask("/odd/no-http"), proxy_error="http_protocol_error", **BROKEN),
        "two lengths": Case(play=ask("/odd/two-lengths"), proxy_error="http_protocol_error", **BROKEN),
        "bad chunk": Case(play=ask("/odd/bad-chunk"), outcome="upstream_error", status=200),
        "bad trailer": Case(play=ask("/odd/bad-trailer"), outcome="upstream_error", status=200),
        "long chunk line": Case(play=ask("/odd/long-chunk-line"), outcome="upstream_error", status=200),
        "giant head": Case(
            play=ask("/odd/giant-head?bytes=200000000&field=60000"),
            proxy_error="http_response_header_section_size",
            **BROKEN,
        ),
        "a field without end": Case(
            play=ask("/odd/giant-head?bytes=200000000&field=2000000"),
            proxy_error="http_response_header_section_size",
            **BROKEN,
        ),
        "many fields": Case(
            play=ask("/odd/giant-head?bytes=24000&field=1"),
            proxy_error="http_response_header_section_size",
            **BROKEN,
        ),
        "nobody listens": Case(play=ask_port("closed"), proxy_error="connection_refused", **BROKEN),
        # --- odd, and good all the same ---
        "103": Case(play=ask("/odd/103"), outcome="completed", status=200),
        "trailers": Case(play=ask("/odd/trailers"), outcome="completed", status=200),
        "request trailers": Case(
            play=ask("/form", method="POST", fields=CHUNKED, body=b"5\r\nhello\r\n0\r\nX-Sum: 5d\r\n\r\n"),
            outcome="completed",
            status=200,
        ),
        "204 with a body": Case(play=ask("/odd/204-with-body"), outcome="completed", status=204),
        "304 with a body": Case(play=ask("/odd/304-with-body"), outcome="completed", status=304),
        "a body for HEAD": Case(play=ask("/odd/body-for-head", method="HEAD"), outcome="completed", status=200),
        "more than said": Case(play=ask("/odd/more-than-said"), outcome="completed", status=200),
        # --- crawlers that leave or talk nonsense ---
        "left while connecting": Case(play=leave("/page", None, which="blackhole"), outcome="not_sent"),
        "left before the answer": Case(play=leave("/odd/silent", None), outcome="client_abort"),
        "left within the answer's head": Case(play=leave("/odd/half-head", None), outcome="client_abort"),
        "left within the answer's body": Case(play=leave("/odd/body-drip", b"\r\n\r\n."), outcome="client_abort"),
        "left within the request": Case(play=leave("/form", None, fields=HALF_BODY), outcome="client_abort"),
        "chunked nonsense": Case(
            play=ask("/form", method="POST", fields=CHUNKED, body=b"nonsense\r\n\r\n"),
            outcome="not_sent",
            status=400,
            proxy_error="http_request_error",
        ),
    }


def descriptors(sidecar: Sidecar) -> int:
    """Open sockets of the sidecar; its log opens and closes files at times of its own."""
    found = 0
    for entry in Path(f"/proc/{sidecar.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed in the meantime
            found += str(entry.readlink()).startswith("socket:")
    return found


def tunnel_drip(stage: Stage, name: str) -> bytes:
    """A tunnel through which a TLS handshake comes octet by octet."""
    authority = f"shop.test:{stage.https.port}".encode()
    begin = b"CONNECT " + authority + b" HTTP/1.1\r\nHost: " + authority + b"\r\n\r\n\x16\x03\x01\x02\x00\x01"
    return drip_request(lambda stage, name: begin)(stage, name)


UNDECIDED: dict[str, Play] = {
    "half a request line": drip_request(lambda stage, name: b"GET http://shop.test/"),
    "head in drips": drip_request(
        lambda stage, name: b"GET http://shop.test/ HTTP/1.1\r\nHost: shop.test\r\nX-" + b"y" * 20
    ),
    "handshake in drips": tunnel_drip,
    "body of a refused request": drip_request(
        lambda stage, name: stage.request(name, "/a", method="POST", fields=HALF_BODY).replace(
            b"Host: shop.test", b"Host: news.test"
        )
    ),
}


@dataclass(slots=True, kw_only=True)
class Played:
    """All cases after they were played."""

    stage: Stage
    cases: dict[str, Case]
    undecided: dict[str, bytes]
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    incidents: list[dict[str, Any]] = field(default_factory=list)
    metrics: str = ""
    grown_kib: int = 0
    descriptors: tuple[int, int] = (0, 0)
    errors: str = ""


@contextlib.contextmanager
def dead_ends() -> Iterator[dict[str, int]]:
    """Ports on which a connection is never made, one is made and nothing said, and one is refused."""
    with contextlib.ExitStack() as stack:
        blackhole = stack.enter_context(socket.socket())
        blackhole.bind(("127.0.0.1", 0))
        blackhole.listen(0)
        for _ in range(2):  # Linux drops the SYN for a listener whose queue is full
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(blackhole.getsockname())
        mute = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        yield {"blackhole": blackhole.getsockname()[1], "mute": mute.getsockname()[1], "closed": port}


def play_all(stage: Stage) -> Played:
    """Play every case at the same time and read the log afterwards."""
    played = Played(stage=stage, cases=cases(), undecided={})
    with stage.sidecar.client() as client:  # robots.txt of both sites, so that the cases begin at once
        for origin in (stage.http, stage.https):
            assert client.get(origin.url + "/page").status_code == 200
    stage.sidecar.reset_peak()
    before, open_before = stage.sidecar.peak_kib(), descriptors(stage.sidecar)

    def play(name: str) -> None:
        case, begun = played.cases[name], time.monotonic()
        case.got = case.play(stage, name)
        case.took_s = time.monotonic() - begun

    with ThreadPoolExecutor(len(played.cases) + len(UNDECIDED)) as pool:
        others = {name: pool.submit(run, stage, name) for name, run in UNDECIDED.items()}
        for done in [pool.submit(play, name) for name in played.cases]:
            done.result(3 * BOUND_S)
        played.undecided = {name: done.result(3 * BOUND_S) for name, done in others.items()}
    played.grown_kib = stage.sidecar.peak_kib() - before
    deadline = time.monotonic() + BOUND_S
    while descriptors(stage.sidecar) > open_before and time.monotonic() < deadline:
        time.sleep(0.1)
    played.descriptors = (open_before, descriptors(stage.sidecar))
    return played


@pytest.fixture(scope="module")
def played(site: Site, sites: Farm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """The whole play."""
    directory: Path = tmp_path_factory.mktemp("deadlines")
    with (
        dead_ends() as ports,
        harness.running(site, directory, settings=SETTINGS, upstream=UPSTREAM) as sidecar,
    ):
        stage = Stage(sidecar=sidecar, http=sites.start(), https=sites.start("https"), **ports)
        made = play_all(stage)
        query = "SELECT * FROM exchange WHERE target LIKE '%case=%' ORDER BY seq"
        for row in sidecar.sealed_rows(query):
            made.rows.setdefault(row["target"].rpartition("case=")[2], []).append(row)
        made.incidents = sidecar.rows("SELECT incident, detail FROM incident")
        made.metrics = httpx.get(f"http://{sidecar.ready['admin']}/metrics", trust_env=False).text
        made.errors = sidecar.stderr.read_text()
        yield made


def parts(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, fields and body of the last answer among octets; 100 Continue is none."""
    answer = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(": ") for line in lines)
    return int(line.split(" ")[1]), {name.lower(): value for name, _, value in pairs}, body


@pytest.mark.parametrize("name", list(cases()))
def test_an_exchange_ends_once_with_its_outcome(name: str, played: Played) -> None:
    case = played.cases[name]
    assert case.took_s < BOUND_S
    (row,) = played.rows[slug(name)]
    assert (row["action"], row["outcome"]) == ("forwarded", case.outcome), row["error"]
    assert (row["error"] or "").startswith(case.error)
    if case.error:
        assert row["error"].endswith(".")
    assert row["duration_ms"] < BOUND_S * 1000


@pytest.mark.parametrize("name", [name for name, case in cases().items() if case.status is not None])
def test_what_the_crawler_gets_is_the_sites_answer_or_a_problem_document(name: str, played: Played) -> None:
    case = played.cases[name]
    status, fields, body = parts(case.got)
    assert status == case.status
    if case.proxy_error is None:
        assert "proxy-status" not in fields
        return
    assert fields["content-type"] == "application/problem+json"
    assert fields["proxy-status"] == f"crawl-audit; error={case.proxy_error}"
    assert fields["connection"] == "close"
    if "HEAD" in name:
        assert body == b""
        return
    assert int(fields["content-length"]) == len(body)
    problem = json.loads(body)
    assert problem["status"] == case.status
    assert problem["detail"].endswith(".")
    assert problem["advice"].endswith(".")
    if status >= 500 or "timeout" in problem["type"]:
        assert problem["exchange_id"] == played.rows[slug(name)][0]["exchange_id"]


def test_an_answer_that_was_cut_never_looks_whole(played: Played) -> None:
    """Without a length only the way the connection ends tells the crawler."""
    row = played.rows["body-drip-without-length"][0]
    assert (row["outcome"], row["status"], row["body_sha256"]) == ("timeout", 200, None)
    assert played.cases["body drip without length"].got.endswith(RESET)


def test_odd_answers_that_are_whole_arrive_whole(played: Played) -> None:
    assert parts(played.cases["103"].got)[2] == b"hello"
    assert parts(played.cases["trailers"].got)[2].startswith(b"5\r\nhello\r\n0\r\n")
    assert parts(played.cases["more than said"].got)[2] == b"hello"
    for name in ("204 with a body", "304 with a body", "a body for HEAD"):
        assert parts(played.cases[name].got)[2] == b""


def test_requests_that_were_never_finished_are_incidents(played: Played) -> None:
    found = [row["detail"] for row in played.incidents if row["incident"] == "client_timeout"]
    assert len(found) == len(UNDECIDED)
    assert all(detail.endswith(".") for detail in found)
    for name in ("half a request line", "head in drips"):
        status, fields, body = parts(played.undecided[name])
        assert (status, fields["content-type"]) == (408, "application/problem+json")
        assert json.loads(body)["detail"].endswith(".")


def test_what_was_sent_too_far_ahead_is_an_incident(played: Played) -> None:
    found = [row["detail"] for row in played.incidents if row["incident"] == "malformed_request"]
    assert [detail for detail in found if "sent ahead" in detail] != []


def test_memory_stays_flat_and_no_descriptor_is_left_open(played: Played) -> None:
    assert played.grown_kib < MEMORY_KIB
    before, after = played.descriptors
    assert after <= before


def test_nothing_went_wrong_inside(played: Played) -> None:
    assert "crashed" not in played.errors
    assert "Traceback" not in played.errors
    assert "never retrieved" not in played.errors


@pytest.mark.parametrize(
    "limit", ["connect", "tls", "first_byte", "head", "rate", "request", "client_rate", "total", "client_head"]
)
def test_every_limit_is_counted(limit: str, played: Played) -> None:
    (value,) = [
        float(line.rpartition(" ")[2])
        for line in played.metrics.splitlines()
        if line.startswith(f'crawl_audit_limit_exceeded_total{{limit="{limit}"}}')
    ]
    assert value >= 1


# --- a stop in the middle of everything -------------------------------------------------------------------------------


def hold_open(stage: Stage, stack: contextlib.ExitStack) -> list[str]:
    """One exchange in every phase that can last, each on a connection of its own; their names."""
    held = {
        "connecting": stage.request("connecting", "/page", port=stage.blackhole),
        "silent": stage.request("silent", "/odd/silent"),
        "within-the-head": stage.request("within-the-head", "/odd/head-drip"),
        "within-the-body": stage.request("within-the-body", "/odd/body-drip"),
        "without-length": stage.request("without-length", "/odd/body-drip?until=close"),
        "within-the-request": stage.request("within-the-request", "/form", method="POST", fields=HALF_BODY) + b"half",
        "not-taken": stage.request("not-taken", "/big?bytes=50000000"),
    }
    for request in held.values():
        stack.enter_context(stage.sidecar.connect()).sendall(request)
    for name, path, port in (("handshake", "/page", stage.mute), ("secured", "/odd/stall", None)):
        connection, request = stage.secured(name, path, port)
        stack.enter_context(connection).sendall(request)
        held[name] = request
    stack.enter_context(stage.sidecar.connect()).sendall(b"GET http://shop.test/half")
    return list(held)


def test_a_stop_ends_every_phase_in_time_and_on_record(sidecar: Callable[..., Sidecar], sites: Farm) -> None:
    settings = "drain_timeout_s = 1.0\n[robots]\nfetch_timeout_s = 0.5"
    with dead_ends() as ports, contextlib.ExitStack() as stack:
        started = sidecar(settings=settings, upstream="connect_timeout_s = 60\ntls_timeout_s = 60")
        stage = Stage(sidecar=started, http=sites.start(), https=sites.start("https"), **ports)
        held = hold_open(stage, stack)
        in_flight = "crawl_audit_inflight_exchanges"
        deadline = time.monotonic() + BOUND_S
        while (found := metric(started, in_flight)) < len(held):
            assert time.monotonic() < deadline, f"only {found} exchanges were begun"
            time.sleep(0.05)
        begun = time.monotonic()
        assert started.stop() == 0
        assert time.monotonic() - begun < BOUND_S
    rows = started.rows("SELECT target, outcome FROM exchange WHERE target LIKE '%case=%'")
    assert sorted((row["target"].rpartition("case=")[2], row["outcome"]) for row in rows) == sorted(
        (name, "proxy_shutdown") for name in held
    )
    assert "Traceback" not in started.stderr.read_text()


def metric(sidecar: Sidecar, name: str) -> float:
    """The value of a metric without labels."""
    text = httpx.get(f"http://{sidecar.ready['admin']}/metrics", trust_env=False).text
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(name + " "))


def test_an_upload_waits_at_the_crawler_while_the_site_is_connected_to(played: Played) -> None:
    """mitmproxy alone would take it all into memory."""
    stage = played.stage
    stage.sidecar.reset_peak()
    before = stage.sidecar.peak_kib()
    fields = "Content-Length: 300000000\r\n"
    sent = 0
    with stage.sidecar.connect() as connection:
        connection.sendall(stage.request("upload", "/form", method="POST", fields=fields, port=stage.blackhole))
        with contextlib.suppress(OSError):
            while sent < 300_000_000:
                connection.sendall(bytes(1_000_000))
                sent += 1_000_000
        with contextlib.suppress(OSError):
            read_to_end(connection)
    assert sent < 300_000_000
    assert stage.sidecar.peak_kib() - before < MEMORY_KIB
    (row,) = stage.sidecar.sealed_rows("SELECT * FROM exchange WHERE target LIKE '%case=upload'")
    assert (row["outcome"], row["error"].partition(": ")[0]) == ("timeout", "timeout:connect")
