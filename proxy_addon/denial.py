"""What a crawler gets instead of the page: status, fields and problem document, as plain values.

RFC 9457 (problem details) for the body, RFC 9209 (Proxy-Status) for intermediaries.  A person reading it finds why,
by which rule, and the exchange id under which the log has it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from crawl_audit.records import Basis, Decision

RETRY_AFTER_S = 5


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer made by the sidecar itself."""

    status: int
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes


def _answer(status: int, error: str, problem: dict[str, Any], extra: tuple[tuple[str, str], ...] = ()) -> Answer:
    text = json.dumps({"status": status, **problem}, ensure_ascii=False, indent=1)
    body = text.encode("utf-8", "backslashreplace") + b"\n"  # never raises: a denial that fails would let through
    fields = (
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("Proxy-Status", f"crawl-audit; error={error}"),
        *extra,
    )
    return Answer(status, tuple((n.encode("ascii"), v.encode("ascii")) for n, v in fields), body)


_WHY = {
    Basis.RULE: "robots.txt disallows this request for the product token.",
    Basis.UNREACHABLE: "robots.txt is unreachable, which means complete disallow (RFC 9309 2.3.1.4).",
}
_TITLES = {
    Basis.SIGNAL: "Denied by a usage preference of the site",
    Basis.CRAWL_DELAY: "Denied for now by the pace the site asks for",
}


def disallowed(decision: Decision, retry_after_s: int | None = None) -> Answer:
    """403 for a disallowed request, with everything needed to trace the verdict; 429 where it came too early."""
    early = decision.basis is Basis.CRAWL_DELAY
    return _answer(
        429 if early else 403,
        "http_request_denied",
        {
            "type": f"urn:crawl-audit:problem:{'too-early' if early else 'disallowed'}",
            "title": _TITLES.get(decision.basis, "Denied by robots.txt"),
            "detail": _WHY.get(decision.basis) or decision.detail or "The request is disallowed.",
            "verdict": decision.verdict.value,
            "basis": decision.basis.value,
            "rule": decision.rule,
            "rule_line": decision.rule_line,
            "product_token": decision.product_token,
            "robots_sha256": decision.robots_sha256,
            "exchange_id": decision.exchange_id,
        },
        () if retry_after_s is None else (("Retry-After", str(retry_after_s)),),
    )


def bad_request(status: int, detail: str, exchange_id: str) -> Answer:
    """400 for an authority that is none, 421 for a request whose parts contradict each other on where it goes."""
    return _answer(
        status,
        "http_request_error",
        {
            "type": "urn:crawl-audit:problem:bad-request",
            "title": "Refused, because it cannot be told where the request goes",
            "detail": detail,
            "basis": Basis.ERROR.value,
            "exchange_id": exchange_id,
        },
    )


def bad_gateway(detail: str, exchange_id: str) -> Answer:
    """502 for an answer of the site that cannot be passed on; the connection closes, so that nothing late follows."""
    return _answer(
        502,
        "http_protocol_error",
        {
            "type": "urn:crawl-audit:problem:bad-gateway",
            "title": "The site's answer cannot be passed on",
            "detail": detail,
            "exchange_id": exchange_id,
        },
        (("Connection", "close"),),
    )


def unrecorded(reason: str, detail: str, exchange_id: str | None) -> Answer:
    """503 for a request that cannot be recorded and therefore does not leave."""
    return _answer(
        503,
        "proxy_internal_error",
        {
            "type": f"urn:crawl-audit:problem:{reason}",
            "title": "Not forwarded, because it could not be recorded",
            "error": reason,
            "detail": detail,
            "exchange_id": exchange_id,
        },
        (("Retry-After", str(RETRY_AFTER_S)),),
    )


def unknown_crawler(exchange_id: str | None) -> Answer:
    """407 for a client that no configured crawler's token was presented by."""
    return _answer(
        407,
        "proxy_configuration_error",
        {
            "type": "urn:crawl-audit:problem:unknown-crawler",
            "title": "Unknown crawler",
            "detail": "Present a configured crawler's token in Proxy-Authorization, as password of Basic or as Bearer.",
            "exchange_id": exchange_id,
        },
        (("Proxy-Authenticate", 'Basic realm="crawl-audit"'),),
    )
