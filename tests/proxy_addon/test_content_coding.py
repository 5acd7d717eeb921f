"""Decoding bodies within a bound, however they are cut up on the wire."""

from __future__ import annotations

import gzip
import zlib
from contextlib import suppress

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_addon.content_coding import BoundedBody, CodingError

LIMIT = 10_000


def bare_deflate(body: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(body) + deflater.flush()


ENCODERS = {
    "identity": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
}


def decoded(coding: str | None, octets: bytes, step: int = 1 << 30, limit: int = LIMIT) -> BoundedBody:
    reader = BoundedBody(coding, limit)
    for start in range(0, len(octets), step):
        reader.feed(octets[start : start + step])
        if reader.truncated:
            break
    reader.finish()
    return reader


@settings(deadline=None, max_examples=200)
@given(
    coding=st.sampled_from(sorted(ENCODERS)),
    body=st.builds(lambda piece, times: piece * times, st.binary(max_size=60), st.integers(1, 500)),
    step=st.integers(1, 400),
)
def test_any_body_comes_back_up_to_the_limit_however_it_is_cut_up(coding: str, body: bytes, step: int) -> None:
    reader = decoded(coding, ENCODERS[coding](body), step)
    assert reader.body == body[:LIMIT]
    assert reader.truncated == (len(body) > LIMIT)


@settings(deadline=None, max_examples=200)
@given(coding=st.sampled_from(["gzip", "deflate", "br"]), octets=st.binary(max_size=300), step=st.integers(1, 50))
def test_any_octets_give_a_body_or_a_coding_error(coding: str, octets: bytes, step: int) -> None:
    with suppress(CodingError):
        assert len(decoded(coding, octets, step).body) <= LIMIT


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_a_coded_body_without_its_end_is_an_error(coding: str) -> None:
    with pytest.raises(CodingError):
        decoded(coding, ENCODERS[coding](b"User-agent: *\nDisallow: /\n" * 20)[:-1])


def test_deflate_without_the_zlib_wrapper_is_read_too() -> None:
    assert decoded("deflate", bare_deflate(b"User-agent: *\n"), step=1).body == b"User-agent: *\n"


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_gzip_members_follow_each_other_and_padding_is_ignored(step: int) -> None:
    two = gzip.compress(b"User-agent: *\n") + gzip.compress(b"Disallow: /\n")
    assert decoded("gzip", two, step).body == b"User-agent: *\nDisallow: /\n"
    assert decoded("gzip", two + bytes(10), step).body == b"User-agent: *\nDisallow: /\n"


@pytest.mark.parametrize("coding", [None, "", "identity", "gzip", "X-GZIP", "deflate", "br"])
def test_no_octets_are_an_empty_body_in_every_coding(coding: str | None) -> None:
    assert decoded(coding, b"").body == b""


@pytest.mark.parametrize("coding", ["zstd", "gzip, gzip", "compress", "\x00"])
def test_other_codings_are_refused(coding: str) -> None:
    with pytest.raises(CodingError):
        BoundedBody(coding, LIMIT)


def test_octets_that_decode_to_nothing_do_not_keep_us_reading() -> None:
    with pytest.raises(CodingError):
        decoded("gzip", gzip.compress(b"") * 10_000, step=4096)


def test_a_bomb_fed_at_once_stops_at_the_limit() -> None:
    reader = BoundedBody("br", LIMIT)
    reader.feed(brotli.compress(bytes(100_000_000), quality=1))
    assert (len(reader.body), reader.truncated) == (LIMIT, True)
