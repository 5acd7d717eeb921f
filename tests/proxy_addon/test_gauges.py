"""Gauges show what the parts of the sidecar say of themselves, at the moment they are asked."""

from __future__ import annotations

from dataclasses import dataclass

from crawl_audit.records import Instant
from proxy_addon.gauges import Watched, watch
from proxy_addon.metrics import Metrics
from proxy_addon.shipping import ShipStatus


@dataclass
class IdleLog:
    """A log that cannot be written."""

    available: bool = False
    queue_depth: int = 3
    next_seq: int = 17
    free_bytes: int | None = None
    last_commit_at: Instant | None = None
    live_bytes: int = 4096
    unsealed: int = 5
    last_checkpoint_at: Instant | None = None


class _Cache:
    hits = 8
    misses = 2
    body_bytes = 100

    def __len__(self) -> int:
        return 7


def watched() -> Watched:
    """Parts of a sidecar that does nothing."""
    return Watched(
        log=IdleLog(),
        queue_records=10_000,
        cache=_Cache(),
        exchanges=[1, 2],
        connections=[1, 2, 3],
        ca_expires_at_s=1_900_000_000.0,
        last_receipt_at=lambda: None,
        shipping=lambda: ShipStatus(
            unshipped_segments=2, unshipped_bytes=300, shipped_segments=4, shipped_bytes=500, failures={"clock": 6}
        ),
    )


def test_every_part_is_shown() -> None:
    metrics = Metrics()
    watch(metrics, watched())
    value = metrics.registry.get_sample_value
    assert (value("crawl_audit_log_live_bytes"), value("crawl_audit_log_unsealed_records")) == (4096, 5)
    assert (value("crawl_audit_inflight_exchanges"), value("crawl_audit_open_connections")) == (2, 3)
    assert (value("crawl_audit_robots_cache_entries"), value("crawl_audit_robots_cache_bytes")) == (7, 100)
    assert (value("crawl_audit_robots_cache_hits_total"), value("crawl_audit_robots_cache_misses_total")) == (8, 2)
    assert value("crawl_audit_tls_ca_expiry_timestamp_seconds") == 1_900_000_000
    assert value("crawl_audit_checkpoint_last_success_timestamp_seconds") == 0
    assert value("crawl_audit_anchor_last_success_timestamp_seconds") == 0


def test_they_are_read_when_they_are_asked_for() -> None:
    metrics, parts = Metrics(), watched()
    watch(metrics, parts)
    assert isinstance(parts.log, IdleLog)
    parts.log.last_checkpoint_at = Instant(7_500_000)
    parts.log.unsealed = 6
    value = metrics.registry.get_sample_value
    assert value("crawl_audit_checkpoint_last_success_timestamp_seconds") == 7.5
    assert value("crawl_audit_log_unsealed_records") == 6


def test_what_waits_to_be_shipped_is_shown() -> None:
    metrics = Metrics()
    watch(metrics, watched())
    value = metrics.registry.get_sample_value
    assert (value("crawl_audit_ship_waiting_segments"), value("crawl_audit_ship_waiting_bytes")) == (2, 300)
    assert (value("crawl_audit_ship_segments_total"), value("crawl_audit_ship_bytes_total")) == (4, 500)
    assert value("crawl_audit_ship_failures_total", {"reason": "clock"}) == 6
    assert value("crawl_audit_ship_oldest_waiting_timestamp_seconds") == 0
    assert value("crawl_audit_ship_last_success_timestamp_seconds") == 0
    assert value("crawl_audit_ship_removed_segments_total") == 0
