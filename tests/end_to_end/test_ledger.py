"""For every request a site saw there is exactly one earlier decision to forward it, over thousands of requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.end_to_end.harness import Sidecar, tls_context
from tests.end_to_end.ledger import Ledger, disagreements, ledger
from tests.end_to_end.load import Load
from tests.end_to_end.origin import Farm, Origin

REQUESTS = 5_200


@pytest.mark.timeout(180)
def test_every_request_a_site_saw_has_exactly_one_earlier_decision(
    sidecar: Callable[..., Sidecar], sites: Farm
) -> None:
    started = sidecar(mode="enforce")
    origins = _origins(sites)
    load = Load(proxy=started.ready["proxy"], origins=origins, tls=tls_context(started.site.certificate))
    asyncio.run(load.run(REQUESTS))
    assert started.stop() == 0
    book = ledger(started, origins)

    assert disagreements(book) == []
    assert len(book.seen) > REQUESTS * 0.7
    assert [origin.hits("/private/") for origin in origins] == [[]] * len(origins)
    _compare_with_the_client(load, book)
    _compare_robots_txt(started, origins)
    _check_that_the_comparison_can_fail(book)


def _origins(sites: Farm) -> list[Origin]:
    plain = [sites.start(name=f"127.0.0.{n}", address=f"127.0.0.{n}") for n in (1, 2, 3)]
    secure = [sites.start("https", name=f"127.0.0.{n}", address=f"127.0.0.{n}") for n in (4, 5)]
    return [*plain, *secure, sites.start("https", name="shop.test"), sites.start(name="news.test")]


def _compare_with_the_client(load: Load, book: Ledger) -> None:
    """The third record: whoever got an answer is on record with what was done."""
    actions = {row["id"]: row["action"] for row in book.decisions}
    answered = [sent for sent in load.sent if sent.status is not None]
    wanted = {"private": (403, "denied"), "missing": (404, "forwarded")}
    for sent in answered:
        assert (sent.status, actions[str(sent.number)]) == wanted.get(sent.kind, (200, "forwarded"))
    unanswered = {sent.kind for sent in load.sent if sent.status is None}
    assert unanswered == {"leave_request"}
    kinds = {str(sent.number): sent.kind for sent in load.sent}
    ends = {(kinds[row["id"]], row["outcome"]) for row in book.decisions if row["action"] == "forwarded"}
    assert {kind for kind, _ in ends} == set(kinds.values()) - {"private"}
    for kind, outcome in ends:
        assert outcome in ({"client_abort", "not_sent"} if kind.startswith("leave_") else {"completed"}), kind


def _compare_robots_txt(sidecar: Sidecar, origins: list[Origin]) -> None:
    """The sidecar's own requests are on record too: each is a snapshot."""
    rows = sidecar.rows("SELECT port, count(*) AS times FROM snapshot WHERE source = 'fetched' GROUP BY port")
    assert {row["port"]: row["times"] for row in rows} == {o.port: len(o.hits("/robots.txt")) for o in origins}


def _check_that_the_comparison_can_fail(book: Ledger) -> None:
    seen = {(port, number) for port, number, _ in book.seen}
    row = next(row for row in book.decisions if (row["port"], row["id"]) in seen)
    others = [other for other in book.decisions if other is not row]
    port, number, at_us = next(entry for entry in book.seen if entry[:2] == (row["port"], row["id"]))
    for changed in (
        replace(book, decisions=others),
        replace(book, decisions=[*book.decisions, row]),
        replace(book, decisions=[*others, row | {"action": "denied", "completions": 0}]),
        replace(book, decisions=[*others, row | {"recorded_us": at_us + 1}]),
        replace(book, decisions=[*others, row | {"completions": 0}]),
        replace(book, seen=[*book.seen, (port, number, at_us)]),
    ):
        assert disagreements(changed) != []
