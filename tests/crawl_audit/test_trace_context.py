"""A trace-id is recorded from one valid ``traceparent`` and from nothing else, whatever a crawler sends."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawl_audit.text import is_storable
from crawl_audit.trace_context import trace_id

TRACE, PARENT = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7"
VALID = b"00-" + TRACE + b"-" + PARENT + b"-01"


@pytest.mark.parametrize("name", [b"traceparent", b"Traceparent", b"TRACEPARENT"])
@pytest.mark.parametrize("value", [VALID, b" \t" + VALID + b" ", b"00-" + TRACE + b"-" + PARENT + b"-ff"])
def test_the_trace_id_of_a_valid_field_is_taken(name: bytes, value: bytes) -> None:
    assert trace_id([(b"Host", b"example.com"), (name, value), (b"tracestate", b"vendor=1")]) == TRACE.decode()


@pytest.mark.parametrize(
    "value",
    [
        b"",
        TRACE,
        VALID.upper(),
        VALID[:-1],
        VALID + b"0",
        VALID + b"-more",
        VALID + b"\n",
        VALID + b"\x00",
        b"01" + VALID[2:],
        b"ff" + VALID[2:],
        b"00-" + b"0" * 32 + b"-" + PARENT + b"-01",
        b"00-" + TRACE + b"-" + b"0" * 16 + b"-01",
        b"00-" + TRACE[:-1] + b"g-" + PARENT + b"-01",
        b"00-" + TRACE[:-1] + b"-" + PARENT + b"-01",
        VALID.replace(b"-", b"_"),
        VALID + b", " + VALID,
        "00-４bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".encode(),
        b"00-" + TRACE + b"-" + PARENT + b"-0x",
        b"'; DROP TABLE decision; --",
        b"\xff" * 10_000,
        b"Bearer secret",
    ],
)
def test_anything_else_is_no_trace_id(value: bytes) -> None:
    assert trace_id([(b"traceparent", value)]) is None


def test_two_fields_contradict_each_other_and_neither_is_taken() -> None:
    assert trace_id([(b"traceparent", VALID), (b"Traceparent", VALID)]) is None
    assert trace_id([]) is None
    assert trace_id([(b"x-traceparent", VALID), (b"tracestate", VALID)]) is None


@given(st.lists(st.tuples(st.sampled_from([b"traceparent", b"TraceParent", b"host"]), st.binary(max_size=60))))
def test_whatever_is_sent_the_answer_is_an_id_or_none(fields: list[tuple[bytes, bytes]]) -> None:
    found = trace_id(fields)
    assert found is None or (is_storable(found) and re.fullmatch("[0-9a-f]{32}", found) and set(found) != {"0"})
