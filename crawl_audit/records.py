"""The nouns: every kind of record a log can hold, field by field.

A record is a frozen value.  Field names are the column names that auditors query (docs/log-format.md is generated
from here), so a change here is a change of the contract: bump ``schema.VERSION``.  Units: ``_at`` and ``_until``
are microseconds since 1970-01-01 UTC, ``_ms`` milliseconds, ``_bytes`` octets.  ``None`` means not known or not
applicable, never zero.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from crawl_audit import record_columns
from crawl_audit.fleet_records import FleetHead, FleetNode
from crawl_audit.record_columns import column
from crawl_audit.record_columns import record as _record

Instant = record_columns.Instant


class Verdict(StrEnum):
    """What the site says of this request."""

    ALLOWED = "allowed"
    DISALLOWED = "disallowed"


class Basis(StrEnum):
    """Why the verdict is so."""

    RULE = "rule"  # a rule of the group for our product token, or of `*`, matched
    NO_RULE = "no_rule"  # a group governs us, no rule of it matches: allowed (RFC 9309 2.2.2)
    NO_GROUP = "no_group"  # no group names us and there is none for `*`: allowed (RFC 9309 2.2.1)
    UNAVAILABLE = "unavailable"  # robots.txt answered 4xx: allowed (RFC 9309 2.3.1.3)
    UNREACHABLE = "unreachable"  # robots.txt answered 5xx or not at all: disallowed (RFC 9309 2.3.1.4)
    ROBOTS_TXT = "robots_txt"  # the request is for /robots.txt itself: implicitly allowed (RFC 9309 2.2.2)
    ERROR = "error"  # no verdict could be reached (contradicting authorities, refused protocol): disallowed
    EXEMPTION = "exemption"  # the site disallows, a declared exemption (licence, own site) covers the request: allowed
    SIGNAL = "signal"  # robots.txt allows, a usage preference that the operator's policy heeds does not: disallowed
    CRAWL_DELAY = "crawl_delay"  # too early for the pace the site asks, which the operator enforces: disallowed


class Mode(StrEnum):
    """The operator's word: record only, or also deny."""

    AUDIT = "audit"
    ENFORCE = "enforce"


class Action(StrEnum):
    """What the proxy did with the request."""

    FORWARDED = "forwarded"
    DENIED = "denied"


class Outcome(StrEnum):
    """How a forwarded exchange ended."""

    COMPLETED = "completed"
    CLIENT_ABORT = "client_abort"
    UPSTREAM_ERROR = "upstream_error"
    TIMEOUT = "timeout"
    NOT_SENT = "not_sent"
    PROXY_SHUTDOWN = "proxy_shutdown"
    UNKNOWN_AFTER_CRASH = "unknown_after_crash"


class RobotsOutcome(StrEnum):
    """How fetching robots.txt ended (RFC 9309 2.3.1)."""

    SUCCESSFUL = "successful"
    UNAVAILABLE = "unavailable"
    UNREACHABLE = "unreachable"


class SnapshotSource(StrEnum):
    """Who fetched the robots.txt: the sidecar, the crawler through it, or another sidecar that shared the answer."""

    FETCHED = "fetched"
    OBSERVED = "observed"
    SHARED = "shared"


@_record
class Run:
    """The sidecar started, stopped, or changed its settings."""

    KIND: ClassVar[str] = "run"
    recorded_at: Instant = column("when")
    event: str = column(
        "`start`, `stop`, `recovered`: another log was finished; `custody` or `fleet` in a log only of other logs"
    )
    node: str = column("name of the sidecar, as configured")
    reason: str | None = column("why it stopped: `signal`, `error`; nothing at a start")
    mode: Mode = column("audit or enforce")
    settings: str = column("the settings in force as canonical JSON, secrets left out")
    settings_sha256: str = column("SHA-256 of `settings`")
    software: str = column("names and versions of what decides, proxies and stores, as canonical JSON")
    checkpoint_key: str = column("C2SP verifier key (vkey) that signs this log's checkpoints")
    trust_sha256: str | None = column("SHA-256 of the PEM bundle that origin servers' certificates are verified with")
    previous_log: str | None = column("the log last written in this log directory")


@_record
class Snapshot:
    """One immutable copy of a robots.txt: what was asked, what came back, how long it holds."""

    KIND: ClassVar[str] = "snapshot"
    recorded_at: Instant = column("when the answer was complete; of a `shared` one, when it was taken over")
    scheme: str = column("`http` or `https` of the scope it governs (RFC 9309 2.3)")
    host: str = column("host of the scope")
    port: int = column("port of the scope")
    source: SnapshotSource = column(
        "`fetched` by the sidecar, `observed` when the crawler fetched it through the sidecar, or `shared` by the"
        " sidecar that fetched it"
    )
    fetched_at: Instant | None = column(
        "of a `shared` one, when the answer was complete where it was fetched: its age and its term count from here"
    )
    origin_log: str | None = column("of a `shared` one, the log of the sidecar that fetched it")
    final_url: str = column("URL that gave the answer, after redirects")
    redirects: tuple[str, ...] = column("URLs redirected to, in order")
    status: int | None = column("HTTP status of the last answer; nothing when there was no answer")
    outcome: RobotsOutcome = column("`successful`, `unavailable` (4xx) or `unreachable` (5xx, 429 by default, network)")
    error: str | None = column("what went wrong, as a short word and a sentence")
    robots_sha256: str | None = column("SHA-256 of the body; the body is in `robots_body`")
    body_bytes: int | None = column("length of the body as kept, after content decoding")
    truncated: bool = column("whether the body was cut at the limit")
    content_type: str | None = column("Content-Type as sent")
    looks_like_html: bool = column("whether the body is an HTML page (a soft 404)")
    etag: str | None = column("ETag as sent")
    fetch_ms: int = column("how long it took to have the answer, waiting for another sidecar's fetch included")
    valid_until: Instant = column("until when decisions may rest on it (RFC 9309 2.4: at most 24 h)")

    @property
    def taken_at(self) -> Instant:
        """When the site gave this answer, whoever asked."""
        return self.recorded_at if self.fetched_at is None else self.fetched_at


@_record
class RobotsBody:
    """The octets of a robots.txt, kept once per log under their digest."""

    KIND: ClassVar[str] = "robots_body"
    recorded_at: Instant = column("when first seen in this log")
    robots_sha256: str = column("SHA-256 of `body`")
    body_bytes: int = column("length of `body`")
    body: bytes = column("the octets judged, after content decoding", bound=True)


@_record
class Decision:
    """One request, the robots.txt in force, the verdict, and what was done; durable before it was done."""

    KIND: ClassVar[str] = "decision"
    recorded_at: Instant = column("when the decision was made")
    exchange_id: str = column("UUIDv7 of the exchange, also in the denial sent to the crawler")
    trace_id: str | None = column(
        "trace-id of the W3C `traceparent` header the crawler sent, 32 hex digits; nothing where it sent no valid one",
        sensitive=True,
    )
    crawler: str = column("configured id of the crawler")
    product_token: str = column(
        "RFC 9309 product token(s) the verdict is for, comma-separated; `*` where none is configured"
    )
    client: str | None = column("address of the crawler's connection", sensitive=True)
    user_agent: str | None = column("User-Agent as sent", sensitive=True)
    token_in_user_agent: bool = column("whether User-Agent contains a product token (RFC 9309 2.2.1 SHOULD)")
    method: str = column("HTTP method")
    scheme: str = column("`http` or `https`")
    host: str = column("host the connection goes to, lower case, A-labels")
    port: int = column("port the connection goes to")
    target: str = column("path and query as sent, octets outside printable ASCII percent-encoded", sensitive=True)
    target_b64: str | None = column("base64 of path and query where `target` had to be encoded", sensitive=True)
    site: str = column("registrable domain of `host` (Public Suffix List, ICANN part), or the address")
    snapshot_seq: int | None = column("`seq` of the snapshot the verdict rests on")
    robots_sha256: str | None = column("SHA-256 of the robots.txt the verdict rests on")
    robots_age_ms: int | None = column("age of that snapshot at the decision; of a `shared` one since it was fetched")
    verdict: Verdict = column("`allowed` or `disallowed`: the site's word")
    basis: Basis = column("why the verdict is so")
    group_tokens: tuple[str, ...] = column("user-agent lines of the groups that govern, as written")
    rule: str | None = column("the rule that decided, as written")
    rule_line: int | None = column("its line in robots.txt, counted from 1")
    protego_verdict: Verdict | None = column("what Protego alone says of the same bytes, token and URL")
    divergent: bool = column("whether that differs from our own reading of robots.txt")
    parser: str = column("name and version of what judged")
    mode: Mode = column("`audit` or `enforce`: the operator's word")
    action: Action = column("`forwarded` or `denied`: what was done")
    exemption: str | None = column("id of the declared exemption that covers the request, whatever the site says of it")
    detail: str | None = column("one sentence where `basis` is `error`, `exemption`, `signal` or `crawl_delay`")
    crawl_delay_ms: int | None = column("Crawl-delay asked of this token")
    request_interval_ms: int | None = column("milliseconds per request that Request-rate asks of this token")
    since_previous_ms: int | None = column(
        "since this crawler's previous forwarded request to the same scheme, host and port, /robots.txt not counted"
    )
    held_ms: int | None = column("how long it was held for the pace asked; nothing where no pace is asked or enforced")


@_record
class Completion:
    """How one forwarded exchange ended; at most one per decision."""

    KIND: ClassVar[str] = "completion"
    recorded_at: Instant = column("when it ended")
    decision_seq: int = column("`seq` of its decision in the same log")
    outcome: Outcome = column("how it ended")
    error: str | None = column("what went wrong")
    status: int | None = column("HTTP status of the site's answer")
    request_bytes: int = column("octets of the request body sent")
    response_bytes: int = column("octets of the response body received, before content decoding")
    content_type: str | None = column("Content-Type as sent")
    modality: str | None = column("`text`, `image`, `audio`, `video` or `other`, from Content-Type")
    body_sha256: str | None = column("SHA-256 of the response body as received; nothing when it was cut short")
    duration_ms: int = column("from decision to end")
    server_ip: str | None = column("address the request went to")
    http_version: str | None = column("HTTP version of the site's answer")
    barrier: str | None = column("access barrier seen in the answer, for example `http_401`; a lower bound")


@_record
class Signal:
    """A machine-readable usage preference or pacing wish, as found."""

    KIND: ClassVar[str] = "signal"
    recorded_at: Instant = column("when")
    exchange_id: str | None = column("exchange whose answer carried it")
    snapshot_seq: int | None = column("`seq` of the robots.txt snapshot that carries it")
    protocol: str = column("`content-signal`, `content-usage`, `tdmrep`, `x-robots-tag`, `rsl`, `crawl-delay`, …")
    raw: str = column("the field or line as sent")
    value: str | None = column("our reading of it; nothing where it cannot be read")
    scope: str | None = column("whom or what it is for: user-agent line(s) or path")


@_record
class Tunnel:
    """A connection rather than a request: CONNECT, WebSocket, TLS that failed, bytes that are not HTTP."""

    KIND: ClassVar[str] = "tunnel"
    recorded_at: Instant = column("when")
    exchange_id: str | None = column("exchange it grew out of")
    crawler: str | None = column("configured id of the crawler, where it is known")
    client: str | None = column("address of the crawler's connection", sensitive=True)
    protocol: str = column("`connect`, `tls`, `websocket`, `tcp`, `udp`")
    host: str | None = column("host asked for")
    port: int | None = column("port asked for")
    outcome: str = column("`opened`, `refused` or `failed`")
    detail: str | None = column("one sentence")


@_record
class Incident:
    """Anything that makes the log less than complete, or a request that never became one."""

    KIND: ClassVar[str] = "incident"
    recorded_at: Instant = column("when")
    incident: str = column("a fixed word, for example `malformed_request`, `hook_error`, `recovered_log`")
    exchange_id: str | None = column("exchange it belongs to")
    crawler: str | None = column("configured id of the crawler, where it is known")
    client: str | None = column("address of the crawler's connection", sensitive=True)
    detail: str = column("one sentence")


@_record
class Seal:
    """The Merkle root over the entries since the last seal, and the counters at that moment."""

    KIND: ClassVar[str] = "seal"
    recorded_at: Instant = column("when")
    seal_index: int = column("0-based index of this seal in the log")
    first_seq: int = column("`seq` of the first entry it covers")
    rows: int = column("how many entries it covers; its own `seq` is `first_seq` + `rows`")
    root: str = column("RFC 6962 Merkle tree hash over the leaves of those entries, hex")
    reason: str = column("`interval`, `idle`, `rotation`, `demand`, `shutdown` or `recovered`")
    decisions: int = column("decisions so far in this log")
    forwarded: int = column("of these, forwarded")
    completions: int = column("completions so far")
    dropped: int = column("records that could not be made durable so far; their requests did not leave")
    in_flight: int = column("forwarded exchanges without completion at this moment")
    monotonic_ms: int = column("monotonic clock since the log's start; shows steps of the wall clock")
    settings_sha256: str = column("SHA-256 of the settings in force")


@_record
class Anchor:
    """Somebody outside has seen a head of this log's tree; what they gave lies beside the checkpoint."""

    KIND: ClassVar[str] = "anchor"
    recorded_at: Instant = column("when the receipt was verified")
    method: str = column("`rfc3161`, `witness` or `push`")
    authority: str = column("name of who saw it, as configured")
    checkpoint_size: int = column("seals in the tree whose head was shown")
    checkpoint_root: str = column("root of that tree, hex")
    receipt_sha256: str = column("SHA-256 of the receipt as it lies in checkpoints/")
    stated_at: Instant | None = column("the time the receipt states")


@_record
class Gap:
    """Requests left before their record was durable (`fail_open`); what was kept of them follows in the log."""

    KIND: ClassVar[str] = "gap"
    recorded_at: Instant = column("when the log could be written again")
    cause: str = column("why nothing could be recorded: the reason that a refusal would have given")
    first_at: Instant = column("first request that left unrecorded")
    last_at: Instant = column("last request that left unrecorded")
    requests: int = column("how many left")
    kept: int = column("of these, how many were kept in the emergency file")
    first_seq: int | None = column("`seq` of the first record entered late from that file")
    last_seq: int | None = column("`seq` of the last")
    file_sha256: str | None = column("SHA-256 of the emergency file")
    detail: str = column("one sentence")


@_record
class Custody:
    """Something was done to logs after they were written: values erased, rows pruned, a legal hold."""

    KIND: ClassVar[str] = "custody"
    recorded_at: Instant = column("when")
    event: str = column("`redacted`, `pruned`, `hold_placed` or `hold_released`")
    hold: str | None = column("id of the legal hold")
    subject_log: str | None = column("log it was done to; nothing: every log in the directory")
    first_seq: int | None = column("first `seq` concerned")
    last_seq: int | None = column("last `seq` concerned")
    rows: int = column("how many records are concerned")
    fields: tuple[str, ...] = column("columns erased; empty: whole records")
    leaves_sha256: str | None = column("SHA-256 of the concerned records' leaves, one after the other by `seq`")
    scope: str | None = column("domain, URL or period as given", sensitive=True)
    reason: str = column("why, as given")
    custodian: str = column("who, as given")


_OfCrawling = Run | Snapshot | RobotsBody | Decision | Completion | Signal | Tunnel | Incident
Record = _OfCrawling | Seal | Anchor | Gap | Custody | FleetNode | FleetHead
