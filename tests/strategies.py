"""Hypothesis strategies for what the outside may send and what a log may hold."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from hypothesis import strategies as st

from crawl_audit import schema
from crawl_audit.records import Record
from crawl_audit.target import Scope, Target
from crawl_audit.text import is_storable

INTEGER_MAX = 2**53 - 1

# Text that an entry may hold: anything but controls and lone surrogates; biased towards what other encoders escape.
storable_texts = st.text(
    st.one_of(
        st.characters(exclude_categories=("Cs", "Cc")),
        st.sampled_from('"\\/<>&\u2028\u2029\ufeff\ufffe\U0001f577é\u202e'),
    ),
    max_size=40,
).filter(is_storable)

integers = st.one_of(
    st.integers(-INTEGER_MAX, INTEGER_MAX),
    st.sampled_from([0, 1, -1, INTEGER_MAX, -INTEGER_MAX, 1_793_000_000_000_000]),
)
salts = st.binary(min_size=schema.SALT_BYTES, max_size=schema.SALT_BYTES)

# What a crawler may write where a host, a target or a field belongs.
raw_targets = st.one_of(
    st.binary(max_size=200),
    st.binary(max_size=100).map(lambda octets: b"/" + octets),
    st.text(max_size=60).map(lambda text: ("/" + text).encode("utf-8", "surrogatepass")),
    st.sampled_from(
        [b"", b"*", b"/", b"/robots.txt", b"/robots.txt?x", b"http://other.example/", b"/%00%ff", b"//a/b"]
    ),
)
_odd_hosts = [
    "", ".", "..", "a..b", "[", "]", "[]", "[::1]", "[::1", "::1]", "::1%eth0", "[::1%\n]", "[example.com]",
    "127.0.0.1", "2130706433", "EXAMPLE.com.", "example.com..", "xn--mnchen-3ya.de", "münchen.de", "xn--ü",
    "ß.example", "a。b",
    "a" * 64 + ".example", "a" * 300, "exa mple", "example.com:80", "\ud800.example", "İ.example", "-a.example",
]  # fmt: skip
raw_hosts = st.one_of(
    st.sampled_from(_odd_hosts),
    st.from_regex(r"[a-zA-Z0-9_.-]{1,40}", fullmatch=True),
    st.ip_addresses().map(str),
    st.text(max_size=30),
)
raw_ports = st.one_of(st.integers(-1, 70_000), st.sampled_from([0, 80, 443, 65_535, 65_536, -1, 2**70]))
raw_fields = st.one_of(
    st.binary(max_size=60),
    raw_hosts.map(lambda host: host.encode("utf-8", "surrogatepass")),
    st.tuples(raw_hosts, st.integers(-1, 100_000)).map(lambda p: f"{p[0]}:{p[1]}".encode("utf-8", "surrogatepass")),
)

hosts = st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8}){0,3}", fullmatch=True)
scopes = st.builds(Scope, scheme=st.sampled_from(["http", "https"]), host=hosts, port=st.integers(1, 65_535))
targets = st.builds(
    Target,
    scope=scopes,
    target=st.from_regex(r"/[!-~]{0,30}", fullmatch=True),
    target_b64=st.none(),
)


def _field(column: schema.Column) -> st.SearchStrategy[Any]:
    kind = column.python_type
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        values: st.SearchStrategy[Any] = st.sampled_from(kind)
    else:
        by_type: dict[str, st.SearchStrategy[Any]] = {
            "TIMESTAMP": integers,
            "BIGINT": integers,
            "BOOLEAN": st.booleans(),
            "VARCHAR": storable_texts,
            "VARCHAR[]": st.lists(storable_texts, max_size=3).map(tuple),
            "BLOB": st.binary(max_size=100),
        }
        values = by_type[column.sql_type]
    return st.none() | values if column.nullable else values


def records_of(kind: str) -> st.SearchStrategy[Record]:
    """Any record of one kind that the schema admits, made field by field from the schema itself."""
    return st.builds(schema.KINDS[kind], **{column.name: _field(column) for column in schema.columns(kind)})


def values_of(column: schema.Column) -> st.SearchStrategy[Any]:
    """Any value one field of a record may have."""
    return _field(column)


records = st.sampled_from(sorted(schema.KINDS)).flatmap(records_of)
