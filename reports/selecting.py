"""Which records of a log directory a domain, a URL, an exchange or a period means, for those who handle them.

A decision is in a scope by what it asks for and when; a completion, signal, tunnel, incident, snapshot or robots.txt
by the decision it belongs to.  Where a target is erased nobody can say that it was another one: it counts as meant
where ``unknown`` is wanted, which is what a legal hold wants.
"""

from __future__ import annotations

from typing import Any

from reports.matching import Subject, equivalent_form
from reports.period import Period
from reports.rewriting import Bench

_DECISIONS = """
INSERT INTO chosen SELECT log, seq, 'decision' FROM decision
WHERE ($everything::BOOLEAN OR (
        ($site::VARCHAR IS NULL OR site = $site::VARCHAR)
    AND ($site::VARCHAR IS NOT NULL OR host = $host::VARCHAR
         OR ($subdomains::BOOLEAN AND ends_with(host, '.' || $host::VARCHAR)))
    AND ($scheme::VARCHAR IS NULL OR scheme = $scheme::VARCHAR)
    AND ($port::BIGINT IS NULL OR port = $port::BIGINT)
    AND ($targets::VARCHAR[] IS NULL OR list_contains($targets::VARCHAR[], target)
         OR ($unknown::BOOLEAN AND target IS NULL))))
  AND ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
"""
# A connection has a host, at most a port, and no site column: the hosts of a site are those its decisions name.
_TUNNELS = """
INSERT INTO chosen SELECT log, seq, 'tunnel' FROM tunnel AS t
WHERE ($everything::BOOLEAN OR ($targets::VARCHAR[] IS NULL AND (
        host = $host::VARCHAR
        OR (($site::VARCHAR IS NOT NULL OR $subdomains::BOOLEAN) AND ends_with(host, '.' || $host::VARCHAR)))
    AND ($port::BIGINT IS NULL OR port = $port::BIGINT)))
  AND ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
"""
_INCIDENTS = """
INSERT INTO chosen SELECT log, seq, 'incident' FROM incident
WHERE $everything::BOOLEAN
  AND ($start::TIMESTAMP IS NULL OR recorded_at >= $start::TIMESTAMP)
  AND ($end::TIMESTAMP IS NULL OR recorded_at < $end::TIMESTAMP)
"""
# Snapshots of the scopes that the decisions ask of, until the last of them: enough to see that the latest was used.
_SNAPSHOTS = """
INSERT INTO chosen
WITH asked AS (
    SELECT d.log, d.scheme, d.host, d.port, min(d.snapshot_seq) AS oldest, max(d.seq) AS last
    FROM decision AS d JOIN chosen AS c ON c.log = d.log AND c.seq = d.seq AND c.kind = 'decision' GROUP BY ALL)
SELECT s.log, s.seq, 'snapshot' FROM snapshot AS s
JOIN asked AS a ON a.log = s.log AND a.scheme = s.scheme AND a.host = s.host AND a.port = s.port
               AND s.seq >= a.oldest AND s.seq < a.last
"""
_FOLLOWING = (
    """INSERT INTO chosen SELECT f.log, f.seq, 'completion' FROM completion AS f
       JOIN chosen AS c ON c.log = f.log AND c.seq = f.decision_seq AND c.kind = 'decision'""",
    """INSERT INTO chosen SELECT b.log, min(b.seq), 'robots_body' FROM robots_body AS b
       JOIN snapshot AS s ON s.log = b.log AND s.robots_sha256 = b.robots_sha256
       JOIN chosen AS c ON c.log = s.log AND c.seq = s.seq AND c.kind = 'snapshot' GROUP BY b.log, b.robots_sha256""",
    """INSERT INTO chosen SELECT f.log, f.seq, 'signal' FROM signal AS f
       JOIN chosen AS c ON c.log = f.log AND c.seq = f.snapshot_seq AND c.kind = 'snapshot'""",
)
_OF_EXCHANGES = """
INSERT INTO chosen SELECT f.log, f.seq, $kind FROM query_table($kind) AS f
WHERE EXISTS (SELECT 1 FROM decision AS d JOIN chosen AS c ON c.log = d.log AND c.seq = d.seq AND c.kind = 'decision'
              WHERE d.log = f.log AND d.exchange_id = f.exchange_id)
"""
_BY_EXCHANGE = "INSERT INTO chosen SELECT log, seq, $kind FROM query_table($kind) WHERE exchange_id = $exchange"


def choose(bench: Bench, subject: Subject | None, period: Period, *, unknown: bool = False) -> None:
    """Fill the table ``chosen(log, seq, kind)`` with the records on ``subject`` (None: everything) in ``period``."""
    _begin(bench)
    scope = _scope(bench, subject)
    limits = {"start": period.start, "end": period.end}
    asked = {**scope, **limits, "unknown": unknown}
    bench.connection.execute(_DECISIONS, asked)
    bench.connection.execute(_TUNNELS, {name: asked[name] for name in asked if name not in ("unknown", "scheme")})
    bench.connection.execute(_INCIDENTS, {"everything": scope["everything"], **limits})
    bench.connection.execute(_SNAPSHOTS)
    for statement in _FOLLOWING:
        bench.connection.execute(statement)
    for kind in ("signal", "tunnel", "incident"):
        bench.connection.execute(_OF_EXCHANGES.replace("$kind", f"'{kind}'"))
    _finish(bench)


def choose_exchange(bench: Bench, exchange: str) -> None:
    """Fill ``chosen`` with the records that name the exchange."""
    _begin(bench)
    for kind in ("decision", "tunnel", "incident"):
        bench.connection.execute(_BY_EXCHANGE.replace("$kind", f"'{kind}'"), {"exchange": exchange})
    _finish(bench)


def choose_record(bench: Bench, log: str, seq: int) -> None:
    """Fill ``chosen`` with one record by its place."""
    _begin(bench)
    for kind in ("decision", "tunnel", "incident"):
        found = f"INSERT INTO chosen SELECT log, seq, '{kind}' FROM {kind} WHERE log = $log AND seq = $seq"  # noqa: S608
        bench.connection.execute(found, {"log": log, "seq": seq})
    _finish(bench)


def _begin(bench: Bench) -> None:
    bench.connection.execute("CREATE OR REPLACE TEMP TABLE chosen (log VARCHAR, seq BIGINT, kind VARCHAR)")


def _finish(bench: Bench) -> None:
    bench.connection.execute("CREATE OR REPLACE TEMP TABLE chosen AS SELECT DISTINCT log, seq, kind FROM chosen")


def _scope(bench: Bench, subject: Subject | None) -> dict[str, Any]:
    empty: dict[str, Any] = dict.fromkeys(("site", "host", "scheme", "port", "targets"))
    if subject is None:
        return {**empty, "everything": True, "subdomains": False}
    scope = {
        "everything": False,
        "site": subject.site,
        "host": subject.host,
        "scheme": subject.scheme,
        "port": subject.port,
        "subdomains": subject.match_scope == "host and subdomains",
    }
    if subject.target is None:
        return {**scope, "targets": None}
    wanted = equivalent_form(subject.target)
    spelled = bench.rows("SELECT DISTINCT target FROM decision WHERE host = ? AND target IS NOT NULL", [subject.host])
    return {**scope, "targets": [target for (target,) in spelled if equivalent_form(target) == wanted]}
