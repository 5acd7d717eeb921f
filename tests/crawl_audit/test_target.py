"""A request says one thing about where it goes, or there is no target; no octets make anything else of it."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawl_audit.target import (
    TARGET_BYTES_MAX,
    Scope,
    Target,
    TargetError,
    normal_host,
    parse_target,
    printable,
    split_authority,
)
from tests.strategies import raw_fields, raw_hosts, raw_ports, raw_targets


def parse(**changes: Any) -> Target:
    values: dict[str, Any] = {"scheme": "https", "host": "example.com", "port": 443, "path": b"/a", "host_fields": []}
    return parse_target(**{**values, **changes})


def assert_plain(target: Target) -> None:
    """What later stages rely on: printable ASCII, and a host and port that exist."""
    for text in (target.target, target.scope.host, target.url, target.scope.robots_url):
        assert text.isascii()
        assert text.isprintable()
        assert " " not in text
    assert 0 < target.scope.port < 65_536
    assert target.scope.host == target.scope.host.lower() != ""
    assert all(len(label) <= 63 for label in target.scope.host.split("."))
    split = urlsplit(target.scope.robots_url)
    assert (split.hostname, split.path) == (target.scope.host, "/robots.txt")


# --- total on anything ----------------------------------------------------------------------------------------------


@given(
    scheme=st.sampled_from(["http", "https", "ftp", "", "HTTP"]) | st.text(max_size=5),
    host=raw_hosts,
    port=raw_ports,
    path=raw_targets,
    host_fields=st.lists(raw_fields, max_size=2),
    sni=st.none() | raw_hosts,
    method=st.sampled_from(["GET", "OPTIONS", "POST", ""]),
)
def test_any_request_has_a_target_or_a_reason(**request: Any) -> None:
    try:
        target = parse_target(**request)
    except TargetError as error:
        sentence = str(error)
    else:
        assert_plain(target)
        return
    assert sentence.endswith(".")
    assert sentence.isprintable()


@given(path=raw_targets, host=raw_hosts, port=st.integers(1, 65_535))
def test_a_request_that_agrees_with_itself_is_taken_or_refused_for_its_host_or_path(
    path: bytes, host: str, port: int
) -> None:
    try:
        scope = Scope("http", normal_host(host), port)
    except TargetError:
        return
    field = scope.authority.encode()
    assert split_authority(field, "http") == (scope.host, scope.port)
    if path.startswith(b"/"):
        assert parse(scheme="http", host=host, port=port, path=path, host_fields=[field]).scope == scope


@given(raw_hosts)
def test_a_normal_host_is_left_as_it_is(host: str) -> None:
    try:
        once = normal_host(host)
    except TargetError:
        return
    assert normal_host(once) == once


@given(raw_fields)
def test_any_authority_is_split_or_refused(field: bytes) -> None:
    try:
        host, port = split_authority(field, "http")
    except TargetError:
        return
    assert normal_host(host) == host
    assert 0 < port < 65_536


@given(st.binary(max_size=300))
def test_printable_loses_nothing_where_there_is_no_percent_sign(octets: bytes) -> None:
    text = printable(octets)
    assert text.isascii()
    assert all("!" <= character <= "~" for character in text)
    assert unquote_to_bytes(text) == unquote_to_bytes(octets)


@given(st.binary(max_size=300))
def test_the_octets_sent_can_be_restored(octets: bytes) -> None:
    target = parse(path=b"/" + octets)
    exact = target.target.encode() if target.target_b64 is None else base64.b64decode(target.target_b64)
    assert exact == b"/" + octets


def test_percent_encodings_are_left_as_sent() -> None:
    assert printable(b"/%2f%2F?a=b#c") == "/%2f%2F?a=b#c"
    assert printable(b"/\xe9 \x00\x7f") == "/%E9%20%00%7F"


# --- the host -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host,expected",
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("münchen.de", "xn--mnchen-3ya.de"),
        ("_dmarc.example.com", "_dmarc.example.com"),
        ("under_score.example", "under_score.example"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("a" * 63 + ".example", "a" * 63 + ".example"),
    ],
)
def test_hosts_are_compared_in_one_form(host: str, expected: str) -> None:
    assert normal_host(host) == expected


@pytest.mark.parametrize(
    "host",
    [
        "", ".", "..", "a..b", "example.com..", ".example.com", "exa mple.com", "example.com/", "user@example.com",
        "a\n", "a\x00b", "[example.com]", "[::1", "::1]", "[]", "fe80::1%eth0", "[fe80::1%25eth0]", "::1%\n", "1:2",
        "-a",
        "a-", "a" * 64 + ".example", ".".join(["a" * 60] * 5), "\ud800", "xn--ü.example", "a,b", "*",
    ],
)  # fmt: skip
def test_what_can_be_no_host_is_refused(host: str) -> None:
    with pytest.raises(TargetError):
        normal_host(host)


@pytest.mark.parametrize(
    "field,scheme,expected",
    [
        (b"example.com", "http", ("example.com", 80)),
        (b"example.com", "https", ("example.com", 443)),
        (b"example.com:", "https", ("example.com", 443)),
        (b"EXAMPLE.com:8080", "http", ("example.com", 8080)),
        (b" example.com\t", "http", ("example.com", 80)),
        (b"[::1]", "http", ("::1", 80)),
        (b"[::1]:8080", "http", ("::1", 8080)),
    ],
)
def test_an_authority_is_host_and_port(field: bytes, scheme: str, expected: tuple[str, int]) -> None:
    assert split_authority(field, scheme) == expected


@pytest.mark.parametrize(
    "field",
    [
        b"", b":80", b"example.com:0", b"example.com:65536", b"example.com:999999", b"example.com:-1",
        b"example.com:8O",
        b"example.com:+80", b"example.com: 80", b"[::1]x", b"[::1]:x", b"[::1", b"[::1:80", b"[example.com]:80",
        b"example.com\x0b", b"example.com\x1f", b"a,b", b"\xff.example", "example.com:٨٠".encode(),
        b"http://example.com", b"user@example.com",
    ],
)  # fmt: skip
def test_an_authority_that_is_none_is_refused(field: bytes) -> None:
    with pytest.raises(TargetError):
        split_authority(field, "http")


# --- one authority per request --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "field", [b"example.com", b"EXAMPLE.COM", b"example.com:443", b"example.com.", b" example.com "]
)
def test_a_host_field_that_agrees_is_accepted(field: bytes) -> None:
    assert parse(host_fields=[field], sni="Example.com").scope == Scope("https", "example.com", 443)


@pytest.mark.parametrize(
    "changes,why",
    [
        ({"scheme": "ftp"}, "Only http and https"),
        ({"scheme": ""}, "Only http and https"),
        ({"host_fields": [b"evil.example"]}, "Host field names another"),
        ({"host_fields": [b"example.com:80"]}, "Host field names another"),
        ({"host_fields": [b"www.example.com"]}, "Host field names another"),
        ({"host_fields": [b"example.com", b"example.com"]}, "more than one Host"),
        ({"host_fields": [b""]}, "host"),
        ({"sni": "evil.example"}, "SNI"),
        ({"sni": ""}, "host"),
        ({"path": b""}, "not a path"),
        ({"path": b"*"}, "not a path"),
        ({"path": b"http://evil.example/"}, "not a path"),
        ({"path": b"a"}, "not a path"),
        ({"path": b"/" + b"a" * TARGET_BYTES_MAX}, "longer than"),
        ({"port": 0}, "port"),
        ({"port": 65_536}, "port"),
    ],
)
def test_a_request_that_contradicts_itself_has_no_target(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(TargetError, match=why):
        parse(**changes)


def test_the_longest_target_is_still_one() -> None:
    assert len(parse(path=b"/" + b"a" * (TARGET_BYTES_MAX - 1)).target) == TARGET_BYTES_MAX


def test_options_may_ask_for_the_server_as_a_whole() -> None:
    assert parse(path=b"*", method="OPTIONS").target == "*"


def test_sni_says_nothing_about_a_request_without_tls() -> None:
    assert parse(scheme="http", port=80, sni="left-over.example").scope.host == "example.com"


# --- scopes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scope,url",
    [
        (Scope("http", "example.com", 80), "http://example.com/robots.txt"),
        (Scope("https", "example.com", 443), "https://example.com/robots.txt"),
        (Scope("http", "example.com", 443), "http://example.com:443/robots.txt"),
        (Scope("https", "example.com", 8443), "https://example.com:8443/robots.txt"),
        (Scope("https", "::1", 443), "https://[::1]/robots.txt"),
        (Scope("http", "::1", 8080), "http://[::1]:8080/robots.txt"),
    ],
)
def test_the_robots_txt_of_a_scope(scope: Scope, url: str) -> None:
    assert scope.robots_url == url


@pytest.mark.parametrize(
    "path,is_robots",
    [
        (b"/robots.txt", True),
        (b"/robots.txt?", True),
        (b"/robots.txt?x=/a", True),
        (b"/ROBOTS.TXT", False),
        (b"/robots.txt/", False),
        (b"/robots.txt.bak", False),
        (b"//robots.txt", False),
        (b"/a/robots.txt", False),
        (b"/robots%2Etxt", False),
        (b"/?/robots.txt", False),
        (b"/", False),
    ],
)
def test_only_robots_txt_itself_is_robots_txt(path: bytes, is_robots: bool) -> None:
    assert parse(path=path).is_robots_txt is is_robots
