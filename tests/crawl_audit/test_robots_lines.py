"""Octets to records and groups: numbered lines, forgiven keys, groups that only rules end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawl_audit.robots_lines import BODY_BYTES_MAX, LINE_BYTES_MAX, Field, groups, records


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"Allow: /a", (Field.ALLOW, b"Allow", b"/a")),
        (b"allow /a", (Field.ALLOW, b"allow", b"/a")),
        (b"Disallow:", (Field.DISALLOW, b"Disallow", b"")),
        (b"\tDisallow\t:\t/a\x0b", (Field.DISALLOW, b"Disallow", b"/a")),
        (b"Disallow /a:b", (Field.DISALLOW, b"Disallow /a", b"b")),
        (b"user agent: x", (Field.USER_AGENT, b"user agent", b"x")),
        (b"Useragent: x # y", (Field.USER_AGENT, b"Useragent", b"x")),
        (b"User-agent: x\0y", (Field.USER_AGENT, b"User-agent", b"x")),
        (b"Sitemap: https://x.example/s", (Field.OTHER, b"Sitemap", b"https://x.example/s")),
        (b"foo bar", (Field.OTHER, b"foo", b"bar")),
    ],
)
def test_a_line_with_key_and_value_is_a_record(line: bytes, expected: tuple[Field, bytes, bytes]) -> None:
    (record,) = records(line)
    assert (record.field, record.key, record.value) == expected


@pytest.mark.parametrize("line", [b"", b"#", b" # x", b"Disallow", b"Disallow /a /b", b": x", b"\0Allow: /", b"\x0b"])
def test_a_line_without_key_or_value_is_none(line: bytes) -> None:
    assert list(records(line)) == []


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_lines_are_counted_as_an_editor_counts_them(end: bytes) -> None:
    body = end.join([b"User-agent: a", b"", b"# c", b"Disallow: /"])
    assert [record.line for record in records(body)] == [1, 4]


@pytest.mark.parametrize("octets", [b"\x0b", b"\x0c", b"\x1c", b"\x1d", b"\x1e", b"\xc2\x85", b"\xe2\x80\xa8", b"\x85"])
def test_nothing_but_cr_and_lf_ends_a_line(octets: bytes) -> None:
    assert len(list(records(b"Allow: /a" + octets + b"Allow: /b"))) == 1


def test_a_line_and_a_body_are_cut_at_their_limits() -> None:
    (record,) = records(b"Allow: /" + b"a" * 20_000)
    assert len(record.text) == LINE_BYTES_MAX
    body = b"#" * (BODY_BYTES_MAX - 5) + b"\nAllow: /\n"
    assert list(records(body)) == []


def test_only_a_rule_ends_the_user_agent_lines_of_a_group() -> None:
    body = b"Crawl-delay: 9\nUser-agent: a\nSitemap: x\nUser-agent: b\nDisallow:\nCrawl-delay: 1\nUser-agent: c\n"
    found, loose = groups(body)
    assert [group.agents for group in found] == [[b"a", b"b"], [b"c"]]
    assert [[record.line for record in group.others] for group in found] == [[3, 6], []]
    assert [record.line for record in loose] == [1]


def test_rules_before_any_group_belong_to_none() -> None:
    assert groups(b"Disallow: /\n") == ([], [])


@given(st.binary(max_size=300))
def test_any_octets_give_records_in_the_order_of_their_lines(body: bytes) -> None:
    lines = [record.line for record in records(body)]
    assert lines == sorted(set(lines))
