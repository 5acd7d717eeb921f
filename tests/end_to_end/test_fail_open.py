"""A full disk: with fail_open what leaves is entered late and readers are told first; with fail_closed none leaves."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.harness import Sidecar, end
from tests.end_to_end.ledger import disagreements, ledger
from tests.end_to_end.origin import Farm
from tests.end_to_end.test_unwritable_log import fill, small_disk
from tests.reports.command import crawl_audit

__all__ = ["small_disk"]
REQUESTS = 40


def settings(on_failure: str) -> str:
    return f'[logging]\nreserve_mib = 4\non_failure = "{on_failure}"\nemergency_mib = 1\n'


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def readiness(sidecar: Sidecar) -> dict[str, object]:
    answer = httpx.get(f"http://{sidecar.ready['admin']}/readyz", trust_env=False)
    body: dict[str, object] = json.loads(answer.content)
    assert answer.status_code == (200 if body["ready"] else 503)
    return body


def metric(sidecar: Sidecar, name: str) -> float:
    text = httpx.get(f"http://{sidecar.ready['admin']}/metrics", trust_env=False).text
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))


def test_with_fail_open_requests_to_known_sites_leave_and_are_entered_late(
    small_disk: Path, sidecar: Callable[..., Sidecar], sites: Farm
) -> None:
    known, unknown = sites.start(), sites.start()
    started = sidecar(log=small_disk / "log", mode="enforce", settings=settings("fail_open"))
    try:
        with started.client() as client:
            assert client.get(known.url + "/page?id=0").status_code == 200
            ballast = fill(small_disk)
            assert within(5, lambda: not readiness(started)["ready"]), "not told within 5 s"
            for number in range(1, REQUESTS):
                assert client.get(f"{known.url}/page?id={number}").status_code == 200
            assert client.get(f"{known.url}/private/x?id=100").status_code == 403
            refusal = client.get(f"{unknown.url}/page?id=101")
            assert (refusal.status_code, refusal.json()["reason"]) == (503, "audit_disk_reserve")
            assert readiness(started)["warnings"]
            assert metric(started, "crawl_audit_fail_open_requests_total") == REQUESTS - 1
            ballast.unlink()
            assert within(10, lambda: bool(readiness(started)["ready"])), "not back within 10 s"
            assert within(10, lambda: readiness(started)["warnings"] == [])
            assert client.get(f"{known.url}/page?id={REQUESTS}").status_code == 200
        assert started.stop() == 0
        assert list((started.log / "emergency").iterdir()) == []
        _check_log(started)
        assert len(known.hits("/page")) == REQUESTS + 1
        assert unknown.hits("/page") == known.hits("/private") == []
        assert disagreements(ledger(started, [known, unknown])) == []
    finally:
        end(started)  # before its disk goes


def _check_log(sidecar: Sidecar) -> None:
    (gap,) = sidecar.rows("SELECT * FROM gap")
    assert (gap["requests"], gap["kept"], gap["cause"]) == (REQUESTS - 1, REQUESTS - 1, "audit_disk_reserve")
    words = {row["incident"] for row in sidecar.rows("SELECT incident FROM incident")}
    assert {"fail_open_configured", "log_suspended", "log_resumed"} <= words
    (resumed,) = sidecar.rows("SELECT detail FROM incident WHERE incident = 'log_resumed'")
    assert "1 request refused from " in resumed["detail"]
    first = f"{REQUESTS - 1} requests left before their record was durable (fail_open"
    for command in (("inquiry", sidecar.log, "127.0.0.1"), ("status", sidecar.log), ("report", "sites", sidecar.log)):
        assert crawl_audit(*command).out.startswith(first)


def test_with_fail_closed_nothing_leaves(small_disk: Path, sidecar: Callable[..., Sidecar], sites: Farm) -> None:
    """The control: the same disk, the other policy."""
    known = sites.start()
    started = sidecar(log=small_disk / "log", mode="enforce", settings=settings("fail_closed"))
    try:
        with started.client() as client:
            assert client.get(known.url + "/page?id=0").status_code == 200
            ballast = fill(small_disk)
            assert within(5, lambda: not readiness(started)["ready"]), "not told within 5 s"
            for number in range(1, REQUESTS):
                answer = client.get(f"{known.url}/page?id={number}")
                assert (answer.status_code, answer.json()["reason"]) == (503, "audit_disk_reserve")
            assert len(known.hits("/page")) == 1
            ballast.unlink()
            assert within(10, lambda: bool(readiness(started)["ready"])), "not back within 10 s"
        assert started.stop() == 0
        assert disagreements(ledger(started, [known])) == []
        assert started.rows("SELECT * FROM gap") == []
        (resumed,) = started.rows("SELECT detail FROM incident WHERE incident = 'log_resumed'")
        assert f"{REQUESTS - 1} requests refused from " in resumed["detail"]
    finally:
        end(started)


@pytest.mark.parametrize("entered", [False, True], ids=["killed-while-full", "control"])
def test_what_a_killed_sidecar_had_in_its_emergency_file_is_told_at_the_next_start(
    entered: bool, small_disk: Path, sidecar: Callable[..., Sidecar], sites: Farm
) -> None:
    known = sites.start()
    started = sidecar(log=small_disk / "log", mode="enforce", settings=settings("fail_open"))
    try:
        with started.client() as client:
            assert client.get(known.url + "/page?id=0").status_code == 200
            ballast = fill(small_disk)
            assert within(5, lambda: not readiness(started)["ready"])
            for number in range(1, 6):
                assert client.get(f"{known.url}/page?id={number}").status_code == 200
            if entered:
                ballast.unlink()
                assert within(10, lambda: bool(readiness(started)["ready"]))
                assert within(10, lambda: readiness(started)["warnings"] == [])
        started.stop(9)
        ballast.unlink(missing_ok=True)
        started.start()
        assert started.stop() == 0
        gaps = started.rows("SELECT requests, kept, cause, first_seq FROM gap")
        files = [path.name for path in (started.log / "quarantine").iterdir() if path.suffix == ".ndjson"]
        if entered:
            assert [gap["cause"] for gap in gaps] == ["audit_disk_reserve"]
            assert files == []
        else:
            assert gaps == [{"requests": 5, "kept": 5, "cause": "unclean_stop", "first_seq": None}]
            assert len(files) == 1
    finally:
        end(started)
