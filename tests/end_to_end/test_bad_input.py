"""Input no honest crawler sends and no sane site serves: each leaves a record and a clear answer, and life goes on."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.harness import Sidecar, quote
from tests.end_to_end.origin import Farm, Origin


@pytest.fixture(autouse=True)
def _still_serves(enforcing: Sidecar, sites: Farm) -> Iterator[None]:
    """Whatever a test did, the sidecar serves the next crawler."""
    yield
    origin = sites.start()
    with enforcing.client() as client:
        assert client.get(origin.url + "/after").status_code == 200


def decisions(sidecar: Sidecar, origin: Origin) -> list[dict[str, Any]]:
    """What is on record for one site, ends included."""
    return sidecar.sealed_rows(f"SELECT * FROM exchange WHERE port = {origin.port} ORDER BY seq")


def malformed(sidecar: Sidecar) -> int:
    """How many requests that could not be read are on record."""
    (row,) = sidecar.sealed_rows("SELECT count(*) AS n FROM incident WHERE incident = 'malformed_request'")
    return int(row["n"])


def status_of(answer: bytes) -> int:
    """Status of a raw answer."""
    return int(answer.split(b" ", 2)[1])


def raw(origin: Origin, path: bytes, *fields: bytes, host: bytes | None = None, form: str = "absolute") -> bytes:
    """A request in absolute form (or origin form, as in a tunnel), octet by octet as given."""
    host = origin.authority.encode() if host is None else host
    place = origin.url.encode() if form == "absolute" else b""
    lines = (b"GET " + place + path + b" HTTP/1.1", b"Host: " + host, b"Connection: close", *fields)
    return b"\r\n".join(lines) + b"\r\n\r\n"


# --- robots.txt -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_a_robots_txt_of_random_bytes_is_kept_and_leads_to_a_verdict(
    seed: int, enforcing: Sidecar, sites: Farm
) -> None:
    body = random.Random(seed).randbytes(50_000)
    origin = sites.start(robots=body)
    with enforcing.client() as client:
        answer = client.get(origin.url + "/page")
    (row,) = decisions(enforcing, origin)
    assert (answer.status_code, row["action"]) in {(200, "forwarded"), (403, "denied")}
    (kept,) = enforcing.rows(f"SELECT body FROM robots_body WHERE robots_sha256 = {quote(row['robots_sha256'])}")
    assert kept["body"] == body


def test_a_robots_txt_of_10_mb_is_cut_and_judged_by_its_first_part(enforcing: Sidecar, sites: Farm) -> None:
    filler = b"# " + b"x" * 97 + b"\n"
    body = b"User-agent: *\nDisallow: /private/\n" + filler * (10_000_000 // len(filler)) + b"Disallow: /late/\n"
    origin = sites.start(robots=body)
    with enforcing.client() as client:
        statuses = [client.get(origin.url + path).status_code for path in ("/page", "/private/x", "/late/x")]
    assert statuses == [200, 403, 200]
    (snapshot,) = enforcing.sealed_rows(f"SELECT * FROM snapshot WHERE port = {origin.port}")
    assert snapshot["truncated"] is True
    assert 512_000 <= snapshot["body_bytes"] <= 2 * 1024 * 1024


# --- the request line -------------------------------------------------------------------------------------------------


RAW_PATHS = [
    pytest.param("/caf\u00e9".encode(), id="utf-8"),
    pytest.param(b"/caf\xe9\xff\xfe", id="latin-1"),
    pytest.param("/\ud800lone".encode("utf-8", "surrogatepass"), id="lone-surrogate"),
    pytest.param(b"/%ED%A0%80?q=\xed\xb0\x80", id="half-escaped-surrogate"),
]


@pytest.mark.parametrize("path", RAW_PATHS)
def test_a_url_with_raw_octets_in_a_tunnel_is_forwarded_unchanged_and_recorded_exactly(
    path: bytes, enforcing: Sidecar, sites: Farm
) -> None:
    origin = sites.start()
    assert status_of(enforcing.ask_in_tunnel(origin.authority, raw(origin, path, form="origin"))) == 200
    assert origin.first_bytes[-1].startswith(b"GET " + path + b" HTTP/1.1\r\n")
    (row,) = decisions(enforcing, origin)
    query = f"SELECT from_base64(target_b64) AS octets FROM decision WHERE exchange_id = {quote(row['exchange_id'])}"
    (exact,) = enforcing.rows(query)
    assert exact["octets"] == path
    assert row["target"].isascii()


@pytest.mark.parametrize("path", RAW_PATHS)
def test_a_url_with_raw_octets_in_absolute_form_is_refused_and_leaves_an_incident(
    path: bytes, enforcing: Sidecar, sites: Farm
) -> None:
    origin, before = sites.start(), malformed(enforcing)
    # mitmproxy takes no such request line, and RFC 3986 has no such octets in a URL.
    assert status_of(enforcing.ask(raw(origin, path))) == 400
    assert (origin.connections, malformed(enforcing)) == (0, before + 1)


def test_a_disallowed_url_stays_disallowed_however_its_octets_are_written(enforcing: Sidecar, sites: Farm) -> None:
    origin = sites.start(robots="User-agent: *\nDisallow: /caf\u00e9\n".encode())
    for path in ("/caf\u00e9".encode(), b"/caf%C3%A9", b"/caf%c3%a9/x"):
        assert status_of(enforcing.ask_in_tunnel(origin.authority, raw(origin, path, form="origin"))) == 403
    assert origin.hits("/caf") == []


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"\x16\x03garbage\x00\xff\r\n\r\n", id="binary"),
        pytest.param(b"GET\r\n\r\n", id="method-only"),
        pytest.param(b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n", id="broken-authority"),
        pytest.param(b"GET http://shop.test:99999/ HTTP/1.1\r\nHost: shop.test\r\n\r\n", id="impossible-port"),
        pytest.param(b"GET /nowhere HTTP/1.1\r\nX: y\r\n\r\n", id="no-authority"),
        pytest.param(
            b"POST http://shop.test/ HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\n"
            b"Transfer-Encoding: chunked\r\n\r\nabc",
            id="two-framings",
        ),
    ],
)
def test_a_request_that_cannot_be_read_is_refused_with_400_and_leaves_an_incident(
    octets: bytes, enforcing: Sidecar
) -> None:
    before = malformed(enforcing)
    assert status_of(enforcing.ask(octets)) == 400
    assert malformed(enforcing) == before + 1


# --- fields -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "host"),
    [
        pytest.param([b"Host: news.test"], None, id="two-host-fields"),
        pytest.param([], b"news.test", id="host-of-another-site"),
        pytest.param([], b"shop.test:1", id="host-with-another-port"),
    ],
)
def test_a_request_that_names_two_sites_is_refused_with_421_and_recorded(
    fields: list[bytes], host: bytes | None, enforcing: Sidecar, sites: Farm
) -> None:
    origin = sites.start()
    assert status_of(enforcing.ask(raw(origin, b"/page", *fields, host=host))) == 421
    assert origin.connections == 0
    (row,) = decisions(enforcing, origin)
    assert (row["action"], row["basis"], row["detail"] is not None) == ("denied", "error", True)


@pytest.mark.parametrize(
    ("line", "host"),
    [
        pytest.param("/page", "news.test", id="host-of-another-site"),
        pytest.param("http://news.test/page", "news.test", id="absolute-form-for-another-site"),
    ],
)
def test_a_request_that_names_another_site_than_its_tunnel_is_refused_and_recorded(
    line: str, host: str, enforcing: Sidecar, sites: Farm
) -> None:
    origin = sites.start()
    octets = f"GET {line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    assert status_of(enforcing.ask_in_tunnel(origin.authority, octets)) == 421
    assert origin.connections == 0
    (row,) = enforcing.sealed_rows("SELECT * FROM decision ORDER BY seq DESC LIMIT 1")
    assert (row["action"], row["basis"], row["verdict"]) == ("denied", "error", "disallowed")


@pytest.mark.parametrize(
    "field",
    [
        pytest.param(b"X-Injected: a\rb: c", id="bare-cr"),
        pytest.param(b"X-Folded: a\r\n\tInjected: yes", id="folded"),
        pytest.param(b"X-Nul: a\x00b", id="nul"),
        pytest.param(b"X-Space : a", id="space-before-colon"),
        pytest.param(b"no colon at all", id="no-colon"),
    ],
)
def test_a_field_with_line_ends_or_nul_never_becomes_another_field(
    field: bytes, enforcing: Sidecar, sites: Farm
) -> None:
    origin, before = sites.start(), malformed(enforcing)
    answer = enforcing.ask(raw(origin, b"/page", field))
    rows = decisions(enforcing, origin)
    names = {name.lower() for seen in origin.hits("/page") for name, _ in seen.fields}
    assert not names & {"b", "injected", "x-space"}
    if status_of(answer) == 400:
        assert (origin.connections, rows, malformed(enforcing) - before) == (0, [], 1)
    else:
        assert (status_of(answer), [row["action"] for row in rows]) == (200, ["forwarded"])


def test_a_user_agent_of_raw_octets_is_recorded_as_storable_text(enforcing: Sidecar, sites: Farm) -> None:
    origin = sites.start()
    assert status_of(enforcing.ask(raw(origin, b"/page", b"User-Agent: TestBot/\xff\xed\xa0\x80"))) == 200
    (row,) = decisions(enforcing, origin)
    assert (row["user_agent"].startswith("TestBot/"), row["token_in_user_agent"]) == (True, True)


def test_a_request_head_of_20_mb_is_refused_and_costs_no_memory(enforcing: Sidecar, sites: Farm) -> None:
    origin = sites.start()
    enforcing.reset_peak()
    before = enforcing.peak_kib()
    with enforcing.connect() as connection:
        connection.sendall(raw(origin, b"/page")[:-2])
        try:
            for number in range(320):
                connection.sendall(b"X-%d: " % number + b"a" * 65_000 + b"\r\n")
        except OSError:
            pass  # the sidecar has hung up
        else:
            raise AssertionError("20 MB of header fields were taken")
    time.sleep(0.2)
    assert enforcing.peak_kib() - before < 20_000
    assert origin.connections == 0
    (row,) = enforcing.sealed_rows("SELECT count(*) AS n FROM incident WHERE detail LIKE '%request head is longer%'")
    assert row["n"] == 1
