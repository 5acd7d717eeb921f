"""Who asks is known by a secret alone, and any octets in its place mean nobody."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawl_audit import identity
from crawl_audit.identity import ANY_CRAWLER, Crawler, identify, presented_secret, token_in_user_agent, why_unknown


def crawler(name: str, secret: str | None, *tokens: str) -> Crawler:
    digest = None if secret is None else hashlib.sha256(secret.encode()).hexdigest()
    return Crawler(id=name, product_tokens=tokens or ("ExampleBot",), secret_sha256=digest)


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


A, B = crawler("a", "secret-a"), crawler("b", "secret-b")
OPEN = crawler("open", None)


@pytest.mark.parametrize(
    "value,secret",
    [
        (basic("user:pass"), "pass"),
        (basic(":pass"), "pass"),
        (basic("user:pa:ss"), "pa:ss"),
        (basic("user:päss"), "päss"),
        ("bAsIc " + base64.b64encode(b"u:p").decode(), "p"),
        ("Bearer token", "token"),
        ("bearer  token ", "token"),
        (None, None),
        ("", None),
        ("Basic", None),
        ("Bearer", None),
        ("Bearer ", None),
        (basic("user:"), None),
        (basic("user"), None),
        ("Basic !!!", None),
        ("Basic é", None),
        ("Basic \udcff", None),
        ("Basic " + base64.b64encode(b"u:\xff").decode(), None),
        ("Digest username=x", None),
        ("secret-a", None),
    ],
)
def test_the_secret_is_the_password_of_basic_or_the_bearer_token(value: str | None, secret: str | None) -> None:
    assert presented_secret(value) == secret


@given(st.text(st.characters()) | st.text(st.characters()).map(lambda t: "Basic " + t) | st.none())
def test_no_field_value_makes_identification_fail(value: str | None) -> None:
    presented_secret(value)
    assert identify(value, [A, B]) is None
    assert identify(value, [OPEN]) is OPEN


@pytest.mark.parametrize("crawlers", [[A, B], [B, A]])
def test_a_crawler_is_known_by_its_own_secret_in_any_order(crawlers: list[Crawler]) -> None:
    assert identify(basic("x:secret-a"), crawlers) is A
    assert identify("Bearer secret-b", crawlers) is B
    assert identify("Bearer secret-c", crawlers) is None
    assert identify(None, crawlers) is None


def test_nobody_is_known_where_nobody_is_configured() -> None:
    assert identify(None, []) is None
    assert identify("Bearer x", []) is None


def test_a_single_crawler_with_a_secret_must_present_it() -> None:
    assert identify(None, [A]) is None
    assert identify("Bearer secret-a", [A]) is A


def test_an_open_crawler_among_several_is_nobody() -> None:
    assert identify(None, [OPEN, A]) is None
    assert identify("Bearer wrong", [OPEN, A]) is None
    assert identify("Bearer secret-a", [OPEN, A]) is A


def test_the_digest_of_the_empty_string_admits_nobody() -> None:
    empty = crawler("empty", "")
    assert identify(None, [empty]) is None
    assert identify("Bearer ", [empty, A]) is None
    assert identify(basic("user:"), [empty]) is None


def test_the_digest_itself_is_no_credential() -> None:
    assert identify(f"Bearer {A.secret_sha256}", [A]) is None


@pytest.mark.parametrize("value", [None, "Bearer secret-a", "Bearer secret-b", "Bearer wrong"])
def test_every_digest_is_compared_whichever_matches(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []
    original = identity.hmac.compare_digest

    def counting(one: str, two: str) -> bool:
        compared.append(one)
        return original(one, two)

    monkeypatch.setattr(identity.hmac, "compare_digest", counting)
    identify(value, [A, B])
    assert compared == [A.secret_sha256, B.secret_sha256]


@pytest.mark.parametrize(
    "user_agent,tokens,found",
    [
        ("Mozilla/5.0 (compatible; ExampleBot/1.0)", ("ExampleBot",), True),
        ("examplebot", ("ExampleBot",), True),
        ("EXAMPLEBOT-News", ("OtherBot", "ExampleBot"), True),
        ("curl/8", ("ExampleBot",), False),
        ("", ("ExampleBot",), False),
        (None, ("ExampleBot",), False),
        ("anything *", (ANY_CRAWLER,), False),
        ("ExampleBot", (ANY_CRAWLER, "ExampleBot"), True),
    ],
)
def test_the_token_is_looked_for_in_user_agent_in_any_case(
    user_agent: str | None, tokens: tuple[str, ...], found: bool
) -> None:
    assert token_in_user_agent(user_agent, tokens) is found


def test_several_tokens_stand_in_a_decision_as_one_list() -> None:
    assert crawler("x", None, "ExampleBot-News", "ExampleBot").product_token == "ExampleBot-News, ExampleBot"


@pytest.mark.parametrize(
    ("pair", "known", "why"),
    [
        ("news:token-of-news", "news", None),
        (":token-of-news", "news", None),
        ("anything:token-of-news", "news", None),
        ("shop:token-of-news", None, "The user name is that of crawler shop, and the token is not."),
        ("shop:wrong", None, "The user name is that of crawler shop, and the token is not."),
        ("token-of-news:", None, "No token of a configured crawler was presented."),
        ("token-of-news:x", None, "No token of a configured crawler was presented."),
        ("shop:", None, "No token of a configured crawler was presented."),
    ],
)
def test_a_user_name_that_is_another_crawlers_contradicts_the_token(
    pair: str, known: str | None, why: str | None
) -> None:
    crawlers = [crawler("news", "token-of-news", "NewsBot"), crawler("shop", "token-of-shop", "ShopBot")]
    found = identify(basic(pair), crawlers)
    assert (None if found is None else found.id) == known
    if found is None:
        assert why_unknown(basic(pair), crawlers) == why


@pytest.mark.parametrize("value", [None, "", "Basic !", "Bearer x", "Digest username=shop"])
def test_why_nobody_is_known_quotes_nothing_that_was_presented(value: str | None) -> None:
    crawlers = [crawler("shop", "token-of-shop", "ShopBot")]
    assert why_unknown(value, crawlers) == "No token of a configured crawler was presented."
