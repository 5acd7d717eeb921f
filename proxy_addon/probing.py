"""Trying to get past the sidecar from where a crawler runs: each way once, with sockets and nothing else.

No request is sent on a direct connection: that it comes about is what must not be.  For UDP the probe sends a QUIC
packet of a version that does not exist; a QUIC server answers it with the versions it knows (RFC 9000 6.1), so an
answer proves the way there and back, while no answer may also mean that the target speaks no QUIC.
"""

from __future__ import annotations

import base64
import http.client
import os
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from crawl_audit.errors import ConfigurationError, CrawlAuditError
from crawl_audit.target import TargetError, split_authority
from proxy_addon.probe_report import HOST, Finding, Found, Through, Way

_QUIC_PORT = 443
# RFC 9000 15: versions of the form 0x?a?a?a?a are reserved to force the negotiation of one.
_NO_VERSION = b"\x1a\x2a\x3a\x4a"
# RFC 9000 14.1: servers discard smaller first datagrams.
_FIRST_DATAGRAM_BYTES = 1200


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came back, and whether it says that the sidecar made it itself (RFC 9209)."""

    status: int
    by_sidecar: bool
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How to probe: the proxy's URL (with credentials, where the sidecar asks for them), patience, and trust."""

    proxy: SplitResult
    timeout_s: float
    trusted: ssl.SSLContext

    def try_all(self, target: str) -> Finding:
        """Every way to ``target`` (HOST:PORT), and the way through the sidecar."""
        host, port = split_target(target)
        addresses = _addresses(host, port)
        ways = {
            Way.TCP4: self._best([self._tcp(at) for at in addresses if ":" not in at[0]]),
            Way.TCP6: self._best([self._tcp(at) for at in addresses if ":" in at[0]]),
            Way.UDP4: self._best([self._udp(at) for at in addresses if ":" not in at[0]]),
            Way.UDP6: self._best([self._udp(at) for at in addresses if ":" in at[0]]),
        }
        return Finding(host=host, port=port, ways=ways, through=self._through(host, port))

    def declare(self, finding: Finding) -> None:
        """Have the sidecar record ``finding``; raises CrawlAuditError where it does not."""
        try:
            answer = self._ask(f"http://{HOST}{finding.declaration()}", None)
        except (OSError, http.client.HTTPException) as error:
            raise CrawlAuditError(
                f"No sidecar answers at {self._place} ({error}); name it with --proxy or HTTP_PROXY."
            ) from error
        if answer.status == 407:
            raise CrawlAuditError(
                f"The sidecar at {self._place} wants a crawler's token; give it in HTTP_PROXY, as the crawler does."
            )
        if answer.status != 200 or b'"recorded": true' not in answer.body:
            raise CrawlAuditError(f"What answers at {self._place} did not record the result (status {answer.status}).")

    @property
    def _place(self) -> str:
        """The proxy without its credentials."""
        return f"{self.proxy.hostname}:{self.proxy.port or 80}"

    @staticmethod
    def _best(found: Sequence[Found]) -> Found:
        """The most open of what several addresses of one family gave."""
        return next((one for one in Found if one in found), Found.NOT_TRIED)

    def _tcp(self, address: tuple[str, int]) -> Found:
        try:
            with socket.create_connection(address, timeout=self.timeout_s):
                return Found.OPEN
        except TimeoutError:
            return Found.NO_ANSWER
        except OSError:
            return Found.REFUSED

    def _udp(self, address: tuple[str, int]) -> Found:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.settimeout(self.timeout_s)
            try:
                sender.connect((address[0], _QUIC_PORT))
                sender.send(_first_datagram())
                sender.recv(2048)
            except TimeoutError:
                return Found.NO_ANSWER
            except OSError:
                return Found.REFUSED
        return Found.OPEN

    def _through(self, host: str, port: int) -> Through:
        """Ask for /robots.txt, which no mode of the sidecar denies; any answer of the site's own will do."""
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if port == _QUIC_PORT:
                answer = self._ask("/robots.txt", authority)
            else:
                answer = self._ask(f"http://{authority}/robots.txt", None)
        except (OSError, http.client.HTTPException):
            return Through.FAILED
        return Through.FAILED if answer.by_sidecar else Through.REACHED

    def _ask(self, path: str, tunnel: str | None) -> _Answer:
        """A GET by way of the sidecar, in a tunnel where it is for TLS.  Raises OSError or HTTPException."""
        connection = http.client.HTTPConnection(
            str(self.proxy.hostname), self.proxy.port or 80, timeout=4 * self.timeout_s
        )
        fields = self._credentials()
        try:
            if tunnel is not None:
                host, port = split_authority(tunnel.encode("ascii"), "https")
                connection.set_tunnel(host, port, fields)
                connection.connect()
                connection.sock = self.trusted.wrap_socket(connection.sock, server_hostname=host)
                fields = {}
            connection.request("GET", path, headers={**fields, "User-Agent": "crawl-audit-probe"})
            answer = connection.getresponse()
            made_by = answer.getheader("Proxy-Status") or ""
            return _Answer(answer.status, made_by.startswith("crawl-audit;"), answer.read(64 * 1024))
        finally:
            connection.close()

    def _credentials(self) -> dict[str, str]:
        if self.proxy.username is None:
            return {}
        pair = f"{unquote(self.proxy.username)}:{unquote(self.proxy.password or '')}"
        return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode("ascii")}


def split_target(target: str) -> tuple[str, int]:
    """(host, port) of HOST or HOST:PORT, port 443 where none is given; raises ConfigurationError."""
    try:
        return split_authority(target.encode("idna" if not target.isascii() else "ascii"), "https")
    except (TargetError, UnicodeError) as error:
        raise ConfigurationError(f"{target!r} is no target; give HOST:PORT, an IPv6 address in brackets.") from error


def proxy_of(given: str | None, listen: str) -> SplitResult:
    """The proxy to go through: as given, else the crawler's own HTTP_PROXY, else where a sidecar listens."""
    url = given or os.environ.get("http_proxy") or os.environ.get("HTTP_PROXY") or f"http://{listen}"
    split = urlsplit(url)
    try:
        usable = split.scheme == "http" and bool(split.hostname) and (split.port is None or split.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError("The proxy is not of the form http://HOST:PORT; give it with --proxy or HTTP_PROXY.")
    return split


def _addresses(host: str, port: int) -> list[tuple[str, int]]:
    """Every address of ``host`` that can be found from here; none where names cannot be looked up."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return list(dict.fromkeys((str(entry[4][0]), port) for entry in found))


def _first_datagram() -> bytes:
    """A long-header QUIC packet (RFC 8999 5.1) of a version that does not exist, padded to the least size."""
    identifiers = b"\x08" + os.urandom(8) + b"\x08" + os.urandom(8)
    return (b"\xc0" + _NO_VERSION + identifiers).ljust(_FIRST_DATAGRAM_BYTES, b"\0")
