"""What a prober declares becomes an incident of a closed vocabulary, and nothing else does."""

from __future__ import annotations

import asyncio
import json

import pytest
from mitmproxy.proxy.layers.http import HttpRequestHeadersHook

from crawl_audit.errors import LogUnavailable
from crawl_audit.identity import Crawler
from crawl_audit.target import Scope, Target
from proxy_addon.probe_report import HOST, Finding, Found, Result, Through, Way, declared, worst
from tests.proxy_addon.fakes import Parts, flow, production

SHUT = {Way.TCP4: Found.REFUSED, Way.TCP6: Found.NOT_TRIED, Way.UDP4: Found.REFUSED, Way.UDP6: Found.NOT_TRIED}


def finding(through: Through = Through.REACHED, **ways: Found) -> Finding:
    changed = SHUT | {Way(name): found for name, found in ways.items()}
    return Finding(host="example.com", port=443, ways=changed, through=through)


def asked(path: str, *, host: str = HOST, scheme: str = "http", port: int = 80) -> Target:
    return Target(Scope(scheme, host, port), path, None)


@pytest.mark.parametrize(
    "found,result",
    [
        (finding(), Result.CLOSED),
        (finding(tcp4=Found.NO_ANSWER), Result.CLOSED),
        (finding(tcp4=Found.NOT_TRIED, tcp6=Found.REFUSED), Result.CLOSED),
        (finding(tcp6=Found.OPEN), Result.OPEN),
        (finding(udp4=Found.OPEN), Result.OPEN),
        (finding(Through.FAILED, udp6=Found.OPEN), Result.OPEN),
        (finding(Through.FAILED), Result.INCONCLUSIVE),
        (finding(tcp4=Found.NOT_TRIED), Result.INCONCLUSIVE),
    ],
)
def test_closed_needs_a_target_that_is_there_and_an_attempt_that_failed(found: Finding, result: Result) -> None:
    assert found.result is result
    assert declared("GET", asked(found.declaration())) == found, "the sidecar comes to the same"


def test_the_worst_of_several_findings_counts() -> None:
    assert worst([finding(), finding(Through.FAILED), finding(tcp4=Found.OPEN)]) is Result.OPEN
    assert worst([finding(), finding(Through.FAILED)]) is Result.INCONCLUSIVE
    assert worst([finding()]) is Result.CLOSED
    assert worst([]) is Result.INCONCLUSIVE


GOOD = finding().declaration()


@pytest.mark.parametrize(
    "method,target",
    [
        ("POST", asked(GOOD)),
        ("GET", asked(GOOD, host="example.com")),
        ("GET", asked(GOOD, scheme="https", port=443)),
        ("GET", asked(GOOD, port=8080)),
        ("GET", asked("/other" + GOOD)),
        ("GET", asked("/")),
        ("GET", asked(GOOD.replace("refused", "probably"))),
        ("GET", asked(GOOD.replace("reached", "yes"))),
        ("GET", asked(GOOD + "&tcp4=refused")),
        ("GET", asked(GOOD + "&note=all+is+well")),
        ("GET", asked(GOOD.partition("&")[0])),
        ("GET", asked(GOOD.replace("example.com", "a%20b"))),
        ("GET", asked(GOOD.replace("example.com", "%C3%A4"))),
        ("GET", asked(GOOD.replace("example.com", "a" * 700))),
        ("GET", asked("/?" + "&".join(f"a{i}=" for i in range(40)))),
    ],
)
def test_what_is_not_exactly_a_declaration_is_an_ordinary_request(method: str, target: Target) -> None:
    assert declared(method, target) is None


def declare(parts: Parts, path: str, **fields: str) -> tuple[int, dict[str, object]]:
    """(status, answer) of the request through the hook that decides."""
    made = flow(path, fields={"host": HOST, **fields})
    made.request.host = HOST

    async def run() -> None:
        async with production(parts.addon) as trigger:
            await trigger(HttpRequestHeadersHook(made))

    asyncio.run(run())
    assert made.response is not None
    answer: dict[str, object] = json.loads(made.response.content or b"")
    return made.response.status_code, answer


@pytest.mark.parametrize(
    "found,word",
    [
        (finding(), "egress_probe_closed"),
        (finding(tcp4=Found.OPEN), "egress_probe_open"),
        (finding(Through.FAILED), "egress_probe_inconclusive"),
    ],
)
def test_a_declaration_is_recorded_as_what_the_prober_says_and_goes_nowhere(found: Finding, word: str) -> None:
    parts = Parts()
    status, answer = declare(parts, found.declaration())
    (record,) = parts.log.incidents
    assert (status, answer["recorded"], answer["result"]) == (200, True, found.result)
    assert (record.incident, record.crawler, record.exchange_id) == (word, "news", answer["exchange_id"])
    assert record.client is not None
    assert record.detail.startswith("Declared by the prober, of example.com:443: tcp4 ")
    assert f"through the sidecar {found.through}" in record.detail
    assert parts.log.decisions == []
    assert parts.cache.asked == []
    assert parts.metric("crawl_audit_incidents_total", incident=word) == 1


def test_a_declaration_that_cannot_be_recorded_is_not_confirmed() -> None:
    parts = Parts()
    parts.log.append_error = LogUnavailable("The disk is full.", reason="audit_log_unavailable")
    status, answer = declare(parts, GOOD)
    assert (status, answer["reason"]) == (503, "audit_log_unavailable")


def test_only_a_configured_crawler_can_declare() -> None:
    parts = Parts(crawlers=(Crawler(id="closed", product_tokens=("ExampleBot",), secret_sha256="0" * 64),))
    status, _ = declare(parts, GOOD)
    assert status == 407
    assert [record.incident for record in parts.log.incidents] == ["unknown_crawler"]


def test_an_ordinary_request_to_the_reserved_name_is_decided_on_and_recorded() -> None:
    parts = Parts()
    declare(parts, "/private/x")
    assert [(decision.host, decision.target) for decision in parts.log.decisions] == [(HOST, "/private/x")]
