"""Records and answers that Spark makes are those that DuckDB makes, of a directory and of what a fleet has shipped."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from crawl_audit.errors import ConfigurationError, LogFormatError
from crawl_audit.remote_layout import ShippedFile, ShippedSegment
from reports import blinding, matched_leaves, spark_log, spark_objects
from reports.engines import Engine, open_in
from reports.log import Log, NothingSealedError, open_log
from reports.spark_log import SparkLog, open_spark_log
from tests import custody, logs
from tests.object_stores import Store, s3_server
from tests.reports.command import crawl_audit, refused
from tests.reports.spark_sessions import spark

pytestmark = pytest.mark.timeout(300)
OWN = {"record_id", "generated_at"}
"""What two records of the same log differ in."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spark()
    made = tmp_path_factory.mktemp("spark") / "audit log [1]"  # a name that globs could misread
    custody.handled(made)
    custody.erase(made, "www.example.com", "client")
    return made


def in_both(*arguments: object) -> tuple[Any, Any]:
    """The record of a command by each engine, without what is its own."""
    made = []
    for engine in Engine:
        ran = crawl_audit(*arguments, "--format", "json", "--engine", engine)
        assert ran.code == 0, ran.err
        made.append({name: value for name, value in ran.json.items() if name not in OWN})
    return made[0], made[1]


def test_a_report_is_the_same_by_either_engine(root: Path) -> None:
    one, other = in_both("report", "sites", root)
    assert one == other
    assert one["content_sha256"] == other["content_sha256"]
    assert one["checkpoints"]


def test_an_inquiry_is_the_same_by_either_engine_down_to_the_leaves(root: Path) -> None:
    one, other = in_both("inquiry", root, "example.com", "--from", "2026-11-18")
    assert one == other
    assert one["evidence_manifest_sha256"]


def shipped(store: Store, root: Path) -> None:
    """A log as a sidecar ships it, with its checkpoint, and one segment whose upload was torn."""
    for segment in sorted((root / "segments").glob("*/*-*")):
        first, last = map(int, segment.name.split("-"))
        files = []
        for file in sorted(segment.iterdir()):
            octets = file.read_bytes()
            store.put(f"logs/segments/{segment.parent.name}/{segment.name}/{file.name}", octets)
            files.append(ShippedFile(name=file.name, size=len(octets), sha256=hashlib.sha256(octets).hexdigest()))
        described = ShippedSegment(log=segment.parent.name, first=first, last=last, files=tuple(files))
        store.put(f"logs/{described.key}", described.to_json())
    store.put("logs/segments/node9/000000000000-000000000009/decision.parquet", b"half of a fi")
    for file in (root / "checkpoints").glob("*.checkpoint"):
        store.put(f"logs/checkpoints/{file.name}", file.read_bytes())


@pytest.fixture
def fleet(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("CRAWL_AUDIT_CACHE", str(tmp_path / "cache"))
    with s3_server() as store:
        shipped(store, root)
        yield store


SOME = ("logs", "kinds", "pruned")


def answers(log: Log) -> list[Any]:
    """Rows of some questions, and the digest of every decision's leaf."""
    everything: dict[str, Any] = dict.fromkeys(("host", "port", "scheme", "targets", "start", "end"))
    found: list[Any] = [sorted(map(repr, log.rows(query))) for query in SOME]
    found.append(matched_leaves.evidence_digest(log, {**everything, "site": "example.com", "subdomains": False}))
    return [*found, blinding.secret(log)]


def test_what_a_fleet_has_shipped_is_read_from_the_store(fleet: Store) -> None:
    with open_log(fleet.address()) as duck, open_spark_log(fleet.address()) as log:
        assert answers(log) == answers(duck)
        assert log.files.name == fleet.address()


def test_a_spark_with_a_client_for_the_store_reads_there_and_copies_no_segment(
    fleet: Store, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client itself is Hadoop's; here a directory stands for what it would show."""
    bucket = tmp_path / "bucket"
    for key in fleet.keys():  # noqa: SIM118 - a listing of the bucket
        place = bucket / key
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(fleet.get(key))
    told: list[str] = []

    def there(address: str) -> Any:
        files, uris = spark_objects.where_they_are(address)
        told.extend(uri for found in uris.values() for uri in found)
        seen = f"s3a://{fleet.bucket}/"
        return files, {kind: [uri.replace(seen, f"file://{bucket}/") for uri in found] for kind, found in uris.items()}

    monkeypatch.setattr(spark_log, "_reads_objects", lambda _: True)
    monkeypatch.setattr(spark_log, "spark_objects", SimpleNamespace(where_they_are=there))
    with open_spark_log(fleet.address()) as log, open_log(str(root)) as duck:
        assert answers(log) == answers(duck)
        assert [path.name for path in log.files.checkpoints] == [path.name for path in duck.files.checkpoints]
    assert told
    assert all(uri.startswith(f"s3a://{fleet.bucket}/logs/segments/") for uri in told)
    assert not any("node9" in uri for uri in told)  # whose upload was torn
    assert not list((tmp_path / "cache").rglob("*.parquet"))


def test_a_cluster_without_a_client_for_the_store_is_told_what_it_needs(
    fleet: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = SimpleNamespace(sparkContext=SimpleNamespace(master="yarn"))
    monkeypatch.setattr(spark_log, "_session", lambda: elsewhere)
    monkeypatch.setattr(spark_log, "_reads_objects", lambda _: False)
    with pytest.raises(ConfigurationError, match="hadoop-aws"), open_spark_log(fleet.address()):
        pass


def test_rows_are_kept_and_handed_out_as_copies(root: Path) -> None:
    with open_in(Engine.SPARK, str(root)) as log:
        first = log.rows("runs", start=None, end=None)
        first[0]["node"] = "changed"
        assert log.rows("runs", start=None, end=None)[0]["node"] != "changed"
        assert log.step == "runs"
        assert log.percent() is None


def test_many_rows_can_be_taken_some_at_a_time(root: Path) -> None:
    with open_spark_log(str(root)) as log, open_log(str(root)) as duck:
        expected = [tuple(row.values()) for row in duck.select("SELECT log, seq FROM decision ORDER BY log, seq")]

        def taken(connection: Any) -> list[tuple[Any, ...]]:
            answer = connection.execute("SELECT log, seq FROM decision ORDER BY log, seq")
            assert [column[0] for column in answer.description] == ["log", "seq"]
            made = []
            while rows := answer.fetchmany(7):
                assert len(rows) <= 7
                made += rows
            return made

        assert log.steadily(taken) == expected


def test_segments_that_were_replaced_meanwhile_are_found_again(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    count = "SELECT count(*) AS n, sum(seq) AS seqs FROM decision"
    with open_spark_log(str(copy)) as log:
        before = log.select(count)
        for segment in sorted((copy / "segments").glob("node1-*/*")):
            segment.rename(segment.with_name(f"{segment.name}-moved"))
        assert log.select(count) == before


def test_a_damaged_file_is_one_sentence(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    file = next((copy / "segments").glob("node1-*/*/decision.parquet"))
    file.chmod(0o644)
    file.write_bytes(b"PAR1" + b"\0" * 40 + b"PAR1")
    assert "decision.parquet" in refused("report", "sites", copy, "--engine", "spark", code=3)


def test_a_file_that_spoils_while_it_is_read_is_one_sentence(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    with open_spark_log(str(copy)) as log:
        connection = log.steadily(lambda asked: asked)
        for file in (copy / "segments").glob("*/*/decision.parquet"):
            file.chmod(0o644)
            file.write_bytes(b"PAR1" + b"\0" * 40 + b"PAR1")
        log._look = lambda: None  # type: ignore[method-assign]
        with pytest.raises(LogFormatError, match=r"Spark cannot answer \(.*decision\.parquet") as caught:
            log.steadily(lambda _: connection.execute("SELECT count(user_agent) AS n FROM decision").fetchall())
    assert str(caught.value).count("\n") == 0


def test_records_are_counted_by_spark_where_the_files_are_elsewhere(root: Path) -> None:
    with open_spark_log(str(root)) as log:
        names = ("kind", "log")
        here, there = spark_log._extent_here(str(root)), spark_log._extent_there(log.session)
        assert {tuple(row[name] for name in names) for row in here} == {
            tuple(row[name] for name in names) for row in there
        }
        assert sum(row["records"] for row in here) == sum(row["records"] for row in there)


def test_another_schema_version_is_refused(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    file = next((copy / "segments").glob("node1-*/*/run.parquet"))
    newer = tmp_path / "newer.parquet"
    duckdb.execute(f"COPY (SELECT * REPLACE (2::INTEGER AS v) FROM '{file}') TO '{newer}'")
    file.chmod(0o644)
    shutil.copy(newer, file)
    with pytest.raises(LogFormatError, match="schema version 2"), open_spark_log(str(copy)):
        pass


def test_a_log_without_segments_is_refused_as_by_duckdb(tmp_path: Path) -> None:
    logs.LogBuilder(tmp_path / "empty")
    with pytest.raises(NothingSealedError), open_spark_log(str(tmp_path / "empty")):
        pass


def test_without_java_it_is_said_in_a_sentence(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert "Java" in refused("report", "sites", root, "--engine", "spark", code=78)


@pytest.mark.parametrize("missing", ["pyspark", "py4j", "sqlglot"])
def test_without_spark_it_is_said_in_a_sentence(root: Path, missing: str) -> None:
    program = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from reports.cli import main\n"
        f"main(['report', 'sites', {str(root)!r}, '--engine', 'spark'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 78
    assert done.stderr == "crawl-audit: Spark is not installed here: install crawl-audit[spark].\n"


def test_a_log_of_spark_is_a_log() -> None:
    assert issubclass(SparkLog, spark_log.Log)
