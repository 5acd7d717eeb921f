"""What a soak has to show at its end: every request on record exactly once, and nothing that grew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.soak import crawl, flatness
from tests.soak.sampling import Sample

# (field, unit, allowance that holds whatever the rule says).  Threads: the pool that looks up names fills as it is
# needed, up to 64.  The lag of the event loop is noted and not judged: it shows what else the machine does.
WATCHED = (
    ("rss_mib", "MiB", 0.0),
    ("pss_mib", "MiB", 0.0),
    ("descriptors", "", 8.0),
    ("threads", "", 16.0),
    ("queue", "records", 50.0),
    ("open_exchanges", "", 20.0),
)
_UNKNOWN_CRAWLER = 407


@dataclass(slots=True, kw_only=True)
class Counted:
    """What the three sides say: how often each numbered request was decided on, ended and seen by a site."""

    decided: Sequence[int]
    forwarded: Sequence[int]
    ended: Sequence[int]
    seen: Sequence[int]
    statuses: Sequence[int]
    incidents: int
    """Incidents `unknown_crawler` on record."""
    failures: list[str] = field(default_factory=list)


def histories(counted: Counted) -> dict[str, int]:
    """Compare the crawlers' own account, the sites' and the log's; what does not agree goes to ``failures``."""
    strangers = sum(status == _UNKNOWN_CRAWLER for status in counted.statuses)
    wrong = {
        "answered and not on record": 0,
        "seen by a site and not on record as forwarded": 0,
        "on record twice": 0,
        "forwarded and not ended exactly once": 0,
    }
    rows = zip(counted.statuses, counted.decided, counted.forwarded, counted.ended, counted.seen, strict=True)
    for status, decided, forwarded, ended, seen in rows:
        answered = status not in (crawl.NOTHING, _UNKNOWN_CRAWLER)
        wrong["answered and not on record"] += answered and not decided
        wrong["seen by a site and not on record as forwarded"] += seen > forwarded
        wrong["on record twice"] += decided > 1
        wrong["forwarded and not ended exactly once"] += forwarded != ended
    if strangers != counted.incidents:
        wrong["refused as unknown and not on record as that"] = abs(strangers - counted.incidents)
    counted.failures += [f"{number} requests were {what}" for what, number in wrong.items() if number]
    left_early = sum(s == crawl.NOTHING and not d for s, d in zip(counted.statuses, counted.decided, strict=True))
    return {
        "requests": len(counted.statuses),
        "decisions": sum(counted.decided),
        "unknown_crawler": strangers,
        "never_decided": left_early,
        "forwarded": sum(counted.forwarded),
        "completions": sum(counted.ended),
        "seen_by_sites": sum(counted.seen),
    }


def growth(samples: Sequence[Sample]) -> tuple[list[dict[str, Any]], list[str]]:
    """The rule of flatness applied to what is watched: rows for the table, and sentences on what grew."""
    times = [sample.at_s for sample in samples]
    rows: list[dict[str, Any]] = []
    failures = []
    for name, unit, least in WATCHED:
        found = flatness.judge(times, [float(getattr(sample, name)) for sample in samples], least=least)
        rows.append(
            {
                "what": name,
                "unit": unit,
                "first": getattr(samples[0], name),
                "median": round(found.median, 2),
                "highest": round(found.highest, 2),
                "growth": round(found.growth, 2),
                "allowed": round(found.allowed, 2),
            }
        )
        if not found.flat:
            failures.append(f"{name} grew by {found.growth:.1f} {unit} where {found.allowed:.1f} are allowed")
    return rows, failures


def tally(size: int, numbers: Iterable[int]) -> list[int]:
    """How often each number below ``size`` comes."""
    counts = [0] * size
    for number in numbers:
        counts[number] += 1
    return counts
