"""Bodies too large to hold, clients that leave, bytes that are not HTTP, and sites that break off."""

from __future__ import annotations

import base64
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import trustme

from tests.end_to_end.harness import Sidecar, read_all, tls_context
from tests.end_to_end.origin import Farm, Origin

BODY_BYTES = 300_000_000
# What a body may add to the sidecar's memory however long it is: buffers of two connections, and an allocator's slack.
MEMORY_KIB = 60_000


@pytest.fixture(autouse=True)
def _still_serves(enforcing: Sidecar, sites: Farm) -> Iterator[None]:
    """Whatever a test did, the sidecar serves the next crawler."""
    yield
    origin = sites.start("https")
    with enforcing.client() as client:
        assert client.get(origin.url + "/after").status_code == 200


def exchange(sidecar: Sidecar, origin: Origin, seconds: float = 5) -> dict[str, Any]:
    """The one exchange with a site, once it has ended."""
    deadline = time.monotonic() + seconds
    while True:
        (row,) = sidecar.sealed_rows(f"SELECT * FROM exchange WHERE port = {origin.port} ORDER BY seq")
        if row["outcome"] is not None or row["action"] == "denied" or time.monotonic() > deadline:
            return row
        time.sleep(0.1)


def chunks(total: int) -> Iterator[bytes]:
    """A body of ``total`` octets, made as it is sent."""
    piece = bytes(256 * 1024)
    while total:
        yield piece[:total]
        total -= min(total, len(piece))


def growth(sidecar: Sidecar, during: Callable[[], object]) -> int:
    """By how many KiB the sidecar's memory grew at most while something was done."""
    sidecar.reset_peak()
    before = sidecar.peak_kib()
    during()
    return sidecar.peak_kib() - before


# --- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_body_of_300_mb_passes_each_way_with_flat_memory(scheme: str, enforcing: Sidecar, sites: Farm) -> None:
    down, up = sites.start(scheme), sites.start(scheme)
    with enforcing.client(timeout=60) as client:

        def download() -> None:
            with client.stream("GET", f"{down.url}/big?bytes={BODY_BYTES}") as answer:
                assert sum(map(len, answer.iter_raw())) == BODY_BYTES

        def upload() -> None:
            fields = {"Content-Length": str(BODY_BYTES)}
            assert client.post(up.url + "/form", content=chunks(BODY_BYTES), headers=fields).status_code == 200

        assert growth(enforcing, download) < MEMORY_KIB
        assert growth(enforcing, upload) < MEMORY_KIB
    assert up.hits("/form")[0].body_bytes == BODY_BYTES
    assert exchange(enforcing, down)["response_bytes"] == BODY_BYTES
    assert exchange(enforcing, up)["request_bytes"] == BODY_BYTES


def test_300_mb_in_chunks_to_a_disallowed_url_cost_no_memory_and_never_arrive(enforcing: Sidecar, sites: Farm) -> None:
    origin = sites.start()

    def upload() -> None:
        try:
            with enforcing.client(timeout=60) as client:
                answer = client.post(origin.url + "/private/form", content=chunks(BODY_BYTES))
            assert answer.status_code == 403
        except httpx.TransportError:
            pass  # hung up on, which is an answer as well

    assert growth(enforcing, upload) < MEMORY_KIB
    assert origin.hits("/private/") == []
    assert exchange(enforcing, origin)["action"] == "denied"


# --- clients that leave -----------------------------------------------------------------------------------------------


def test_a_client_that_leaves_in_the_middle_of_an_answer_is_on_record(enforcing: Sidecar, sites: Farm) -> None:
    origin = sites.start("https")
    with enforcing.client() as client, client.stream("GET", origin.url + "/odd/drip") as answer:
        next(answer.iter_raw())
    row = exchange(enforcing, origin)
    assert (row["outcome"], row["status"], row["body_sha256"]) == ("client_abort", 200, None)
    assert row["response_bytes"] > 0


def test_a_client_that_leaves_in_the_middle_of_its_request_is_on_record(enforcing: Sidecar, sites: Farm) -> None:
    origin = sites.start()
    head = f"POST {origin.url}/form HTTP/1.1\r\nHost: {origin.authority}\r\nContent-Length: 1000\r\n\r\n"
    with enforcing.connect() as connection:
        connection.sendall(head.encode() + bytes(400))
        origin.wait_for("/form")
    row = exchange(enforcing, origin)
    assert (row["action"], row["outcome"], row["request_bytes"]) == ("forwarded", "client_abort", 400)


# --- tunnels ----------------------------------------------------------------------------------------------------------


def test_ssh_through_a_tunnel_reaches_nothing_and_is_on_record(enforcing: Sidecar, sites: Farm) -> None:
    origin = sites.start()
    with enforcing.tunnel(origin.authority) as connection:
        connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        read_all(connection, idle_s=2)
    assert origin.connections == 0
    tunnels = enforcing.sealed_rows(f"SELECT * FROM tunnel WHERE port = {origin.port} ORDER BY seq")
    assert [(row["protocol"], row["outcome"], row["host"]) for row in tunnels] == [
        ("connect", "opened", "shop.test"),
        ("tcp", "refused", "shop.test"),
    ]


def test_a_client_that_distrusts_the_ca_leaves_a_record_of_the_failed_handshake(
    enforcing: Sidecar, sites: Farm
) -> None:
    origin = sites.start("https")
    with pytest.raises(httpx.ConnectError), enforcing.client(verify=ssl.create_default_context()) as client:
        client.get(origin.url + "/page")
    assert origin.connections == 0
    query = f"SELECT protocol, outcome, host, crawler FROM tunnel WHERE port = {origin.port} ORDER BY seq"
    connect, handshake = enforcing.sealed_rows(query)
    assert (connect["protocol"], connect["outcome"]) == ("connect", "opened")
    assert handshake == {"protocol": "tls", "outcome": "failed", "host": "shop.test", "crawler": "tester"}


def websocket(origin: Origin, path: str) -> bytes:
    """A WebSocket handshake (RFC 6455 4.1) in absolute form."""
    key = base64.b64encode(bytes(16)).decode()
    return (
        f"GET {origin.url}{path} HTTP/1.1\r\nHost: {origin.authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def test_an_allowed_websocket_is_recorded_with_its_octets(enforcing: Sidecar, sites: Farm) -> None:
    origin = sites.start()
    with enforcing.connect() as connection:
        connection.sendall(websocket(origin, "/ws"))
        assert connection.recv(4096).startswith(b"HTTP/1.1 101 ")
        connection.sendall(b"\x81\x85\x00\x00\x00\x00hello")
        assert b"hello" in read_all(connection, idle_s=1)
        connection.sendall(b"\x88\x82\x00\x00\x00\x00\x03\xe8")
    row = exchange(enforcing, origin)
    assert (row["status"], row["outcome"], row["request_bytes"], row["response_bytes"]) == (101, "completed", 5, 5)
    (tunnel,) = enforcing.rows(f"SELECT * FROM tunnel WHERE port = {origin.port}")
    assert (tunnel["protocol"], tunnel["exchange_id"]) == ("websocket", row["exchange_id"])


def test_a_disallowed_websocket_is_denied(enforcing: Sidecar, sites: Farm) -> None:
    origin = sites.start()
    assert enforcing.ask(websocket(origin, "/private/ws")).startswith(b"HTTP/1.1 403 ")
    assert origin.hits("/private/") == []
    assert exchange(enforcing, origin)["action"] == "denied"


# --- sites that break off ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(("path", "status", "received"), [("/odd/reset", 502, 0), ("/odd/cut", 200, 500)])
def test_a_site_that_breaks_off_is_an_upstream_error_on_record(
    path: str, status: int, received: int, scheme: str, enforcing: Sidecar, sites: Farm
) -> None:
    origin = sites.start(scheme)
    with enforcing.client() as client:
        try:
            with client.stream("GET", origin.url + path) as answer:
                assert answer.status_code == status
                answer.read()
        except httpx.RemoteProtocolError:
            assert status == 200  # the head had been passed on before the site left
        else:
            assert status == 502
    row = exchange(enforcing, origin)
    assert (row["outcome"], row["response_bytes"], bool(row["error"])) == ("upstream_error", received, True)
    assert row["status"] == (200 if received else None)


def test_an_interim_answer_is_dropped_and_never_taken_for_the_final_one(enforcing: Sidecar, sites: Farm) -> None:
    origin = sites.start()
    with enforcing.client() as client:
        answers = [client.get(origin.url + path) for path in ("/odd/103", "/page")]
    assert [(answers[0].status_code, answers[0].text), answers[1].status_code] == [(200, "hello"), 200]
    assert "GET" in answers[1].text  # and not the late answer to the request before
    rows = enforcing.sealed_rows(f"SELECT outcome, status, error FROM exchange WHERE port = {origin.port} ORDER BY seq")
    assert [(row["outcome"], row["status"]) for row in rows] == [("completed", 200), ("completed", 200)]


def test_trailer_fields_are_dropped_and_the_exchange_ends_like_any_other(enforcing: Sidecar, sites: Farm) -> None:
    down, up = sites.start(), sites.start()
    with enforcing.client() as client:
        answer = client.get(down.url + "/odd/trailers")
    assert (answer.status_code, answer.text) == (200, "hello")
    row = exchange(enforcing, down)
    assert (row["outcome"], row["response_bytes"]) == ("completed", 5)

    head = f"POST {up.url}/form HTTP/1.1\r\nHost: {up.authority}\r\nConnection: close\r\n"
    body = "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 5d41402a\r\n\r\n"
    assert enforcing.ask((head + body).encode()).startswith(b"HTTP/1.1 200 ")
    row = exchange(enforcing, up)
    assert (row["outcome"], row["request_bytes"], up.hits("/form")[0].body_bytes) == ("completed", 5, 5)


def test_a_site_with_a_certificate_nobody_trusts_gets_no_request(enforcing: Sidecar, sites: Farm) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("shop.test").configure_cert(tls)
    origin = sites.start("https", tls=tls)
    with enforcing.client() as client:
        answer = client.get(origin.url + "/page")
    assert answer.status_code == 403
    assert origin.seen == []
    row = exchange(enforcing, origin)
    assert (row["basis"], row["action"]) == ("unreachable", "denied")
    (snapshot,) = enforcing.rows(f"SELECT outcome, error FROM snapshot WHERE port = {origin.port}")
    assert snapshot["outcome"] == "unreachable"
    assert "certificate" in snapshot["error"]


def test_in_audit_mode_a_bad_certificate_stops_the_request_as_well(auditing: Sidecar, sites: Farm) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("shop.test").configure_cert(tls)
    origin = sites.start("https", tls=tls)
    with auditing.client(verify=tls_context(auditing.site.certificate)) as client:
        answer = client.get(origin.url + "/page")
    assert (answer.status_code, origin.seen) == (502, [])
    row = exchange(auditing, origin)
    assert (row["action"], row["outcome"], row["verdict"]) == ("forwarded", "upstream_error", "disallowed")
