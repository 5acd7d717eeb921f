"""What an SRE watches: counters and gauges without hosts, URLs or any other unbounded label."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from crawl_audit.records import Completion, Decision

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The metrics of one sidecar process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "crawl_audit_requests",
            "Requests decided on.",
            ("verdict", "basis", "action"),
            registry=self.registry,
        )
        self.completions = Counter(
            "crawl_audit_completions", "Forwarded exchanges ended.", ("outcome",), registry=self.registry
        )
        self.request_duration = Histogram(
            "crawl_audit_request_duration_seconds",
            "From decision to the end of the exchange.",
            buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120),
            registry=self.registry,
        )
        self.fail_closed = Counter(
            "crawl_audit_fail_closed_responses",
            "Requests answered 503 because they could not be recorded.",
            ("reason",),
            registry=self.registry,
        )
        self.incidents = Counter("crawl_audit_incidents", "Incidents recorded.", ("incident",), registry=self.registry)

    def gauge(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """A gauge read when metrics are asked for."""
        Gauge(name, help_text, registry=self.registry).set_function(read)

    def decided(self, decision: Decision) -> None:
        """Count one decision."""
        self.requests.labels(
            verdict=decision.verdict.value, basis=decision.basis.value, action=decision.action.value
        ).inc()

    def completed(self, completion: Completion) -> None:
        """Count one completion."""
        self.completions.labels(outcome=completion.outcome.value).inc()
        self.request_duration.observe(completion.duration_ms / 1000)

    def exposition(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self.registry)
