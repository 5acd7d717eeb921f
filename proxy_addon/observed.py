"""The answer to a crawler's own GET /robots.txt, seen on the wire, in the form of a fetch of ours."""

from __future__ import annotations

from collections.abc import Iterable

from crawl_audit.text import storable
from proxy_addon.content_coding import BoundedBody, CodingError
from proxy_addon.fetcher import Fetched
from proxy_addon.network_fault import fault


def is_answer(status: int) -> bool:
    """Whether a status answers the question: a redirect points elsewhere, 304 needs the copy it is about."""
    return status >= 200 and not 300 <= status < 400


def observed_answer(
    status: int,
    headers: Iterable[tuple[str, str]],
    wire: bytes,
    *,
    final_url: str,
    fetch_ms: int,
    body_bytes_max: int,
) -> Fetched:
    """A whole answer; ``wire`` is its body before content decoding, of which ``body_bytes_max`` octets are kept."""
    fields: dict[str, str] = {}
    for name, value in headers:
        known = fields.get(name.lower())
        fields[name.lower()] = value if known is None else f"{known}, {value}"  # RFC 9110 5.2
    body, truncated, error = None, False, None
    if status == 206:
        error = fault("partial_content", "The server sent a part of the file.")
    elif 200 <= status < 300:
        try:
            reader = BoundedBody(fields.get("content-encoding"), body_bytes_max)
            reader.feed(wire)
            reader.finish()
            body, truncated = reader.body, reader.truncated
        except CodingError as coding_error:
            error = fault("bad_encoding", str(coding_error))

    def field(name: str) -> str | None:
        return storable(fields[name], 1024) if name in fields else None

    return Fetched(
        status=status,
        final_url=storable(final_url),
        redirects=(),
        error=error,
        body=body,
        truncated=truncated,
        content_type=field("content-type"),
        etag=field("etag"),
        cache_control=field("cache-control"),
        age=field("age"),
        retry_after=field("retry-after"),
        duration_ms=fetch_ms,
        server_ip=None,
        too_many_redirects=False,
        not_modified=False,
    )
