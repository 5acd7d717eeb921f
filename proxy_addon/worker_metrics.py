"""The metrics of several workers as those of one sidecar: what can be summed is, the rest bears a worker's number.

Counters keep what workers that have ended had counted, as far as it was seen: none goes backwards when one is replaced.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import chain

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from proxy_addon.metrics import Metrics, Told
from proxy_addon.worker_process import WorkerGoneError

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
PER_WORKER = frozenset(
    f"crawl_audit_{name}"
    for name in (
        "log_available",
        "log_last_commit_timestamp_seconds",
        "checkpoint_last_success_timestamp_seconds",
        "anchor_last_success_timestamp_seconds",
    )
)
"""Gauges of which each worker's own matters: they get a label `worker`."""
LEAST = frozenset(
    {"crawl_audit_log_free_bytes", "crawl_audit_tls_ca_expiry_timestamp_seconds", "process_start_time_seconds"}
)
"""Gauges of what is the same for all, or of which the least counts."""
_AVAILABLE = "crawl_audit_log_available"
_GROWING = ("counter", "histogram", "summary")

type Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]
"""Value of each sample by its name and its labels."""
type Ask = Callable[[], Awaitable[tuple[int, bytes]]]


class WorkerMetrics:
    """What the workers count, as last seen of each."""

    def __init__(self, *streams: Told) -> None:
        """``streams``: the supervisor's own output, whose dropped lines count too."""
        self._own = CollectorRegistry()
        ProcessCollector(registry=self._own)
        lines = Metrics()
        lines.watch_lines(*streams)
        self._own_lines = lines.registry
        self._seen: dict[int, list[Metric]] = {}
        self._ended: Values = {}
        self._asks: Mapping[int, Ask] = {}

    def watch(self, asks: Mapping[int, Ask]) -> None:
        """How each worker is asked for its metrics as OpenMetrics, by its number."""
        self._asks = asks

    def ended(self, number: int) -> None:
        """A worker is no more: what it counted stays."""
        for family in self._seen.pop(number, []):
            if family.type in _GROWING:
                for sample in family.samples:
                    key = (sample.name, tuple(sorted(sample.labels.items())))
                    self._ended[key] = self._ended.get(key, 0.0) + sample.value

    async def collect(self) -> None:
        """Ask every worker; of one that does not answer, what was last seen stands."""
        await asyncio.gather(*(self._ask(number, ask) for number, ask in self._asks.items()))

    async def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """All metrics and their content type, as of one process."""
        await self.collect()
        own = [*self._own.collect(), *(f for f in self._own_lines.collect() if "output_lines" in f.name)]
        registry = CollectorRegistry()
        registry.register(_Families(merged(self._seen, own, self._ended, sorted(self._asks))))
        encode, content_type = choose_encoder(accept)
        return encode(registry), content_type

    async def _ask(self, number: int, ask: Ask) -> None:
        try:
            status, octets = await ask()
        except WorkerGoneError:
            return
        if status == 200:
            self._seen[number] = list(text_string_to_metric_families(octets.decode("utf-8")))


class _Families(Collector):
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def merged(
    seen: Mapping[int, Sequence[Metric]], own: Sequence[Metric], ended: Values, workers: Sequence[int]
) -> list[Metric]:
    """One family of each name; ``own`` are the supervisor's, ``ended`` what workers that have ended had counted."""
    found: dict[str, Metric] = {}
    values: dict[str, Values] = {}
    for number, family in chain(((0, family) for family in own), ((n, f) for n, fs in seen.items() for f in fs)):
        made = found.setdefault(family.name, Metric(family.name, family.documentation, family.type))
        sums = values.setdefault(made.name, {})
        for sample in family.samples:
            labels = {**sample.labels, "worker": str(number)} if family.name in PER_WORKER else sample.labels
            key = (sample.name, tuple(sorted(labels.items())))
            sums[key] = _together(family, sums.get(key), sample.value)
    for family in found.values():
        sums = values[family.name]
        if family.type in _GROWING:
            for key, value in ended.items():
                if _family_of(key[0]) == family.name:
                    sums[key] = sums.get(key, 0.0) + value
        if family.name == _AVAILABLE:
            for number in workers:
                sums.setdefault((_AVAILABLE, (("worker", str(number)),)), 0.0)
        family.samples = [Sample(name, dict(labels), value) for (name, labels), value in _in_order(sums)]
    return list(found.values())


def _together(family: Metric, before: float | None, value: float) -> float:
    if before is None or math.isnan(before):
        return value
    if family.type == "info":
        return 1.0
    if family.name in LEAST:
        return before if math.isnan(value) else min(before, value)
    return before + value


def _family_of(sample: str) -> str:
    for suffix in ("_total", "_bucket", "_count", "_sum"):
        if sample.endswith(suffix):
            return sample.removesuffix(suffix)
    return sample


def _in_order(sums: Values) -> list[tuple[tuple[str, tuple[tuple[str, str], ...]], float]]:
    """Buckets by their bounds, as the format asks for; all else as it came."""

    def place(item: tuple[tuple[str, tuple[tuple[str, str], ...]], float]) -> float:
        bound = dict(item[0][1]).get("le")
        return math.inf if bound is None else float(bound) if bound != "+Inf" else 1e300

    return sorted(sums.items(), key=place)
