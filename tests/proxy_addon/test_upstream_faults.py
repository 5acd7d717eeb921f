"""Each way an exchange can fail has a page that says why and what to do, and quotes nothing of the site."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy_addon import upstream_faults
from proxy_addon.deadlines import Deadline, Limits, sentence
from proxy_addon.denial import Answer


def problem(answer: Answer) -> dict[str, object]:
    made: dict[str, object] = json.loads(answer.body)
    return made


def fields(answer: Answer) -> dict[str, str]:
    return {name.decode().lower(): value.decode() for name, value in answer.fields}


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("[Errno 111] Connect call failed ('192.0.2.1', 80)", "connection_refused"),
        ("Multiple exceptions: [Errno 111] Connect call failed, [Errno 111] Connect call failed", "connection_refused"),
        ("[Errno -2] Name or service not known", "dns_error"),
        ("[Errno -3] Temporary failure in name resolution", "dns_error"),
        ("[Errno 113] No route to host", "destination_unavailable"),
        ("[Errno 110] Connection timed out", "destination_unavailable"),
        ("Connection killed: not allowed", "destination_ip_prohibited"),
        ("Certificate verify failed: unable to get local issuer certificate", "tls_certificate_error"),
        ("OpenSSL Error([('SSL routines', '', 'tlsv1 alert internal error')])", "tls_alert_received"),
        ("OpenSSL Error([('SSL routines', '', 'unsupported protocol')])", "tls_protocol_error"),
        ("The remote server does not speak TLS.", "tls_protocol_error"),
        ("connection closed", "connection_terminated"),
        ("server closed connection", "connection_terminated"),
        ("unexpected server response: b'HTTP/1.1 20'", "http_response_incomplete"),
        ("peer closed connection without sending complete message body", "http_response_incomplete"),
        ("Cannot parse HTTP response: Invalid HTTP response line", "http_protocol_error"),
        ("HTTP/1 protocol error: illegal chunk header", "http_protocol_error"),
        ("Received duplicate content-length from server, refusing", "http_protocol_error"),
        ("The site's answer is longer than 262144 octets.", "http_response_header_section_size"),
        ("The site's answer has more than 1000 fields.", "http_response_header_section_size"),
        ("The site's answer comes after more than 16 interim answers.", "http_protocol_error"),
        ("anything else", "http_protocol_error"),
    ],
)
def test_a_failure_of_the_site_has_a_word_of_rfc_9209(message: str, error: str) -> None:
    answer = upstream_faults.page(502, message, exchange_id="id")
    assert answer.status == 502
    assert fields(answer)["proxy-status"] == f"crawl-audit; error={error}"
    assert fields(answer)["connection"] == "close"
    assert fields(answer)["content-type"] == "application/problem+json"
    assert problem(answer)["exchange_id"] == "id"
    assert str(problem(answer)["detail"]).endswith(".")
    assert str(problem(answer)["advice"]).endswith(".")


@given(st.text(), st.sampled_from([400, 502]))
def test_nothing_of_what_the_site_sent_is_quoted(octets: str, status: int) -> None:
    secret = f"secret{octets}secret"
    answer = upstream_faults.page(status, f"unexpected server response: {secret!r}")
    assert b"secret" not in answer.body


@pytest.mark.parametrize("what", ["refused", "alert", "TLS", "Errno -2", "answer is longer"])
def test_what_the_site_sent_does_not_decide_what_is_said_of_it(what: str) -> None:
    assert upstream_faults.site_fault(f"unexpected server response: b'{what}'").error == "http_response_incomplete"


@pytest.mark.parametrize("deadline", [d for d in Deadline if not d.value.startswith("client_") or d == "client_rate"])
def test_a_deadline_is_told_with_its_own_sentence(deadline: Deadline) -> None:
    said = sentence(deadline, Limits())
    cut = upstream_faults.cut_text(deadline, said)
    assert cut.startswith(f"timeout:{deadline.value}: ")
    answer = upstream_faults.page(502, "server closed connection", exchange_id="id", cut=cut)
    assert answer.status == (408 if deadline is Deadline.REQUEST else 504)
    assert (problem(answer)["detail"], problem(answer)["exchange_id"]) == (said, "id")
    assert "error=" in fields(answer)["proxy-status"]


def test_a_request_that_cannot_be_read_is_told_so() -> None:
    for status in (400, 431):
        answer = upstream_faults.malformed(status)
        assert (answer.status, problem(answer)["exchange_id"]) == (status, None)
        assert fields(answer)["proxy-status"] == "crawl-audit; error=http_request_error"


def test_a_request_that_is_never_finished_is_told_so() -> None:
    answer = upstream_faults.request_timeout("Too late.")
    assert (answer.status, problem(answer)["detail"]) == (408, "Too late.")
