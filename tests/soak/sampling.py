"""What a process holds at a moment, from /proc and from its own metrics."""

from __future__ import annotations

import os
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

_LAG = "crawl_audit_event_loop_lag_seconds"
MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look at the sidecar; memory in MiB, the event loop's lag since the look before in milliseconds."""

    at_s: float
    requests: int
    rss_mib: float
    pss_mib: float
    threads: int
    descriptors: int
    queue: int
    open_exchanges: int
    lag_mean_ms: float
    lag_p99_ms: float
    log_mib: float
    segments: int


class Sampler:
    """Looks at one sidecar again and again; what is counted since the last look is kept in between."""

    def __init__(self, pid: int, admin: str, log: Path) -> None:
        self._pid = pid
        self._admin = admin
        self._log = log
        self._lag: dict[float, float] = {}
        self._lag_sum = 0.0

    def look(self, at_s: float, requests: int) -> Sample:
        """The state now, ``at_s`` seconds and so many ``requests`` into the run."""
        place = Path(f"/proc/{self._pid}")
        status = _numbers(place / "status", ("VmRSS", "Threads"))
        found = _metrics(self._admin)
        lag_mean_ms, lag_p99_ms = self._lag_since(found)
        octets, segments = _size(self._log)
        return Sample(
            at_s=round(at_s, 1),
            requests=requests,
            rss_mib=round(status["VmRSS"] / 1024, 1),
            pss_mib=round(_numbers(place / "smaps_rollup", ("Pss",))["Pss"] / 1024, 1),
            threads=status["Threads"],
            descriptors=len(os.listdir(place / "fd")),
            queue=int(found["crawl_audit_log_queue_depth"][""]),
            open_exchanges=int(found["crawl_audit_inflight_exchanges"][""]),
            lag_mean_ms=lag_mean_ms,
            lag_p99_ms=lag_p99_ms,
            log_mib=round(octets / MIB, 2),
            segments=segments,
        )

    def _lag_since(self, found: dict[str, dict[str, float]]) -> tuple[float, float]:
        """Mean lag since the last look, and the bucket under which 99 of 100 wakings were."""
        buckets = {float(bound): value for bound, value in found[f"{_LAG}_bucket"].items()}
        since = {bound: value - self._lag.get(bound, 0.0) for bound, value in buckets.items()}
        total, seconds = since[float("inf")], found[f"{_LAG}_sum"][""] - self._lag_sum
        self._lag, self._lag_sum = buckets, found[f"{_LAG}_sum"][""]
        if not total:
            return 0.0, 0.0
        below = next(bound for bound, value in sorted(since.items()) if value >= 0.99 * total)
        highest = max(bound for bound in buckets if bound != float("inf"))
        return round(1000 * seconds / total, 2), 1000 * min(below, highest)


def _numbers(path: Path, names: tuple[str, ...]) -> dict[str, int]:
    lines = (line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
    return {name: int(rest.split()[0]) for name, rest in lines if name in names}


def _metrics(admin: str) -> dict[str, dict[str, float]]:
    """Every sample by its name and, of histograms, by ``le``."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{admin}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[sample.labels.get("le", "")] = sample.value
    return found


def _size(log: Path) -> tuple[int, int]:
    """Octets under the log directory and how many segments it has; what vanishes meanwhile is not counted."""
    octets = segments = 0
    for place, directories, files in os.walk(log):
        segments += sum("-" in name for name in directories) if Path(place).parent.name == "segments" else 0
        for name in files:
            try:
                octets += os.lstat(Path(place) / name).st_size
            except FileNotFoundError:
                continue
    return octets, segments
