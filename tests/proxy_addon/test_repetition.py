"""A flood of one message becomes a few lines and a number; other messages are not touched."""

from __future__ import annotations

import logging

from proxy_addon.repetition import Repetition


def record(template: str, *values: object, name: str = "asyncio") -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, "x.py", 1, template, values, None)


def test_of_a_flood_ten_lines_are_written_and_the_next_says_how_many_were_not() -> None:
    now = [0.0]
    flood = Repetition(lambda: now[0])
    written = [flood.filter(record("no descriptors for %s", number)) for number in range(500)]
    assert sum(written) == 10 and all(written[:10])
    now[0] = 10.0
    after = record("no descriptors for %s", 501)
    assert flood.filter(after)
    assert after.getMessage() == "no descriptors for 501 (490 more of these were left out since the last one)"
    again = record("no descriptors for %s", 502)
    assert flood.filter(again) and again.getMessage() == "no descriptors for 502"


def test_other_messages_and_the_same_of_another_logger_pass() -> None:
    flood = Repetition(lambda: 0.0)
    for _ in range(50):
        flood.filter(record("one"))
    assert flood.filter(record("two"))
    assert flood.filter(record("one", name="crawl_audit.log"))


def test_a_message_with_a_percent_sign_and_no_values_is_left_as_it_is() -> None:
    assert Repetition(lambda: 0.0).filter(record("100 % full"))


def test_memory_for_kinds_of_messages_is_bounded() -> None:
    flood = Repetition(lambda: 0.0)
    for number in range(5000):
        assert flood.filter(record(f"message {number}"))
    assert len(flood._seen) <= 1000
