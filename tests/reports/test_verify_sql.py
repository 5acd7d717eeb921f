"""verify.sql: the same roots as ours from SQL alone, and the tampering that SQL can see."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from crawl_audit import schema
from crawl_audit.records import Incident
from crawl_audit.seal import Frontier, Signer, checkpoint_text, origin
from reports.log import sql_text
from tests import logs
from tests.logs import LogBuilder, after

ROOT = Path(__file__).resolve().parents[2]
SIZES = (0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65)


def findings(root: Path) -> list[tuple[str, int | None, str]]:
    with duckdb.connect() as connection:
        connection.execute("SET VARIABLE log_directory = $root", {"root": str(root)})
        rows = connection.execute(sql_text("verify")).fetchall()
    return [(check, seq, message) for _, check, seq, message in rows if check != "counted"]


def an_incident(number: int) -> Incident:
    return Incident(
        recorded_at=after(number),
        incident="malformed_request",
        exchange_id=None,
        crawler="c" if number % 2 else None,
        client=f"192.0.2.{number}:1" if number % 3 else None,
        detail=f'n° {number} "é" \\ \U0001f577 </script>',
    )


def write_checkpoint(builder: LogBuilder) -> None:
    tree = Frontier()
    for record in builder.records:
        if record.KIND == "seal":
            tree.append(schema.leaf(schema.parse_entry(logs.entry(record))))
    note = Signer.generate(origin(builder.log)).sign_note(checkpoint_text(origin(builder.log), tree.size, tree.root()))
    path = builder.root / "checkpoints" / f"{builder.log}.checkpoint"
    path.parent.mkdir(exist_ok=True)
    path.write_text(note, encoding="utf-8")


@pytest.fixture
def sealed(tmp_path: Path) -> LogBuilder:
    """A log whose seals cover as many records as SIZES say, in three segments."""
    builder = LogBuilder(tmp_path)
    for number, size in enumerate(SIZES):
        for position in range(size):
            builder.add(an_incident(position))
        builder.seal(after(number))
        if number % 7 == 6:
            builder.publish()
    builder.publish()
    write_checkpoint(builder)
    return builder


def test_the_roots_of_seals_of_every_size_and_the_head_agree(sealed: LogBuilder) -> None:
    assert findings(sealed.root) == []


def test_the_records_of_every_kind_have_the_leaves_that_were_sealed(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("golden_update", ROOT / "tests" / "golden" / "update.py")
    assert spec is not None and spec.loader is not None
    golden = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(golden)
    builder = LogBuilder(tmp_path)
    for kind in schema.KINDS:
        if kind != "seal":
            builder.add(golden.sample(kind))
    builder.publish()
    write_checkpoint(builder)
    assert findings(tmp_path) == []


def rewritten(directory: Path, kind: str, select: str) -> None:
    """Replace the file of a kind in a segment by what ``select`` makes of it (its rows are ``r``)."""
    file, made = directory / f"{kind}.parquet", directory / "made.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE r AS FROM read_parquet('{file}')")
        connection.execute(f"COPY ({select}) TO '{made}' (FORMAT parquet)")
    made.replace(file)


def last_segment(builder: LogBuilder) -> Path:
    return max((builder.root / "segments" / builder.log).iterdir())


@pytest.mark.parametrize(
    ("kind", "select", "check"),
    [
        ("incident", "SELECT * REPLACE ('another' AS detail) FROM r", "R4"),
        ("incident", "SELECT * FROM r WHERE seq <> (SELECT min(seq) FROM r)", "R3"),
        ("incident", "FROM r UNION ALL (FROM r ORDER BY seq LIMIT 1)", "R1"),
        ("incident", "SELECT * REPLACE (seq + 100000 AS seq) FROM r", "R2"),
        ("seal", "SELECT * FROM r WHERE seq <> (SELECT min(seq) FROM r)", "S1"),
        ("seal", "SELECT * REPLACE (first_seq + 1 AS first_seq) FROM r", "S2"),
        ("seal", "SELECT * REPLACE (dropped + 1 AS dropped) FROM r", "H2"),
        ("seal", "SELECT * FROM r WHERE seq <> (SELECT max(seq) FROM r)", "H3"),
    ],
)
def test_tampering_is_found_under_the_same_check_id(sealed: LogBuilder, kind: str, select: str, check: str) -> None:
    rewritten(last_segment(sealed), kind, select)
    assert check in {found for found, _, _ in findings(sealed.root)}


def test_a_checkpoint_of_another_log_is_no_checkpoint_of_this_one(sealed: LogBuilder) -> None:
    path = sealed.root / "checkpoints" / f"{sealed.log}.checkpoint"
    path.write_text(path.read_text(encoding="utf-8").replace("node1", "node2", 1), encoding="utf-8")
    assert [check for check, _, _ in findings(sealed.root)] == ["H2"]


def test_the_file_is_what_the_schema_makes_it() -> None:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    generate: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert sql_text("verify") == generate.verify_sql()


def test_the_command_line_of_an_older_duckdb_gives_the_same_answer(sealed: LogBuilder) -> None:
    program = shutil.which("duckdb", path=str(Path(sys.executable).parent))
    assert program is not None, "the test dependencies bring DuckDB's command line"
    rewritten(last_segment(sealed), "incident", "SELECT * REPLACE ('another' AS detail) FROM r")
    ran = subprocess.run(
        [program, "-csv", "-cmd", f"SET VARIABLE log_directory = '{sealed.root}'"],
        input=sql_text("verify"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    rows = [line.split(",")[1] for line in ran.stdout.splitlines()[1:]]
    assert rows == [check for check, _, _ in findings(sealed.root)] + ["counted"]
