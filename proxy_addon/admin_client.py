"""Asking the admin port of a running sidecar to do something, for the command line."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import Any

from crawl_audit.errors import CrawlAuditError
from crawl_audit.text import first_line


def ask(address: str, path: str, *, verb: str, within_s: float) -> dict[str, Any]:
    """What the sidecar answers to a POST, an object; ``verb`` is what it is asked to do.  Raises CrawlAuditError."""
    request = urllib.request.Request(f"http://{address}{path}", method="POST", data=b"")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        try:
            with opener.open(request, timeout=within_s) as answer:
                return _object(answer.read(), address)
        except urllib.error.HTTPError as error:
            with error:
                detail = _object(error.read(), address).get("error", error.reason)
            raise CrawlAuditError(f"The sidecar at {address} could not {verb}: {detail}") from error
    except (OSError, http.client.HTTPException) as error:
        raise CrawlAuditError(
            f"No sidecar answers at {address} ({first_line(error).strip()}); name its admin address with --admin."
        ) from error


def _object(octets: bytes, address: str) -> dict[str, Any]:
    try:
        found = json.loads(octets)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise CrawlAuditError(f"What answers at {address} is no sidecar; name its admin address with --admin.")
    return found
