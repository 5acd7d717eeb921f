"""Replacing a file of a segment: whole, compared, never when somebody else was faster, one custodian at a time."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from crawl_audit.errors import ConfigurationError, LogFormatError
from reports import rewriting
from reports.rewriting import SegmentsChanged, leaves_of, of_segment, open_bench
from reports.segments_lock import NAME, segments_lock, sole_custodian
from tests import custody, logs


@pytest.fixture
def log(root: Path) -> logs.LogBuilder:
    return logs.sound(root, count=12)


def test_a_replaced_file_has_the_same_leaves_and_cannot_be_written(log: logs.LogBuilder) -> None:
    before = custody.leaves(log.root)
    with open_bench(str(log.root)) as bench:
        segment = bench.segments[0]
        file = segment.path / "decision.parquet"
        inode = file.stat().st_ino
        source = of_segment(segment, "decision")
        bench.replace(file, "decision", f"SELECT * EXCLUDE (file) FROM {source}", leaves_of("decision", source))
        assert file.stat().st_ino != inode
        assert file.stat().st_mode & 0o777 == 0o444
    assert custody.leaves(log.root) == before
    assert list((log.root / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    "change",
    ["* REPLACE ('/other' AS target)", "* REPLACE (port + 1 AS port)", "* REPLACE ('' AS salt)"],
)
def test_what_would_change_a_leaf_replaces_nothing(log: logs.LogBuilder, change: str) -> None:
    with open_bench(str(log.root)) as bench:
        segment = bench.segments[0]
        file = segment.path / "decision.parquet"
        before = file.read_bytes()
        source = of_segment(segment, "decision")
        changed = f"SELECT {change} FROM (SELECT * EXCLUDE (file) FROM {source})"
        with pytest.raises(LogFormatError):
            bench.replace(file, "decision", changed, leaves_of("decision", source))
        assert file.read_bytes() == before


def test_a_lost_row_replaces_nothing(log: logs.LogBuilder) -> None:
    with open_bench(str(log.root)) as bench:
        segment = bench.segments[0]
        source = of_segment(segment, "decision")
        fewer = f"SELECT * EXCLUDE (file) FROM {source} WHERE seq <> (SELECT min(seq) FROM {source})"
        with pytest.raises(LogFormatError, match="nothing was replaced"):
            bench.replace(segment.path / "decision.parquet", "decision", fewer, leaves_of("decision", source))


def test_a_segment_that_somebody_else_changed_meanwhile_is_left_alone(
    log: logs.LogBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_bench(str(log.root)) as bench:
        segment = bench.segments[0]
        file = segment.path / "decision.parquet"
        source = of_segment(segment, "decision")
        real = rewriting.write_parquet

        def merged_meanwhile(connection: rewriting.Connection, select: str, made: Path) -> None:
            real(connection, select, made)
            shutil.copy(file, made.with_suffix(".merged"))
            made.with_suffix(".merged").replace(file)

        monkeypatch.setattr(rewriting, "write_parquet", merged_meanwhile)
        with pytest.raises(SegmentsChanged):
            bench.replace(file, "decision", f"SELECT * EXCLUDE (file) FROM {source}", leaves_of("decision", source))
        assert list(bench.work.glob("*.parquet")) == []


def test_there_is_one_custodian_at_a_time(log: logs.LogBuilder) -> None:
    with open_bench(str(log.root)), pytest.raises(ConfigurationError, match="Another"), sole_custodian(log.root):
        pass
    with sole_custodian(log.root):
        pass


def test_the_lock_on_segments_is_waited_for(root: Path) -> None:
    root.mkdir()
    order: list[str] = []
    inside = threading.Event()

    def other() -> None:
        inside.wait()
        with segments_lock(root):
            order.append("second")

    thread = threading.Thread(target=other)
    thread.start()
    with segments_lock(root):
        inside.set()
        thread.join(0.05)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert (root / NAME).is_file()


def test_a_directory_nobody_may_write_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be changed"), segments_lock(tmp_path / "missing"):
        pass
    with pytest.raises(ConfigurationError, match="cannot be opened"), sole_custodian(tmp_path / "missing"):
        pass
