"""An exemption covers what it names, as long as it says, and nothing else."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawl_audit.exemptions import Exemption, Exemptions, Reason
from crawl_audit.records import Instant
from crawl_audit.target import Scope, Target

AT = Instant(1_000)
PRESS = Exemption(id="press", reason=Reason.LICENCE, sites=frozenset({"example.co.uk"}), until=Instant(2_000))


def target(host: str = "www.example.co.uk", path: str = "/a", scheme: str = "https", port: int = 443) -> Target:
    return Target(Scope(scheme, host, port), path, None)


def covers(exemption: Exemption, asked: Target, *, crawler: str = "news", at: Instant = AT) -> bool:
    found = Exemptions([exemption]).covering(crawler, asked, at)
    assert found is None or found is exemption
    return found is not None


@pytest.mark.parametrize(
    "host,covered",
    [
        ("example.co.uk", True), ("www.example.co.uk", True), ("a.b.example.co.uk", True), ("other.co.uk", False),
        ("notexample.co.uk", False), ("example.co.uk.evil.com", False), ("co.uk", False), ("127.0.0.1", False),
    ],
)  # fmt: skip
def test_a_site_covers_all_hosts_under_it(host: str, covered: bool) -> None:
    assert covers(PRESS, target(host)) is covered


@pytest.mark.parametrize(
    "host,covered",
    [("img.example.com", True), ("example.com", False), ("a.img.example.com", False), ("www.example.com", False)],
)
def test_a_host_covers_itself_only(host: str, covered: bool) -> None:
    own = dataclasses.replace(PRESS, sites=frozenset(), hosts=frozenset({"img.example.com"}))
    assert covers(own, target(host)) is covered


def test_a_host_that_is_its_own_site_is_still_a_host_only() -> None:
    own = dataclasses.replace(PRESS, sites=frozenset(), hosts=frozenset({"example.com"}))
    assert covers(own, target("example.com"))
    assert not covers(own, target("www.example.com"))


def test_scheme_and_port_do_not_matter() -> None:
    assert covers(PRESS, target(scheme="http", port=8080))


@pytest.mark.parametrize("at,covered", [(999, False), (1_000, True), (1_999, True), (2_000, False), (2_001, False)])
def test_it_holds_from_its_beginning_and_before_its_end(at: int, covered: bool) -> None:
    limited = dataclasses.replace(PRESS, not_before=Instant(1_000))
    assert covers(limited, target(), at=Instant(at)) is covered
    assert limited.expired(Instant(at)) is (at >= 2_000)


def test_it_is_for_the_crawlers_it_names() -> None:
    limited = dataclasses.replace(PRESS, crawlers=frozenset({"news", "images"}))
    assert covers(limited, target(), crawler="images")
    assert not covers(limited, target(), crawler="video")


@pytest.mark.parametrize(
    "path,covered",
    [
        ("/own/", True), ("/own/a?b=/../c", True), ("/own", False), ("/ownership", False), ("/", False),
        ("/%6Fwn/a", True), ("/caf%c3%a9/x", True), ("/caf%C3%A9/x", True), ("/own/../other", False),
        ("/own/%2e%2E/other", False), ("/own/..%2fother", False), ("/own/%2E%2E%5Cother", False), ("/own/./a", False),
        ("/own/..", False), ("/own/a..b", True), ("/own/...", True), ("//own/a", False),
    ],
)  # fmt: skip
def test_a_prefix_covers_the_paths_under_it_and_no_way_out_of_it(path: str, covered: bool) -> None:
    limited = dataclasses.replace(PRESS, path_prefixes=("/own/", "/café/"))
    assert covers(limited, target(path=path)) is covered


@given(st.text(max_size=40))
def test_any_path_gives_an_answer(path: str) -> None:
    limited = dataclasses.replace(PRESS, path_prefixes=("/own/",))
    assert covers(limited, target(path="/other/" + path)) is False


def test_the_first_declared_that_covers_the_request_applies() -> None:
    host = dataclasses.replace(PRESS, id="host", sites=frozenset(), hosts=frozenset({"www.example.co.uk"}))
    over = dataclasses.replace(PRESS, id="over", until=Instant(10))
    for declared, expected in (([PRESS, host], "press"), ([host, PRESS], "host"), ([over, host, PRESS], "host")):
        found = Exemptions(declared).covering("news", target(), AT)
        assert found is not None
        assert found.id == expected


def test_without_declarations_nothing_is_covered() -> None:
    assert Exemptions().covering("news", target(), AT) is None
