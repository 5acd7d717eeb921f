"""Fleets for tests: sidecars whose logs run now, a fleet log over them, and what an auditor holds of it."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from crawl_audit.records import Instant
from crawl_audit.segment_sql import typed_select
from tests import logs
from tests.logs import LogBuilder
from tests.reports.command import Ran, crawl_audit

NAME = "crawl.example/fleet"


def ago(seconds: float) -> Instant:
    """An instant so many seconds before now."""
    return Instant(int((time.time() - seconds) * 1_000_000))


def log_name(node: str, number: int) -> str:
    """The name of the ``number``-th log of a node."""
    stamp = f"2026111{number // 24 % 10}T{number % 24:02d}0000Z"
    return f"{node}-{stamp}-{number:08x}"


def running(
    root: Path, node: str, *, number: int = 0, seals: int = 3, since_s: float = 40, idle_s: int = 7_200, **changes: Any
) -> LogBuilder:
    """An open log of a sidecar: ``seals`` published segments, a second apart, the first ``since_s`` ago.

    It states such a long interval of idle seals that no test is so slow that the log falls silent meanwhile.
    """
    made = LogBuilder(root, log_name(node, number), signing=True)
    settings = json.dumps({"logging": {"idle_seal_interval_s": idle_s}})
    digest = hashlib.sha256(settings.encode()).hexdigest()
    made.start(ago(since_s), node=node, settings=settings, settings_sha256=digest, **changes)
    made.publish(ago(since_s))
    go_on(made, seals - 1, since_s=since_s - 1)
    return made


def go_on(made: LogBuilder, seals: int, *, since_s: float = 5) -> None:
    """Let a log have more segments, each with a record of a robots.txt and a seal."""
    for number in range(seals):
        at = ago(since_s - number)
        made.add(logs.snapshot(f"h{made.seals}.example", None, at))
        made.publish(at)


@dataclass
class Fleet:
    """A fleet in a directory: ``logs/<node>`` are the sidecars' log directories, ``fleet`` is the fleet log."""

    directory: Path
    sidecars: dict[str, LogBuilder]

    @classmethod
    def made(cls, directory: Path, nodes: int = 3, **given: Any) -> Fleet:
        """A fleet of ``nodes`` running sidecars, all enrolled, with one round."""
        names = [f"n{number}" for number in range(nodes)]
        fleet = cls(directory, {name: running(directory / "logs" / name, name, **given) for name in names})
        fleet.enrol("--from", directory / "logs", "--name", NAME)
        fleet.collect()
        return fleet

    def copy(self, directory: Path) -> Fleet:
        """The same fleet in another directory, which does not exist yet; to be changed."""
        shutil.copytree(self.directory, directory)
        sidecars = {
            name: replace(one, root=directory / "logs" / name, records=[*one.records])
            for name, one in self.sidecars.items()
        }
        return Fleet(directory, sidecars)

    @property
    def sources(self) -> Path:
        return self.directory / "logs"

    @property
    def path(self) -> Path:
        return self.directory / "fleet"

    @property
    def checkpoint(self) -> Path:
        (found,) = (self.path / "checkpoints").glob("*.checkpoint")
        return found

    def enrol(self, *arguments: object) -> dict[str, Any]:
        ran = crawl_audit("fleet", "enrol", self.path, *arguments, "--format", "json")
        assert ran.code == 0, ran
        (self.directory / "vkey").write_text(ran.json["key"] + "\n")
        return dict(ran.json)

    def collect(self, *arguments: object, code: int = 0) -> dict[str, Any]:
        ran = crawl_audit("fleet", "collect", self.path, self.sources, *arguments, "--format", "json")
        assert ran.code == code, ran
        return dict(json.loads(ran.out))

    def verify(self, *arguments: object, sources: bool = True, pin: bool = True) -> Ran:
        given = [self.sources] if sources else []
        held = ["--pin", self.checkpoint] if pin else []
        trust = ("--trust", self.directory / "vkey")
        return crawl_audit("fleet", "verify", self.path, *given, *held, *trust, *arguments, "--format", "json")


def states(answer: dict[str, Any]) -> dict[str, str]:
    """The state of each sidecar's log, by node, in the answer of a verification."""
    return {one["node"]: one["state"] for one in answer["sidecars"]}


def errors(answer: dict[str, Any]) -> set[str]:
    """The checks that found an error."""
    return {one["check"] for one in answer["findings"] if one["severity"] == "error"}


def many(root: Path, nodes: int, seals: int = 1, *, since_s: float = 30) -> None:
    """Logs of many sidecars in one log directory, run records and seals alone, through one connection: quickly made.

    Each seal is a segment; the first covers the run record, the others nothing, as those of idle sidecars do.
    """
    LogBuilder(root)
    (root / "checkpoints").mkdir()
    with duckdb.connect() as connection:
        for node in range(nodes):
            made = LogBuilder(root, log_name(f"s{node:03d}", 0), signing=True)
            made.start(ago(since_s), node=f"s{node:03d}")
            for number in range(seals):
                made.seal(ago(since_s - since_s * number / seals))
            for number in range(seals):
                first = 0 if number == 0 else number + 1
                _put(connection, made, first, number + 1)
            (root / "checkpoints" / f"{made.log}.checkpoint").write_text(made.note())


def _put(connection: duckdb.DuckDBPyConnection, made: LogBuilder, first: int, last: int) -> None:
    directory = made.root / "segments" / made.log / f"{first:012d}-{last:012d}"
    directory.mkdir(parents=True)
    for kind in ("run", "seal") if first == 0 else ("seal",):
        entries = [(seq, logs.entry(made.records[seq])) for seq in range(first, last + 1)]
        values = ", ".join(f"({seq}::BIGINT, '{text.replace("'", "''")}')" for seq, text in entries)
        source = f"(SELECT * FROM (VALUES {values}) AS e(seq, body))"
        connection.execute(f"COPY ({typed_select(kind, made.log, source)}) TO '{directory}/{kind}.parquet'")
