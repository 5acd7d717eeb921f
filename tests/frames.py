"""The records of a log directory as polars frames, one per kind: what independent computations start from."""

from __future__ import annotations

from pathlib import Path

import polars

from crawl_audit import schema


def frames(root: Path) -> dict[str, polars.DataFrame]:
    """kind → every record of it in the segments under ``root``, columns as stored, TIMESTAMP as naive UTC datetimes.

    Only polars reads the files, so that nothing is shared with what is tested.
    """
    return {kind: _frame(root, kind) for kind in schema.KINDS}


def _frame(root: Path, kind: str) -> polars.DataFrame:
    files = sorted((root / "segments").glob(f"*/*/{kind}.parquet"))
    # A segment with values withheld has columns that the others lack.
    read = [polars.scan_parquet(file, glob=False, hive_partitioning=False) for file in files]
    return polars.concat(read, how="diagonal").collect()
