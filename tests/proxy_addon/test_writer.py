"""What append returns is on disk, in order, once; and what cannot be made durable is said so, with a reason."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from crawl_audit.errors import ConfigurationError, LogUnavailable, RecordError
from crawl_audit.records import Record
from crawl_audit.seal import Verifier, parse_checkpoint, parse_note, verify_note
from proxy_addon.live import InDoubtError, LiveFile, RolledBackError
from proxy_addon.writer import Writer
from tests.logs import completion
from tests.writing import (
    check,
    decision,
    directory_of,
    incident,
    kinds,
    published,
    robots_body,
    segments_made_here,
    writer_in,
)


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with segments_made_here():
        yield


def details(path: Path) -> list[str]:
    return [entry["detail"] for _, _, entry in published(path) if entry["k"] == "incident"]


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> list[Exception | None]:
    """Inserts fail with the error in the returned list, for as long as there is one."""
    current, real = [error], LiveFile.insert

    def insert(live: LiveFile, first_seq: int, bodies: Sequence[str]) -> None:
        if current[0] is not None:
            raise current[0]
        real(live, first_seq, bodies)

    monkeypatch.setattr(LiveFile, "insert", insert)
    return current


class Gate:
    """Commits wait while it is closed: a disk that hangs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        real = LiveFile.insert

        def insert(live: LiveFile, first_seq: int, bodies: Sequence[str]) -> None:
            self.entered.set()
            assert self.open.wait(20)
            real(live, first_seq, bodies)

        monkeypatch.setattr(LiveFile, "insert", insert)

    def close(self) -> None:
        self.open.clear()
        self.entered.clear()


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


async def gathered(*awaited: Coroutine[Any, Any, Any]) -> list[Any]:
    return await asyncio.gather(*awaited, return_exceptions=True)


def test_appends_are_numbered_in_order_and_published_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with writer_in(tmp_path) as writer:
            assert writer.available and writer.fault is None
            first = await asyncio.gather(*(writer.append(decision(number)) for number in range(300)))
            assert first == list(range(300))
            assert (writer.next_seq, writer.queue_depth) == (300, 0)
            await until(lambda: writer.counters["decisions"] == 300)
            assert writer.last_commit_at is not None

    asyncio.run(scenario())
    check(tmp_path)
    decisions = [entry["exchange_id"] for _, _, entry in published(tmp_path) if entry["k"] == "decision"]
    assert decisions == [f"exchange-{number}" for number in range(300)]
    assert kinds(tmp_path)[-1] == "seal:shutdown"
    assert sorted(path.name for path in (tmp_path / "live").iterdir()) == ["lock"]


def test_records_that_belong_together_are_durable_together_and_can_name_each_other(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with writer_in(tmp_path) as writer:
            await writer.append(incident("before"))
            seqs = await writer.append_many(lambda base: [robots_body(b"x"), incident(f"body is {base}")])
            assert seqs == [1, 2]
            assert await writer.append_many([incident("a"), incident("b")]) == [3, 4]
            assert await writer.append_many([]) == []

    asyncio.run(scenario())
    assert details(tmp_path) == ["before", "body is 1", "a", "b"]


def test_a_value_the_log_cannot_hold_reaches_its_caller_only(tmp_path: Path) -> None:
    def refuse(base: int) -> list[Record]:
        return [incident("fine"), incident("\ud800")]

    async def scenario() -> None:
        async with writer_in(tmp_path) as writer:
            given = [writer.append(incident("a")), writer.append(incident("\x00")), writer.append_many(refuse)]
            results = await gathered(*given, writer.append(incident("b")))
            assert [type(result) for result in results] == [int, RecordError, RecordError, int]
            with pytest.raises(RecordError):
                writer.submit(incident("\udfff"))
            assert writer.available

    asyncio.run(scenario())
    assert details(tmp_path) == ["a", "b"]
    check(tmp_path)


def test_a_full_queue_turns_appends_away_and_submissions_only_at_twice_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        gate = Gate(monkeypatch)
        async with writer_in(tmp_path, queue_records=10, commit_timeout_s=20) as writer:
            gate.close()
            stuck = asyncio.create_task(writer.append(incident("stuck")))
            await until(gate.entered.is_set)
            waiting = [asyncio.create_task(writer.append(incident(str(n)))) for n in range(10)]
            await until(lambda: writer.queue_depth == 10)
            with pytest.raises(LogUnavailable) as refusal:
                await writer.append(incident("too many"))
            assert refusal.value.reason == "audit_backpressure"
            submitted = [writer.submit(incident(f"submitted {n}")) for n in range(12)]
            assert [future.done() for future in submitted] == [False] * 10 + [True] * 2
            assert writer.queue_depth == 20
            gate.open.set()
            assert await stuck == 0
            assert await asyncio.gather(*waiting) == list(range(1, 11))
            assert await submitted[9] == [20]
            assert writer.counters["dropped"] == 3

    asyncio.run(scenario())
    assert len(details(tmp_path)) == 21
    assert [entry["dropped"] for _, _, entry in published(tmp_path) if entry["k"] == "seal"] == [3]


def test_a_hanging_disk_times_out_without_holding_up_the_loop_and_late_decisions_are_marked_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        gate, late = Gate(monkeypatch), list[int]()
        async with writer_in(tmp_path, commit_timeout_s=0.2) as writer:
            gate.close()
            taken = [asyncio.create_task(writer.append(decision(0)))]
            await until(gate.entered.is_set)
            queued = [
                asyncio.create_task(writer.append(decision(1))),
                asyncio.create_task(writer.append(incident("mine"), on_late=late.append)),
            ]
            began, longest = time.monotonic(), 0.0
            while not all(task.done() for task in (*taken, *queued)):
                before = time.monotonic()
                await asyncio.sleep(0.005)
                longest = max(longest, time.monotonic() - before)
            assert 0.15 < time.monotonic() - began < 2
            assert longest < 0.15, "the event loop was held up"
            for task in (*taken, *queued):
                error = task.exception()
                assert isinstance(error, LogUnavailable) and error.reason == "audit_commit_timeout"
            gate.open.set()
            await until(lambda: writer.next_seq == 2)
        assert late == []

    asyncio.run(scenario())
    # What was being written became durable, and says that it was not sent; what only waited was never written.
    assert kinds(tmp_path) == ["decision", "completion:not_sent", "seal:shutdown"]
    assert published(tmp_path)[1][2]["decision_seq"] == 0


def test_whoever_asks_is_told_of_a_late_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        gate, late = Gate(monkeypatch), list[int]()
        async with writer_in(tmp_path) as writer:
            gate.close()
            task = asyncio.create_task(writer.append(decision(0), on_late=late.append))
            await until(gate.entered.is_set)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            gate.open.set()
            await until(lambda: late == [0])

    asyncio.run(scenario())
    assert kinds(tmp_path) == ["decision", "seal:shutdown"]


@pytest.mark.parametrize("error", [RolledBackError("No space left"), InDoubtError("fsync: Input/output error")])
def test_a_failing_disk_fails_appends_keeps_submissions_and_comes_back_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def scenario() -> None:
        async with writer_in(tmp_path) as writer:
            await writer.append(decision(0))
            current = failing(monkeypatch, error)
            with pytest.raises(LogUnavailable) as refusal:
                await writer.append(decision(1))
            assert refusal.value.reason == "audit_log_unavailable"
            assert not writer.available and str(error) in str(writer.fault)
            kept = writer.submit(completion(0))
            began = time.monotonic()
            with pytest.raises(LogUnavailable):
                await writer.append(decision(2))
            assert time.monotonic() - began < 0.1, "while it is known not to work nobody waits"
            current[0] = None
            await until(lambda: writer.available)
            await kept
            assert await writer.append(decision(3)) == writer.next_seq - 1

    asyncio.run(scenario())
    check(tmp_path)
    assert kinds(tmp_path) == [
        "decision",
        "incident:log_suspended",
        "incident:log_resumed",
        "completion:completed",
        "decision",
        "seal:shutdown",
    ]
    assert published(tmp_path)[-1][2]["dropped"] == 2


def test_a_submission_in_a_failing_batch_is_written_once_the_disk_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with writer_in(tmp_path) as writer:
            current = failing(monkeypatch, RolledBackError("No space left"))
            kept = [writer.submit(incident(str(number))) for number in range(3)]
            await until(lambda: not writer.available)
            current[0] = None
            for future in kept:
                await future

    asyncio.run(scenario())
    assert details(tmp_path)[-3:] == ["0", "1", "2"]


def test_below_the_reserve_nothing_new_is_accepted_but_the_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [10**12]
    monkeypatch.setattr("proxy_addon.free_space.FreeSpace.look", lambda self: free[0])
    monkeypatch.setattr("proxy_addon.log_thread._SPACE_CHECK_S", 0.05)

    async def scenario() -> None:
        async with writer_in(tmp_path, reserve_bytes=10**6) as writer:
            await writer.append(decision(0))
            free[0] = 10**6 - 1
            await until(lambda: not writer.available)
            with pytest.raises(LogUnavailable) as refusal:
                await writer.append(decision(1))
            assert refusal.value.reason == "audit_disk_reserve"
            await writer.submit(completion(0))
            free[0] = 10**6
            await asyncio.sleep(0.7)
            assert not writer.available, "at the very edge it would flap"
            free[0] = 10**7
            await until(lambda: writer.available)

    asyncio.run(scenario())
    found = kinds(tmp_path)
    assert found == [
        "decision",
        "incident:log_suspended",
        "completion:completed",
        "incident:log_resumed",
        "seal:shutdown",
    ]


def test_a_real_disk_that_is_full_is_survived(tmp_path: Path) -> None:
    """Inserts of DuckDB itself into a file system without space; a limit on file size stands in for the disk."""
    import resource

    async def scenario() -> None:
        async with writer_in(tmp_path) as writer:
            body = "x" * 100_000
            await writer.append(incident(body))
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
            try:
                given = await gathered(*(writer.append(incident(body)) for _ in range(5)))
                assert isinstance(given[-1], LogUnavailable)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            await until(lambda: writer.available)
            await writer.append(incident("after"))

    asyncio.run(scenario())
    check(tmp_path)
    assert details(tmp_path)[-1] == "after"


def test_seals_come_with_traffic_and_without_and_every_head_is_signed(tmp_path: Path) -> None:
    notes: list[str] = []

    async def scenario() -> str:
        with directory_of(tmp_path) as (directory, _):
            writer = await Writer.open(
                directory,
                node="n",
                settings_sha256="0" * 64,
                on_checkpoint=notes.append,
                seal_interval_s=0.1,
                idle_seal_interval_s=0.5,
                reserve_bytes=0,
            )
            await writer.append(decision(0))
            await until(lambda: len(notes) == 1, 2)
            await until(lambda: len(notes) == 2, 2)
            await writer.close()
            return writer.checkpoint_key

    key = asyncio.run(scenario())
    check(tmp_path)
    assert kinds(tmp_path) == ["decision", "seal:interval", "seal:idle", "seal:shutdown"]
    sizes = []
    for note in notes:
        assert len(verify_note(note, [Verifier.parse(key)])) == 1
        sizes.append(parse_checkpoint(parse_note(note).text).size)
    assert sizes == [1, 2, 3]
    assert [path.read_text() for path in (tmp_path / "checkpoints").iterdir()] == [notes[-1]]


def test_on_demand_everything_appended_before_can_be_queried(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with writer_in(tmp_path) as writer:
            await writer.append(decision(0))
            writer.submit(completion(0))
            segment = await writer.rotate("demand")
            assert kinds(tmp_path) == ["decision", "completion:completed", "seal:demand"]
            assert (segment.first, segment.last) == (0, 2)
            with duckdb.connect(str(tmp_path / "audit.duckdb"), read_only=True) as auditor:
                assert auditor.execute("SELECT outcome FROM exchange").fetchall() == [("completed",)]
            again = await asyncio.gather(writer.rotate(), writer.rotate())
            assert again[0] == again[1] and again[0].rows == 1
        with pytest.raises(LogUnavailable):
            await writer.rotate()

    asyncio.run(scenario())
    check(tmp_path)


def test_a_new_user_sees_the_first_decisions_soon_after_the_crawl_pauses(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with writer_in(tmp_path, first_segment_s=0.3) as writer:
            await writer.append(decision(0))
            await until(lambda: kinds(tmp_path) != [], 5)
            assert kinds(tmp_path) == ["decision", "seal:rotation"]
            await writer.append(decision(1))
            await asyncio.sleep(0.6)
            assert len(kinds(tmp_path)) == 2, "later it takes longer"

    asyncio.run(scenario())
    check(tmp_path)


@pytest.mark.parametrize("limits", [{"segment_age_s": 0.3}, {"segment_bytes": 20_000}])
def test_a_rotation_under_load_loses_and_repeats_nothing(tmp_path: Path, limits: dict[str, float]) -> None:
    stopping = asyncio.Event()

    def segments() -> list[Path]:
        return list((tmp_path / "segments").glob("node1-*/*"))

    async def client(writer: Writer, number: int) -> list[tuple[int, str]]:
        done: list[tuple[int, str]] = []
        while not stopping.is_set():
            record = decision(number * 100_000 + len(done))
            done.append((await writer.append(record), record.exchange_id))
            await asyncio.sleep(0.002)
        return done

    async def scenario() -> list[tuple[int, str]]:
        async with writer_in(tmp_path, **limits) as writer:
            clients = [asyncio.create_task(client(writer, number)) for number in range(6)]
            await until(lambda: len(segments()) >= 3, 60)
            stopping.set()
            return [pair for part in await asyncio.gather(*clients) for pair in part]

    acknowledged = asyncio.run(scenario())
    check(tmp_path)
    recorded = {(seq, entry["exchange_id"]) for _, seq, entry in published(tmp_path) if entry["k"] == "decision"}
    assert recorded == set(acknowledged)
    assert len(segments()) >= 4


def test_a_segment_that_cannot_be_published_stays_live_and_is_published_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy_addon.log_thread._PUBLISH_RETRY_S", 0.2)

    async def scenario() -> None:
        async with writer_in(tmp_path) as writer:
            await writer.append(decision(0))
            blocked = tmp_path / "segments" / writer.log
            blocked.write_text("in the way")
            with pytest.raises(LogUnavailable) as refusal:
                await writer.rotate()
            assert refusal.value.reason == "audit_segment_unpublished"
            assert writer.available and "could not be published" in writer.warnings[0]
            assert (tmp_path / "live" / f"{writer.log}.000000.duckdb").exists()
            await writer.append(decision(1))
            blocked.unlink()
            await until(lambda: writer.warnings == [])
            assert kinds(tmp_path) == ["decision", "seal:demand"]

    asyncio.run(scenario())
    check(tmp_path)


def test_a_closed_log_takes_nothing_more_and_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with writer_in(tmp_path) as writer:
            pending = writer.submit(incident("just before"))
        assert await pending == [0]
        assert not writer.available and "closed" in str(writer.fault)
        with pytest.raises(LogUnavailable) as refusal:
            await writer.append(decision(0))
        assert refusal.value.reason == "audit_log_closed"
        late = writer.submit(incident("late"))
        assert isinstance(late.exception(), LogUnavailable)

    asyncio.run(scenario())
    assert details(tmp_path) == ["just before"]


def test_a_log_that_cannot_be_begun_is_refused_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, spill: Path, wal_bytes_max: int) -> LiveFile:
        raise duckdb.IOException("no space\nmore")

    async def scenario() -> None:
        with directory_of(tmp_path) as (directory, _):
            monkeypatch.setattr(LiveFile, "create", fail)
            with pytest.raises(ConfigurationError, match=r"^No log can be begun in .*: no space\.$"):
                await Writer.open(directory, node="n", settings_sha256="0" * 64)

    asyncio.run(scenario())


def test_appends_go_on_in_other_loops_of_time(tmp_path: Path) -> None:
    """The loop is free while a commit runs: a ticker keeps ticking through 400 appends and a rotation."""

    async def ticker(lags: list[float]) -> AsyncIterator[None]:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.001)
            lags.append(time.monotonic() - before)
            yield

    async def scenario() -> list[float]:
        lags: list[float] = []

        async def tick() -> None:
            async for _ in ticker(lags):
                pass

        async with writer_in(tmp_path) as writer:
            ticking = asyncio.create_task(tick())
            for start in range(0, 400, 40):
                await asyncio.gather(*(writer.append(decision(start + number)) for number in range(40)))
            await writer.rotate()
            ticking.cancel()
        return sorted(lags)

    lags = asyncio.run(scenario())
    assert lags[len(lags) // 2] < 0.05


def test_what_nobody_waits_for_rides_along_with_the_next_decision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches, real = [], LiveFile.insert

    def insert(live: LiveFile, first_seq: int, bodies: Sequence[str]) -> None:
        batches.append(len(bodies))
        real(live, first_seq, bodies)

    monkeypatch.setattr("proxy_addon.log_thread._TICK_S", 5.0)
    monkeypatch.setattr(LiveFile, "insert", insert)

    async def run() -> None:
        async with writer_in(tmp_path) as writer:
            first = await writer.append(decision(1))
            before = len(batches)
            writer.submit(completion(first))
            writer.submit(incident("nobody waits"))
            await asyncio.sleep(0.1)
            assert batches[before:] == []
            assert await writer.append(decision(2)) == first + 3
            assert batches[before:] == [3]

    asyncio.run(run())
    check(tmp_path)


def test_what_nobody_waits_for_becomes_durable_by_itself_soon(tmp_path: Path) -> None:
    async def run() -> None:
        async with writer_in(tmp_path) as writer:
            await asyncio.wait_for(writer.submit(incident("alone")), 5)

    asyncio.run(run())
    assert details(tmp_path) == ["alone"]
