"""The crawler cards: public at every level, from settings and declarations only, in names that machines know."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crawl_audit.records import Mode
from crawl_audit.signal_policy import Purpose, SignalPolicy
from proxy_addon.settings import Settings
from reports import robots_features
from reports.agent_card import MAPPING, OWN, OWN_FIELDS, agent_card
from reports.card_fields import RECORD
from reports.kinds import card
from tests import logs
from tests.reports.command import crawl_audit, refused
from tests.reports.operator_files import everything

ALPHA = {"id": "alpha", "product_tokens": ["AlphaBot"], "user_agent": "AlphaBot/1.0", "purpose": "training"}
DOCS = Path(__file__).resolve().parents[2] / "docs" / "declarations.md"


def settings(**changes: Any) -> str:
    """Settings as the sidecar records them."""
    return Settings(crawlers=[ALPHA], **changes).recorded()


def log_with(root: Path, *runs: tuple[Mode, str], seen: bool = True) -> logs.LogBuilder:
    """A log with a start for each of the settings, and a request of alpha."""
    made = logs.LogBuilder(root)
    for number, (mode, text) in enumerate(runs):
        made.add(logs.run("start", logs.after(number), mode=mode, settings=text))
    if seen:
        made.add(logs.decision("example.com", "/", logs.after(10)))
    made.publish()
    return made


def cards_of(root: Path, *options: object) -> dict[str, dict[str, Any]]:
    answer = crawl_audit("report", "card", root, "--format", "json", *options).json
    return {one["crawler"]: one for one in answer["crawlers"]}


@pytest.fixture
def operator(mixed: logs.LogBuilder, tmp_path: Path) -> Path:
    file = tmp_path / "operator.toml"
    file.write_text(everything(mixed), encoding="utf-8")
    return file


def test_nothing_counted_from_traffic_is_in_a_card() -> None:
    (crawlers,) = (field for field in RECORD.fields if field.name == "crawlers")
    numbers = [f.name for field in crawlers.fields for f in (field, *field.fields) if f.form in ("count", "tally")]
    assert numbers == ["cache_default_s", "cache_max_s"]  # settings, not counts


def test_a_card_is_the_same_at_every_level_and_public_where_nobody_says(mixed: logs.LogBuilder, operator: Path) -> None:
    answers = {
        level: crawl_audit(
            "report", "card", mixed.root, "--operator", operator, "--level", level, "--format", "json"
        ).json
        for level in ("public", "regulator", "internal")
    }
    assert answers["public"]["crawlers"] == answers["regulator"]["crawlers"] == answers["internal"]["crawlers"]
    said = crawl_audit("report", "card", mixed.root, "--operator", operator, "--format", "json")
    assert said.json["disclosure_level"] == "public"
    assert mixed.log not in said.out and "node1" not in said.out


def test_the_features_are_those_of_the_recorded_settings(root: Path) -> None:
    log_with(
        root,
        (
            Mode.ENFORCE,
            settings(
                robots={"ttl_s": 600, "last_good_copy_s": 60, "treat_429_as_unreachable": False},
                pacing={"enforce": True},
                signals={"html_meta": True, "policy": {"content-usage": "deny", "tdmrep": {"search": "deny"}}},
                exemptions=[
                    {
                        "id": "x",
                        "sites": ["example.com"],
                        "reason": "licence",
                        "reference": "C-1",
                        "approver": "legal",
                        "until": "2027-01-01",
                    }
                ],
            ),
        ),
    )
    made = cards_of(root)["alpha"]
    assert made["robots"] == {
        "standard": "RFC 9309",
        "modes": ["enforce"],
        "disallowed": "denied",
        "lines": ["User-agent", "Allow", "Disallow", "Crawl-delay", "Request-rate", "Content-Usage"],
        "unreachable": "last copy for a time, then a disallow",
        "status_429": "taken for no robots.txt (RFC 9309 2.3.1.3)",
        "cache_default_s": 600,
        "cache_max_s": 86_400,
        "pace": "requests are held or refused until the pace is kept",
        "exemptions": ["licence"],
    }
    done = {one["protocol"]: (one["done"], one["uses"]) for one in made["protocols"]}
    assert done["content-usage"] == ("requests denied", ["training"])
    assert done["tdmrep"] == ("recorded only", [])  # denied to search crawlers only, and this one trains
    assert done["content-signal"] == ("recorded only", [])
    found = {one["protocol"]: one["found_in"] for one in made["protocols"]}
    assert found["tdmrep"] == ["HTTP response", "HTML"]
    assert found["rsl"] == ["robots.txt", "HTTP response", "HTML"]


def test_settings_as_they_come_are_told_too(root: Path) -> None:
    log_with(root, (Mode.AUDIT, settings(signals={"policy": {"tdmrep": "deny"}})))
    made = cards_of(root)["alpha"]
    assert made["robots"]["disallowed"] == "recorded and forwarded"
    assert (made["robots"]["unreachable"], made["robots"]["status_429"]) == ("taken for a disallow",) * 2
    assert (made["robots"]["pace"], made["robots"]["exemptions"]) == ("recorded only", [])
    tdmrep = next(one for one in made["protocols"] if one["protocol"] == "tdmrep")
    assert tdmrep["found_in"] == ["/.well-known/tdmrep.json", "HTTP response"]
    assert tdmrep["done"] == "counted as disallowed, not denied"


def test_runs_that_differ_are_not_averaged(root: Path) -> None:
    one = settings(robots={"ttl_s": 60}, signals={"policy": {"content-signal": "deny"}}, pacing={"enforce": True})
    log_with(root, (Mode.AUDIT, one), (Mode.ENFORCE, settings(robots={"treat_429_as_unreachable": False})))
    made = cards_of(root)["alpha"]
    features = made["robots"]
    assert features["modes"] == ["audit", "enforce"]
    assert [features[name] for name in ("disallowed", "status_429", "pace")] == ["differs between runs"] * 3
    assert (features["lines"], features["cache_default_s"]) == (["User-agent", "Allow", "Disallow"], 3600)
    assert {one["done"] for one in made["protocols"] if one["protocol"] == "content-signal"} == {"differs between runs"}


HOSTILE = [
    "no json",
    "[]",
    "null",
    '{"robots": 3, "signals": 3, "pacing": [], "exemptions": {}, "crawlers": 3}',
    '{"signals": {"policy": {"tdmrep": 3, "x": {"y": "deny"}}}, "pacing": {"enforce": 1}}',
    '{"exemptions": [{"reason": "<b>"}, 3]}',
    *(
        f'{{"robots": {{"ttl_s": {value}, "last_good_copy_s": {value}}}, "crawlers": [3, {{}}]}}'
        for value in ("NaN", "1e999", "-1", "true", '"3"', "9" * 400)
    ),
]


@pytest.mark.parametrize("text", HOSTILE)
def test_settings_of_a_hostile_log_say_nothing(text: str) -> None:
    runs = robots_features.runs_of([{"mode": "audit", "settings": text}])
    features = robots_features.robots(runs, "alpha")
    assert features is not None
    assert [features[name] for name in ("unreachable", "status_429", "cache_default_s", "pace")] == [None] * 4
    assert not features["exemptions"]
    assert {one["done"] for one in robots_features.protocols(runs, "alpha")} <= {None, "recorded only"}


def test_a_card_of_a_hostile_log_is_a_card(root: Path) -> None:
    log_with(root, *((Mode.AUDIT, text) for text in HOSTILE))
    assert cards_of(root)["alpha"]["in_log"] is True


def test_a_crawler_that_is_only_declared_is_told_nothing_of(root: Path, tmp_path: Path) -> None:
    log_with(root, (Mode.AUDIT, settings()), seen=False)
    file = tmp_path / "operator.toml"
    file.write_text(everything(), encoding="utf-8")
    made = cards_of(root, "--operator", file)
    assert {name: one["in_log"] for name, one in made.items()} == {"alpha": False, "news": False}
    assert (made["news"]["robots"], made["news"]["protocols"]) == (None, [])
    assert made["news"]["robots_snippet"] == ["User-agent: ExampleBot", "Disallow: /"]
    assert made["alpha"]["robots"]["disallowed"] == "recorded and forwarded"
    shown = crawl_audit("report", "card", root, "--operator", file).out
    assert "No sidecar on record was set up for this crawler" in shown


def test_only_the_period_counts(root: Path) -> None:
    log_with(root, (Mode.AUDIT, settings()))
    assert cards_of(root, "--to", "2026-11-17")["alpha"]["in_log"] is False
    assert cards_of(root, "--to", "2026-11-17")["alpha"]["robots"] is None
    assert cards_of(root, "--from", "2026-11-18")["alpha"]["in_log"] is True


def test_the_lines_for_robots_txt_name_every_token_and_nothing_else(mixed: logs.LogBuilder, root: Path) -> None:
    made = cards_of(mixed.root)
    assert made["pair"]["robots_snippet"] == ["User-agent: AlphaBot", "User-agent: BetaBot", "Disallow: /"]
    built = logs.LogBuilder(root)
    for name, token in (("evil", "x: y, Bad/1.0, Good_Bot"), ("none", "1"), ("any", "*")):
        built.add(replace(logs.decision("example.com", "/"), crawler=name, product_token=token))
    built.publish()
    snippets = {name: one["robots_snippet"] for name, one in cards_of(root).items()}
    assert snippets == {
        "evil": ["User-agent: Good_Bot", "Disallow: /"],
        "none": [],
        "any": ["User-agent: *", "Disallow: /"],
    }
    shown = crawl_audit("report", "card", mixed.root, "--format", "md").out
    assert "    User-agent: AlphaBot\n    User-agent: BetaBot\n    Disallow: /\n" in shown


def test_compliance_is_never_derived(root: Path) -> None:
    log_with(root, (Mode.ENFORCE, settings()))
    made = cards_of(root)["alpha"]
    assert made["rfc9309_compliance"] is None
    assert "rfc9309-compliance" not in agent_card(made).get("web_bot_auth", {})
    assert "Keeps to RFC 9309, says the operator" in crawl_audit("report", "card", root).out


def test_the_card_for_machines_has_the_names_of_the_draft(mixed: logs.LogBuilder, operator: Path) -> None:
    made = agent_card(cards_of(mixed.root, "--operator", operator)["alpha"], "https://example.com/crawlers/alpha.json")
    own = made.pop(OWN)
    assert made == {
        "client_id": "https://example.com/crawlers/alpha.json",
        "client_name": "AlphaBot",
        "client_uri": "https://example.com/bot",
        "logo_uri": "https://example.com/bot.png",
        "contacts": ["mailto:bot@example.com"],
        "jwks_uri": "https://example.com/.well-known/http-message-signatures-directory",
        "web_bot_auth": {
            "expected-user-agent": "AlphaBot/1.0",
            "rfc9309-product-token": "AlphaBot",
            "rfc9309-compliance": True,
            "trigger": "crawler",
            "purpose": "search",
            "targeted-content": "News and reference works",
            "rate-control": "429 with Retry-After; Crawl-delay in robots.txt",
            "rate-expectation": "avg=1rps;max=5rps",
            "known-urls": ["/robots.txt", "/sitemap.xml"],
            "ips_uri": "https://example.com/bot-ips.json",
        },
    }
    assert set(own) <= set(OWN_FIELDS)
    assert own["how_to_block"]["ja"].startswith("robots.txt")
    assert own["robots"]["modes"] == ["audit"]


def test_what_is_not_known_is_left_out_of_the_card_for_machines(mixed: logs.LogBuilder) -> None:
    made = agent_card(cards_of(mixed.root)["pair"])
    assert made["web_bot_auth"] == {"rfc9309-product-token": "AlphaBot"}
    assert "client_id" not in made
    assert "null" not in json.dumps(made)
    mail = {"contacts": ["bot@example.com", "https://example.com/c", "tel:+81-3"]}
    assert agent_card(mail)["contacts"] == ["mailto:bot@example.com", "https://example.com/c", "tel:+81-3"]


def test_every_field_of_a_card_reaches_machines_or_is_left_out_on_purpose() -> None:
    (crawlers,) = (field for field in RECORD.fields if field.name == "crawlers")
    told = {field for _, field, _ in MAPPING} | set(OWN_FIELDS)
    assert {field.name for field in crawlers.fields} - told == {"crawler", "in_log"}
    assert told <= {field.name for field in crawlers.fields}


def test_the_table_of_names_in_the_documents_is_that_of_the_code() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for member, field, _ in MAPPING:
        assert f"| `{member}` | `{field}` |" in text


def test_a_policy_denies_what_the_kernel_says_it_denies() -> None:
    policy = SignalPolicy({"content-usage": "deny", "tdmrep": {"user": "deny"}})
    assert policy.denied("content-usage") == {Purpose.TRAINING, Purpose.SEARCH}  # it has no word for users
    assert policy.denied("tdmrep") == {Purpose.USER}
    assert policy.denied("content-signal") == policy.denied("unknown") == frozenset()
    for purpose, uses in (("training", ["training"]), ("search", ["search"]), ("user_fetch", [])):
        run = (Mode.ENFORCE, json.loads(settings(signals={"policy": {"content-usage": "deny"}})))
        run[1]["crawlers"][0]["purpose"] = purpose
        (usage,) = (one for one in robots_features.protocols([run], "alpha") if one["protocol"] == "content-usage")
        assert usage["uses"] == uses


def test_cards_as_csv_and_in_japanese(mixed: logs.LogBuilder, operator: Path) -> None:
    ran = crawl_audit("report", "card", mixed.root, "--operator", operator, "--format", "csv")
    assert ran.out.splitlines()[0].startswith("crawler,client_name,purpose_code")
    assert len(ran.out.splitlines()) == 3
    japanese = crawl_audit("report", "card", mixed.root, "--operator", operator, "--lang", "ja").out
    assert "言語モデルの学習のため" in japanese


def test_an_empty_log_has_no_cards(root: Path) -> None:
    built = logs.LogBuilder(root)
    built.publish()
    assert "No crawler is declared, configured or in the log." in crawl_audit("report", "card", root).out
    assert card.KIND.name == "card"


def test_options_of_other_reports_are_refused(mixed: logs.LogBuilder, tmp_path: Path) -> None:
    assert "takes no --publish" in refused("report", "activity", mixed.root, "--publish", tmp_path, code=2)
    assert "leave -o out" in refused("report", "card", mixed.root, "--publish", tmp_path, "-o", "x", code=2)
