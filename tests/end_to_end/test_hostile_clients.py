"""Crawlers that mean harm: nothing they send reaches a site without a decision on record, and others are served.

One sidecar with two crawlers: one that misbehaves, and one beside it who crawls a good site all the time.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end import harness
from tests.end_to_end.bystander import MEMORY_KIB, bystander, exchanges, visits
from tests.end_to_end.harness import Sidecar, Site, read_all
from tests.end_to_end.origin import Farm, Origin

TOKENS = {"rogue": "rogue-7f3a9c51d2e84b60", "good": "good-c0ffee51d2e84b61", "flooder": "flooder-e7c0ffee51d2e84b"}
CONNECTIONS = 400


def crawlers() -> str:
    """A crawler that misbehaves, one that does not, and one that floods and has limits of its own."""
    tables = [
        f'[[crawlers]]\nid = "{name}"\nproduct_tokens = ["TestBot"]\n'
        f'token_sha256 = "{hashlib.sha256(token.encode()).hexdigest()}"\n'
        for name, token in TOKENS.items()
    ]
    tables[2] += "requests_per_s = 2\nmax_open_exchanges = 5\n"
    limits = f"[limits]\nopen_connections = {CONNECTIONS}\nrequest_body_mib = 1\nrequest_target_bytes = 8000\n"
    return limits + "[client]\nhead_timeout_s = 3\n" + "".join(tables)


@pytest.fixture(scope="module")
def sidecar(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    directory = tmp_path_factory.mktemp("hostile-clients")
    with harness.running(site, directory, mode="enforce", settings=crawlers(), arguments=()) as started:
        started.reset_peak()
        yield started


@pytest.fixture(scope="module")
def idle_kib(sidecar: Sidecar, sites: Farm) -> int:
    """The sidecar's memory after its first request."""
    origin = sites.start()
    with good(sidecar) as client:
        assert client.get(origin.url + "/page").status_code == 200
    sidecar.reset_peak()
    return sidecar.peak_kib()


@pytest.fixture(autouse=True)
def _bounded_and_alive(sidecar: Sidecar, sites: Farm, idle_kib: int) -> Iterator[None]:
    """Whatever a test did: memory is bounded, and the next crawler is served."""
    yield
    octets = head(sites.start(), "/after", b"Connection: close", crawler="good")
    assert statuses(sidecar.ask(octets)) == [200]
    assert sidecar.peak_kib() - idle_kib < MEMORY_KIB
    said = sidecar.stderr.read_text()
    assert [word for word in ("Traceback", "crashed", "Addon error") if word in said] == []


def good(sidecar: Sidecar) -> httpx.Client:
    return sidecar.client(proxy=f"http://good:{TOKENS['good']}@{sidecar.ready['proxy']}")


def head(
    origin: Origin,
    path: str = "/page",
    *fields: bytes,
    method: str = "GET",
    end: bytes = b"\r\n",
    crawler: str = "rogue",
) -> bytes:
    """The head of a request in absolute form."""
    lines = [
        f"{method} {origin.url}{path} HTTP/1.1".encode(),
        f"Host: {origin.authority}".encode(),
        b"Proxy-Authorization: Bearer " + TOKENS[crawler].encode(),
        *fields,
    ]
    return end.join(lines) + end + end


def statuses(answers: bytes) -> list[int]:
    """The statuses of the answers in a row of octets."""
    return [int(found) for found in re.findall(rb"HTTP/1\.1 ([2-5]\d\d) ", answers)]


def assert_all_on_record(sidecar: Sidecar, origin: Origin) -> None:
    """As many requests arrived as decisions let pass, each with an end."""
    assert_recorded(origin, exchanges(sidecar, origin.port))


def assert_recorded(origin: Origin, rows: list[dict[str, Any]]) -> None:
    """The same, of rows that are at hand."""
    forwarded = [row for row in rows if row["action"] == "forwarded"]
    assert visits(origin) == len([row for row in forwarded if row["outcome"] != "not_sent"])
    assert [row["target"] for row in forwarded if row["outcome"] is None] == []
    assert {seen.target for seen in origin.seen} - {"/robots.txt"} <= {row["target"] for row in forwarded}


# --- smuggling --------------------------------------------------------------------------------------------------------

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n"
CHUNKED_END = b"0\r\n\r\n"
FRAMINGS: dict[str, tuple[tuple[bytes, ...], bytes]] = {
    "CL.TE": ((b"Content-Length: 6", b"Transfer-Encoding: chunked"), CHUNKED_END + SMUGGLED),
    "TE.CL": ((b"Transfer-Encoding: chunked", b"Content-Length: 4"), b"2d\r\n" + SMUGGLED + b"\r\n" + CHUNKED_END),
    "TE.TE with a second coding": ((b"Transfer-Encoding: chunked", b"Transfer-Encoding: x"), CHUNKED_END + SMUGGLED),
    "an unknown coding": ((b"Transfer-Encoding: xchunked", b"Content-Length: 5"), CHUNKED_END + SMUGGLED),
    "chunked not last": ((b"Transfer-Encoding: chunked, identity",), CHUNKED_END + SMUGGLED),
    "a space before the colon": ((b"Transfer-Encoding : chunked", b"Content-Length: 5"), CHUNKED_END + SMUGGLED),
    "a vertical tab": ((b"Transfer-Encoding:\x0bchunked", b"Content-Length: 5"), CHUNKED_END + SMUGGLED),
    "a fold": ((b"Transfer-Encoding:\r\n chunked", b"Content-Length: 5"), CHUNKED_END + SMUGGLED),
    "a bare LF before it": ((b"X: a\nTransfer-Encoding: chunked", b"Content-Length: 5"), CHUNKED_END + SMUGGLED),
    "a bare CR before it": ((b"X: a\rTransfer-Encoding: chunked", b"Content-Length: 5"), CHUNKED_END + SMUGGLED),
    "a NUL before it": ((b"X: a\0Transfer-Encoding: chunked", b"Content-Length: 5"), CHUNKED_END + SMUGGLED),
    "two lengths": ((b"Content-Length: 5", b"Content-Length: 0"), CHUNKED_END + SMUGGLED),
    "a list of lengths": ((b"Content-Length: 5, 0",), CHUNKED_END + SMUGGLED),
    "a length with a sign": ((b"Content-Length: +5",), CHUNKED_END + SMUGGLED),
    "a length in hexadecimal": ((b"Content-Length: 0x5",), CHUNKED_END + SMUGGLED),
    "a length named by Connection": ((b"Connection: Content-Length", b"Content-Length: 5"), CHUNKED_END + SMUGGLED),
    "a coding named by Connection": (
        (b"Connection: Transfer-Encoding", b"Transfer-Encoding: chunked"),
        CHUNKED_END + SMUGGLED,
    ),
    "a chunk size with a sign": ((b"Transfer-Encoding: chunked",), b"+0\r\n\r\n" + SMUGGLED),
    "a chunk size in hexadecimal": ((b"Transfer-Encoding: chunked",), b"0x0\r\n\r\n" + SMUGGLED),
    "a chunk extension over two lines": ((b"Transfer-Encoding: chunked",), b"0;a\nb\r\n\r\n" + SMUGGLED),
    "a chunk that is too short": ((b"Transfer-Encoding: chunked",), b"1\r\nabc\r\n" + CHUNKED_END + SMUGGLED),
    "a body with GET": ((b"Content-Length: %d" % len(SMUGGLED),), SMUGGLED),
    "trailers": ((b"Transfer-Encoding: chunked",), b"0\r\nContent-Length: 5\r\n\r\n" + SMUGGLED),
}


# What is sent, and the statuses that may come back; none of it may arrive.
AMBIGUOUS: dict[str, tuple[Callable[[Origin], bytes], set[int]]] = {
    "bare LF": (lambda origin: head(origin, end=b"\n"), {400}),
    "folded": (lambda origin: head(origin, "/page", b"X: a\r\n b"), {400}),
    "NUL": (lambda origin: head(origin, "/page", b"X: a\0b"), {400}),
    "two Hosts": (lambda origin: head(origin, "/page", b"Host: news.test"), {421}),
    "another Host": (lambda origin: head(origin).replace(b"Host: shop", b"Host: news"), {421}),
    "user in the authority": (lambda origin: head(origin).replace(b"http://", b"http://news.test@"), {400, 421}),
    "another scheme": (lambda origin: head(origin).replace(b"http://", b"ftp://"), {400, 421}),
    "no version": (lambda origin: f"GET {origin.url}/page\r\n\r\n".encode(), {400}),
    "HTTP/2 preface": (lambda _: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400}),
    "a long target": (lambda origin: head(origin, "/" + "a" * 9000), {414}),
    "a large body": (
        lambda origin: head(origin, "/page", b"Content-Length: 2000000", method="POST") + bytes(2_000_000),
        {413},
    ),
    "slipping out": (lambda origin: head(origin, "/public/%2e%2e/private/x"), {403}),
    "slashes": (lambda origin: head(origin, "//private/x"), {403}),
}


@dataclass(slots=True, kw_only=True)
class Sent:
    """What one case sent, where to, and what came back."""

    origin: Origin
    octets: bytes
    answers: bytes = b""
    rows: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture(scope="module")
def sent(sidecar: Sidecar, sites: Farm, idle_kib: int) -> dict[str, Sent]:
    """Every case of both tables, played at the same time, each with a site of its own."""
    made: dict[str, Sent] = {}
    for name, (fields, body) in FRAMINGS.items():
        origin, method = sites.start(), "GET" if "GET" in name else "POST"
        made[name] = Sent(origin=origin, octets=head(origin, "/page", *fields, method=method) + body)
    for name, (octets, _) in AMBIGUOUS.items():
        origin = sites.start()
        made[name] = Sent(origin=origin, octets=octets(origin))

    def send(one: Sent) -> None:
        with sidecar.connect() as connection:
            connection.sendall(one.octets)
            one.answers = read_all(connection, idle_s=5)

    with ThreadPoolExecutor(len(made)) as pool:
        list(pool.map(send, made.values()))
    rows = exchanges(sidecar, *(one.origin.port for one in made.values()))
    for one in made.values():
        one.rows = [row for row in rows if row["port"] == one.origin.port]
    return made


@pytest.mark.parametrize("name", FRAMINGS)
def test_no_framing_smuggles_a_request_past_a_decision(name: str, sent: dict[str, Sent]) -> None:
    one = sent[name]
    assert statuses(one.answers)
    # What follows a request is the next request: it has no token, so nothing by that name ever arrives.
    assert one.origin.hits("/smuggled") == []
    assert_recorded(one.origin, one.rows)


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_what_can_be_read_in_two_ways_or_is_too_large_is_refused(name: str, sent: dict[str, Sent]) -> None:
    one, expected = sent[name], AMBIGUOUS[name][1]
    found = set(statuses(one.answers))
    assert found and found <= expected
    assert visits(one.origin) == 0
    assert_recorded(one.origin, one.rows)


def test_an_upgrade_to_h2c_is_not_passed_on(sidecar: Sidecar, sites: Farm) -> None:
    origin = sites.start()
    fields = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__")
    with sidecar.connect() as connection:
        connection.sendall(head(origin, "/page", *fields))
        assert statuses(read_all(connection, idle_s=0.5)) == [200]
    (seen,) = origin.hits("/page")
    assert not {"upgrade", "http2-settings", "connection"} & {name.lower() for name, _ in seen.fields}
    assert_all_on_record(sidecar, origin)


def test_fields_of_the_connection_and_the_token_stay_here(sidecar: Sidecar, sites: Farm) -> None:
    origin = sites.start()
    fields = (b"Connection: close, X-Hop", b"X-Hop: 1", b"Keep-Alive: 5", b"TE: trailers", b"Proxy-Foo: 1", b"X-End: 1")
    with sidecar.connect() as connection:
        connection.sendall(head(origin, "/page", *fields))
        assert statuses(read_all(connection)) == [200]
    names = {name.lower() for name, _ in origin.hits("/page")[0].fields}
    assert names == {"host", "connection", "x-end"}


def test_requests_in_one_go_are_answered_one_by_one_with_a_decision_each(sidecar: Sidecar, sites: Farm) -> None:
    origin = sites.start()
    paths = ["/page?1", "/private/2", "/page?3", "/page?4"]
    with sidecar.connect() as connection:
        connection.sendall(b"".join(head(origin, path) for path in paths))
        assert statuses(read_all(connection, idle_s=1)) == [200, 403, 200, 200]
    assert [row["target"] for row in exchanges(sidecar, origin.port)] == paths
    assert_all_on_record(sidecar, origin)


def test_a_user_name_of_another_crawler_is_refused_and_on_record(sidecar: Sidecar, sites: Farm) -> None:
    origin = sites.start()
    with sidecar.client(proxy=f"http://good:{TOKENS['rogue']}@{sidecar.ready['proxy']}") as client:
        assert client.get(origin.url + "/page").status_code == 407
    assert origin.connections == 0
    details = sidecar.sealed_rows("SELECT detail FROM incident WHERE incident = 'unknown_crawler'")
    assert "The user name is that of crawler good, and the token is not." in [row["detail"] for row in details]


# --- waiting and leaving ----------------------------------------------------------------------------------------------


def test_a_body_without_end_reaches_no_site_as_a_whole_one(sidecar: Sidecar, sites: Farm) -> None:
    origin = sites.start()
    with sidecar.connect() as connection:
        connection.sendall(head(origin, "/form", b"Transfer-Encoding: chunked", method="POST"))
        answers = b""
        with contextlib.suppress(OSError):
            for _ in range(200):
                connection.sendall(b"10000\r\n" + bytes(65_536) + b"\r\n")
        with contextlib.suppress(OSError):
            connection.sendall(CHUNKED_END)
        answers = read_all(connection, idle_s=1)
    assert set(statuses(answers)) <= {413}
    (row,) = exchanges(sidecar, origin.port)
    assert (row["outcome"], row["request_bytes"]) == ("client_abort", 1024 * 1024)
    assert row["error"].startswith("limit:request_body: ")
    assert origin.hits("/form")[0].body_bytes <= 1024 * 1024
    assert_all_on_record(sidecar, origin)


def test_a_body_that_overflows_with_its_last_chunk_looks_broken_off_to_the_site(sidecar: Sidecar, sites: Farm) -> None:
    origin = sites.start()
    with sidecar.connect() as connection:
        connection.sendall(head(origin, "/form", b"Transfer-Encoding: chunked", method="POST"))
        piece = b"10000\r\n" + bytes(65_536) + b"\r\n"
        connection.sendall(piece * 16 + b"1\r\nx\r\n" + CHUNKED_END)
        assert statuses(read_all(connection, idle_s=1)) == [413]
    (row,) = exchanges(sidecar, origin.port)
    assert row["outcome"] == "client_abort"
    # The site answers only a body that it has to its end, and so it never answered this one.
    assert (row["status"], origin.answered) == (None, 0)


def test_a_client_that_closes_its_half_is_on_record_like_any_other(sidecar: Sidecar, sites: Farm) -> None:
    origin = sites.start()
    for octets in (
        head(origin),
        head(origin, "/form", b"Content-Length: 10", method="POST") + b"abc",
        head(origin)[:40],
    ):
        with sidecar.connect() as connection:
            connection.sendall(octets)
            connection.shutdown(socket.SHUT_WR)
            read_all(connection, idle_s=1)
    assert_all_on_record(sidecar, origin)


def test_heads_in_drips_end_in_time_and_nobody_else_notices(sidecar: Sidecar, sites: Farm) -> None:
    origin, beside = sites.start(), sites.start()
    with contextlib.ExitStack() as stack, bystander(sidecar, beside, proxy=credentials(sidecar)) as somebody:
        dripping = [stack.enter_context(sidecar.connect()) for _ in range(50)]
        for connection in dripping:
            connection.sendall(head(origin)[:-2])
        deadline, octets = time.monotonic() + 20, b"X-Drip: drop\r\n"
        while dripping and time.monotonic() < deadline:
            dripping = [connection for connection in dripping if still_open(connection, octets)]
            time.sleep(0.3)
    assert dripping == []
    assert (set(somebody.statuses), visits(origin)) == ({200}, 0)
    assert len(exchanges(sidecar, beside.port)) == len(somebody.statuses)


def credentials(sidecar: Sidecar) -> str:
    return f"http://good:{TOKENS['good']}@{sidecar.ready['proxy']}"


def still_open(connection: socket.socket, octets: bytes) -> bool:
    connection.settimeout(0)
    try:
        connection.sendall(octets)
        return connection.recv(4096) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


# --- floods -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Flooded:
    """What a flood of connections got."""

    served: int = 0
    refused: int = 0
    closed: int = 0


def test_connections_above_the_limit_are_told_so_or_closed_and_the_rest_is_served(
    sidecar: Sidecar, sites: Farm
) -> None:
    origin, beside = sites.start(), sites.start()
    found = Flooded()
    with contextlib.ExitStack() as stack, bystander(sidecar, beside, proxy=credentials(sidecar)) as somebody:
        while not somebody.statuses:
            time.sleep(0.05)
        opened = []
        for _ in range(500):
            opened.append(stack.enter_context(sidecar.connect()))
            with contextlib.suppress(OSError):
                opened[-1].sendall(head(origin, crawler="good"))
        for connection in opened:
            answer = read_one(connection)
            found.served += answer.startswith(b"HTTP/1.1 200 ")
            found.refused += answer.startswith(b"HTTP/1.1 503 ") and b"too_many_connections" in answer
            found.closed += answer == b""
    assert set(somebody.statuses) == {200}
    assert found.served + found.refused + found.closed == 500
    assert 0 < found.served <= CONNECTIONS
    assert found.refused > 0
    assert visits(origin) == found.served
    assert_all_on_record(sidecar, origin)
    assert refused(sidecar, "too_many_connections", 1) > 0


def read_one(connection: socket.socket) -> bytes:
    """One answer, or nothing where the connection was closed without one."""
    connection.settimeout(20)
    received, size = b"", 0
    try:
        while b"\r\n\r\n" not in received or len(received.partition(b"\r\n\r\n")[2]) < size:
            if not (chunk := connection.recv(65_536)):
                break
            received += chunk
            found = re.search(rb"(?i)content-length: (\d+)", received)
            size = int(found[1]) if found else 0
    except ConnectionResetError:
        pass
    return received


def test_one_crawlers_flood_is_refused_counted_and_starves_nobody(sidecar: Sidecar, sites: Farm) -> None:
    origin, beside = sites.start(), sites.start()
    entries = count(sidecar, "incident")
    with bystander(sidecar, beside, proxy=credentials(sidecar)) as somebody, sidecar.connect() as connection:
        answers = flood(connection, head(origin, crawler="flooder"), batches=6, expected=(200, 429))
    assert set(somebody.statuses) == {200}
    assert answers.count(429) > 150
    rows = exchanges(sidecar, origin.port)
    assert len(rows) == answers.count(200) == visits(origin)
    assert refused(sidecar, "crawler_limit of flooder", answers.count(429)) == answers.count(429)
    assert count(sidecar, "incident") - entries < 60, "a refusal is counted and not recorded one by one"


def refused(sidecar: Sidecar, reason: str, least: int) -> int:
    """How many requests the log says were refused for a reason; it says so about a second later, so it is asked again
    until there are enough, for half a minute."""
    until = time.monotonic() + 30
    while True:
        told = sidecar.sealed_rows("SELECT detail FROM incident WHERE incident = 'requests_refused'")
        found = sum(int(n) for row in told for n in re.findall(rf"{re.escape(reason)} (\d+)", row["detail"]))
        if found >= least or time.monotonic() > until:
            return found
        time.sleep(0.2)


def flood(connection: socket.socket, octets: bytes, *, batches: int, expected: tuple[int, ...]) -> list[int]:
    """Send the same request again and again, fifty at once; the statuses of all answers."""
    found: list[int] = []
    for _ in range(batches):
        connection.sendall(octets * 50)
        received = b""
        while len(statuses(received)) < 50 or not received.endswith(b"\n"):
            chunk = connection.recv(1 << 20)
            assert chunk, "the flooder was hung up on"
            received += chunk
        found += statuses(received)
    assert set(found) <= set(expected)
    return found


def count(sidecar: Sidecar, kind: str) -> int:
    (row,) = sidecar.sealed_rows(f"SELECT count(*) AS n FROM {kind}")
    return int(row["n"])


def test_a_flood_of_strangers_does_not_fill_the_log(sidecar: Sidecar, sites: Farm) -> None:
    origin = sites.start()
    before = count(sidecar, "incident")
    stranger = head(origin).replace(TOKENS["rogue"].encode(), b"nobody")
    with sidecar.connect() as connection:
        flood(connection, stranger, batches=10, expected=(407,))
    assert origin.connections == 0
    assert count(sidecar, "incident") - before < 400
    assert refused(sidecar, "unknown_crawler", 1) > 0


def test_many_sites_on_one_connection_keep_few_sockets(sidecar: Sidecar, sites: Farm) -> None:
    origins = [sites.start() for _ in range(20)]
    with sidecar.connect() as connection:
        for origin in origins:
            connection.sendall(head(origin, crawler="good"))
            assert read_one(connection).startswith(b"HTTP/1.1 200 ")
        ports = {origin.port for origin in origins}
        assert len(connected_to(sidecar.pid, ports)) <= 4
    rows = exchanges(sidecar, *ports)
    for origin in origins:
        assert_recorded(origin, [row for row in rows if row["port"] == origin.port])


def connected_to(pid: int, ports: set[int]) -> list[int]:
    """Remote ports of the process's established TCP connections, as far as they are among ``ports``."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found = re.match(r"socket:\[(\d+)\]", str(entry.readlink()))
            inodes |= {found[1]} if found else set()
    lines = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    remote = [int(line[2].partition(":")[2], 16) for line in lines if line[9] in inodes and line[3] == "01"]
    return [port for port in remote if port in ports]
