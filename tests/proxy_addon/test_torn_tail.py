"""A torn end is cut off and everything before it kept; a damaged middle is not taken for one."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from proxy_addon.live import LiveFile
from proxy_addon.log_directory import LogDirectory
from proxy_addon.torn_tail import cut, torn_at
from proxy_addon.writer import Writer
from tests.writing import QUIET, SETTINGS_SHA256, check, decision, directory_of, published

COMMITS, ROWS = 5, 10


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[LogDirectory]:
    made = LogDirectory(tmp_path)
    with made.acquire():
        yield made


def written(directory: LogDirectory) -> tuple[Path, list[int]]:
    """A closed live file of several commits, and the size of its WAL after each."""
    live = LiveFile.create(directory.live_file("log", 0), directory.spill("log"))
    ends = []
    for number in range(COMMITS):
        live.insert(number * ROWS, [f"{row}" * 2000 for row in range(ROWS)])
        live.move()
        ends.append(live.wal_bytes())
    live.close()
    return live.path, ends


def damage(path: Path, first: int, last: int) -> Path:
    """Octets of the WAL that never reached the disk."""
    wal = path.with_name(path.name + ".wal")
    octets = bytearray(wal.read_bytes())
    octets[first:last] = bytes(last - first)
    wal.write_bytes(octets)
    return wal


@pytest.mark.parametrize("part", ["page in the middle", "second half", "last four octets"])
def test_a_torn_end_is_cut_off_and_all_commits_before_it_stay(directory: LogDirectory, part: str) -> None:
    path, ends = written(directory)
    start, end = ends[-2], ends[-1]
    first, last = {
        "page in the middle": (start + 4000, start + 8096),
        "second half": ((start + end) // 2, end),
        "last four octets": (end - 4, end),
    }[part]
    wal = damage(path, first, last)
    found = wal.read_bytes()
    with pytest.raises(duckdb.Error) as refusal:
        LiveFile.open(path, directory.spill("log"))
    at = torn_at(path, refusal.value)
    assert at is not None and at > start
    said = cut(directory, path, at)
    assert f"quarantine/{path.name}" in said.detail
    assert (directory.quarantine / wal.name).read_bytes() == found
    live = LiveFile.open(path, directory.spill("log"))
    assert live.extent().last == (COMMITS - 1) * ROWS - 1
    live.close()


def test_a_damaged_entry_with_commits_behind_it_is_not_a_torn_end(directory: LogDirectory) -> None:
    path, ends = written(directory)
    damage(path, ends[1] + 3000, ends[1] + 3050)
    with pytest.raises(duckdb.Error) as refusal:
        LiveFile.open(path, directory.spill("log"))
    assert torn_at(path, refusal.value) is None


def test_other_trouble_is_not_a_torn_end(directory: LogDirectory) -> None:
    path, _ = written(directory)
    assert torn_at(path, duckdb.IOException("Input/output error")) is None


def waiting(writer: Writer) -> int:
    """How many rows are in the front alone."""
    live = writer._thread.journal.live
    assert live is not None
    return live.waiting


def test_recovery_loses_nothing_to_a_torn_end_because_the_front_has_it_still(tmp_path: Path) -> None:
    async def crawl() -> None:
        with directory_of(tmp_path) as (directory, _):
            writer = await Writer.open(directory, node="node1", settings_sha256=SETTINGS_SHA256, **QUIET)
            for number in range(20):
                await writer.append(decision(number))
            while not list((tmp_path / "live").glob("*.wal")) or waiting(writer):
                await asyncio.sleep(0.02)
            kept[:] = [path.read_bytes() for path in sorted((tmp_path / "live").glob("*.duckdb*"))]
            names[:] = sorted(path.name for path in (tmp_path / "live").glob("*.duckdb*"))
            await writer.close()

    kept: list[bytes] = []
    names: list[str] = []
    asyncio.run(crawl())
    shutil.rmtree(tmp_path / "segments")
    shutil.rmtree(tmp_path / "checkpoints")
    for name, octets in zip(names, kept, strict=True):
        (tmp_path / "live" / name).write_bytes(octets)
    (wal,) = (tmp_path / "live").glob("*.wal")
    damage(wal.with_suffix(""), wal.stat().st_size - 300, wal.stat().st_size - 200)
    with directory_of(tmp_path) as (_, recovered):
        assert any("were cut off" in incident.detail for incident in recovered.incidents)
    check(tmp_path)
    decisions = [entry["exchange_id"] for _, _, entry in published(tmp_path) if entry["k"] == "decision"]
    assert decisions == [f"exchange-{number}" for number in range(20)]
