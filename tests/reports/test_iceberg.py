"""A log's segments as Iceberg tables: the same records that `crawl-audit` reads, where they lie, and no others."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars
import pytest
from pyiceberg.catalog import load_catalog

from crawl_audit import schema, views
from crawl_audit.remote_layout import KINDS, ShippedFile, ShippedSegment
from reports import iceberg
from reports.iceberg_files import files_of
from reports.iceberg_views import Dialect, view_statements
from reports.log import open_log
from tests import custody, logs
from tests.object_stores import Store, s3_server
from tests.reports.command import crawl_audit, refused
from tests.reports.shipped import fleet, two_logs

SUMS = (
    "SELECT count(*) AS n, sum(seq) AS seqs, sum(response_bytes) AS octets, count(DISTINCT url) AS urls FROM exchange"
)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A log in several segments, some values of which are erased."""
    root = tmp_path / "audit-log"
    custody.handled(root)
    custody.erase(root, "www.example.com", "target,client")
    (tmp_path / "tables").mkdir()
    return root


def registered(log: object, place: Path, *more: object, warehouse: str = "") -> dict[str, dict[str, Any]]:
    """What the command says of each kind."""
    ran = crawl_audit("fleet", "register", log, *catalog(place, warehouse), "--format", "json", *more)
    assert ran.code == 0, ran.err
    return {one["kind"]: one for one in ran.json["tables"]}


def catalog(place: Path, warehouse: str = "") -> tuple[str, ...]:
    return ("--catalog", f"sqlite:///{place}/catalog.db", "--warehouse", warehouse or f"file://{place}/tables")


def frames(place: Path, namespace: str = "crawl_audit", **more: str) -> Iterator[tuple[str, polars.DataFrame]]:
    """Every table as somebody else reads it."""
    opened = load_catalog("crawl_audit", uri=f"sqlite:///{place}/catalog.db", **more)
    try:
        for kind in KINDS:
            arrow = opened.load_table((namespace, kind)).scan().to_arrow()
            frame = polars.from_arrow(arrow)
            assert isinstance(frame, polars.DataFrame)
            yield kind, frame
    finally:
        opened.close()


def test_every_record_is_in_the_tables_as_it_is_in_the_log(made: Path, tmp_path: Path) -> None:
    said = registered(made, tmp_path)
    found = dict(frames(tmp_path))
    with open_log(str(made)) as log:
        for kind in schema.KINDS:
            names = [name for name, _ in schema.stored_columns(kind)]
            wanted = views.stored_select(kind, f"{made}/segments")
            expected = [tuple(row.values()) for row in log.select(f"{wanted} ORDER BY log, seq")]
            assert found[kind].select(names).sort("log", "seq").rows() == expected
            assert said[kind]["records"] == len(expected)
    assert (
        found["decision"]["target_c"].null_count() < found["decision"].height
    )  # what is withheld keeps its commitment


def test_the_views_give_what_the_log_gives(made: Path, tmp_path: Path) -> None:
    registered(made, tmp_path)
    with duckdb.connect() as connection, open_log(str(made)) as log:
        connection.execute("CREATE SCHEMA crawl_audit; CREATE SCHEMA crawl_audit_views")
        for kind, frame in frames(tmp_path):
            if kind in schema.KINDS:
                table = frame.to_arrow()
                connection.register("brought", table)
                connection.execute(f"CREATE TABLE crawl_audit.{kind} AS SELECT * FROM brought")
                connection.unregister("brought")
        printed = crawl_audit("fleet", "register", "--views", "duckdb")
        assert printed.code == 0
        for statement in printed.out.split(";"):
            connection.execute(statement)
        expected = [tuple(row.values()) for row in log.select(SUMS)]
        assert connection.execute(SUMS.replace("FROM e", "FROM crawl_audit_views.e")).fetchall() == expected
        by_site = "SELECT * FROM {}site ORDER BY site"
        sites = [tuple(row.values()) for row in log.select(by_site.format(""))]
        assert connection.execute(by_site.format("crawl_audit_views.")).fetchall() == sites


@pytest.mark.parametrize("dialect", list(Dialect))
def test_views_are_written_for_every_engine(dialect: Dialect) -> None:
    statements = view_statements(dialect, "crawl_audit", "shown")
    assert len(statements) == len(schema.KINDS) + 3
    assert not any("read_parquet" in one.lower() for one in statements)
    assert "FILTER" not in statements[-1] or dialect in (Dialect.TRINO, Dialect.SPARK, Dialect.DUCKDB)


def test_registering_again_changes_nothing(made: Path, tmp_path: Path) -> None:
    first = registered(made, tmp_path)
    again = registered(made, tmp_path)
    assert {kind: (one["files"], one["records"]) for kind, one in again.items()} == {
        kind: (one["files"], one["records"]) for kind, one in first.items()
    }
    assert sum(one["added"] + one["removed"] for one in again.values()) == 0
    opened = load_catalog("crawl_audit", uri=f"sqlite:///{tmp_path}/catalog.db")
    assert len(opened.load_table("crawl_audit.decision").snapshots()) == 1
    opened.close()


def test_new_segments_are_added_and_those_that_are_gone_are_let_go_of(made: Path, tmp_path: Path) -> None:
    first = registered(made, tmp_path)
    more = logs.LogBuilder(made, log="node2-20261118T110640Z-00000009")
    more.add(logs.run())
    more.add(logs.decision("example.com", "/more"))
    more.publish()
    (gone,) = sorted((made / "segments").glob("node1-*/*/"))[:1]
    (held,) = duckdb.sql(f"SELECT count(*) FROM '{gone}/decision.parquet'").fetchall()
    shutil.rmtree(gone)
    second = registered(made, tmp_path)
    assert (second["decision"]["added"], second["decision"]["removed"]) == (1, 1)
    assert second["decision"]["records"] == first["decision"]["records"] + 1 - held[0]
    found = dict(frames(tmp_path))
    assert found["decision"].height == second["decision"]["records"]


def shipped(store: Store, root: Path) -> None:
    """The segments of a log as a sidecar ships them; the last one without its `shipped` object."""
    *whole, torn = sorted(file.parent for file in (root / "segments").glob("node1-*/*/decision.parquet"))
    for segment in (*whole, torn):
        first, last = map(int, segment.name.split("-"))
        files = []
        for file in sorted(segment.iterdir()):
            octets = file.read_bytes()
            store.put(f"logs/segments/{segment.parent.name}/{segment.name}/{file.name}", octets)
            files.append(ShippedFile(name=file.name, size=len(octets), sha256=hashlib.sha256(octets).hexdigest()))
        described = ShippedSegment(log=segment.parent.name, first=first, last=last, files=tuple(files))
        if segment is not torn:
            store.put(f"logs/{described.key}", described.to_json())


def test_what_a_fleet_has_shipped_is_read_where_it_lies(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRAWL_AUDIT_CACHE", str(tmp_path / "cache"))
    with s3_server() as store:
        shipped(store, made)
        before = store.keys("logs/segments/")
        said = registered(store.address(), tmp_path, warehouse=f"s3://{store.bucket}/tables")
        found = dict(frames(tmp_path, **{"s3.endpoint": store.url, "s3.region": "us-east-1"}))
        assert store.keys("logs/segments/") == before
    local = sorted((made / "segments").glob("node1-*/*/decision.parquet"))[:-1]
    expected = polars.concat([polars.read_parquet(file) for file in local], how="diagonal")
    assert said["decision"]["files"] == len(local)  # the torn upload is not there
    assert found["decision"].height == expected.height
    assert found["decision"]["seq"].sum() == expected["seq"].sum()
    assert found["completion"]["response_bytes"].sum() > 0


def test_compacted_days_take_the_place_of_their_segments_and_give_them_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = two_logs(tmp_path / "audit-log")
    (tmp_path / "tables").mkdir()
    with fleet(root, tmp_path / "cache") as store:
        tables = {"warehouse": f"s3://{store.bucket}/tables"}
        originals = registered(store.address(), tmp_path, **tables)
        assert crawl_audit("fleet", "compact", store.address()).code == 0
        days = registered(store.address(), tmp_path, "--compacted", **tables)
        remote = {"s3.endpoint": store.url, "s3.region": "us-east-1"}
        found = dict(frames(tmp_path, **remote))
        again = registered(store.address(), tmp_path, "--compacted", **tables)
        back = registered(store.address(), tmp_path, **tables)
        whole = dict(frames(tmp_path, **remote))
    count = len(list(root.glob("segments/node*/*/decision.parquet")))
    changes = [(said["decision"]["added"], said["decision"]["removed"]) for said in (originals, days, again, back)]
    assert count > 1 and changes == [(count, 0), (1, count), (0, 0), (count, 1)]
    for kind in ("decision", "completion", "seal", "run"):
        assert found[kind].height == whole[kind].height > 0
        assert found[kind]["seq"].sort().equals(whole[kind]["seq"].sort())
    assert found["decision"]["site"].is_sorted(), "so that bounds of row groups tell sites apart"


def test_a_file_that_is_no_segment_is_refused_in_a_sentence(made: Path, tmp_path: Path) -> None:
    first = next((made / "segments").glob("node1-*/*/decision.parquet"))
    first.chmod(0o644)
    first.write_bytes(b"PAR1 nothing else")
    said = refused("fleet", "register", made, *catalog(tmp_path), code=78)
    assert "cannot be brought up to date" in said


def test_a_column_that_the_schema_has_not_is_refused(made: Path, tmp_path: Path) -> None:
    first = next((made / "segments").glob("node1-*/*/decision.parquet"))
    frame = polars.read_parquet(first).with_columns(strange=polars.lit(1))
    first.chmod(0o644)
    frame.write_parquet(first)
    assert "cannot be brought up to date" in refused("fleet", "register", made, *catalog(tmp_path), code=78)


def test_a_catalog_that_cannot_be_opened_is_one_sentence_without_its_password(made: Path, tmp_path: Path) -> None:
    said = refused("fleet", "register", made, "--catalog", "what://user:secret@nowhere/x", code=78)
    assert "secret" not in said
    place = tmp_path / "no" / "such" / "directory"
    said = refused(
        "fleet", "register", made, "--catalog", f"sqlite:///{place}/x.db", "--warehouse", "file:///x", code=78
    )
    assert "catalog" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--views", "oracle"), "trino"),
        ((), "--catalog"),
        (("LOG", "--catalog", "sqlite:///x", "--warehouse", "file://LOG/tables"), "inside the log"),
    ],
)
def test_what_is_missing_or_wrong_is_named(made: Path, words: tuple[str, ...], said: str) -> None:
    assert said in refused("fleet", "register", *(word.replace("LOG", str(made)) for word in words), code=2)


def test_a_name_that_is_no_namespace_is_refused(made: Path, tmp_path: Path) -> None:
    said = refused("fleet", "register", made, *catalog(tmp_path), "--namespace", "a.b;", code=78)
    assert "namespace" in said


def test_every_column_of_every_kind_has_a_type_and_a_meaning() -> None:
    for kind in KINDS:
        fields = iceberg.table_schema(kind).fields
        assert [field.name for field in fields] == [name for name, *_ in iceberg.columns(kind)]
        assert all(field.doc and not field.required for field in fields)


def test_files_are_listed_by_kind(made: Path) -> None:
    files = files_of(str(made), compacted=False)
    assert set(files) == set(KINDS)
    assert all(uri.startswith("file:///") and uri.endswith("/decision.parquet") for uri in files["decision"])
    assert not any("/schema/" in uri for uris in files.values() for uri in uris)
