"""The metrics of several workers are those of one sidecar: sums that never fall, the rest by worker."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy_addon.metrics import Metrics
from proxy_addon.worker_metrics import LEAST, OPENMETRICS, PER_WORKER, WorkerMetrics
from proxy_addon.worker_process import WorkerGoneError
from tests.proxy_addon.test_metrics import _used

STREAM: Any = SimpleNamespace(name="stdout", dropped=3)


class Worker:
    """A worker that answers with the metrics of a process, or not at all."""

    def __init__(self) -> None:
        self.metrics, self.is_gone = Metrics(), False
        self.metrics.built(version="1", schema=1, config_sha256="ab")
        self.metrics.gauge("crawl_audit_log_available", "a", lambda: 1)
        self.metrics.gauge("crawl_audit_log_free_bytes", "f", lambda: 500)

    async def ask(self) -> tuple[int, bytes]:
        if self.is_gone:
            raise WorkerGoneError("Worker 1 does not answer.")
        return 200, self.metrics.exposition(OPENMETRICS)[0]


@pytest.fixture
def both() -> tuple[WorkerMetrics, list[Worker]]:
    made, workers = WorkerMetrics(STREAM), [Worker(), Worker()]
    made.watch({number: worker.ask for number, worker in enumerate(workers, 1)})
    return made, workers


def samples(made: WorkerMetrics) -> dict[str, float]:
    """Every sample by its name and labels, as a scrape without a wish for OpenMetrics gives it."""
    octets, content_type = asyncio.run(made.exposition())
    assert content_type.startswith("text/plain")
    return {
        f"{sample.name}{dict(sorted(sample.labels.items())) or ''}": sample.value
        for family in text_string_to_metric_families(octets.decode())
        for sample in family.samples
    }


def test_counters_and_histograms_are_summed(both: tuple[WorkerMetrics, list[Worker]]) -> None:
    made, workers = both
    for number, worker in enumerate(workers, 1):
        worker.metrics.refused.labels(reason="draining").inc(number)
        worker.metrics.decision_duration.observe(0.004 * number)
    found = samples(made)
    assert found["crawl_audit_refused_total{'reason': 'draining'}"] == 3
    assert found["crawl_audit_decision_duration_seconds_count"] == 2
    assert found["crawl_audit_decision_duration_seconds_bucket{'le': '0.005'}"] == 1
    assert found["crawl_audit_decision_duration_seconds_bucket{'le': '+Inf'}"] == 2
    assert found["crawl_audit_output_lines_dropped_total{'stream': 'stdout'}"] == 3
    assert found["crawl_audit_build_info{'config_hash': 'ab', 'schema': '1', 'version': '1'}"] == 1


def test_buckets_stay_in_their_order(both: tuple[WorkerMetrics, list[Worker]]) -> None:
    octets, content_type = asyncio.run(both[0].exposition(OPENMETRICS))
    assert content_type.startswith("application/openmetrics-text")
    lines = [line for line in octets.decode().splitlines() if line.startswith("crawl_audit_request_duration_seconds_b")]
    bounds = [float(line.partition('le="')[2].partition('"')[0]) for line in lines]
    assert bounds == sorted(bounds) and len(bounds) > 10
    assert octets.endswith(b"# EOF\n")


def test_a_gauge_of_which_each_workers_own_matters_bears_its_number(both: tuple[WorkerMetrics, list[Worker]]) -> None:
    found = samples(both[0])
    assert [found[f"crawl_audit_log_available{{'worker': '{number}'}}"] for number in (1, 2)] == [1, 1]
    assert found["crawl_audit_log_free_bytes"] == 500


def test_no_counter_falls_when_a_worker_is_replaced(both: tuple[WorkerMetrics, list[Worker]]) -> None:
    made, workers = both
    workers[0].metrics.refused.labels(reason="draining").inc(5)
    workers[0].metrics.decision_duration.observe(0.2)
    before = samples(made)
    workers[0].is_gone = True
    assert samples(made)["crawl_audit_refused_total{'reason': 'draining'}"] == 5, "as last seen"
    made.ended(1)
    found = samples(made)
    assert found["crawl_audit_log_available{'worker': '1'}"] == 0
    workers[0].metrics, workers[0].is_gone = Worker().metrics, False
    workers[0].metrics.refused.labels(reason="draining").inc()
    made.ended(2)
    after = samples(made)
    assert after["crawl_audit_refused_total{'reason': 'draining'}"] == 6
    counters = [name for name in before if "_total" in name or "_count" in name or "_bucket" in name]
    assert [name for name in counters if after[name] < before[name]] == []


def test_the_rules_name_only_gauges_that_exist() -> None:
    known = {line.split()[2] for line in _used().exposition()[0].decode().splitlines() if line.startswith("# TYPE")}
    assert {name for name in PER_WORKER | LEAST if name not in known} == set()
