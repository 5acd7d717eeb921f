"""The pace that several workers keep together is the one that a single process keeps."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys

import pytest

from crawl_audit.errors import LogUnavailable
from crawl_audit.target import Scope
from proxy_addon import shared_marks, shared_memory
from proxy_addon.pacing import Mark, Pacer, TooEarly
from proxy_addon.shared_marks import SharedMarks
from proxy_addon.shared_memory import SharedMemory
from tests import logs

SCOPE = Scope("http", "example.com", 80)
DECISION = logs.decision("example.com", crawler="news")
WORKER = """
import asyncio, json, sys, time
from crawl_audit.target import Scope
from proxy_addon.pacing import Pacer
from proxy_addon.shared_marks import SharedMarks
from proxy_addon.shared_memory import SharedMemory
from tests import logs

pacer = Pacer(enforce=True, marks=SharedMarks(SharedMemory(int(sys.argv[1]))))
left = []

async def ask():
    await pacer.turn("news", Scope("http", "example.com", 80), 60)
    with pacer.leaving(logs.decision("example.com", crawler="news")):
        left.append(time.monotonic())

async def main():
    print("here", flush=True)
    sys.stdin.readline()
    await asyncio.gather(*(ask() for _ in range(6)))
    print(json.dumps(left))

asyncio.run(main())
"""


def marks() -> tuple[SharedMarks, SharedMarks]:
    """The marks as two workers have them."""
    descriptor = shared_memory.create(shared_marks.OCTETS)
    return SharedMarks(SharedMemory(descriptor)), SharedMarks(SharedMemory(descriptor))


def test_what_left_through_one_worker_is_the_previous_request_of_the_other() -> None:
    first, second = (Pacer(marks=each) for each in marks())
    assert second.since_previous_ms("news", SCOPE) is None
    with first.leaving(DECISION):
        assert second.since_previous_ms("news", SCOPE) == 0
    since = second.since_previous_ms("news", SCOPE)
    assert since is not None and since < 1000
    assert second.since_previous_ms("other", SCOPE) is None
    assert second.since_previous_ms("news", Scope("https", "example.com", 80)) is None


def test_what_did_not_leave_after_all_is_no_request_for_the_other() -> None:
    first, second = (Pacer(marks=each) for each in marks())
    with pytest.raises(LogUnavailable), first.leaving(DECISION):
        raise LogUnavailable("full")
    assert second.since_previous_ms("news", SCOPE) is None


def test_a_slot_handed_out_by_one_worker_is_taken_for_the_other() -> None:
    async def test() -> None:
        first, second = (Pacer(enforce=True, hold_max_s=0.01, marks=each) for each in marks())
        await first.turn("news", SCOPE, 5_000)
        refused = await second.turn("news", SCOPE, 5_000)
        assert isinstance(refused, TooEarly)
        assert 4 < refused.wait_s <= 5

    asyncio.run(test())


def test_two_processes_keep_one_pace() -> None:
    descriptor = shared_memory.create(shared_marks.OCTETS)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(descriptor)],
            pass_fds=(descriptor,),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=30)[0] for process in processes]
    both = [json.loads(line) for line in said]
    left = sorted(at for each in both for at in each)
    assert [len(each) for each in both] == [6, 6]
    assert min(after - before for before, after in itertools.pairwise(left)) >= 0.055  # noted just after it was let go
    assert left not in ([*both[0], *both[1]], [*both[1], *both[0]]), "they went in turn"


def test_a_set_that_is_full_forgets_what_is_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_marks, "_SETS", 1)
    shared_marks._place.cache_clear()
    table, _ = marks()
    for number in range(9):
        with table.holding(("news", "http", f"h{number}.example", 80)) as mark:
            mark.left = float(number)
    known = [table.left(("news", "http", f"h{number}.example", 80)) for number in range(9)]
    assert known == [Mark().left, *map(float, range(1, 9))]
    shared_marks._place.cache_clear()
