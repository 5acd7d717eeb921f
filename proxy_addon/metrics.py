"""What an SRE watches: counters and gauges without hosts, URLs or any other unbounded label."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from crawl_audit.records import Completion, Decision, Instant

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LAG_EVERY_S = 0.1
# What DuckDB and the kernel say of a failed write, and the word it is counted under; the first that is found.
_WRITE_FAILURES = (
    ("no space left", "no_space"),
    ("disk quota", "no_space"),
    ("read-only", "read_only"),
    ("input/output", "io_error"),
    ("although", "records_missing"),
    ("reopened", "in_doubt"),
    ("flushed", "in_doubt"),
    ("out of memory", "out_of_memory"),
)


class Log(Protocol):
    """What is asked of the writer."""

    @property
    def available(self) -> bool: ...

    @property
    def queue_depth(self) -> int: ...

    @property
    def next_seq(self) -> int: ...

    @property
    def free_bytes(self) -> int | None: ...

    @property
    def last_commit_at(self) -> Instant | None: ...


class Metrics:
    """The metrics of one sidecar process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter = functools.partial(Counter, registry=self.registry)
        histogram = functools.partial(Histogram, registry=self.registry)
        self.requests = counter(
            "crawl_audit_requests",
            "Requests decided on.",
            ("verdict", "basis", "action"),
        )
        self.completions = counter("crawl_audit_completions", "Forwarded exchanges ended.", ("outcome",))
        self.request_duration = histogram(
            "crawl_audit_request_duration_seconds",
            "From decision to the end of the exchange.",
            buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120),
        )
        self.fail_closed = counter(
            "crawl_audit_fail_closed_responses",
            "Requests answered 503 because they could not be recorded.",
            ("reason",),
        )
        self.limits_exceeded = counter(
            "crawl_audit_limit_exceeded", "Exchanges and connections ended by a limit.", ("limit",)
        )
        self.refused = counter("crawl_audit_refused", "Answers of our own in place of the site's.", ("reason",))
        self.egress_denied = counter(
            "crawl_audit_egress_denied",
            "Connections not made, because no address of the host may be connected to.",
        )
        self.fail_open = counter(
            "crawl_audit_fail_open_requests",
            "Requests that left before their decision was durable.",
        )
        self.commit_duration = histogram(
            "crawl_audit_log_commit_duration_seconds",
            "From handing a batch to DuckDB until it is durable, or has failed.",
            buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        )
        self.batch_records = histogram(
            "crawl_audit_log_batch_records",
            "Records, or groups of records that belong together, in one commit.",
            buckets=(1, 2, 5, 10, 20, 50, 100, 200, 512),
        )
        self.write_failures = counter(
            "crawl_audit_log_write_failures", "Commits after which the log could not be written.", ("error",)
        )
        self.loop_lag = histogram(
            "crawl_audit_event_loop_lag_seconds",
            "How late the event loop wakes.",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
        )
        self.incidents = counter("crawl_audit_incidents", "Incidents recorded.", ("incident",))
        self.anchor_failures = counter(
            "crawl_audit_anchor_failures", "Authorities outside that gave no receipt for the log's head.", ("method",)
        )

    def watch_log(self, log: Log, queue_capacity: int) -> None:
        """Gauges of the log, read when metrics are asked for; none of them waits for the disk."""
        gauge = self.gauge
        gauge("crawl_audit_log_available", "Whether decisions can be made durable.", lambda: float(log.available))
        gauge("crawl_audit_log_queue_depth", "Records waiting for a commit.", lambda: float(log.queue_depth))
        gauge(
            "crawl_audit_log_queue_capacity", "Records that may wait before requests get 503.", lambda: queue_capacity
        )
        gauge("crawl_audit_log_sequence", "Entries in this process's log.", lambda: float(log.next_seq))
        gauge(
            "crawl_audit_log_free_bytes",
            "Free disk space where the log lies, as last seen.",
            lambda: float("nan") if log.free_bytes is None else log.free_bytes,
        )
        gauge(
            "crawl_audit_log_last_commit_timestamp_seconds",
            "When a record last became durable; 0: not yet.",
            lambda: (log.last_commit_at or 0) / 1_000_000,
        )

    def gauge(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """A gauge read when metrics are asked for."""
        Gauge(name, help_text, registry=self.registry).set_function(read)

    def decided(self, decision: Decision) -> None:
        """Count one decision."""
        self.requests.labels(
            verdict=decision.verdict.value, basis=decision.basis.value, action=decision.action.value
        ).inc()

    def limit_exceeded(self, limit: str) -> None:
        """Count one exchange or connection that a limit has ended."""
        self.limits_exceeded.labels(limit=limit).inc()

    def committed(self, seconds: float, records: int, fault: str | None) -> None:
        """Count one commit of the log: how long it took, of how many records, what is wrong after it."""
        self.commit_duration.observe(seconds)
        self.batch_records.observe(records)
        if fault is not None:
            self.write_failures.labels(error=failure_word(fault)).inc()

    async def watch_loop(self) -> None:
        """Measure the event loop's lag until cancelled."""
        while True:
            began = time.monotonic()
            await asyncio.sleep(_LAG_EVERY_S)
            self.loop_lag.observe(max(0.0, time.monotonic() - began - _LAG_EVERY_S))

    def anchor_failed(self, method: str) -> None:
        """Count one authority that gave no receipt."""
        self.anchor_failures.labels(method=method).inc()

    def completed(self, completion: Completion) -> None:
        """Count one completion."""
        self.completions.labels(outcome=completion.outcome.value).inc()
        self.request_duration.observe(completion.duration_ms / 1000)

    def exposition(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self.registry)


def failure_word(fault: str) -> str:
    """The word that a failed write is counted under, from a closed set."""
    said = fault.lower()
    return next((word for part, word in _WRITE_FAILURES if part in said), "other")
