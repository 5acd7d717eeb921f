"""Every answer of the sidecar itself says who answers, why, and under which id the log has it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import http_sf
import pytest
from hypothesis import given

from crawl_audit.records import Basis, Decision, Verdict
from proxy_addon import denial
from proxy_addon.denial import Answer
from tests.strategies import records_of

# RFC 9209 2.3: the proxy error types registered there that we use.
REGISTERED = {
    "http_request_denied": 403,
    "http_request_error": None,
    "proxy_internal_error": 503,
    "proxy_configuration_error": 407,
}


def problem(answer: Answer) -> dict[str, Any]:
    made = json.loads(answer.body)
    assert isinstance(made, dict)
    return made


def field(answer: Answer, name: str) -> str | None:
    values = [value.decode() for key, value in answer.fields if key.decode().lower() == name.lower()]
    assert len(values) <= 1
    return values[0] if values else None


ANSWERS = [
    denial.bad_request(421, "The Host field names another authority.", "id-1"),
    denial.bad_request(400, "The host name cannot be.", "id-1"),
    denial.unrecorded("audit_backpressure", "The log is too slow.", "id-1"),
    denial.unknown_crawler("id-1"),
]


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_is_a_problem_document_of_an_intermediary(answer: Answer) -> None:
    assert field(answer, "Content-Type") == "application/problem+json"
    assert field(answer, "Content-Length") == str(len(answer.body))
    assert field(answer, "Cache-Control") == "no-store"
    assert problem(answer)["status"] == answer.status
    assert problem(answer)["exchange_id"] == "id-1"
    assert problem(answer)["type"].startswith("urn:crawl-audit:problem:")
    assert problem(answer)["title"]
    assert problem(answer)["reason"] == answer.reason
    assert problem(answer)["advice"].endswith(".")


@pytest.mark.parametrize("answer", ANSWERS)
def test_proxy_status_names_us_and_a_registered_error(answer: Answer) -> None:
    ((token, parameters),) = http_sf.parse((field(answer, "Proxy-Status") or "").encode(), tltype="list")
    assert str(token) == "crawl-audit"
    assert set(parameters) == {"error"}
    status = REGISTERED[str(parameters["error"])]
    assert status in (None, answer.status)


@given(records_of("decision"))
def test_a_denial_can_be_made_of_any_decision(decision: Decision) -> None:
    answer = denial.disallowed(decision)
    made = problem(answer)
    assert answer.status == (429 if decision.basis is Basis.CRAWL_DELAY else 403)
    assert field(answer, "Proxy-Status") == "crawl-audit; error=http_request_denied"
    assert field(answer, "Content-Length") == str(len(answer.body))
    for name in ("rule", "rule_line", "product_token", "robots_sha256", "exchange_id"):
        assert made[name] == getattr(decision, name)
    assert (made["verdict"], made["basis"]) == (decision.verdict.value, decision.basis.value)


@given(records_of("decision"))
def test_a_denial_gives_nothing_away_but_what_the_crawler_sent_and_the_site_says(decision: Decision) -> None:
    allowed = {
        "status", "type", "reason", "title", "detail", "advice", "verdict", "basis", "rule", "rule_line",
        "product_token", "robots_sha256", "exchange_id",
    }  # fmt: skip
    assert set(problem(denial.disallowed(decision))) == allowed


@pytest.mark.parametrize("basis,word", [(Basis.RULE, "disallows"), (Basis.UNREACHABLE, "RFC 9309 2.3.1.4")])
def test_a_denial_says_in_words_why(basis: Basis, word: str) -> None:
    decision = dataclasses.replace(_decision(), basis=basis, verdict=Verdict.DISALLOWED)
    assert word in problem(denial.disallowed(decision))["detail"]


def _decision() -> Decision:
    values: dict[str, Any] = {item.name: None for item in dataclasses.fields(Decision)}
    values |= {"basis": Basis.RULE, "verdict": Verdict.DISALLOWED, "exchange_id": "id-1"}
    return Decision(**values)


def test_only_what_will_pass_says_when_to_come_back() -> None:
    assert [field(answer, "Retry-After") for answer in ANSWERS] == [None, None, "5", None]


def test_who_is_unknown_is_told_how_to_make_himself_known() -> None:
    assert field(denial.unknown_crawler("x"), "Proxy-Authenticate") == 'Basic realm="crawl-audit"'


def test_the_reason_is_a_word_for_machines() -> None:
    made = problem(denial.unrecorded("audit_backpressure", "x", None))
    assert (made["error"], made["reason"], made["exchange_id"]) == ("audit_backpressure", "audit_backpressure", None)


def test_no_text_breaks_out_of_the_fields() -> None:
    answer = denial.bad_request(421, 'a\r\nSet-Cookie: x="é"\ud800', "id")
    assert b"\r\n" not in b"".join(name + value for name, value in answer.fields)
    assert problem(answer)["exchange_id"] == "id"
