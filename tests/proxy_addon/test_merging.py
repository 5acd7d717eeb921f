"""Merging changes which files hold the records and nothing else: every leaf, every seal and every count stays."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from crawl_audit import schema
from crawl_audit.errors import LogFormatError
from crawl_audit.records import Instant
from crawl_audit.remote_layout import ShippedFile, ShippedSegment
from crawl_audit.segment_sql import typed_select
from crawl_audit.withholding import withhold
from proxy_addon import merging, shipped_log
from proxy_addon.chain import Chain
from proxy_addon.journal import encode
from proxy_addon.live import LiveFile
from proxy_addon.log_directory import LogDirectory
from proxy_addon.merging import BYTES_MAX, ROWS_MAX, MergingRefusedError, Size, merge, plan
from proxy_addon.segments import publish
from proxy_addon.shipped_log import ShippedLog
from tests.logs import completion, run
from tests.writing import SETTINGS_SHA256, check, decision, incident, published, robots_body

ROOT = Path(__file__).resolve().parent.parent.parent
LOG = "no.de-20261118T110640Z-00000001"


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[LogDirectory]:
    made = LogDirectory(tmp_path / "log")
    with made.acquire():
        yield made


class Growing:
    """A log that grows by one segment at a time."""

    def __init__(self, directory: LogDirectory) -> None:
        self.directory = directory
        self.chain = Chain(LOG)
        self.number = 0

    def live(self) -> Path:
        """A closed live file of the next records."""
        path = self.directory.live_file(LOG, self.number)
        live, first, bodies = LiveFile.create(path, self.directory.spill(LOG)), self.chain.next_seq, []
        some = [decision(self.number), completion(first), robots_body(b"#%d" % self.number), decision(self.number + 3)]
        for record in [*([run()] if self.number == 0 else []), *some, incident(str(self.number)), None]:
            made = record or self.chain.seal(
                "rotation", now=Instant(self.number), monotonic_ms=0, settings_sha256=SETTINGS_SHA256
            )
            body, entry = encode(made)
            self.chain.add(entry)
            bodies.append(body)
        live.insert(first, bodies)
        live.close()
        self.number += 1
        return path

    def grow(self, segments: int) -> None:
        for _ in range(segments):
            path = self.live()
            publish(path, self.directory)
            path.unlink()


@pytest.fixture
def growing(directory: LogDirectory) -> Growing:
    return Growing(directory)


def names(directory: LogDirectory) -> list[str]:
    return [path.name for _, _, path in directory.segments_of(LOG)]


def leaves(directory: LogDirectory) -> list[tuple[int, bytes]]:
    return [(seq, schema.leaf(entry)) for _, seq, entry in published(directory.path)]


def sizes(*rows: int, octets: int = 10) -> list[Size]:
    made, first = [], 0
    for count in rows:
        made.append(Size(first=first, last=first + count - 1, octets=octets))
        first += count
    return made


@pytest.mark.parametrize(
    "rows,least,expected",
    [
        ((10,) * 7, 8, []),
        ((10,) * 8, 8, [8]),
        ((10,) * 2, 2, [2]),
        ((10,), 1, []),
        ((ROWS_MAX,) * 9, 2, []),
        ((ROWS_MAX // 4,) * 9, 2, [4, 4]),
        ((500_000, *(10,) * 8), 8, [8]),  # what is large already is not written again for a little
        ((500, *(100,) * 8), 8, [9]),
        ((1000, 500, *(10,) * 8), 2, [10]),
        ((2000, 500, *(10,) * 8), 2, [8]),
    ],
)
def test_neighbours_are_merged_within_the_bounds(rows: tuple[int, ...], least: int, expected: list[int]) -> None:
    groups = plan(sizes(*rows), least=least)
    assert [len(group) for group in groups] == expected
    assert all(sum(size.rows for size in group) <= ROWS_MAX for group in groups)


def test_what_is_large_in_octets_or_not_adjacent_is_not_merged() -> None:
    assert plan(sizes(*(10,) * 9, octets=BYTES_MAX), least=2) == []
    assert plan([size for size in sizes(*(10,) * 9) if size.first not in (20, 50)], least=4) == []


def test_merging_keeps_every_record_and_its_order(directory: LogDirectory, growing: Growing) -> None:
    growing.grow(9)
    before = leaves(directory)
    assert merge(directory, LOG) == merging.Merged(log=LOG, before=9, after=1)
    assert leaves(directory) == before
    check(directory.path)
    assert names(directory) == [f"{0:012d}-{growing.chain.next_seq - 1:012d}"]
    (merged,) = directory.segments_of(LOG)
    with duckdb.connect() as connection:
        for kind in ("robots_body", "seal", "incident"):
            found = connection.execute("SELECT seq FROM read_parquet(?)", [str(merged[2] / f"{kind}.parquet")])
            seqs = [seq for (seq,) in found.fetchall()]
            assert len(seqs) == 9 and seqs == sorted(seqs)
        found = connection.execute(
            "SELECT site, recorded_at, seq FROM read_parquet(?)", [str(merged[2] / "decision.parquet")]
        ).fetchall()
    assert found == sorted(found) and len({site for site, _, _ in found}) > 1
    assert {file.stat().st_mode & 0o777 for file in merged[2].iterdir()} == {0o444}
    assert [path.name for path in directory.tmp.iterdir()] == [f"{LOG}.spill"]


def test_what_is_not_merged_stays_the_same_file(directory: LogDirectory, growing: Growing, monkeypatch: Any) -> None:
    growing.grow(6)
    monkeypatch.setattr(merging, "ROWS_MAX", 20)  # three of six or seven records
    kept = directory.segments_of(LOG)[-1][2]
    inode = (kept / "seal.parquet").stat().st_ino
    growing.grow(1)
    before = leaves(directory)
    merge(directory, LOG, least=3)
    assert len(names(directory)) == 3
    assert leaves(directory) == before
    assert merge(directory, LOG, least=3).before == 3, "what is merged is large and stays"
    assert (directory.segments_of(LOG)[-1][2] / "seal.parquet").stat().st_ino != inode


def test_merging_a_merged_log_goes_on_where_it_grew(directory: LogDirectory, growing: Growing) -> None:
    growing.grow(3)
    merge(directory, LOG, least=2)
    growing.grow(3)
    before = leaves(directory)
    assert merge(directory, LOG, least=2).after == 1
    assert leaves(directory) == before
    assert merge(directory, LOG, least=2) == merging.Merged(log=LOG, before=1, after=1)


def test_the_order_of_logs_that_started_in_one_second_stays(directory: LogDirectory, growing: Growing) -> None:
    growing.grow(2)
    place = directory.segments / LOG
    os.utime(place, ns=(1, 1))
    merge(directory, LOG, least=2)
    assert place.stat().st_mtime_ns == 1


def withhold_client(directory: LogDirectory) -> None:
    """Erase the client of every decision in the first segment, and keep but the leaf of its incident."""
    place = directory.segments_of(LOG)[0][2]
    rows = [(seq, entry) for _, seq, entry in published(directory.path)]
    last = directory.segments_of(LOG)[0][1]
    named = [*schema.stored_columns("decision"), *schema.withheld_columns("decision")]
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE entry (seq BIGINT, body VARCHAR)")
        held = [(seq, withhold(entry, ["client"])) for seq, entry in rows if entry["k"] == "decision" and seq <= last]
        connection.execute("CREATE TABLE kept AS " + typed_select("decision", LOG, "entry"))
        for name, sql_type in schema.withheld_columns("decision"):
            connection.execute(f"ALTER TABLE kept ADD COLUMN {name} {sql_type}")
        marks = ", ".join("make_timestamp(?)" if sql_type == "TIMESTAMP" else "?" for _, sql_type in named)
        for seq, entry in held:
            values = [{"log": LOG, "seq": seq}.get(name, entry.get(name)) for name, _ in named]
            connection.execute(f"INSERT INTO kept VALUES ({marks})", values)
        (place / "decision.parquet").unlink()
        connection.execute(f"COPY kept TO '{place / 'decision.parquet'}' (FORMAT parquet)")
        seq, entry = next((seq, entry) for seq, entry in rows if entry["k"] == "incident")
        leaf = schema.leaf(entry).hex()
        (place / "incident.parquet").unlink()
        connection.execute(
            f"COPY (SELECT '{LOG}' AS log, {seq}::BIGINT AS seq, 'incident' AS kind, '{leaf}' AS leaf)"
            f" TO '{place / 'withheld.parquet'}' (FORMAT parquet)"
        )


def stored(directory: LogDirectory, kind: str, wanted: str) -> list[Any]:
    with duckdb.connect() as connection:
        files = str(directory.segments / LOG / "*" / f"{kind}.parquet")
        return connection.execute(
            f"SELECT {wanted} FROM read_parquet('{files}', union_by_name = true) ORDER BY seq"
        ).fetchall()


def test_values_withheld_stay_withheld(directory: LogDirectory, growing: Growing) -> None:
    growing.grow(3)
    withhold_client(directory)
    before = stored(directory, "decision", "seq, client, client_c, salt")
    assert any(client is None and commitment for _, client, commitment, _ in before)
    withheld = stored(directory, "withheld", "*")
    merge(directory, LOG, least=2)
    assert len(names(directory)) == 1
    assert stored(directory, "decision", "seq, client, client_c, salt") == before
    assert stored(directory, "withheld", "*") == withheld


@pytest.mark.parametrize("harm", ["row", "value", "copy"])
def test_a_merge_that_errs_is_found_out_and_leaves_the_log_as_it_was(
    directory: LogDirectory, growing: Growing, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    growing.grow(3)
    before, there = leaves(directory), names(directory)
    real = merging.source
    bend: dict[str, Callable[[str], str]] = {
        "row": lambda text: f"(FROM {text} WHERE seq <> 5)",
        "value": lambda text: f"(SELECT * REPLACE (recorded_at + INTERVAL 1 MICROSECOND AS recorded_at) FROM {text})",
        "copy": lambda text: f"(FROM {text} UNION ALL FROM {text})",
    }
    monkeypatch.setattr(merging, "source", lambda files: bend[harm](real(files)))
    with pytest.raises(LogFormatError, match="does not read back"):
        merge(directory, LOG, least=2)
    assert (leaves(directory), names(directory)) == (before, there)


def test_a_file_without_a_kind_is_not_merged_away(directory: LogDirectory, growing: Growing) -> None:
    growing.grow(2)
    (directory.segments_of(LOG)[0][2] / "notes.txt").write_text("x")
    with pytest.raises(LogFormatError, match=r"notes\.txt"):
        merge(directory, LOG, least=2)


def during(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Have something happen after the merged segments were made, before directories change places."""
    real = merging._link_others
    once: list[bool] = []

    def link(place: Path, tree: Path, replaced: set[str]) -> None:
        real(place, tree, replaced)
        if not once:
            once.append(True)
            action()

    monkeypatch.setattr(merging, "_link_others", link)


def test_what_is_published_meanwhile_is_there_afterwards(
    directory: LogDirectory, growing: Growing, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing.grow(3)
    during(monkeypatch, lambda: growing.grow(1))
    merge(directory, LOG, least=2)
    check(directory.path)
    assert len(names(directory)) == 2
    assert len(leaves(directory)) == growing.chain.next_seq


@pytest.mark.parametrize("how", ["rewritten", "removed"])
def test_what_was_erased_meanwhile_does_not_come_back(
    directory: LogDirectory, growing: Growing, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    growing.grow(3)
    file = directory.segments_of(LOG)[0][2] / "incident.parquet"

    def erase() -> None:
        octets = file.read_bytes()
        file.unlink()
        if how == "rewritten":
            file.write_bytes(octets)

    during(monkeypatch, erase)
    with pytest.raises(LogFormatError, match="were changed while they were merged"):
        merge(directory, LOG, least=2)
    assert len(names(directory)) == 3
    assert file.exists() == (how == "rewritten")


def test_a_file_system_that_cannot_exchange_directories_is_told_of(
    directory: LogDirectory, growing: Growing, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing.grow(2)
    before = names(directory)
    monkeypatch.setattr(merging, "_RENAME_EXCHANGE", 0xFF)  # flags the kernel does not know: EINVAL
    with pytest.raises(MergingRefusedError, match="cannot exchange two directories"):
        merge(directory, LOG, least=2)
    assert names(directory) == before


def test_directories_that_are_not_there_are_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        merging.exchange(tmp_path / "a", tmp_path / "b")


def test_a_live_file_whose_records_were_merged_since_is_not_published_twice(
    directory: LogDirectory, growing: Growing
) -> None:
    growing.grow(1)
    live = growing.live()
    publish(live, directory)  # and the process died before deleting the live file
    growing.grow(1)
    merge(directory, LOG, least=2)
    before = leaves(directory)
    segment = publish(live, directory)
    assert (segment.rows, segment.path) == (6, str(directory.segments_of(LOG)[0][2]))
    assert leaves(directory) == before
    assert len(names(directory)) == 1


def test_a_live_file_that_overlaps_what_is_published_is_refused(directory: LogDirectory, growing: Growing) -> None:
    growing.grow(1)
    live = growing.live()
    place = directory.segments_of(LOG)[0][2]
    place.rename(place.with_name(f"{0:012d}-{8:012d}"))
    with pytest.raises(LogFormatError, match="Some of the records"):
        publish(live, directory)


# A crash at any step: the process kills itself at the n-th call that changes the file system.
CRASHING = """
import os, pathlib, sys
from proxy_addon import log_directory, merging
count, at, exchanged = 0, int(sys.argv[2]), -1
def counted(real):
    def call(*arguments, **options):
        global count, exchanged
        if count == at:
            os.kill(os.getpid(), 9)
        if real is merging_exchange:
            exchanged = count
        count += 1
        return real(*arguments, **options)
    return call
merging_exchange = merging.exchange
for name in ("mkdir", "link", "utime", "fsync", "unlink", "rmdir", "chmod"):
    setattr(os, name, counted(getattr(os, name)))
merging.exchange = counted(merging_exchange)
merging.merge(log_directory.LogDirectory(pathlib.Path(sys.argv[1])), sys.argv[3], least=2)
print(exchanged, count)
"""


def test_a_crash_at_any_step_leaves_the_old_or_the_new_layout_whole(tmp_path: Path) -> None:
    made = LogDirectory(tmp_path / "made")
    with made.acquire():
        Growing(made).grow(3)
    before, layouts = leaves(made), set[int]()

    def merge_and_die(step: int) -> str:
        copy = LogDirectory(tmp_path / f"at-{step}")
        shutil.copytree(made.path, copy.path)
        done = subprocess.run(
            [sys.executable, "-c", CRASHING, str(copy.path), str(step), LOG], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == (0 if step < 0 else -9), done.stderr
        layouts.add(len(names(copy)))
        with copy.acquire():
            assert leaves(copy) == before
            assert list(copy.tmp.iterdir()) == []
        return done.stdout

    exchanged, steps = map(int, merge_and_die(-1).split())
    assert 10 < exchanged < steps
    chosen = {exchanged - 1, exchanged, exchanged + 1, exchanged + 2, steps - 1, *random.sample(range(steps), 5)}
    for step in chosen:
        merge_and_die(step)
    assert layouts == {1, 3}


def helper(directory: LogDirectory, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    done = subprocess.run(
        [sys.executable, "-m", "proxy_addon.merging", str(directory.path), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_the_helper_process_tells_of_each_log_and_goes_on_after_one_that_cannot_be_merged(
    directory: LogDirectory, growing: Growing
) -> None:
    growing.grow(2)
    bad = directory.segments / "bad-20261118T110640Z-00000001"
    for name in ("000000000000-000000000001", "000000000002-000000000003"):
        (bad / name).mkdir(parents=True)
        (bad / name / "seal.parquet").write_bytes(b"not Parquet at all")
    code, said = helper(directory, "--least", "2", bad.name, LOG)
    assert code == 1
    assert "error" in said[0] and said[0]["log"] == bad.name
    assert said[1] == {"log": LOG, "before": 2, "after": 1}
    assert helper(directory, LOG) == (0, [{"log": LOG, "before": 1, "after": 1}])


def test_what_is_shipped_is_merged_with_what_is_shipped_and_nothing_before_it_is(
    growing: Growing, directory: LogDirectory
) -> None:
    growing.grow(20)
    ranges = [(first, last) for first, last, _ in directory.segments_of(LOG)]
    notes = ShippedLog(directory)
    file = ShippedFile(name="seal.parquet", size=1, sha256="00" * 32)
    for first, last in ranges[:9]:
        notes.keep(ShippedSegment(log=LOG, first=first, last=last, files=(file,)))
    shipped_log.set_active(directory, True)
    assert (merge(directory, LOG).before, merge(directory, LOG).after) == (20, 12)
    merged = (ranges[0][0], ranges[8][1])
    assert [one[:2] for one in directory.segments_of(LOG)] == [merged, *ranges[9:]]
    # Once nothing is shipped any more the others are merged too, and still not with what was shipped.
    shipped_log.set_active(directory, False)
    merge(directory, LOG)
    assert [one[:2] for one in directory.segments_of(LOG)] == [merged, (ranges[9][0], ranges[-1][1])]
    check(directory.path)
