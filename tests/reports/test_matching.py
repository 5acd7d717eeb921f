"""What people type, and what it stands for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import matching
from reports.period import UsageError


@pytest.mark.parametrize(
    ("typed", "scope", "normalised"),
    [
        ("example.com", "registrable domain", "example.com"),
        (" Example.COM. ", "registrable domain", "example.com"),
        ("example.com/", "registrable domain", "example.com"),
        ("a.b.example.co.uk", "host and subdomains", "a.b.example.co.uk"),
        ("b.github.io", "host and subdomains", "b.github.io"),
        ("例え.jp", "registrable domain", "xn--r8jz45g.jp"),
        ("https://例え.jp/例", "exact URL", "https://xn--r8jz45g.jp/%E4%BE%8B"),
        ("localhost", "host", "localhost"),
        ("localhost:9001", "host and port", "localhost:9001"),
        ("127.0.0.1", "host", "127.0.0.1"),
        ("127.0.0.1:9001", "host and port", "127.0.0.1:9001"),
        ("[2001:DB8::1]", "host", "[2001:db8::1]"),
        ("2001:db8::1", "host", "[2001:db8::1]"),
        ("[2001:db8::1]:81", "host and port", "[2001:db8::1]:81"),
        ("HTTP://Example.com:80/A?b#c", "exact URL", "http://example.com/A?b"),
        ("https://user:secret@example.com:8443", "origin", "https://example.com:8443"),
        ("http://example.com?q=1", "exact URL", "http://example.com/?q=1"),
        ("example.com/a", "exact URL", "example.com/a"),
        ("localhost:9001/a/b", "exact URL", "localhost:9001/a/b"),
        ("http://[::1]:8080/x", "exact URL", "http://[::1]:8080/x"),
    ],
)
def test_a_question_is_normalised(typed: str, scope: str, normalised: str) -> None:
    subject = matching.parse_subject(typed)
    assert (subject.match_scope, subject.normalised) == (scope, normalised)


@pytest.mark.parametrize(
    "typed", ["", ".", "a b", "http:///x", "example.com:0", "example.com:99999", "[::1", "ws://a/b", "a\tb"]
)
def test_what_names_no_host_is_refused(typed: str) -> None:
    with pytest.raises(UsageError, match="neither a domain nor a URL"):
        matching.parse_subject(typed)


@given(st.text())
def test_any_text_is_a_subject_or_a_sentence(text: str) -> None:
    try:
        said = matching.parse_subject(text).normalised
    except UsageError as error:
        said = ascii(str(error)) if "\n" not in str(error) else "é"
    assert said.isascii()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("/%7euser", "/~user", True),
        ("/caf%c3%a9", "/caf%C3%A9", True),
        ("/a%2Fb", "/a/b", False),
        ("/a%2fb", "/a%2Fb", True),
        ("/A", "/a", False),
        ("/%", "/%25", False),
        ("/a?b=%41", "/a?b=A", True),
    ],
)
def test_spellings_of_one_url_are_equivalent(one: str, other: str, same: bool) -> None:
    assert (matching.equivalent_form(one) == matching.equivalent_form(other)) is same
