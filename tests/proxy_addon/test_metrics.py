"""Metrics count what is recorded, with labels from closed sets only, and never share state between sidecars."""

from __future__ import annotations

from hypothesis import given
from prometheus_client.parser import text_string_to_metric_families

from crawl_audit.records import Action, Basis, Completion, Decision, Outcome, Verdict
from proxy_addon.metrics import CONTENT_TYPE, Metrics
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
    words = {member.value for cls in (Verdict, Basis, Action, Outcome) for member in cls}
    for family in metrics.registry.collect():
        for sample in family.samples:
            assert {value for name, value in sample.labels.items() if name != "le"} <= words


def test_the_exposition_is_prometheus_text() -> None:
    metrics = Metrics()
    metrics.fail_closed.labels(reason="draining").inc()
    metrics.incidents.labels(incident="hook_error").inc(3)
    metrics.gauge("crawl_audit_open_exchanges", "Open exchanges.", lambda: 4)
    families = {family.name: family for family in text_string_to_metric_families(metrics.exposition().decode())}
    assert families["crawl_audit_fail_closed_responses"].samples[0].value == 1
    assert families["crawl_audit_incidents"].samples[0].value == 3
    assert families["crawl_audit_open_exchanges"].samples[0].value == 4
    assert CONTENT_TYPE.startswith("text/plain; version=0.0.4")


def test_a_gauge_is_read_when_it_is_asked_for() -> None:
    metrics, reading = Metrics(), [1.0]
    metrics.gauge("crawl_audit_queue", "Waiting.", lambda: reading[0])
    assert b"crawl_audit_queue 1.0" in metrics.exposition()
    reading[0] = 2.0
    assert b"crawl_audit_queue 2.0" in metrics.exposition()


def test_two_sidecars_in_one_process_do_not_share_counters() -> None:
    one, two = Metrics(), Metrics()
    one.incidents.labels(incident="x").inc()
    assert two.registry.get_sample_value("crawl_audit_incidents_total", {"incident": "x"}) is None
