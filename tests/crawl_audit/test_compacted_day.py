"""What describes a compacted day says one thing in one way, and nothing else is read."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from crawl_audit.compacted_day import EXTENT, OBJECT_BYTES_MAX, CompactedDay, CompactedFile, Covered, parse_compacted
from crawl_audit.errors import LogFormatError

DIGEST = "ab" * 32
DAY = CompactedDay(
    day="2026-11-18",
    segments=(
        Covered(log="node1-20261118T110640Z-00000001", first=0, last=9, sha256=DIGEST, etag="5d41"),
        Covered(log="node1-20261118T110640Z-00000001", first=10, last=12, sha256=DIGEST),
        Covered(log="node2-20261118T110640Z-00000001", first=0, last=4, sha256=DIGEST),
    ),
    files=(
        CompactedFile(name="decision-101.parquet", kind="decision", rows=18, size=400, sha256=DIGEST),
        CompactedFile(name="extent-101.parquet", kind=EXTENT, rows=2, size=40, sha256=DIGEST),
    ),
)


def test_what_is_written_is_read_as_it_was() -> None:
    assert parse_compacted(DAY.to_json(), "2026-11-18") == DAY
    assert DAY.key == "compacted/2026-11-18.json"
    assert DAY.file_key(DAY.files[0]) == "compacted/2026-11-18/decision-101.parquet"


def test_the_order_of_what_is_given_does_not_matter() -> None:
    turned = replace(DAY, segments=DAY.segments[::-1], files=DAY.files[::-1])
    assert turned.to_json() == DAY.to_json()


def test_another_day_is_not_read_for_this_one() -> None:
    with pytest.raises(LogFormatError, match="of another day"):
        parse_compacted(DAY.to_json(), "2026-11-19")


def _changed(**changes: Any) -> bytes:
    value = json.loads(DAY.to_json()) | changes
    return (json.dumps(value, sort_keys=True, separators=(",", ":")) + "\n").encode()


_FILE = json.loads(DAY.to_json())["files"][0]
_EXTENT_FILE = json.loads(DAY.to_json())["files"][1]


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        DAY.to_json().replace(b":", b": ", 1),
        _changed(v=2),
        _changed(v=True),
        _changed(k="shipped"),
        _changed(logs=[]),
        _changed(logs=[{"log": "../x", "segments": [[0, 1, DIGEST, ""]]}]),
        _changed(logs=[{"log": "schema", "segments": [[0, 1, DIGEST, ""]]}]),
        _changed(logs=[{"log": "a", "segments": [[2, 1, DIGEST, ""]]}]),
        _changed(logs=[{"log": "a", "segments": [[0, 1, "x", ""]]}]),
        _changed(logs=[{"log": "a", "segments": [[0, 1, DIGEST]]}]),
        _changed(logs=[{"log": "a", "segments": [[0, 1, DIGEST, "\n"]]}]),
        _changed(logs=[{"log": 1, "segments": [[0, 1, DIGEST, ""]]}]),
        _changed(files=[_FILE]),
        _changed(files=[_FILE, _FILE, _EXTENT_FILE]),
        _changed(files=[_FILE | {"name": "../decision-1.parquet"}, _EXTENT_FILE]),
        _changed(files=[_FILE | {"name": "completion-1.parquet"}, _EXTENT_FILE]),
        _changed(files=[_FILE | {"kind": "audit"}, _EXTENT_FILE]),
        _changed(files=[_FILE | {"rows": -1}, _EXTENT_FILE]),
        _changed(files=[_FILE | {"bytes": 1.0}, _EXTENT_FILE]),
        _changed(more=1),
    ],
    ids=range(24),
)
def test_anything_else_is_refused_in_one_sentence(octets: bytes) -> None:
    with pytest.raises(LogFormatError, match=r"^[^\n]*$"):
        parse_compacted(octets, "2026-11-18")


def test_what_is_too_large_is_not_even_parsed() -> None:
    with pytest.raises(LogFormatError, match="larger than it can be"):
        parse_compacted(b"[" + b" " * OBJECT_BYTES_MAX, "2026-11-18")
