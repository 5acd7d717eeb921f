"""The attack table of docs/evidence.md: each attack is made on a small log and must be found under its check id."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from crawl_audit import records, schema
from crawl_audit.records import Action, Verdict
from crawl_audit.seal import checkpoint_text, merkle_root, origin
from reports import verify
from tests import logs
from tests.logs import LogBuilder, after
from tests.reports.attacks import (
    HOST,
    PERMISSIVE,
    Auditor,
    attacked,
    built,
    cells,
    expected,
    files,
    rewrite,
    seqs,
    unchanged,
)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> LogBuilder:
    """The log nobody touches; attacks are made on copies."""
    return built(tmp_path_factory.mktemp("original") / "log")


@pytest.fixture
def made(original: LogBuilder, tmp_path: Path) -> LogBuilder:
    """A copy of the log, to be attacked."""
    shutil.copytree(original.root, tmp_path / "log")
    return replace(original, root=tmp_path / "log", records=list(original.records))


@pytest.fixture
def with_pin(original: LogBuilder, tmp_path: Path) -> Auditor:
    """An auditor who kept the last head."""
    return Auditor.of(original, tmp_path / "auditor")


@pytest.fixture
def with_key(original: LogBuilder, tmp_path: Path) -> Auditor:
    """An auditor who has nothing but the operator's key."""
    return Auditor.of(original, tmp_path / "auditor", pinned=False)


def segments(made: LogBuilder) -> list[Path]:
    return sorted((made.root / "segments" / made.log).iterdir())


def file_of(made: LogBuilder, kind: str) -> Path:
    return next(path for found, path in files(made) if found == kind)


def test_the_log_that_nobody_touched_is_ok_with_a_pin_and_never_without(
    made: LogBuilder, with_pin: Auditor, with_key: Auditor
) -> None:
    assert with_pin.verdict(made.root) == ("ok", set())
    assert with_key.verdict(made.root) == ("incomplete", set())
    assert verify.verify(str(made.root))["result"] == "incomplete"


@pytest.mark.parametrize("kind", ["run", "robots_body", "snapshot", "signal", "decision", "completion", "seal"])
def test_a_change_to_any_column_is_found(made: LogBuilder, with_key: Auditor, tmp_path: Path, kind: str) -> None:
    seen = set()
    for cell in cells(made):
        if cell.kind != kind or (cell.name, cell.change) in seen or unchanged(made, cell):
            continue
        seen.add((cell.name, cell.change))
        result, found = with_key.verdict(attacked(made, cell, tmp_path))
        assert result == "failed" and found & expected(kind, cell.name), (cell, result, found)
    assert {name for name, _ in seen} >= {name for name, _ in schema.stored_columns(kind)} - {"target_b64", "exemption"}


ROW_ATTACKS = {
    "deleted": ("SELECT * FROM r WHERE seq <> (SELECT max(seq) FROM r)", {"R3", "S1", "S2", "H3", "B2", "B3"}),
    "duplicated": ("FROM r UNION ALL (FROM r ORDER BY seq LIMIT 1)", {"R1"}),
    "inserted": ("FROM r UNION ALL (SELECT * REPLACE (seq + 1000 AS seq) FROM r LIMIT 1)", {"F3", "R2", "S1", "S2"}),
}


@pytest.mark.parametrize("attack", ROW_ATTACKS)
@pytest.mark.parametrize("kind", ["run", "robots_body", "snapshot", "decision", "completion", "seal", "tunnel"])
def test_a_record_deleted_duplicated_or_inserted_is_found(
    made: LogBuilder, with_key: Auditor, kind: str, attack: str
) -> None:
    select, checks = ROW_ATTACKS[attack]
    rewrite(file_of(made, kind), select)
    result, found = with_key.verdict(made.root)
    assert result == "failed" and found & checks, (result, found)


def test_two_records_that_changed_places_are_found(made: LogBuilder, with_key: Auditor) -> None:
    rewrite(file_of(made, "seal"), "SELECT * REPLACE ((SELECT sum(seq) FROM r) - seq AS seq) FROM r")
    result, found = with_key.verdict(made.root)
    assert result == "failed" and found & {"S1", "S2"}, found


def test_a_record_that_takes_the_place_of_another_is_found(made: LogBuilder, with_key: Auditor) -> None:
    ours, theirs = (path for kind, path in files(made) if kind == "completion")
    (seq,) = seqs(ours)
    rewrite(ours, f"SELECT * REPLACE (CAST({seq} AS BIGINT) AS seq) FROM read_parquet('{theirs}')")
    result, found = with_key.verdict(made.root)
    assert result == "failed" and "R4" in found, found


def test_a_segment_taken_out_of_the_middle_is_found(made: LogBuilder, with_key: Auditor) -> None:
    shutil.rmtree(segments(made)[1])
    result, found = with_key.verdict(made.root)
    assert result == "failed" and found & {"S1", "S2", "H2", "H3"}


def cut(made: LogBuilder, kept: int) -> None:
    """Cut the log cleanly behind its first ``kept`` seals, with the checkpoint that would belong there."""
    seals = [seq for seq, record in enumerate(made.records) if isinstance(record, records.Seal)]
    last = seals[kept - 1]
    for _, path in files(made):
        rewrite(path, f"SELECT * FROM r WHERE seq <= {last}")
    for directory in segments(made):
        if int(directory.name.partition("-")[0]) > last:
            shutil.rmtree(directory)
        elif int(directory.name.partition("-")[2]) > last:
            directory.rename(directory.with_name(f"{directory.name.partition('-')[0]}-{last:012d}"))
    (made.root / "checkpoints" / f"{made.log}.checkpoint").write_text(made.note(kept), encoding="utf-8")


def test_an_end_cut_off_cleanly_at_any_seal_is_found_by_a_pin_and_never_ok_without(
    made: LogBuilder, with_pin: Auditor, with_key: Auditor, tmp_path: Path
) -> None:
    seals = sum(isinstance(record, records.Seal) for record in made.records)
    assert seals >= 4
    for kept in range(1, seals):
        shutil.copytree(made.root, tmp_path / f"cut-{kept}")
        copy = replace(made, root=tmp_path / f"cut-{kept}")
        cut(copy, kept)
        assert with_key.verdict(copy.root) == ("incomplete", set()), kept
        assert with_pin.verdict(copy.root) == ("failed", {"H3"}), kept


def test_an_end_cut_off_with_the_old_checkpoint_left_is_found_by_that(made: LogBuilder, with_key: Auditor) -> None:
    shutil.rmtree(segments(made)[-1])
    assert with_key.verdict(made.root) == ("failed", {"H3"})


@pytest.mark.parametrize("leave_out", [1, 2])
def test_a_history_made_again_with_the_same_key_is_found_by_a_pin_and_never_ok_without(
    made: LogBuilder, with_pin: Auditor, with_key: Auditor, tmp_path: Path, leave_out: int
) -> None:
    again = built(tmp_path / "again", leave_out=leave_out)  # a record less, sealed and signed as if it had never been
    assert with_key.verdict(again.root)[0] == "incomplete"
    result, found = with_pin.verdict(again.root)
    assert result == "failed" and "H4" in found


def test_a_history_made_again_with_another_key_is_not_taken_for_this_one(
    with_pin: Auditor, with_key: Auditor, tmp_path: Path
) -> None:
    again = built(tmp_path / "again", key_seed="another", leave_out=2)
    answer = verify.verify(str(again.root), brought=with_key.brought)
    assert answer["result"] != "ok" and "H6" in {finding["check"] for finding in answer["findings"]}
    result, found = with_pin.verdict(again.root)
    assert result == "failed" and found & {"H1", "H4"}


def test_an_old_copy_shown_as_todays_is_found_by_a_pin_and_never_ok_without(
    with_pin: Auditor, with_key: Auditor, tmp_path: Path
) -> None:
    old = built(tmp_path / "log", closed=False)
    assert with_key.verdict(old.root)[0] == "incomplete"
    assert with_pin.verdict(old.root)[0] == "failed"


def test_seals_of_another_log_do_not_fit(made: LogBuilder, with_key: Auditor, tmp_path: Path) -> None:
    other = built(tmp_path / "other", leave_out=1)
    shutil.copy(file_of(other, "seal"), file_of(made, "seal"))
    assert with_key.verdict(made.root)[0] == "failed"


def test_a_segment_replayed_under_another_range_is_found(made: LogBuilder, with_key: Auditor) -> None:
    first = segments(made)[0]
    shutil.copytree(first, first.with_name("000000001000-000000001009"))
    result, found = with_key.verdict(made.root)
    assert result == "failed" and found & {"R1", "R2", "F1", "S1"}


def test_a_log_replayed_under_another_name_is_found(made: LogBuilder, with_key: Auditor) -> None:
    source = made.root / "segments" / made.log
    shutil.copytree(source, source.with_name("node2-20261118T110640Z-00000002"))
    assert with_key.verdict(made.root)[0] == "failed"


def test_a_checkpoint_of_the_operator_for_another_tree_is_found(made: LogBuilder, with_key: Auditor) -> None:
    leaves = made.seal_leaves()
    note = made.signer.sign_note(checkpoint_text(origin(made.log), len(leaves), merkle_root(leaves[::-1])))
    (made.root / "checkpoints" / f"{made.log}.checkpoint").write_text(note, encoding="utf-8")
    assert with_key.verdict(made.root) == ("failed", {"H2"})


def test_every_bit_of_a_checkpoint_counts(made: LogBuilder, with_pin: Auditor) -> None:
    path = made.root / "checkpoints" / f"{made.log}.checkpoint"
    note = path.read_bytes()
    for position, bit in itertools.product(range(0, len(note), 13), (0,)):
        flipped = bytearray(note)
        flipped[position] ^= 1 << bit
        path.write_bytes(bytes(flipped))
        assert with_pin.verdict(made.root)[0] != "ok", (position, bit)


def lying(root: Path, change: Callable[[LogBuilder, int], None]) -> LogBuilder:
    """A log that an operator with the key wrote wrongly from the start; every seal and signature holds."""
    made = LogBuilder(root, signing=True)
    made.start(after(0))
    made.add(logs.robots_body(logs.ROBOTS, after(0)))
    change(made, made.add(logs.snapshot(HOST, logs.ROBOTS, after(0))))
    made.close(after(20))
    return made


def judged(target: str, at: float, snapshot_seq: int, body: bytes = logs.ROBOTS) -> records.Decision:
    return logs.decision(HOST, target, after(at), body=body, snapshot_seq=snapshot_seq, robots_age_ms=int(at * 1000))


def write_replaced_verdict(made: LogBuilder, asked: int) -> None:
    decided = judged("/private/x", 1, asked)
    assert decided.verdict is Verdict.DISALLOWED
    seq = made.add(replace(decided, verdict=Verdict.ALLOWED, action=Action.FORWARDED))
    made.add(logs.completion(seq, after(2)))


def write_old_permissive_robots(made: LogBuilder, asked: int) -> None:
    made.add(logs.robots_body(PERMISSIVE, after(1)))
    permissive = made.add(logs.snapshot(HOST, PERMISSIVE, after(1)))
    made.add(logs.snapshot(HOST, logs.ROBOTS, after(2)))
    seq = made.add(replace(judged("/private/x", 15, permissive, PERMISSIVE), robots_age_ms=14000))
    made.add(logs.completion(seq, after(16)))


def write_robots_of_another_host(made: LogBuilder, asked: int) -> None:
    made.add(logs.robots_body(PERMISSIVE, after(1)))
    other = made.add(logs.snapshot("b.example.com", PERMISSIVE, after(1)))
    seq = made.add(replace(judged("/private/x", 10, other, PERMISSIVE), robots_age_ms=9000))
    made.add(logs.completion(seq, after(11)))


def write_no_completion(made: LogBuilder, asked: int) -> None:
    made.add(judged("/a", 1, asked))


def write_two_completions(made: LogBuilder, asked: int) -> None:
    seq = made.add(judged("/a", 1, asked))
    made.add(logs.completion(seq, after(2)))
    made.add(logs.completion(seq, after(3)))


def write_enforcement_that_let_through(made: LogBuilder, asked: int) -> None:
    decided = replace(judged("/private/x", 1, asked), mode=records.Mode.ENFORCE, action=Action.FORWARDED)
    made.add(logs.completion(made.add(decided), after(2)))


LIES: dict[Callable[[LogBuilder, int], None], set[str]] = {
    write_replaced_verdict: {"D1"},
    write_old_permissive_robots: {"B4"},
    write_robots_of_another_host: {"B2"},
    write_no_completion: {"C1", "S3"},
    write_two_completions: {"C2"},
    write_enforcement_that_let_through: {"D2"},
}


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_log_that_was_sealed_and_signed_and_contradicts_itself_is_found(
    lie: Callable[[LogBuilder, int], None], tmp_path: Path
) -> None:
    made = lying(tmp_path / "log", lie)
    result, found = Auditor.of(made, tmp_path / "auditor").verdict(made.root)
    assert result == "failed" and found & LIES[lie], (result, found)
