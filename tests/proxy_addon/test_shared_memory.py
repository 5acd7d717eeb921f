"""Memory of several processes: what one writes the others read, and a lock does not outlive its holder."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time

from proxy_addon import shared_memory
from proxy_addon.shared_memory import SharedMemory

NUMBER = struct.Struct("d")
ADDING = """
import struct, sys
from proxy_addon.shared_memory import SharedMemory
memory, number = SharedMemory(int(sys.argv[1])), struct.Struct("d")
for _ in range(2000):
    with memory.holding(64, 8):
        (value,) = memory.read(number, 64)
        memory.write(number, 64, value + 1)
"""
KEEPING = """
import os, sys, time
from proxy_addon.shared_memory import SharedMemory
with SharedMemory(int(sys.argv[1])).holding(0, 8):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_no_change_is_lost_between_processes() -> None:
    descriptor = shared_memory.create(4096)
    command = [sys.executable, "-c", ADDING, str(descriptor)]
    processes = [subprocess.Popen(command, pass_fds=(descriptor,)) for _ in range(2)]
    assert [process.wait(30) for process in processes] == [0, 0]
    assert SharedMemory(descriptor).read(NUMBER, 64) == (4000.0,)


def test_nobody_waits_long_for_a_holder_that_does_not_move_nor_at_all_for_a_dead_one() -> None:
    descriptor = shared_memory.create(4096)
    memory = SharedMemory(descriptor)
    command = [sys.executable, "-c", KEEPING, str(descriptor)]
    with subprocess.Popen(command, pass_fds=(descriptor,), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        begun = time.monotonic()
        with memory.holding(8, 8):
            pass  # another part
        with memory.holding(0, 8):
            assert time.monotonic() - begun >= shared_memory._PATIENCE_S
        process.kill()
        process.wait()
    with memory.holding(0, 8):
        memory.put(0, b"12345678")
    assert memory.octets(0, 8) == b"12345678"


def test_the_memory_is_not_handed_to_programs_that_were_not_given_it() -> None:
    assert not os.get_inheritable(shared_memory.create(64))
