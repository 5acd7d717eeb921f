"""The place of a worker is filled again when its process ends, with growing pauses, until the stop."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from crawl_audit.errors import ConfigurationError, CrawlAuditError
from proxy_addon import worker_slot
from proxy_addon.role import STOP_WORKER
from proxy_addon.worker_process import WorkerGoneError
from proxy_addon.worker_slot import PAUSE_S_MAX, Slot, pause_s


class Process:
    """A worker's process of the test's making."""

    def __init__(self, said: str | None) -> None:
        self.predecessor = said
        self.log: str | None = None
        self.complaint: str | None = None
        self.ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.answers: dict[str, tuple[int, dict[str, object]]] = {
            "/livez": (200, {"live": True}),
            "/readyz": (200, {"ready": True, "reason": None, "warnings": ["mend it"]}),
        }
        self.signals: list[int] = []

    def be_ready(self, log: str) -> None:
        self.log = log
        self.ready.set_result({"ready": True})

    def end(self, code: int) -> None:
        if not self.code.done():
            self.code.set_result(code)

    async def ended(self) -> int:
        code = await self.code
        self.ready.cancel()
        return code

    def signal(self, number: int) -> None:
        self.signals.append(number)
        self.end(0 if number == STOP_WORKER and self.log else -number)

    async def ask(self, path: str, **_: Any) -> tuple[int, bytes]:
        if path not in self.answers:
            raise WorkerGoneError("Worker 2 does not answer: why.")
        status, said = self.answers[path]
        return status, json.dumps(said).encode()


class Bench:
    """A slot, the processes it has started, and the numbers of those that ended."""

    def __init__(self) -> None:
        self.processes: list[Process] = []
        self.ended: list[int] = []
        place: Any = None
        self.slot = Slot(2, place, self.ended.append)
        self.keeping = asyncio.create_task(self.slot.keep())

    async def process(self, number: int) -> Process:
        """The one that was started so many-th."""
        await until(lambda: len(self.processes) > number)
        return self.processes[number]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.005)


@pytest.fixture
def scenario(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Bench], Coroutine[Any, Any, None]]], None]:
    monkeypatch.setattr(worker_slot, "PAUSE_S_MIN", 0.01)
    monkeypatch.setattr(worker_slot, "_LOOK_S", 0.01)

    def run(test: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
        async def whole() -> None:
            bench: list[Bench] = []

            async def start(number: int, place: Any, predecessor: str | None) -> Process:
                bench[0].processes.append(Process(predecessor))
                return bench[0].processes[-1]

            monkeypatch.setattr(worker_slot.WorkerProcess, "start", start)
            bench.append(Bench())
            await test(bench[0])
            bench[0].slot.stop()
            await bench[0].keeping

        asyncio.run(whole())

    return run


def test_pauses_grow_to_a_bound() -> None:
    assert [pause_s(failures) for failures in (0, 1, 2, 3, 7, 1000)] == [0, 0.5, 1, 2, PAUSE_S_MAX, PAUSE_S_MAX]


def test_an_end_is_told_the_next_worker_and_whoever_asks(scenario: Any) -> None:
    async def test(bench: Bench) -> None:
        slot, first = bench.slot, await bench.process(0)
        assert slot.trouble == "worker 2 is starting"
        with pytest.raises(WorkerGoneError, match="worker 2 is starting"):
            await slot.ask("/readyz")
        first.be_ready("n-w2-a")
        await until(lambda: slot.trouble is None)
        assert slot.warnings == ["worker 2: mend it"]
        first.end(-9)
        await until(lambda: slot.trouble is not None)
        expected = "Worker 2, which wrote the log n-w2-a, was ended by signal 9 (SIGKILL)."
        assert slot.trouble == f"w{expected[1:-1]}; another is being started"
        second = await bench.process(1)
        assert (first.predecessor, second.predecessor) == (None, expected)
        assert bench.ended == [2]
        second.complaint = "the disk is full"
        second.end(78)
        third = await bench.process(2)
        assert third.predecessor == f"{expected} Worker 2 ended with exit code 78; it said: the disk is full."
        third.be_ready("n-w2-c")
        await until(lambda: slot.trouble is None)
        third.end(1)
        fourth = await bench.process(3)
        assert fourth.predecessor == "Worker 2, which wrote the log n-w2-c, ended with exit code 1."

    scenario(test)


@pytest.mark.parametrize(("code", "kind"), [(78, ConfigurationError), (1, CrawlAuditError)])
def test_a_worker_that_cannot_start_at_all_is_not_started_again(
    scenario: Any, code: int, kind: type[Exception]
) -> None:
    async def test(bench: Bench) -> None:
        first = await bench.process(0)
        first.complaint = "The log cannot be written: why."
        first.end(code)
        with pytest.raises(kind, match=r"^The log cannot be written: why\.$"):
            await bench.slot.first
        assert await bench.keeping == code
        assert len(bench.processes) == 1

    scenario(test)


def test_what_a_worker_says_of_itself_is_passed_on(scenario: Any) -> None:
    async def test(bench: Bench) -> None:
        slot, first = bench.slot, await bench.process(0)
        first.answers["/readyz"] = (503, {"ready": False, "reason": "the disk is full", "warnings": []})
        first.be_ready("n-w2-a")
        await until(lambda: slot.trouble == "worker 2: the disk is full")
        del first.answers["/readyz"]
        await until(lambda: slot.trouble == "worker 2 does not answer: why")

    scenario(test)


def test_a_worker_that_is_dead_or_silent_is_ended(scenario: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(bench: Bench) -> None:
        first = await bench.process(0)
        first.answers["/livez"] = (503, {"live": False, "reason": "the log's thread has ended"})
        first.be_ready("n-w2-a")
        second = await bench.process(1)
        assert first.signals == [signal.SIGKILL]
        monkeypatch.setattr(worker_slot, "_SILENT_S_MAX", 0.05)
        second.answers = {}
        second.be_ready("n-w2-b")
        await bench.process(2)
        assert second.signals == [signal.SIGKILL]

    scenario(test)


def test_a_stop_ends_the_worker_and_nothing_is_started_after_it(scenario: Any) -> None:
    async def test(bench: Bench) -> None:
        first = await bench.process(0)
        first.be_ready("n-w2-a")
        await bench.slot.first
        bench.slot.stop()
        assert bench.slot.trouble == "worker 2 is stopping"
        assert await bench.keeping == 0
        assert (first.signals, len(bench.processes)) == ([STOP_WORKER], 1)

    scenario(test)


def test_a_worker_that_was_stopped_before_it_was_ready_has_not_failed(scenario: Any) -> None:
    async def test(bench: Bench) -> None:
        await bench.process(0)
        bench.slot.stop()
        assert await bench.keeping == 0

    scenario(test)


def test_a_start_that_the_system_refuses_is_tried_again(scenario: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(bench: Bench) -> None:
        first, start = await bench.process(0), worker_slot.WorkerProcess.start
        first.be_ready("n-w2-a")
        refused = []

        async def refuse(*_: Any) -> None:
            refused.append(True)
            if len(refused) > 1:
                monkeypatch.setattr(worker_slot.WorkerProcess, "start", start)
            raise BlockingIOError(11, "Resource temporarily unavailable")

        monkeypatch.setattr(worker_slot.WorkerProcess, "start", refuse)
        first.end(1)
        second = await bench.process(1)
        assert "could not be started: [Errno 11]" in str(second.predecessor)

    scenario(test)
