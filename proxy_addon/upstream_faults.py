"""How an exchange failed on the way to or from the site → the page the crawler gets instead of an answer.

mitmproxy would send an HTML page of its own.  Its sentence about the failure is only compared here and never quoted:
it can hold octets of the site's answer.  The words after ``error=`` are those of RFC 9209 2.3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from proxy_addon import denial
from proxy_addon.deadlines import Deadline
from proxy_addon.denial import Answer
from proxy_addon.egress import REFUSED
from proxy_addon.exchanges import LIMIT_WORD

TIMEOUT_WORD = "timeout"
"""What ``Completion.error`` begins with where the sidecar ended an exchange because of a deadline."""

_AGAIN = "Try again later, with growing pauses."
_SITE = "Nothing is wrong with the request; leave the URL out or try again later."
_REPAIR = "Repair the request; the same one is refused again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What went wrong, in RFC 9209's word, one sentence, and what to do."""

    error: str
    detail: str
    advice: str = _SITE


# The first pattern that is found in mitmproxy's sentence decides.
_SITE_FAULTS: tuple[tuple[re.Pattern[str], Fault], ...] = tuple(
    (re.compile(pattern), fault)
    for pattern, fault in (
        # These three quote the site: nothing after their beginning may be looked at.
        (
            r"^unexpected server response|^peer closed connection",
            Fault(error="http_response_incomplete", detail="The site broke off its answer.", advice=_AGAIN),
        ),
        (
            r"^Cannot parse HTTP response|^HTTP/1 protocol error|^Received ",
            Fault(error="http_protocol_error", detail="The site's answer is not valid HTTP/1.1."),
        ),
        (
            rf"{REFUSED}|Connection killed",
            Fault(
                error="destination_ip_prohibited",
                detail="The sidecar may not connect to the addresses of this host.",
                advice="Leave the URL out; the sidecar's operator sets where it may connect to ([egress]).",
            ),
        ),
        (
            r"Errno -\d|getaddrinfo|Name or service|name resolution|nodename",
            Fault(error="dns_error", detail="The site's name could not be resolved."),
        ),
        (r"Errno 111\b|refused", Fault(error="connection_refused", detail="The site refused the connection.")),
        (
            r"Errno 11[03]\b|Errno 101\b|unreachable|No route|timed out",
            Fault(error="destination_unavailable", detail="The site could not be reached.", advice=_AGAIN),
        ),
        (
            r"Certificate verify failed|ertificate",
            Fault(error="tls_certificate_error", detail="The site's certificate is not valid for its name."),
        ),
        (r"alert", Fault(error="tls_alert_received", detail="The site refused the TLS handshake.")),
        (
            r"OpenSSL|does not speak TLS|TLS",
            Fault(error="tls_protocol_error", detail="The TLS handshake with the site failed."),
        ),
        (
            r"answer is longer|answer has more",
            Fault(
                error="http_response_header_section_size",
                detail="The head of the site's answer is larger than the sidecar takes.",
            ),
        ),
        (
            r"server closed connection|connection closed",
            Fault(
                error="connection_terminated",
                detail="The site closed the connection without an answer.",
                advice="Send the request again if it may be sent twice.",
            ),
        ),
    )
)
_UNKNOWN = Fault(error="http_protocol_error", detail="The site's answer is not valid HTTP/1.1.")
_TIMEOUTS = {
    Deadline.CONNECT: "connection_timeout",
    Deadline.TLS: "connection_timeout",
    Deadline.FIRST_BYTE: "http_response_timeout",
    Deadline.HEAD: "http_response_timeout",
    Deadline.TOTAL: "http_response_timeout",
    Deadline.REQUEST: "http_request_error",
    Deadline.CLIENT_RATE: "connection_write_timeout",
    Deadline.RATE: "connection_write_timeout",
    Deadline.IDLE: "connection_read_timeout",
}


def site_fault(message: str) -> Fault:
    """What mitmproxy's sentence about a failed connection or answer means."""
    return next((fault for pattern, fault in _SITE_FAULTS if pattern.search(message)), _UNKNOWN)


def cut_text(deadline: Deadline, sentence: str) -> str:
    """``Completion.error`` of an exchange that the sidecar ended."""
    return f"{TIMEOUT_WORD}:{deadline.value}: {sentence}"


def page(status: int, message: str, *, exchange_id: str | None = None, cut: str | None = None) -> Answer:
    """The page for mitmproxy's status and sentence; ``cut``: a deadline or limit of ours ended the exchange."""
    if cut is not None and cut.startswith(LIMIT_WORD):
        return denial.too_large(413, cut.split(":", 2)[2].strip(), exchange_id)
    if cut is not None:
        return _timed_out(cut, exchange_id)
    if status < 500:
        return malformed(status)
    fault = site_fault(message)
    return denial.failed(
        status,
        fault.error,
        "bad-gateway",
        title="The site gave no answer that can be passed on",
        detail=fault.detail,
        advice=fault.advice,
        exchange_id=exchange_id,
    )


def _timed_out(cut: str, exchange_id: str | None) -> Answer:
    _, word, sentence = cut.split(":", 2)
    deadline = Deadline(word)
    by_crawler = deadline in (Deadline.REQUEST, Deadline.CLIENT_HEAD)
    return denial.failed(
        408 if by_crawler else 504,
        "http_request_error" if by_crawler else _TIMEOUTS[deadline],
        "timeout",
        title=f"Ended, because a deadline has passed: {deadline.value}",
        detail=sentence.strip(),
        advice="Send the whole request at once." if by_crawler else _AGAIN,
        exchange_id=exchange_id,
    )


def request_timeout(sentence: str) -> Answer:
    """408 for a request that was never finished."""
    return _timed_out(cut_text(Deadline.CLIENT_HEAD, sentence), None)


def malformed(status: int) -> Answer:
    """400 or 431 for what cannot be read as a request."""
    large = status == 431
    return denial.failed(
        status,
        "http_request_error",
        "malformed-request",
        title="Refused, because it cannot be read as a request",
        detail="The head of the request is larger than the sidecar takes."
        if large
        else "The request is not valid HTTP/1.1.",
        advice=_REPAIR,
    )
