"""A log directory as two sidecars would leave it after a month: synthetic, realistic, and the same for the same seed.

    python -m tests.realistic DIRECTORY 1_000_000      # --sites, --seed, --at-once

Rows are made by SQL, some days of a run at a time, so that ten million exchanges take minutes and little memory.
Verdicts come from the code that decides, by way of templates; sequence numbers, seals, snapshots and counters are
consistent.  Only leaves are left out unless the log is to be ``verifiable``: hashing takes longer than all the rest.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb

from crawl_audit import records, robots, schema
from crawl_audit.leaf_sql import leaf_select
from crawl_audit.records import Instant, Mode
from crawl_audit.seal import Frontier, checkpoint_text, merkle_root, origin
from crawl_audit.segment_sql import sql_quote
from tests import logs
from tests import realistic_sites as world
from tests import realistic_sql as statements
from tests.realistic_sites import BEGIN, DAY, DAYS

HOUR = DAY // 24
SECOND = 1_000_000
_EXCHANGES_AT_ONCE = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a sidecar: times in days since the begin.

    ``stopped`` false: it was killed, and its log closed by the next; ``running``: not stopped yet, so that the end of
    some requests is not on record.
    """

    node: str
    start: float
    end: float
    mode: Mode
    stopped: bool = True
    running: bool = False
    paced: bool = False
    recovered: float = 0.0
    gap: float | None = None
    """When requests left unrecorded (fail_open)."""

    @property
    def begin(self) -> Instant:
        return Instant(BEGIN + round(self.start * DAY))

    @property
    def until(self) -> Instant:
        return Instant(BEGIN + round(self.end * DAY))

    @property
    def log(self) -> str:
        """Its name, as the sidecar makes it."""
        digits = hashlib.sha256(f"{self.node}{self.start}".encode()).hexdigest()[:8]
        hours, rest = divmod((self.begin - BEGIN) % DAY // SECOND, 3600)
        day = (self.begin - BEGIN) // DAY + 1
        return f"{self.node}-202610{day:02d}T{hours:02d}{rest // 60:02d}{rest % 60:02d}Z-{digits}"


RUNS = (
    Run(node="node1", start=0.005, end=9.92, mode=Mode.ENFORCE, gap=3.5),
    Run(node="node1", start=10.04, end=19.6, mode=Mode.ENFORCE, gap=12.25),
    Run(node="node1", start=19.62, end=29.99, mode=Mode.ENFORCE, paced=True),
    Run(node="node2", start=0.25, end=9.875, mode=Mode.AUDIT, stopped=False, recovered=10.125),
    Run(node="node2", start=10.125, end=29.75, mode=Mode.AUDIT, running=True, gap=20.5),
)
"""No log covers the time from 9.92 to 10.04, nor that from 29.99 on."""
_SHARES = {"node1": 0.7, "node2": 0.3}


@dataclass
class _Made:
    """One log while it is being made."""

    run: Run
    number: int
    builder: logs.LogBuilder
    next_seq: int = 0
    seals: int = 0
    tree: Frontier = field(default_factory=Frontier)
    counted: dict[str, int] = field(default_factory=lambda: {"decisions": 0, "forwarded": 0, "completions": 0})
    asked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What is asked for."""

    root: Path
    exchanges: int
    sites: int
    seed: int
    at_once: int
    seal_records: int
    verifiable: bool


def generate(
    root: Path,
    exchanges: int = 1_000_000,
    *,
    sites: int = 25_000,
    seed: int = 1,
    at_once: int = _EXCHANGES_AT_ONCE,
    verifiable: bool = False,
) -> None:
    """Write a log directory of that many exchanges, three in ten of them in audit mode.

    With one exchange for every 40 of a million every site is asked at least once.  ``verifiable``: with leaves and
    roots, so that `crawl-audit verify` finds it sound.
    """
    plan = _Plan(
        root=root,
        exchanges=exchanges,
        sites=sites,
        seed=seed,
        at_once=at_once,
        seal_records=min(5_000, max(50, exchanges // 200)),
        verifiable=verifiable,
    )
    with duckdb.connect(config={"memory_limit": "2GB"}) as connection:
        connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
        _world(connection, plan)
        for number, run in enumerate(RUNS):
            _log(connection, plan, number, run)


def _world(connection: duckdb.DuckDBPyConnection, plan: _Plan) -> None:
    """The tables that every day is made from: authorities, robots.txt files, what is decided, how requests end."""
    places = [asdict(place) for place in world.places(plan.sites, plan.seed)]
    exempted = {site: one["id"] for one in world.exemptions() for site in one["sites"]}
    for number, place in enumerate(places):
        place |= {"place": number, "exemption": exempted.get(place["site"])}
    _table(connection, "place", places)
    connection.execute("""
        CREATE OR REPLACE TABLE place AS SELECT *, count(*) OVER (PARTITION BY rank) AS places,
          scheme || '://' || CASE WHEN host LIKE '%:%' THEN '[' || host || ']' ELSE host END
          || CASE WHEN port IN (80, 443) THEN '' ELSE ':' || port END AS authority FROM place
    """)
    _table(connection, "ruled", [{"id": number, **one} for number, one in enumerate(world.judged())])
    _table(connection, "wish", list(world.wishes()))
    files = [
        {"robots": name, "status": file.status, "outcome": file.outcome.value, "text": (file.body or b"").decode()}
        for name, file in world.ROBOTS.items()
    ]
    _table(connection, "file", files)
    kinds = [{"kind": number, **asdict(kind)} for number, kind in enumerate(world.KINDS)]
    _table(connection, "asking", kinds)
    connection.execute("SET VARIABLE asking_slots = $list", {"list": _slots((k["kind"], k["share"]) for k in kinds)})
    _table(
        connection,
        "answer",
        [
            {"answer": n, "outcome": outcome, "error": error, "status": status, "barrier": barrier}
            for n, (_, outcome, error, status, barrier) in enumerate(world.ANSWERS)
        ],
    )
    answered = _slots((n, answer[0]) for n, answer in enumerate(world.ANSWERS))
    connection.execute("SET VARIABLE answer_slots = $list", {"list": answered})
    _table(connection, "crawler", [_crawler(name) for name in world.CRAWLERS])
    connection.execute("SET VARIABLE agents = $list", {"list": list(world.AGENTS)})
    _table(connection, "field", list(world.fields()))
    # Numbers drawn from one hash, independent of each other: hash(h, k) would only be hash(h) with some bits
    # turned over.
    connection.execute("CREATE MACRO draw(h, k) AS hash(xor(h, CAST(k AS UBIGINT) * 2654435769))")
    connection.execute("CREATE MACRO chance(h, k) AS CAST(draw(h, k) >> 11 AS DOUBLE) / 9007199254740992.0")
    # A UUIDv7 (RFC 9562 5.7) whose random part comes from the draw.
    connection.execute("""
        CREATE MACRO exchange_id(at_us, h) AS
        printf('%08x', (at_us // 1000) >> 16) || '-' || printf('%04x', (at_us // 1000) & 65535) || '-7'
        || substr(md5(CAST(h AS VARCHAR)), 1, 3) || '-8' || substr(md5(CAST(h AS VARCHAR)), 4, 3) || '-'
        || substr(md5(CAST(h AS VARCHAR)), 7, 12)
    """)


def _crawler(name: str) -> dict[str, Any]:
    one = world.CRAWLERS[name]
    node = next(node for node, names in world.ON_NODE.items() if name in names)
    here = world.ON_NODE[node].index(name)
    return {
        "crawler": name,
        "number": list(world.CRAWLERS).index(name),
        "product_token": one.product_token,
        "own_agent": one.user_agent,
        "node": node,
        "low": (0.0, 0.5, 0.85)[here],
        "high": 1.0 if node == "node2" else (0.5, 0.85, 1.0)[here],
    }


def _slots(shares: Iterable[tuple[int, int]]) -> list[int]:
    """A list in which each value stands as often as its share says: a random place in it picks one."""
    return [value for value, share in shares for _ in range(share)]


def _table(connection: duckdb.DuckDBPyConnection, name: str, rows: list[dict[str, Any]]) -> None:
    """A table of dictionaries that all have the same keys."""
    connection.execute(
        f"CREATE OR REPLACE TABLE {name} AS SELECT unnest(row, max_depth := 1) FROM (SELECT unnest($rows) AS row)",
        {"rows": rows},
    )


def _log(connection: duckdb.DuckDBPyConnection, plan: _Plan, number: int, run: Run) -> None:
    """All of one run."""
    made = _Made(run, number, logs.LogBuilder(plan.root, run.log))
    connection.execute(
        "CREATE OR REPLACE TABLE known (digest VARCHAR);"
        " CREATE OR REPLACE TABLE left_before (crawler VARCHAR, place INTEGER, left_us BIGINT)"
    )
    hours = _hours(plan, run)
    while hours:
        taken = _taken(hours, plan.at_once)
        hours = hours[len(taken) :]
        _part(connection, plan, made, taken, is_last=not hours)
    text = checkpoint_text(origin(run.log), made.tree.size, made.tree.root())
    (plan.root / "checkpoints").mkdir(exist_ok=True)
    note = made.builder.signer.sign_note(text)
    (plan.root / "checkpoints" / f"{run.log}.checkpoint").write_text(note, encoding="utf-8")


def _weight(hour: int) -> float:
    """How busy an hour since the begin is: nights, week-ends and a slow growth."""
    day = hour // 24
    return (1 + 0.5 * math.sin((hour % 24 - 9) / 24 * 2 * math.pi)) * (0.7 if day % 7 in (2, 3) else 1) * (1 + day / 60)


def _hours(plan: _Plan, run: Run) -> list[dict[str, int]]:
    """The hours of a run with how many requests each has: the share of the run, to the last one."""

    def weighted(one: Run) -> list[tuple[int, int, float]]:
        made = []
        for hour in range(DAYS * 24):
            start, end = max(one.begin, BEGIN + hour * HOUR), min(one.until, BEGIN + (hour + 1) * HOUR)
            if start < end:
                made.append((start, end - start, _weight(hour) * (end - start) / HOUR))
        return made

    of_node = [weighted(one) for one in RUNS if one.node == run.node]
    total = sum(weight for hours in of_node for *_, weight in hours)
    earlier = [one for one in RUNS if one.node == run.node].index(run)
    done = sum(weight for hours in of_node[:earlier] for *_, weight in hours)
    share = round(plan.exchanges * _SHARES["node1"])
    share = share if run.node == "node1" else plan.exchanges - share
    made = []
    for start, span, weight in of_node[earlier]:
        before, done = round(share * done / total), done + weight
        asked = round(share * done / total) - before
        made.append({"day": (start - BEGIN) // DAY, "start_us": start, "span_us": span, "asked": asked})
    return made


def _taken(hours: list[dict[str, int]], at_once: int) -> list[dict[str, int]]:
    """The hours of the next days that become one segment; a day is never divided."""
    count, taken = 0, 0
    for _, of_day in itertools.groupby(hours, lambda hour: hour["day"]):
        day = list(of_day)
        count += sum(hour["asked"] for hour in day)
        if taken and count > at_once:
            break
        taken += len(day)
    return hours[:taken]


def _part(
    connection: duckdb.DuckDBPyConnection, plan: _Plan, made: _Made, hours: list[dict[str, int]], *, is_last: bool
) -> None:
    """Every record of some days of a run, as a segment."""
    run = made.run
    for hour in hours:
        hour["first"], made.asked = made.asked, made.asked + hour["asked"]
    _table(connection, "hour", hours)
    head = min(world.HEAD, plan.sites // 2)
    values = {
        "base": plan.seed * 1_000_003 + made.number * 7_000_003_000,
        "begin": BEGIN,
        "one_day": DAY,
        "until": run.until,
        "node": sql_quote(run.node),
        "shift": 7 * (run.node == "node2"),
        "head": head,
        "tail": plan.sites - head,
        "turns": world.TURNS,
        "exempt_from": world.EXEMPT_DAYS[0],
        "exempt_until": world.EXEMPT_DAYS[1],
        "action": "enforced" if run.mode is Mode.ENFORCE else "audited",
        "mode": sql_quote(run.mode.value),
        "log": sql_quote(run.log),
        "parser": sql_quote(robots.PARSER),
        "paced": "true" if run.paced else "false",
        "salt": "md5(CAST(d.h AS VARCHAR))" if plan.verifiable else sql_quote(logs.SALT.hex()),
        "unended": 0.04 if run.running else 0,
        "crashed": 2**62 if run.stopped else run.until - HOUR // 2,
        "recovered": BEGIN + round(run.recovered * DAY),
    }
    for statement in (
        statements.ASKED,
        statements.DECIDED,
        statements.FETCHED,
        statements.ENDED,
        statements.SPREAD,
        statements.OTHERS,
        statements.LEFT,
    ):
        connection.execute(statement.format(**values))
    if is_last and not run.stopped:
        connection.execute("INSERT INTO happened VALUES (-1, ?, NULL, 'unclean_stop')", [values["recovered"]])
    extra = _extra(made, hours, is_last=is_last)
    _number(connection, plan, made, extra)
    selects = {}
    for kind, text in statements.STORED.items():
        wanted = ", ".join(f"{name}::{sql_type} AS {name}" for name, sql_type in schema.stored_columns(kind))
        told = f"SELECT {values['log']} AS log, {schema.VERSION} AS v, * FROM ({text.format(**values)})"
        selects[kind] = f"SELECT {wanted} FROM ({told})"
    _publish(connection, plan, made, extra, selects, is_last=is_last)


def _extra(made: _Made, hours: list[dict[str, int]], *, is_last: bool) -> list[tuple[int, int, records.Record]]:
    """(when, place among what has the same time, record) of what there is only once: start, stop, gap."""
    run, settings = made.run, _settings(made.run)
    started = replace(
        logs.run("start", run.begin),
        node=run.node,
        mode=run.mode,
        settings=settings,
        settings_sha256=hashlib.sha256(settings.encode()).hexdigest(),
        software=json.dumps({"crawl-audit": "0.1.0", "duckdb": "2.0.0", "mitmproxy": "12.2.3"}, sort_keys=True),
        checkpoint_key=made.builder.signer.verifier.vkey,
        previous_log=next((one.log for one in reversed(RUNS[: made.number]) if one.node == run.node), None),
    )
    extra: list[tuple[int, int, records.Record]] = []
    if made.next_seq == 0:
        extra.append((run.begin, -1, started))
    if run.gap is not None and int(run.gap) in {hour["day"] for hour in hours}:
        at = Instant(BEGIN + round(run.gap * DAY))
        extra.append((at, 9, _unrecorded(at, None, 0)))
    if is_last and run.stopped and not run.running:
        stopped = replace(started, recorded_at=run.until, event="stop", reason="signal")
        extra.append((run.until, 10, stopped))
    return extra


def _unrecorded(at: Instant, seqs: tuple[int, int] | None, kept: int) -> records.Gap:
    return records.Gap(
        recorded_at=at,
        cause="disk_full",
        first_at=Instant(at - 30 * SECOND),
        last_at=Instant(at - 1),
        requests=kept + 7,
        kept=kept,
        first_seq=None if seqs is None else seqs[0],
        last_seq=None if seqs is None else seqs[1],
        file_sha256=None if seqs is None else hashlib.sha256(str(at).encode()).hexdigest(),
        detail="The disk was full; what was kept of these requests follows.",
    )


def _settings(run: Run) -> str:
    """What the run records of its settings, as far as readers use it."""
    crawlers = [
        {
            "id": name,
            "product_tokens": list(world.CRAWLERS[name].product_tokens),
            "user_agent": world.CRAWLERS[name].user_agent,
            "purpose": world.CRAWLERS[name].purpose,
            "contact": "crawler@operator.example",
            "authenticated": True,
        }
        for name in world.ON_NODE[run.node]
    ]
    said = {
        "mode": run.mode.value,
        "crawlers": crawlers,
        "exemptions": world.exemptions(),
        "signals": {"policy": world.POLICY},
        "pacing": {"enforce": run.paced, "hold_max_s": 10},
        "logging": {"idle_seal_interval_s": 86_400, "commit_timeout_s": 2.0},
        "robots": {"last_good_copy_s": 0},
    }
    return json.dumps(said, sort_keys=True, separators=(",", ":"))


def _number(
    connection: duckdb.DuckDBPyConnection, plan: _Plan, made: _Made, extra: list[tuple[int, int, records.Record]]
) -> None:
    """Give every record of these days its place in the log, with one free after so many for a seal."""
    connection.execute("CREATE OR REPLACE TABLE extra (id BIGINT, at_us BIGINT, entered_us BIGINT, turn INTEGER)")
    for number, (at, turn, _) in enumerate(extra):
        connection.execute("INSERT INTO extra VALUES (?, ?, ?, ?)", [number, at, at, turn])
    values = {"next": made.next_seq, "per_seal": plan.seal_records, "gap_first": 2**62, "gap_us": 2**62}
    for at, _, record in extra:
        if isinstance(record, records.Gap):
            values |= {"gap_first": record.first_at, "gap_us": at}
    connection.execute(statements.PLACED.format(**values))


def _publish(
    connection: duckdb.DuckDBPyConnection,
    plan: _Plan,
    made: _Made,
    extra: list[tuple[int, int, records.Record]],
    selects: dict[str, str],
    *,
    is_last: bool,
) -> None:
    """Write the segment, with its seals."""
    single = _singles(connection, extra)
    rows = connection.execute(
        "SELECT count(*), min(seq), max(at_us), count(*) FILTER (WHERE is_decision), count(*) FILTER"
        " (WHERE is_forwarded), count(*) FILTER (WHERE is_end) FROM numbered GROUP BY seal ORDER BY seal"
    ).fetchall()
    first = made.next_seq
    made.next_seq += sum(row[0] + 1 for row in rows)
    leaves = _leaves(connection, first, made.next_seq - first, single, selects) if plan.verifiable else None
    for count, low, at, *counts in rows:
        for name, more in zip(made.counted, counts, strict=True):
            made.counted[name] += more
        root = hashlib.sha256(f"{made.run.log}{low}".encode()).digest()
        if leaves is not None:
            root = merkle_root(leaves[low - first : low - first + count])
        single.append((low + count, _seal(made, low, count, at, root, "interval")))
        made.seals += 1
    ended = "" if made.run.running else "shutdown" if made.run.stopped else "recovered"
    seq, last = single[-1]
    assert isinstance(last, records.Seal)
    single[-1] = (seq, replace(last, reason=ended if is_last and ended else "rotation"))
    for _, seal in single[-len(rows) :]:
        made.tree.append(schema.leaf(schema.parse_entry(logs.entry(seal))))
    directory = plan.root / "segments" / made.run.log / f"{first:012d}-{made.next_seq - 1:012d}"
    directory.mkdir(parents=True)
    logs.write_segment(directory, made.run.log, sorted(single, key=lambda pair: pair[0]))
    for kind, select in selects.items():
        _copy(connection, kind, select, directory / f"{kind}.parquet")


def _seal(made: _Made, first: int, rows: int, at: int, root: bytes, reason: str) -> records.Seal:
    return records.Seal(
        recorded_at=Instant(at),
        seal_index=made.seals,
        first_seq=first,
        rows=rows,
        root=root.hex(),
        reason=reason,
        **made.counted,
        dropped=0,
        in_flight=made.counted["forwarded"] - made.counted["completions"],
        monotonic_ms=(at - made.run.begin) // 1000,
        settings_sha256=hashlib.sha256(_settings(made.run).encode()).hexdigest(),
    )


def _singles(
    connection: duckdb.DuckDBPyConnection, extra: list[tuple[int, int, records.Record]]
) -> list[tuple[int, records.Record]]:
    """What there is only once, with its place; a gap with that of what was entered late."""
    places = dict(connection.execute("SELECT id, seq FROM numbered WHERE what = 'extra'").fetchall())
    made: list[tuple[int, records.Record]] = []
    for number, (at, _, record) in enumerate(extra):
        if isinstance(record, records.Gap):
            ((kept, low, high),) = connection.execute(
                "SELECT count(*), min(seq), max(seq) FROM numbered WHERE is_decision AND at_us >= ? AND at_us < ?",
                [record.first_at, at],
            ).fetchall()
            made.append((places[number], _unrecorded(Instant(at), (low, high) if kept else None, kept)))
        else:
            made.append((places[number], record))
    return made


def _copy(connection: duckdb.DuckDBPyConnection, kind: str, select: str, file: Path) -> None:
    """One kind of one segment, as the sidecar lays it out; no file where there is nothing."""
    order = "site, recorded_at, seq" if kind == "decision" else "seq"
    path = sql_quote(str(file))
    copied = f"COPY ({select} ORDER BY {order}) TO {path} (FORMAT parquet, COMPRESSION zstd)"
    ((count,),) = connection.execute(copied).fetchall()
    if count == 0:
        file.unlink()


def _leaves(
    connection: duckdb.DuckDBPyConnection,
    first: int,
    size: int,
    single: Iterable[tuple[int, records.Record]],
    selects: dict[str, str],
) -> list[bytes]:
    """The leaves of the records by place; empty where a seal goes."""
    made = [b""] * size
    for kind, select in selects.items():
        held = "".join(f", NULL::VARCHAR AS {name}" for name, _ in schema.withheld_columns(kind))
        for _, seq, leaf in connection.execute(leaf_select(kind, f"(SELECT *{held} FROM ({select}))")).fetchall():
            made[seq - first] = bytes.fromhex(leaf)
    for seq, record in single:
        made[seq - first] = schema.leaf(schema.parse_entry(logs.entry(record)))
    return made


def main() -> None:
    """Generate a log."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("exchanges", type=lambda text: int(text.replace("_", "")), nargs="?", default=1_000_000)
    parser.add_argument("--sites", type=int, default=25_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=_EXCHANGES_AT_ONCE, help="exchanges of a segment, about")
    parser.add_argument("--verifiable", action="store_true")
    given = parser.parse_args()
    generate(
        given.directory,
        given.exchanges,
        sites=given.sites,
        seed=given.seed,
        at_once=given.at_once,
        verifiable=given.verifiable,
    )


if __name__ == "__main__":
    main()
