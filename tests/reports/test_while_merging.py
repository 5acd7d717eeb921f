"""An answer given while segments are merged counts every record once, and is no error."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import duckdb
import pytest

from crawl_audit.errors import LogFormatError
from proxy_addon import merging
from proxy_addon.log_directory import LogDirectory
from reports.log import Log, open_log
from tests import logs
from tests.reports.command import crawl_audit, refused

COUNT = "SELECT count(*) AS n, count(DISTINCT seq) AS distinct_n FROM seal"


@pytest.fixture
def builder(root: Path) -> logs.LogBuilder:
    made = logs.LogBuilder(root)
    (root / "tmp").mkdir()
    for _ in range(4):
        made.add(logs.run())
        made.publish()
    return made


def merge(builder: logs.LogBuilder) -> None:
    merging.merge(LogDirectory(builder.root), builder.log, least=2)


def merging_once(builder: logs.LogBuilder, log: Log, connection: duckdb.DuckDBPyConnection) -> list[tuple[int]]:
    """The count, over files that are listed before a merge and opened after it."""
    if len(list((log.files.root / "segments" / builder.log).iterdir())) == 4:
        connection.execute("PREPARE bound AS SELECT count(recorded_at) FROM seal WHERE seq > -1")
        merge(builder)
        return connection.execute("EXECUTE bound").fetchall()
    return connection.execute("SELECT count(*) FROM seal").fetchall()


def test_files_that_vanish_under_a_query_make_it_start_again(builder: logs.LogBuilder) -> None:
    with open_log(str(builder.root)) as log:
        assert log.steadily(lambda connection: merging_once(builder, log, connection)) == [(4,)]


def test_an_answer_over_directories_that_changed_places_does_not_count(builder: logs.LogBuilder) -> None:
    """DuckDB leaves out what vanished between its listing and its look at each file."""
    answers = iter([1, 4])

    def answer(_: duckdb.DuckDBPyConnection) -> int:
        merge(builder)
        return next(answers)

    with open_log(str(builder.root)) as log:
        assert log.steadily(answer) == 4


def test_a_log_that_never_comes_to_rest_is_told_of(builder: logs.LogBuilder) -> None:
    place = builder.root / "segments" / builder.log
    copies = iter(range(100))

    def answer(_: duckdb.DuckDBPyConnection) -> None:
        merging.exchange(shutil.copytree(place, builder.root / "tmp" / str(next(copies))), place)

    with open_log(str(builder.root)) as log, pytest.raises(LogFormatError, match="try again in a minute"):
        log.steadily(answer)


def test_a_file_that_is_damaged_is_still_said_to_be(builder: logs.LogBuilder) -> None:
    file = next(path for path in (builder.root / "segments" / builder.log).glob("*/seal.parquet"))
    file.chmod(0o644)
    file.write_bytes(b"PAR1 no more")
    assert "damaged or missing" in refused("query", builder.root, COUNT, code=3)


def test_counts_only_grow_and_are_exact_while_segments_are_published_and_merged(builder: logs.LogBuilder) -> None:
    stop = threading.Event()
    merges: list[merging.Merged] = []

    def grow() -> None:
        while not stop.is_set():
            for _ in range(3):
                builder.add(logs.run())
                builder.publish()
            merges.append(merging.merge(LogDirectory(builder.root), builder.log, least=2))

    grower = threading.Thread(target=grow)
    grower.start()
    counts = [4]
    try:
        while len([merged for merged in merges if merged.after < merged.before]) < 6:
            ran = crawl_audit("query", builder.root, COUNT, "--format", "json")
            assert ran.code == 0, ran.err
            (row,) = ran.json
            assert row["n"] == row["distinct_n"] >= counts[-1]
            counts.append(row["n"])
    finally:
        stop.set()
        grower.join()
    (row,) = crawl_audit("query", builder.root, COUNT, "--format", "json").json
    assert row["n"] == builder.seals
    assert len(counts) > 5
