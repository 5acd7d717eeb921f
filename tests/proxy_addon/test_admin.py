"""The admin port: alive, ready, counted, sealed, and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics import parser as openmetrics

from crawl_audit.errors import LogUnavailable
from proxy_addon import admin
from proxy_addon.metrics import Metrics


def ask(
    method: str,
    path: str,
    *,
    reason: str | None = None,
    dead: str | None = None,
    accept: str | None = None,
    warnings: tuple[str, ...] = (),
    seal: Callable[[], Awaitable[dict[str, object]]] | None = None,
    metrics: admin.Exposes | None = None,
) -> httpx.Response:
    async def sealed() -> dict[str, object]:
        return {"sealed": True}

    async def run() -> httpx.Response:
        probes = admin.Probes(
            dead_because=lambda: dead,
            not_ready_because=lambda: reason,
            warnings=lambda: list(warnings),
            seal=seal or sealed,
            anchor=sealed,
            metrics=metrics or Metrics(),
        )
        server, address = admin.listen("127.0.0.1", 0, probes)
        try:
            async with httpx.AsyncClient(trust_env=False) as client:
                fields = {} if accept is None else {"Accept": accept}
                return await client.request(method, f"http://{address}{path}", headers=fields)
        finally:
            server.stop()
            await server.close_all_connections()

    return asyncio.run(run())


def body(response: httpx.Response) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(response.content)
    return parsed


def test_a_sidecar_that_cannot_record_is_alive_and_not_ready() -> None:
    alive = ask("GET", "/livez", reason="the disk is full")
    assert (alive.status_code, body(alive)) == (200, {"live": True, "reason": None})
    answer = ask("GET", "/readyz", reason="the disk is full")
    assert (answer.status_code, body(answer)) == (
        503,
        {"ready": False, "reason": "the disk is full", "warnings": []},
    )


def test_a_sidecar_without_trouble_is_ready() -> None:
    answer = ask("GET", "/readyz")
    assert (answer.status_code, body(answer)) == (200, {"ready": True, "reason": None, "warnings": []})


def test_what_needs_mending_and_stops_nothing_is_a_warning() -> None:
    answer = ask("GET", "/readyz", warnings=("a segment cannot be published",))
    assert (answer.status_code, body(answer)["warnings"]) == (200, ["a segment cannot be published"])


def test_a_sidecar_that_only_a_restart_helps_is_not_alive() -> None:
    answer = ask("GET", "/livez", dead="the log's thread has ended: a fault")
    assert (answer.status_code, body(answer)) == (
        503,
        {"live": False, "reason": "the log's thread has ended: a fault"},
    )


def test_a_sidecar_that_answers_has_started_whether_it_is_ready_or_not() -> None:
    answer = ask("GET", "/startupz", reason="the disk is full")
    assert (answer.status_code, body(answer)) == (200, {"started": True})


def test_metrics_are_openmetrics_where_they_are_asked_for_so() -> None:
    wanted = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    answer = ask("GET", "/metrics", accept=wanted)
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")
    families = {family.name for family in openmetrics.text_string_to_metric_families(answer.text)}
    assert {"crawl_audit_requests", "crawl_audit_log_write_failures"} <= families


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


def test_metrics_that_have_to_be_asked_for_elsewhere_are_waited_for() -> None:
    class Elsewhere:
        async def exposition(self, accept: str = "") -> tuple[bytes, str]:
            await asyncio.sleep(0)
            return f"wanted {accept}".encode(), "text/plain; charset=utf-8"

    answer = ask("GET", "/metrics", accept="text/plain", metrics=Elsewhere())
    assert (answer.content, answer.headers["Content-Type"]) == (b"wanted text/plain", "text/plain; charset=utf-8")
