"""Bounds on what evidence may claim to hold: places, records and files that would keep a verifier busy for ever (F4).

A few octets can name a segment of 10^12 records, or a seal of 2^53.  What no sidecar writes is refused before anything
goes through it; a real log is far below every bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from reports.evidence_form import SMALL_BYTES_MAX, SegmentFiles
from reports.findings import Findings, Severity

if TYPE_CHECKING:
    from reports.evidence import Evidence

UNSEALED_MAX = 4_000_000
"""Records from one seal to the next: a sidecar seals every 15 seconds with traffic, long before so many."""


def too_wide(evidence: Evidence, segments: list[SegmentFiles]) -> Iterator[SegmentFiles]:
    """The segments that claim more places than their seals can cover, or hold far more records than places."""
    for segment in segments:
        places = segment.last - segment.first + 1
        if _rows(evidence, segment) > 2 * places + 1000:
            yield segment
        elif places > UNSEALED_MAX:
            seals = evidence.rows("seal", segment.log, ("seq",), "seq IS NOT NULL", "seq")
            edges = [segment.first - 1, *(q for (q,) in seals if segment.first <= q <= segment.last), segment.last]
            if any(high - low > UNSEALED_MAX for low, high in pairwise(edges)):
                yield segment


def _rows(evidence: Evidence, segment: SegmentFiles) -> int:
    if not evidence.is_bundle:
        return evidence.stated_rows(segment)
    counts = (
        f"SELECT count(*) AS rows FROM {evidence.relation(kind, segments=[segment])}"  # noqa: S608 - our own names
        for kind in segment.files
    )
    ((rows,),) = evidence.select(f"SELECT sum(rows)::BIGINT FROM ({' UNION ALL '.join(counts)})")  # noqa: S608
    return int(rows)


def refuse_wide(evidence: Evidence, held: dict[str, list[SegmentFiles]], findings: Findings) -> None:
    """Take the segments that are too wide out of ``held``, each with a finding F4."""
    for log in list(held):
        wide = [segment.source for segment in too_wide(evidence, held[log])]
        for segment in [one for one in held[log] if one.source in wide]:
            message = "It claims more records than seals can cover, or holds far more than it claims: it was not read."
            findings.add("F4", Severity.ERROR, f"{log} {segment.first:012d}-{segment.last:012d}", message)
            evidence.refused.append((log, f"{segment.first:012d}-{segment.last:012d}"))
        held[log] = [one for one in held[log] if one.source not in wide]
        if not held[log]:
            del held[log]


def small_files(paths: Mapping[str, Path], findings: Findings) -> Iterator[tuple[str, bytes]]:
    """(name, octets) of the notes and receipts, as far as they are within bounds; F4 and F5 for the others."""
    total = 0
    for name, path in paths.items():
        try:
            total += path.stat().st_size
            if total > SMALL_BYTES_MAX:
                message = f"Notes and receipts of more than {SMALL_BYTES_MAX} octets lie here: the rest was not read."
                findings.add("F4", Severity.ERROR, f"checkpoints {name}", message)
                return
            yield name, path.read_bytes()
        except FileNotFoundError:
            raise  # the log is being written
        except OSError as error:
            findings.add("F5", Severity.ERROR, f"checkpoints {name}", f"It cannot be read: {error.strerror}.")
