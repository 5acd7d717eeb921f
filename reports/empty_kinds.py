"""The empty file of every kind that a log directory has, so that a kind of which there is no record reads as none."""

from __future__ import annotations

from pathlib import Path

import duckdb

from crawl_audit.remote_layout import KINDS, schema_key
from crawl_audit.segment_sql import empty_select, sql_quote


def write_empty_kinds(root: Path) -> None:
    """Write what is missing of ``segments/schema/`` in the log directory ``root``."""
    missing = [kind for kind in KINDS if not (root / schema_key(kind)).exists()]
    if not missing:
        return
    with duckdb.connect() as connection:
        for kind in missing:
            place = root / schema_key(kind)
            place.parent.mkdir(parents=True, exist_ok=True)
            made = place.with_name(place.name + ".new")
            connection.execute(f"COPY ({empty_select(kind)}) TO {sql_quote(str(made))} (FORMAT parquet)")
            made.rename(place)
