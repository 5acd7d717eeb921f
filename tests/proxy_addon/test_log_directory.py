"""The log directory is refused with one sentence, or complete from the first start."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from crawl_audit import schema, views
from crawl_audit.errors import ConfigurationError
from crawl_audit.records import Instant
from proxy_addon.log_directory import LogDirectory, new_log_name, started_key

ROOT = Path(__file__).resolve().parent.parent.parent


def test_an_auditor_finds_every_view_before_there_is_any_record(tmp_path: Path) -> None:
    with LogDirectory(tmp_path / "log").acquire():
        pass
    with duckdb.connect(str(tmp_path / "log" / "audit.duckdb"), read_only=True) as connection:
        for view in views.documentation():
            assert connection.execute(f"SELECT count(*) FROM {view.name}").fetchall() == [(0,)]


def test_the_views_are_stored_so_that_older_versions_open_them(tmp_path: Path) -> None:
    with LogDirectory(tmp_path / "log").acquire():
        pass
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{tmp_path / 'log' / 'audit.duckdb'}' AS audit (READ_ONLY)")
        found = connection.execute("SELECT tags FROM duckdb_databases() WHERE database_name = 'audit'").fetchall()
    assert "v1.4.0" in str(found)


def test_what_is_not_for_auditors_is_closed_to_them(tmp_path: Path) -> None:
    directory = LogDirectory(tmp_path)
    with directory.acquire():
        for private in (directory.live, directory.tmp, directory.quarantine):
            assert stat.S_IMODE(private.stat().st_mode) == 0o700
        for kind in schema.KINDS:
            assert stat.S_IMODE((directory.segments / "schema" / "v1" / f"{kind}.parquet").stat().st_mode) == 0o444


def test_a_second_start_keeps_what_is_there_and_clears_what_is_half_made(tmp_path: Path) -> None:
    directory = LogDirectory(tmp_path)
    with directory.acquire():
        (directory.tmp / "half").mkdir()
        (directory.tmp / "half" / "made").write_text("x")
        (directory.quarantine / "kept").write_text("x")
    with directory.acquire():
        assert list(directory.tmp.iterdir()) == []
        assert (directory.quarantine / "kept").exists()


def test_a_second_writer_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "from proxy_addon.log_directory import LogDirectory\n"
        "with LogDirectory(pathlib.Path(sys.argv[1])).acquire():\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(ConfigurationError, match=f"written by process {holder.pid}: stop"),
            LogDirectory(tmp_path).acquire(),
        ):
            pass
        holder.kill()
        holder.wait()
    with LogDirectory(tmp_path).acquire():  # a dead holder holds nothing
        assert (tmp_path / "live" / "lock").read_text() == f"{os.getpid()}\n"


def test_a_file_is_no_log_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with (
            pytest.raises(ConfigurationError, match=r"it is not a directory: choose another with --log\.$"),
            LogDirectory(path).acquire(),
        ):
            pass


@pytest.mark.parametrize("name,sign", [("a\\b", "backslash"), ("a?b", "question mark")])
def test_a_path_duckdb_would_misread_is_refused(tmp_path: Path, name: str, sign: str) -> None:
    with pytest.raises(ConfigurationError, match=sign), LogDirectory(tmp_path / name).acquire():
        pass


@pytest.mark.parametrize("name", ["quo'te", "st*r", "br[ack]et", "sp ace"])
def test_a_path_with_signs_that_sql_or_globs_read_works(tmp_path: Path, name: str) -> None:
    with LogDirectory(tmp_path / name).acquire():
        pass
    with duckdb.connect(str(tmp_path / name / "audit.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM exchange").fetchall() == [(0,)]


def test_logs_are_ordered_by_their_start_whatever_their_node(tmp_path: Path) -> None:
    first, second = new_log_name("z", Instant(0)), new_log_name("a", Instant(1_000_000))
    assert first.startswith("z-19700101T000000Z-")
    directory = LogDirectory(tmp_path)
    with directory.acquire():
        (directory.segments / second).mkdir()
        directory.checkpoint(first).write_text("")
        assert directory.logs() == [first, second]
        for number in (1, 0):
            directory.live_file(second, number).write_text("")
        directory.live_file("with.dot", 3).write_text("")
        assert [(log, number) for log, number, _ in directory.live_files()] == [
            ("with.dot", 3),
            (second, 0),
            (second, 1),
        ]
    assert started_key("nonsense") == ""


def test_of_two_logs_begun_in_one_second_the_one_written_last_is_the_later(tmp_path: Path) -> None:
    directory = LogDirectory(tmp_path)
    names = ["n-19700101T000000Z-ffffffff", "n-19700101T000000Z-00000000"]
    with directory.acquire():
        for time_ns, name in enumerate(names):
            (directory.segments / name).mkdir()
            os.utime(directory.segments / name, ns=(time_ns, time_ns))
        assert directory.logs() == names


def test_a_log_of_a_custodian_is_no_log_that_a_sidecar_follows(tmp_path: Path) -> None:
    directory = LogDirectory(tmp_path)
    with directory.acquire():
        for log in ("node1-20261121T090000Z-00000001", "custodian-20261121T100000Z-0a1b2c3d"):
            (directory.segments / log).mkdir()
            directory.checkpoint(log).write_text("a note")
        assert directory.logs() == ["node1-20261121T090000Z-00000001"]


def test_what_a_killed_holder_had_just_forked_holds_the_directory_only_as_long_as_it_lives(tmp_path: Path) -> None:
    program = f"""
import os, time
from pathlib import Path
from proxy_addon.log_directory import LogDirectory
with LogDirectory(Path({str(tmp_path)!r})).acquire():
    if os.fork() == 0:
        time.sleep(1)
    os._exit(0)
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60)
    with LogDirectory(tmp_path).acquire():
        assert (tmp_path / "live" / "lock").read_text() == f"{os.getpid()}\n"
