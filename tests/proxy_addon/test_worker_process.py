"""A worker's process as its supervisor has it: what it says reaches the right ears, and its end is told apart."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from proxy_addon import settings, shared_limits, shared_memory, worker_process
from proxy_addon.worker_process import Place, WorkerGoneError, WorkerProcess, how


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (0, "ended with exit code 0"),
        (-9, "was ended by signal 9 (SIGKILL)"),
        (-250, "was ended by signal 250"),
    ],
)
def test_an_end_is_put_into_words(code: int, said: str) -> None:
    assert how(code) == said


def test_the_environment_of_a_worker_has_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRAWL_AUDIT_MODE", "enforce")
    monkeypatch.setenv("crawl_audit_log", "elsewhere")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    found = worker_process._environment()
    assert [name for name in found if name.upper().startswith("CRAWL_AUDIT_")] == []
    assert found["AWS_REGION"] == "eu-west-1"


class Script:
    """A program in place of a worker, and what it was heard to say."""

    def __init__(self, path: Path, program: str) -> None:
        (path / "live").mkdir()
        lock, memory = os.open(path / "lock", os.O_CREAT | os.O_RDWR), shared_memory.create(shared_limits.octets(0))
        self.out: list[str] = []
        self.errors: list[str] = []
        self.program = program
        self.descriptors = (lock, memory)
        self.place = Place(
            settings=settings.load(None, {"log": path}),
            listen="127.0.0.1:1",
            recovered=asyncio.Event(),
            directory_lock=lock,
            memory=memory,
            live=path / "live",
            say=self.out.append,
            say_error=self.errors.append,
        )


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def run(program: str, test: Callable[[Script, WorkerProcess], Coroutine[Any, Any, None]], number: int = 1) -> None:
        async def whole() -> None:
            script, real = Script(tmp_path, program), asyncio.create_subprocess_exec

            async def start(executable: str, *_: str, **options: Any) -> asyncio.subprocess.Process:
                return await real(executable, "-c", program, **options)

            monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
            worker = await WorkerProcess.start(number, script.place, None)
            async with asyncio.timeout(20):
                await test(script, worker)
            for descriptor in script.descriptors:
                os.close(descriptor)

        asyncio.run(whole())

    return run


SPEAKING = """
import json, sys
orders = json.loads(sys.stdin.readline())
print(json.dumps({"ready": True, "proxy": "p", "writes": "n-w1-log"}))
print(json.dumps({"checkpoint": "one"}))
print("x" * 3_000_000)
print(json.dumps({"checkpoint": "two"}), flush=True)
sys.stderr.write('{"event": "e"}\\nA sentence.\\n')
sys.exit(orders["worker"] + 5)
"""


def test_what_a_worker_says_is_passed_on_and_a_line_without_end_left_out(
    scenario: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(script: Script, worker: WorkerProcess) -> None:
        assert await worker.ready == {"ready": True, "proxy": "p"}
        assert await worker.ended() == 6
        assert (worker.log, worker.complaint) == ("n-w1-log", "A sentence.")
        assert [line for line in script.out if len(line) < 100] == ['{"checkpoint": "one"}', '{"checkpoint": "two"}']
        assert script.errors == ['{"event": "e"}']
        assert not worker.is_running
        with pytest.raises(WorkerGoneError, match="Worker 1 does not answer"):
            await worker.ask("/readyz")

    scenario(SPEAKING, test)
    assert "Worker 1 says: A sentence." in caplog.text


def test_a_later_worker_is_told_nothing_before_the_first_has_recovered(scenario: Any) -> None:
    async def test(script: Script, worker: WorkerProcess) -> None:
        await asyncio.sleep(0.3)
        assert worker.is_running
        script.place.recovered.set()
        assert await worker.ended() == 7

    scenario(SPEAKING, test, number=2)


def test_a_worker_that_does_not_answer_is_not_waited_for(scenario: Any) -> None:
    async def test(script: Script, worker: WorkerProcess) -> None:
        with pytest.raises(WorkerGoneError, match=r"has not answered within 0\.1 s"):
            await worker.ask("/readyz", within_s=0.1)
        worker.signal(9)
        assert await worker.ended() == -9
        worker.signal(9)  # nobody is there any more

    scenario("import time; time.sleep(60)", test)
