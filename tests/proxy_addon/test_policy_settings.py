"""What departs from the bare verdict is declared completely, or refused with one sentence."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path
from typing import Any

import pytest

from crawl_audit.errors import ConfigurationError
from crawl_audit.exemptions import Reason
from crawl_audit.records import Instant
from crawl_audit.signal_policy import SignalPolicy
from crawl_audit.target import Scope, Target
from crawl_audit.text import is_storable
from proxy_addon.policy_settings import ExemptionSettings, PurposeWords, expired
from proxy_addon.settings import Settings, load

EXEMPTION = """
[[crawlers]]
id = "news"
product_tokens = ["News"]
[[exemptions]]
id = "deal-7"
sites = ["example.co.uk"]
reason = "licence"
reference = "contract 2026-7"
approver = "legal@example.org"
until = 2027-06-30
"""
GIVEN: dict[str, Any] = {
    "id": "x",
    "sites": ["example.com"],
    "reason": "own_site",
    "reference": "r",
    "approver": "a",
    "until": "2027-06-30",
}


def loaded(directory: Path, text: str) -> Settings:
    path = directory / "sidecar.toml"
    path.write_text(text, encoding="utf-8")
    return load(path)


def refusal(directory: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        loaded(directory, text)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


def utc(*parts: int) -> datetime.datetime:
    return datetime.datetime(*parts, tzinfo=datetime.UTC)  # type: ignore[misc]


def test_nothing_departs_from_the_verdict_by_default() -> None:
    settings = load(None)
    assert settings.exemptions == ()
    assert not settings.signals.signal_policy()
    assert (settings.pacing.enforce, settings.pacing.hold_max_s) == (False, 10)


# --- exemptions -----------------------------------------------------------------------------------------------------


def test_a_declared_exemption_is_recorded_with_its_grounds(tmp_path: Path) -> None:
    settings = loaded(tmp_path, EXEMPTION)
    (recorded,) = json.loads(settings.recorded())["exemptions"]
    assert recorded == {
        "id": "deal-7",
        "sites": ["example.co.uk"],
        "hosts": [],
        "path_prefixes": [],
        "crawlers": [],
        "reason": "licence",
        "reference": "contract 2026-7",
        "approver": "legal@example.org",
        "not_before": None,
        "until": "2027-07-01T00:00:00Z",
    }
    assert is_storable(settings.recorded())
    made = settings.exemptions[0].exemption()
    assert (made.id, made.reason, made.sites) == ("deal-7", Reason.LICENCE, frozenset({"example.co.uk"}))


@pytest.mark.parametrize(
    "written,until",
    [
        ("2027-06-30", utc(2027, 7, 1)),
        ("2027-06-30T12:00:00Z", utc(2027, 6, 30, 12)),
        ("2027-06-30T12:00:00+09:00", utc(2027, 6, 30, 3)),
        ("2027-06-30T12:00:00", utc(2027, 6, 30, 12)),
    ],
)
@pytest.mark.parametrize("quote", ["", '"'])
def test_an_end_is_a_day_or_a_moment_in_utc(tmp_path: Path, written: str, until: datetime.datetime, quote: str) -> None:
    settings = loaded(tmp_path, EXEMPTION.replace("2027-06-30", quote + written + quote))
    assert settings.exemptions[0].until == until
    assert settings.exemptions[0].exemption().until == Instant(int(until.timestamp()) * 1_000_000)


def test_a_beginning_that_is_a_day_is_its_start() -> None:
    made = ExemptionSettings(**{**GIVEN, "not_before": datetime.date(2027, 6, 30)}).exemption()
    assert (made.not_before, made.until) == (1_814_313_600_000_000, 1_814_400_000_000_000)


@pytest.mark.parametrize("word", ["id", "reason", "reference", "approver", "until"])
def test_no_ground_may_be_left_out(tmp_path: Path, word: str) -> None:
    lines = [line for line in EXEMPTION.splitlines() if not line.startswith(f"{word} =") or '"news"' in line]
    assert word in refusal(tmp_path, "\n".join(lines))


@pytest.mark.parametrize(
    "old,new,said",
    [
        ('sites = ["example.co.uk"]', "", "name the sites or hosts"),
        ('["example.co.uk"]', '["www.example.co.uk"]', "list it under hosts"),
        ('["example.co.uk"]', '["exa mple.com"]', "characters that no host name can have"),
        ('"licence"', '"because"', "reason"),
        ('"contract 2026-7"', '""', "reference"),
        ("until = 2027-06-30", 'until = "soon"', "'soon' is not a date or time"),
        ("until = 2027-06-30", "until = 20270630", "give a date or time"),
        ("until = 2027-06-30", "until = 2027-06-30\nnot_before = 2027-07-01", "not before until"),
        ("until = 2027-06-30", 'until = 2027-06-30\npath_prefixes = ["own/"]', "does not start with a slash"),
        ("until = 2027-06-30", 'until = 2027-06-30\ncrawlers = ["new"]', "the crawler new, which is not configured"),
        ("until = 2027-06-30", "until = 2027-06-30\napprovers = 1", "did you mean approver?"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert said in refusal(tmp_path, EXEMPTION.replace(old, new))


def test_two_exemptions_of_one_id_are_refused(tmp_path: Path) -> None:
    again = EXEMPTION[EXEMPTION.index("[[exemptions]]") :]
    assert "an id of its own" in refusal(tmp_path, EXEMPTION + again)


def test_hosts_are_compared_as_requests_name_them() -> None:
    made = ExemptionSettings(**{**GIVEN, "sites": [], "hosts": ["WWW.Bücher.example."]}).exemption()
    assert made.hosts == frozenset({"www.xn--bcher-kva.example"})


def test_one_that_is_over_is_warned_about_and_never_applies() -> None:
    over, holding = ExemptionSettings(**GIVEN), ExemptionSettings(**{**GIVEN, "id": "y", "until": "2028-01-01"})
    (sentence,) = expired((over, holding), utc(2027, 7, 1))
    assert sentence == "Exemption x ended at 2027-07-01T00:00:00Z and applies to nothing; remove or renew it."
    assert expired((over, holding), utc(2027, 6, 30, 23, 59, 59)) == []


def test_the_kernel_gets_what_was_declared(tmp_path: Path) -> None:
    settings = loaded(tmp_path, EXEMPTION)
    target = Target(Scope("https", "www.example.co.uk", 443), "/a", None)
    from crawl_audit import robots
    from crawl_audit.records import RobotsOutcome

    judgement = robots.evaluate(RobotsOutcome.UNREACHABLE, None, "/a")
    ruling = settings.policy().ruling(judgement, settings.crawler_values()[0], target, Instant(1))
    assert ruling.exemption == "deal-7"


# --- signals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written,words",
    [
        ('"deny"', {"training": "deny", "search": "deny", "user": "deny"}),
        ('"record"', {"training": "record", "search": "record", "user": "record"}),
        ('{ training = "deny" }', {"training": "deny", "search": "record", "user": "record"}),
    ],
)
def test_a_word_is_for_every_purpose_unless_one_is_named(tmp_path: Path, written: str, words: dict[str, str]) -> None:
    settings = loaded(tmp_path, f"[signals.policy]\ncontent-signal = {written}\n")
    assert json.loads(settings.recorded())["signals"]["policy"] == {"content-signal": words}
    recorded = SignalPolicy(json.loads(settings.recorded())["signals"]["policy"])
    assert bool(recorded) is bool(settings.signals.signal_policy()) is ("deny" in words.values())


@pytest.mark.parametrize(
    "written,said",
    [
        ('x-robots-tag = "deny"', "content-signal"),
        ('content-signal = "block"', "content-signal"),
        ('content-signal = { ai = "deny" }', "policy.content-signal.ai is not a setting"),
        ("content-signal = true", "content-signal"),
    ],
)
def test_a_policy_that_cannot_be_kept_is_refused(tmp_path: Path, written: str, said: str) -> None:
    assert said in refusal(tmp_path, f"[signals.policy]\n{written}\n")


def test_a_policy_can_be_set_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRAWL_AUDIT_SIGNALS__POLICY", '{"content-usage": {"search": "deny"}}')
    assert load(None).signals.policy == {"content-usage": PurposeWords(search="deny")}  # type: ignore[arg-type]


def test_tdmrep_json_is_fetched_where_the_policy_denies_by_it(tmp_path: Path) -> None:
    assert loaded(tmp_path, '[signals.policy]\ntdmrep = "deny"\n').signals.fetches_tdmrep
    assert not loaded(tmp_path, '[signals.policy]\ntdmrep = "record"\n').signals.fetches_tdmrep
    assert loaded(tmp_path, "[signals]\ntdmrep = true\n").signals.fetches_tdmrep


# --- pacing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", ["hold_max_s = 0", "hold_max_s = 301", 'enforce = "perhaps"', "hold_s = 1"])
def test_a_pacing_that_cannot_be_kept_is_refused(tmp_path: Path, written: str) -> None:
    assert "pacing." in refusal(tmp_path, f"[pacing]\n{written}\n")


def test_the_settings_in_the_documents_are_settings(tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "signals.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    settings = loaded(tmp_path, '[[crawlers]]\nid = "news"\nproduct_tokens = ["News"]\n' + "\n".join(blocks))
    assert (len(settings.exemptions), len(settings.signals.policy), settings.pacing.enforce) == (1, 3, True)
