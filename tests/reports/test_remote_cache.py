"""The cache of a fleet's logs: its own for each address, changed by one at a time, never taken from under a reader."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from crawl_audit.errors import ConfigurationError
from crawl_audit.object_address import parse
from reports.empty_kinds import write_empty_kinds
from reports.log import open_log
from reports.remote_cache import Cache, State

ADDRESS = parse("s3://bucket/logs")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    monkeypatch.setenv("CRAWL_AUDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CRAWL_AUDIT_CACHE_SECONDS", raising=False)
    return Cache(ADDRESS, "")


def test_each_address_and_endpoint_has_its_own(cache: Cache) -> None:
    assert Cache(ADDRESS, "").root == cache.root
    assert Cache(ADDRESS, "https://s3.example").root != cache.root
    assert Cache(parse("s3://bucket/other"), "").root != cache.root
    assert (cache.root / "address").read_text() == "s3://bucket/logs\n"


def test_nobody_else_may_look_into_it(cache: Cache) -> None:
    assert stat.S_IMODE(os.stat(cache.root).st_mode) == 0o700


def test_it_lies_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CRAWL_AUDIT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert Cache(ADDRESS, "").root.parent == tmp_path / "xdg" / "crawl-audit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Cache(ADDRESS, "").root.parent == tmp_path / ".cache" / "crawl-audit"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CRAWL_AUDIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(ConfigurationError, match="CRAWL_AUDIT_CACHE"):
        Cache(ADDRESS, "")


def test_what_was_found_is_remembered_for_a_minute(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    state = State(tree="originals", days=("2026-11-18",), torn=("a/b",))
    cache.tree("originals").mkdir()
    cache.remember("reading", state)
    assert cache.remembered("reading") == state
    assert cache.remembered("another") is None
    note = cache.root / "reading.json"
    os.utime(note, (note.stat().st_mtime - 61, note.stat().st_mtime - 61))
    assert cache.remembered("reading") is None
    monkeypatch.setenv("CRAWL_AUDIT_CACHE_SECONDS", "3600")
    assert cache.remembered("reading") == state
    monkeypatch.setenv("CRAWL_AUDIT_CACHE_SECONDS", "soon")
    with pytest.raises(ConfigurationError, match="number of seconds"):
        cache.remembered("reading")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"tree": "gone", "days": [], "torn": []}'])
def test_a_note_that_says_nothing_is_not_relied_on(cache: Cache, text: str) -> None:
    (cache.root / "reading.json").write_text(text)
    assert cache.remembered("reading") is None


def test_a_tree_that_is_read_stays_and_the_others_go(cache: Cache) -> None:
    reader = Cache(ADDRESS, "")
    for name in ("originals", "compacted-1", "compacted-2", "compacted-3"):
        cache.tree(name).mkdir()
    reader.hold("compacted-1")
    cache.drop_others("compacted-2")
    assert [tree.name for tree in sorted(cache.trees())] == ["compacted-1", "compacted-2", "originals"]
    reader.release()
    cache.drop_others("compacted-2")
    assert [tree.name for tree in sorted(cache.trees())] == ["compacted-2", "originals"]


def test_only_one_changes_it_at_a_time(cache: Cache) -> None:
    order: list[str] = []
    began = threading.Event()

    def second() -> None:
        began.set()
        with Cache(ADDRESS, "").locked():
            order.append("second")

    with cache.locked():
        thread = threading.Thread(target=second)
        thread.start()
        assert began.wait(10)
        thread.join(0.2)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_what_an_ended_run_left_is_cleared(cache: Cache) -> None:
    (cache.work() / "half").touch()
    assert list(cache.work().iterdir()) == []


def test_a_tree_without_a_record_of_some_kind_reads_as_none(tmp_path: Path) -> None:
    write_empty_kinds(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    write_empty_kinds(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")} == before
    (tmp_path / "segments" / "a" / "b").mkdir(parents=True)
    with open_log(str(tmp_path)) as opened:
        assert {row["records"] for row in opened.rows("kinds")} == {0}
