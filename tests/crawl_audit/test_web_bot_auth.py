"""Who signed a request, with which key and until when, is recorded; the signature itself is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawl_audit.text import is_storable
from crawl_audit.web_bot_auth import request_signals

SIGNED = (
    b'sig1=("@authority" "signature-agent";key="sig1");created=1735689600;expires=1735693200;'
    b'keyid="poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U";alg="ed25519";nonce="n";tag="web-bot-auth"'
)
SIGNATURE = b"sig1=:jdq0SqOwHdyHr9+r5jw3iYZH6aNGKijYp/EstF4RQTQdi5N5YYKrD+mCT1HA1nZDsi6nJKuHxUi/5Syp3rLWBA==:"
VALUE = "keyid=poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U, tag=web-bot-auth, created=1735689600, expires=1735693200"


def test_a_signed_request_says_key_tag_times_and_agent() -> None:
    (found,) = request_signals(
        [
            (b"Host", b"example.com"),
            (b"Signature-Agent", b'sig1="https://signer.example.com"'),
            (b"signature-input", SIGNED),
            (b"Signature", SIGNATURE),
        ]
    )
    assert (found.protocol, found.scope) == ("web-bot-auth", None)
    assert found.value == f"{VALUE}, signature-agent=https://signer.example.com"
    assert found.raw == "Signature-Input: " + SIGNED.decode()
    assert "jdq0SqOwHdy" not in found.raw + (found.value or "")


def test_the_bare_agent_of_older_drafts_is_read_too() -> None:
    (found,) = request_signals([(b"Signature-Agent", b'"https://old.example"'), (b"Signature-Input", SIGNED)])
    assert found.value == f"{VALUE}, signature-agent=https://old.example"


def test_the_agent_is_that_of_the_same_label() -> None:
    (found,) = request_signals([(b"Signature-Agent", b'other="https://b.example"'), (b"Signature-Input", SIGNED)])
    assert found.value == VALUE


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [(b"Host", b"example.com"), (b"Signature", SIGNATURE)],
        [(b"Signature-Input", SIGNED.replace(b"web-bot-auth", b"other"))],
        [(b"Signature-Input", b"sig1=(((")],
        [(b"Signature-Input", b"")],
    ],
)
def test_other_requests_are_not_recorded(fields: list[tuple[bytes, bytes]]) -> None:
    assert request_signals(fields) == []


def test_an_agent_without_a_readable_signature_is_recorded_without_a_reading() -> None:
    (found,) = request_signals([(b"Signature-Agent", b'"https://old.example"'), (b"Signature-Input", b"(((")])
    assert (found.raw, found.value) == ('Signature-Agent: "https://old.example"', None)


def test_several_fields_of_one_name_are_one_list() -> None:
    second = SIGNED.replace(b"sig1", b"sig2")
    assert len(request_signals([(b"Signature-Input", SIGNED), (b"SIGNATURE-INPUT", second)])) == 2
    assert len(request_signals([(b"Signature-Input", b"a=1"), (b"Signature-Input", SIGNED)])) == 1


@given(
    st.lists(
        st.tuples(st.sampled_from([b"Signature-Input", b"signature-agent", b"x"]), st.binary(max_size=200)), max_size=5
    )
)
def test_whatever_is_sent_can_be_recorded(fields: list[tuple[bytes, bytes]]) -> None:
    for found in request_signals(fields):
        assert is_storable(found.raw)
        assert is_storable(found.value or "")
