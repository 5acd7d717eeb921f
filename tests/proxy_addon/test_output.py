"""Nobody waits for whoever reads the lines; what they do not take is counted."""

from __future__ import annotations

import io
import json
import os
import threading
import time
from collections.abc import Iterator
from typing import TextIO

import pytest

from proxy_addon.output import Lines


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        yield reading, stream
    os.close(reading)


def fill(stream: TextIO) -> int:
    """Fill the pipe behind a stream to the last octet; how many went in."""
    os.set_blocking(stream.fileno(), False)
    filled = 0
    for size in (65_536, 4096, 1):
        while True:
            try:
                filled += os.write(stream.fileno(), b"." * size)
            except BlockingIOError:
                break
    os.set_blocking(stream.fileno(), True)
    return filled


def test_lines_come_in_order_and_whole(pipe: tuple[int, TextIO]) -> None:
    reading, stream = pipe
    lines = Lines(stream, "stdout")
    for number in range(50):
        lines.say(f"{number} " + "é" * 20)
    assert lines.settle(10)
    assert os.read(reading, 65_536).decode() == "".join(f"{number} {'é' * 20}\n" for number in range(50))
    assert lines.dropped == 0


def test_a_pipe_that_nobody_reads_holds_nobody_up_and_what_it_cost_is_said_later(pipe: tuple[int, TextIO]) -> None:
    reading, stream = pipe
    filled = fill(stream)
    lines = Lines(stream, "stdout", lines_max=10)
    began = time.monotonic()
    lines.say("first")
    while not lines._writing:
        time.sleep(0.001)
    for number in range(100):
        lines.say(f"line {number}")
    assert time.monotonic() - began < 5
    assert (lines.dropped, lines.settle(0.05)) == (90, False)
    while filled:
        filled -= len(os.read(reading, filled))
    assert lines.settle(10)
    first, told, *rest = os.read(reading, 65_536).decode().splitlines()
    assert first == "first"
    assert json.loads(told) == {"event": "lines_dropped", "stream": "stdout", "lines": 90}
    assert rest == [f"line {number}" for number in range(10)]


def test_a_line_longer_than_the_pipe_arrives_whole(pipe: tuple[int, TextIO]) -> None:
    reading, stream = pipe
    received = bytearray()

    def read() -> None:
        while chunk := os.read(reading, 65_536):
            received.extend(chunk)

    reader = threading.Thread(target=read)
    reader.start()
    lines = Lines(stream, "stdout")
    lines.say("x" * 300_000)
    assert lines.settle(10)
    stream.close()
    reader.join(10)
    assert received == b"x" * 300_000 + b"\n"


def test_lines_nobody_can_read_any_more_are_counted() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        lines = Lines(stream, "stderr")
        lines.say("into nothing")
        assert lines.settle(10)
        deadline = time.monotonic() + 10
        while not lines.dropped:
            assert time.monotonic() < deadline
            time.sleep(0.001)


def test_a_stream_in_memory_is_written_too() -> None:
    memory = io.StringIO()
    lines = Lines(memory, "stdout")
    lines.say("one")
    assert lines.settle(10)
    assert memory.getvalue() == "one\n"
    assert not lines.is_terminal
