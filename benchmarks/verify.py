"""How fast `crawl-audit verify` is and how much it holds in memory, on a generated log of N exchanges.

    python benchmarks/verify.py generate DIRECTORY 5_000_000
    python benchmarks/verify.py run DIRECTORY            # also --no-replay; taskset -c 0 for one core

Rows are made by SQL so that ten million take minutes: decisions of a thousand sites with commitments under random
salts, their completions, a seal every 3,000 exchanges, a segment every 51,000 (``--per-segment``, ``--per-seal`` for
others).  All sites have one robots.txt of 2 KB with 89 rules, nearly every path asked for is another, and half of
them have a query.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.robots_judge import synthetic
from crawl_audit import records, robots, schema
from crawl_audit.leaf_sql import leaf_select
from crawl_audit.seal import Frontier, checkpoint_text, merkle_root, origin
from crawl_audit.segment_sql import sql_quote
from tests import logs

LOG = "bench-20261118T110640Z-00000001"
PER_SEAL = 3_000
PER_SEGMENT = 51_000
SITES = 1_000
ROBOTS = synthetic(2_048)
PATHS = ("/", "/abc/index.html", "/blog/2024/05/some-title-of-a-post", "/img/a%20b.png", "/shop/item", "/robots.txt")


def generate(root: Path, exchanges: int, per_segment: int = PER_SEGMENT, per_seal: int = PER_SEAL) -> None:
    """Write a log directory of that many exchanges."""
    made = logs.LogBuilder(root, LOG, signing=True)
    made.start()
    made.add(logs.robots_body(ROBOTS))
    for number in range(SITES):
        made.add(logs.snapshot(f"www.site{number}.example", ROBOTS))
    made.publish()
    tree = Frontier()
    for leaf in made.seal_leaves():
        tree.append(leaf)
    state = {"seq": len(made.records), "seal": made.seals, "done": 0}
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        _templates(connection)
        while state["done"] < exchanges:
            count = min(per_segment, exchanges - state["done"])
            _segment(connection, root, made, tree, state, count, per_seal, last=state["done"] + count >= exchanges)
    text = checkpoint_text(origin(LOG), tree.size, tree.root())
    (root / "checkpoints" / f"{LOG}.checkpoint").write_text(made.signer.sign_note(text), encoding="utf-8")


def _templates(connection: duckdb.DuckDBPyConnection) -> None:
    """One row per (target, kind) to be multiplied: what a verdict looks like comes from the code that decides."""
    connection.execute(
        "CREATE TABLE target (which INTEGER, target VARCHAR, verdict VARCHAR, basis VARCHAR, rule VARCHAR,"
        " rule_line BIGINT, group_tokens VARCHAR[], protego_verdict VARCHAR, divergent BOOLEAN)"
    )
    for number, target in enumerate(targets()):
        one = asdict(logs.decision("www.site0.example", target, body=ROBOTS))
        names = ("verdict", "basis", "rule", "rule_line", "group_tokens", "protego_verdict", "divergent")
        connection.execute(
            "INSERT INTO target VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [number, target, *(list(one[n]) if n == "group_tokens" else one[n] for n in names)],
        )


def targets() -> list[str]:
    """Paths that no rule is about, and some that a rule is; what is appended changes the verdict of none."""
    rules = [line.split(b": ", 1)[1].decode() for line in ROBOTS.splitlines()[1:]]
    return [*PATHS, *(f"{rule}page" for rule in rules if "*" not in rule)][:16]


def _exchanges(connection: duckdb.DuckDBPyConnection, first: int, done: int, count: int, per_seal: int) -> None:
    """Fill the tables ``decision`` and ``completion`` with the exchanges of one segment."""
    digest = hashlib.sha256(ROBOTS).hexdigest()
    # Exchange n of the segment: decision at 2n plus one for every seal before it, its completion right after.
    connection.execute(f"""
        CREATE OR REPLACE TABLE decision AS
        SELECT {sql_quote(LOG)} AS log, {first} + 2 * n + n // {per_seal} AS seq, 1::INTEGER AS v,
          make_timestamp({logs.START + logs.SECOND} + ({done} + n) * 5000) AS recorded_at,
          substr(md5(({done} + n)::VARCHAR), 1, 32) AS exchange_id, NULL::VARCHAR AS trace_id,
          'alpha' AS crawler, 'AlphaBot' AS product_token,
          '10.0.0.' || (n % 200) AS client, 'AlphaBot/1.0 (+https://crawler.example/about)' AS user_agent,
          true AS token_in_user_agent, 'GET' AS method, 'http' AS scheme,
          'www.site' || (n % {SITES}) || '.example' AS host, 80::BIGINT AS port,
          t.target || CASE WHEN t.basis = 'robots_txt' THEN ''
            ELSE CASE WHEN n // 16 % 2 = 0 THEN '-' ELSE '?page=' END || ({done} + n) END AS target,
          NULL::VARCHAR AS target_b64, 'site' || (n % {SITES}) || '.example' AS site,
          (2 + n % {SITES})::BIGINT AS snapshot_seq, '{digest}' AS robots_sha256,
          (1000 + ({done} + n) * 5)::BIGINT AS robots_age_ms, t.verdict, t.basis, t.group_tokens, t.rule, t.rule_line,
          t.protego_verdict, t.divergent, {sql_quote(robots.PARSER)} AS parser, 'audit' AS mode,
          'forwarded' AS action, NULL::VARCHAR AS exemption, NULL::VARCHAR AS detail, NULL::BIGINT AS crawl_delay_ms,
          NULL::BIGINT AS request_interval_ms, 5000::BIGINT AS since_previous_ms, NULL::BIGINT AS held_ms,
          md5(random()::VARCHAR) AS salt, n
        FROM range({count}) AS r(n) JOIN target AS t ON t.which = n % {len(targets())}
    """)
    completions(connection)


def completions(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the table ``completion`` of ``decision``, which has a column ``n`` more, and both as they are stored."""
    connection.execute("""
        CREATE OR REPLACE TABLE completion AS SELECT log, seq + 1 AS seq, v,
          recorded_at + INTERVAL 2 MILLISECOND AS recorded_at, seq AS decision_seq, 'completed' AS outcome,
          NULL::VARCHAR AS error, 200::BIGINT AS status, 0::BIGINT AS request_bytes,
          (1000 + n % 9000)::BIGINT AS response_bytes, 'text/html; charset=utf-8' AS content_type, 'text' AS modality,
          sha256(salt) AS body_sha256, 12::BIGINT AS duration_ms, '192.0.2.1' AS server_ip,
          'HTTP/1.1' AS http_version, NULL::VARCHAR AS barrier FROM decision
    """)
    for kind in ("decision", "completion"):
        wanted = ", ".join(f"{name}::{sql_type} AS {name}" for name, sql_type in schema.stored_columns(kind))
        connection.execute(f"CREATE OR REPLACE TABLE {kind} AS SELECT {wanted} FROM {kind}")


def _segment(
    connection: duckdb.DuckDBPyConnection,
    root: Path,
    made: logs.LogBuilder,
    tree: Frontier,
    state: dict[str, int],
    count: int,
    per_seal: int,
    *,
    last: bool,
) -> None:
    first, done = state["seq"], state["done"]
    seals = -(-count // per_seal)
    extra = 1 if last else 0  # the record of the stop, before the last seal
    _exchanges(connection, first, done, count, per_seal)
    size = 2 * count + seals + extra
    directory = root / "segments" / LOG / f"{first:012d}-{first + size - 1:012d}"
    directory.mkdir(parents=True)
    leaves = leaves_between(connection, first, size)
    ending: list[tuple[int, records.Record]] = []
    for number in range(seals):
        low = number * (2 * per_seal + 1)
        covered = min(2 * per_seal, 2 * count - number * 2 * per_seal)
        through = done + min((number + 1) * per_seal, count)
        at = records.Instant(logs.START + logs.SECOND + through * 5000 + 4000)
        if last and number == seals - 1:
            stop = records.Run(**{**_run(made), "recorded_at": at, "event": "stop", "reason": "signal"})
            ending.append((first + low + covered, stop))
            leaves[low + covered] = schema.leaf(schema.parse_entry(logs.entry(stop)))
            covered += 1
        seal = records.Seal(
            recorded_at=at,
            seal_index=state["seal"],
            first_seq=first + low,
            rows=covered,
            root=merkle_root(leaves[low : low + covered]).hex(),
            reason="shutdown" if last and number == seals - 1 else "interval",
            decisions=through,
            forwarded=through,
            completions=through,
            dropped=0,
            in_flight=0,
            monotonic_ms=(at - logs.START) // 1000,
            settings_sha256=_run(made)["settings_sha256"],
        )
        state["seal"] += 1
        tree.append(schema.leaf(schema.parse_entry(logs.entry(seal))))
        ending.append((first + low + covered, seal))
    logs.write_segment(directory, LOG, ending)
    for kind, order in (("decision", "site, recorded_at, seq"), ("completion", "seq")):
        path = sql_quote(str(directory / f"{kind}.parquet"))
        connection.execute(f"COPY (SELECT * FROM {kind} ORDER BY {order}) TO {path} (FORMAT parquet, COMPRESSION zstd)")
    state["seq"], state["done"] = first + size, done + count


def _run(made: logs.LogBuilder) -> dict[str, Any]:
    return asdict(made.records[0])


def leaves_between(connection: duckdb.DuckDBPyConnection, first: int, size: int) -> list[bytes]:
    """The leaves of the decisions and completions in the ``size`` places from ``first`` on; empty for other places."""
    made = [b""] * size
    for kind in ("decision", "completion"):
        held = "".join(f", NULL::VARCHAR AS {name}" for name, _ in schema.withheld_columns(kind))
        selected = leaf_select(kind, f"(SELECT *{held} FROM {kind})")
        for _, seq, leaf in connection.execute(selected).fetchall():
            made[seq - first] = bytes.fromhex(leaf)
    return made


def run(root: Path, replay: bool) -> None:
    """Verify it and print rows/s and peak RSS."""
    from reports.verify import verify

    began, worked = time.perf_counter(), time.process_time()
    answer = verify(str(root), replay=replay)
    took, worked = time.perf_counter() - began, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rate = answer["records"] / worked
    figures = f"{took:.1f} s, {rate:,.0f} rows/s of CPU time, {peak:.0f} MiB at most"
    print(f"{answer['result']}: {answer['records']} records in {figures}")


def main() -> None:
    """Generate a log, or verify one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("generate", "run"))
    parser.add_argument("directory", type=Path)
    parser.add_argument("exchanges", type=lambda text: int(text.replace("_", "")), nargs="?", default=250_000)
    parser.add_argument("--no-replay", action="store_true")
    parser.add_argument("--per-segment", type=int, default=PER_SEGMENT, metavar="EXCHANGES")
    parser.add_argument("--per-seal", type=int, default=PER_SEAL, metavar="EXCHANGES")
    arguments = parser.parse_args()
    if arguments.command == "generate":
        generate(arguments.directory, arguments.exchanges, arguments.per_segment, arguments.per_seal)
    else:
        run(arguments.directory, not arguments.no_replay)


if __name__ == "__main__":
    main()
