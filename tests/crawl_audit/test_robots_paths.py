"""Paths and patterns: the normal form, the weight of a rule, the rarer spellings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawl_audit.robots_lines import records
from crawl_audit.robots_paths import Matcher, Rule, TooMuchWorkError, normal, rules_of


def rules(*lines: str) -> list[Rule]:
    return rules_of(records("\n".join(lines).encode()))


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"/a/b?c=d&e", "/a/b?c=d&e"),
        (b"/%61%7e%2D", "/a~-"),
        (b"/%2f%3F%25", "/%2F%3F%25"),
        (b"/%2A%24*$", "/*$*$"),
        (b"/\xe3\x83\x84", "/%E3%83%84"),
        (b"/\x93\xfa", "/%93%FA"),
        (b"/\x00\x7f\n", "/%00%7F%0A"),
        (b"/%", "/%"),
        (b"/%4", "/%4"),
        (b"/%zz", "/%zz"),
        (b"/ |%20%7c", "/ |%20%7C"),
        (b"", ""),
    ],
)
def test_octets_are_compared_in_one_normal_form(octets: bytes, expected: str) -> None:
    assert normal(octets) == expected


@given(st.binary(max_size=40))
def test_the_normal_form_is_printable_ascii(octets: bytes) -> None:
    text = normal(octets)
    assert text.isascii()
    assert text == "" or text.isprintable()


@pytest.mark.parametrize(
    ("pattern", "weight"),
    [("/a", 2), ("/a*", 3), ("/*$", 3), ("/%61", 2), ("/%2F", 4), ("/ツ", 10), ("/a$b", 4), ("/%24", 4), ("*", 1)],
)
def test_a_rule_weighs_the_octets_of_its_pattern(pattern: str, weight: int) -> None:
    (rule,) = rules(f"Disallow: {pattern}")
    assert rule.weight == weight


def test_rules_come_heaviest_first_and_allows_before_disallows() -> None:
    found = rules("Disallow: /a", "Allow: /a", "Allow: /", "Disallow: /abc", "Disallow:")
    assert [rule.line for rule in found] == [4, 2, 1, 3]


def test_an_allowed_index_page_is_a_rule_for_its_directory_too() -> None:
    assert [(rule.segments, rule.anchored) for rule in rules("Allow: /a/index.html")] == [
        (("/a/index.html",), False),
        (("/a/",), True),
    ]
    assert len(rules("Disallow: /a/index.html")) == 1


def test_the_first_of_two_equal_rules_is_named() -> None:
    for pattern in ("/a", "/*a"):
        found = Matcher(rules(f"Disallow: {pattern}", f"Disallow: {pattern}")).match("/a")
        assert found is not None
        assert found.line == 1


def test_a_long_path_is_sieved_and_judged_the_same() -> None:
    lines = [f"Disallow: /*n{number:05}*x$" for number in range(3000)]
    matcher = Matcher(rules(*lines))
    found = matcher.match("/" + "n" * 4000 + "n00007" + "n" * 100 + "x")
    assert found is not None
    assert found.line == 8
    assert matcher.match("/" + "n" * 4000 + "n00007" + "n" * 100 + "y") is None


def test_crafted_work_is_refused_not_done() -> None:
    matcher = Matcher(rules(*(f"Disallow: /*{'a' * 20}{number:05}{'a' * 20}" for number in range(9000))))
    with pytest.raises(TooMuchWorkError):
        matcher.match("/" + "a" * 60_000)
    for count, length in ((9000, 1000), (20_001, 1)):
        spaces = Matcher(rules(*(f"Disallow: /* {number:05}" for number in range(count))))
        with pytest.raises(TooMuchWorkError):
            spaces.match_other_spellings(b"/" + b"a" * length, "/" + "a" * length, None)


def test_a_long_path_is_judged_by_many_rules_with_spaces() -> None:
    matcher = Matcher(rules(*(f"Disallow: /a b{number:05}" for number in range(9000)), "Disallow: /a*%20c"))
    octets = b"/a" + b"x" * 60_000 + b"%20c"
    found = matcher.match_other_spellings(octets, normal(octets), None)
    assert found is not None
    assert found.line == 9001
