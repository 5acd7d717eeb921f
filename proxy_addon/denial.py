"""What a crawler gets instead of the page: status, fields and problem document, as plain values.

RFC 9457 (problem details) for the body, RFC 9209 (Proxy-Status) for intermediaries.  A person reading it finds why,
by which rule, what to do (`advice`) and the exchange id under which the log has it; a machine finds a fixed word
(`reason`).  docs/failures.md lists them all.
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
    reason: str = ""


def _answer(status: int, error: str, problem: dict[str, Any], extra: tuple[tuple[str, str], ...] = ()) -> Answer:
    """An answer of which ``problem`` has `type`, `reason`, `title`, `detail` and `advice` at least."""
    text = json.dumps({"status": status, **problem}, ensure_ascii=False, indent=1)
    body = text.encode("utf-8", "backslashreplace") + b"\n"  # never raises: a denial that fails would let through
    fields = (
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("Proxy-Status", f"crawl-audit; error={error}"),
        *extra,
    )
    return Answer(status, tuple((n.encode("ascii"), v.encode("ascii")) for n, v in fields), body, problem["reason"])


_WHY = {
    Basis.RULE: "robots.txt disallows this request for the product token.",
    Basis.UNREACHABLE: "robots.txt is unreachable, which means complete disallow (RFC 9309 2.3.1.4).",
}
_ADVICE = {
    "disallowed": "Do not ask for this URL again before the site's robots.txt has changed.",
    "too_early": "Ask again after the seconds that Retry-After gives, and send fewer requests to this site at once.",
    "bad_authority": "Name a valid host and port in CONNECT.",
    "contradicting_request": "Send one Host field that names the authority of the request line and of the TLS name.",
    "target_too_long": "Ask for a shorter URL; the limit is `limits.request_target_bytes` in the sidecar's settings.",
    "body_too_large": "Send a smaller body; the limit is `limits.request_body_mib` in the sidecar's settings.",
    "crawler_limit": "Send fewer requests at once, and again after the seconds that Retry-After gives.",
    "too_many_connections": "Use fewer connections, close idle ones, or give each crawler a sidecar of its own.",
    "unknown_crawler": "Send the token of a configured crawler in Proxy-Authorization, for a tunnel with CONNECT.",
    "audit_log_unavailable": "Try again later; who runs the sidecar finds the cause under /readyz and in its output.",
    "audit_disk_reserve": "Try again later; who runs the sidecar must free disk space or enlarge the volume.",
    "audit_commit_timeout": "Try again later; who runs the sidecar should look at the disk of the log directory.",
    "audit_backpressure": "Send fewer requests at once and try again.",
    "audit_log_closed": "Try again when the sidecar has been restarted.",
    "draining": "Try again when the sidecar has started again.",
    "hook_error": "Try again; if it stays, who runs the sidecar should report the incident `hook_error` in the log.",
}
"""What to do about each refusal, by its reason."""

_TITLES = {
    Basis.SIGNAL: "Denied by a usage preference of the site",
    Basis.CRAWL_DELAY: "Denied for now by the pace the site asks for",
}


def disallowed(decision: Decision, retry_after_s: int | None = None) -> Answer:
    """403 for a disallowed request, with everything needed to trace the verdict; 429 where it came too early."""
    early = decision.basis is Basis.CRAWL_DELAY
    reason = "too_early" if early else "disallowed"
    return _answer(
        429 if early else 403,
        "http_request_denied",
        {
            "type": f"urn:crawl-audit:problem:{reason.replace('_', '-')}",
            "reason": reason,
            "title": _TITLES.get(decision.basis, "Denied by robots.txt"),
            "detail": _WHY.get(decision.basis) or decision.detail or "The request is disallowed.",
            "advice": _ADVICE[reason],
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
    reason = "contradicting_request" if status == 421 else "bad_authority"
    return _answer(
        status,
        "http_request_error",
        {
            "type": "urn:crawl-audit:problem:bad-request",
            "reason": reason,
            "title": "Refused, because it cannot be told where the request goes",
            "detail": detail,
            "advice": _ADVICE[reason],
            "basis": Basis.ERROR.value,
            "exchange_id": exchange_id,
        },
    )


def too_large(status: int, detail: str, exchange_id: str | None) -> Answer:
    """414 for a request target, 413 for a body, that is larger than the settings allow; the connection ends."""
    reason, title = ("target_too_long", "target") if status == 414 else ("body_too_large", "body")
    return failed(
        status,
        "http_request_error",
        reason.replace("_", "-"),
        title=f"Refused, because the request's {title} is too large",
        detail=detail,
        advice=_ADVICE[reason],
        exchange_id=exchange_id,
    )


def crawler_limit(limit: str, retry_after_s: int, exchange_id: str) -> Answer:
    """429 for a crawler that is above a limit of its own."""
    problem = {
        "type": "urn:crawl-audit:problem:crawler-limit",
        "reason": "crawler_limit",
        "title": "Refused, because the crawler is above its own limit",
        "detail": {
            "crawler_rate": "The crawler sends more requests a second than `requests_per_s` in its settings says.",
            "crawler_exchanges": "The crawler has as many requests open as `max_open_exchanges` in its settings says.",
        }[limit],
        "advice": _ADVICE["crawler_limit"],
        "exchange_id": exchange_id,
    }
    return _answer(429, "http_request_denied", problem, (("Retry-After", str(retry_after_s)),))


def too_many_connections(exchange_id: str) -> Answer:
    """503 on a connection that is one too many; it ends with the answer."""
    problem = {
        "type": "urn:crawl-audit:problem:too-many-connections",
        "reason": "too_many_connections",
        "title": "Not served, because too many connections are open",
        "detail": "As many connections of crawlers are open as `limits.open_connections` allows.",
        "advice": _ADVICE["too_many_connections"],
        "exchange_id": exchange_id,
    }
    fields = (("Retry-After", str(RETRY_AFTER_S)), ("Connection", "close"))
    return _answer(503, "connection_limit_reached", problem, fields)


def unrecorded(reason: str, detail: str, exchange_id: str | None) -> Answer:
    """503 for a request that cannot be recorded and therefore does not leave."""
    return _answer(
        503,
        "proxy_internal_error",
        {
            "type": f"urn:crawl-audit:problem:{reason}",
            "reason": reason,
            "title": "Not forwarded, because it could not be recorded",
            "error": reason,
            "detail": detail,
            "advice": _ADVICE.get(reason, _ADVICE["audit_log_unavailable"]),
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
            "reason": "unknown_crawler",
            "title": "Unknown crawler",
            "detail": "Present a configured crawler's token in Proxy-Authorization, as password of Basic or as Bearer.",
            "advice": _ADVICE["unknown_crawler"],
            "exchange_id": exchange_id,
        },
        (("Proxy-Authenticate", 'Basic realm="crawl-audit"'),),
    )


def failed(
    status: int, error: str, word: str, *, title: str, detail: str, advice: str, exchange_id: str | None = None
) -> Answer:
    """A 4xx or 5xx for an exchange that ended without a whole answer; the connection ends with it."""
    problem = {
        "type": f"urn:crawl-audit:problem:{word}",
        "reason": word.replace("-", "_"),
        "title": title,
        "detail": detail,
        "advice": advice,
        "exchange_id": exchange_id,
    }
    return _answer(status, error, problem, (("Connection", "close"),))
