"""What a robots.txt says: RFC 9309 clause by clause, google/robotstxt's behaviour, Protego's faults, any octets."""

from __future__ import annotations

import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawl_audit import robots
from crawl_audit.records import Basis, RobotsOutcome, Verdict
from crawl_audit.robots import compile_rules, evaluate, outcome_of
from crawl_audit.robots_lines import BODY_BYTES_MAX, LINE_BYTES_MAX
from crawl_audit.text import is_storable
from reports.judge import judge_url
from tests import oracle

CASES = Path(__file__).parent.parent / "robots"
ALLOWED, DISALLOWED = Verdict.ALLOWED, Verdict.DISALLOWED


def cases(name: str) -> list[Any]:
    table = tomllib.loads((CASES / name).read_text(encoding="utf-8"))["case"]
    return [pytest.param(case, id=case["name"]) for case in table]


def verdict(body: bytes, target: str, *tokens: str) -> Verdict:
    return compile_rules(body, tokens or ("FooBot",)).judge(target).verdict


@pytest.mark.parametrize("case", cases("rfc9309.toml") + cases("google.toml"))
def test_a_case_is_decided_as_its_clause_says(case: dict[str, Any]) -> None:
    judgement = judge_url(case["robots"].encode(), tuple(case["tokens"]), case["url"])
    expected = {key: case[key] for key in ("verdict", "basis", "rule_line") if key in case}
    assert {key: getattr(judgement, key) for key in expected} == expected


def test_case_names_are_unique() -> None:
    names = [case.id for case in cases("rfc9309.toml") + cases("google.toml")]
    assert len(names) == len(set(names)) > 80


# Octets.


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"\xef\xbb", b"\xef"])
def test_a_byte_order_mark_whole_or_cut_short_is_skipped(mark: bytes) -> None:
    assert verdict(mark + b"User-agent: FooBot\nDisallow: /\n", "/x") is DISALLOWED


def test_a_byte_order_mark_makes_protego_alone_lose_the_first_group_and_the_judgement_says_so() -> None:
    judgement = compile_rules(b"\xef\xbb\xbfUser-agent: FooBot\nDisallow: /\n", ("FooBot",)).judge("/x")
    assert (judgement.verdict, judgement.protego_verdict, judgement.divergent) == (DISALLOWED, ALLOWED, True)


def test_a_broken_byte_order_mark_spoils_its_line_only() -> None:
    body = b"\xef\x11\xbfUser-agent: FooBot\nDisallow: /\n\nUser-agent: *\nDisallow: /x\n"
    assert verdict(body, "/x") is DISALLOWED
    assert verdict(body, "/y") is ALLOWED


def test_at_least_500_kib_are_evaluated() -> None:
    body = b"#" * 511_900 + b"\nUser-agent: *\nDisallow: /\n"
    assert verdict(body, "/x") is DISALLOWED


def test_what_stands_beyond_the_limit_and_the_line_it_falls_into_are_not_looked_at() -> None:
    head = b"User-agent: *\nDisallow: /\n"
    filler = b"#" * (BODY_BYTES_MAX - len(head) - len(b"\nAllow: /a")) + b"\n"
    assert verdict(head + filler + b"Allow: /a/b/c\nAllow: /\n", "/a/b/c") is DISALLOWED


def test_raw_octets_and_their_escapes_are_the_same_path() -> None:
    body = b"User-agent: *\nDisallow: /\x93\xfa\x96\x7b/\n"
    assert verdict(body, "/%93%FA%96%7B/") is DISALLOWED
    assert verdict(body, "/\udc93\udcfa\udc96{/") is DISALLOWED
    assert verdict(body, "/%93%FB%96%7B/") is ALLOWED


# Groups.


@pytest.mark.parametrize("token", ["", " ", "*", "\ud800", "ツ", "Foo/1.0", "a" * 10_000])
def test_any_token_without_a_group_is_judged_by_the_groups_for_all(token: str) -> None:
    assert verdict(b"User-agent: *\nDisallow: /\n", "/x", token) is DISALLOWED


def test_no_token_at_all_is_judged_by_the_groups_for_all() -> None:
    assert compile_rules(b"User-agent: *\nDisallow: /\n", ()).judge("/x").verdict is DISALLOWED


@pytest.mark.parametrize(
    "line", ["CCBot, GPTBot", "CCBot,GPTBot/1.0", "GPTBot , CCBot", "GPTBot;x", "gptbot", "x, *", "*, GPTBot"]
)
def test_a_comma_list_names_each_of_its_tokens(line: str) -> None:
    assert verdict(f"User-agent: {line}\nDisallow: /\n".encode(), "/x", "GPTBot") is DISALLOWED


@pytest.mark.parametrize(
    ("token", "line"),
    [
        ("AI2Bot", "AI2Bot"),
        ("AI2Bot", "ai2bot/1.0"),
        ("iaskspider/2.0", "iaskspider/2.0"),
        ("Brightbot 1.0", "Brightbot 1.0"),
        ("Foo Bar", "Foo Bar/2.0"),
        ("quillbot.com", "quillbot.com"),
    ],
)
def test_a_token_outside_the_grammar_is_found_literally(token: str, line: str) -> None:
    body = f"User-agent: {line}\nDisallow: /\n\nUser-agent: *\nAllow: /\n".encode()
    judgement = compile_rules(body, (token,)).judge("/x")
    assert judgement.verdict is DISALLOWED
    assert judgement.group_tokens == (line,)


@pytest.mark.parametrize(("token", "line"), [("AI2Bot", "AI2Bot"), ("Foo Bar", "Foo Bar"), ("GPTBot", "CCBot, GPTBot")])
def test_deviation_where_the_grammar_and_the_intent_select_different_groups_both_must_allow(
    token: str, line: str
) -> None:
    """google/robotstxt and RFC 9309 take the group for `*` here; a reader of the file would take the first group."""
    strict = f"User-agent: {line}\nAllow: /\n\nUser-agent: *\nDisallow: /\n".encode()
    open_to_all = f"User-agent: {line}\nAllow: /\n\nUser-agent: *\nAllow: /\n".encode()
    assert verdict(strict, "/x", token) is DISALLOWED
    assert verdict(open_to_all, "/x", token) is ALLOWED


def test_the_user_agent_lines_that_govern_are_reported_as_written() -> None:
    body = b"User-agent: GPTBot/1.0\nUser-agent: CCBot\nDisallow: /a\n\nUser-agent: gptbot\nDisallow: /b\n"
    assert compile_rules(body, ("GPTBot",)).judge("/b").group_tokens == ("GPTBot/1.0", "gptbot")


def test_the_rule_is_reported_as_written_with_its_line() -> None:
    judgement = compile_rules(b"User-agent: *\r\n\r\n  Disallow :/a\x9b*b # c\r\n", ("a",)).judge("/a%9Bxb")
    assert (judgement.rule, judgement.rule_line) == ("Disallow :/a\\x9b*b", 3)


def test_what_a_record_cannot_hold_never_gets_into_one() -> None:
    body = b"User-agent: *\x01\x9b\xff" * 3 + b"\nDisallow: /\x02" + b"\xff" * 5000
    judgement = compile_rules(b"User-agent: *\x0c\x01\n" + body, ("a",)).judge("/x")
    texts = [*judgement.group_tokens, judgement.rule or ""]
    assert all(is_storable(text) and len(text) <= 1024 for text in texts)


def test_no_more_than_fifty_user_agent_lines_are_reported() -> None:
    body = b"User-agent: *\n" * 1000 + b"Disallow: /\n"
    assert len(compile_rules(body, ("a",)).judge("/x").group_tokens) == 50


@pytest.mark.parametrize(
    ("lines", "expected_ms"),
    [
        ("Crawl-delay: 2", 2000),
        ("crawl-delay:0.5", 500),
        ("Crawl-delay: 1\nCrawl-delay: 3", 3000),
        ("Crawl-delay: 10 seconds", 10_000),
        ("Crawl-delay: soon", None),
        ("Crawl-delay: 999999999", 30 * 86_400_000),
        ("Crawl-delay: -5", None),
        ("", None),
    ],
)
def test_the_longest_crawl_delay_of_the_governing_groups_is_given(lines: str, expected_ms: int | None) -> None:
    body = f"User-agent: other\nCrawl-delay: 77\nAllow: /\nUser-agent: *\n{lines}\nAllow: /\n".encode()
    assert compile_rules(body, ("a",)).judge("/x").crawl_delay_ms == expected_ms


# Deviations.


def test_deviation_a_line_is_cut_where_google_cuts_it() -> None:
    """RFC 9309 has no such limit; google/robotstxt has, and so a longer path acts as its own prefix."""
    path = "/x/" + "a" * (LINE_BYTES_MAX - len("disallow: /x/"))
    body = f"user-agent: FooBot\ndisallow: {path}/qux\n".encode()
    assert verdict(body, path + "/fux") is DISALLOWED
    assert verdict(body, "/fux") is ALLOWED


def test_deviation_escaped_unreserved_characters_are_decoded_though_google_does_not() -> None:
    """RFC 9309 2.2.2, figure 4: a MUST."""
    body = b"User-agent: FooBot\nDisallow: /\nAllow: /foo/bar/%62%61%7A\n"
    assert verdict(body, "/foo/bar/baz") is ALLOWED


def test_deviation_raw_octets_of_a_url_are_escaped_though_google_leaves_that_to_the_caller() -> None:
    assert verdict("User-agent: *\nDisallow: /\nAllow: /ツ\n".encode(), "/ツ") is ALLOWED


@pytest.mark.parametrize("target", ["/a%7E", "/a%20b", "/a%24", "/A%2F", "/%41%2A", "/a%e3"])
def test_half_an_escape_disallows_whatever_it_may_be_half_of(target: str) -> None:
    assert verdict(b"User-agent: *\nAllow: /\nDisallow: /*%\n", target) is DISALLOWED
    half = target[: target.index("%") + 2].encode()
    assert verdict(b"User-agent: *\nAllow: /\nDisallow: " + half + b"\n", target) is DISALLOWED
    assert verdict(b"User-agent: *\nAllow: /\nDisallow: " + half + b"\n", "/b") is ALLOWED


def test_deviation_half_an_escape_in_an_allow_finds_no_escape_that_is_decoded_before_the_comparison() -> None:
    """google/robotstxt allows this; RFC 9309 2.2.2 has decoded the escape, and the stricter answer costs little."""
    assert verdict(b"User-agent: *\nDisallow: /\nAllow: /a%7\n", "/a%7E") is DISALLOWED


def test_deviation_characters_no_url_can_have_equal_their_escapes_in_a_disallow() -> None:
    """RFC 9309 and google/robotstxt tell them apart, but `Disallow: /a b` can only mean `/a%20b`."""
    assert verdict(b"User-agent: *\nDisallow: /a b|c\n", "/a%20b%7Cc") is DISALLOWED
    assert verdict(b"User-agent: *\nDisallow: /a%20b%7Cc\n", "/a b|c") is DISALLOWED


def test_characters_no_url_can_have_differ_from_their_escapes_in_an_allow() -> None:
    assert verdict(b"User-agent: *\nDisallow: /\nAllow: /a|c\n", "/a|c") is ALLOWED
    assert verdict(b"User-agent: *\nDisallow: /\nAllow: /a|c\n", "/a%7Cc") is DISALLOWED
    assert verdict(b"User-agent: *\nDisallow: /\nAllow: /a%20c\n", "/a%20c") is ALLOWED
    assert verdict(b"User-agent: *\nDisallow: /\nAllow: /a c\n", "/a%20c") is DISALLOWED


def test_deviation_dot_segments_slashes_and_fragments_are_judged_as_resolved_too_though_google_judges_as_sent() -> None:
    rules = compile_rules(b"User-agent: *\nDisallow: /b/\n", ("a",))
    for path in ("/a/../b/x", "/a/%2e%2e/b/x", "//b/x", "/a#/../../b/x"):
        assert rules.judge(path).verdict is DISALLOWED
    assert rules.judge("/a/../c/x").verdict is ALLOWED


def test_deviation_robots_txt_is_always_allowed_though_google_applies_the_rules() -> None:
    """RFC 9309 2.2.2: implicitly allowed."""
    assert verdict(b"User-agent: *\nDisallow: /\n", "/robots.txt") is ALLOWED


# Protego.


def test_the_parser_names_both_versions() -> None:
    assert robots.PARSER.startswith("crawl-audit ")
    assert ", protego 0." in robots.PARSER


def test_protego_alone_is_reported_where_it_agrees_too() -> None:
    judgement = compile_rules(b"User-agent: *\nDisallow: /\n", ("a",)).judge("/x")
    assert (judgement.protego_verdict, judgement.divergent) == (DISALLOWED, False)


def test_where_protego_disallows_on_the_same_rules_what_we_allow_the_stricter_holds() -> None:
    rules = compile_rules(b"User-agent: *\nAllow: /\n", ("a",))
    strict = compile_rules(b"User-agent: *\nDisallow: /\n", ("a",))
    rules._readings[0] = rules._readings[0]._replace(protego=strict._readings[0].protego)
    judgement = rules.judge("/x")
    assert (judgement.verdict, judgement.basis, judgement.divergent) == (DISALLOWED, Basis.ERROR, True)


def test_a_fault_of_protego_denies_with_a_reason() -> None:
    class Faulty:
        def can_fetch(self, url: str, user_agent: str) -> bool:
            raise ValueError(url + user_agent)

    rules = compile_rules(b"User-agent: *\nAllow: /\n", ("a",))
    rules._readings[0] = rules._readings[0]._replace(protego=Faulty())  # type: ignore[arg-type]
    rules._raw = Faulty()  # type: ignore[assignment]
    judgement = rules.judge("/x")
    assert (judgement.verdict, judgement.basis, judgement.protego_verdict) == (DISALLOWED, Basis.ERROR, None)
    assert judgement.detail == "Protego failed on this path (ValueError)."


# Outcomes.


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, RobotsOutcome.SUCCESSFUL),
        (204, RobotsOutcome.SUCCESSFUL),
        (301, RobotsOutcome.UNAVAILABLE),
        (400, RobotsOutcome.UNAVAILABLE),
        (401, RobotsOutcome.UNAVAILABLE),
        (404, RobotsOutcome.UNAVAILABLE),
        (451, RobotsOutcome.UNAVAILABLE),
        (499, RobotsOutcome.UNAVAILABLE),
        (429, RobotsOutcome.UNREACHABLE),
        (500, RobotsOutcome.UNREACHABLE),
        (503, RobotsOutcome.UNREACHABLE),
        (100, RobotsOutcome.UNREACHABLE),
        (600, RobotsOutcome.UNREACHABLE),
        (0, RobotsOutcome.UNREACHABLE),
        (None, RobotsOutcome.UNREACHABLE),
    ],
)
def test_a_status_gives_the_outcome_of_rfc_9309_section_2_3_1(status: int | None, expected: RobotsOutcome) -> None:
    assert outcome_of(status) is expected


def test_429_counts_as_unavailable_where_the_operator_says_so() -> None:
    assert outcome_of(429, treat_429_as_unreachable=False) is RobotsOutcome.UNAVAILABLE


def test_too_many_redirects_mean_unavailable() -> None:
    assert outcome_of(302, too_many_redirects=True) is RobotsOutcome.UNAVAILABLE


@pytest.mark.parametrize("outcome", list(RobotsOutcome))
def test_robots_txt_itself_is_allowed_whatever_the_outcome(outcome: RobotsOutcome) -> None:
    judgement = evaluate(outcome, None, "/robots.txt?x=1")
    assert (judgement.verdict, judgement.basis) == (ALLOWED, Basis.ROBOTS_TXT)


def test_an_outcome_other_than_successful_decides_alone() -> None:
    rules = compile_rules(b"User-agent: *\nDisallow: /x\n", ("a",))
    assert evaluate(RobotsOutcome.UNAVAILABLE, rules, "/x").basis is Basis.UNAVAILABLE
    assert evaluate(RobotsOutcome.UNAVAILABLE, rules, "/x").verdict is ALLOWED
    assert evaluate(RobotsOutcome.UNREACHABLE, rules, "/y").basis is Basis.UNREACHABLE
    assert evaluate(RobotsOutcome.UNREACHABLE, rules, "/y").verdict is DISALLOWED
    assert evaluate(RobotsOutcome.SUCCESSFUL, rules, "/x").basis is Basis.RULE


def test_rules_that_are_not_at_hand_deny() -> None:
    judgement = evaluate(RobotsOutcome.SUCCESSFUL, None, "/x")
    assert (judgement.verdict, judgement.basis) == (DISALLOWED, Basis.ERROR)


# Any input.

ODD_OCTETS = st.sampled_from(
    [
        *[
            b"User-agent: ",
            b"Disallow: ",
            b"Allow: ",
            b"Crawl-delay: ",
            b"*",
            b"$",
            b"\n",
            b"\r",
            b"\0",
            b"#",
            b":",
            b" ",
        ],
        *[b"\xef", b"\xbb\xbf", b"%", b"%7", b"%41", b"%2a", b"\xff", b"/", b"?", b",", b"a", b"\xe2\x80\xa8", b"Foo"],
    ]
)
BODIES = st.one_of(st.binary(max_size=200), st.lists(ODD_OCTETS, max_size=40).map(b"".join))
TEXTS = st.text(alphabet=st.characters(), max_size=30)  # lone surrogates included
TARGETS = st.one_of(TEXTS, TEXTS.map("/".__add__), st.sampled_from(["", "//", "//[", "*", "/#", "/robots.txt", "\0"]))


@settings(max_examples=600, deadline=None)
@given(BODIES, st.lists(TEXTS, max_size=3).map(tuple), TARGETS)
def test_any_octets_tokens_and_target_give_a_judgement(body: bytes, tokens: tuple[str, ...], target: str) -> None:
    judgement = compile_rules(body, tokens).judge(target)
    assert judgement.basis is not Basis.ERROR
    assert (judgement.basis is Basis.RULE) == (judgement.rule_line is not None)
    assert judgement.divergent == (judgement.protego_verdict not in (None, judgement.verdict))
    assert all(map(is_storable, [*judgement.group_tokens, judgement.rule or ""]))


NAMES = ["a", "b", "a-b", "*", "C"]
PATTERN = st.lists(
    st.sampled_from(["a", "b", "/", "*", "$", "x", "%41", "%7e", "%2F", "%3F", "?", "&", "ツ", "%E3%83%84"]), max_size=6
).map(lambda parts: "/" + "".join(parts))
RULE = st.builds("{}: {}".format, st.sampled_from(["Allow", "Disallow", "disallow"]), st.one_of(PATTERN, st.just("")))
OTHER = st.sampled_from(["Sitemap: https://x/y", "Crawl-delay: 1", "", "# c", "Unknown: 3"])
AGENT = st.sampled_from(NAMES).map("User-agent: {}".format)
FILES = st.tuples(
    st.lists(st.one_of(AGENT, AGENT, RULE, RULE, RULE, OTHER), max_size=14), st.sampled_from(["\n", "\r\n", "\r"])
).map(lambda made: made[1].join(made[0]))
PATHS = st.lists(
    st.sampled_from(["a", "b", "/", "A", "x", "%61", "~", "%2f", "%3f", "?", "&", "%E3%83%84", "$", "*"]), max_size=6
).map(lambda parts: "/" + "".join(parts))


@settings(max_examples=1500, deadline=None)
@given(FILES, st.sampled_from(["a", "A-B", "c", "zz"]), PATHS)
def test_the_oracle_comes_to_the_same_verdict(file: str, token: str, path: str) -> None:
    judgement = compile_rules(file.encode(), (token,)).judge(path)
    assert (judgement.verdict is ALLOWED) == oracle.allowed(file, token, path)


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.text("ab*", max_size=7), min_size=1, max_size=3), st.booleans(), st.text("ab", max_size=9))
def test_wildcards_match_as_a_regular_expression_does(patterns: list[str], anchored: bool, path: str) -> None:
    file = "User-agent: *\n" + "".join(f"Disallow: /{pattern}{'$' * anchored}\n" for pattern in patterns)
    assert (verdict(file.encode(), "/" + path) is ALLOWED) == oracle.allowed(file, "a", "/" + path)


@settings(max_examples=300, deadline=None)
@given(FILES, PATHS)
def test_protego_on_the_selected_rules_agrees_with_our_matcher_in_both_directions(file: str, path: str) -> None:
    reading = compile_rules(file.encode(), ("a",))._readings[0]
    rule = reading.matcher.match(robots.normal(path.encode()))
    assert robots._ask_selected(reading, robots.normal(path.encode())) == (rule is None or rule.allow)


@given(st.text(alphabet="abcXYZ019-._~/", max_size=12), st.data())
def test_escaping_unreserved_characters_changes_no_verdict(path: str, data: st.DataObject) -> None:
    def escaped(text: str) -> str:
        forms = [data.draw(st.sampled_from([c, f"%{ord(c):02x}", f"%{ord(c):02X}"])) if c != "/" else c for c in text]
        return "/" + "".join(forms)

    body = f"User-agent: *\nDisallow: {escaped(path)}$\n".encode()
    assert verdict(body, escaped(path)) is DISALLOWED


@given(st.binary(min_size=1, max_size=8), st.binary(min_size=1, max_size=8))
def test_octets_that_differ_are_paths_that_differ(one: bytes, other: bytes) -> None:
    first, second = ("/" + "".join(f"%{octet:02X}" for octet in octets) for octets in (one, other))
    body = f"User-agent: *\nDisallow: {first}$\n".encode()
    assert (verdict(body, second) is DISALLOWED) == (one == other)


# Hostile input.

HOSTILE = {
    "2,000 user-agents x 2,000 rules": b"".join(b"User-agent: u%d\n" % i for i in range(2000))
    + b"User-agent: FooBot\n"
    + b"".join(b"Disallow: /p%d\n" % i for i in range(2000)),
    "one line of 500 KB": b"User-agent: *\nDisallow: /" + b"*a" * 250_000,
    "30,000 wildcard rules": b"User-agent: *\n" + b"".join(b"Disallow: *a%05d\n" % i for i in range(30_000)),
    "30,000 anchored rules": b"User-agent: *\n" + b"".join(b"Allow: /*a*a*%05d$\n" % i for i in range(30_000)),
    "1,000,000 rules": b"User-agent: *\n" + b"".join(b"Disallow: /p%d\n" % i for i in range(1_000_000)),
    "1,400 lengths": b"User-agent: *\n" + b"".join(b"Disallow: /" + b"a" * i + b"b\n" for i in range(1400)),
    "40,000 query rules": b"User-agent: *\n" + b"".join(b"Disallow: /*?a%05d:/\n" % i for i in range(40_000)),
}
LONG_TARGETS = ["/some/path?x=1", "/" + "a" * 2000, "/" + "a" * 65_000, "/" + "%41" * 21_000, "/?" + "a01:/" * 13_000]


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in HOSTILE.items()])
def test_a_hostile_file_is_compiled_and_judged_in_bounded_time(body: bytes) -> None:
    started = time.process_time()
    rules = compile_rules(body, ("FooBot",))
    assert time.process_time() - started < 2  # a second on an idle machine
    for target in LONG_TARGETS:
        rules.judge(target)
        durations = []
        for _ in range(3):
            started = time.process_time()
            rules.judge(target)
            durations.append(time.process_time() - started)
        assert min(durations) < 0.05


def test_matching_that_would_take_too_long_is_disallowed_with_a_reason() -> None:
    lines = b"".join(b"Allow: /*aaaaaaaaaaaaaaaa%05daaaaaaaaaaaaaaaa\n" % i for i in range(20_000))
    rules = compile_rules(b"User-agent: *\n" + lines, ("a",))
    judgement = rules.judge("/" + "a" * 60_000)
    assert (judgement.verdict, judgement.basis) == (DISALLOWED, Basis.ERROR)
    assert judgement.detail == "Matching this path against these rules would take too long."


def test_the_memo_of_judgements_is_bounded() -> None:
    lines = b"".join(b"Disallow: /p%d$\n" % i for i in range(3000))
    rules = compile_rules(b"User-agent: *\n" + lines, ("a",))
    for number in range(3000):
        assert rules.judge(f"/p{number}").rule_line == number + 2
    assert len(rules._memo) <= 1024
