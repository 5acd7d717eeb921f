"""Every request is decided on, durable before it leaves, answered or ended exactly once."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import inspect
import itertools
import json
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mitmproxy import http
from mitmproxy.flow import Error
from mitmproxy.proxy.layers.http import (
    HttpErrorHook,
    HttpRequestHeadersHook,
    HttpResponseHeadersHook,
    HttpResponseHook,
)
from mitmproxy.proxy.layers.websocket import WebsocketEndHook, WebsocketMessageHook, WebsocketStartHook
from mitmproxy.test import tflow
from mitmproxy.websocket import WebSocketMessage
from wsproto.frame_protocol import Opcode

from crawl_audit.errors import LogUnavailable
from crawl_audit.identity import Crawler
from crawl_audit.records import Action, Basis, Mode, Outcome, RobotsOutcome, Verdict
from crawl_audit.target import Scope
from proxy_addon import addon as addon_module
from proxy_addon import layers
from proxy_addon.addon import AuditAddon
from proxy_addon.connections import ConnectionAddon
from proxy_addon.limits import Admission, CrawlerLimiter, CrawlerLimits, MessageLimits
from tests.proxy_addon.fakes import TOKEN, Parts, answered, flow, production
from tests.proxy_addon.wire import Wire, narrowed, options
from tests.strategies import raw_fields, raw_targets

SECRET = Crawler(id="closed", product_tokens=("ExampleBot",), secret_sha256=hashlib.sha256(TOKEN.encode()).hexdigest())


def scenario(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test written as a coroutine."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


async def ask(parts: Parts, made: http.HTTPFlow) -> http.HTTPFlow:
    """``requestheaders`` as mitmproxy fires it."""
    async with production(parts.addon) as trigger:
        await trigger(HttpRequestHeadersHook(made))
    return made


def problem(made: http.HTTPFlow) -> dict[str, Any]:
    assert made.response is not None
    document = json.loads(made.response.content or b"")
    assert isinstance(document, dict)
    return document


def assert_forwarded(made: http.HTTPFlow) -> None:
    assert made.response is None
    assert callable(made.request.stream)
    assert layers.DENIED not in made.metadata


def assert_answered(made: http.HTTPFlow, status: int, error: str) -> None:
    assert made.response is not None
    assert made.response.status_code == status
    assert made.response.headers["Content-Type"] == "application/problem+json"
    assert made.response.headers["Proxy-Status"] == f"crawl-audit; error={error}"
    assert made.request.stream is False
    assert made.metadata[layers.DENIED] is True


# --- forward or deny ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", list(Mode))
@scenario
async def test_an_allowed_request_is_forwarded_with_its_decision_on_record(mode: Mode) -> None:
    parts = Parts(mode)
    made = await ask(parts, flow("/public?q=1"))
    assert_forwarded(made)
    (decision,) = parts.log.decisions
    assert (decision.verdict, decision.basis, decision.action) == (Verdict.ALLOWED, Basis.NO_RULE, Action.FORWARDED)
    assert (decision.mode, decision.target, decision.host, decision.port) == (mode, "/public?q=1", "example.com", 80)
    assert (decision.crawler, decision.client, decision.snapshot_seq) == ("news", "127.0.0.1:22", 41)
    assert (decision.user_agent, decision.token_in_user_agent) == ("ExampleBot/1.0", True)
    assert parts.cache.asked == [(Scope("http", "example.com", 80), ("ExampleBot",))]
    assert len(parts.addon.exchanges) == 1


@pytest.mark.parametrize(
    ("sent", "recorded"),
    [
        ([], None),
        (["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"], "4bf92f3577b34da6a3ce929d0e0e4736"),
        (["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"] * 2, None),
        (["00-" + "0" * 32 + "-00f067aa0ba902b7-01"], None),
        (["Bearer a secret"], None),
    ],
)
@scenario
async def test_the_trace_id_that_a_crawler_sends_stands_in_the_decision(sent: list[str], recorded: str | None) -> None:
    parts, made = Parts(), flow("/public")
    made.request.headers.set_all("traceparent", sent)
    assert_forwarded(await ask(parts, made))
    assert [decision.trace_id for decision in parts.log.decisions] == [recorded]
    assert made.request.headers.get_all("traceparent") == sent


@scenario
async def test_a_request_waits_for_its_decision_to_be_durable() -> None:
    parts, made = Parts(), flow("/public")
    parts.log.gate = asyncio.Event()
    task = asyncio.create_task(parts.addon.requestheaders(made))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not task.done()
    assert (parts.log.records, made.request.stream, len(parts.addon.exchanges)) == ([], False, 0)
    parts.log.gate.set()
    await task
    assert len(parts.log.decisions) == 1
    assert_forwarded(made)


@scenario
async def test_a_disallowed_request_is_denied_in_enforce_mode() -> None:
    parts = Parts(Mode.ENFORCE)
    made = await ask(parts, flow("/private/x"))
    assert_answered(made, 403, "http_request_denied")
    (decision,) = parts.log.decisions
    assert (decision.verdict, decision.basis, decision.action) == (Verdict.DISALLOWED, Basis.RULE, Action.DENIED)
    assert problem(made)["exchange_id"] == decision.exchange_id
    assert problem(made)["rule"] == decision.rule == "Disallow: /private"
    assert problem(made)["robots_sha256"] == decision.robots_sha256
    assert len(parts.addon.exchanges) == 0
    labels = {"verdict": "disallowed", "basis": "rule", "action": "denied"}
    assert parts.metric("crawl_audit_requests_total", **labels) == 1


@scenario
async def test_a_disallowed_request_is_forwarded_in_audit_mode_and_recorded_as_a_violation() -> None:
    parts = Parts(Mode.AUDIT)
    assert_forwarded(await ask(parts, flow("/private/x")))
    (decision,) = parts.log.decisions
    assert (decision.verdict, decision.action, decision.mode) == (Verdict.DISALLOWED, Action.FORWARDED, Mode.AUDIT)


@pytest.mark.parametrize(
    "outcome,verdict,basis",
    [
        (RobotsOutcome.UNREACHABLE, Verdict.DISALLOWED, Basis.UNREACHABLE),
        (RobotsOutcome.UNAVAILABLE, Verdict.ALLOWED, Basis.UNAVAILABLE),
    ],
)
@scenario
async def test_a_robots_txt_that_is_not_there_decides_as_the_rfc_says(
    outcome: RobotsOutcome, verdict: Verdict, basis: Basis
) -> None:
    parts = Parts(Mode.ENFORCE)
    parts.cache.outcome = outcome
    made = await ask(parts, flow("/a"))
    (decision,) = parts.log.decisions
    assert (decision.verdict, decision.basis) == (verdict, basis)
    if verdict is Verdict.DISALLOWED:
        assert_answered(made, 403, "http_request_denied")
    else:
        assert_forwarded(made)


@scenario
async def test_the_denial_of_a_head_request_has_no_body() -> None:
    made = await ask(Parts(Mode.ENFORCE), flow("/private", method="HEAD"))
    assert_answered(made, 403, "http_request_denied")
    assert made.response is not None
    assert made.response.content == b""


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS", "PUT", "BREW"])
@scenario
async def test_every_method_is_judged(method: str) -> None:
    parts = Parts(Mode.ENFORCE)
    assert_answered(await ask(parts, flow("/private", method=method)), 403, "http_request_denied")
    assert parts.log.decisions[0].method == method


@pytest.mark.parametrize("target", ["/robots.txt", "/robots.txt?cachebuster=1"])
@pytest.mark.parametrize("mode", list(Mode))
@scenario
async def test_the_crawlers_own_request_for_robots_txt_is_allowed_without_asking_the_cache(
    target: str, mode: Mode
) -> None:
    parts = Parts(mode)
    parts.cache.body = b"User-agent: *\nDisallow: /\n"
    assert_forwarded(await ask(parts, flow(target)))
    (decision,) = parts.log.decisions
    assert (decision.verdict, decision.basis, decision.snapshot_seq) == (Verdict.ALLOWED, Basis.ROBOTS_TXT, None)
    assert parts.cache.asked == []


@scenario
async def test_credentials_for_us_are_not_sent_on() -> None:
    fields = {"Proxy-Authorization": "Bearer x", "Proxy-Connection": "keep-alive", "Authorization": "Bearer site"}
    made = await ask(Parts(), flow("/a", fields=fields))
    assert_forwarded(made)
    assert set(made.request.headers) == {"host", "user-agent", "Authorization"}


@scenario
async def test_the_time_since_the_previous_request_is_of_forwarded_ones() -> None:
    parts = Parts(Mode.ENFORCE)
    for path in ("/private", "/a", "/private", "/b"):
        await ask(parts, flow(path))
    first, second, third, fourth = (decision.since_previous_ms for decision in parts.log.decisions)
    assert (first, second) == (None, None), "a denied request is no visit"
    assert third is not None
    assert fourth is not None


# --- refused --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize(
    "changes,detail",
    [
        ({"host_fields": [b"evil.example"]}, "Host field names another"),
        ({"host_fields": [b"example.com", b"evil.example"]}, "more than one Host"),
        ({"host_fields": [b"example.com:8080"]}, "Host field names another"),
        ({"authority": "evil.example"}, "names an authority of its own"),
        ({"authority": "example.com"}, "names an authority of its own"),
        ({"scheme": "ftp"}, "Only http and https"),
        ({"host": "exa mple"}, "characters that no host name can have"),
        ({"path": "http://evil.example/"}, "not a path"),
    ],
)
@scenario
async def test_a_request_that_contradicts_itself_is_refused_in_every_mode(
    changes: dict[str, Any], detail: str, mode: Mode
) -> None:
    parts = Parts(mode)
    made = await ask(parts, flow(**changes))
    assert_answered(made, 421, "http_request_error")
    (decision,) = parts.log.decisions
    assert (decision.basis, decision.verdict, decision.action) == (Basis.ERROR, Verdict.DISALLOWED, Action.DENIED)
    assert detail in (decision.detail or "")
    assert problem(made)["detail"] == decision.detail
    assert problem(made)["exchange_id"] == decision.exchange_id
    assert parts.cache.asked == []


@scenario
async def test_a_handshake_for_another_host_is_refused() -> None:
    parts, made = Parts(), flow("/a", scheme="https", port=443)
    made.client_conn.sni = "evil.example"
    assert_answered(await ask(parts, made), 421, "http_request_error")
    assert "SNI" in (parts.log.decisions[0].detail or "")


@pytest.mark.parametrize("value", [None, "Bearer wrong", "Basic é", "Basic \udcff", "Bearer", "x" * 10_000])
@scenario
async def test_an_unknown_crawler_is_asked_who_it_is_and_nothing_is_fetched_for_it(value: str | None) -> None:
    parts = Parts(crawlers=(SECRET,))
    made = await ask(parts, flow("/a", fields={} if value is None else {"Proxy-Authorization": value}))
    assert_answered(made, 407, "proxy_configuration_error")
    assert parts.log.decisions == []
    assert [incident.incident for incident in parts.log.incidents] == ["unknown_crawler"]
    assert parts.log.incidents[0].exchange_id == problem(made)["exchange_id"]
    assert parts.cache.asked == []


@scenario
async def test_a_known_crawler_is_let_in_by_its_token_and_the_token_goes_nowhere() -> None:
    parts = Parts(crawlers=(SECRET,))
    made = await ask(parts, flow("/a", fields={"Proxy-Authorization": f"Bearer {TOKEN}"}))
    assert_forwarded(made)
    assert parts.log.decisions[0].crawler == "closed"
    assert "proxy-authorization" not in made.request.headers
    assert TOKEN not in str(parts.log.records)


@scenario
async def test_inside_a_tunnel_the_crawler_is_who_opened_it() -> None:
    parts, made = Parts(crawlers=(SECRET,)), flow("/a")
    parts.recorder.tunnel_opened(made.client_conn, SECRET)
    assert_forwarded(await ask(parts, made))


@pytest.mark.parametrize("armed,draining", [(False, False), (True, True)])
@scenario
async def test_before_the_start_and_during_the_stop_nothing_is_forwarded(armed: bool, draining: bool) -> None:
    parts = Parts()
    parts.recorder.armed, parts.recorder.draining = armed, draining
    made = await ask(parts, flow("/robots.txt"))
    assert_answered(made, 503, "proxy_internal_error")
    assert problem(made)["error"] == "draining"
    assert parts.log.records == []
    assert parts.metric("crawl_audit_fail_closed_responses_total", reason="draining") == 1


@scenario
async def test_a_request_that_mitmproxy_refused_is_an_incident_and_not_decided_on() -> None:
    parts, made = Parts(), flow("/a")
    made.error = Error("Received message with both transfer-encoding and content-length headers from client")
    await ask(parts, made)
    assert (made.response, parts.log.decisions, parts.cache.asked) == (None, [], [])
    (incident,) = parts.log.incidents
    assert incident.incident == "malformed_request"
    assert "content-length" in incident.detail


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(path=raw_targets, field=st.none() | raw_fields, agent=st.binary(max_size=30), mode=st.sampled_from(Mode))
def test_any_octets_are_forwarded_with_a_decision_or_answered(
    path: bytes, field: bytes | None, agent: bytes, mode: Mode
) -> None:
    parts, made = Parts(mode), flow("/a", host_fields=[] if field is None else [field])
    made.request.data.path = path
    made.request.headers.fields = (*made.request.headers.fields, (b"User-Agent", agent))
    asyncio.run(parts.addon.requestheaders(made))
    assert parts.log.incidents == [], "no octets make a hook fail"
    (decision,) = parts.log.decisions
    if decision.action is Action.FORWARDED:
        assert_forwarded(made)
    else:
        assert made.response is not None
        assert made.response.status_code in (403, 421)


# --- failing closed -------------------------------------------------------------------------------------------------


def break_log(parts: Parts, error: BaseException) -> None:
    parts.log.append_error = error


def break_cache(parts: Parts, error: BaseException) -> None:
    parts.cache.error = error


def break_recorder(parts: Parts, error: BaseException) -> None:
    def identify(*_: Any) -> None:
        raise error

    parts.recorder.identify = identify  # type: ignore[method-assign]


def break_metrics(parts: Parts, error: BaseException) -> None:
    def decided(*_: Any) -> None:
        raise error

    parts.metrics.decided = decided  # type: ignore[method-assign]


def break_pacer(parts: Parts, error: BaseException) -> None:
    def since(*_: Any) -> None:
        raise error

    parts.addon.pacer.since_previous_ms = since  # type: ignore[method-assign]


def break_table_at_the_end(parts: Parts, error: BaseException) -> None:
    def opened(*_: Any) -> None:
        raise error

    parts.addon.exchanges.open = opened  # type: ignore[method-assign]


BREAKS = [break_log, break_cache, break_recorder, break_metrics, break_pacer, break_table_at_the_end]


@pytest.mark.parametrize("writer_dead", [False, True])
@pytest.mark.parametrize("breaks", BREAKS)
@pytest.mark.parametrize(
    "error", [RuntimeError("x"), AssertionError("x"), KeyError("x"), TimeoutError(), MemoryError()]
)
@scenario
async def test_whatever_collaborator_fails_the_request_is_not_forwarded(
    breaks: Callable[[Parts, BaseException], None],
    error: Exception,
    writer_dead: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    parts = Parts(Mode.AUDIT)
    breaks(parts, error)
    if writer_dead:
        parts.log.submit_error = RuntimeError("the writer is dead")
    made = await ask(parts, flow("/a"))
    assert_answered(made, 503, "proxy_internal_error")
    assert problem(made)["error"] == "hook_error"
    assert len(parts.addon.exchanges) == 0
    assert "Addon error" not in caplog.text
    if not writer_dead:
        (incident,) = parts.log.incidents
        assert (incident.incident, incident.exchange_id) == ("hook_error", problem(made)["exchange_id"])


@pytest.mark.parametrize("path", ["/private", "/robots.txt", "http://evil.example/"])
@pytest.mark.parametrize("reason", ["audit_log_unavailable", "audit_backpressure", "disk_reserve"])
@scenario
async def test_a_log_that_cannot_be_written_means_503_and_later(path: str, reason: str) -> None:
    parts = Parts(Mode.AUDIT)
    parts.log.append_error = LogUnavailable("The log cannot be written.", reason=reason)
    made = await ask(parts, flow(path))
    assert_answered(made, 503, "proxy_internal_error")
    assert problem(made)["error"] == reason
    assert made.response is not None
    assert made.response.headers["Retry-After"] == "5"
    assert parts.log.records == []
    assert parts.metric("crawl_audit_fail_closed_responses_total", reason=reason) == 1


@scenario
async def test_a_snapshot_that_cannot_be_recorded_means_503() -> None:
    parts = Parts(Mode.AUDIT)
    parts.cache.error = LogUnavailable("The log cannot be written.")
    assert_answered(await ask(parts, flow("/a")), 503, "proxy_internal_error")
    assert parts.log.decisions == []


@pytest.mark.parametrize(
    "changes", [{"host_fields": [b"evil.example"]}, {"fields": {"Proxy-Authorization": "Bearer x"}}]
)
@scenario
async def test_a_refusal_that_cannot_be_recorded_is_still_none_to_forward(changes: dict[str, Any]) -> None:
    parts = Parts(Mode.AUDIT, crawlers=(SECRET,))
    parts.log.append_error = parts.log.submit_error = RuntimeError("the writer is dead")
    made = flow("/a", **changes)
    if "host_fields" in changes:
        parts.recorder.tunnel_opened(made.client_conn, SECRET)
    assert_answered(await ask(parts, made), 503, "proxy_internal_error")


@pytest.mark.parametrize("place", ["cache", "log"])
@scenario
async def test_a_request_whose_hook_is_cancelled_leaves_no_open_exchange(place: str) -> None:
    parts, made = Parts(), flow("/a")
    (break_cache if place == "cache" else break_log)(parts, asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await parts.addon.requestheaders(made)
    assert (made.request.stream, len(parts.addon.exchanges), parts.log.decisions) == (False, 0, [])


HOOKS = [
    (cls, name)
    for cls in (AuditAddon, ConnectionAddon)
    for name, member in vars(cls).items()
    if inspect.iscoroutinefunction(member) and not name.startswith("_")
]


@pytest.mark.parametrize("cls,name", HOOKS)
def test_every_hook_is_wrapped_by_the_boundary(cls: type, name: str) -> None:
    code = inspect.getattr_static(cls, name).__code__
    assert code.co_name == "wrapped"
    assert code.co_filename.endswith("boundary.py")


def test_the_list_of_hooks_is_not_empty() -> None:
    assert len(HOOKS) >= 12


OBSERVING = [
    HttpResponseHeadersHook,
    HttpResponseHook,
    HttpErrorHook,
    WebsocketStartHook,
    WebsocketMessageHook,
    WebsocketEndHook,
]


@pytest.mark.parametrize("hook", OBSERVING)
@pytest.mark.parametrize("broken", ["log", "cache", "table", "signals"])
@scenario
async def test_an_observing_hook_that_fails_leaves_the_answer_alone(
    hook: type, broken: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = Parts(Mode.AUDIT)
    made = answered(await ask(parts, flow("/robots.txt")), X_Robots_Tag="noai")
    made.error = Error("x")
    if hook in OBSERVING[3:]:
        made.websocket = tflow.twebsocket()
    error = RuntimeError("broken")

    def fail(*_: Any, **__: Any) -> None:
        raise error

    parts.log.submit_error = error if broken == "log" else None
    parts.cache.error = error if broken == "cache" else None
    if broken == "table":
        monkeypatch.setattr(parts.addon.exchanges, "get", fail)
        monkeypatch.setattr(parts.addon.exchanges, "finish", fail)
    elif broken == "signals":
        monkeypatch.setattr(addon_module.signals, "response_signals", fail)
    before = made.response
    async with production(parts.addon) as trigger:
        await trigger(hook(made))
    assert "Addon error" not in caplog.text
    assert made.response is before
    if broken == "table":
        assert [incident.incident for incident in parts.log.incidents] == ["hook_error"]


# --- the answer -----------------------------------------------------------------------------------------------------


@scenario
async def test_an_answer_is_streamed_counted_and_completes_the_exchange() -> None:
    parts = Parts()
    made = answered(await ask(parts, flow("/a", method="POST")), 200, Content_Type="text/html")
    async with production(parts.addon) as trigger:
        await trigger(HttpResponseHeadersHook(made))
        assert made.response is not None
        assert callable(made.request.stream)
        assert callable(made.response.stream)
        made.request.stream(b"12345")
        made.response.stream(b"<html>")
        await trigger(HttpResponseHook(made))
    (completion,) = parts.log.completions
    assert completion.decision_seq == 0
    assert (completion.outcome, completion.status, completion.error) == (Outcome.COMPLETED, 200, None)
    assert (completion.request_bytes, completion.response_bytes) == (5, 6)
    assert completion.body_sha256 == hashlib.sha256(b"<html>").hexdigest()
    assert (completion.content_type, completion.modality) == ("text/html", "text")
    assert (completion.server_ip, completion.http_version) == ("192.0.2.7", "HTTP/1.1")
    assert parts.metric("crawl_audit_completions_total", outcome="completed") == 1
    assert len(parts.addon.exchanges) == 0


@pytest.mark.parametrize("path,status", [("/private", 403), ("http://evil.example/", 421)])
@scenario
async def test_a_denied_exchange_never_completes(path: str, status: int) -> None:
    parts = Parts(Mode.ENFORCE)
    made = await ask(parts, flow(path))
    async with production(parts.addon) as trigger:
        for hook in (HttpResponseHeadersHook, HttpResponseHook, HttpErrorHook):
            await trigger(hook(made))
    parts.addon.client_gone(made.client_conn.id)
    parts.addon.abandon_all()
    assert parts.log.completions == []
    assert made.response is not None
    assert (made.response.status_code, made.response.stream) == (status, False)


@scenario
async def test_usage_preferences_in_the_answer_are_recorded() -> None:
    parts = Parts()
    made = answered(await ask(parts, flow("/a")), 200, X_Robots_Tag="noai")
    async with production(parts.addon) as trigger:
        await trigger(HttpResponseHeadersHook(made))
    assert [(signal.protocol, signal.exchange_id) for signal in parts.log.signals] == [
        ("x-robots-tag", parts.log.decisions[0].exchange_id)
    ]


@scenario
async def test_a_change_of_protocol_is_not_streamed() -> None:
    parts = Parts()
    made = answered(await ask(parts, flow("/a")), 101, Upgrade="websocket")
    async with production(parts.addon) as trigger:
        await trigger(HttpResponseHeadersHook(made))
    assert made.response is not None
    assert made.response.stream is False


@pytest.mark.parametrize("fields,barrier", [({"CF_Mitigated": "Challenge"}, "challenge"), ({}, "http_403")])
@scenario
async def test_a_barrier_in_the_answer_is_recorded(fields: dict[str, str], barrier: str) -> None:
    parts = Parts()
    made = answered(await ask(parts, flow("/a")), 403, **fields)
    async with production(parts.addon) as trigger:
        await trigger(HttpResponseHook(made))
    assert parts.log.completions[0].barrier == barrier


@scenario
async def test_odd_octets_in_the_answer_are_made_fit_for_the_record() -> None:
    parts = Parts()
    made = answered(await ask(parts, flow("/a")))
    assert made.response is not None
    made.response.headers.fields = (
        (b"Content-Type", b"text/\xff\x00\x9bhtml" + b"x" * 9999),
        (b"Content-Usage", b"\xff=\x00"),
    )
    made.response.data.http_version = b"HTTP/\xff"
    async with production(parts.addon) as trigger:
        for hook in (HttpResponseHeadersHook, HttpResponseHook):
            await trigger(hook(made))
    assert parts.log.incidents == []
    assert len(parts.log.completions) == 1


# --- ends -----------------------------------------------------------------------------------------------------------


async def _response(parts: Parts, made: http.HTTPFlow) -> None:
    await parts.addon.response(answered(made))


async def _error(parts: Parts, made: http.HTTPFlow) -> None:
    made.error = Error("server closed connection")
    await parts.addon.error(made)


async def _websocket_end(parts: Parts, made: http.HTTPFlow) -> None:
    made.websocket = tflow.twebsocket()
    await parts.addon.websocket_end(made)


async def _client_gone(parts: Parts, made: http.HTTPFlow) -> None:
    parts.addon.client_gone(made.client_conn.id)


async def _abandon_all(parts: Parts, made: http.HTTPFlow) -> None:
    parts.addon.abandon_all()


ENDS: list[Callable[[Parts, http.HTTPFlow], Awaitable[None]]] = [
    _response,
    _error,
    _websocket_end,
    _client_gone,
    _abandon_all,
]
OUTCOMES = dict(
    zip(
        ENDS,
        [Outcome.COMPLETED, Outcome.UPSTREAM_ERROR, Outcome.COMPLETED, Outcome.CLIENT_ABORT, Outcome.PROXY_SHUTDOWN],
        strict=True,
    )
)


@pytest.mark.parametrize("order", list(itertools.permutations(ENDS, 3)))
@scenario
async def test_an_exchange_completes_once_and_the_first_end_counts(
    order: tuple[Callable[[Parts, http.HTTPFlow], Awaitable[None]], ...],
) -> None:
    parts = Parts()
    made = await ask(parts, flow("/a"))
    for end in order:
        await end(parts, made)
    assert [completion.outcome for completion in parts.log.completions] == [OUTCOMES[order[0]]]
    assert len(parts.addon.exchanges) == 0
    assert parts.log.incidents == []


@pytest.mark.parametrize(
    "message,connected,draining,outcome",
    [
        ("Client disconnected.", False, False, Outcome.NOT_SENT),
        ("Client disconnected.", True, False, Outcome.CLIENT_ABORT),
        ("Client disconnected.", True, True, Outcome.PROXY_SHUTDOWN),
        ("server closed connection", True, False, Outcome.UPSTREAM_ERROR),
        ("Connection timed out", False, False, Outcome.TIMEOUT),
        ("[Errno 110] Connect call failed: timeout", False, False, Outcome.TIMEOUT),
        ("[Errno 111] Connect call failed", False, False, Outcome.UPSTREAM_ERROR),
        ("Certificate verify failed: self-signed certificate", True, False, Outcome.UPSTREAM_ERROR),
        ("\x00\ud800" + "x" * 5000, True, False, Outcome.UPSTREAM_ERROR),
    ],
)
@scenario
async def test_how_an_exchange_failed(message: str, connected: bool, draining: bool, outcome: Outcome) -> None:
    parts = Parts()
    made = await ask(parts, flow("/a"))
    if connected:
        made.server_conn.timestamp_start = 1.0
    parts.recorder.draining = draining
    made.error = Error(message)
    async with production(parts.addon) as trigger:
        await trigger(HttpErrorHook(made))
    (completion,) = parts.log.completions
    assert completion.outcome is outcome
    assert completion.error
    assert completion.body_sha256 is None


@scenario
async def test_half_an_answer_is_recorded_with_what_came() -> None:
    parts = Parts()
    made = answered(await ask(parts, flow("/a")), 200)
    async with production(parts.addon) as trigger:
        await trigger(HttpResponseHeadersHook(made))
        assert made.response is not None
        assert callable(made.response.stream)
        made.response.stream(b"half")
        made.error = Error("server closed connection")
        await trigger(HttpErrorHook(made))
    (completion,) = parts.log.completions
    assert (completion.outcome, completion.status, completion.response_bytes) == (Outcome.UPSTREAM_ERROR, 200, 4)
    assert completion.body_sha256 is None


@scenario
async def test_a_client_that_leaves_ends_its_own_exchanges_only() -> None:
    parts, first, second = Parts(), flow("/a"), flow("/b")
    for made in (first, second):
        await ask(parts, made)
    parts.addon.client_gone(first.client_conn.id)
    assert [completion.decision_seq for completion in parts.log.completions] == [0]
    assert parts.addon.exchanges.flow_ids() == [second.id]


@pytest.mark.parametrize("draining,outcome", [(False, Outcome.CLIENT_ABORT), (True, Outcome.PROXY_SHUTDOWN)])
@scenario
async def test_a_client_that_is_sent_away_at_a_stop_has_not_left_by_itself(draining: bool, outcome: Outcome) -> None:
    parts = Parts()
    made = await ask(parts, flow("/a"))
    parts.recorder.draining = draining
    parts.addon.client_gone(made.client_conn.id)
    assert [completion.outcome for completion in parts.log.completions] == [outcome]


# --- robots.txt seen on the way -------------------------------------------------------------------------------------


async def _fetch_robots(parts: Parts, made: http.HTTPFlow, status: int = 200, body: bytes = b"x") -> None:
    await ask(parts, made)
    answered(made, status, ETag='"1"')
    async with production(parts.addon) as trigger:
        await trigger(HttpResponseHeadersHook(made))
        assert made.response is not None
        assert callable(made.response.stream)
        made.response.stream(body)
        assert parts.cache.observed == [], "half an answer is no evidence"
        await trigger(HttpResponseHook(made))


@pytest.mark.parametrize("status", [200, 404, 429, 500])
@scenario
async def test_the_crawlers_own_fetch_of_robots_txt_is_observed_when_it_is_complete(status: int) -> None:
    parts = Parts()
    await _fetch_robots(parts, flow("/robots.txt"), status, b"User-agent: *\n")
    (seen,) = parts.cache.observed
    assert (seen["scope"], seen["status"], seen["body"]) == (
        Scope("http", "example.com", 80),
        status,
        b"User-agent: *\n",
    )
    assert seen["final_url"] == "http://example.com/robots.txt"
    assert ("ETag", '"1"') in seen["headers"]
    assert [completion.outcome for completion in parts.log.completions] == [Outcome.COMPLETED]


@pytest.mark.parametrize(
    "made,status",
    [
        (flow("/robots.txt"), 301),
        (flow("/robots.txt"), 304),
        (flow("/robots.txt"), 206),
        (flow("/robots.txt?x"), 200),
        (flow("/other"), 200),
        (flow("/robots.txt", fields={"Cookie": "a=b"}), 200),
        (flow("/robots.txt", fields={"Authorization": "Bearer x"}), 200),
        (flow("/robots.txt", fields={"Range": "bytes=0-1"}), 200),
        (flow("/robots.txt", fields={"If-None-Match": '"1"'}), 200),
        (flow("/robots.txt", fields={"If-Modified-Since": "Sat, 21 Nov 2026 00:00:00 GMT"}), 200),
        (flow("/robots.txt", method="HEAD"), 200),
        (flow("/robots.txt", method="POST"), 200),
    ],
)
def test_an_answer_that_may_not_be_everybodys_is_not_observed(made: http.HTTPFlow, status: int) -> None:
    parts = Parts()
    asyncio.run(_fetch_robots(parts, made.copy(), status))
    assert parts.cache.observed == []
    assert len(parts.log.completions) == 1


@scenario
async def test_an_observed_robots_txt_is_kept_no_further_than_it_is_read() -> None:
    parts = Parts()
    await _fetch_robots(parts, flow("/robots.txt"), 200, b"#" * (3 * 1024 * 1024))
    assert len(parts.cache.observed[0]["body"]) == 1024 * 1024 + 1
    assert parts.log.completions[0].response_bytes == 3 * 1024 * 1024


@scenario
async def test_a_robots_txt_that_broke_off_is_not_observed() -> None:
    parts = Parts()
    made = answered(await ask(parts, flow("/robots.txt")))
    made.error = Error("server closed connection")
    async with production(parts.addon) as trigger:
        await trigger(HttpErrorHook(made))
    assert parts.cache.observed == []


@scenario
async def test_an_exchange_completes_even_where_observing_it_fails() -> None:
    parts = Parts()
    parts.cache.error = RuntimeError("x")
    await _fetch_robots(parts, flow("/robots.txt"))
    assert len(parts.log.completions) == 1
    assert [incident.incident for incident in parts.log.incidents] == ["hook_error"]


# --- WebSocket ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "close_code,by_client,draining,outcome",
    [
        (1000, True, False, Outcome.COMPLETED),
        (1001, False, False, Outcome.COMPLETED),
        (1006, True, False, Outcome.CLIENT_ABORT),
        (1006, False, False, Outcome.UPSTREAM_ERROR),
        (1006, True, True, Outcome.PROXY_SHUTDOWN),
    ],
)
@scenario
async def test_a_websocket_completes_when_it_is_closed_and_keeps_no_message(
    close_code: int, by_client: bool, draining: bool, outcome: Outcome
) -> None:
    parts = Parts()
    made = answered(await ask(parts, flow("/ws")), 101, Upgrade="websocket")
    made.websocket = tflow.twebsocket(messages=False)
    async with production(parts.addon) as trigger:
        await trigger(HttpResponseHeadersHook(made))
        await trigger(HttpResponseHook(made))
        assert parts.log.completions == [], "the handshake is not the end"
        await trigger(WebsocketStartHook(made))
        opened = parts.addon.exchanges.get(made.id)
        assert opened is not None
        assert opened.upgraded
        for number in range(3):
            made.websocket.messages.append(_message(number % 2 == 0, b"12345"))
            await trigger(WebsocketMessageHook(made))
            assert made.websocket.messages == []
        made.websocket.close_code, made.websocket.closed_by_client = close_code, by_client
        parts.recorder.draining = draining
        await trigger(WebsocketEndHook(made))
    (tunnel,) = parts.log.tunnels
    assert (tunnel.protocol, tunnel.outcome, tunnel.exchange_id) == (
        "websocket",
        "opened",
        parts.log.decisions[0].exchange_id,
    )
    (completion,) = parts.log.completions
    assert (completion.outcome, completion.status) == (outcome, 101)
    assert (completion.request_bytes, completion.response_bytes) == (10, 5)


def _message(from_client: bool, content: bytes) -> Any:
    return WebSocketMessage(Opcode.BINARY, from_client, content)


@pytest.mark.parametrize("mode", list(Mode))
@scenario
async def test_a_disallowed_websocket_is_judged_like_any_request(mode: Mode) -> None:
    made = await ask(Parts(mode), flow("/private/ws", fields={"Upgrade": "websocket", "Connection": "Upgrade"}))
    assert (made.response is None) == (mode is Mode.AUDIT)


# --- with mitmproxy's real HTTP layer -------------------------------------------------------------------------------


def drive(parts: Parts, octets: bytes) -> Wire:
    """The octets through the real layer, our hooks answering; the log's appends stand in the trace."""
    loop = asyncio.new_event_loop()
    original = parts.log.append

    def on_hook(command: Any) -> None:
        hook = getattr(parts.addon, command.name, None)
        if hook is not None:
            loop.run_until_complete(hook(*command.args()))

    async def append(record: Any) -> int:
        wire.trace.append("append")
        return await original(record)

    parts.log.append = append  # type: ignore[method-assign]
    with options() as opts, narrowed(lambda client, detail: None, lambda client, address: None):
        wire = Wire(opts, on_hook)
        wire.receive(octets)
    loop.close()
    return wire


@pytest.mark.parametrize(
    "body", [b"\r\n", b"Content-Length: 3\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"]
)
def test_no_connection_is_opened_before_the_decision_is_durable(body: bytes) -> None:
    parts = Parts()
    wire = drive(parts, b"POST http://example.com/a HTTP/1.1\r\nHost: example.com\r\nProxy-Authorization: x\r\n" + body)
    trace = [step for step in wire.trace if step in ("append", "open", "send")]
    assert trace[:3] == ["append", "open", "send"]
    assert wire.to_server.startswith(b"POST /a HTTP/1.1\r\nHost: example.com\r\n")
    assert b"Proxy-" not in wire.to_server


@pytest.mark.parametrize(
    "octets,status",
    [
        (b"GET http://example.com/private HTTP/1.1\r\nHost: example.com\r\n\r\n", b"403"),
        (b"POST http://example.com/private HTTP/1.1\r\nHost: example.com\r\nContent-Length: 3\r\n\r\nabc", b"403"),
        (b"GET http://example.com/a HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"421"),
        (b"GET ftp://example.com/a HTTP/1.1\r\nHost: example.com\r\n\r\n", b"400"),
        (b"GET /a HTTP/1.1\r\nHost: example.com\r\nHost: evil.example\r\n\r\n", b"400"),
        (b"GET http://EXAMPLE.com/priv%61te HTTP/1.1\r\nHost: example.com\r\n\r\n", b"403"),
    ],
)
def test_a_request_that_may_not_leave_opens_nothing(octets: bytes, status: bytes) -> None:
    wire = drive(Parts(Mode.ENFORCE), octets)
    assert wire.to_client.startswith(b"HTTP/1.1 " + status)
    assert (wire.opened, wire.to_server) == ([], b"")


@scenario
async def test_a_request_on_record_as_forwarded_that_then_cannot_be_gets_the_outcome_not_sent() -> None:
    parts = Parts()
    made = flow("/public")

    def fail(*_: object) -> None:
        raise RuntimeError("boom")

    parts.addon._forward = fail  # type: ignore[method-assign]
    await ask(parts, made)
    assert_answered(made, 503, "proxy_internal_error")
    (decision,), (completion,) = parts.log.decisions, parts.log.completions
    assert (decision.action, completion.outcome) == (Action.FORWARDED, Outcome.NOT_SENT)
    assert len(parts.addon.exchanges) == 0


@scenario
async def test_a_signal_that_cannot_be_recorded_keeps_the_request_from_being_decided_on() -> None:
    parts = Parts()
    parts.log.submit_error = LogUnavailable("no")
    signed = flow("/public")
    signed.request.headers["Signature-Agent"] = 'sig="https://signer.example"'
    signed.request.headers["Signature-Input"] = 'sig=("@authority");keyid="k";tag="web-bot-auth"'
    await ask(parts, signed)
    assert signed.response is not None
    assert signed.response.status_code == 503
    assert parts.log.decisions == []


# --- ended because of a deadline ------------------------------------------------------------------------------------


@scenario
async def test_an_exchange_that_is_overdue_ends_once() -> None:
    parts = Parts()
    made = await ask(parts, flow("/a"))
    parts.addon.overdue(made.id)
    parts.addon.overdue(made.id)
    parts.addon.client_gone(made.client_conn.id)
    (completion,) = parts.log.completions
    assert completion.outcome is Outcome.TIMEOUT


@scenario
async def test_what_the_watcher_needs_to_know_is_noted_as_it_happens() -> None:
    parts = Parts()
    made = await ask(parts, flow("/a"))
    opened = parts.addon.exchanges.get(made.id)
    assert opened is not None
    made.request.timestamp_end = None
    assert not opened.request_ended()
    made.request.timestamp_end = 1.0
    assert opened.request_ended()
    assert not opened.head_passed
    async with production(parts.addon) as trigger:
        await trigger(HttpResponseHeadersHook(answered(made)))
    assert opened.head_passed


@scenario
async def test_a_robots_txt_that_the_sidecar_cut_is_no_evidence() -> None:
    parts = Parts()
    made = await ask(parts, flow("/robots.txt"))
    opened = parts.addon.exchanges.get(made.id)
    assert opened is not None
    opened.cut = "timeout:rate: Too slow."
    snapshots = len(parts.log.records)
    async with production(parts.addon) as trigger:
        await trigger(HttpResponseHeadersHook(answered(made)))
        opened.response_meter(b"User-agent: *")
        await trigger(HttpResponseHook(made))
    (completion,) = parts.log.completions
    assert (completion.outcome, completion.error) == (Outcome.TIMEOUT, opened.cut)
    assert len(parts.log.records) == snapshots + 1


# --- limits ---------------------------------------------------------------------------------------------------------


@scenario
async def test_the_record_is_about_the_request_as_the_site_gets_it() -> None:
    parts = Parts(Mode.AUDIT)
    fields = {"connection": "close, cookie, user-agent", "cookie": "a=b", "te": "trailers", "proxy-foo": "1"}
    made = await ask(parts, flow("/public", fields=fields))
    assert dict(made.request.headers) == {"host": "example.com", "user-agent": "ExampleBot/1.0", "connection": "close"}
    assert parts.log.decisions[0].user_agent == "ExampleBot/1.0"


@scenario
async def test_a_body_that_grows_too_long_is_cut_once_and_the_site_is_broken_off() -> None:
    parts, ended = Parts(admission=Admission(messages=MessageLimits(body_bytes=10))), []
    parts.addon.end_sites = lambda client_id, why: ended.append((client_id, why))
    made = await ask(parts, flow("/public", method="POST"))
    stream = made.request.stream
    assert callable(stream)
    assert [stream(b"12345"), stream(b"67890"), stream(b"x"), stream(b"y")] == [b"12345", b"67890", [], []]
    assert ended == [(made.client_conn.id, "The body of the request is longer than 10 octets.")]
    exchange = parts.addon.exchanges.get(made.id)
    assert exchange is not None and exchange.cut == f"limit:request_body: {ended[0][1]}"
    assert parts.metric("crawl_audit_limit_exceeded_total", limit="request_body") == 1


@scenario
async def test_a_target_that_is_too_long_is_recorded_cut() -> None:
    parts = Parts(admission=Admission(messages=MessageLimits(target_bytes=8000)))
    assert_answered(await ask(parts, flow("/" + "a" * 20_000)), 414, "http_request_error")
    (decision,) = parts.log.decisions
    assert (decision.target, decision.action) == ("/" + "a" * 7999, Action.DENIED)
    assert parts.metric("crawl_audit_limit_exceeded_total", limit="request_target") == 1


@scenario
async def test_a_crawler_has_as_many_open_exchanges_as_its_settings_say() -> None:
    limiter = CrawlerLimiter({"news": CrawlerLimits(open_exchanges=2)})
    parts = Parts(Mode.AUDIT, admission=Admission(limiter=limiter))
    made = [await ask(parts, flow("/public")) for _ in range(3)]
    assert [one.response is not None for one in made] == [False, False, True]
    assert_answered(made[2], 429, "http_request_denied")
    assert parts.log.refusals == ["crawler_limit of news"]
    parts.addon.client_gone(made[0].client_conn.id)
    assert (await ask(parts, flow("/public"))).response is None
