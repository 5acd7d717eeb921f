"""The sites' own access logs held against the sidecar's log: is there an earlier decision for all that arrived?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proxy_addon.demo_sites import Site

# What the crawler asked of a robots.txt itself (wget told so does not) is left out on both sides.
DECISIONS = "SELECT url, action, epoch_us(recorded_at) AS at_us FROM decision WHERE basis <> 'robots_txt'"
SNAPSHOTS = (
    "SELECT host, port, sum(1 + len(redirects)) AS requests FROM snapshot WHERE source = 'fetched' GROUP BY host, port"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One site's two accounts side by side, as numbers of requests."""

    site: Site
    arrived: int  # pages, as the site's access log has them
    recorded: int  # of these with a decision `forwarded` recorded before they arrived
    lost: int  # forwarded by the log, and never arrived
    denied: int
    trespasses: int  # arrived at what the site's robots.txt forbids
    robots_arrived: int
    robots_recorded: int

    @property
    def agrees(self) -> bool:
        """Whether the two accounts are the same and nothing forbidden was reached."""
        same = self.arrived == self.recorded and self.robots_arrived == self.robots_recorded
        return same and not self.lost and not self.trespasses


def compare(
    sites: Sequence[Site], decisions: Sequence[Mapping[str, Any]], snapshots: Sequence[Mapping[str, Any]]
) -> list[Compared]:
    """Every site's access log against the rows of :data:`DECISIONS` and :data:`SNAPSHOTS`."""
    forwarded: dict[str, list[int]] = defaultdict(list)
    denied: dict[str, int] = defaultdict(int)
    for row in decisions:
        if row["action"] == "forwarded":
            forwarded[row["url"]].append(int(row["at_us"]))
        else:
            denied[_origin(row["url"])] += 1
    fetched = {(row["host"], row["port"]): int(row["requests"]) for row in snapshots}
    return [
        _compared(
            site,
            {url.removeprefix(site.url): times for url, times in forwarded.items() if _origin(url) == site.url},
            denied[site.url],
            fetched.get((site.host, site.port), 0),
        )
        for site in sites
    ]


def _compared(site: Site, forwarded: Mapping[str, Sequence[int]], denied: int, fetched: int) -> Compared:
    arrived = defaultdict(list)
    for seen in site.pages_seen():
        arrived[seen.path].append(seen.at_us)
    paired = sum(_paired(forwarded.get(path, ()), times) for path, times in arrived.items())
    return Compared(
        site=site,
        arrived=sum(map(len, arrived.values())),
        recorded=paired,
        lost=sum(max(0, len(times) - len(arrived.get(path, ()))) for path, times in forwarded.items()),
        denied=denied,
        trespasses=len(site.trespasses()),
        robots_arrived=len(site.robots_seen()),
        robots_recorded=fetched,
    )


def _paired(decided: Iterable[int], arrived: Iterable[int]) -> int:
    """How many arrivals have a decision of their own that is no later than they are."""
    waiting, paired = sorted(decided), 0
    for at in sorted(arrived):
        if waiting and waiting[0] <= at:
            waiting.pop(0)
            paired += 1
    return paired


def _origin(url: str) -> str:
    """Scheme and authority of a URL of the demo's sites."""
    return "/".join(url.split("/", 3)[:3])
