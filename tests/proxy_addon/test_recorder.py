"""What happens beside the decisions is recorded with who was connected, in a form the log can hold."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawl_audit.identity import Crawler
from proxy_addon.clock import now_us
from proxy_addon.limits import Limit, TooMany
from proxy_addon.recorder import Recorder, address_of, new_exchange_id
from tests.proxy_addon.fakes import OPEN, Parts, client


def crawler(name: str, secret_sha256: str = "0" * 64) -> Crawler:
    return Crawler(id=name, product_tokens=("A",), secret_sha256=secret_sha256)


@pytest.mark.parametrize(
    "armed,draining,accepting", [(False, False, False), (True, False, True), (True, True, False), (False, True, False)]
)
def test_requests_are_accepted_between_start_and_stop(armed: bool, draining: bool, accepting: bool) -> None:
    recorder = Parts().recorder
    recorder.armed, recorder.draining = armed, draining
    assert recorder.accepting is accepting


def test_a_new_recorder_accepts_nothing() -> None:
    parts = Parts()
    assert Recorder(parts.log, parts.metrics, ()).accepting is False


@pytest.mark.parametrize(
    "peername,address",
    [
        (("10.0.0.1", 4711), "10.0.0.1:4711"),
        (("::1", 4711, 0, 0), "[::1]:4711"),
        (None, None),
    ],
)
def test_the_address_of_a_client(peername: Any, address: str | None) -> None:
    assert address_of(client(peername=peername)) == address


def test_a_tunnel_belongs_to_who_opened_it_until_the_connection_ends() -> None:
    parts, one, two = Parts(crawlers=(crawler("a"), crawler("b"))), client(), client()
    parts.recorder.tunnel_opened(one, crawler("b"))
    assert parts.recorder.identify(one, None) == crawler("b")
    assert parts.recorder.identify(two, None) is None
    parts.recorder.disconnected(one)
    assert parts.recorder.identify(one, None) is None
    parts.recorder.disconnected(one)


def test_without_a_tunnel_each_request_speaks_for_itself() -> None:
    assert Parts().recorder.identify(client(), None) is OPEN


@given(st.text(st.characters()), st.none() | st.text(st.characters()))
def test_an_incident_can_be_recorded_whatever_the_detail(detail: str, host: str | None) -> None:
    parts = Parts()
    parts.recorder.incident("hook_error", detail, client(), "id")
    parts.recorder.tunnel("connect", "refused", client(), host=host, port=443, detail=detail, exchange="id")
    (incident,), (tunnel,) = parts.log.incidents, parts.log.tunnels
    assert (incident.incident, incident.exchange_id, incident.client) == ("hook_error", "id", "127.0.0.1:22")
    assert len(incident.detail) <= 1000
    assert (tunnel.protocol, tunnel.outcome, tunnel.port, tunnel.exchange_id) == ("connect", "refused", 443, "id")
    assert (tunnel.host is None) == (host is None)
    assert parts.metric("crawl_audit_incidents_total", incident="hook_error") == 1


def test_an_incident_in_a_tunnel_names_the_crawler() -> None:
    parts, connected = Parts(), client()
    parts.recorder.incident("x", "before", connected)
    parts.recorder.tunnel_opened(connected, OPEN)
    parts.recorder.incident("x", "within", connected)
    parts.recorder.tunnel("tls", "failed", connected)
    assert [incident.crawler for incident in parts.log.incidents] == [None, "news"]
    assert parts.log.tunnels[0].crawler == "news"


def test_an_incident_is_counted_even_where_it_cannot_be_recorded() -> None:
    parts = Parts()
    parts.log.submit_error = RuntimeError("closed")
    with pytest.raises(RuntimeError):
        parts.recorder.incident("x", "y", client())
    assert parts.metric("crawl_audit_incidents_total", incident="x") == 1


def test_exchange_ids_are_fresh_and_of_now() -> None:
    before = now_us() // 1000
    made = [uuid.UUID(new_exchange_id()) for _ in range(100)]
    assert len(set(made)) == 100
    assert all(before <= each.int >> 80 <= now_us() // 1000 for each in made)


def test_what_anybody_can_bring_about_is_recorded_so_many_times_and_then_counted() -> None:
    parts, stranger = Parts(), client()
    for _ in range(150):
        parts.recorder.incident("unknown_crawler", "No token.", stranger)
    parts.recorder.incident("malformed_request", "Nonsense.", stranger)
    parts.recorder.incident("hook_error", "A fault.", stranger)
    words = [incident.incident for incident in parts.log.incidents]
    assert 100 <= words.count("unknown_crawler") < 150
    assert parts.log.refusals == ["unknown_crawler"] * (150 - words.count("unknown_crawler"))
    assert words[-2:] == ["malformed_request", "hook_error"], "each word has a share of its own"
    assert parts.metric("crawl_audit_incidents_total", incident="unknown_crawler") == 150


def test_incidents_that_nobody_can_bring_about_are_all_recorded() -> None:
    parts = Parts()
    for _ in range(300):
        parts.recorder.incident("hook_error", "A fault.", client())
    assert len(parts.log.incidents) == 300


def test_tunnels_refused_to_strangers_are_counted_above_a_rate_and_those_of_crawlers_never() -> None:
    parts, stranger, known = Parts(crawlers=(crawler("a"),)), client(), client()
    parts.recorder.tunnel_opened(known, crawler("a"))
    for _ in range(150):
        parts.recorder.tunnel("connect", "refused", stranger)
        parts.recorder.tunnel("connect", "refused", known)
    of_known = [tunnel for tunnel in parts.log.tunnels if tunnel.crawler == "a"]
    assert len(of_known) == 150
    assert len(parts.log.tunnels) - 150 + len(parts.log.refusals) == 150
    assert set(parts.log.refusals) == {"tunnel_refused"}


def test_a_crawler_above_its_limit_is_counted_by_its_id() -> None:
    parts = Parts()
    parts.recorder.limited(OPEN, TooMany(Limit.CRAWLER_RATE, 1))
    parts.recorder.too_many()
    assert parts.log.refusals == ["crawler_limit of news", "too_many_connections"]
    for limit in ("crawler_rate", "open_connections"):
        assert parts.metric("crawl_audit_limit_exceeded_total", limit=limit) == 1
