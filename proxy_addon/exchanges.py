"""The open exchanges: what has been forwarded and not yet ended, with the octets counted on the way.

Each forwarded decision ends in exactly one completion, whichever of mitmproxy's hooks comes first, or none of them.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from crawl_audit.exchange import Event, State, advance
from crawl_audit.records import Completion, Decision, Instant, Outcome
from crawl_audit.target import Target
from crawl_audit.text import storable

LIMIT_WORD = "limit"
"""What :attr:`Exchange.cut` begins with where a limit was exceeded and no deadline passed."""

_MODALITIES = {"text": "text", "image": "image", "audio": "audio", "video": "video"}
_TEXT_TYPES = ("json", "xml", "javascript", "pdf", "html")
_BARRIER_STATUS = {401, 402, 403, 407, 429, 451}


class BodyMeter:
    """Counts and digests a body as it streams through; keeps the first octets where somebody needs them."""

    __slots__ = ("_digest", "_keep_bytes", "_kept", "bytes_max", "on_overflow", "size")

    def __init__(self, *, digest: bool, keep_bytes: int = 0) -> None:
        self.size = 0
        self.bytes_max = 0
        self.on_overflow: Callable[[], None] = lambda: None
        self._digest = hashlib.sha256() if digest else None
        self._kept = bytearray()
        self._keep_bytes = keep_bytes

    def __call__(self, chunk: bytes) -> bytes | list[bytes]:
        """mitmproxy's stream callable: must never raise, or the connection hangs.

        Of a body longer than ``bytes_max`` (0: none is) nothing more passes: no octet, and no empty chunk either,
        which would look like the body's end.
        """
        if self.bytes_max and self.size + len(chunk) > self.bytes_max:
            self.on_overflow()
            return []
        self.size += len(chunk)
        if self._digest is not None:
            self._digest.update(chunk)
        if len(self._kept) < self._keep_bytes:
            self._kept += chunk[: self._keep_bytes - len(self._kept)]
        return chunk

    def keep(self, octets: int) -> None:
        """Keep at least the first ``octets`` of a body of which nothing has passed yet."""
        if not self.size:
            self._keep_bytes = max(self._keep_bytes, octets)

    @property
    def sha256(self) -> str | None:
        """Digest of what passed, hex."""
        return None if self._digest is None else self._digest.hexdigest()

    @property
    def kept(self) -> bytes:
        """The first octets, as many as were asked for."""
        return bytes(self._kept)


@dataclass(slots=True, kw_only=True, eq=False)
class Exchange:
    """One forwarded exchange between its decision and its completion."""

    decision: Decision
    decision_seq: int
    target: Target
    client_id: str
    started: float = field(default_factory=time.monotonic)
    state: State = State.FORWARDED
    request_meter: BodyMeter = field(default_factory=lambda: BodyMeter(digest=False))
    response_meter: BodyMeter = field(default_factory=lambda: BodyMeter(digest=True))
    request_ended: Callable[[], bool] = lambda: True
    """Whether the crawler has sent its request to the end."""
    head_begun: bool = False
    """Whether some of the answer's head has come, and not all."""
    head_passed: bool = False
    """Whether the answer's head was passed on: the crawler has a status, and can be given no other."""
    upgraded: bool = False
    """Whether it has become a WebSocket."""
    cut: str | None = None
    """Why the sidecar itself is ending it, as ``timeout:<deadline>: <sentence>`` or ``limit:<limit>: <sentence>``.

    Nothing else is its outcome then: a timeout, or, where the crawler sent more than it may, the crawler's doing.
    """

    def age_ms(self) -> int:
        """Milliseconds since the decision, by the monotonic clock."""
        return int((time.monotonic() - self.started) * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What is known of the site's answer when an exchange ends; all None where there was none."""

    status: int | None = None
    content_type: str | None = None
    server_ip: str | None = None
    http_version: str | None = None
    challenge: bool = False


class ExchangeTable:
    """All open exchanges by mitmproxy's flow id."""

    def __init__(self, on_count: Callable[[str, int], object] | None = None) -> None:
        """``on_count`` is told, whenever it changes, how many exchanges of a crawler are open."""
        self._on_count = on_count
        self._open: dict[str, Exchange] = {}
        self._latest: dict[str, Exchange] = {}
        self._by_crawler: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def open(self, flow_id: str, exchange: Exchange) -> None:
        """Enter a forwarded exchange; its decision is durable by now."""
        assert flow_id not in self._open
        self._open[flow_id] = exchange
        self._count(exchange.decision.crawler, 1)
        self._latest[exchange.client_id] = exchange

    def get(self, flow_id: str) -> Exchange | None:
        """The open exchange of a flow, or None for a denied, ended or unknown one."""
        return self._open.get(flow_id)

    def open_of(self, crawler: str) -> int:
        """How many exchanges of a crawler are open."""
        return self._by_crawler[crawler]

    def _count(self, crawler: str, change: int) -> None:
        self._by_crawler[crawler] += change
        if self._on_count is not None:
            self._on_count(crawler, self._by_crawler[crawler])

    def latest(self, client_id: str) -> Exchange | None:
        """The last exchange that a client connection has begun, open or ended; HTTP/1 has one at a time."""
        return self._latest.get(client_id)

    def forget(self, client_id: str) -> None:
        """The client connection is gone."""
        self._latest.pop(client_id, None)

    def items(self) -> list[tuple[str, Exchange]]:
        """Flow id and exchange of all that are open."""
        return list(self._open.items())

    def of_client(self, client_id: str) -> Iterator[str]:
        """Flow ids of the exchanges still open on one client connection."""
        return iter([flow_id for flow_id, exchange in self._open.items() if exchange.client_id == client_id])

    def flow_ids(self) -> list[str]:
        """Flow ids of all open exchanges."""
        return list(self._open)

    def finish(
        self, flow_id: str, now: Instant, outcome: Outcome, answered: Answered, error: str | None = None
    ) -> Completion | None:
        """The completion of an exchange, once; None where it is not open (denied, or already ended)."""
        exchange = self._open.pop(flow_id, None)
        if exchange is None:
            return None
        self._count(exchange.decision.crawler, -1)
        exchange.state = advance(exchange.state, Event.COMPLETE)
        if exchange.cut is not None:
            timeout = not exchange.cut.startswith(LIMIT_WORD)
            outcome, error = Outcome.TIMEOUT if timeout else Outcome.CLIENT_ABORT, exchange.cut
        whole = outcome is Outcome.COMPLETED
        return Completion(
            recorded_at=now,
            decision_seq=exchange.decision_seq,
            outcome=outcome,
            error=None if error is None else storable(error, 500),
            status=answered.status,
            request_bytes=exchange.request_meter.size,
            response_bytes=exchange.response_meter.size,
            content_type=answered.content_type,
            modality=modality(answered.content_type),
            body_sha256=exchange.response_meter.sha256 if whole and exchange.response_meter.size else None,
            duration_ms=exchange.age_ms(),
            server_ip=answered.server_ip,
            http_version=answered.http_version,
            barrier=barrier(answered),
        )


def modality(content_type: str | None) -> str | None:
    """The EU template's modality of a media type (section 2.3.g); None where none was sent."""
    if not content_type:
        return None
    media_type = content_type.partition(";")[0].strip().lower()
    kind, _, subtype = media_type.partition("/")
    if kind == "application" and any(word in subtype for word in _TEXT_TYPES):
        return "text"
    return _MODALITIES.get(kind, "other")


def barrier(answered: Answered) -> str | None:
    """The access barrier an answer shows; in-page paywalls and CAPTCHAs are invisible here (a lower bound)."""
    if answered.challenge:
        return "challenge"
    return f"http_{answered.status}" if answered.status in _BARRIER_STATUS else None


def unanswered(decision_seq: int, now: Instant, outcome: Outcome, error: str, *, duration_ms: int) -> Completion:
    """The completion of an exchange of which no answer is known; ``duration_ms`` is how long it was certainly open."""
    return Completion(
        recorded_at=now,
        decision_seq=decision_seq,
        outcome=outcome,
        error=error,
        status=None,
        request_bytes=0,
        response_bytes=0,
        content_type=None,
        modality=None,
        body_sha256=None,
        duration_ms=duration_ms,
        server_ip=None,
        http_version=None,
        barrier=None,
    )
