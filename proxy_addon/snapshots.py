"""An answer to GET /robots.txt → the records that keep it: snapshot, body, signals.

Pure: the clock is an argument and nothing is fetched or written here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from crawl_audit import robots, signals
from crawl_audit.records import (
    Incident,
    Instant,
    Record,
    RobotsBody,
    RobotsOutcome,
    Signal,
    Snapshot,
    SnapshotSource,
)
from crawl_audit.target import Scope
from crawl_audit.text import storable
from proxy_addon.fetcher import Fetched
from proxy_addon.freshness import Freshness

# What a page begins with (WHATWG MIME Sniffing 7.1, the tags that occur); comments and white space may come first.
# Possessive, so that a thousand comments are not tried in every grouping.
_HTML = re.compile(
    rb"(?:\s++|(?><!--.*?-->)|(?><\?xml[^>]*>))*+<(?:!doctype\s+html|html|head|body|title|script|meta)\b",
    re.IGNORECASE | re.DOTALL,
)
_HTML_PREFIX_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One robots.txt as held: the snapshot and, where there is one, the body it names by its digest."""

    snapshot: Snapshot
    body: bytes | None
    failures: int  # how many fetches in a row were unreachable, this one included


def copy_of(
    scope: Scope,
    fetched: Fetched,
    *,
    at: Instant,
    source: SnapshotSource,
    freshness: Freshness,
    treat_429_as_unreachable: bool,
    previous: Copy | None = None,
) -> Copy:
    """The copy that ``fetched`` (here at ``at``) gives; ``previous`` is the one it renews, if any.

    The term of a shared one counts from when it was fetched, by our own settings: what others think of it is theirs.
    """
    taken = fetched.fetched_at if source is SnapshotSource.SHARED else None
    if fetched.not_modified and fetched.body is None and previous is not None:
        return _renewed(previous, fetched, at=at, freshness=freshness)
    outcome = outcome_of(fetched, treat_429_as_unreachable=treat_429_as_unreachable)
    body = fetched.body if outcome is RobotsOutcome.SUCCESSFUL else None
    failures = (previous.failures if previous else 0) + 1 if outcome is RobotsOutcome.UNREACHABLE else 0
    snapshot = Snapshot(
        recorded_at=at,
        scheme=scope.scheme,
        host=scope.host,
        port=scope.port,
        source=source,
        fetched_at=taken,
        origin_log=None if taken is None else fetched.origin_log,
        final_url=fetched.final_url,
        redirects=fetched.redirects,
        status=fetched.status,
        outcome=outcome,
        error=fetched.error,
        robots_sha256=None if body is None else hashlib.sha256(body).hexdigest(),
        body_bytes=None if body is None else len(body),
        truncated=fetched.truncated,
        content_type=fetched.content_type,
        looks_like_html=body is not None and looks_like_html(body),
        etag=fetched.etag,
        fetch_ms=fetched.duration_ms,
        valid_until=valid_until(fetched, at if taken is None else taken, outcome, freshness, failures),
    )
    return Copy(snapshot=snapshot, body=body, failures=failures)


def outcome_of(fetched: Fetched, *, treat_429_as_unreachable: bool) -> RobotsOutcome:
    """RFC 9309 2.3.1 of one fetch: a fault, or an answer that broke off, is unreachable whatever its status was."""
    if fetched.not_modified and fetched.body is not None:
        return RobotsOutcome.SUCCESSFUL  # a 304 with the octets it is about, as it is shared
    if fetched.error and not fetched.too_many_redirects:
        return robots.outcome_of(None, treat_429_as_unreachable=treat_429_as_unreachable)
    return robots.outcome_of(
        fetched.status,
        too_many_redirects=fetched.too_many_redirects,
        treat_429_as_unreachable=treat_429_as_unreachable,
    )


def shareable(fetched: Fetched, copy: Copy) -> Fetched:
    """``fetched`` with all that ``copy`` knows of it, for others who hold no copy that a 304 could renew."""
    if not fetched.not_modified or fetched.body is not None:
        return fetched
    kept = copy.snapshot
    return replace(fetched, body=copy.body, truncated=kept.truncated, content_type=kept.content_type, etag=kept.etag)


def looks_like_html(body: bytes) -> bool:
    """Whether a robots.txt is an HTML page: the soft 404 of a site that answers 200 to everything.

    It is judged as any other robots.txt (mostly no rules, hence allowed); the flag lets an auditor find such verdicts.
    """
    return _HTML.match(body[:_HTML_PREFIX_BYTES].removeprefix(b"\xef\xbb\xbf")) is not None


def signals_in(copy: Copy) -> tuple[Record, ...]:
    """The preferences a copy states as Signal records without the ``snapshot_seq`` that only the log can give."""
    if copy.body is None:
        return ()
    at = copy.snapshot.recorded_at
    found = signals.robots_signals(copy.body)
    kept: list[Record] = [
        Signal(
            recorded_at=at,
            exchange_id=None,
            snapshot_seq=None,
            protocol=signal.protocol,
            raw=signal.raw,
            value=signal.value,
            scope=signal.scope,
        )
        for signal in found
    ]
    if len(found) >= signals.SIGNALS_MAX:
        # The body is kept whole, so nothing is lost; but a reader of the signals must know that there may be more.
        detail = (
            f"{copy.snapshot.final_url} states {len(found)} preferences or more; the first {len(found)} are recorded."
        )
        kept.append(_incident(at, "signals_cut", detail))
    return tuple(kept)


def records_of(copy: Copy, found: Sequence[Record], base_seq: int, *, with_body: bool) -> list[Record]:
    """What goes into the log, the snapshot first, for a batch whose first record gets ``base_seq``."""
    records: list[Record] = [copy.snapshot]
    if with_body and copy.body is not None and copy.snapshot.robots_sha256 is not None:
        records.append(
            RobotsBody(
                recorded_at=copy.snapshot.recorded_at,
                robots_sha256=copy.snapshot.robots_sha256,
                body_bytes=len(copy.body),
                body=copy.body,
            )
        )
    records.extend(replace(record, snapshot_seq=base_seq) if isinstance(record, Signal) else record for record in found)
    return records


def mismatch(held: Snapshot, observed: Snapshot, *, exchange_id: str | None, crawler: str | None) -> Incident:
    """The incident that a crawler was sent another robots.txt than the sidecar was: cloaking, or a change just made."""
    detail = (
        f"The crawler was answered {_said(observed)} for {observed.final_url}, "
        f"while the sidecar holds {_said(held)} that is still valid."
    )
    return _incident(observed.recorded_at, "robots_mismatch", detail, exchange_id=exchange_id, crawler=crawler)


def _renewed(previous: Copy, fetched: Fetched, *, at: Instant, freshness: Freshness) -> Copy:
    """304: the same octets for another term (RFC 9111 4.3.4)."""
    snapshot = replace(
        previous.snapshot,
        recorded_at=at,
        final_url=fetched.final_url,
        redirects=fetched.redirects,
        status=fetched.status,
        etag=fetched.etag or previous.snapshot.etag,
        fetch_ms=fetched.duration_ms,
        valid_until=valid_until(fetched, at, RobotsOutcome.SUCCESSFUL, freshness, 0),
    )
    return Copy(snapshot=snapshot, body=previous.body, failures=0)


def valid_until(fetched: Fetched, at: Instant, outcome: RobotsOutcome, freshness: Freshness, failures: int) -> Instant:
    """Until when an answer complete at ``at`` holds, the ``failures``-th unreachable one in a row."""
    return freshness.valid_until(
        at,
        outcome,
        cache_control=fetched.cache_control,
        age=fetched.age,
        retry_after=fetched.retry_after,
        failures=failures,
    )


def _said(snapshot: Snapshot) -> str:
    if snapshot.robots_sha256 is None:
        return f"status {snapshot.status} ({snapshot.outcome})"
    return f"a file with SHA-256 {snapshot.robots_sha256}"


def _incident(
    at: Instant, incident: str, detail: str, *, exchange_id: str | None = None, crawler: str | None = None
) -> Incident:
    return Incident(
        recorded_at=at,
        incident=incident,
        exchange_id=exchange_id,
        crawler=crawler,
        client=None,
        detail=storable(detail),
    )
