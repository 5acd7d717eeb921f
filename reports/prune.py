"""Retention: old segments lose their records, keep their seals, and whatever later decisions still rest on.

A segment is pruned whole when its last record is older than the limit and no legal hold covers a record of it.  What
stays: seals, runs, anchors, gaps, custody, incidents, and the snapshots and robots.txt that decisions which remain
were made on.  In a sealed range of which something stays the rest stays as leaves, so its root can still be computed;
of a range of which nothing stays the seal alone is left.  The custody record is published first, then the files go;
after a crash at any moment the next prune finishes the work as it is on record.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from crawl_audit.records import Custody, Instant
from crawl_audit.text import storable
from reports import holds, pruned
from reports.custody import Published, history, next_instant, publish
from reports.erased import leaves_sha256
from reports.evidence_form import WITHHELD
from reports.rewriting import KINDS, Bench, Segment, leaves_of, of_segment

KEPT = ("run", "seal", "anchor", "gap", "custody", "incident")
"""Kinds that are never pruned: without personal data but for a client's address in an incident, and few."""
_NEEDED = ("snapshot", "robots_body", "signal")
_GOING = ("decision", "tunnel", "completion")
# In the order in which files go: a reader in between never sees an answer's end without its beginning counted.
_ORDER = (*_GOING, "signal", "snapshot", "robots_body")


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """Records that will go: what one custody record stands for.  ``with_leaves``: their leaves stay."""

    segment: Segment
    first_seq: int
    last_seq: int
    rows: int
    leaves_sha256: str
    with_leaves: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a prune will do: segments with their removals, and segments that a hold keeps."""

    segments: tuple[Segment, ...]
    removals: tuple[Removal, ...]
    held: tuple[tuple[Segment, str], ...]

    @property
    def rows(self) -> int:
        """How many records will go."""
        return sum(removal.rows for removal in self.removals)


def plan(bench: Bench, before: Instant) -> Plan:
    """What pruning everything older than ``before`` means now."""
    _look(bench)
    holds.gather(bench)
    under: dict[tuple[str, int], str] = {}
    for log, first, hold in bench.rows(_HELD):
        under[log, first] = hold
    candidates = bench.rows(
        "SELECT log, first FROM segment WHERE going > 0 AND last_at < make_timestamp(?) ORDER BY log, first", [before]
    )
    by_place = {(segment.log, segment.first): segment for segment in bench.segments}
    going = [by_place[place] for place in candidates if place not in under]
    _decide(bench, going)
    removals = [removal for segment in going for removal in _removals(bench, segment)]
    concerned = {removal.segment for removal in removals}
    return Plan(
        segments=tuple(segment for segment in going if segment in concerned),
        removals=tuple(removals),
        held=tuple((by_place[place], under[place]) for place in candidates if place in under),
    )


def finish(bench: Bench) -> list[Segment]:
    """Carry out what is on record as pruned and is still there, as far as no hold covers it by now."""
    records = [entry.record for entry in history(bench) if entry.record.event == "pruned"]
    begun = []
    for segment in bench.segments:
        mine = [r for r in records if r.subject_log == segment.log and pruned.is_within(r, segment.first, segment.last)]
        rest = [pruned.remains(bench.rows, partial(of_segment, segment), segment.log, record) for record in mine]
        if not all(one.is_carried_out for one in rest):
            begun.append(segment)
    if begun:
        _look(bench)
        holds.gather(bench)
        under = {(log, first) for log, first, _ in bench.rows(_HELD)}
        begun = [segment for segment in begun if (segment.log, segment.first) not in under]
        _decide(bench, begun)
        _carry_out(bench, begun)
    return begun


def apply(bench: Bench, planned: Plan, reason: str, by: str) -> Published:
    """Put the plan on record and carry it out."""
    at = next_instant(bench)
    published = publish(bench, [_custody(removal, at, reason, by) for removal in planned.removals])
    _carry_out(bench, planned.segments)
    return published


# Segments under a hold: those with a held record, and (because completions follow) everything a held decision has.
_HELD = """
SELECT s.log, s.first, min(h.hold) FROM segment AS s
JOIN held AS h ON h.log = s.log AND h.seq BETWEEN s.first AND s.last GROUP BY ALL
"""


def _look(bench: Bench) -> None:
    """Fill ``segment(log, first, last, last_at, going)``: the segments, when they end, how much could go."""
    rows = " UNION ALL ".join(
        f"SELECT log, seq, recorded_at, {str(kind in (*_GOING, *_NEEDED)).lower()} AS goes FROM {kind}"  # noqa: S608
        for kind in KINDS
        if kind != WITHHELD
    )
    bench.connection.execute("CREATE OR REPLACE TEMP TABLE place (log VARCHAR, first BIGINT, last BIGINT)")
    if bench.segments:
        columns = zip(*((s.log, s.first, s.last) for s in bench.segments), strict=True)
        bench.connection.execute(
            "INSERT INTO place SELECT unnest($1::VARCHAR[]), unnest($2::BIGINT[]), unnest($3::BIGINT[])",
            [list(column) for column in columns],
        )
    bench.connection.execute(
        "CREATE OR REPLACE TEMP TABLE segment AS SELECT p.log, p.first, p.last, max(r.recorded_at) AS last_at,"  # noqa: S608
        f" count(*) FILTER (WHERE r.goes) AS going FROM place AS p JOIN ({rows}) AS r"
        " ON r.log = p.log AND r.seq BETWEEN p.first AND p.last GROUP BY ALL"
    )
    # A segment of which something is on record as pruned is done, or for finish(): never a candidate again.
    for entry in history(bench):
        if entry.record.event == "pruned":
            bench.connection.execute(
                "UPDATE segment SET going = 0 WHERE log = ? AND first <= ? AND last >= ?",
                [entry.record.subject_log, entry.record.first_seq, entry.record.last_seq],
            )


def _decide(bench: Bench, going: Sequence[Segment]) -> None:
    """Fill ``gone(log, seq)`` with the records that go from the segments ``going``: all that nothing later needs."""
    run = bench.connection.execute
    run("CREATE OR REPLACE TEMP TABLE leaving (log VARCHAR, first BIGINT, last BIGINT)")
    for segment in going:
        run("INSERT INTO leaving VALUES (?, ?, ?)", [segment.log, segment.first, segment.last])
    for statement in _NEEDS:
        run(statement)
    run("CREATE OR REPLACE TEMP TABLE gone (log VARCHAR, seq BIGINT, kind VARCHAR)")
    for kind in (*_GOING, *_NEEDED):
        spared = " ANTI JOIN needed AS n ON n.log = r.log AND n.seq = r.seq" if kind in _NEEDED else ""
        run(
            f"INSERT INTO gone SELECT r.log, r.seq, '{kind}' FROM {kind} AS r"  # noqa: S608 - our own names
            f" SEMI JOIN leaving AS l ON l.log = r.log AND r.seq BETWEEN l.first AND l.last{spared}"
        )


# What remains needs: the snapshots of a scope from the one a remaining decision used on (that the latest was used must
# stay checkable); in a log that is still written also those still valid at its last record, and every body, because a
# snapshot may name a body that was entered long before.
_NEEDS = (
    """CREATE OR REPLACE TEMP TABLE remaining AS
       SELECT d.log, d.scheme, d.host, d.port, d.snapshot_seq, d.robots_sha256 FROM decision AS d
       ANTI JOIN leaving AS l ON l.log = d.log AND d.seq BETWEEN l.first AND l.last""",
    """CREATE OR REPLACE TEMP TABLE unclosed AS
       SELECT log, max(recorded_at) AS last_at FROM seal GROUP BY log
       HAVING NOT bool_or(reason IN ('shutdown', 'recovered'))""",
    """CREATE OR REPLACE TEMP TABLE wanted AS
       SELECT s.log, s.seq, s.robots_sha256 FROM snapshot AS s
       JOIN (SELECT r.log, s.scheme, s.host, s.port, min(s.seq) AS oldest
             FROM remaining AS r JOIN snapshot AS s ON s.log = r.log AND s.seq = r.snapshot_seq GROUP BY ALL) AS u
         ON u.log = s.log AND u.scheme = s.scheme AND u.host = s.host AND u.port = s.port AND s.seq >= u.oldest
       UNION SELECT s.log, s.seq, s.robots_sha256 FROM snapshot AS s JOIN unclosed AS u USING (log)
       WHERE s.valid_until >= u.last_at
       UNION SELECT s.log, s.seq, s.robots_sha256 FROM snapshot AS s
       ANTI JOIN leaving AS l ON l.log = s.log AND s.seq BETWEEN l.first AND l.last""",
    """CREATE OR REPLACE TEMP TABLE needed AS
       SELECT log, seq FROM wanted
       UNION SELECT b.log, b.seq FROM robots_body AS b SEMI JOIN unclosed AS u USING (log)
       UNION SELECT b.log, b.seq FROM robots_body AS b
       SEMI JOIN (SELECT log, robots_sha256 FROM wanted UNION SELECT log, robots_sha256 FROM remaining) AS w
         ON w.log = b.log AND w.robots_sha256 = b.robots_sha256
       UNION SELECT f.log, f.seq FROM signal AS f SEMI JOIN wanted AS w ON w.log = f.log AND w.seq = f.snapshot_seq""",
)


def _removals(bench: Bench, segment: Segment) -> Iterator[Removal]:
    """The records that go from a segment, as runs of sealed ranges that keep leaves or keep none."""
    run: list[tuple[int, str]] = []
    extent: list[tuple[int, int]] = []
    kind_of_run: bool | None = None
    for first, last, keeps, leaves in _ranges(bench, segment):
        if run and keeps is not kind_of_run:
            yield _removal(segment, extent, run, kind_of_run is True)
            run, extent = [], []
        if leaves:
            kind_of_run = keeps
            run += leaves
            extent.append((first, last))
    if run:
        yield _removal(segment, extent, run, kind_of_run is True)


def _removal(segment: Segment, extent: list[tuple[int, int]], run: list[tuple[int, str]], with_leaves: bool) -> Removal:
    return Removal(
        segment=segment,
        first_seq=extent[0][0],
        last_seq=extent[-1][1],
        rows=len(run),
        leaves_sha256=leaves_sha256(leaf for _, leaf in run),
        with_leaves=with_leaves,
    )


def _ranges(bench: Bench, segment: Segment) -> list[tuple[int, int, bool, list[tuple[int, str]]]]:
    """(first, last, whether anything stays, the records that go as (seq, leaf)) of each sealed range with records."""
    seals = f"SELECT first_seq, first_seq + rows - 1 FROM {of_segment(segment, 'seal')} WHERE rows > 0 ORDER BY ALL"  # noqa: S608
    going = bench.rows(f"SELECT seq, leaf FROM ({_leaves_going(segment)}) ORDER BY seq")  # noqa: S608
    staying = [seq for (seq,) in bench.rows(_staying(segment))]
    made = []
    for first, last in bench.rows(seals):
        low, high = (bisect.bisect_left(going, (edge,)) for edge in (first, last + 1))
        keeps = bisect.bisect_left(staying, first) < bisect.bisect_left(staying, last + 1)
        made.append((first, last, keeps, going[low:high]))
    return made


def _leaves_going(segment: Segment) -> str:
    """SELECT (log, seq, kind, leaf) of the records of a segment that go."""
    parts = []
    for kind in (*_GOING, *_NEEDED):
        source = f"(SELECT * FROM {of_segment(segment, kind)} SEMI JOIN gone USING (log, seq))"  # noqa: S608
        parts.append(f"SELECT log, seq, '{kind}' AS kind, leaf FROM ({leaves_of(kind, source)})")  # noqa: S608
    return " UNION ALL ".join(parts)


def _staying(segment: Segment) -> str:
    """SELECT of the ``seq`` of every record that stays in a segment, whole or as a leaf; seals are in no range."""
    parts = [
        f"SELECT seq FROM {of_segment(segment, kind)} ANTI JOIN gone USING (log, seq)"  # noqa: S608
        for kind in KINDS
        if kind != "seal"
    ]
    return f"SELECT DISTINCT seq FROM ({' UNION ALL '.join(parts)}) ORDER BY seq"  # noqa: S608


def _carry_out(bench: Bench, segments: Sequence[Segment]) -> None:
    """Take what is ``gone`` out of the files: leaves that stay are written first, decisions of all go next."""
    for segment in segments:
        _write_leaves(bench, segment)
        for kind in _GOING[:1]:
            _take_out(bench, segment, kind)
    for segment in segments:
        for kind in _ORDER[1:]:
            _take_out(bench, segment, kind)
    bench.refresh()


def _write_leaves(bench: Bench, segment: Segment) -> None:
    kept = [(first, last, leaves) for first, last, keeps, leaves in _ranges(bench, segment) if keeps]
    if not any(leaves for _, _, leaves in kept):
        return
    inside = " OR ".join(f"seq BETWEEN {first} AND {last}" for first, last, _ in kept)
    both = f"{_leaves_going(segment)} UNION SELECT log, seq, kind, leaf FROM {of_segment(segment, WITHHELD)}"  # noqa: S608
    select = f"SELECT log, seq, kind, leaf FROM ({both}) WHERE {inside} ORDER BY seq"  # noqa: S608
    file = segment.path / f"{WITHHELD}.parquet"
    bench.replace(file, WITHHELD, select, f"SELECT log, seq, leaf FROM ({select})")  # noqa: S608


def _take_out(bench: Bench, segment: Segment, kind: str) -> None:
    file = segment.path / f"{kind}.parquet"
    if not file.exists():
        return
    rest = f"(SELECT * EXCLUDE (file) FROM {of_segment(segment, kind)} ANTI JOIN gone USING (log, seq))"  # noqa: S608
    ((left, total),) = bench.rows(
        f"SELECT (SELECT count(*) FROM {rest}), (SELECT count(*) FROM {of_segment(segment, kind)})"  # noqa: S608
    )
    if not left:
        bench.remove(file)
    elif left < total:
        bench.replace(file, kind, f"SELECT * FROM {rest} ORDER BY seq", leaves_of(kind, rest))  # noqa: S608


def _custody(removal: Removal, at: Instant, reason: str, by: str) -> Custody:
    return Custody(
        recorded_at=at,
        event="pruned",
        hold=None,
        subject_log=removal.segment.log,
        first_seq=removal.first_seq,
        last_seq=removal.last_seq,
        rows=removal.rows,
        fields=(),
        leaves_sha256=removal.leaves_sha256,
        scope=None,
        reason=storable(reason, 2000),
        custodian=storable(by, 200),
    )
