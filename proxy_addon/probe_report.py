"""What a bypass probe found: a closed vocabulary, how it reaches the log, and that it is somebody's word.

The probe runs where the crawler runs, so the log can only say what the prober declared.  It declares it through the
proxy, like everything else that may leave there: a GET to a reserved name, which the sidecar answers itself.
``.invalid`` never resolves (RFC 6761 6.4), so without a sidecar in between the request reaches nobody.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qsl, urlencode

from crawl_audit.records import Incident, Instant
from crawl_audit.target import Scope, Target, TargetError, split_authority
from crawl_audit.text import storable
from proxy_addon.denial import Answer

HOST = "egress-probe.crawl-audit.invalid"
_TARGET_MAX = 300


class Way(StrEnum):
    """A way past the sidecar: UDP is QUIC, port 443."""

    TCP4 = "tcp4"
    TCP6 = "tcp6"
    UDP4 = "udp4"
    UDP6 = "udp6"


class Found(StrEnum):
    """What came of trying one way."""

    OPEN = "open"  # connected, or answered
    REFUSED = "refused"  # an error, here or from the network
    NO_ANSWER = "no_answer"  # nothing within the time there was
    NOT_TRIED = "not_tried"  # no address of that family is known


class Through(StrEnum):
    """What came of asking for the same target through the sidecar: without it, silence would prove nothing."""

    REACHED = "reached"
    FAILED = "failed"


class Result(StrEnum):
    """What the findings come to, the worst first."""

    OPEN = "open"
    INCONCLUSIVE = "inconclusive"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Everything tried with one target."""

    host: str
    port: int
    ways: Mapping[Way, Found]
    through: Through

    @property
    def target(self) -> str:
        """``host:port``, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def result(self) -> Result:
        """``closed`` only where the target is there (the sidecar reached it) and TCP past the sidecar did not."""
        if Found.OPEN in self.ways.values():
            return Result.OPEN
        tried = any(self.ways[way] is not Found.NOT_TRIED for way in (Way.TCP4, Way.TCP6))
        return Result.CLOSED if tried and self.through is Through.REACHED else Result.INCONCLUSIVE

    def document(self) -> dict[str, str]:
        """As the command prints it."""
        ways = {way.value: found.value for way, found in self.ways.items()}
        return {"target": self.target, "result": self.result.value, **ways, "through": self.through.value}

    def declaration(self) -> str:
        """Path and query of the request that declares it to the sidecar."""
        said = {name: value for name, value in self.document().items() if name != "result"}
        return "/?" + urlencode(said)


def worst(findings: list[Finding]) -> Result:
    """What several findings come to; nothing found is inconclusive."""
    results = {finding.result for finding in findings}
    return next((result for result in Result if result in results), Result.INCONCLUSIVE)


def declared(method: str, target: Target) -> Finding | None:
    """What a request declares; None for every request that is not exactly a declaration, which is then an ordinary one.

    The result is worked out here again: nobody can declare `closed` beside a way that is open.
    """
    path, _, query = target.target.partition("?")
    if (method, target.scope, path) != ("GET", Scope("http", HOST, 80), "/") or len(query) > 2 * _TARGET_MAX:
        return None
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=len(Way) + 2)
        said = dict(pairs)
        if len(said) != len(pairs) or set(said) != {"target", "through", *Way}:
            return None
        host, port = split_authority(said["target"].encode("ascii"), "https")
        ways = {way: Found(said[way]) for way in Way}
        return Finding(host=host, port=port, ways=ways, through=Through(said["through"]))
    except (TargetError, UnicodeError, ValueError):
        return None


def incident(finding: Finding, *, at: Instant, exchange: str, crawler: str, client: str | None) -> Incident:
    """The record of a declaration; its word says the result, so that no reader needs to take the sentence apart."""
    ways = ", ".join(f"{way} {found}" for way, found in finding.ways.items())
    detail = f"Declared by the prober, of {finding.target}: {ways}; through the sidecar {finding.through}."

    def _incident(word: str) -> Incident:
        return Incident(
            recorded_at=at,
            incident=word,
            exchange_id=exchange,
            crawler=crawler,
            client=client,
            detail=storable(detail, 1000),
        )

    if finding.result is Result.OPEN:
        return _incident("egress_probe_open")
    if finding.result is Result.CLOSED:
        return _incident("egress_probe_closed")
    return _incident("egress_probe_inconclusive")


def recorded(finding: Finding, exchange: str) -> Answer:
    """200: the declaration is on disk."""
    body = json.dumps({"recorded": True, "result": finding.result.value, "exchange_id": exchange}).encode() + b"\n"
    fields = (
        (b"Content-Type", b"application/json"),
        (b"Content-Length", str(len(body)).encode()),
        (b"Cache-Control", b"no-store"),
    )
    return Answer(200, fields, body, "egress_probe")
