"""The gauges of a running sidecar's parts, read when metrics are asked for; none of them waits for a disk."""

from __future__ import annotations

from collections.abc import Callable, Sized
from dataclasses import dataclass
from typing import Protocol

from crawl_audit.records import Instant
from proxy_addon import metrics as counting
from proxy_addon.metrics import Metrics


class Log(counting.Log, Protocol):
    """What is asked of the writer."""

    @property
    def live_bytes(self) -> int: ...

    @property
    def unsealed(self) -> int: ...

    @property
    def last_checkpoint_at(self) -> Instant | None: ...


class Cache(Sized, Protocol):
    """What is asked of the cache of robots.txt."""

    hits: int
    misses: int

    @property
    def body_bytes(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """The parts of one sidecar that are looked at."""

    log: Log
    queue_records: int
    cache: Cache
    exchanges: Sized
    connections: Sized
    ca_expires_at_s: float
    last_receipt_at: Callable[[], Instant | None]


def watch(metrics: Metrics, parts: Watched) -> None:
    """Register every gauge, and the counters that the parts keep themselves."""
    log, cache, gauge = parts.log, parts.cache, metrics.gauge
    metrics.watch_log(log, parts.queue_records)
    gauge(
        "crawl_audit_log_live_bytes",
        "Size of the live file's write-ahead log, as last seen; it becomes a segment when it is large or old enough.",
        lambda: log.live_bytes,
    )
    gauge("crawl_audit_log_unsealed_records", "Entries that no seal covers yet.", lambda: log.unsealed)
    gauge(
        "crawl_audit_checkpoint_last_success_timestamp_seconds",
        "When a head of the log was last signed and kept; 0: not yet.",
        lambda: (log.last_checkpoint_at or 0) / 1_000_000,
    )
    gauge(
        "crawl_audit_anchor_last_success_timestamp_seconds",
        "When somebody outside last gave a receipt for a head of the log; 0: not yet.",
        lambda: (parts.last_receipt_at() or 0) / 1_000_000,
    )
    gauge("crawl_audit_inflight_exchanges", "Forwarded and not yet ended.", lambda: len(parts.exchanges))
    gauge("crawl_audit_open_connections", "Connections of crawlers that are open.", lambda: len(parts.connections))
    gauge(
        "crawl_audit_tls_ca_expiry_timestamp_seconds",
        "When the CA that crawlers trust expires.",
        lambda: parts.ca_expires_at_s,
    )
    gauge("crawl_audit_robots_cache_entries", "Scopes whose robots.txt is held.", lambda: len(cache))
    gauge("crawl_audit_robots_cache_bytes", "Octets of robots.txt held.", lambda: cache.body_bytes)
    metrics.counter_of(
        "crawl_audit_robots_cache_hits", "Decisions that a copy already held was there for.", lambda: {"": cache.hits}
    )
    metrics.counter_of(
        "crawl_audit_robots_cache_misses", "Decisions that waited for a fetch.", lambda: {"": cache.misses}
    )
