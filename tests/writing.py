"""A writer for tests in a directory of its own, and everything that can be read of a log afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb

from crawl_audit import records, schema
from crawl_audit.errors import CrawlAuditError, LogUnavailable
from crawl_audit.records import Action, Basis, Instant, Mode, Verdict
from crawl_audit.segment_sql import entry_select, exact_glob
from proxy_addon.live import remove
from proxy_addon.log_directory import LogDirectory
from proxy_addon.publisher import DamagedError, Publisher
from proxy_addon.quarantine import is_damage
from proxy_addon.recovery import Recovered, finish, give_up, put_all_away
from proxy_addon.segments import Segment, publish
from proxy_addon.writer import Writer

SETTINGS_SHA256 = "5e" * 32
NEVER = 10_000.0
"""Seconds: what must not happen by itself during a test."""
QUIET: dict[str, Any] = {
    "seal_interval_s": NEVER,
    "idle_seal_interval_s": NEVER,
    "first_segment_s": NEVER,
    "idle_segment_s": NEVER,
    "reserve_bytes": 0,
}
"""Limits under which nothing happens that the test does not ask for."""


def now() -> Instant:
    return Instant(time.time_ns() // 1000)


def decision(number: int, action: Action = Action.FORWARDED, **changes: Any) -> records.Decision:
    """A decision told from others by its exchange id."""
    values: dict[str, Any] = {
        "recorded_at": now(),
        "exchange_id": f"exchange-{number}",
        "crawler": "alpha",
        "product_token": "AlphaBot",
        "client": "192.0.2.1:40000",
        "user_agent": "AlphaBot/1.0",
        "token_in_user_agent": True,
        "method": "GET",
        "scheme": "https",
        "host": f"www.site{number % 7}.example",
        "port": 443,
        "target": f"/page/{number}?q=1",
        "target_b64": None,
        "trace_id": None,
        "site": f"site{number % 7}.example",
        "snapshot_seq": None,
        "robots_sha256": None,
        "robots_age_ms": None,
        "verdict": Verdict.ALLOWED,
        "basis": Basis.NO_RULE,
        "group_tokens": ("AlphaBot", "*"),
        "rule": None,
        "rule_line": None,
        "protego_verdict": Verdict.ALLOWED,
        "divergent": False,
        "parser": "protego 0.7.0",
        "mode": Mode.AUDIT,
        "action": action,
        "exemption": None,
        "detail": None,
        "crawl_delay_ms": None,
        "request_interval_ms": None,
        "since_previous_ms": None,
        "held_ms": None,
    }
    return records.Decision(**{**values, **changes})


def incident(detail: str) -> records.Incident:
    """A record without meaning."""
    return records.Incident(
        recorded_at=now(), incident="test", exchange_id=None, crawler=None, client=None, detail=detail
    )


def robots_body(body: bytes) -> records.RobotsBody:
    return records.RobotsBody(
        recorded_at=now(), robots_sha256=hashlib.sha256(body).hexdigest(), body_bytes=len(body), body=body
    )


def recover(directory: LogDirectory) -> Recovered:
    """Finish what dead processes left and publish it, all in this process, with what the new log would do of it."""
    found = finish(directory)
    for path in found.leftovers:
        try:
            publish(path, directory)
        except (CrawlAuditError, duckdb.Error) as error:
            if not is_damage(error):
                raise
            give_up(directory, path, str(error), found.incidents.extend)
        else:
            remove(path)
    found.leftovers.clear()
    put_all_away(found)
    return found


@contextlib.contextmanager
def directory_of(path: Path) -> Iterator[tuple[LogDirectory, Recovered]]:
    """A log directory held and recovered."""
    directory = LogDirectory(path)
    with directory.acquire():
        yield directory, recover(directory)


@contextlib.contextmanager
def segments_made_here() -> Iterator[None]:
    """Closed live files become segments in this process: starting a helper takes longer than most of what is tested."""

    def convert(publisher: Publisher, item: Any) -> Segment:
        try:
            return publish(item.path, publisher._directory, last_seq=item.last_seq)
        except (CrawlAuditError, duckdb.Error) as error:
            raise (DamagedError if is_damage(error) else LogUnavailable)(str(error)) from error

    with mock.patch.object(Publisher, "_convert", convert):
        yield


@contextlib.asynccontextmanager
async def writer_in(path: Path, **limits: Any) -> AsyncIterator[Writer]:
    """A writer that nothing disturbs but the given limits, closed at the end."""
    with directory_of(path) as (directory, recovered):
        writer = await Writer.open(
            directory,
            node="node1",
            settings_sha256=SETTINGS_SHA256,
            unsigned=recovered.chains,
            **{**QUIET, **limits},
        )
        try:
            yield writer
        finally:
            await writer.close("signal")


def published(path: Path, log: str | None = None) -> list[tuple[str, int, dict[str, Any]]]:
    """(log, seq, entry) of everything in the segments, in order."""
    found = []
    for kind in schema.KINDS:
        names = [name for name, _ in schema.stored_columns(kind)]
        files = exact_glob(str(path / "segments")) + f"/*/*/{kind}.parquet"
        with duckdb.connect() as connection:
            rows = connection.execute(entry_select(kind, "read_parquet(?)"), [files]).fetchall()
        for row in rows:
            values = dict(zip(names, row, strict=True))
            if log in (None, values["log"]):
                found.append((values["log"], values["seq"], schema.from_row(kind, values)))
    return sorted(found, key=lambda item: item[:2])


def kinds(path: Path, log: str | None = None) -> list[str]:
    """The kinds of everything published, in order, incidents by their word and seals by their reason."""
    detail = {"incident": "incident", "seal": "reason", "completion": "outcome"}
    return [
        f"{entry['k']}:{entry[detail[entry['k']]]}" if entry["k"] in detail else entry["k"]
        for _, _, entry in published(path, log)
    ]


def check(path: Path) -> None:
    """Every log in the segments is gap-free, and every seal covers exactly what lies between it and the one before."""
    from crawl_audit.seal import merkle_root

    by_log: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for log, seq, entry in published(path):
        by_log.setdefault(log, []).append((seq, entry))
    for log, rows in by_log.items():
        assert [seq for seq, _ in rows] == list(range(len(rows))), f"{log} has gaps or duplicates"
        first, seals = 0, 0
        for seq, entry in rows:
            if entry["k"] == "seal":
                leaves = [schema.leaf(covered) for _, covered in rows[first:seq]]
                assert (entry["first_seq"], entry["rows"]) == (first, seq - first)
                assert entry["root"] == merkle_root(leaves).hex()
                assert entry["seal_index"] == seals
                first, seals = seq + 1, seals + 1
        assert first == len(rows), f"{log} does not end with a seal"
