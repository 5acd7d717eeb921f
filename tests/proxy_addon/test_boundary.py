"""Whatever a hook raises, and whatever fails while that is dealt with, the request does not leave."""

from __future__ import annotations

import asyncio
import http as http_status
import json
import logging
from typing import Any

import pytest
from mitmproxy import exceptions, http, tcp
from mitmproxy.proxy.layers.http import HttpRequestHeadersHook, HttpResponseHook
from mitmproxy.proxy.layers.tcp import TcpStartHook
from mitmproxy.proxy.server_hooks import ClientConnectedHook
from mitmproxy.test import tflow

from crawl_audit.errors import CrawlAuditError, LogUnavailable, RecordError
from proxy_addon import denial, layers
from proxy_addon.boundary import decides, give, observes
from proxy_addon.denial import Answer
from proxy_addon.recorder import Recorder
from tests.proxy_addon.fakes import Parts, client, flow, production

FAILURES: list[Exception] = [
    RuntimeError("x"),
    AssertionError("x"),
    KeyError("x"),
    OSError(28, "No space left on device"),
    UnicodeEncodeError("utf-8", "\ud800", 0, 1, "x"),
    TimeoutError(),
    MemoryError(),
    RecursionError(),
    StopAsyncIteration(),
    RecordError("x"),
    CrawlAuditError("x"),
    exceptions.AddonHalt(),  # mitmproxy would stop asking the addons after us, and forward
    exceptions.OptionsError("x"),
]


class Addon:
    """An addon whose hooks do what the test says."""

    def __init__(self, recorder: Recorder, outcome: Any = None) -> None:
        self.recorder = recorder
        self.outcome = outcome
        self.identifier: str | None = None

    @decides
    async def requestheaders(self, flow: http.HTTPFlow, identifier: str) -> Answer | None:
        self.identifier = identifier
        flow.request.stream = True
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        assert self.outcome is None or isinstance(self.outcome, Answer)
        return self.outcome

    @observes
    async def response(self, flow: http.HTTPFlow) -> None:
        await self._observe()

    @observes
    async def client_connected(self, subject: Any) -> None:
        await self._observe()

    @observes
    async def tcp_start(self, flow: tcp.TCPFlow) -> None:
        await self._observe()

    async def _observe(self) -> None:
        if isinstance(self.outcome, BaseException):
            raise self.outcome


def ask(addon: Addon) -> http.HTTPFlow:
    made = flow()

    async def run() -> None:
        async with production(addon) as trigger:
            await trigger(HttpRequestHeadersHook(made))

    asyncio.run(run())
    return made


def assert_denied(made: http.HTTPFlow, reason: str) -> None:
    assert made.response is not None
    assert made.response.status_code == 503
    assert made.request.stream is False
    assert made.metadata[layers.DENIED] is True
    assert json.loads(made.response.content or b"")["error"] == reason


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_whatever_a_hook_raises_becomes_a_503_and_an_incident(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    parts = Parts()
    addon = Addon(parts.recorder, failure)
    made = ask(addon)
    assert_denied(made, "hook_error")
    (incident,) = parts.log.incidents
    assert (incident.incident, incident.exchange_id) == ("hook_error", addon.identifier)
    assert made.response is not None
    assert json.loads(made.response.content or b"")["exchange_id"] == addon.identifier
    assert "requestheaders failed" in incident.detail
    assert parts.metric("crawl_audit_fail_closed_responses_total", reason="hook_error") == 1
    assert "Addon error" not in caplog.text, "nothing is left to mitmproxy"


def test_the_line_about_a_failure_names_exchange_and_trace_and_neither_it_nor_the_incident_holds_a_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    parts, made = Parts(), flow("/public")
    made.request.headers["traceparent"] = f"00-{trace}-00f067aa0ba902b7-01"
    addon = Addon(parts.recorder, ValueError("cannot read 'https://example.com/?token=canary-60'"))
    asyncio.run(addon.requestheaders(made))
    (line,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert (line.event, line.exchange_id, line.trace_id) == (  # type: ignore[attr-defined]
        "hook_error",
        addon.identifier,
        trace,
    )
    (incident,) = parts.log.incidents
    assert "canary" not in incident.detail


def test_a_log_that_is_not_available_is_a_503_with_its_reason_and_no_incident() -> None:
    parts = Parts()
    made = ask(Addon(parts.recorder, LogUnavailable("The queue is full.", reason="audit_backpressure")))
    assert_denied(made, "audit_backpressure")
    assert made.response is not None
    assert made.response.headers["Retry-After"] == str(denial.RETRY_AFTER_S)
    assert parts.log.incidents == []
    assert parts.metric("crawl_audit_fail_closed_responses_total", reason="audit_backpressure") == 1


@pytest.mark.parametrize("broken", ["log", "metrics", "both"])
@pytest.mark.parametrize("failure", [RuntimeError("x"), LogUnavailable("y")])
def test_a_request_is_denied_even_where_dealing_with_the_failure_fails(
    failure: Exception, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = Parts()
    if broken in ("log", "both"):
        parts.log.submit_error = RuntimeError("the writer is dead")
    if broken in ("metrics", "both"):
        monkeypatch.delattr(parts.metrics, "fail_closed")
        monkeypatch.delattr(parts.metrics, "incidents")
    made = ask(Addon(parts.recorder, failure))
    assert made.response is not None
    assert made.response.status_code == 503
    assert made.request.stream is False


def test_an_answer_that_cannot_be_given_is_a_503() -> None:
    """A status no phrase is known for is a fault of ours, and no reason to forward."""
    parts = Parts()
    made = ask(Addon(parts.recorder, Answer(999, (), b"")))
    assert_denied(made, "hook_error")


def test_no_answer_means_forward() -> None:
    made = ask(Addon(Parts().recorder, None))
    assert made.response is None
    assert made.request.stream is True
    assert layers.DENIED not in made.metadata


def test_every_call_has_an_id_of_its_own() -> None:
    addon = Addon(Parts().recorder)
    seen = set()
    for _ in range(5):
        ask(addon)
        seen.add(addon.identifier)
    assert len(seen) == 5


@pytest.mark.parametrize("failure", [asyncio.CancelledError(), KeyboardInterrupt(), SystemExit()])
def test_what_ends_the_process_or_task_passes(failure: BaseException) -> None:
    """mitmproxy then never completes the hook, so nothing is sent (test_layers.py)."""
    parts, made = Parts(), flow()
    addon = Addon(parts.recorder, failure)
    coroutine = addon.requestheaders(made)
    with pytest.raises(type(failure)):
        coroutine.send(None)
    assert (made.response, parts.log.records) == (None, [])


@pytest.mark.parametrize("submit_error", [None, RuntimeError("the writer is dead")])
@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_what_an_observing_hook_raises_becomes_an_incident_and_changes_nothing(
    failure: Exception, submit_error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    parts, made, connected = Parts(), flow(), client()
    parts.log.submit_error = submit_error
    hooks = [HttpResponseHook(made), ClientConnectedHook(connected), TcpStartHook(tflow.ttcpflow())]

    async def run() -> None:
        async with production(Addon(parts.recorder, failure)) as trigger:
            for hook in hooks:
                await trigger(hook)

    with caplog.at_level(logging.CRITICAL, logger="proxy_addon.boundary"):
        asyncio.run(run())
    assert "Addon error" not in caplog.text
    assert made.response is None
    if submit_error is None:
        assert [incident.incident for incident in parts.log.incidents] == ["hook_error"] * 3
        assert all(incident.client for incident in parts.log.incidents)


def test_what_could_not_be_recorded_for_the_logs_own_trouble_is_no_fault_of_the_hook() -> None:
    parts = Parts()

    async def run() -> None:
        async with production(Addon(parts.recorder, LogUnavailable("The disk is full."))) as trigger:
            await trigger(HttpResponseHook(flow()))

    asyncio.run(run())
    assert [incident.incident for incident in parts.log.incidents] == ["not_recorded"]
    assert parts.log.incidents[0].detail == "response: The disk is full."


# --- giving an answer -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 403, 407, 421, 503])
def test_an_answer_is_given_whole(status: int) -> None:
    made = flow()
    give(made, Answer(status, ((b"X-A", b"1"), (b"X-B", b"2")), b"body"))
    assert made.response is not None
    assert (made.response.status_code, made.response.content) == (status, b"body")
    assert made.response.reason == http_status.HTTPStatus(status).phrase
    assert made.response.headers.fields == ((b"X-A", b"1"), (b"X-B", b"2"))
    assert made.response.http_version == "HTTP/1.1"
    assert made.metadata[layers.DENIED] is True


def test_an_answer_to_head_has_fields_and_no_body() -> None:
    made = flow(method="HEAD")
    give(made, denial.unknown_crawler("id"))
    assert made.response is not None
    assert made.response.content == b""
    assert int(made.response.headers["Content-Length"]) > 0
