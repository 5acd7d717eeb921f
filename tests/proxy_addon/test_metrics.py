"""Metrics count what is recorded, with labels from closed sets only, and never share state between sidecars."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from crawl_audit.records import Action, Basis, Completion, Decision, Instant, Outcome, Verdict
from proxy_addon.deadlines import Deadline
from proxy_addon.gauges import watch
from proxy_addon.metrics import Metrics, failure_word, upstream_kind
from proxy_addon.upstream_faults import cut_text
from tests import logs, writing
from tests.proxy_addon.test_gauges import IdleLog, watched
from tests.strategies import records_of


@given(records_of("decision"), records_of("completion"))
def test_decisions_and_completions_are_counted_by_closed_sets(decision: Decision, completion: Completion) -> None:
    metrics = Metrics()
    metrics.decided(decision)
    metrics.decided(decision)
    metrics.completed(completion)
    value = metrics.registry.get_sample_value
    labels = {"verdict": decision.verdict, "basis": decision.basis, "action": decision.action}
    assert value("crawl_audit_requests_total", {name: word.value for name, word in labels.items()}) == 2
    assert value("crawl_audit_completions_total", {"outcome": completion.outcome.value}) == 1
    assert value("crawl_audit_request_duration_seconds_count") == 1


@given(records_of("decision"), records_of("completion"))
def test_no_label_holds_what_a_site_or_crawler_wrote(decision: Decision, completion: Completion) -> None:
    metrics = Metrics()
    metrics.decided(decision)
    metrics.completed(completion)
    words = {member.value for cls in (Verdict, Basis, Action, Outcome) for member in cls} | KINDS
    for family in metrics.registry.collect():
        for sample in family.samples:
            assert {value for name, value in sample.labels.items() if name != "le"} <= words


def test_the_exposition_is_prometheus_text() -> None:
    metrics = Metrics()
    metrics.fail_closed.labels(reason="draining").inc()
    metrics.incidents.labels(incident="hook_error").inc(3)
    metrics.gauge("crawl_audit_open_exchanges", "Open exchanges.", lambda: 4)
    octets, content_type = metrics.exposition()
    families = {family.name: family for family in text_string_to_metric_families(octets.decode())}
    assert families["crawl_audit_fail_closed_responses"].samples[0].value == 1
    assert families["crawl_audit_incidents"].samples[0].value == 3
    assert families["crawl_audit_open_exchanges"].samples[0].value == 4
    assert content_type.startswith("text/plain; version=0.0.4")


def test_the_exposition_is_openmetrics_where_that_is_asked_for() -> None:
    metrics = _used()
    octets, content_type = metrics.exposition("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family.type for family in openmetrics.text_string_to_metric_families(octets.decode())}
    assert families["crawl_audit_requests"] == "counter"
    assert families["crawl_audit_build"] == "info"


def test_a_gauge_is_read_when_it_is_asked_for() -> None:
    metrics, reading = Metrics(), [1.0]
    metrics.gauge("crawl_audit_queue", "Waiting.", lambda: reading[0])
    assert b"crawl_audit_queue 1.0" in metrics.exposition()[0]
    reading[0] = 2.0
    assert b"crawl_audit_queue 2.0" in metrics.exposition()[0]


def test_two_sidecars_in_one_process_do_not_share_counters() -> None:
    one, two = Metrics(), Metrics()
    one.incidents.labels(incident="x").inc()
    assert two.registry.get_sample_value("crawl_audit_incidents_total", {"incident": "x"}) is None


# promtool's rules (prometheus/docs, best practices: naming): base units, `_total` on counters and nothing else.
_OTHER_UNITS = re.compile(r"_(ms|milliseconds|microseconds|us|minutes|hours|days|kib|mib|kb|mb|percent|megabytes)(_|$)")
_LABELS = {
    *("verdict", "basis", "action", "outcome", "reason", "incident", "error", "limit", "le", "kind", "protocol"),
    *("direction", "method", "result", "stream", "version", "schema", "config_hash"),
}
SERIES_MAX = 500
# What an upstream error is counted under: words of RFC 9209 2.3, and our deadlines.
KINDS = {"timeout", *(f"timeout_{deadline}" for deadline in Deadline)} | {
    *("http_response_incomplete", "http_protocol_error", "destination_ip_prohibited", "dns_error"),
    *("connection_refused", "destination_unavailable", "tls_certificate_error", "tls_alert_received"),
    *("tls_protocol_error", "http_response_header_section_size", "connection_terminated"),
}


def lint(metrics: Metrics) -> list[str]:
    """What promtool would find fault with, and labels from sets without a bound."""
    found = []
    names: set[str] = set()
    for family in text_string_to_metric_families(metrics.exposition()[0].decode()):
        name = family.name
        if name in names:
            found.append(f"{name}: twice")
        names.add(name)
        if name.startswith("process_"):  # prometheus_client's own, named by the convention for all processes
            continue
        if not re.fullmatch(r"crawl_audit_[a-z0-9_]+", name):
            found.append(f"{name}: prefix or characters")
        if _OTHER_UNITS.search(name):
            found.append(f"{name}: not a base unit")
        if not family.documentation.endswith("."):
            found.append(f"{name}: no help")
        if family.type != "counter" and name.endswith(("_total", "_count", "_sum", "_bucket")):
            found.append(f"{name}: a suffix of another type")
        if family.type == "histogram" and not name.endswith(("_seconds", "_bytes", "_records")):
            found.append(f"{name}: no unit")
        if not family.samples:
            found.append(f"{name}: no sample")
        for sample in family.samples:
            if family.type == "counter" and not sample.name.endswith("_total"):
                found.append(f"{sample.name}: a counter without _total")
            if not set(sample.labels) <= _LABELS:
                found.append(f"{sample.name}: labels {sorted(sample.labels)}")
    return found


def _used() -> Metrics:
    """Everything that a sidecar counts, counted once."""
    metrics = Metrics()
    watch(metrics, watched())
    metrics.built(version="1.0", schema=1, config_sha256="ab" * 32)
    metrics.watch_lines(SimpleNamespace(name="stderr", dropped=2), SimpleNamespace(name="stdout", dropped=0))
    metrics.refused.labels(reason="unknown_crawler").inc()
    metrics.fail_closed.labels(reason="draining").inc()
    metrics.recovered([replace(writing.incident("x"), incident="quarantined_file")], 3)
    metrics.committed(0.001, 5, "IO Error: No space left on device")
    metrics.fail_open.inc()
    metrics.limit_exceeded("request_head")
    metrics.tunnels.labels(protocol="tcp", outcome="refused").inc()
    metrics.clock_steps.labels(direction="forward").inc()
    metrics.anchor_failed("rfc3161")
    metrics.shared_robots_asked("taken")
    metrics.decided(logs.decision("example.com"), 0.002)
    metrics.completed(logs.completion(1))
    metrics.completed(logs.completion(1, outcome=Outcome.UPSTREAM_ERROR, error="[Errno 111] refused"))
    metrics.robots_fetched(logs.snapshot("example.com", None))
    return metrics


def test_names_units_and_labels_are_as_prometheus_wants_them() -> None:
    assert lint(_used()) == []


def test_every_series_that_can_be_is_fewer_than_five_hundred() -> None:
    """With every combination of labels that is possible, and more words than there are."""
    metrics = _used()
    for basis in Basis:
        for action in Action:
            for verdict in Verdict:
                metrics.requests.labels(verdict=verdict.value, basis=basis.value, action=action.value).inc()
    for kind in KINDS:
        metrics.upstream_errors.labels(kind=kind).inc()
    for outcome in Outcome:
        metrics.completions.labels(outcome=outcome.value).inc()
    for number in range(40):
        metrics.refused.labels(reason=f"r{number}").inc()
        metrics.incidents.labels(incident=f"i{number}").inc()
        metrics.limit_exceeded(f"l{number}")
    series = [line for line in metrics.exposition()[0].decode().splitlines() if not line.startswith("#")]
    assert len(series) < SERIES_MAX


def test_what_an_earlier_process_left_is_counted() -> None:
    value = _used().registry.get_sample_value
    assert value("crawl_audit_orphan_decisions_total") == 3
    assert value("crawl_audit_incidents_total", {"incident": "quarantined_file"}) == 1


def test_release_format_and_settings_are_said() -> None:
    labels = {"version": "1.0", "schema": "1", "config_hash": "ab" * 32}
    assert _used().registry.get_sample_value("crawl_audit_build_info", labels) == 1


def test_the_process_itself_is_measured() -> None:
    value = _used().registry.get_sample_value
    assert (value("process_resident_memory_bytes") or 0) > 0
    assert (value("process_open_fds") or 0) > 0


@pytest.mark.parametrize(
    ("outcome", "error", "kind"),
    [
        (Outcome.UPSTREAM_ERROR, "[Errno 111] Connect call failed", "connection_refused"),
        (Outcome.UPSTREAM_ERROR, "anything the site says", "http_protocol_error"),
        (Outcome.UPSTREAM_ERROR, None, "http_protocol_error"),
        (Outcome.TIMEOUT, cut_text(Deadline.FIRST_BYTE, "Too late."), "timeout_first_byte"),
        (Outcome.TIMEOUT, "timeout:https://example.com: a lie", "timeout"),
        (Outcome.TIMEOUT, "timed out", "timeout"),
    ],
)
def test_errors_of_sites_are_counted_under_words_from_a_closed_set(
    outcome: Outcome, error: str | None, kind: str
) -> None:
    assert upstream_kind(logs.completion(1, outcome=outcome, error=error)) == kind
    assert kind in KINDS


@pytest.mark.parametrize(
    "make",
    [
        lambda registry: Gauge("crawl_audit_x_total", "X.", registry=registry),
        lambda registry: Gauge("crawl_audit_wait_ms", "X.", registry=registry),
        lambda registry: Gauge("other_x", "X.", registry=registry),
        lambda registry: Gauge("crawl_audit_x", "X", registry=registry),
        lambda registry: Counter("crawl_audit_x", "X.", ("host",), registry=registry).labels(host="a").inc(),
    ],
)
def test_the_lint_can_fail(make: Callable[[CollectorRegistry], object]) -> None:
    metrics = _used()
    make(metrics.registry)
    assert lint(metrics) != []


def test_the_log_is_measured() -> None:
    metrics, parts = Metrics(), watched()
    watch(metrics, parts)
    log = parts.log
    assert isinstance(log, IdleLog)
    metrics.committed(0.003, 4, None)
    metrics.committed(0.5, 2, "IO Error: No space left on device")
    value = metrics.registry.get_sample_value
    assert value("crawl_audit_log_commit_duration_seconds_count") == 2
    assert value("crawl_audit_log_batch_records_sum") == 6
    assert value("crawl_audit_log_write_failures_total", {"error": "no_space"}) == 1
    assert (value("crawl_audit_log_available"), value("crawl_audit_log_queue_depth")) == (0, 3)
    assert (value("crawl_audit_log_queue_capacity"), value("crawl_audit_log_sequence")) == (10_000, 17)
    assert math.isnan(value("crawl_audit_log_free_bytes") or 0.0)
    assert value("crawl_audit_log_last_commit_timestamp_seconds") == 0
    log.free_bytes, log.last_commit_at = 5, Instant(7_500_000)
    assert value("crawl_audit_log_free_bytes") == 5
    assert value("crawl_audit_log_last_commit_timestamp_seconds") == 7.5


@pytest.mark.parametrize(
    "fault,word",
    [
        ("TransactionContext Error: ... No space left on device", "no_space"),
        ("fsync failed: Input/output error", "io_error"),
        ("Cannot open file: Read-only file system", "read_only"),
        ("the live file cannot be reopened: gone", "in_doubt"),
        ("the live file ends with record 3 although 5 was durable", "records_missing"),
        ("https://example.com/ did something", "other"),
    ],
)
def test_failures_are_counted_under_words_from_a_closed_set(fault: str, word: str) -> None:
    assert failure_word(fault) == word


def test_a_loop_that_is_held_up_shows() -> None:
    metrics = Metrics()

    async def run() -> None:
        task = asyncio.create_task(metrics.watch_loop())
        while not metrics.registry.get_sample_value("crawl_audit_event_loop_lag_seconds_count"):
            await asyncio.sleep(0.01)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(run())
