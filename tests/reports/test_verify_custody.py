"""The checks on custody: nothing is gone unsaid, nothing said that is not so, and nobody vouches for himself."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest

from crawl_audit.seal import Signer
from reports import prune, pruned, rewriting, verify_custody
from reports.custody import history
from reports.evidence import open_evidence
from reports.export_levels import fields
from reports.levels import Level
from reports.rewriting import leaves_of, of_segment
from reports.withholding_sql import withheld_select
from tests import custody, logs
from tests.custody import errors, findings, leaves
from tests.reports.command import crawl_audit


@pytest.fixture
def log(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return custody.copied(root, tmp_path_factory.getbasetemp() / "handled")


def pruned_log(root: Path) -> Path:
    with rewriting.open_bench(str(root)) as bench:
        prune.apply(bench, prune.plan(bench, logs.after(20)), "retention", "dpo")
    return root


def custodians(root: Path) -> list[Path]:
    return sorted((root / "segments").glob("custodian-*"))


def change(file: Path, select: str) -> None:
    made = file.with_suffix(".new")
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({select.format(file)}) TO '{made}' (FORMAT parquet)")
    made.replace(file)


def test_a_log_that_nobody_handled_has_no_finding(log: Path) -> None:
    assert findings(log) == []


def test_erased_without_a_record_is_found(log: Path) -> None:
    custody.erase(log, "www.example.com", "target")
    (custodian,) = custodians(log)
    shutil.rmtree(custodian)
    assert errors(log) == {"R6"}


def test_pruned_without_a_record_is_found(log: Path) -> None:
    pruned_log(log)
    (custodian,) = custodians(log)
    shutil.rmtree(custodian)
    assert errors(log) == {"P1", "R6"}


def test_a_custodian_log_in_the_middle_that_is_gone_is_found(log: Path) -> None:
    for number in range(3):
        crawl_audit("hold", "place", log, "all", "--reason", str(number), "--by", "legal")
    with rewriting.open_to_look(str(log)) as bench:
        second = history(bench)[1].log
    shutil.rmtree(log / "segments" / second)
    assert errors(log) == {"P1"}


def test_one_more_value_withheld_than_is_on_record_is_found(log: Path) -> None:
    custody.erase(log, "www.example.com", "target")
    with rewriting.open_bench(str(log)) as bench:
        segment = next(s for s in bench.segments if s.log.startswith("node"))
        source = of_segment(segment, "decision")
        (extra,) = bench.rows(f"SELECT min(seq) FROM {source} WHERE target IS NOT NULL")
        select = withheld_select("decision", source, {"target"}, f"seq = {extra[0]}")
        bench.replace(segment.path / "decision.parquet", "decision", select, leaves_of("decision", source))
    assert errors(log) & {"R6", "P2"}


@pytest.mark.parametrize("edit", ["rows + 1 AS rows", "last_seq - 1 AS last_seq", "repeat('0', 64) AS leaves_sha256"])
@pytest.mark.parametrize("what", ["prune", "erase"])
def test_a_record_that_says_something_else_is_found(log: Path, what: str, edit: str) -> None:
    if what == "prune":
        pruned_log(log)
    else:
        custody.erase(log, "www.example.com", "target")
    (custodian,) = custodians(log)
    (file,) = custodian.glob("*/custody.parquet")
    change(file, f"SELECT * REPLACE ({edit}) FROM read_parquet('{{}}')")
    assert "P2" in errors(log)


def test_pruned_records_that_came_back_are_found(log: Path, tmp_path: Path) -> None:
    shutil.copytree(log, tmp_path / "copy")
    pruned_log(log)
    for file in sorted((tmp_path / "copy").glob("segments/node*/*/decision.parquet")):
        target = log / file.relative_to(tmp_path / "copy")
        if not target.exists():
            shutil.copy(file, target)
    assert "P2" in errors(log)


def test_a_custodian_nobody_vouches_for_is_a_warning_and_an_enrolled_one_is_not(log: Path) -> None:
    custody.erase(log, "www.example.com", "target")
    fleet = Signer.generate("fleet")
    (custodian,) = custodians(log)
    with open_evidence(str(log)) as evidence:
        ((vkey,),) = evidence.rows("run", custodian.name, ("checkpoint_key",))

    def warned(*trust: Signer) -> bool:
        with open_evidence(str(log)) as evidence:
            verify_custody.check(evidence, evidence.findings, [signer.verifier for signer in trust])
            return "P3" in evidence.findings.counts

    assert warned()
    assert warned(fleet)
    note = fleet.sign_note(f"crawl-audit enrolment v1\n{custodian.name}\n{vkey}\n")
    enrolment = log / "checkpoints" / f"{custodian.name}.enrolment"
    enrolment.write_text(note, encoding="utf-8")
    assert not warned(fleet)
    assert warned(Signer.generate("fleet"))
    enrolment.write_text(fleet.sign_note(f"crawl-audit enrolment v1\nother\n{vkey}\n"), encoding="utf-8")
    assert warned(fleet)
    enrolment.write_text("rubbish", encoding="utf-8")
    assert warned(fleet)


def test_the_digest_of_all_levels_is_over_all_leaves(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    wanted = hashlib.sha256(b"".join(leaf for _, leaf in sorted(leaves(log).items()))).hexdigest()
    for window in (1_000_000, 7):
        monkeypatch.setattr(verify_custody, "_WINDOW", window)
        with open_evidence(str(log)) as evidence:
            assert verify_custody.levels_digest(evidence) == wanted


def test_what_is_left_of_a_pruned_range_is_told_apart(log: Path) -> None:
    pruned_log(log)
    with rewriting.open_to_look(str(log)) as bench:
        for entry in history(bench):
            rest = pruned.remains(bench.rows, str, entry.record.subject_log or "", entry.record)
            assert rest.is_carried_out
            assert rest.holds in (True, None)
    assert fields("decision", Level.REGULATOR).keys() == {"client"}
