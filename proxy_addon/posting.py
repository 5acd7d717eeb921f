"""One HTTP POST to an authority outside, within a deadline and a size, past any proxy and without redirects.

What comes back is proven by its signature or token, so nothing here needs to be believed.
"""

from __future__ import annotations

import http.client
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

import certifi

from crawl_audit import __version__
from crawl_audit.errors import CrawlAuditError

ANSWER_BYTES_MAX = 256 * 1024
_CHUNK_BYTES = 16 * 1024


class AnchorError(CrawlAuditError):
    """An authority outside gave no receipt that holds; it is asked again in the next round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP answer, whatever its status."""

    status: int
    content_type: str
    body: bytes


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """A receipt is asked of the authority that is configured, and of nobody it points at."""


def post(
    url: str, body: bytes, *, content_type: str, timeout_s: float, headers: Mapping[str, str] | None = None
) -> Answer:
    """The answer to a POST; raises AnchorError with a sentence where there is none in time."""
    until = time.monotonic() + timeout_s
    # No proxy from the environment: crawlers' variables would lead through the sidecar itself.
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=_context()), _NoRedirect()
    )
    request = urllib.request.Request(url, data=body, method="POST", headers=dict(headers or {}))  # noqa: S310
    request.add_header("Content-Type", content_type)
    request.add_header("User-Agent", f"crawl-audit/{__version__}")
    host = urllib.parse.urlsplit(url).netloc
    try:
        try:
            response = opener.open(request, timeout=timeout_s)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            octets = _read(response, until)
            kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            return Answer(status=int(response.status or 0), content_type=kind, body=octets)
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise AnchorError(f"{host} gave no answer: {reason}.") from error


def _read(response: http.client.HTTPResponse | urllib.error.HTTPError, until: float) -> bytes:
    """The body, within the deadline as a whole: a socket's time-out begins anew with every octet."""
    octets = b""
    while chunk := response.read1(_CHUNK_BYTES):
        octets += chunk
        if len(octets) > ANSWER_BYTES_MAX:
            raise ValueError(f"the answer is larger than {ANSWER_BYTES_MAX} octets")
        if time.monotonic() > until:
            raise TimeoutError("the answer took too long")
    if getattr(response, "length", None):
        raise ValueError("the answer was cut short")
    return octets


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context
