"""The gauges of a running sidecar's parts, read when metrics are asked for; none of them waits for a disk."""

from __future__ import annotations

from collections.abc import Callable, Sized
from dataclasses import dataclass
from typing import Protocol

from crawl_audit.records import Instant
from proxy_addon import metrics as counting
from proxy_addon.metrics import Metrics
from proxy_addon.shipping import ShipStatus


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
    shipping: Callable[[], ShipStatus] = ShipStatus


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
    _watch_shipping(metrics, parts.shipping)


def _watch_shipping(metrics: Metrics, status: Callable[[], ShipStatus]) -> None:
    """What waits to be shipped to an object store and what was; nothing where none is configured."""
    gauge, counter = metrics.gauge, metrics.counter_of
    gauge(
        "crawl_audit_ship_waiting_segments",
        "Segments not yet shipped to the object store.",
        lambda: status().unshipped_segments,
    )
    gauge("crawl_audit_ship_waiting_bytes", "Octets of these segments.", lambda: status().unshipped_bytes)
    gauge(
        "crawl_audit_ship_oldest_waiting_timestamp_seconds",
        "When the oldest of these segments was published; 0: none waits.",
        lambda: status().oldest_unshipped_at or 0,
    )
    gauge(
        "crawl_audit_ship_last_success_timestamp_seconds",
        "When a segment was last shipped and verified; 0: not yet.",
        lambda: status().last_success_at or 0,
    )
    counter(
        "crawl_audit_ship_segments",
        "Segments shipped and verified since the process that ships was started.",
        lambda: {"": status().shipped_segments},
    )
    counter("crawl_audit_ship_bytes", "Octets of these segments.", lambda: {"": status().shipped_bytes})
    counter(
        "crawl_audit_ship_removed_segments",
        "Segments that left this disk after their remote copies were verified for long enough.",
        lambda: {"": status().removed_segments},
    )
    counter(
        "crawl_audit_ship_failures",
        "Attempts to ship that failed.",
        lambda: status().failures,
        label="reason",
    )
