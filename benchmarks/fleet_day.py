"""A day of a fleet, made by SQL: one verifiable log per sidecar, a segment every few minutes, thousands of sites.

What a verdict looks like comes from the code that decides.  Every log has its start, one robots.txt, a snapshot for
each of its sites, its exchanges spread over the day, a seal at the end of every segment, a stop and a signed head.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from benchmarks.verify import ROBOTS, completions, leaves_between, targets
from crawl_audit import records, robots, schema
from crawl_audit.records import Instant
from crawl_audit.seal import Frontier, checkpoint_text, merkle_root, origin
from crawl_audit.segment_sql import sql_quote
from tests import logs

SITES = 25_000
SITES_OF_ONE = 200
DAY_US = 86_400 * logs.SECOND
BEGIN = Instant(int(datetime(2026, 11, 18, tzinfo=UTC).timestamp()) * logs.SECOND)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetDay:
    """What is asked for: how many sidecars, segments of each, and exchanges of all."""

    sidecars: int
    segments: int
    exchanges: int

    def name(self, number: int) -> str:
        """The log of sidecar ``number``."""
        digits = hashlib.sha256(str(number).encode()).hexdigest()[:8]
        return f"node{number:05d}-20261118T000000Z-{digits}"

    def share(self, number: int) -> int:
        """How many exchanges sidecar ``number`` has."""
        return self.exchanges * (number + 1) // self.sidecars - self.exchanges * number // self.sidecars


def generate(root: Path, day: FleetDay, *, only: Iterator[int] | range | None = None) -> None:
    """Write the log directory ``root``, or of it the logs of the sidecars ``only``."""
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
        _templates(connection)
        for number in range(day.sidecars) if only is None else only:
            _log(connection, root, day, number)


def site_name(number: int) -> str:
    """The registrable domain of a site; those of low numbers are asked most."""
    return f"site{number}.example"


def sites_of(number: int) -> list[int]:
    """The sites that sidecar ``number`` asks: ten that every sidecar asks, the others its own share of all."""
    return [*range(10), *(10 + (number * 83 + index * 61) % (SITES - 10) for index in range(SITES_OF_ONE - 10))]


def _settings() -> str:
    """Those of every sidecar: one crawler, and seals as far apart as the segments are."""
    crawlers = [{"id": "alpha", "product_tokens": ["AlphaBot"], "user_agent": "AlphaBot/1.0", "purpose": "search"}]
    return json.dumps({"crawlers": crawlers, "logging": {"idle_seal_interval_s": 86_400}})


def _templates(connection: duckdb.DuckDBPyConnection) -> None:
    """One row per target; the exchanges are these, multiplied."""
    connection.execute(
        "CREATE TABLE target (which INTEGER, target VARCHAR, verdict VARCHAR, basis VARCHAR, rule VARCHAR,"
        " rule_line BIGINT, group_tokens VARCHAR[], protego_verdict VARCHAR, divergent BOOLEAN)"
    )
    names = ("verdict", "basis", "rule", "rule_line", "group_tokens", "protego_verdict", "divergent")
    for number, target in enumerate(targets()):
        one = asdict(logs.decision("www.site0.example", target, body=ROBOTS))
        values = [list(one[name]) if name == "group_tokens" else one[name] for name in names]
        connection.execute("INSERT INTO target VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", [number, target, *values])


def _log(connection: duckdb.DuckDBPyConnection, root: Path, day: FleetDay, number: int) -> None:
    """The whole log of one sidecar: its first segment holds the start and the snapshots as well."""
    log = day.name(number)
    made = logs.LogBuilder(root, log, signing=True)
    settings = _settings()
    digest = hashlib.sha256(settings.encode()).hexdigest()
    made.start(BEGIN, node=f"node{number:05d}", settings=settings, settings_sha256=digest)
    made.add(logs.robots_body(ROBOTS, BEGIN))
    sites = sites_of(number)
    for site in sites:
        made.add(logs.snapshot(f"www.{site_name(site)}", ROBOTS, BEGIN))
    exchanges = day.share(number)
    _exchanges(connection, log, number, sites, exchanges, day.segments, len(made.records))
    leaves = [schema.leaf(schema.parse_entry(logs.entry(record))) for record in made.records]
    leaves += leaves_between(connection, len(made.records), 2 * exchanges + day.segments)
    start, tree, first, done = made.records[0], Frontier(), 0, 0
    assert isinstance(start, records.Run)
    for segment in range(day.segments):
        single = list(enumerate(made.records)) if segment == 0 else []
        through = exchanges * (segment + 1) // day.segments
        covered = len(single) + 2 * (through - done)
        at = Instant(BEGIN + DAY_US * (segment + 1) // day.segments - 1)
        is_last = segment == day.segments - 1
        if is_last:
            stop = replace(start, recorded_at=at, event="stop", reason="signal")
            single.append((first + covered, stop))
            leaves.insert(first + covered, schema.leaf(schema.parse_entry(logs.entry(stop))))
            covered += 1
        seal = records.Seal(
            recorded_at=at,
            seal_index=segment,
            first_seq=first,
            rows=covered,
            root=merkle_root(leaves[first : first + covered]).hex(),
            reason="shutdown" if is_last else "rotation",
            decisions=through,
            forwarded=through,
            completions=through,
            dropped=0,
            in_flight=0,
            monotonic_ms=(at - BEGIN) // 1000,
            settings_sha256=start.settings_sha256,
        )
        single.append((first + covered, seal))
        tree.append(schema.leaf(schema.parse_entry(logs.entry(seal))))
        _segment(connection, root, log, (first, first + covered), single)
        first, done = first + covered + 1, through
    text = checkpoint_text(origin(log), tree.size, tree.root())
    (root / "checkpoints").mkdir(exist_ok=True)
    (root / "checkpoints" / f"{log}.checkpoint").write_text(made.signer.sign_note(text), encoding="utf-8")


def _exchanges(
    connection: duckdb.DuckDBPyConnection,
    log: str,
    number: int,
    sites: list[int],
    exchanges: int,
    segments: int,
    first: int,
) -> None:
    """Fill ``decision`` and ``completion``: exchange n is in segment s, after 2n records and the s seals before it."""
    digest = hashlib.sha256(ROBOTS).hexdigest()
    connection.execute("CREATE OR REPLACE TABLE asked (place BIGINT, site BIGINT)")
    connection.execute("INSERT INTO asked SELECT generate_subscripts($1, 1) - 1, unnest($1)", [sites])
    per = f"(({segments}::BIGINT * (n + 1) + {exchanges} - 1) // {exchanges} - 1)"
    connection.execute(f"""
        CREATE OR REPLACE TABLE decision AS
        WITH numbered AS (
          SELECT n, {per} AS s, hash(n + {number * 1_000_003}) AS h FROM range({exchanges}) AS r(n)
        ), placed AS (  -- a few sites get most: the square of an even number between 0 and 1
          SELECT *, CAST(floor(pow((h % 1000003) / 1000003.0, 2) * {len(sites)}) AS BIGINT) AS place FROM numbered
        )
        SELECT {sql_quote(log)} AS log, {first} + 2 * n + s AS seq, 1::INTEGER AS v,
          make_timestamp({BEGIN} + (n * {DAY_US} // {exchanges})) AS recorded_at,
          printf('%016x', h) || printf('%016x', hash(h)) AS exchange_id, NULL::VARCHAR AS trace_id,
          'alpha' AS crawler, 'AlphaBot' AS product_token,
          '10.0.' || {number % 250} || '.' || (n % 200) AS client,
          'AlphaBot/1.0 (+https://crawler.example/about)' AS user_agent,
          true AS token_in_user_agent, 'GET' AS method, 'http' AS scheme,
          'www.site' || a.site || '.example' AS host, 80::BIGINT AS port,
          t.target || CASE WHEN t.basis = 'robots_txt' THEN ''
            ELSE CASE WHEN n // 16 % 2 = 0 THEN '-' ELSE '?page=' END || n END AS target,
          NULL::VARCHAR AS target_b64, 'site' || a.site || '.example' AS site,
          2 + place AS snapshot_seq, '{digest}' AS robots_sha256,
          n * {DAY_US} // {exchanges} // 1000 AS robots_age_ms, t.verdict, t.basis, t.group_tokens, t.rule,
          t.rule_line, t.protego_verdict, t.divergent, {sql_quote(robots.PARSER)} AS parser, 'audit' AS mode,
          'forwarded' AS action, NULL::VARCHAR AS exemption, NULL::VARCHAR AS detail, NULL::BIGINT AS crawl_delay_ms,
          NULL::BIGINT AS request_interval_ms, NULL::BIGINT AS since_previous_ms, NULL::BIGINT AS held_ms,
          md5(h::VARCHAR) AS salt, n
        FROM placed JOIN asked AS a USING (place) JOIN target AS t ON t.which = n % {len(targets())}
    """)
    completions(connection)


def _segment(
    connection: duckdb.DuckDBPyConnection,
    root: Path,
    log: str,
    span: tuple[int, int],
    single: list[tuple[int, records.Record]],
) -> None:
    directory = root / "segments" / log / f"{span[0]:012d}-{span[1]:012d}"
    directory.mkdir(parents=True)
    logs.write_segment(directory, log, single)
    for kind, order in (("decision", "site, recorded_at, seq"), ("completion", "seq")):
        path = directory / f"{kind}.parquet"
        select = f"SELECT * FROM {kind} WHERE seq BETWEEN {span[0]} AND {span[1]} ORDER BY {order}"
        copied = f"COPY ({select}) TO {sql_quote(str(path))} (FORMAT parquet, COMPRESSION zstd)"
        if connection.execute(copied).fetchall() == [(0,)]:
            path.unlink()
