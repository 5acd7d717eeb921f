"""Attacks on the files of a log, one at a time: each cell, each row, each seal; what `verify` must say of each.

``python -m tests.reports.attacks`` makes every single one (minutes); test_attacks.py takes one row of each kind.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import duckdb

from crawl_audit import records, schema
from crawl_audit.records import Action, Instant, Mode, Verdict
from reports import brought, verify
from tests import logs
from tests.logs import ROBOTS, LogBuilder, after

HOST = "a.example.com"
PERMISSIVE = b"User-agent: *\nAllow: /\n"


def built(root: Path, *, key_seed: str = "", leave_out: int | None = None, closed: bool = True) -> LogBuilder:
    """A log with a record of every kind, in three segments; ``leave_out``: the index of a record never written."""
    made = LogBuilder(root, signing=True, key_seed=key_seed)
    written = iter(range(1000))

    def add(record: records.Record) -> int:
        return -1 if next(written) == leave_out else made.add(record)

    made.start(after(0))
    add(logs.robots_body(ROBOTS, after(0)))
    asked = made.add(logs.snapshot(HOST, ROBOTS, after(0)))
    add(_signal(asked))
    for number, target in enumerate(("/a", "/private/x", "/b?c=d")):
        at = after(1 + number)
        decided = logs.decision(
            HOST, target, at, body=ROBOTS, snapshot_seq=asked, robots_age_ms=(at - after(0)) // 1000, mode=Mode.ENFORCE
        )
        decided = replace(decided, trace_id=f"{number + 1:032x}")
        if decided.verdict is Verdict.DISALLOWED:
            decided = replace(decided, action=Action.DENIED)
        seq = made.add(decided)
        if decided.action is Action.FORWARDED:
            made.add(logs.completion(seq, Instant(at + 250_000)))
        if number < 2:
            (made.publish if number else made.seal)(at)
    add(_tunnel())
    add(_incident())
    made.seal(after(10))
    if closed:
        made.close(after(12))
    else:
        made.publish(after(12))
    return made


def _signal(snapshot_seq: int) -> records.Signal:
    return records.Signal(
        recorded_at=after(0),
        exchange_id=None,
        snapshot_seq=snapshot_seq,
        protocol="crawl-delay",
        raw="Crawl-delay: 1",
        value="1",
        scope="*",
    )


def _tunnel() -> records.Tunnel:
    return records.Tunnel(
        recorded_at=after(6),
        exchange_id=None,
        crawler="news",
        client="192.0.2.7:5",
        protocol="connect",
        host=HOST,
        port=443,
        outcome="opened",
        detail=None,
    )


def _incident() -> records.Incident:
    return records.Incident(
        recorded_at=after(7),
        incident="malformed_request",
        exchange_id=None,
        crawler=None,
        client="192.0.2.7:6",
        detail="The request has two Content-Length fields.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Auditor:
    """What somebody outside holds: the head of the whole log and its key."""

    brought: brought.Brought

    @classmethod
    def of(cls, made: LogBuilder, directory: Path, *, pinned: bool = True) -> Auditor:
        """The auditor who saw ``made``, with files of theirs in ``directory``."""
        directory.mkdir(exist_ok=True)
        pin, key = directory / "pin.txt", directory / "key.txt"
        pin.write_text(made.note(), encoding="utf-8")
        key.write_text(made.signer.verifier.vkey + "\n", encoding="utf-8")
        return cls(brought=brought.read(pins=[str(pin)] if pinned else [], trust=[str(key)]))

    def verdict(self, root: Path) -> tuple[str, set[str]]:
        """(result, ids of the checks that found an error)."""
        answer = verify.verify(str(root), brought=self.brought)
        return answer["result"], {f["check"] for f in answer["findings"] if f["severity"] == "error"}


def files(made: LogBuilder) -> Iterator[tuple[str, Path]]:
    """(kind, file) of every file of the log's segments."""
    for path in sorted((made.root / "segments" / made.log).glob("*/*.parquet")):
        yield path.stem, path


def rewrite(path: Path, select: str) -> None:
    """Replace a file by what ``select`` makes of its rows, which are ``r``."""
    scratch = path.with_name("scratch.parquet")
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE r AS FROM read_parquet('{path}')")
        connection.execute(f"COPY ({select}) TO '{scratch}' (FORMAT parquet)")
    scratch.replace(path)


def seqs(path: Path) -> list[int]:
    """The rows of a file."""
    with duckdb.connect() as connection:
        return [seq for (seq,) in connection.execute(f"SELECT seq FROM read_parquet('{path}') ORDER BY seq").fetchall()]


def changes(kind: str, name: str) -> list[str]:
    """SQL expressions that each make another value of the right type of a column."""
    if name == "log":
        return ["'node9-20260101T000000Z-00000009'"]
    if name == "salt":
        return ["'ffffffffffffffffffffffffffffffff'"]
    if name in ("seq", "v"):
        return [f"{name} + 1", f"{name} + 100000"]
    column = next(column for column in schema.columns(kind) if column.name == name)
    if isinstance(column.python_type, type) and issubclass(column.python_type, StrEnum):
        words = list(column.python_type)
        return [f"CASE {name} WHEN '{words[0]}' THEN '{words[1]}' ELSE '{words[0]}' END"]
    other = {
        "TIMESTAMP": f"coalesce({name}, make_timestamp(0)) + INTERVAL 1 MICROSECOND",
        "BIGINT": f"coalesce({name}, 0) + 1",
        "BOOLEAN": f"NOT {name}",
        "VARCHAR": f"coalesce({name}, '') || 'x'",
        "VARCHAR[]": f"list_append({name}, 'x')",
        "BLOB": f"{name} || 'x'::BLOB",
    }[column.sql_type]
    return [other, f"CASE WHEN {name} IS NULL THEN {other} END"]  # to another value, and to nothing at all


def expected(kind: str, name: str) -> set[str]:
    """Check ids of which at least one must be among the errors when a cell of this column was changed."""
    if name in ("log", "seq"):
        return {"R1", "R2", "R3", "F3", "S1", "S2"}
    if name == "v":
        return {"F3"}
    if kind == "seal":
        return {"R4", "S1", "S2", "S3", "H2", "H4", "F3"}
    return {"B1", "F3", "R6"} if name == "body" else {"R4", "F3"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell to be changed, and to what."""

    kind: str
    file: str
    seq: int
    name: str
    change: str


def cells(made: LogBuilder) -> Iterator[Cell]:
    """Every cell of every file of a log, with each change that is made to it."""
    for kind, path in files(made):
        for seq in seqs(path):
            for name, _ in schema.stored_columns(kind):
                for change in changes(kind, name):
                    yield Cell(kind=kind, file=str(path.relative_to(made.root)), seq=seq, name=name, change=change)


def attacked(made: LogBuilder, cell: Cell, directory: Path) -> Path:
    """A copy of the log with that one cell changed."""
    root = directory / "attacked"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(made.root, root)
    select = f"SELECT * REPLACE (CASE WHEN seq = {cell.seq} THEN {cell.change} ELSE {cell.name} END AS {cell.name})"
    rewrite(root / cell.file, f"{select} FROM r")
    return root


def unchanged(made: LogBuilder, cell: Cell) -> bool:
    """Whether the change gives what was there: nothing, of nothing."""
    with duckdb.connect() as connection:
        query = f"SELECT ({cell.change}) IS NOT DISTINCT FROM {cell.name} FROM read_parquet(?) WHERE seq = ?"
        return bool(connection.execute(query, [str(made.root / cell.file), cell.seq]).fetchall()[0][0])


def main() -> int:
    """Change every cell there is; 1 where one of them was not found under an id expected for it."""
    missed: list[Any] = []
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        made = built(directory / "log")
        auditor = Auditor.of(made, directory / "auditor")
        every = [cell for cell in cells(made) if not unchanged(made, cell)]
        for number, cell in enumerate(every, 1):
            result, found = auditor.verdict(attacked(made, cell, directory))
            if result != "failed" or not found & expected(cell.kind, cell.name):
                missed.append((cell, result, found))
                print("not found as expected:", cell, result, sorted(found), file=sys.stderr)
            if sys.stderr.isatty():
                print(f"\r{number}/{len(every)}", end="", file=sys.stderr)
    print(f"{len(every)} changes of one cell, {len(missed)} not found as expected")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
