"""The fault matrix: ``python -m tests.faults [--quick] [--json FILE] [NAME...]``.

Exit code 1 where a promise was broken, a control did not fail, or a tool or right is missing.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.faults import results
from tests.faults.processes import MissingError
from tests.faults.results import Row

FAMILIES = {
    "kills": "kill -9 at random moments",
    "syscalls": "kill -9, EIO and ENOSPC at every system call on the log's files",
    "power": "power cuts",
    "disk": "a disk that fails or hangs under the running sidecar",
    "space": "a full disk and a read-only one",
    "memory": "too little memory",
    "clock": "a clock that jumps",
    "descriptors": "no more file descriptors",
    "connections": "ten thousand connections",
    "soak": "many requests with random faults",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the named families, or all but the soak."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few of each, for every test run")
    parser.add_argument("--requests", type=int, help="how many requests the soak sends")
    parser.add_argument("--json", type=Path, help="merge the results into this file")
    parser.add_argument("names", nargs="*", choices=[*FAMILIES, []], help="default: all but the soak")
    given = parser.parse_args(arguments)
    failed = False
    for name in given.names or [name for name in FAMILIES if name != "soak"]:
        more = {"requests": given.requests} if name == "soak" else {}
        rows: list[Row] = []
        for row in family(name, quick=given.quick, **more):
            rows.append(row)
            if given.json:
                results.merge(given.json, rows, quick=given.quick)
        failed |= not all(row.passed for row in rows)
    return int(failed)


def family(name: str, *, quick: bool, **more: Any) -> Iterator[Row]:
    """The rows of one family, told as they come."""
    module, began = importlib.import_module(f"tests.faults.{name}"), time.monotonic()
    try:
        for row in module.run(quick=quick, say=_say, **more):
            row.seconds = round(time.monotonic() - began, 1)
            began = time.monotonic()
            _tell(row)
            yield row
    except (MissingError, AssertionError, OSError, subprocess.SubprocessError) as error:
        failed = Row(family=name, fault=FAMILIES[name], runs=0, records=0, lost=0, duplicated=0, control="")
        failed.failures.append(str(error))
        _tell(failed)
        yield failed


def _say(sentence: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{sentence}")
        sys.stderr.flush()


def _tell(row: Row) -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
    verdict = "passed" if row.passed else "FAILED"
    site = "" if row.unrecorded is None else f", {row.unrecorded} unrecorded"
    sys.stdout.write(
        f"{verdict}  {row.fault}: {row.runs} runs, {row.records} records, {row.lost} lost,"
        f" {row.duplicated} duplicated{site}; {row.seconds:.0f} s\n        control: {row.control}\n"
    )
    for sentence in row.failures:
        sys.stdout.write(f"        {sentence}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
