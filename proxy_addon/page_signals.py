"""The usage preferences that an HTML page states in itself, from the first octets that passed."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

from crawl_audit.html_meta import SCAN_BYTES_MAX, html_signals
from crawl_audit.signals import FoundSignal
from proxy_addon.content_coding import BoundedBody, CodingError

WIRE_BYTES_MAX = SCAN_BYTES_MAX
"""How much of a page is kept for this, before content decoding; compressed, that is more than is read."""


def is_page(content_type: str | None) -> bool:
    """Whether a media type is HTML."""
    return (content_type or "").partition(";")[0].strip().lower() in {"text/html", "application/xhtml+xml"}


def signals_of(wire: bytes, content_encoding: str | None, product_tokens: Collection[str]) -> list[FoundSignal]:
    """The signals of a page from its first octets as they came over the wire; none where they cannot be decoded."""
    try:
        page = BoundedBody(content_encoding, SCAN_BYTES_MAX)
    except CodingError:
        return []
    with suppress(CodingError):  # what was decoded up to the fault was sent, and may state something
        page.feed(wire[:WIRE_BYTES_MAX])
    return html_signals(page.body, product_tokens)
