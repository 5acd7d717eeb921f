"""The probe tells an open way from a closed one, by real sockets, and never takes silence for success."""

from __future__ import annotations

import http.server
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
import trustme

from crawl_audit.errors import ConfigurationError, CrawlAuditError
from proxy_addon import probing
from proxy_addon.probe_report import HOST, Finding, Found, Result, Through, Way
from proxy_addon.probing import Probe, proxy_of, split_target

PASSWORD = "p@ss"


class _Proxy(http.server.BaseHTTPRequestHandler):
    """Answers as a sidecar would: by its own 502 where ``reaches`` is false, else as the site."""

    reaches = True
    wants_token = False
    records = 200
    confirms = True
    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.path)
        if self.wants_token and self.headers.get("Proxy-Authorization") != "Basic bmV3czpwQHNz":
            return self._say(407, "crawl-audit; error=proxy_configuration_error")
        if HOST in self.path:
            return self._say(self.records, "", b'{"recorded": true}' if self.confirms else b"<html>")
        return self._say(*((404, "") if self.reaches else (502, "crawl-audit; error=destination_unavailable")))

    def _say(self, status: int, proxy_status: str, body: bytes = b"") -> None:
        self.send_response(status)
        if proxy_status:
            self.send_header("Proxy-Status", proxy_status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def proxy(**behaviour: object) -> Iterator[tuple[str, list[str]]]:
    seen: list[str] = []
    handler = type("_Made", (_Proxy,), {"seen": seen, **behaviour})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()
        thread.join()


def probe(url: str, timeout_s: float = 0.3) -> Probe:
    return Probe(proxy=urlsplit(url), timeout_s=timeout_s, trusted=ssl.create_default_context())


def unused_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def test_a_port_that_accepts_is_an_open_way() -> None:
    with socket.create_server(("127.0.0.1", 0)) as site, proxy() as (url, _):
        found = probe(url).try_all(f"127.0.0.1:{site.getsockname()[1]}")
    assert (found.ways[Way.TCP4], found.ways[Way.TCP6], found.result) == (Found.OPEN, Found.NOT_TRIED, Result.OPEN)


def test_a_site_that_only_the_proxy_reaches_is_closed_to_the_crawler() -> None:
    with proxy() as (url, seen):
        port = unused_port()
        found = probe(url).try_all(f"127.0.0.1:{port}")
    assert (found.ways[Way.TCP4], found.through, found.result) == (Found.REFUSED, Through.REACHED, Result.CLOSED)
    assert seen == [f"http://127.0.0.1:{port}/robots.txt"]


def test_ipv6_is_tried_as_a_way_of_its_own() -> None:
    with proxy() as (url, _), socket.create_server(("::1", 0), family=socket.AF_INET6) as site:
        open_way = probe(url).try_all(f"[::1]:{site.getsockname()[1]}")
    assert (open_way.ways[Way.TCP6], open_way.ways[Way.TCP4]) == (Found.OPEN, Found.NOT_TRIED)
    assert open_way.target == f"[::1]:{open_way.port}"


@pytest.mark.parametrize("behaviour", [{"reaches": False}, {"wants_token": True}])
def test_where_the_site_is_not_reached_through_the_proxy_nothing_is_shown(behaviour: dict[str, object]) -> None:
    with proxy(**behaviour) as (url, _):
        found = probe(url).try_all(f"127.0.0.1:{unused_port()}")
    assert (found.through, found.result) == (Through.FAILED, Result.INCONCLUSIVE)


def test_without_a_proxy_nothing_is_shown() -> None:
    found = probe(f"http://127.0.0.1:{unused_port()}").try_all(f"127.0.0.1:{unused_port()}")
    assert (found.through, found.result) == (Through.FAILED, Result.INCONCLUSIVE)


def test_a_name_that_cannot_be_looked_up_is_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    with proxy() as (url, _):
        with monkeypatch.context() as patched:
            patched.setattr(probing.socket, "getaddrinfo", refused)
            addresses = probing._addresses("example.com", 80)
        patched_probe = probe(url)
        monkeypatch.setattr(probing, "_addresses", lambda *_: addresses)
        found = patched_probe.try_all("example.com:80")
    assert set(found.ways.values()) == {Found.NOT_TRIED}
    assert (found.through, found.result) == (Through.REACHED, Result.INCONCLUSIVE)


@contextmanager
def datagrams(monkeypatch: pytest.MonkeyPatch, answer: Callable[[bytes], bytes | None]) -> Iterator[None]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as site:
        site.bind(("127.0.0.1", 0))
        site.settimeout(5)
        monkeypatch.setattr(probing, "_QUIC_PORT", site.getsockname()[1])

        def serve() -> None:
            octets, sender = site.recvfrom(4096)
            said = answer(octets)
            if said is not None:
                site.sendto(said, sender)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        thread.join()


def test_a_quic_server_that_answers_is_an_open_way(monkeypatch: pytest.MonkeyPatch) -> None:
    arrived: list[bytes] = []
    with datagrams(monkeypatch, lambda octets: arrived.append(octets) or b"\x80\0\0\0\0"):  # type: ignore[func-returns-value]
        assert probe("http://127.0.0.1:1")._udp(("127.0.0.1", 443)) is Found.OPEN
    (octets,) = arrived
    assert len(octets) == 1200, "RFC 9000 14.1"
    assert (octets[0] & 0xC0, [octet & 0x0F for octet in octets[1:5]]) == (0xC0, [10] * 4), "RFC 9000 15"


def test_silence_over_udp_is_neither_open_nor_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with datagrams(monkeypatch, lambda _: None):
        assert probe("http://127.0.0.1:1", 0.1)._udp(("127.0.0.1", 443)) is Found.NO_ANSWER


def test_a_udp_port_that_nobody_serves_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "_QUIC_PORT", unused_port())
    assert probe("http://127.0.0.1:1")._udp(("127.0.0.1", 443)) is Found.REFUSED


def test_what_the_proxy_does_with_a_tls_site_needs_its_ca(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tunnel that opens proves nothing: the sidecar answers CONNECT before it has asked the site."""
    authority, served = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(served)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    def serve(listener: socket.socket) -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(5)
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                try:
                    with served.wrap_socket(connection, server_side=True) as tunnel:
                        tunnel.recv(4096)
                        tunnel.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                except ssl.SSLError:
                    continue

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        url = urlsplit(f"http://127.0.0.1:{listener.getsockname()[1]}")
        distrusting = Probe(proxy=url, timeout_s=1, trusted=ssl.create_default_context())
        assert distrusting._through("127.0.0.1", 443) is Through.FAILED
        assert Probe(proxy=url, timeout_s=1, trusted=trusting)._through("127.0.0.1", 443) is Through.REACHED
        thread.join()


FINDING = Finding(host="a.test", port=80, ways=dict.fromkeys(Way, Found.REFUSED), through=Through.REACHED)


def test_the_result_is_declared_with_the_crawlers_credentials() -> None:
    with proxy(wants_token=True) as (url, seen):
        probe(url.replace("//", "//news:p%40ss@")).declare(FINDING)
        with pytest.raises(CrawlAuditError, match="wants a crawler's token") as caught:
            probe(url.replace("//", "//news:wrong-word@")).declare(FINDING)
    assert "wrong-word" not in str(caught.value)
    assert seen == [f"http://{HOST}{FINDING.declaration()}"] * 2


@pytest.mark.parametrize("behaviour", [{"records": 404}, {"confirms": False}])
def test_a_proxy_that_records_nothing_is_an_error(behaviour: dict[str, object]) -> None:
    with proxy(**behaviour) as (url, _), pytest.raises(CrawlAuditError, match="did not record the result"):
        probe(url).declare(FINDING)
    with pytest.raises(CrawlAuditError, match=r"No sidecar answers at 127\.0\.0\.1:"):
        probe(f"http://127.0.0.1:{unused_port()}").declare(FINDING)


@pytest.mark.parametrize("target", ["", "a b:80", "example.com:0", "example.com:x", "[::1", "http://example.com/"])
def test_what_is_no_target_is_refused_in_one_sentence(target: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is no target; give HOST:PORT.*\.$"):
        split_target(target)


def test_a_target_without_a_port_means_https() -> None:
    assert split_target("example.com") == ("example.com", 443)


def test_the_crawlers_own_proxy_variable_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.delenv("HTTP_PROXY", raising=False)
    assert proxy_of(None, "127.0.0.1:8080").geturl() == "http://127.0.0.1:8080"
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:3128")
    assert proxy_of(None, "127.0.0.1:8080").port == 3128
    assert proxy_of("http://127.0.0.1:9", "127.0.0.1:8080").port == 9
    for bad in ("socks5://127.0.0.1:1080", "127.0.0.1:8080", "http://:8080", "http://127.0.0.1:99999"):
        with pytest.raises(ConfigurationError, match=r"not of the form http://HOST:PORT"):
            proxy_of(bad, "")
