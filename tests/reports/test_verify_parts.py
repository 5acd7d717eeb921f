"""A verification in several processes says what one in a single process says, and never less."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import verify, verify_parts
from reports.evidence import open_evidence
from reports.steadiness import ChangedError
from reports.verify_parts import LostError, shares
from tests import custody, logs
from tests.reports import slow_workers
from tests.reports.command import crawl_audit
from tests.reports.tampering import rewrite

ROOT = Path(__file__).resolve().parents[2]
NAMES = st.text("abcdef", min_size=1, max_size=5)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four logs in a directory: two of sidecars, one of many kinds, and custodians' that say what was done to them."""
    root = tmp_path_factory.mktemp("parts") / "audit-log"
    custody.handled(root)
    custody.erase(root, "www.example.com", "target,client")
    logs.sound(root, "node7-20261118T110640Z-00000007", node="node7")
    logs.sound(root, "node8-20261118T110640Z-00000008", node="node8")
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "audit-log"))


def answered(root: Path, jobs: int) -> dict[str, Any]:
    """The answer; findings in an order of their own, since DuckDB gives rows in any."""
    answer = verify.verify(str(root), jobs=jobs)
    answer["findings"].sort(key=repr)
    return {name: value for name, value in answer.items() if name != "generated_at"}


def first(root: Path, log: str, kind: str) -> Path:
    return min(root.glob(f"segments/{log}*/*/{kind}.parquet"))


def pruned(root: Path) -> None:
    ran = crawl_audit("prune", root, "--before", "2026-11-19", "--reason", "old", "--by", "officer", "--yes")
    assert ran.code == 0, ran


ATTACKS: dict[str, Callable[[Path], Any]] = {
    "nothing": lambda root: None,
    "a changed decision": lambda root: rewrite(
        first(root, "node7", "decision"), "SELECT * REPLACE ('/other' AS target) FROM t"
    ),
    "a damaged file": lambda root: first(root, "node8", "completion").write_bytes(b"PAR1 and no more"),
    "a file of other columns": lambda root: rewrite(first(root, "node8", "completion"), "SELECT 1 AS log"),
    "a page that cannot be read": lambda root: _spoil(first(root, "node7", "decision")),
    "a value that no record may have": lambda root: rewrite(
        first(root, "node7", "decision"), "SELECT * REPLACE ('odd' AS verdict) FROM t"
    ),
    "a segment taken away": lambda root: shutil.rmtree(first(root, "node8", "decision").parent),
    "a flood": lambda root: rewrite(
        first(root, "node7", "decision"), "SELECT * REPLACE ('allowed' AS verdict, 'robots_txt' AS basis) FROM t"
    ),
}


def _spoil(file: Path) -> None:
    octets = bytearray(file.read_bytes())
    octets[4:400] = bytes(len(octets[4:400]))
    file.write_bytes(octets)


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_answer_is_the_same_in_however_many_processes(root: Path, attack: str) -> None:
    ATTACKS[attack](root)
    one = answered(root, 1)
    assert answered(root, 3) == one
    assert ("error" in {finding["severity"] for finding in one["findings"]}) is (attack != "nothing")


def test_what_custodians_say_of_other_logs_is_known_in_every_process(root: Path) -> None:
    pruned(root)
    one = answered(root, 1)
    assert "pruned records" in {skipped["what"] for skipped in one["not_checked"]}, one["not_checked"]
    assert answered(root, 9) == one


def test_a_bundle_is_verified_by_one_process_whatever_is_asked(root: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.duckdb"
    assert crawl_audit("export", root, bundle, "--level", "internal").code == 0
    assert answered(bundle, 3) == answered(bundle, 1)


def test_every_record_is_told_as_worked_on_twice(root: Path) -> None:
    told: dict[int, list[tuple[int, int]]] = {1: [], 2: []}
    for jobs, seen in told.items():
        verify.verify(str(root), jobs=jobs, progress=lambda done, total, seen=seen: seen.append((done, total)))
    assert told[1][-1] == told[2][-1] and told[2][-1][0] > 0
    assert [done for done, _ in told[2]] == sorted(done for done, _ in told[2])


@pytest.mark.parametrize(
    "work,error",
    [(slow_workers.dies, LostError), (slow_workers.meets_a_change, ChangedError)],
    ids=["dies", "meets a change"],
)
def test_a_process_that_does_not_tell_what_it_found_leaves_no_answer(
    root: Path, monkeypatch: pytest.MonkeyPatch, work: Callable[..., None], error: type[Exception]
) -> None:
    monkeypatch.setattr(verify_parts, "_work", work)
    with open_evidence(str(root)) as evidence, pytest.raises(error) as caught:
        verify_parts.parts(evidence, jobs=2, replay=True, worked=lambda _: None)
    assert str(caught.value).endswith(".") and multiprocessing.active_children() == []


def test_a_lost_process_is_one_sentence_of_the_command(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_parts, "_work", slow_workers.dies)
    ran = crawl_audit("verify", root, "--jobs", "2")
    assert (ran.code, ran.out) == (78, "")
    assert ran.err == (
        "crawl-audit: A process of the verification ended with 9, perhaps for want of memory: run it with `--jobs 1`.\n"
    )


def test_whoever_interrupts_leaves_no_process_behind(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_parts, "_work", slow_workers.never_ends)

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    with open_evidence(str(root)) as evidence, pytest.raises(KeyboardInterrupt):
        verify_parts.parts(evidence, jobs=2, replay=True, worked=interrupted)
    assert multiprocessing.active_children() == []


@given(st.dictionaries(NAMES, st.integers(0, 10**9), min_size=1, max_size=40), st.integers(1, 12))
def test_shares_hold_every_log_once_and_differ_by_no_more_than_the_largest(rows: dict[str, int], count: int) -> None:
    dealt = shares(rows, count)
    assert sorted(log for share in dealt for log in share) == sorted(rows)
    assert len(dealt) == min(count, len(rows)) and all(share == sorted(share) for share in dealt)
    weights = [sum(rows[log] + 1 for log in share) for share in dealt]
    assert max(weights) - min(weights) <= max(rows.values()) + 1


def test_small_logs_are_not_worth_a_process_and_large_ones_are_worth_every_core_up_to_eight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    assert verify_parts.processes(None, verify_parts.WORTH_IT_ROWS - 1) == 1
    assert verify_parts.processes(None, 10**9) == 8
    assert verify_parts.processes(64, 1) == 64


@pytest.mark.parametrize("at_least", [2, 3, 4], ids=["the first starts", "the second starts", "both run"])
def test_ctrl_c_on_a_terminal_ends_all_processes_with_one_sentence(root: Path, at_least: int) -> None:
    program = (
        "import sys; from reports import cli, verify_parts; from tests.reports import slow_workers\n"
        "if __name__ == '__main__':\n"
        "    verify_parts._work = slow_workers.never_ends\n"
        "    sys.stderr.write('ready\\n'); sys.stderr.flush()\n"
        "    cli.main(['verify', sys.argv[1], '--jobs', '2'])\n"
    )
    script = root.parent / "interrupted.py"
    script.write_text(program)
    command = [sys.executable, str(script), str(root)]
    told: dict[str, Any] = {"env": {**os.environ, "PYTHONPATH": str(ROOT)}, "stderr": subprocess.PIPE, "text": True}
    # A terminal sends the signal to every process of the group.
    with subprocess.Popen(command, **told, start_new_session=True) as process:
        assert process.stderr is not None and process.stderr.readline() == "ready\n"
        deadline = time.monotonic() + 60
        while len(group := members(process.pid)) < at_least and time.monotonic() < deadline:
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGINT)
        try:
            assert process.stderr.read() == "crawl-audit: Interrupted.\n"
            assert process.wait(30) == 130 and len(group) >= at_least
            while members(process.pid) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert members(process.pid) == []
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def members(group: int) -> list[int]:
    """The processes of a group that run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(stat.parent.name))
    return found
