"""tdmrep.json: what is read of it, and which entry is for a path."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawl_audit import tdmrep
from crawl_audit.tdmrep import TdmrepEntry, parse, reservation_for
from crawl_audit.text import is_storable


def entries(*elements: object) -> tuple[TdmrepEntry, ...]:
    found = parse(json.dumps(elements).encode())
    assert found is not None
    return found


def test_the_example_of_the_specification_is_read() -> None:
    found = entries(
        {"location": "/file*", "tdm-reservation": 1, "tdm-policy": "https://provider.example/policy.json"},
        {"location": "/directory-b/html/", "tdm-reservation": 0},
    )
    assert [(e.location, e.reserved, e.value, e.policy) for e in found] == [
        ("/file*", True, "reserved", "https://provider.example/policy.json"),
        ("/directory-b/html/", False, "not reserved", None),
    ]
    assert json.loads(found[0].raw)["tdm-policy"] == "https://provider.example/policy.json"


@pytest.mark.parametrize(
    ("location", "target", "matches"),
    [
        ("/", "/", True),
        ("/", "/a?b", True),
        ("/file*", "/file-1.html", True),
        ("/file*", "/afile", False),
        ("/dir/", "/dir/a", True),
        ("/dir/", "/dir", False),
        ("*.pdf$", "/a/b.pdf", True),
        ("*.pdf$", "/a/b.pdf?x", False),
        ("/*.pdf", "/a/b.pdf?x", True),
        ("/a$", "/a", True),
        ("/a$", "/a/", False),
        ("/*ab*ab$", "/abab", True),
        ("/*ab*ab$", "/ab", False),
        ("/%7Euser", "/~user/x", True),
        ("/caf\u00e9", "/caf%C3%A9", True),
        ("dir/", "/dir/a", True),
        ("https://a.example/dir/", "/dir/a", False),
    ],
)
def test_locations_match_as_patterns_of_robots_txt_do(location: str, target: str, matches: bool) -> None:
    found = entries({"location": location, "tdm-reservation": 1})
    assert (reservation_for(found, target) is not None) is matches


def test_the_first_entry_in_sequence_that_matches_counts_though_a_later_one_is_longer() -> None:
    found = entries({"location": "/a", "tdm-reservation": 0}, {"location": "/a/b", "tdm-reservation": 1})
    entry = reservation_for(found, "/a/b")
    assert entry is not None
    assert entry.reserved is False


def test_an_entry_without_location_is_kept_and_matches_nothing() -> None:
    found = entries({"tdm-reservation": 1}, 7, None, {"location": 5, "tdm-reservation": 1}, {"location": ""})
    assert [entry.location for entry in found] == [None] * 5
    assert reservation_for(found, "/") is None


@pytest.mark.parametrize(
    ("written", "reserved"),
    [
        ("1", True),
        ('"1"', True),
        ("true", True),
        ("0", False),
        ('"0"', False),
        ("2", None),
        ('"yes"', None),
        ("[1]", None),
    ],
)
def test_anything_but_one_and_zero_is_as_if_unset(written: str, reserved: bool | None) -> None:
    found = parse(b'[{"location": "/", "tdm-reservation": %s}]' % written.encode())
    assert found is not None
    assert found[0].reserved is reserved


def test_a_lone_object_is_an_array_of_one_and_a_byte_order_mark_is_skipped() -> None:
    found = parse(b'\xef\xbb\xbf{"location": "/", "tdm-reservation": 1}')
    assert found is not None
    assert found[0].reserved is True


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"1", b'"x"', b"[" * 100_000, b'{"a":' * 20_000, b"[1", b"[" + b"1" * 9000 + b"]", b"\xff\xfe["],
)
def test_what_is_no_such_file_is_told_from_an_empty_one(body: bytes) -> None:
    assert parse(body) is None
    assert parse(b"[]") == ()


def test_a_file_that_is_too_long_is_not_read() -> None:
    padded = b"[]" + b" " * tdmrep.BODY_BYTES_MAX
    assert parse(padded) is None
    assert parse(padded[: tdmrep.BODY_BYTES_MAX]) == ()


def test_no_more_entries_are_read_than_the_bound() -> None:
    assert len(entries(*[{"location": "/"}] * 1000)) == tdmrep.ENTRIES_MAX


def test_matching_a_long_path_against_hostile_locations_takes_no_longer_than_a_request_may_wait() -> None:
    location = "/*" + "a" * 500 + "b"
    found = entries(*[{"location": location, "tdm-reservation": 1}] * tdmrep.ENTRIES_MAX)
    started = time.perf_counter()
    assert reservation_for(found, "/" + "a" * 65_000) is None
    assert time.perf_counter() - started < 0.5  # measured: 20 ms


@given(st.binary(max_size=300), st.text(max_size=50))
def test_any_octets_and_any_target_give_an_answer(body: bytes, target: str) -> None:
    reservation_for(parse(body) or (), target)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
elements = st.fixed_dictionaries(
    {},
    optional={
        "location": json_values | st.text("/a*$%é", max_size=8),
        "tdm-reservation": json_values,
        "x": json_values,
    },
)


@given(st.lists(elements, max_size=4), st.text("/a%*$", max_size=8))
def test_whatever_stands_in_the_file_can_be_recorded_and_a_target_has_the_first_match(
    written: list[dict[str, object]], target: str
) -> None:
    found = entries(*written)
    assert all(is_storable(text) for e in found for text in (e.raw, e.location or "", e.policy or ""))
    match = reservation_for(found, target)
    alone = [entry for entry in found if reservation_for((entry,), target) is not None]
    assert match == (alone[0] if alone else None)
