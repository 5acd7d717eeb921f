"""The comparison of two records that know nothing of each other: the sites' access logs and the sidecar's log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.end_to_end.harness import Sidecar
from tests.end_to_end.origin import Origin

_DECISIONS = """
SELECT d.log, d.seq, regexp_extract(d.target, '[?&]id=([0-9]+)', 1) AS id, d.port, d.action, d.url,
       epoch_us(d.recorded_at) AS recorded_us, count(c.seq) AS completions, min(c.outcome) AS outcome
FROM decision AS d LEFT JOIN completion AS c ON c.log = d.log AND c.decision_seq = d.seq
GROUP BY ALL ORDER BY d.log, d.seq
"""


@dataclass(frozen=True, slots=True)
class Ledger:
    """Both sides: (port, id) → when the site saw it, and the decisions on record."""

    seen: list[tuple[int, str, int]]
    decisions: list[dict[str, Any]]


def ledger(sidecar: Sidecar, origins: Iterable[Origin]) -> Ledger:
    """Read both sides; requests without a number (robots.txt) are left out on both."""
    seen = [
        (origin.port, seen.target.partition("id=")[2].partition("&")[0], seen.at_us)
        for origin in origins
        for seen in origin.seen
        if "id=" in seen.target
    ]
    return Ledger(seen, [row for row in sidecar.rows(_DECISIONS) if row["id"]])


def disagreements(book: Ledger) -> list[str]:
    """Everything in which the two records contradict each other; nothing where the sidecar kept its promise."""
    found = []
    by_request: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for row in book.decisions:
        by_request.setdefault((row["port"], row["id"]), []).append(row)
        if row["action"] == "forwarded" and row["completions"] != 1:
            found.append(f"{row['url']} was forwarded and has {row['completions']} completions")
        if row["action"] == "denied" and row["completions"]:
            found.append(f"{row['url']} was denied and has a completion")
    for (_, number), rows in by_request.items():
        if len(rows) > 1:
            found.append(f"request {number} was decided on {len(rows)} times")
    for (port, number, at_us), times in Counter(book.seen).items():
        rows = [row for row in by_request.get((port, number), []) if row["action"] == "forwarded"]
        if len(rows) != 1 or times != 1:
            found.append(f"the site saw request {number} {times} times, forwarded decisions: {len(rows)}")
        elif rows[0]["recorded_us"] >= at_us:
            found.append(f"the site saw request {number} {rows[0]['recorded_us'] - at_us} µs before its decision")
    return found
