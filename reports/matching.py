"""Which requests a question is about: a domain, host, authority or URL as people type it → one scope of the log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from crawl_audit.site import site_of
from crawl_audit.target import DEFAULT_PORTS, TargetError, normal_host, printable
from reports.log import Log
from reports.period import Period, UsageError

EVERYTHING = "all"
"""A whole log, where a scope is asked for instead of a subject."""
_ESCAPE = re.compile("%([0-9A-Fa-f]{2})")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What was asked about, normalised; None: not limited in that respect."""

    text: str  # as typed
    match_scope: str  # `exact URL`, `origin`, `registrable domain`, `host and subdomains`, `host and port`, `host`
    host: str
    site: str | None = None  # set for a registrable domain: all hosts of it
    scheme: str | None = None
    port: int | None = None
    target: str | None = None  # path and query, printable ASCII

    @property
    def normalised(self) -> str:
        """The subject as the log writes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        standard = self.scheme is not None and self.port == DEFAULT_PORTS[self.scheme]
        port = "" if self.port is None or standard else f":{self.port}"
        scheme = "" if self.scheme is None else f"{self.scheme}://"
        return f"{scheme}{host}{port}{self.target or ''}"


def parse_subject(text: str) -> Subject:
    """The subject of a question; raises UsageError, one sentence, where it names no host.

    A registrable domain stands for all its hosts, any other host for itself and its subdomains, a URL without path
    for its origin (scheme, host and port), and a URL with one for itself alone.
    """
    typed = text.strip()
    try:
        if _CONTROL.search(typed):  # urlsplit would silently leave such characters out
            raise ValueError("control characters")
        if "://" not in typed and "/" not in typed:
            return _of_authority(typed, text)
        return _of_url(typed, text)
    except (TargetError, ValueError) as error:
        raise UsageError(
            f"{text!r} is neither a domain nor a URL: write example.com, host:port or https://example.com/page."
        ) from error


def _of_authority(typed: str, text: str) -> Subject:
    host, port = _split(typed)
    if port is not None:
        return Subject(text=text, match_scope="host and port", host=host, port=port)
    if site_of(host) != host:
        return Subject(text=text, match_scope="host and subdomains", host=host)
    # Every host whose site is this one: for an address or a single label that is the host alone.
    named = "registrable domain" if "." in host and not host.replace(".", "").isdigit() else "host"
    return Subject(text=text, match_scope=named, host=host, site=host)


def _of_url(typed: str, text: str) -> Subject:
    bare = typed if "://" in typed else "//" + typed
    parts = urlsplit(bare)
    scheme = parts.scheme.lower() or None
    if scheme is not None and scheme not in DEFAULT_PORTS:
        raise ValueError("only http and https are crawled")
    host, port = _split(parts.netloc.rpartition("@")[2])
    if port is None and scheme is not None:
        port = DEFAULT_PORTS[scheme]
    rest = bare.split("#", 1)[0]
    target = rest[rest.index("//") + 2 + len(parts.netloc) :]
    if target in ("", "/") and scheme is None:  # `example.com/`: the slash is only how people write a domain
        return _of_authority(typed.rstrip("/"), text)
    if not target:
        return Subject(text=text, match_scope="origin", host=host, scheme=scheme, port=port)
    path = target if target.startswith("/") else "/" + target
    octets = path.encode("utf-8", "surrogateescape")
    return Subject(text=text, match_scope="exact URL", host=host, scheme=scheme, port=port, target=printable(octets))


def _split(authority: str) -> tuple[str, int | None]:
    """(host, port) of host[:port], an address in brackets, or a bare IPv6 address."""
    if authority.startswith("[") or authority.count(":") == 1:
        host, colon, port = authority.rpartition(":")
        if colon and port.isascii() and port.isdigit():
            if not 0 < int(port) < 65_536:
                raise ValueError("no such port")
            return normal_host(host), int(port)
    return normal_host(authority), None


def equivalent_form(target: str) -> str:
    """Path and query in the normal form of RFC 3986 6.2.2: unreserved characters bare, other escapes upper case."""

    def bare(match: re.Match[str]) -> str:
        character = chr(int(match.group(1), 16))
        return character if character in _UNRESERVED else match.group().upper()

    return _ESCAPE.sub(bare, target)


def parameters(log: Log, subject: Subject | None, period: Period) -> dict[str, object]:
    """The parameters of every query about ``subject``: limits of scope and time, and the spellings of the URL.

    Without a subject every limit of scope is None, for queries that then take the whole log.
    """
    if subject is None:
        return {**dict.fromkeys(("site", "host", "port", "scheme", "subdomains", "targets")), **period.parameters}
    scope: dict[str, object] = {
        "site": subject.site,
        "host": subject.host,
        "port": subject.port,
        "scheme": subject.scheme,
        "subdomains": subject.match_scope == "host and subdomains",
    }
    targets = None
    if subject.target is not None:
        wanted = equivalent_form(subject.target)
        rows = log.rows("targets", host=subject.host, port=subject.port, scheme=subject.scheme, target=wanted)
        targets = [row["target"] for row in rows if equivalent_form(row["target"]) == wanted]
    return {**scope, "targets": targets, **period.parameters}
