"""Ready while what comes can be recorded; dead only where a restart would help."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from proxy_addon import readiness


def log(*, fault: str | None = None, silent_s: float = 0.1, ended: bool = False) -> Any:
    return SimpleNamespace(
        available=fault is None, fault=fault, ended=ended, heartbeat_monotonic=time.monotonic() - silent_s
    )


@pytest.mark.parametrize(
    "accepting,fault,silent_s,reason",
    [
        (True, None, 0.1, None),
        (True, None, 60, "the log's thread has been at one commit for 60 s: the disk is slow or hangs"),
        (True, "The disk is full.", 60, "the log cannot be written: The disk is full."),
        (False, None, 0.1, "the sidecar is starting or stopping"),
    ],
)
def test_a_sidecar_is_ready_while_its_log_can_be_written_and_its_disk_answers(
    accepting: bool, fault: str | None, silent_s: float, reason: str | None
) -> None:
    recorder: Any = SimpleNamespace(accepting=accepting)
    assert readiness.not_ready(recorder, log(fault=fault, silent_s=silent_s)) == reason


def test_a_full_or_hanging_disk_does_not_make_it_dead() -> None:
    assert readiness.dead(log(fault="The disk is full.")) is None
    assert readiness.dead(log(silent_s=100)) is None


def test_a_thread_that_has_ended_or_does_not_come_back_makes_it_dead() -> None:
    ended = log(fault="Nothing more can be recorded: a fault.", ended=True)
    assert readiness.dead(ended) == "the log's thread has ended: Nothing more can be recorded: a fault."
    assert readiness.dead(log(silent_s=121)) == "the log's thread has not moved for 121 s"
