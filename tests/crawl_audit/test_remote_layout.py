"""Remote names are those of a log directory, and a ``shipped`` object is read only as it was written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawl_audit import remote_layout
from crawl_audit.errors import LogFormatError
from crawl_audit.remote_layout import ShippedFile, ShippedSegment, parse_shipped

LOG = "node1-20261118T110640Z-00000001"
RANGE = "000000000007-000000000042"
SHIPPED = ShippedSegment(
    log=LOG,
    first=7,
    last=42,
    files=(
        ShippedFile(name="decision.parquet", size=4711, sha256="ab" * 32),
        ShippedFile(name="seal.parquet", size=1, sha256="00" * 32),
    ),
)


def test_names_are_those_of_a_log_directory() -> None:
    assert remote_layout.segment_key(LOG, 7, 42, "decision") == f"segments/{LOG}/{RANGE}/decision.parquet"
    assert remote_layout.segment_key(LOG, 7, 42, "withheld") == f"segments/{LOG}/{RANGE}/withheld.parquet"
    assert remote_layout.schema_key("seal") == "segments/schema/v1/seal.parquet"
    assert remote_layout.shipped_key(LOG, 7, 42) == f"shipped/{LOG}/{RANGE}.json"
    assert remote_layout.checkpoint_key(f"{LOG}.checkpoint") == f"checkpoints/{LOG}.checkpoint"
    assert remote_layout.checkpoint_key(f"{LOG}.anchors/000000000001.tsa.tsr").startswith("checkpoints/")
    assert remote_layout.compacted_key("2026-11-18", "decision-2.parquet") == "compacted/2026-11-18/decision-2.parquet"
    assert remote_layout.compacted_manifest_key("2026-11-18") == "compacted/2026-11-18.json"
    assert (SHIPPED.key, SHIPPED.octets) == (f"shipped/{LOG}/{RANGE}.json", 4712)
    assert SHIPPED.file_key(SHIPPED.files[1]) == f"segments/{LOG}/{RANGE}/seal.parquet"


@pytest.mark.parametrize("log", ["", "schema", "..", "a/b", "-a", "a b", "a\n", "x" * 256], ids=range(8))
def test_what_is_no_log_has_no_place(log: str) -> None:
    with pytest.raises(LogFormatError, match="is not the name of a log"):
        remote_layout.shipped_key(log, 0, 1)


@pytest.mark.parametrize("first,last", [(-1, 3), (3, 2), (0, 10**12)])
def test_what_is_no_range_has_no_place(first: int, last: int) -> None:
    with pytest.raises(LogFormatError, match="is not a range"):
        remote_layout.segment_key(LOG, first, last, "seal")


def test_what_is_no_kind_no_day_and_no_checkpoint_has_no_place() -> None:
    for call in (
        lambda: remote_layout.schema_key("passwd"),
        lambda: remote_layout.compacted_manifest_key("2026-11-1"),
        lambda: remote_layout.compacted_key("2026-11-18", "../x.parquet"),
        lambda: remote_layout.checkpoint_key("../x"),
        lambda: remote_layout.checkpoint_key("a//b"),
        lambda: remote_layout.checkpoint_key("a/../b"),
        lambda: remote_layout.checkpoint_key(".hidden"),
    ):
        with pytest.raises(LogFormatError):
            call()


def test_keys_are_read_back_and_others_are_none_of_ours() -> None:
    assert remote_layout.parse_shipped_key(SHIPPED.key) == (LOG, 7, 42)
    assert remote_layout.parse_segment_key(remote_layout.segment_key(LOG, 7, 42, "seal")) == (LOG, 7, 42, "seal")
    for key in (
        SHIPPED.key + "x",
        f"shipped/{LOG}/7-42.json",
        f"shipped/{LOG}/000000000042-000000000007.json",
        f"shipped/../{RANGE}.json",
        f"shipped/{LOG}/{RANGE}.json\n",
    ):
        assert remote_layout.parse_shipped_key(key) is None
    for key in (f"segments/{LOG}/{RANGE}/passwd.parquet", f"segments/{LOG}/{RANGE}/seal.parquet.tmp", "segments/"):
        assert remote_layout.parse_segment_key(key) is None


def test_a_shipped_object_is_read_back_as_it_was_written() -> None:
    octets = SHIPPED.to_json()
    assert parse_shipped(octets) == SHIPPED
    assert json.loads(octets)["files"][0] == {"name": "decision.parquet", "bytes": 4711, "sha256": "ab" * 32}
    assert ShippedSegment(log=LOG, first=7, last=42, files=SHIPPED.files[::-1]).to_json() == octets


def changed(**fields: object) -> bytes:
    value = json.loads(SHIPPED.to_json()) | fields
    return (json.dumps(value, sort_keys=True, separators=(",", ":")) + "\n").encode()


FILE = {"name": "seal.parquet", "bytes": 1, "sha256": "00" * 32}


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b"[" * 50_000,
        SHIPPED.to_json() + b"\n",
        SHIPPED.to_json().strip(),
        SHIPPED.to_json().replace(b":", b": ", 1),
        changed(k="other"),
        changed(v=2),
        changed(v=True),
        changed(extra=1),
        changed(log="a/../b"),
        changed(log=7),
        changed(first=43),
        changed(first=-1),
        changed(first=7.0),
        changed(last=10**15),
        changed(files=[]),
        changed(files="seal.parquet"),
        changed(files=[FILE, FILE]),
        changed(files=[FILE | {"name": "seal.txt"}]),
        changed(files=[FILE | {"name": "../seal.parquet"}]),
        changed(files=[FILE | {"name": 1}]),
        changed(files=[FILE | {"bytes": True}]),
        changed(files=[FILE | {"sha256": "0" * 63}]),
        changed(files=[FILE | {"sha256": None}]),
        changed(files=[FILE | {"more": 1}]),
        changed(files=[FILE, {"name": "decision.parquet", "bytes": 1, "sha256": "00" * 32}]),
    ],
    ids=range(31),
)
def test_what_is_not_exactly_a_shipped_object_is_refused(octets: bytes) -> None:
    with pytest.raises(LogFormatError):
        parse_shipped(octets)


@given(
    st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(repr).map(str.encode)
)
def test_no_octets_from_a_network_end_in_another_error(octets: bytes) -> None:
    with pytest.raises(LogFormatError):
        parse_shipped(octets)
