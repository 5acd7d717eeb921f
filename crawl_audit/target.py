"""What is asked: request line, Host, CONNECT and SNI → one target, or why it cannot be told.

One authority per request: mitmproxy does not reconcile the request target, Host, CONNECT and SNI, so a check of
one of them alone can be walked around by another.  They must agree, or there is no target.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from dataclasses import dataclass

DEFAULT_PORTS = {"http": 80, "https": 443}
# Precedents: RFC 9112 section 3 recommends at least 8000 octets for a request line; the matcher sees no more.
TARGET_BYTES_MAX = 64 * 1024
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)


class TargetError(ValueError):
    """The request does not say one thing about where it goes; the text is one sentence for the record."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What one robots.txt governs: scheme, host and port (RFC 9309 2.3)."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """host[:port] as in a URL: brackets for IPv6, no default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS.get(self.scheme) else f"{host}:{self.port}"

    @property
    def robots_url(self) -> str:
        """The URL of the robots.txt that governs this scope."""
        return f"{self.scheme}://{self.authority}/robots.txt"


@dataclass(frozen=True, slots=True)
class Target:
    """Where one request goes and what it asks for there."""

    scope: Scope
    target: str  # path and query, printable ASCII: other octets percent-encoded
    target_b64: str | None  # the octets as sent, where `target` had to encode some

    @property
    def url(self) -> str:
        """The URL asked for, in printable ASCII."""
        return f"{self.scope.scheme}://{self.scope.authority}{self.target}"

    @property
    def is_robots_txt(self) -> bool:
        """Whether this is the request for /robots.txt itself, with or without a query (RFC 9309 2.2.2)."""
        return self.target.partition("?")[0] == "/robots.txt"


def normal_host(host: str) -> str:
    """Host in lower case as A-labels, without brackets and trailing dot; raises TargetError for anything odd."""
    bare = host.lower()
    if bare.startswith("[") and bare.endswith("]") and ":" in bare:
        bare = bare[1:-1]
    if ":" in bare:
        if "%" in bare:
            raise TargetError("The host is an IPv6 address with a zone, which means nothing to a site.")
        try:
            return str(ipaddress.IPv6Address(bare))
        except ValueError as error:
            raise TargetError("The host is not a valid IPv6 address.") from error
    bare = bare.removesuffix(".")
    if not bare.isascii():
        try:
            bare = bare.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise TargetError("The host name cannot be written in A-labels (IDNA).") from error
    # A name the resolver would refuse ends in an exception that mitmproxy does not expect: labels have 1 to 63 octets.
    labels_fit = all(0 < len(label) <= 63 for label in bare.split("."))
    if len(bare) > 253 or not labels_fit or not _HOST.fullmatch(bare):
        raise TargetError("The host name has characters that no host name can have.")
    return bare


def split_authority(value: bytes, scheme: str) -> tuple[str, int]:
    """(host, port) of a Host field or CONNECT target; raises TargetError when it is not host[:port]."""
    text = value.decode("ascii", "replace").strip(" \t")
    host, port = text, ""
    if text.startswith("["):
        host, bracket, rest = text.partition("]")
        host, port = host + bracket, rest.removeprefix(":")
        if not bracket or (rest and not rest.startswith(":")):
            raise TargetError("The authority is not of the form host:port.")
    elif ":" in text:
        host, _, port = text.rpartition(":")
    if port and not _PORT.fullmatch(port):
        raise TargetError("The authority has a port that is not a number.")
    number = int(port) if port else DEFAULT_PORTS.get(scheme, 0)
    if not 0 < number < 65_536:
        raise TargetError("The authority has a port that does not exist.")
    return normal_host(host), number


def printable(octets: bytes) -> str:
    """Octets as printable ASCII, each other one percent-encoded; RFC 9309 2.2.2 compares in this form."""
    return "".join(chr(octet) if 0x21 <= octet <= 0x7E else f"%{octet:02X}" for octet in octets)


def parse_target(
    *,
    scheme: str,
    host: str,
    port: int,
    path: bytes,
    host_fields: list[bytes],
    sni: str | None = None,
    method: str = "GET",
) -> Target:
    """The one target of a request whose connection goes to (scheme, host, port).

    ``host_fields`` are all Host fields as sent, ``sni`` the name of the client's TLS handshake, if any.  Raises
    TargetError where they contradict each other, or where the path is not in origin form (RFC 9112 3.2.1).
    """
    if scheme not in DEFAULT_PORTS:
        raise TargetError("Only http and https are forwarded.")
    scope = Scope(scheme, normal_host(host), port)
    if not 0 < port < 65_536:
        raise TargetError("The request goes to a port that does not exist.")
    if len(host_fields) > 1:
        raise TargetError("The request has more than one Host field.")
    if host_fields and split_authority(host_fields[0], scheme) != (scope.host, scope.port):
        raise TargetError("The Host field names another authority than the request goes to.")
    if sni is not None and scheme == "https" and normal_host(sni) != scope.host:
        raise TargetError("The TLS handshake (SNI) names another host than the request goes to.")
    if not path.startswith(b"/") and not (method == "OPTIONS" and path == b"*"):
        raise TargetError("The request target is not a path.")
    if len(path) > TARGET_BYTES_MAX:
        raise TargetError(f"The request target is longer than {TARGET_BYTES_MAX} octets.")
    text = printable(path)
    exact = None if len(text) == len(path) else base64.b64encode(path).decode("ascii")
    return Target(scope, text, exact)
