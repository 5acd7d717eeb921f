"""With fail_open every request that left has exactly one decision in the log in the end, and a gap record says so."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from crawl_audit.errors import LogUnavailable, RecordError
from crawl_audit.records import Action, Completion
from proxy_addon import emergency, fail_open
from proxy_addon.emergency import EmergencyFile
from proxy_addon.fail_open import FailOpenLog
from proxy_addon.live import InDoubtError, LiveFile, RolledBackError
from proxy_addon.writer import Writer
from tests import logs
from tests.writing import check, decision, incident, kinds, now, published, segments_made_here, writer_in

Entry = dict[str, Any]


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with segments_made_here():
        yield


class Disk:
    """What becomes of commits: they fail with an error, hang, or succeed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error: Exception | None = None
        self.works = threading.Event()
        self.works.set()
        self.entered = threading.Event()
        real = LiveFile.insert

        def insert(live: LiveFile, first_seq: int, bodies: Sequence[str]) -> None:
            self.entered.set()
            assert self.works.wait(20)
            if self.error is not None:
                raise self.error
            real(live, first_seq, bodies)

        monkeypatch.setattr(LiveFile, "insert", insert)

    def hang(self) -> None:
        self.works.clear()
        self.entered.clear()


@dataclass
class Opened:
    """A writer with `fail_open` before it."""

    writer: Writer
    log: FailOpenLog
    file: Path
    left: list[None] = field(default_factory=list)


@asynccontextmanager
async def opened(path: Path, *, mib: float = 1, **limits: Any) -> AsyncIterator[Opened]:
    async with writer_in(path, **limits) as writer:
        file = emergency.emergency_file(path, writer.log)
        kept = EmergencyFile(file, writer.log, int(mib * 2**20))
        kept.open()
        left: list[None] = []
        log = FailOpenLog(writer, kept, now=now, on_left=lambda: left.append(None))
        try:
            yield Opened(writer, log, file, left)
        finally:
            await log.aclose()


def completion(decision_seq: int) -> Completion:
    return logs.completion(decision_seq, now())


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


def of(path: Path, kind: str) -> list[tuple[int, Entry]]:
    return [(seq, entry) for _, seq, entry in published(path) if entry["k"] == kind]


def agrees(path: Path, exchanges: Sequence[str]) -> None:
    """Exactly one decision for each exchange, each with exactly one completion, and gap records that say the truth."""
    check(path)
    decisions = of(path, "decision")
    assert sorted(entry["exchange_id"] for _, entry in decisions) == sorted(exchanges)
    forwarded = sorted(seq for seq, entry in decisions if entry["action"] == "forwarded")
    assert sorted(entry["decision_seq"] for _, entry in of(path, "completion")) == forwarded
    for _, gap in of(path, "gap"):
        if gap["first_seq"] is not None:
            inside = [entry for _, seq, entry in published(path) if gap["first_seq"] <= seq <= gap["last_seq"]]
            assert {entry["k"] for entry in inside} <= {"decision", "completion"}
            times = [entry["recorded_at"] for entry in inside if entry["k"] == "decision"]
            assert len(times) == gap["kept"]
            assert gap["first_at"] <= min(times) <= max(times) <= gap["last_at"]


@pytest.mark.parametrize("error", [RolledBackError("No space left"), InDoubtError("fsync: Input/output error")])
def test_what_left_while_the_disk_failed_is_entered_late_after_a_gap_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    disk = Disk(monkeypatch)

    async def scenario() -> None:
        async with opened(tmp_path) as made:
            seq = await made.log.append(decision(0))
            disk.error = error
            numbers = [await made.log.append(decision(number)) for number in (1, 2, 3)]
            assert seq == 0 and all(number < 0 for number in numbers)
            assert len(made.left) == 3
            made.log.submit(completion(seq))
            made.log.submit(completion(numbers[0]))
            made.log.submit(completion(numbers[2]))
            assert made.log.warnings == ["3 requests have left that are not in the log yet (fail_open)."]
            lines = [json.loads(line) for line in made.file.read_bytes().partition(b"\0")[0].splitlines()]
            assert lines[0] == {"format": emergency.FORMAT, "log": made.writer.log}
            assert [line["entry"]["exchange_id"] for line in lines[1:4]] == ["exchange-1", "exchange-2", "exchange-3"]
            disk.error = None
            await until(lambda: not made.log.pending)
            made.log.submit(completion(numbers[1]))  # ends only now
            assert made.log.warnings == []
            await until(lambda: made.file.read_bytes().strip(b"\0") == b"")

    run(scenario())
    agrees(tmp_path, [f"exchange-{number}" for number in range(4)])
    ((seq, gap),) = of(tmp_path, "gap")
    assert (gap["requests"], gap["kept"], gap["cause"]) == (3, 3, "audit_log_unavailable")
    assert (gap["first_seq"], gap["last_seq"]) == (seq + 1, seq + 5)
    assert [entry["dropped"] for _, entry in of(tmp_path, "seal")] == [0], "dropped says that nothing left"
    assert list((tmp_path / "emergency").iterdir()) == []


def test_a_decision_that_became_durable_after_all_is_not_entered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)

    async def scenario() -> None:
        async with opened(tmp_path, commit_timeout_s=0.2) as made:
            disk.hang()
            first = asyncio.create_task(made.log.append(decision(0)))  # taken: will be durable late
            await until(disk.entered.is_set)
            second = asyncio.create_task(made.log.append(decision(1)))  # only queued: never written by itself
            numbers = await asyncio.gather(first, second)
            began = time.monotonic()
            numbers.append(await made.log.append(decision(2)))
            assert time.monotonic() - began < 0.19, "a disk known to hang holds nobody up"
            assert all(number < 0 for number in numbers)
            made.log.submit(completion(numbers[0]))
            made.log.submit(completion(numbers[1]))
            await asyncio.sleep(0.5)
            assert made.log.pending == 3
            disk.works.set()
            await until(lambda: not made.log.pending)
            made.log.submit(completion(numbers[2]))
            assert await made.log.append(decision(3)) >= 0
            made.log.submit(completion(made.writer.next_seq - 1))

    run(scenario())
    agrees(tmp_path, [f"exchange-{number}" for number in range(4)])
    entered, late = (gap for _, gap in of(tmp_path, "gap"))
    assert (entered["requests"], entered["kept"], entered["cause"]) == (2, 2, "audit_commit_timeout")
    assert (late["requests"], late["kept"], late["first_seq"], late["last_seq"]) == (1, 1, None, None)
    assert of(tmp_path, "decision")[0][1]["exchange_id"] == "exchange-0"
    assert of(tmp_path, "decision")[0][0] == 0


def test_a_commit_that_takes_too_long_while_entering_enters_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, entering = Disk(monkeypatch), threading.Event()
    real = FailOpenLog._enter_chunk

    async def enter(log: FailOpenLog, *arguments: Any) -> None:
        if not entering.is_set():
            entering.set()
            disk.hang()
        await real(log, *arguments)

    monkeypatch.setattr(FailOpenLog, "_enter_chunk", enter)

    async def scenario() -> None:
        async with opened(tmp_path, commit_timeout_s=0.2) as made:
            disk.error = RolledBackError("No space left")
            number = await made.log.append(decision(0))
            disk.error = None
            await until(entering.is_set)
            await until(disk.entered.is_set)
            made.log.submit(completion(number))  # ends while its decision is being entered
            await asyncio.sleep(0.6)
            disk.works.set()
            await until(lambda: not made.log.pending)

    run(scenario())
    agrees(tmp_path, ["exchange-0"])
    assert len(of(tmp_path, "gap")) == 1


def test_what_does_not_fit_the_emergency_file_leaves_and_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)

    async def scenario() -> None:
        async with opened(tmp_path, mib=0.005) as made:
            disk.error = RolledBackError("No space left")
            await made.log.append(decision(0))  # tried: the next ones are known to fail
            numbers = [await made.log.append(decision(number)) for number in range(1, 20)]
            assert len(made.left) == 20
            for number in numbers:
                made.log.submit(completion(number))
            disk.error = None
            await until(lambda: not made.log.pending)

    run(scenario())
    check(tmp_path)
    ((_, gap),) = of(tmp_path, "gap")
    assert gap["requests"] == 20
    assert 0 < gap["kept"] == len(of(tmp_path, "decision")) < 20


def test_an_emergency_file_that_cannot_be_written_changes_nothing_but_what_a_crash_would_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    (tmp_path / "emergency").write_text("in the way")

    async def scenario() -> None:
        async with opened(tmp_path) as made:
            disk.error = RolledBackError("No space left")
            began = time.monotonic()
            numbers = [await made.log.append(decision(number)) for number in range(5)]
            assert time.monotonic() - began < 1
            assert made.log.warnings[0].startswith("The emergency file")
            for number in numbers:
                made.log.submit(completion(number))
            disk.error = None
            await until(lambda: not made.log.pending)

    run(scenario())
    agrees(tmp_path, [f"exchange-{number}" for number in range(5)])
    assert of(tmp_path, "gap")[0][1]["file_sha256"] is None


def test_an_emergency_file_that_hangs_holds_up_one_request_a_little_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, release = Disk(monkeypatch), threading.Event()
    real = emergency.os.fdatasync

    def hang(descriptor: int) -> None:
        assert release.wait(20)
        real(descriptor)

    monkeypatch.setattr(emergency.os, "fdatasync", hang)

    async def scenario() -> None:
        async with opened(tmp_path) as made:
            disk.error = RolledBackError("No space left")
            took = []
            for number in range(4):
                began = time.monotonic()
                made.log.submit(completion(await made.log.append(decision(number))))
                took.append(time.monotonic() - began)
            assert took[0] < 1 and sum(took[1:]) < 0.5
            release.set()
            disk.error = None
            await until(lambda: not made.log.pending)

    run(scenario())
    agrees(tmp_path, [f"exchange-{number}" for number in range(4)])


def test_a_denied_request_stays_denied_is_no_gap_and_its_decision_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)

    async def scenario() -> None:
        async with opened(tmp_path) as made:
            disk.error = RolledBackError("No space left")
            for number in range(3):
                await made.log.append(decision(number, Action.DENIED))
            assert made.left == [] and made.log.pending == 0
            disk.error = None
            await until(lambda: made.writer.next_seq >= 5)

    run(scenario())
    agrees(tmp_path, [f"exchange-{number}" for number in range(3)])
    assert of(tmp_path, "gap") == []


def test_only_decisions_leave_unrecorded_and_not_at_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)

    async def scenario() -> None:
        async with opened(tmp_path) as made:
            with pytest.raises(RecordError):
                await made.log.append(decision(0, host="\ud800"))
            disk.error = RolledBackError("No space left")
            with pytest.raises(LogUnavailable):
                await made.log.append(incident("a snapshot would do as well"))
            with pytest.raises(RecordError):
                await made.log.append(decision(0, host="\ud800"))
            await made.log.aclose()
            with pytest.raises(LogUnavailable):
                await made.log.append(decision(1))
            assert made.left == []
            disk.error = None

    run(scenario())
    check(tmp_path)


def test_a_request_broken_off_while_its_decision_is_written_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)

    async def scenario() -> None:
        async with opened(tmp_path) as made:
            disk.hang()
            task = asyncio.create_task(made.log.append(decision(0)))
            await until(disk.entered.is_set)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            disk.works.set()
            await until(lambda: made.writer.next_seq == 2)
            assert made.left == []

    run(scenario())
    assert kinds(tmp_path) == ["decision", "completion:not_sent", "seal:shutdown"]


def test_many_are_entered_in_parts_of_fewer_than_a_thousand_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    monkeypatch.setattr(fail_open, "_CHUNK_DECISIONS", 40)

    async def scenario() -> None:
        async with opened(tmp_path) as made:
            disk.error = RolledBackError("No space left")
            for number in range(100):
                made.log.submit(completion(await made.log.append(decision(number))))
            disk.error = None
            await until(lambda: not made.log.pending)

    run(scenario())
    agrees(tmp_path, [f"exchange-{number}" for number in range(100)])
    assert [gap["requests"] for _, gap in of(tmp_path, "gap")] == [40, 40, 20]


def test_the_choice_is_on_record(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with writer_in(tmp_path) as writer:
            log = await fail_open.begin(writer, tmp_path, bytes_max=2**20, now=now, on_left=list)
            await log.aclose()

    run(scenario())
    assert kinds(tmp_path)[0] == "incident:fail_open_configured"
