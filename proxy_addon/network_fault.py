"""A failed connection or broken answer → a short fixed word and a sentence for the record.

The word is for counting and for docs/robots.md; the sentence is for the person who has to find out why.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import h11
import httpx

from crawl_audit.text import storable
from proxy_addon.site_connection import ConnectFault, ConnectTimeout

# What h11, httpx's URLs and the event loop raise for what a site (or its name server) does.  ValueError: addresses and
# URLs that cannot be, UnicodeError among them.  ExceptionGroup: several addresses of one host that fail differently.
SITE_FAULTS = (
    h11.ProtocolError,
    httpx.InvalidURL,
    ConnectTimeout,
    ConnectFault,
    OSError,
    ValueError,
    OverflowError,
    ExceptionGroup,
)

_DETAIL_MAX = 300


def fault(word: str, sentence: str) -> str:
    """The value of ``Snapshot.error``: word, colon, sentence."""
    return storable(f"{word}: {sentence}", 500)


def explain(error: BaseException, *, reading_body: bool = False) -> str:
    """What went wrong, told by the most telling exception in the chain of causes; ``reading_body``: after the head."""
    causes = list(_causes(error))
    for cause in causes:
        if found := _told_by_system(cause):
            return found
    if any(isinstance(cause, ConnectTimeout) for cause in causes):
        return fault("timeout", "The server did not answer in time.")
    if reading_body:
        return fault("incomplete_body", f"The answer broke off or is malformed{_detail(error)}.")
    if isinstance(error, ConnectFault):
        return fault("connection_failed", f"No connection could be made{_detail(error)}.")
    if isinstance(error, h11.RemoteProtocolError):
        return fault("protocol_error", f"The answer is not HTTP/1.1{_detail(error)}.")
    if isinstance(error, httpx.InvalidURL | ValueError):
        return fault("bad_url", f"The URL cannot be fetched{_detail(error)}.")
    return fault("connection_lost", f"The connection was lost{_detail(error)}.")


def _told_by_system(cause: BaseException) -> str | None:
    match cause:
        case ssl.SSLCertVerificationError():
            why = storable(cause.verify_message, 200).rstrip(".")
            return fault("tls_failed", f"The server's certificate is not valid ({why}).")
        case ssl.SSLWantReadError() | ssl.SSLWantWriteError():
            return None  # how the TLS layer asks for more octets; left in the chain when the wait for them ends
        case ssl.SSLError():
            return fault("tls_failed", f"The TLS connection failed{_detail(cause)}.")
        case socket.gaierror():
            return fault("dns_failed", f"The host name could not be resolved{_detail(cause)}.")
        case ConnectionRefusedError():
            return fault("connection_refused", "The server refused the connection.")
        case PermissionError():
            # What a guard on the event loop's create_connection raises, and a local firewall (EPERM, EACCES).
            return fault("egress_denied", f"The address may not be connected to{_detail(cause)}.")
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """``error``, what it wraps and what caused it, each once."""
    pending, seen = [error], set()
    while pending:
        current = pending.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup):
            pending.extend(current.exceptions)
        pending.extend(e for e in (current.__cause__, current.__context__) if e is not None)


def _detail(error: BaseException) -> str:
    text = storable(str(error), _DETAIL_MAX).rstrip(". ")
    return f" ({text})" if text else ""
