"""The views auditors query: SQL text over the segments of a log directory, and what every column means.

The names and columns here are a contract with other people's SQL (docs/log-format.md is generated from
:func:`documentation`).  Pure text: the writer puts the views into ``audit.duckdb``, the readers into a connection
of their own, and both therefore show the same thing.  Plain SQL, no feature newer than DuckDB 1.4.
"""

from __future__ import annotations

from dataclasses import dataclass

from crawl_audit import schema
from crawl_audit.errors import LogFormatError

# URL asked for, as Target.url writes it: brackets around an IPv6 address, no default port.
_URL = (
    "scheme || '://' || CASE WHEN host LIKE '%:%' THEN '[' || host || ']' ELSE host END"
    " || CASE WHEN (scheme = 'http' AND port = 80) OR (scheme = 'https' AND port = 443) THEN ''"
    " ELSE ':' || CAST(port AS VARCHAR) END || target"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewColumn:
    """One column of a view: its name, its DuckDB type, and what it means in one phrase."""

    name: str
    sql_type: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One view: its name, what a row of it is, and its columns in order."""

    name: str
    meaning: str
    columns: tuple[ViewColumn, ...]


_MEANINGS = {
    "decision": "one row per request: what was asked, the robots.txt in force, the verdict and what was done",
    "completion": "one row per forwarded request that ended: how",
    "exchange": "every decision with its completion, where there is one",
    "snapshot": "one row per robots.txt asked for: what came back and how long it holds",
    "robots_body": "the octets of every robots.txt, once per log",
    "signal": "one row per usage preference or pacing wish found in robots.txt, header or page",
    "tunnel": "one row per connection that is not a plain request: CONNECT, WebSocket, failed TLS",
    "incident": "one row per event that makes the log less than complete",
    "run": "one row per start and stop of the sidecar",
    "seal": "one row per sealed range of records: Merkle root and counters",
    "anchor": "one row per receipt of somebody outside who saw a head of the log",
    "gap": "one row per time in which requests left before their record was durable (`fail_open`)",
    "custody": "one row per value erased, range pruned and legal hold placed or released",
    "fleet_node": "one row per sidecar enrolled in a fleet, and per one retired",
    "fleet_head": "one row per log and round of the fleet's job: the head that was found, and its state",
    "violation": "exchanges that the site disallowed and that were forwarded nevertheless",
    "site": "one row per site (registrable domain): what was asked of it in all",
}
_IDENTITY = (
    ViewColumn(name="log", sql_type="VARCHAR", meaning="id of the log: one start of one sidecar"),
    ViewColumn(name="seq", sql_type="BIGINT", meaning="0-based position in the log, without gaps over all kinds"),
)
_JOINED_AT = ViewColumn(name="completed_at", sql_type="TIMESTAMP", meaning="when it ended; NULL: no completion")
# The columns of a completion that `exchange` shows besides `completed_at`.
_JOINED = (
    "outcome",
    "error",
    "status",
    "request_bytes",
    "response_bytes",
    "content_type",
    "modality",
    "body_sha256",
    "duration_ms",
    "server_ip",
    "http_version",
    "barrier",
)
# name, type, expression over `exchange`, meaning
_SITE = (
    ("site", "VARCHAR", "site", "registrable domain (Public Suffix List, ICANN part), or the address"),
    ("requests", "BIGINT", "count(*)", "requests decided on, /robots.txt asked for by the crawler included"),
    ("forwarded", "BIGINT", "count(*) FILTER (WHERE action = 'forwarded')", "of these, forwarded"),
    ("denied", "BIGINT", "count(*) FILTER (WHERE action = 'denied')", "of these, denied"),
    (
        "violations",
        "BIGINT",
        "count(*) FILTER (WHERE verdict = 'disallowed' AND action = 'forwarded')",
        "disallowed by the site and forwarded nevertheless",
    ),
    ("first_at", "TIMESTAMP", "min(recorded_at)", "first decision"),
    ("last_at", "TIMESTAMP", "max(recorded_at)", "last decision"),
    (
        "response_bytes",
        "BIGINT",
        "CAST(coalesce(sum(response_bytes), 0) AS BIGINT)",
        "octets of response bodies received, before content decoding",
    ),
    ("hosts", "BIGINT", "count(DISTINCT host)", "how many host names of the site were asked"),
)


def create_views(segments_root: str) -> list[str]:
    """Statements that create every view over ``segments_root`` (absolute path of the directory ``segments``).

    Each stands alone and may be run again.  Raises LogFormatError for a path no SQL text can name.
    """
    selects = {kind: _select(kind, segments_root) for kind in schema.KINDS}
    selects["exchange"] = _exchange()
    selects["violation"] = "SELECT * FROM exchange WHERE verdict = 'disallowed' AND action = 'forwarded'"
    site = ", ".join(f"{what} AS {name}" for name, _, what, _ in _SITE)
    selects["site"] = f"SELECT {site} FROM exchange GROUP BY site"
    order = sorted(_MEANINGS, key=lambda name: name in ("exchange", "violation", "site"))  # what they read comes first
    return [f"CREATE OR REPLACE VIEW {name} AS {selects[name]}" for name in order]


def stored_select(kind: str, segments_root: str) -> str:
    """SELECT of a kind exactly as stored, salt and schema version included: what verification reads."""
    names = ", ".join(name for name, _ in schema.stored_columns(kind))
    return f"SELECT {names} FROM {parquet(kind, segments_root)}"


def parquet(kind: str, segments_root: str) -> str:
    """The table function that reads every segment's file of ``kind``."""
    glob = f"{glob_literal(segments_root)}/*/*/{kind}.parquet"
    quoted = glob.replace("'", "''")
    # Directory names are ours to choose, but `a=b` must not turn into a column.
    return f"read_parquet('{quoted}', union_by_name = true, hive_partitioning = false)"


def glob_literal(path: str) -> str:
    """``path`` as a glob that matches nothing but itself: DuckDB's glob reads ``* ? [`` and a backslash."""
    if not path.startswith("/"):
        # A relative glob in a view resolves against whoever opens it, which is another directory tomorrow.
        raise LogFormatError(f"The log directory must be given as an absolute path, not {path!r}.")
    if "\\" in path or any(ord(character) < 0x20 for character in path):
        raise LogFormatError(f"The log directory has a backslash or control character in its path {path!r}: rename it.")
    return "".join(f"[{character}]" if character in "*?[" else character for character in path.rstrip("/"))


def documentation() -> tuple[View, ...]:
    """Every view with its columns, in the order :func:`create_views` shows them."""
    return tuple(View(name=name, meaning=meaning, columns=_columns(name)) for name, meaning in _MEANINGS.items())


def _columns(view: str) -> tuple[ViewColumn, ...]:
    if view == "site":
        return tuple(ViewColumn(name=name, sql_type=kind, meaning=meaning) for name, kind, _, meaning in _SITE)
    if view in ("exchange", "violation"):
        joined = {column.name: column for column in _columns("completion")}
        return (*_columns("decision"), _JOINED_AT, *(joined[name] for name in _JOINED))
    made = list(_IDENTITY)
    for column in schema.columns(view):
        made.append(ViewColumn(name=column.name, sql_type=column.sql_type, meaning=column.meaning))
        if view == "decision" and column.name == "target":
            made.append(ViewColumn(name="url", sql_type="VARCHAR", meaning="URL asked for, from the columns before it"))
    return tuple(made)


def _select(kind: str, segments_root: str) -> str:
    derived = {"url": f"{_URL} AS url"}
    wanted = ", ".join(derived.get(column.name, column.name) for column in _columns(kind))
    return f"SELECT {wanted} FROM {parquet(kind, segments_root)}"


def _exchange() -> str:
    ours = ", ".join(f"d.{column.name}" for column in _columns("decision"))
    theirs = ", ".join(f"c.{name}" for name in _JOINED)
    joined = "decision AS d LEFT JOIN completion AS c ON c.log = d.log AND c.decision_seq = d.seq"
    return f"SELECT {ours}, c.recorded_at AS completed_at, {theirs} FROM {joined}"
