"""What would be decided: URLs of any spelling, and questions as JSON lines."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from crawl_audit.records import Verdict
from reports import judge
from reports.judge import judge_lines, judge_url, target_of

BODY = "User-agent: *\nDisallow: /private\n"


def answers(*questions: Any) -> list[dict[str, Any]]:
    lines = [question if isinstance(question, str) else json.dumps(question) for question in questions]
    return [json.loads(line) for line in judge_lines(lines)]


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.com/a/b?c=d", "/a/b?c=d"),
        ("https://example.com", "/"),
        ("https://example.com?a", "/?a"),
        ("https://example.com#a", "/"),
        ("https://example.com/a#b", "/a"),
        ("HTTP://user:pw@exämple.com:8080/ä", "/%C3%A4"),
        ("https://[::1]/a[", "/a["),
        ("/a/b", "/a/b"),
        ("//a/b", "//a/b"),
        ("/a?u=https://b/c", "/a?u=https://b/c"),
        ("a/b", "/a/b"),
        (" /a b\n", "/a%20b"),
        ("/\udc93", "/%93"),
        ("/\ud800", "/%ED%A0%80"),
        ("", "/"),
        ("*", "/*"),
    ],
)
def test_a_url_becomes_path_and_query_in_printable_ascii(url: str, target: str) -> None:
    assert target_of(url) == target


def test_a_url_is_judged() -> None:
    judgement = judge_url(BODY.encode(), ("ExampleBot",), "https://münchen.example/private/ü#x")
    assert (judgement.verdict, judgement.rule, judgement.rule_line) == (Verdict.DISALLOWED, "Disallow: /private", 2)


def test_a_question_gets_an_answer_with_all_its_fields() -> None:
    (answer,) = answers({"id": 7, "robots": BODY, "token": "ExampleBot", "url": "https://example.com/private"})
    assert answer == {
        "id": 7,
        "verdict": "disallowed",
        "basis": "rule",
        "rule": "Disallow: /private",
        "rule_line": 2,
        "protego_verdict": "disallowed",
        "divergent": False,
    }


def test_octets_can_be_given_as_base64() -> None:
    body = base64.b64encode(b"User-agent: *\nDisallow: /\x93\xfa\n").decode()
    (answer,) = answers({"id": "a", "robots_b64": body, "token": "x", "url": "/%93%FA"})
    assert answer["verdict"] == "disallowed"


def test_text_and_base64_of_the_same_spelling_are_not_confused() -> None:
    spelled = base64.b64encode(BODY.encode()).decode()
    first, second = answers(
        {"id": 1, "robots": spelled, "token": "x", "url": "/private"},
        {"id": 2, "robots_b64": spelled, "token": "x", "url": "/private"},
    )
    assert (first["verdict"], second["verdict"]) == ("allowed", "disallowed")


def test_several_tokens_are_combined() -> None:
    robots = "User-agent: a\nDisallow: /x\n\nUser-agent: b\nDisallow: /y\n"
    (answer,) = answers({"id": 1, "robots": robots, "token": ["a", "b"], "url": "/y"})
    assert answer["verdict"] == "disallowed"


@pytest.mark.parametrize(
    ("question", "identifier"),
    [
        ("no json", None),
        ("[1]", None),
        ("[" * 100_000, None),
        ({"id": 1}, 1),
        ({"id": 1, "robots": "", "robots_b64": "", "token": "a", "url": "/"}, 1),
        ({"id": 1, "robots": 3, "token": "a", "url": "/"}, 1),
        ({"id": 1, "robots_b64": "%", "token": "a", "url": "/"}, 1),
        ({"id": 1, "robots_b64": "ä", "token": "a", "url": "/"}, 1),
        ({"id": 1, "robots": "", "token": 5, "url": "/"}, 1),
        ({"id": 1, "robots": "", "token": [], "url": "/"}, 1),
        ({"id": 1, "robots": "", "token": ["a", None], "url": "/"}, 1),
        ({"id": 1, "robots": "", "url": "/"}, 1),
        ({"id": [1], "robots": "", "token": "a"}, [1]),
    ],
)
def test_a_bad_line_is_answered_with_one_sentence_and_the_rest_follows(question: Any, identifier: Any) -> None:
    bad, good = answers(question, {"id": 2, "robots": "", "token": "a", "url": "/"})
    assert set(bad) == {"id", "error"}
    assert bad["id"] == identifier
    assert bad["error"].endswith(".")
    assert good["verdict"] == "allowed"


def test_empty_lines_are_no_questions() -> None:
    assert answers("", "\n") == []


def test_surrogates_anywhere_do_no_harm() -> None:
    (answer,) = answers(
        '{"id": "\\ud800", "robots": "User-agent: \\ud800\\nDisallow: /", "token": "\\udc80", "url": "/\\ud800"}'
    )
    assert answer["verdict"] == "allowed"


def test_rules_are_compiled_once_per_file_and_token(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[bytes] = []
    original = judge.compile_rules
    monkeypatch.setattr(judge, "compile_rules", lambda body, tokens: compiled.append(body) or original(body, tokens))
    question = {"id": 1, "robots": BODY, "token": "a", "url": "/"}
    answers(*[question] * 50, {**question, "token": "b"}, question)
    assert len(compiled) == 2


def test_the_cache_of_rules_is_bounded() -> None:
    cache = judge._RulesCache()
    for number in range(20):
        cache.rules("robots", f"# {number}\n" + "#" * 1_000_000, ("a",))
    assert len(cache._rules) < 10
    assert cache._body_bytes <= judge._CACHE_BODY_BYTES_MAX
