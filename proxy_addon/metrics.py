"""What an SRE watches: counters and gauges without hosts, URLs or any other unbounded label."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from crawl_audit.records import Completion, Decision, Incident, Instant, Outcome, Snapshot
from proxy_addon.deadlines import Deadline
from proxy_addon.upstream_faults import TIMEOUT_WORD, site_fault

# A second series beside each counter that says when it began: the start of the process is known anyway.
disable_created_metrics()

_LAG_EVERY_S = 0.1
# The wall clock may drift from the monotonic one by this much between two looks; more is a step.
_STEP_S = 0.5
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


class Told(Protocol):
    """What is asked of the lines of a stream."""

    @property
    def name(self) -> str: ...

    @property
    def dropped(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """One metric as it is asked for: name with its suffix, type, labels, meaning."""

    name: str
    type: str
    labels: tuple[str, ...] = ()
    meaning: str


class _Counted(Collector):
    """A counter that somebody else keeps, read when metrics are asked for."""

    def __init__(self, name: str, help_text: str, label: str | None, read: Callable[[], Mapping[str, float]]) -> None:
        self._named = (name, help_text, label)
        self._read = read

    def collect(self) -> Iterable[CounterMetricFamily]:
        name, help_text, label = self._named
        family = CounterMetricFamily(name, help_text, labels=[label] if label else [])
        for word, value in self._read().items():
            family.add_metric([word] if label else [], value)
        yield family


class Metrics:
    """The metrics of one sidecar process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.described: list[Described] = []
        """What there is, for the documentation."""
        self._count_exchanges()
        self._count_the_rest()
        ProcessCollector(registry=self.registry)

    def _count_exchanges(self) -> None:
        counter, histogram = self._counter, self._histogram
        self.requests = counter(
            "crawl_audit_requests",
            "Requests decided on.",
            ("verdict", "basis", "action"),
        )
        self.decision_duration = histogram(
            "crawl_audit_decision_duration_seconds",
            "From a request's head to its durable decision, waiting for robots.txt and for the pace included.",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
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

    def _count_the_rest(self) -> None:
        counter, histogram = self._counter, self._histogram
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
        self.orphans = counter(
            "crawl_audit_orphan_decisions",
            "Forwarded requests of an earlier process whose end nobody recorded; this start has completed them.",
        )
        self.upstream_errors = counter(
            "crawl_audit_upstream_errors", "Exchanges that failed at or on the way to the site.", ("kind",)
        )
        self.tunnels = counter(
            "crawl_audit_tunnels", "Connections that are no plain request, as recorded.", ("protocol", "outcome")
        )
        self.robots_fetches = counter(
            "crawl_audit_robots_fetches", "Fetches of robots.txt by the sidecar itself.", ("outcome",)
        )
        self.robots_fetch_duration = histogram(
            "crawl_audit_robots_fetch_duration_seconds",
            "How long these fetches took, redirects included.",
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        )
        self.shared_robots = counter(
            "crawl_audit_shared_robots",
            "What came of asking the shared stores for a robots.txt, and of sharing one.",
            ("result",),
        )
        self.clock_steps = counter(
            "crawl_audit_clock_steps", "Steps of the wall clock by more than half a second.", ("direction",)
        )
        self.anchor_failures = counter(
            "crawl_audit_anchor_failures", "Authorities outside that gave no receipt for the log's head.", ("method",)
        )

    def _counter(self, name: str, help_text: str, labels: tuple[str, ...] = ()) -> Counter:
        self.described.append(Described(name=f"{name}_total", type="counter", labels=labels, meaning=help_text))
        return Counter(name, help_text, labels, registry=self.registry)

    def _histogram(self, name: str, help_text: str, *, buckets: tuple[float, ...]) -> Histogram:
        self.described.append(Described(name=name, type="histogram", meaning=help_text))
        return Histogram(name, help_text, buckets=buckets, registry=self.registry)

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

    def watch_lines(self, *streams: Told) -> None:
        """Count the lines that nobody took from standard output and standard error."""
        self.counter_of(
            "crawl_audit_output_lines_dropped",
            "Lines not written, because nobody took those before them or the stream is broken.",
            lambda: {stream.name: stream.dropped for stream in streams},
            label="stream",
        )

    def built(self, *, version: str, schema: int, config_sha256: str) -> None:
        """Say which release runs, with which format and settings."""
        name, meaning = "crawl_audit_build", "What runs: release, log format, digest of the settings."
        labels = {"version": version, "schema": str(schema), "config_hash": config_sha256}
        self.described.append(Described(name=f"{name}_info", type="info", labels=tuple(labels), meaning=meaning))
        Info(name, meaning, registry=self.registry).info(labels)

    def counter_of(
        self, name: str, help_text: str, read: Callable[[], Mapping[str, float]], *, label: str | None = None
    ) -> None:
        """A counter that somebody else keeps: its value by the value of ``label``, or by an empty word."""
        labels = (label,) if label else ()
        self.described.append(Described(name=f"{name}_total", type="counter", labels=labels, meaning=help_text))
        self.registry.register(_Counted(name, help_text, label, read))

    def gauge(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """A gauge read when metrics are asked for."""
        self.described.append(Described(name=name, type="gauge", meaning=help_text))
        Gauge(name, help_text, registry=self.registry).set_function(read)

    def decided(self, decision: Decision, seconds: float | None = None) -> None:
        """Count one decision, and how long it took where that is known."""
        if seconds is not None:
            self.decision_duration.observe(seconds)
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
            began, ahead = time.monotonic(), time.time() - time.monotonic()
            await asyncio.sleep(_LAG_EVERY_S)
            self.loop_lag.observe(max(0.0, time.monotonic() - began - _LAG_EVERY_S))
            step = time.time() - time.monotonic() - ahead
            if abs(step) > _STEP_S:
                self.clock_steps.labels(direction="forward" if step > 0 else "backward").inc()

    def recovered(self, incidents: Iterable[Incident], orphans: int) -> None:
        """Count what this start found of an earlier process."""
        for incident in incidents:
            self.incidents.labels(incident=incident.incident).inc()
        self.orphans.inc(orphans)

    def anchor_failed(self, method: str) -> None:
        """Count one authority that gave no receipt."""
        self.anchor_failures.labels(method=method).inc()

    def completed(self, completion: Completion) -> None:
        """Count one completion."""
        self.completions.labels(outcome=completion.outcome.value).inc()
        if completion.outcome in (Outcome.UPSTREAM_ERROR, Outcome.TIMEOUT):
            self.upstream_errors.labels(kind=upstream_kind(completion)).inc()
        self.request_duration.observe(completion.duration_ms / 1000)

    def robots_fetched(self, snapshot: Snapshot) -> None:
        """Count one fetch of robots.txt."""
        self.robots_fetches.labels(outcome=snapshot.outcome.value).inc()
        self.robots_fetch_duration.observe(snapshot.fetch_ms / 1000)

    def shared_robots_asked(self, result: str) -> None:
        """Count what came of one look at a shared store, or of sharing one answer."""
        self.shared_robots.labels(result=result).inc()

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """All metrics and their content type: OpenMetrics where ``accept`` asks for it, else Prometheus's text."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


def upstream_kind(completion: Completion) -> str:
    """The word that a failed exchange is counted under: the fault in RFC 9209's word, or the deadline."""
    said = completion.error or ""
    if said.startswith(f"{TIMEOUT_WORD}:"):
        word = said.split(":", 2)[1]
        return f"timeout_{word}" if word in set(Deadline) else "timeout"
    return "timeout" if completion.outcome is Outcome.TIMEOUT else site_fault(said).error


def failure_word(fault: str) -> str:
    """The word that a failed write is counted under, from a closed set."""
    said = fault.lower()
    return next((word for part, word in _WRITE_FAILURES if part in said), "other")
