"""The admin port: alive, ready, counted, sealed, and nothing else."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from crawl_audit.errors import LogUnavailable
from proxy_addon import admin, sidecar
from proxy_addon.metrics import Metrics


def ask(
    method: str,
    path: str,
    *,
    reason: str | None = None,
    warnings: tuple[str, ...] = (),
    seal: Callable[[], Awaitable[dict[str, object]]] | None = None,
) -> httpx.Response:
    async def sealed() -> dict[str, object]:
        return {"sealed": True}

    async def run() -> httpx.Response:
        probes = admin.Probes(
            not_ready_because=lambda: reason,
            warnings=lambda: list(warnings),
            seal=seal or sealed,
            anchor=sealed,
            metrics=Metrics(),
        )
        server, address = admin.listen("127.0.0.1", 0, probes)
        try:
            async with httpx.AsyncClient(trust_env=False) as client:
                return await client.request(method, f"http://{address}{path}")
        finally:
            server.stop()
            await server.close_all_connections()

    return asyncio.run(run())


def body(response: httpx.Response) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(response.content)
    return parsed


def test_a_sidecar_that_cannot_record_is_alive_and_not_ready() -> None:
    assert ask("GET", "/livez", reason="the disk is full").status_code == 200
    answer = ask("GET", "/readyz", reason="the disk is full")
    assert (answer.status_code, body(answer)) == (
        503,
        {"ready": False, "reason": "the disk is full", "warnings": []},
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
    writer: Any = SimpleNamespace(available=fault is None, fault=fault, heartbeat_monotonic=time.monotonic() - silent_s)
    recorder: Any = SimpleNamespace(accepting=accepting)
    assert sidecar.not_ready(recorder, writer) == reason


def test_a_sidecar_without_trouble_is_ready() -> None:
    answer = ask("GET", "/readyz")
    assert (answer.status_code, body(answer)) == (200, {"ready": True, "reason": None, "warnings": []})


def test_what_needs_mending_and_stops_nothing_is_a_warning() -> None:
    answer = ask("GET", "/readyz", warnings=("a segment cannot be published",))
    assert (answer.status_code, body(answer)["warnings"]) == (200, ["a segment cannot be published"])


def test_metrics_are_in_the_text_format_of_prometheus() -> None:
    answer = ask("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b"# TYPE crawl_audit_requests_total counter" in answer.content


def test_sealing_answers_what_was_sealed() -> None:
    assert body(ask("POST", "/seal")) == {"sealed": True}


def test_a_seal_that_fails_says_why() -> None:
    async def refuse() -> dict[str, object]:
        raise LogUnavailable("The log is closed.")

    answer = ask("POST", "/seal", seal=refuse)
    assert (answer.status_code, body(answer)) == (503, {"error": "The log is closed."})


@pytest.mark.parametrize(("method", "path"), [("GET", "/seal"), ("DELETE", "/livez"), ("GET", "/"), ("POST", "/x")])
def test_what_is_not_on_the_short_list_is_refused_in_json(method: str, path: str) -> None:
    answer = ask(method, path)
    assert answer.status_code in (404, 405)
    assert body(answer)["error"]
