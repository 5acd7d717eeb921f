"""The leaves of the decisions an answer rests on: a list that pins the evidence down without giving it away.

Each line of the list names one decision by log, ``seq`` and leaf. The leaf is what the seal of that record commits
to (docs/log-format.md), so the list can be held against the log by whoever has it, now or under a legal hold later.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import IO, Any

from crawl_audit import views
from crawl_audit.errors import ConfigurationError
from crawl_audit.leaf_sql import leaf_text
from reports.log import Log, sql_text
from reports.rewriting import Connection, relation

HEADER = "log,seq,leaf\r\n"
_ROWS_AT_ONCE = 10_000


def evidence_digest(log: Log, parameters: dict[str, Any], path: str | None = None) -> str:
    """SHA-256 of the list of matched decisions by (log, seq) as CSV; the list itself goes to the file ``path``.

    ``parameters`` are those of every query about a subject. Raises ConfigurationError where the file cannot be written.
    """

    def listed(connection: Connection) -> str:
        connection.execute(_view(log))
        found = connection.execute(sql_text("inquiry_leaves"), parameters)
        if path is None:
            return _streamed(found, None)
        try:
            with Path(path).open("wb") as stream:
                return _streamed(found, stream)
        except OSError as error:
            raise ConfigurationError(f"The list of evidence cannot be written to {path}: {error.strerror}.") from error

    return log.steadily(listed)


def _view(log: Log) -> str:
    files = sorted(Path(log.files.segments_root).glob("*/*/decision.parquet"))
    wanted = "log, seq, site, scheme, host, port, target, recorded_at"
    leaf = f"sha256('\\x00'::BLOB || encode({leaf_text('decision')}))"
    # Without files of its own here the log is one that Spark reads elsewhere: all of them are one relation there.
    every = f"SELECT * FROM {views.parquet('decision', log.files.segments_root)}"  # noqa: S608 - quoted there
    source = relation("decision", files) if files else every
    return f"CREATE OR REPLACE TEMP VIEW decision_leaf AS SELECT {wanted}, {leaf} AS leaf FROM ({source})"  # noqa: S608 - quoted there


def _streamed(found: Connection, stream: IO[bytes] | None) -> str:
    digest = hashlib.sha256(HEADER.encode())
    if stream is not None:
        stream.write(HEADER.encode())
    while rows := found.fetchmany(_ROWS_AT_ONCE):
        text = "".join([f"{log},{seq},{leaf}\r\n" for log, seq, leaf in rows]).encode("utf-8", "surrogatepass")
        digest.update(text)
        if stream is not None:
            stream.write(text)
    return digest.hexdigest()
