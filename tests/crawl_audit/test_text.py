"""Whatever octets come in, what goes on is fit for a record, and text that is fit already is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawl_audit.text import first_line, is_storable, storable

UNFIT = [*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\ud800", "\udbff", "\udc00", "\udfff"]


@given(st.binary() | st.text(st.characters()), st.integers(2, 300))
def test_anything_becomes_storable_within_the_limit(value: bytes | str, limit: int) -> None:
    text = storable(value, limit)
    assert is_storable(text)
    assert len(text) <= limit
    text.encode("utf-8")


@given(st.text(st.characters()))
def test_text_that_is_storable_is_left_as_it_is(value: str) -> None:
    assert (storable(value, 10**6) == value) == is_storable(value)


@pytest.mark.parametrize("character", UNFIT)
def test_controls_and_lone_surrogates_may_not_stand_in_an_entry(character: str) -> None:
    assert not is_storable(f"a{character}b")


@pytest.mark.parametrize(
    "value,expected",
    [
        (b"caf\xc3\xa9", "café"),
        (b"a\xffb", "a\\xffb"),
        ("a\nb\x1b[2J", "a\\x0ab\\x1b[2J"),
        ("\x85\x9b", "\\x85\\x9b"),
        ("\udcff", "\\udcff"),
        ("back\\slash", "back\\slash"),
        ("\u202eright to left", "\u202eright to left"),
    ],
)
def test_what_is_not_text_is_escaped_where_it_stands(value: str | bytes, expected: str) -> None:
    assert storable(value) == expected


def test_a_cut_shows() -> None:
    assert storable("x" * 11, 10) == "x" * 9 + "…"
    assert storable("x" * 10, 10) == "x" * 10


def test_escapes_count_towards_the_limit() -> None:
    assert len(storable("\x00" * 100, 50)) == 50


@pytest.mark.parametrize(
    "error,line",
    [(OSError("full\nLINE 1: COPY …"), "full"), (ValueError(), "ValueError"), (KeyError(""), "''")],
)
def test_an_error_is_told_in_one_line(error: Exception, line: str) -> None:
    assert first_line(error) == line
