"""Settings are taken whole or refused whole, in one sentence, and what is recorded holds no secret."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawl_audit.errors import ConfigurationError
from crawl_audit.identity import ANY_CRAWLER
from crawl_audit.records import Mode
from crawl_audit.text import is_storable
from proxy_addon.settings import ENV_PREFIX, OnFailure, Settings, load, split_address

DIGEST = hashlib.sha256(b"secret").hexdigest()
TWO_CRAWLERS_ONE_TOKEN = f"""
[[crawlers]]
id = "a"
product_tokens = ["A"]
[[crawlers]]
id = "b"
product_tokens = ["B"]
token_sha256 = "{DIGEST}"
"""


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith(ENV_PREFIX):
            monkeypatch.delenv(name)


def config(directory: Path, text: str) -> Path:
    path = directory / "sidecar.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path | None, overrides: dict[str, Any] | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(path, overrides)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


# --- precedence -----------------------------------------------------------------------------------------------------


def test_the_defaults_open_nothing() -> None:
    settings = load(None)
    assert settings.mode is Mode.AUDIT
    assert (settings.listen, settings.admin) == ("127.0.0.1:8080", "127.0.0.1:8081")
    assert settings.robots.treat_429_as_unreachable is True
    assert settings.upstream.trusted_ca is None


def test_the_environment_goes_before_the_file_and_the_command_line_before_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = config(
        tmp_path, 'node = "file"\nmode = "enforce"\nlisten = "127.0.0.1:1"\n[robots]\nttl_s = 1\nfetch_timeout_s = 3\n'
    )
    assert load(path).node == "file"
    monkeypatch.setenv("CRAWL_AUDIT_NODE", "environment")
    monkeypatch.setenv("CRAWL_AUDIT_LISTEN", "127.0.0.1:2")
    monkeypatch.setenv("CRAWL_AUDIT_ROBOTS__TTL_S", "2")
    settings = load(path, {"listen": "127.0.0.1:3"})
    assert (settings.node, settings.mode, settings.listen) == ("environment", Mode.ENFORCE, "127.0.0.1:3")
    assert (settings.robots.ttl_s, settings.robots.fetch_timeout_s) == (2, 3)


def test_a_dotenv_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("CRAWL_AUDIT_NODE=dotenv\n")
    monkeypatch.chdir(tmp_path)
    assert load(None).node != "dotenv"


def test_an_empty_variable_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRAWL_AUDIT_MODE", "")
    assert load(None).mode is Mode.AUDIT


def test_variables_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODE", "enforce")
    monkeypatch.setenv("CRAWL_AUDITOR", "x")
    assert load(None).mode is Mode.AUDIT


# --- nothing unknown ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text,named",
    [
        ('mod = "enforce"', "mod is not a setting; did you mean mode?"),
        ("[robots]\nttl = 5", "robots.ttl is not a setting; did you mean ttl_s?"),
        ("[upstream]\nssl_insecure = true", "upstream.ssl_insecure is not a setting"),
        ("[loging]\nreserve_mib = 1", "loging is not a setting; did you mean logging?"),
        ('[[crawlers]]\nid = "a"\nproduct_tokens = ["A"]\ntoken = "x"', "crawlers.0.token is not a setting"),
        ("zzzzzz = 1", "zzzzzz is not a setting."),
    ],
)
def test_an_unknown_name_in_the_file_is_refused(tmp_path: Path, text: str, named: str) -> None:
    assert named in refusal(config(tmp_path, text))


@pytest.mark.parametrize(
    "name",
    ["CRAWL_AUDIT_MOD", "crawl_audit_mod", "CRAWL_AUDIT_ROBOTS__TTL", "CRAWL_AUDIT_ROBOTS_TTL_S", "CRAWL_AUDIT_"],
)
def test_an_unknown_variable_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    assert f"The environment variable {name} is not a setting" in refusal(None)


def test_an_unknown_variable_is_refused_even_where_it_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRAWL_AUDIT_MOD", "")
    assert "did you mean CRAWL_AUDIT_MODE?" in refusal(None)


def test_an_unknown_override_is_refused() -> None:
    assert "mod is not a setting; did you mean mode?" in refusal(None, {"mod": "enforce"})


# --- refused as a whole ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text,named",
    [
        ('mode = "enforced"', "mode"),
        ('mode = ""', "mode"),
        ('listen = "8080"', "listen: '8080' is not an address of the form HOST:PORT."),
        ('admin = "127.0.0.1:99999"', "admin"),
        ('node = "has space"', "node"),
        ('node = ""', "node"),
        ("log = 5", "log"),
        ('listen = "127.0.0.1:9"\nadmin = "127.0.0.1:9"', "listen and admin are both 127.0.0.1:9"),
        ('log = "a"\n[[anchors.pushes]]\nname = "b"\ndirectory = "a/checkpoints"', "b puts checkpoints into the log"),
        ("[robots]\nttl_s = 0", "robots.ttl_s"),
        ("[robots]\nttl_s = 86401", "robots.ttl_s"),
        ("[robots]\nttl_s = nan", "robots.ttl_s"),
        ("[robots]\nttl_s = inf", "robots.ttl_s"),
        ("[logging]\nqueue_records = 9", "logging.queue_records"),
        ("[logging]\nsegment_mib = 0", "logging.segment_mib"),
        ("[upstream]\nidle_timeout_s = 0", "upstream.idle_timeout_s"),
        ("robots = 5", "robots"),
        ("crawlers = 5", "crawlers"),
        ('[[crawlers]]\nid = "a"\nproduct_tokens = []', "crawlers.0.product_tokens"),
        ('[[crawlers]]\nid = "a"\nproduct_tokens = ["Bot/1.0"]', "'Bot/1.0' is not a product token"),
        ('[[crawlers]]\nid = "a"\nproduct_tokens = ["*"]', "'*' is not a product token"),
        ('[[crawlers]]\nid = "a"\nproduct_tokens = ["Bot\\n"]', "is not a product token"),
        ('[[crawlers]]\nid = "a b"\nproduct_tokens = ["A"]', "crawlers.0.id"),
        ('[[crawlers]]\nproduct_tokens = ["A"]', "crawlers.0.id"),
        ('[[crawlers]]\nid = "a"\nproduct_tokens = ["A"]\ntoken_sha256 = "ab"', "crawlers.0.token_sha256"),
        (
            f'[[crawlers]]\nid = "a"\nproduct_tokens = ["A"]\ntoken_sha256 = "{DIGEST}"\ntoken_file = "x"',
            "give token_file or token_sha256, not both",
        ),
        (f'[[crawlers]]\nid = "a"\nproduct_tokens = ["A"]\ntoken_sha256 = "{DIGEST}"\n' * 2, "an id of its own"),
        (
            TWO_CRAWLERS_ONE_TOKEN,
            "so that the log can tell them apart",
        ),
    ],
)
def test_a_value_that_will_not_do_is_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    assert named in refusal(config(tmp_path, text))


@pytest.mark.parametrize("octets", [b"mode = ", b"\xff\xfe", b"a = 1\na = 2", b"\x00"])
def test_a_file_that_is_not_toml_is_refused(tmp_path: Path, octets: bytes) -> None:
    path = tmp_path / "sidecar.toml"
    path.write_bytes(octets)
    assert "is not TOML" in refusal(path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refusal(tmp_path / "missing.toml")
    assert "cannot be read: Is a directory" in refusal(tmp_path)


@pytest.mark.parametrize(
    "name,value",
    [
        ("CRAWL_AUDIT_CRAWLERS", "not json"),
        ("CRAWL_AUDIT_CRAWLERS", '[{"id": 5}]'),
        ("CRAWL_AUDIT_ROBOTS", "{"),
        ("CRAWL_AUDIT_ROBOTS", '{"ttl": 5}'),
        ("CRAWL_AUDIT_ROBOTS__TTL_S", "soon"),
        ("CRAWL_AUDIT_MODE", "ENFORCED"),
    ],
)
def test_a_variable_that_will_not_do_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    refusal(None)


def test_settings_cannot_be_changed_afterwards() -> None:
    settings = load(None)
    with pytest.raises(pydantic.ValidationError):
        settings.mode = Mode.ENFORCE  # type: ignore[misc]
    with pytest.raises(pydantic.ValidationError):
        settings.robots.ttl_s = 1  # type: ignore[misc]


# --- crawlers -------------------------------------------------------------------------------------------------------


def test_without_a_configured_crawler_the_groups_for_everybody_govern() -> None:
    (crawler,) = load(None).crawler_values()
    assert crawler.product_tokens == (ANY_CRAWLER,)
    assert crawler.secret_sha256 is None


def test_a_token_is_kept_as_its_digest_from_a_file_or_from_the_settings(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("  secret\n")
    text = (
        f'[[crawlers]]\nid = "a"\nproduct_tokens = ["A", "B"]\ntoken_file = "{tmp_path / "token"}"\n'
        f'[[crawlers]]\nid = "b"\nproduct_tokens = ["B"]\ntoken_sha256 = "{DIGEST}"\npurpose = "search"\n'
    )
    first, second = load(config(tmp_path, text)).crawler_values()
    assert first.secret_sha256 == second.secret_sha256 == DIGEST
    assert (first.product_tokens, second.purpose) == (("A", "B"), "search")
    assert "secret" not in {str(value) for value in dataclasses.asdict(first).values()}


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff"])
def test_a_token_file_without_a_token_is_refused(tmp_path: Path, content: bytes | None) -> None:
    token = tmp_path / "token"
    if content is not None:
        token.write_bytes(content)
    path = config(tmp_path, f'[[crawlers]]\nid = "a"\nproduct_tokens = ["A"]\ntoken_file = "{token}"')
    with pytest.raises(ConfigurationError) as caught:
        load(path).crawler_values()
    assert "token file" in str(caught.value)
    assert "\n" not in str(caught.value)


# --- what is recorded -----------------------------------------------------------------------------------------------


def test_what_is_recorded_holds_no_secret_and_not_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "where-it-lies").write_text("hunter2")
    hidden = hashlib.sha256(b"hunter2").hexdigest()
    text = (
        f'[[crawlers]]\nid = "a"\nproduct_tokens = ["A"]\ntoken_file = "{tmp_path / "where-it-lies"}"\n'
        f'[[crawlers]]\nid = "b"\nproduct_tokens = ["B"]\ntoken_sha256 = "{DIGEST}"\n'
    )
    settings = load(config(tmp_path, text))
    settings.crawler_values()
    recorded = settings.recorded()
    for secret in ("hunter2", hidden, DIGEST, "where-it-lies", "token_file", "token_sha256"):
        assert secret not in recorded
    assert [crawler["authenticated"] for crawler in json.loads(recorded)["crawlers"]] == [True, True]


def test_what_is_recorded_says_who_needs_no_secret(tmp_path: Path) -> None:
    settings = load(config(tmp_path, '[[crawlers]]\nid = "a"\nproduct_tokens = ["A"]'))
    assert json.loads(settings.recorded())["crawlers"][0]["authenticated"] is False


def test_every_setting_is_recorded() -> None:
    assert set(json.loads(load(None).recorded())) == set(Settings.model_fields)


def test_what_is_recorded_depends_on_the_settings_alone(tmp_path: Path) -> None:
    one = load(config(tmp_path, 'mode = "enforce"\nnode = "n"')).recorded()
    two = load(None, {"node": "n", "mode": "enforce"}).recorded()
    assert one == two != load(None, {"node": "n"}).recorded()


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=30))
def test_what_is_recorded_may_stand_in_a_record_whatever_the_settings_say(contact: str) -> None:
    crawler = {"id": "a", "product_tokens": ["A"], "contact": contact}
    assert is_storable(load(None, {"crawlers": [crawler], "node": "n"}).recorded())


# --- addresses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value,expected",
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:8080", ("::1", 8080)),
        ("[::]:65535", ("::", 65_535)),
    ],
)
def test_an_address_is_host_and_port(value: str, expected: tuple[str, int]) -> None:
    assert split_address(value) == expected


@pytest.mark.parametrize(
    "value",
    ["", ":", ":80", "host", "host:", "::1:80", "host:80:80", "host:8O", "host:65536", "a b:80", "h:80\n", "h:٨"],
)
def test_what_is_no_address_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="is not an address"):
        split_address(value)


def test_what_cannot_be_recorded_does_not_leave_unless_that_is_chosen(tmp_path: Path) -> None:
    assert load(None).logging.on_failure is OnFailure.FAIL_CLOSED
    config = tmp_path / "sidecar.toml"
    config.write_text('[logging]\non_failure = "fail_open"\nemergency_mib = 2\n')
    chosen = load(config)
    assert (chosen.logging.on_failure, chosen.logging.emergency_mib) == (OnFailure.FAIL_OPEN, 2)
    assert '"on_failure":"fail_open"' in chosen.recorded()
    config.write_text('[logging]\non_failure = "open"\n')
    with pytest.raises(ConfigurationError, match=r"logging\.on_failure"):
        load(config)
