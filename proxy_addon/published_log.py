"""What a log's segments and checkpoint say of it: its seals, what was open, and whether the head bears them out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb

from crawl_audit import schema
from crawl_audit.errors import LogFormatError
from crawl_audit.records import Incident, Instant
from crawl_audit.seal import parse_checkpoint, parse_note
from crawl_audit.segment_sql import entry_select, exact_glob
from proxy_addon.chain import Chain
from proxy_addon.log_directory import LogDirectory
from proxy_addon.quarantine import incident
from proxy_addon.shipped_log import kept_files


def published_seals(directory: LogDirectory, log: str) -> list[tuple[int, dict[str, Any]]]:
    """(seq, entry) of every seal in a log's published segments, in order, and of those that were shipped and left."""
    left = [exact_glob(str(file)) for file in kept_files(directory, log, "seal")]
    files = left + _files(directory, log, "seal")
    if not files:
        return []
    names = [name for name, _ in schema.stored_columns("seal")]
    with duckdb.connect(":memory:") as connection:
        rows = connection.execute(f"{entry_select('seal', 'read_parquet(?)')} ORDER BY seq", [files]).fetchall()
    entries = [dict(zip(names, row, strict=True)) for row in rows]
    return [(row["seq"], schema.from_row("seal", row)) for row in entries]


def open_in_segments(directory: LogDirectory, log: str) -> list[tuple[int, Instant]]:
    """(seq, recorded_at) of forwarded decisions in a log's published segments without completion in them."""
    decisions, completions = (_files(directory, log, kind) for kind in ("decision", "completion"))
    if not decisions:
        return []
    with duckdb.connect(":memory:") as connection:
        open_decisions = connection.execute(
            "SELECT seq, epoch_us(recorded_at) FROM read_parquet(?) WHERE action = 'forwarded'", [decisions]
        ).fetchall()
        ended: set[tuple[int]] = set()
        if completions:
            ended.update(connection.execute("SELECT decision_seq FROM read_parquet(?)", [completions]).fetchall())
    return [(seq, at) for seq, at in open_decisions if (seq,) not in ended]


def recorded_in_segments(directory: LogDirectory, log: str, exchange_ids: Sequence[str]) -> set[str]:
    """Which of some exchanges have a decision in a log's published segments."""
    files = _files(directory, log, "decision")
    if not files or not exchange_ids:
        return set()
    with duckdb.connect(":memory:") as connection:
        rows = connection.execute(
            "SELECT exchange_id FROM read_parquet(?) WHERE exchange_id IN (SELECT unnest(?::VARCHAR[]))",
            [files, list(exchange_ids)],
        ).fetchall()
    return {row[0] for row in rows}


def grown(
    directory: LogDirectory, log: str, sealed: Sequence[tuple[int, dict[str, Any]]], incidents: list[Incident]
) -> Chain | None:
    """Compare the tree of a log's seals with its checkpoint; the chain to be signed where it has grown.

    A checkpoint that the seals do not bear out is evidence of a loss, and stays as it is.
    """
    seals = [entry for _, entry in sealed]
    path = directory.checkpoint(log)
    signed = None
    if path.exists():
        try:
            signed = parse_checkpoint(parse_note(path.read_text(encoding="utf-8")).text)
        except (LogFormatError, UnicodeDecodeError) as error:
            incidents.append(incident("checkpoint_mismatch", f"The checkpoint of {log} is malformed: {error}"))
            return None
    if [entry["seal_index"] for entry in seals] != list(range(len(seals))):
        incidents.append(incident("checkpoint_mismatch", f"Seals of the log {log} are missing."))
        return None
    chain, agreed = Chain(log), signed is None or signed.size == 0
    for entry in seals:
        chain.add(entry)
        head = chain.head()
        agreed = agreed or (signed is not None and (head.size, head.root) == (signed.size, signed.root))
    if signed is not None and not agreed:
        incidents.append(
            incident(
                "checkpoint_mismatch",
                f"The checkpoint of {log} states {signed.size} seals with root {signed.root.hex()}, which its"
                f" {len(seals)} seals do not bear out: records are missing or were changed.",
            )
        )
    elif seals and (signed is None or signed.size < len(seals)):
        return chain
    return None


def _files(directory: LogDirectory, log: str, kind: str) -> list[str]:
    """The files of one kind of one log, as DuckDB wants them named."""
    return [exact_glob(str(file)) for file in sorted((directory.segments / log).glob(f"*/{kind}.parquet"))]
