"""An answer comes out of a store as it went in, and nothing else comes out of it at all."""

from __future__ import annotations

import hashlib
import hmac
import json
import string
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawl_audit.records import Instant
from crawl_audit.schema import canonical
from crawl_audit.target import Scope
from crawl_audit.text import is_storable
from proxy_addon.fetcher import Fetched, FetchLimits
from proxy_addon.shared_answer import BODY_BYTES_MAX, VALUE_BYTES_MAX, NotBelieved, Question, pack, unpack
from tests.proxy_addon.test_robots_cache import RULES, START, got

ASKED = Question(scope=Scope("https", "a.example", 443), path="/robots.txt")
KEY = b"a key that is long enough"
LOG = "node-20261118T110000Z-0123abcd"
ANSWER = got(fetched_at=Instant(START), etag='"x"', server_ip=None, duration_ms=0, origin_log=LOG)

_text = st.text(max_size=40).filter(is_storable)
_field = st.none() | _text


@st.composite
def answers(draw: st.DrawFn) -> Fetched:
    """Any answer that a fetcher gives."""
    status = draw(st.none() | st.integers(100, 999))
    error = draw(_field) if status is not None else draw(_text)
    whole = error is None and status is not None and 200 <= status < 300
    return Fetched(
        status=status,
        final_url=draw(_text),
        redirects=tuple(draw(st.lists(_text, max_size=5))),
        error=error,
        body=draw(st.binary(max_size=300)) if whole else None,
        truncated=draw(st.booleans()),
        content_type=draw(_field),
        etag=draw(_field),
        cache_control=draw(_field),
        age=draw(_field),
        retry_after=draw(_field),
        duration_ms=0,
        server_ip=None,
        too_many_redirects=draw(st.booleans()),
        not_modified=draw(st.booleans()),
        fetched_at=Instant(draw(st.integers(0, 2**53 - 1))),
        origin_log=LOG,
    )


@given(answers(), st.none() | st.binary(min_size=1, max_size=64))
def test_what_went_in_comes_out(fetched: Fetched, key: bytes | None) -> None:
    assert unpack(pack(ASKED, fetched, LOG, key), ASKED, key) == fetched


@given(st.binary(max_size=600) | st.binary(max_size=300).map(lambda octets: b"robots-answer 1 -\n" + octets))
def test_octets_of_somebody_else_are_refused(octets: bytes) -> None:
    with pytest.raises(NotBelieved):
        unpack(octets, ASKED, None)


@given(st.data())
def test_with_a_key_no_octet_can_be_changed(data: st.DataObject) -> None:
    value = bytearray(pack(ASKED, ANSWER, LOG, KEY))
    place = data.draw(st.integers(0, len(value) - 1))
    value[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(NotBelieved):
        unpack(bytes(value), ASKED, KEY)


@given(st.data())
def test_without_a_key_a_change_is_refused_or_read_as_what_it_says(data: st.DataObject) -> None:
    value = bytearray(pack(ASKED, ANSWER, LOG, None))
    place = data.draw(st.integers(0, len(value) - 1))
    value[place] ^= data.draw(st.integers(1, 255))
    try:
        fetched = unpack(bytes(value), ASKED, None)
    except NotBelieved:
        return
    assert fetched.body == RULES, "the body has its digest"


def test_a_value_by_another_key_or_by_none_is_refused() -> None:
    for value in (pack(ASKED, ANSWER, LOG, b"another key, as long"), pack(ASKED, ANSWER, LOG, None)):
        with pytest.raises(NotBelieved, match="not authenticated by our key"):
            unpack(value, ASKED, KEY)


def test_whoever_has_no_key_reads_what_those_write_who_have_one() -> None:
    assert unpack(pack(ASKED, ANSWER, LOG, KEY), ASKED, None) == ANSWER


@pytest.mark.parametrize("key", [None, KEY], ids=["without a key", "with a key"])
@pytest.mark.parametrize(
    "other",
    [
        replace(ASKED, scope=Scope("http", "a.example", 443)),
        replace(ASKED, scope=Scope("https", "b.example", 443)),
        replace(ASKED, scope=Scope("https", "a.example", 8443)),
        replace(ASKED, path="/.well-known/tdmrep.json"),
    ],
    ids=["scheme", "host", "port", "path"],
)
def test_a_value_moved_to_another_site_or_file_is_refused(other: Question, key: bytes | None) -> None:
    assert other.digest != ASKED.digest
    with pytest.raises(NotBelieved, match="about another"):
        unpack(pack(other, ANSWER, LOG, key), ASKED, key)


def forged(change: Callable[[dict[str, Any]], object], octets: bytes | None = None) -> bytes:
    """A value in perfect form, with whatever head and body an attacker without a key to fear may write."""
    _, line, body = pack(ASKED, ANSWER, LOG, None).split(b"\n", 2)
    head = json.loads(line)
    change(head)
    return b"robots-answer 1 -\n" + canonical(head).encode() + b"\n" + (body if octets is None else octets)


@pytest.mark.parametrize(
    "name,value",
    [
        ("status", 99),
        ("status", True),
        ("status", 200.0),
        ("status", "200"),
        ("final_url", None),
        ("final_url", "x" * 9000),
        ("final_url", "a\nb"),
        ("error", "\x1b[2J"),
        ("redirects", ["/"] * 21),
        ("redirects", "/"),
        ("redirects", [None]),
        ("truncated", 1),
        ("etag", "x" * 1025),
        ("origin_log", "../../etc"),
        ("origin_log", None),
        ("fetched_at", -1),
        ("fetched_at", 2**53),
        ("fetched_at", None),
        ("body_bytes", 10**9),
        ("body_bytes", 3),
        ("body_bytes", None),
        ("body_sha256", "00" * 32),
        ("body_sha256", None),
        ("port", 0),
        ("host", ["a.example"]),
    ],
)
def test_a_head_that_no_sidecar_writes_is_refused(name: str, value: Any) -> None:
    with pytest.raises(NotBelieved):
        unpack(forged(lambda head: head.update({name: value})), ASKED, None)


def test_a_head_with_more_or_fewer_fields_or_in_another_form_is_refused() -> None:
    for change in (lambda head: head.update(more=1), lambda head: head.pop("age")):
        with pytest.raises(NotBelieved, match="canonical JSON of the fields"):
            unpack(forged(change), ASKED, None)
    value = pack(ASKED, ANSWER, LOG, None)
    for text in (value.replace(b'"age":null', b'"age": null'), b"robots-answer 1 -\n[]\n", value[:60]):
        with pytest.raises(NotBelieved):
            unpack(text, ASKED, None)
    deep = b"robots-answer 1 -\n" + b"[" * 200_000 + b"\n"
    with pytest.raises(NotBelieved, match="not canonical JSON"):
        unpack(deep, ASKED, None)


@pytest.mark.parametrize("status", [404, 503, 304, None])
def test_a_body_where_such_an_answer_has_none_is_refused(status: int | None) -> None:
    with pytest.raises(NotBelieved, match="a body where an answer like it has none"):
        unpack(forged(lambda head: head.update(status=status)), ASKED, None)


def test_a_bomb_is_not_unfolded_beyond_the_limit() -> None:
    bomb = zlib.compress(bytes(200 * BODY_BYTES_MAX), 9)
    assert len(bomb) < BODY_BYTES_MAX
    claimed = forged(lambda head: head.update(body_bytes=BODY_BYTES_MAX, body_sha256="ab" * 32), bomb)
    with pytest.raises(NotBelieved, match="as long as its head says"):
        unpack(claimed, ASKED, None)


@pytest.mark.parametrize("octets", [b"", b"no zlib", zlib.compress(RULES)[:-3], zlib.compress(RULES) + b"more"])
def test_a_body_that_is_broken_or_longer_than_it_says_is_refused(octets: bytes) -> None:
    with pytest.raises(NotBelieved, match="body"):
        unpack(forged(lambda head: None, octets), ASKED, None)


def test_the_largest_answer_that_can_be_fetched_fits() -> None:
    noise = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(BODY_BYTES_MAX // 32))
    widest = "\u4e00" * 8192
    fetched = replace(ANSWER, body=noise, final_url=widest, redirects=(widest,) * 5)
    assert len(noise) == BODY_BYTES_MAX == FetchLimits().body_bytes_max
    value = pack(ASKED, fetched, LOG, KEY)
    assert len(value) <= VALUE_BYTES_MAX
    assert unpack(value, ASKED, KEY) == fetched
    with pytest.raises(NotBelieved, match="longer than any"):
        unpack(value + bytes(VALUE_BYTES_MAX), ASKED, KEY)


def test_the_tag_is_hmac_sha256_over_everything_after_the_first_line() -> None:
    first, rest = pack(ASKED, ANSWER, LOG, KEY).split(b"\n", 1)
    assert first == b"robots-answer 1 " + hmac.new(KEY, rest, "sha256").hexdigest().encode()
    assert b'"host":"a.example"' in rest


def test_names_in_a_store_are_digests_whatever_the_host_is() -> None:
    digest = Question(scope=Scope("http", "../" * 50, 80), path="/robots.txt").digest
    assert len(digest) == 64 and set(digest) <= set(string.hexdigits)
