"""Each forwarded exchange ends once, and what passed through it is counted."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawl_audit import decision as decisions
from crawl_audit import schema
from crawl_audit.exchange import State
from crawl_audit.identity import Crawler
from crawl_audit.records import Basis, Instant, Mode, Outcome, Verdict
from crawl_audit.robots import Judgement
from crawl_audit.target import Scope, Target
from proxy_addon import exchanges
from proxy_addon.exchanges import Answered, BodyMeter, Exchange, ExchangeTable, barrier, modality

TARGET = Target(Scope("http", "example.com", 80), "/a", None)
NOW = Instant(1_000_000)


def exchange(client_id: str = "c", target: Target = TARGET, started: float | None = None) -> Exchange:
    request = decisions.Request(
        recorded_at=NOW,
        exchange_id="id",
        crawler=Crawler(id="news", product_tokens=("ExampleBot",)),
        client=None,
        user_agent=None,
        method="GET",
        target=target,
    )
    judgement = Judgement(verdict=Verdict.ALLOWED, basis=Basis.NO_RULE)
    decision = decisions.decide(request, Mode.AUDIT, judgement, None, None)
    made = Exchange(decision=decision, decision_seq=7, target=target, client_id=client_id)
    made.started = made.started if started is None else started
    return made


# --- counting -------------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=50)), st.integers(0, 100))
def test_a_meter_passes_on_every_octet_and_counts_and_digests_it(chunks: list[bytes], keep: int) -> None:
    meter = BodyMeter(digest=True, keep_bytes=keep)
    passed = [meter(chunk) for chunk in chunks]
    whole = b"".join(chunks)
    assert passed == chunks
    assert (meter.size, meter.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
    assert meter.kept == whole[:keep]


def test_a_meter_that_is_to_keep_nothing_keeps_nothing() -> None:
    meter = BodyMeter(digest=False)
    for _ in range(100):
        meter(b"x" * 10_000)
    assert (meter.size, meter.sha256, meter.kept) == (1_000_000, None, b"")


# --- ending ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", list(Outcome))
def test_an_exchange_ends_once(outcome: Outcome) -> None:
    table, opened = ExchangeTable(), exchange()
    table.open("f", opened)
    assert (len(table), table.get("f"), opened.state) == (1, opened, State.FORWARDED)
    completion = table.finish("f", NOW, outcome, Answered(status=200))
    assert completion is not None
    assert (completion.outcome, completion.decision_seq, completion.status) == (outcome, 7, 200)
    assert opened.state is State.COMPLETED
    for again in Outcome:
        assert table.finish("f", NOW, again, Answered()) is None
    assert (len(table), table.get("f")) == (0, None)
    schema.to_entry(completion)


def test_an_exchange_that_was_never_opened_does_not_end() -> None:
    assert ExchangeTable().finish("denied", NOW, Outcome.COMPLETED, Answered()) is None


def test_a_flow_cannot_be_forwarded_twice() -> None:
    table = ExchangeTable()
    table.open("f", exchange())
    with pytest.raises(AssertionError):
        table.open("f", exchange())


def test_a_completion_counts_what_passed() -> None:
    table, opened = ExchangeTable(), exchange()
    table.open("f", opened)
    opened.request_meter(b"12345")
    opened.response_meter(b"<html>")
    answered = Answered(status=200, content_type="text/html", server_ip="192.0.2.7", http_version="HTTP/1.1")
    completion = table.finish("f", NOW, Outcome.COMPLETED, answered)
    assert completion is not None
    assert (completion.request_bytes, completion.response_bytes) == (5, 6)
    assert completion.body_sha256 == hashlib.sha256(b"<html>").hexdigest()
    assert (completion.content_type, completion.modality) == ("text/html", "text")
    assert (completion.server_ip, completion.http_version, completion.barrier) == ("192.0.2.7", "HTTP/1.1", None)


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.COMPLETED])
def test_half_a_body_has_a_length_and_no_digest(outcome: Outcome) -> None:
    table, opened = ExchangeTable(), exchange()
    table.open("f", opened)
    opened.response_meter(b"half")
    completion = table.finish("f", NOW, outcome, Answered(status=200))
    assert completion is not None
    assert (completion.response_bytes, completion.body_sha256) == (4, None)


def test_no_body_has_no_digest() -> None:
    table = ExchangeTable()
    table.open("f", exchange())
    completion = table.finish("f", NOW, Outcome.COMPLETED, Answered(status=204))
    assert completion is not None
    assert completion.body_sha256 is None


def test_an_error_from_outside_is_made_fit_for_the_record() -> None:
    table = ExchangeTable()
    table.open("f", exchange())
    completion = table.finish("f", NOW, Outcome.UPSTREAM_ERROR, Answered(), "bad \x00\ud800" + "x" * 10_000)
    assert completion is not None
    assert len(completion.error or "") == 500
    schema.to_entry(completion)


def test_the_exchanges_of_a_client_can_be_ended_while_they_are_gone_through() -> None:
    table = ExchangeTable()
    for number in range(6):
        table.open(str(number), exchange("even" if number % 2 == 0 else "odd"))
    for flow_id in table.of_client("even"):
        table.finish(flow_id, NOW, Outcome.CLIENT_ABORT, Answered())
    assert table.flow_ids() == ["1", "3", "5"]
    assert list(table.of_client("even")) == []


def test_the_age_is_that_of_the_monotonic_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [5.0]
    monkeypatch.setattr(exchanges.time, "monotonic", lambda: clock[0])
    opened = exchange(started=clock[0])
    clock[0] = 5.25
    assert opened.age_ms() == 250


# --- reading an answer ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type,expected",
    [
        (None, None), ("", None), ("text/html; charset=utf-8", "text"), ("TEXT/PLAIN", "text"),
        ("application/json", "text"), ("application/ld+json", "text"), ("application/xhtml+xml", "text"),
        ("application/pdf", "text"),
        ("application/javascript", "text"), ("image/svg+xml", "image"), ("image/png", "image"), ("audio/mpeg", "audio"),
        ("video/mp4", "video"), ("application/octet-stream", "other"), ("application/zip", "other"),
        ("nonsense", "other"), (";", "other"), ("text", "text"),
    ],
)  # fmt: skip
def test_the_modality_of_a_media_type(content_type: str | None, expected: str | None) -> None:
    assert modality(content_type) == expected


@pytest.mark.parametrize(
    "answered,expected",
    [
        ({"status": 200}, None),
        ({"status": 404}, None),
        ({"status": 401}, "http_401"),
        ({"status": 402}, "http_402"),
        ({"status": 403}, "http_403"),
        ({"status": 407}, "http_407"),
        ({"status": 429}, "http_429"),
        ({"status": 451}, "http_451"),
        ({"status": 200, "challenge": True}, "challenge"),
        ({"status": 403, "challenge": True}, "challenge"),
        ({}, None),
    ],
)
def test_the_barrier_an_answer_shows(answered: dict[str, Any], expected: str | None) -> None:
    assert barrier(Answered(**answered)) == expected


# --- ended by the sidecar -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", list(Outcome))
def test_an_exchange_that_the_sidecar_cut_has_timed_out_whoever_says_how_it_ended(outcome: Outcome) -> None:
    table, opened = ExchangeTable(), exchange()
    table.open("f", opened)
    opened.cut = "timeout:rate: Too slow."
    completion = table.finish("f", NOW, outcome, Answered(status=200), "something else")
    assert completion is not None
    assert (completion.outcome, completion.error) == (Outcome.TIMEOUT, "timeout:rate: Too slow.")
    assert completion.body_sha256 is None


def test_the_latest_exchange_of_a_client_is_known_until_the_client_is_gone() -> None:
    table, first, second = ExchangeTable(), exchange(), exchange()
    table.open("1", first)
    table.finish("1", NOW, Outcome.COMPLETED, Answered())
    assert table.latest("c") is first
    table.open("2", second)
    assert (table.latest("c"), table.items()) == (second, [("2", second)])
    table.forget("c")
    assert table.latest("c") is None


def test_an_exchange_that_was_cut_for_what_the_crawler_sent_is_the_crawlers_doing() -> None:
    table, opened = ExchangeTable(), exchange()
    table.open("f", opened)
    opened.cut = f"{exchanges.LIMIT_WORD}:request_body: Too long."
    completion = table.finish("f", NOW, Outcome.UPSTREAM_ERROR, Answered(), "server closed connection")
    assert completion is not None
    assert (completion.outcome, completion.error) == (Outcome.CLIENT_ABORT, "limit:request_body: Too long.")


def test_the_open_exchanges_of_each_crawler_are_counted() -> None:
    table = ExchangeTable()
    for number in range(3):
        table.open(str(number), exchange())
    table.finish("1", NOW, Outcome.COMPLETED, Answered())
    table.finish("1", NOW, Outcome.COMPLETED, Answered())
    assert (table.open_of("news"), table.open_of("shop")) == (2, 0)


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=20), st.integers(1, 100))
def test_a_meter_with_an_end_lets_whole_chunks_pass_up_to_it_and_nothing_more(chunks: list[bytes], most: int) -> None:
    overflows: list[int] = []
    meter = BodyMeter(digest=False)
    meter.bytes_max, meter.on_overflow = most, lambda: overflows.append(meter.size)
    passed = [meter(chunk) for chunk in chunks]
    whole = [chunk for chunk in passed if isinstance(chunk, bytes)]
    assert meter.size == sum(map(len, whole)) <= most
    assert [chunk for chunk in passed if not isinstance(chunk, bytes)] == [[]] * len(overflows)
    assert bool(overflows) == (len(whole) < len(chunks))
