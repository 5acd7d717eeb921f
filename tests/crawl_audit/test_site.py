"""Hosts are grouped by registrable domain, and whatever stands for a host has a site."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from publicsuffixlist import PublicSuffixList

from crawl_audit.site import list_version, site_of
from tests.strategies import hosts, raw_hosts


@pytest.mark.parametrize(
    "host,site",
    [
        ("example.com", "example.com"),
        ("www.example.com", "example.com"),
        ("a.b.c.example.co.uk", "example.co.uk"),
        ("example.co.jp", "example.co.jp"),
        ("b.github.io", "github.io"),
        ("a.b.github.io", "github.io"),
        ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
        ("co.uk", "co.uk"),
        ("com", "com"),
        ("localhost", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_the_site_of_a_host(host: str, site: str) -> None:
    assert site_of(host) == site


WHOLE = PublicSuffixList(only_icann=True)
SUFFIXES = [rule.lstrip("!*.") for rule in sorted(WHOLE._publicsuffix) if rule.isascii()]


@given(hosts, st.sampled_from(SUFFIXES))
def test_whether_a_host_has_a_labels_or_not_the_whole_list_is_what_decides(labels: str, suffix: str) -> None:
    for host in (suffix, f"{labels}.{suffix}"):
        assert site_of(host) == (WHOLE.privatesuffix(host) or host)


@given(hosts)
def test_a_site_is_a_host_that_is_its_own_site(host: str) -> None:
    site = site_of(host)
    assert host == site or host.endswith("." + site)
    assert site_of(site) == site


@given(raw_hosts)
def test_what_a_refused_request_gave_for_a_host_has_a_site_too(host: str) -> None:
    assert isinstance(site_of(host), str)


def test_the_list_in_use_has_a_version() -> None:
    assert list_version()[0].isdigit()
