"""A segment is published only when it has been read back and every row has the leaf of its entry."""

from __future__ import annotations

import hashlib
import json
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from crawl_audit import schema
from crawl_audit.errors import LogFormatError, RecordError
from crawl_audit.records import Instant, Record
from proxy_addon import segments
from proxy_addon.chain import Chain
from proxy_addon.journal import encode
from proxy_addon.live import LiveFile
from proxy_addon.log_directory import LogDirectory
from proxy_addon.segments import publish
from tests.logs import completion, run, snapshot
from tests.writing import SETTINGS_SHA256, check, decision, incident, kinds, published, robots_body

ROOT = Path(__file__).resolve().parent.parent.parent
LOG = "no.de-20261118T110640Z-00000001"
BODIES = [b"", b"\x00\xff", b"User-agent: *\nDisallow: /\n" * 50, bytes(600_000)]
RECORDS: list[Record] = [
    run(),
    *(robots_body(body) for body in BODIES),
    *(robots_body(str(number).encode()) for number in range(40)),
    snapshot("example.com", b"x"),
    *(decision(number) for number in range(30)),
    completion(46),
    incident("it's"),
]


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[LogDirectory]:
    made = LogDirectory(tmp_path / "log")
    with made.acquire():
        yield made


def write(
    directory: LogDirectory,
    records: list[Record],
    *,
    first: int = 0,
    seals: int = 1,
    bend: Callable[[Any], None] | None = None,
) -> Path:
    """A closed live file of the records with a seal after each part."""
    path = directory.live_file(LOG, 0)
    live = LiveFile.create(path, directory.spill(LOG))
    chain, bodies = Chain(LOG, next_seq=first), []
    size = len(records) // seals + 1
    for part in [records[place : place + size] for place in range(0, len(records), size)]:
        for record in [*part, None]:
            made = record or chain.seal("rotation", now=Instant(1), monotonic_ms=0, settings_sha256=SETTINGS_SHA256)
            body, entry = encode(made)
            chain.add(entry)
            bodies.append(body)
    if bodies:
        live.insert(first, bodies)
    if bend:
        live.move()
        bend(live._connection)
    live.close()
    return path


def test_a_segment_holds_every_record_of_the_live_file(directory: LogDirectory) -> None:
    path = write(directory, RECORDS, seals=3)
    before = path.read_bytes(), path.with_name(path.name + ".wal").read_bytes()
    segment = publish(path, directory, last_seq=len(RECORDS) + 2)
    assert (segment.log, segment.first, segment.last, segment.rows) == (LOG, 0, len(RECORDS) + 2, len(RECORDS) + 3)
    assert segment.path == str(directory.segment(LOG, 0, len(RECORDS) + 2))
    check(directory.path)
    rows = published(directory.path)
    assert [entry["detail"] for _, _, entry in rows if entry["k"] == "incident"] == ["it's"]
    bodies = {
        entry["robots_sha256"]: schema.inflate(entry["body"]) for _, _, entry in rows if entry["k"] == "robots_body"
    }
    assert all(bodies[hashlib.sha256(body).hexdigest()] == body for body in BODIES)
    assert list(directory.tmp.iterdir()) == [directory.spill(LOG)]
    assert before == (path.read_bytes(), path.with_name(path.name + ".wal").read_bytes()), "the live file is only read"


def test_files_of_a_segment_are_read_only_typed_and_sorted(directory: LogDirectory) -> None:
    segment = Path(publish(write(directory, RECORDS), directory).path)
    assert {stat.S_IMODE(file.stat().st_mode) for file in segment.iterdir()} == {0o444}
    assert {file.stem for file in segment.iterdir()} == {record.KIND for record in RECORDS} | {"seal"}
    with duckdb.connect() as connection:
        sites = connection.execute("SELECT site FROM read_parquet(?)", [str(segment / "decision.parquet")]).fetchall()
        codec = connection.execute(
            "SELECT DISTINCT compression FROM parquet_metadata(?)", [str(segment / "decision.parquet")]
        ).fetchall()
    assert sites == sorted(sites) and len(set(sites)) > 1
    assert codec == [("ZSTD",)]


def test_publishing_again_after_a_crash_only_compares(directory: LogDirectory) -> None:
    path = write(directory, RECORDS)
    first = publish(path, directory)
    inode = Path(first.path).stat().st_ino
    assert publish(path, directory) == first
    assert Path(first.path).stat().st_ino == inode


def test_a_published_segment_that_differs_is_neither_trusted_nor_replaced(directory: LogDirectory) -> None:
    path = write(directory, RECORDS)
    segment = Path(publish(path, directory).path)
    (segment / "incident.parquet").unlink()
    with pytest.raises(LogFormatError, match="1 records are not in"):
        publish(path, directory)
    assert path.exists()


def test_an_empty_live_file_makes_no_segment(directory: LogDirectory) -> None:
    assert publish(write(directory, []), directory).rows == 0
    assert sorted(path.name for path in directory.segments.iterdir()) == ["schema"]


@pytest.mark.parametrize(
    "statement,message",
    [
        ("DELETE FROM live.entry WHERE seq = 5", "record 6 where 5 should be"),
        ("INSERT INTO live.entry SELECT * FROM live.entry WHERE seq = 5", "record 5 where 6 should be"),
        ("DELETE FROM live.entry WHERE seq = (SELECT max(seq) FROM live.entry)", "does not end with a seal"),
        ("UPDATE live.entry SET body = replace(body, 'it''s', 'is') WHERE body LIKE '%it''s%'", "does not cover"),
        ("UPDATE live.entry SET seq = seq + 1", "does not cover"),
        ("UPDATE live.entry SET body = body || ' ' WHERE seq = 3", "canonical"),
        ("UPDATE live.entry SET body = '{}' WHERE seq = 3", "unknown kind"),
    ],
)
def test_a_live_file_that_was_changed_is_not_published(directory: LogDirectory, statement: str, message: str) -> None:
    path = write(directory, RECORDS, bend=lambda connection: connection.execute(statement))
    with pytest.raises((LogFormatError, RecordError), match=message):
        publish(path, directory)
    assert sorted(part.name for part in directory.segments.iterdir()) == ["schema"]


def test_a_live_file_that_lost_its_tail_is_not_published(directory: LogDirectory) -> None:
    path = write(directory, RECORDS)
    with pytest.raises(LogFormatError, match=f"ends with record {len(RECORDS)}, but {len(RECORDS) + 2} was durable"):
        publish(path, directory, last_seq=len(RECORDS) + 2)


@pytest.mark.parametrize(
    "find,replacement",
    [
        ("make_timestamp(entry.recorded_at)", "make_timestamp(entry.recorded_at + 1)"),
        ("entry.detail AS", "upper(entry.detail) AS"),
        ("'::VARCHAR AS log", "x'::VARCHAR AS log"),
        ("SELECT *, json", "SELECT DISTINCT ON (k) *, body[1:5] AS k, json"),
    ],
)
def test_a_conversion_that_errs_is_found_out(
    directory: LogDirectory, monkeypatch: pytest.MonkeyPatch, find: str, replacement: str
) -> None:
    real = segments.typed_select

    def wrong(kind: str, log: str, source: str) -> str:
        select = real(kind, log, source)
        return select.replace(find, replacement) if kind == "incident" else select

    monkeypatch.setattr(segments, "typed_select", wrong)
    with pytest.raises(LogFormatError):
        publish(write(directory, [*RECORDS, incident("second")]), directory)
    assert sorted(part.name for part in directory.segments.iterdir()) == ["schema"]


def test_a_body_without_its_digest_is_found_out(directory: LogDirectory) -> None:
    record = robots_body(b"x")
    lying = type(record)(recorded_at=record.recorded_at, robots_sha256="0" * 64, body_bytes=1, body=b"x")
    with pytest.raises(LogFormatError, match="does not have its digest"):
        publish(write(directory, [lying]), directory)


def run_helper(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "proxy_addon.segments", *arguments], cwd=ROOT, capture_output=True, text=True, **options
    )


def test_the_helper_process_prints_what_it_published(directory: LogDirectory) -> None:
    path = write(directory, RECORDS)
    done = run_helper(str(path), str(directory.path), "--last-seq", str(len(RECORDS)))
    said = json.loads(done.stdout)
    assert (done.returncode, done.stderr, said["rows"]) == (0, "", len(RECORDS) + 1)
    assert kinds(directory.path)[-1] == "seal:rotation"
    again = run_helper(str(path), str(directory.path), "--last-seq", "3")
    assert (again.returncode, "3 was durable" in json.loads(again.stdout)["error"]) == (1, True)
    assert path.exists()


def test_the_helper_process_ends_with_its_parent(directory: LogDirectory) -> None:
    path = write(directory, RECORDS)
    done = run_helper(str(path), str(directory.path), "--with-parent", stdin=subprocess.DEVNULL)
    assert done.returncode == 3
    assert path.exists()
