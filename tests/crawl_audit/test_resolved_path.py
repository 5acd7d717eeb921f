"""A path that a site takes for another one never slips past the rules for that other one."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawl_audit.exemptions import Exemptions
from crawl_audit.identity import Crawler
from crawl_audit.policy import Policy
from crawl_audit.records import Basis, Instant, RobotsOutcome, Verdict
from crawl_audit.resolved_path import as_resolved, without_dot_segments
from crawl_audit.robots import compile_rules, evaluate
from crawl_audit.signal_policy import SignalPolicy
from crawl_audit.target import Scope, Target

RULES = compile_rules(b"User-agent: *\nAllow: /public/\nDisallow: /private/\n", ("ExampleBot",))


@pytest.mark.parametrize(
    ("path", "resolved"),
    [
        # RFC 3986 5.4, as far as it is about absolute paths.
        (b"/b/c/./g", b"/b/c/g"),
        (b"/b/c/../g", b"/b/g"),
        (b"/b/c/..", b"/b/"),
        (b"/b/c/.", b"/b/c/"),
        (b"/../g", b"/g"),
        (b"/b/c/../../../g", b"/g"),
        (b"/b/c/..g", b"/b/c/..g"),
        (b"/b/c/g..", b"/b/c/g.."),
        (b"/a/b/c/./../../g", b"/a/g"),
        (b"/", b"/"),
        (b"/..", b"/"),
    ],
)
def test_dot_segments_are_removed_as_the_rfc_does(path: bytes, resolved: bytes) -> None:
    assert without_dot_segments(path) == resolved


@pytest.mark.parametrize("path", [b"/", b"/a/b.html?u=http://x/../y", b"/a%2Fb", b"/a%5Cb", b"/.well-known/x", b""])
def test_an_ordinary_path_is_only_itself(path: bytes) -> None:
    assert as_resolved(path) == ()


SLIPS = [
    "/public/../private/x",
    "/public/%2e%2e/private/x",
    "/public/.%2E/private/x",
    "/./private/x",
    "/%2e/private/x",
    "//private/x",
    "/public//../../private/x",
    "/public/..%2Fprivate/x",
    "/public/..%2fprivate%2fx",
    "/public/..%5Cprivate/x",
    "/public/..\\private/x",
    "/public/%2e%2e%2fprivate/x",
    "/public/a/../../private/x?q=1",
    "/public/#/../../private/x",
    "/robots.txt#/../private/x",
    "/robots.txt/../private/x",
    "/public/../robots.txt/../private/x",
]


@pytest.mark.parametrize("target", SLIPS)
def test_no_spelling_slips_past_a_disallow(target: str) -> None:
    judgement = evaluate(RobotsOutcome.SUCCESSFUL, RULES, target)
    assert (judgement.verdict, judgement.rule, judgement.rule_line) == (Verdict.DISALLOWED, "Disallow: /private/", 3)
    assert judgement.basis is Basis.RULE
    assert judgement.detail is not None and "/private/x" in judgement.detail


@pytest.mark.parametrize("target", ["/%2F/private/..%5C", "/%2fprivate/..\\x", "/%2Fprivate/x/..%5C..%5Cy"])
def test_an_escaped_slash_beside_a_backslash_that_is_part_of_a_name_slips_past_no_disallow(target: str) -> None:
    """A server that decodes first and takes a backslash for what it is opens a file of the disallowed directory."""
    assert evaluate(RobotsOutcome.SUCCESSFUL, RULES, target).verdict is Verdict.DISALLOWED


@pytest.mark.parametrize("target", ["/private/../public/x", "/private/..%2Fpublic/x", "/private//../../public/x"])
def test_what_is_disallowed_as_sent_stays_so_whatever_it_resolves_to(target: str) -> None:
    judgement = evaluate(RobotsOutcome.SUCCESSFUL, RULES, target)
    assert (judgement.verdict, judgement.detail) == (Verdict.DISALLOWED, None)


@pytest.mark.parametrize("target", ["/public/../public/x", "/a//b", "/public/../robots.txt", "/a?u=/../private/x"])
def test_what_resolves_to_an_allowed_path_is_allowed(target: str) -> None:
    assert evaluate(RobotsOutcome.SUCCESSFUL, RULES, target).verdict is Verdict.ALLOWED


PIECES = st.sampled_from(
    ["public", "private", "..", ".", "%2e%2e", "%2E", ".%2e", "", "x", "%2F", "..%2f", "%5c", "..%5C", "...", "?", "#"]
)
TARGETS = st.lists(PIECES, min_size=1, max_size=8).map(lambda parts: "/" + "/".join(parts))


def servers(target: str) -> set[str]:
    """What servers of several kinds open for a target, each written down the way that server does it."""
    path = target.partition("?")[0]
    cut = path.partition("#")[0]
    found = set()
    for sent in (path, cut):
        decoded = unquote_to_bytes(sent).decode("latin-1")
        if re.search(r"(?:^|/)\.\.?(?:/|$)", decoded.replace("\\", "/")):
            found.add(posixpath.normpath("/" + decoded.lstrip("/")))  # decodes first, as nginx does
            found.add(posixpath.normpath("/" + decoded.replace("\\", "/").lstrip("/")))
        plain = re.sub("%2[eE]", ".", sent)
        found.add(posixpath.normpath("/" + re.sub("//+", "/", plain).lstrip("/")))  # merges slashes, as Apache does
        found.add(posixpath.normpath(without_dot_segments(plain.encode()).decode()) or "/")  # RFC 3986 alone
    return found


@settings(max_examples=1500, deadline=None)
@given(TARGETS)
def test_whatever_a_server_may_open_under_the_disallowed_directory_is_disallowed(target: str) -> None:
    if any(opened.startswith("/private/") for opened in servers(target)):
        assert evaluate(RobotsOutcome.SUCCESSFUL, RULES, target).verdict is Verdict.DISALLOWED


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=40).map(b"/".__add__))
def test_every_path_resolves_to_few_and_none_has_a_dot_segment_left(octets: bytes) -> None:
    others = as_resolved(octets)
    assert len(others) <= 9
    assert octets not in others
    for other in others:
        assert other == octets.partition(b"#")[0] or not re.search(rb"/\.\.?(?:/|$)", other.partition(b"?")[0])


def test_a_preference_for_a_path_is_heeded_however_the_path_is_written() -> None:
    body = b"User-agent: *\nContent-Usage: /art/ train-ai=n\nAllow: /\n"
    rules = compile_rules(body, ("ExampleBot",))
    policy = Policy(Exemptions(), SignalPolicy({"content-usage": "deny"}))
    crawler = Crawler(id="news", product_tokens=("ExampleBot",), purpose="training")
    verdicts = []
    for path in ("/art/x", "/a/../art/x", "/a/x"):
        target = Target(Scope("http", "example.com", 80), path, None)
        ruling = policy.ruling(rules.judge(path), crawler, target, Instant(0), rules.wishes)
        verdicts.append(ruling.judgement.basis)
    assert verdicts == [Basis.SIGNAL, Basis.SIGNAL, Basis.RULE]


def test_resolving_a_long_path_of_dot_segments_stays_short_work() -> None:
    path = b"/a/..//./%2e%2e" * 4000
    assert all(len(other) <= len(path) for other in as_resolved(path))
